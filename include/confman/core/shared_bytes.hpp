// Immutable bytes with shared ownership: one allocation carries a payload from the socket through the log to
// the map.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

namespace confman {

// A slice of an immutable, reference-counted block. Copying a slice costs one atomic increment, never an
// allocation. Thread safety: distinct objects may be used from any thread, as with shared_ptr.
class shared_bytes {
  struct block {
    std::atomic<std::size_t> references;
    // the bytes follow
    [[nodiscard]] char* bytes() noexcept { return reinterpret_cast<char*>(this + 1); }
  };

 public:
  // A block that is still being written by its one owner; `std::move(b).freeze()` makes it immutable.
  class builder {
   public:
    // Throws std::bad_alloc. The bytes are uninitialised.
    explicit builder(std::size_t size) : size_(size) {
      if (size != 0) block_ = ::new (::operator new(sizeof(block) + size)) block{1};
    }
    builder(builder&& other) noexcept
        : block_(std::exchange(other.block_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    builder& operator=(builder&&) = delete;
    ~builder() { release(block_); }

    [[nodiscard]] char* data() noexcept { return block_ ? block_->bytes() : nullptr; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] shared_bytes freeze() && noexcept {
      shared_bytes result;
      result.block_ = std::exchange(block_, nullptr);
      result.size_ = std::exchange(size_, 0);
      result.data_ = result.block_ ? result.block_->bytes() : nullptr;
      return result;
    }

   private:
    block* block_ = nullptr;
    std::size_t size_ = 0;
  };

  shared_bytes() noexcept = default;
  shared_bytes(const shared_bytes& other) noexcept
      : block_(other.block_), data_(other.data_), size_(other.size_) {
    if (block_) block_->references.fetch_add(1, std::memory_order_relaxed);
  }
  shared_bytes(shared_bytes&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  shared_bytes& operator=(shared_bytes other) noexcept {
    std::swap(block_, other.block_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~shared_bytes() { release(block_); }

  [[nodiscard]] static shared_bytes copy(std::string_view bytes) {
    builder b(bytes.size());
    if (!bytes.empty()) std::memcpy(b.data(), bytes.data(), bytes.size());
    return std::move(b).freeze();
  }

  // A part of these bytes that shares their block. Precondition: offset + size <= this->size().
  [[nodiscard]] shared_bytes slice(std::size_t offset, std::size_t size) const noexcept {
    shared_bytes result(*this);
    result.data_ += offset;
    result.size_ = size;
    return result;
  }

  [[nodiscard]] const char* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::string_view view() const noexcept { return {data_, size_}; }

  friend bool operator==(const shared_bytes& a, const shared_bytes& b) noexcept {
    return a.view() == b.view();
  }

 private:
  static void release(block* b) noexcept {
    if (b && b->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      b->~block();
      ::operator delete(b);
    }
  }

  block* block_ = nullptr;
  const char* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace confman
