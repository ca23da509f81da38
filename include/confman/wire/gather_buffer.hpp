// Encoded bytes for one gather-write: small fields in one contiguous buffer, large payloads by reference.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "confman/core/shared_bytes.hpp"

namespace confman {

// Holds one or many frames. A sink for basic_writer. clear() keeps the memory, so that a reused buffer
// doesn't allocate. Not thread-safe.
class gather_buffer {
 public:
  // From this size on a payload is referenced: below it a copy is cheaper than one more element of the iovec.
  static constexpr std::size_t reference_from = 1024;

  // A place in the buffer, to come back to.
  struct mark {
    std::size_t small = 0;   // offset in the contiguous part
    std::size_t slices = 0;  // payloads referenced before it
  };

  void append(const char* bytes, std::size_t size) {
    small_.append(bytes, size);
    size_ += size;
  }
  void append_shared(const shared_bytes& bytes) {
    if (bytes.size() < reference_from) return append(bytes.data(), bytes.size());
    slices_.push_back({small_.size(), bytes});
    size_ += bytes.size();
  }

  [[nodiscard]] mark here() const noexcept { return {small_.size(), slices_.size()}; }

  // Replaces bytes of the contiguous part that were appended before. Precondition: they exist.
  void overwrite(std::size_t at, std::string_view bytes) { small_.replace(at, bytes.size(), bytes); }

  // Calls f(std::string_view) for each piece from `from` on, in order. Views die with the next append or
  // clear.
  template <class F>
  void for_each_piece(mark from, F f) const {
    std::size_t at = from.small;
    for (std::size_t i = from.slices; i < slices_.size(); ++i) {
      if (slices_[i].at > at) f(std::string_view(small_).substr(at, slices_[i].at - at));
      f(slices_[i].bytes.view());
      at = slices_[i].at;
    }
    if (small_.size() > at) f(std::string_view(small_).substr(at));
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
    small_.clear();
    slices_.clear();
    size_ = 0;
  }

 private:
  struct slice {
    std::size_t at;  // stands before this offset of small_
    shared_bytes bytes;
  };

  std::string small_;
  std::vector<slice> slices_;
  std::size_t size_ = 0;
};

}  // namespace confman
