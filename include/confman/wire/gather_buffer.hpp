// Encoded bytes for one gather-write: small fields in one contiguous buffer, large payloads by reference.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/core/shared_bytes.hpp"

namespace confman {

// Holds one or many frames. A sink for basic_writer. clear() keeps the memory, so that a reused buffer
// doesn't allocate. Not thread-safe.
class gather_buffer {
 public:
  // From this size on a payload is referenced: below it a copy is cheaper than one more element of the iovec.
  static constexpr std::size_t reference_from = 1024;

  gather_buffer() = default;
  gather_buffer(gather_buffer&&) = delete;  // writes under way point into it

  // A place in the buffer, to come back to.
  struct mark {
    std::size_t small = 0;   // offset in the contiguous part
    std::size_t slices = 0;  // payloads referenced before it
  };

  void append(const char* bytes, std::size_t size) {
    if (size > capacity_ - filled_) grow(size);
    if (size != 0) std::memcpy(small_.get() + filled_, bytes, size);
    filled_ += size;
    size_ += size;
  }
  void append_shared(const shared_bytes& bytes) {
    if (bytes.size() < reference_from) return append(bytes.data(), bytes.size());
    slices_.push_back({filled_, bytes});
    size_ += bytes.size();
  }

  [[nodiscard]] mark here() const noexcept { return {filled_, slices_.size()}; }

  // Replaces bytes of the contiguous part that were appended before. Precondition: they exist.
  void overwrite(std::size_t at, std::string_view bytes) noexcept {
    std::memcpy(small_.get() + at, bytes.data(), bytes.size());
  }

  // Calls f(std::string_view) for each piece from `from` on, in order. Views die with the next append or
  // clear.
  template <class F>
  void for_each_piece(mark from, F f) const {
    std::size_t at = from.small;
    for (std::size_t i = from.slices; i < slices_.size(); ++i) {
      if (slices_[i].at > at) f(std::string_view(small_.get() + at, slices_[i].at - at));
      f(slices_[i].bytes.view());
      at = slices_[i].at;
    }
    if (filled_ > at) f(std::string_view(small_.get() + at, filled_ - at));
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  // At most this many pieces.
  [[nodiscard]] std::size_t pieces() const noexcept { return 2 * slices_.size() + 1; }

  // All bytes, copied together: for tests and small frames.
  [[nodiscard]] std::string str() const {
    std::string all;
    all.reserve(size_);
    for_each_piece({}, [&all](std::string_view piece) { all.append(piece); });
    return all;
  }

  void clear() noexcept {
    filled_ = 0;
    slices_.clear();
    size_ = 0;
  }

 private:
  struct slice {
    std::size_t at;  // stands before this offset of small_
    shared_bytes bytes;
  };

  void grow(std::size_t size) {
    const std::size_t wanted = std::max({filled_ + size, 2 * capacity_, std::size_t{512}});
    std::unique_ptr<char[]> bigger(new char[wanted]);
    if (filled_ != 0) std::memcpy(bigger.get(), small_.get(), filled_);
    small_ = std::move(bigger);
    capacity_ = wanted;
  }

  // No std::string: its append is a call for each field, and this one a few instructions.
  std::unique_ptr<char[]> small_;
  std::size_t capacity_ = 0;
  std::size_t filled_ = 0;
  std::vector<slice> slices_;
  std::size_t size_ = 0;
};

}  // namespace confman
