// A part of the state that a capture may share with the writer: copied before it changes, if it is shared.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace confman::detail {

// A reference-counted T. Any thread may read and drop the copy it holds; own() gives the one holder of it a T
// that nobody else sees. Unlike shared_ptr's, the count may be trusted for that: it is read with acquire.
template <class T>
class shared_piece {
 public:
  shared_piece() noexcept = default;
  shared_piece(const shared_piece& other) noexcept : held_(other.held_) {
    if (held_) held_->references.fetch_add(1, std::memory_order_relaxed);
  }
  shared_piece(shared_piece&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}
  shared_piece& operator=(shared_piece other) noexcept {
    std::swap(held_, other.held_);
    return *this;
  }
  ~shared_piece() {
    if (held_ && held_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete held_;
  }

  [[nodiscard]] explicit operator bool() const noexcept { return held_ != nullptr; }
  [[nodiscard]] const T& operator*() const noexcept { return held_->value; }
  [[nodiscard]] const T* operator->() const noexcept { return &held_->value; }

  // To be changed until the next copy of this object is made; a new T{} if there was none. Throws
  // std::bad_alloc.
  [[nodiscard]] T& own() {
    if (!held_)
      held_ = new block();
    else if (held_->references.load(std::memory_order_acquire) != 1)
      *this = shared_piece(new block(held_->value));
    return held_->value;
  }

 private:
  struct block {
    block() = default;
    explicit block(const T& other) : value(other) {}
    std::atomic<std::uint32_t> references{1};
    T value{};
  };
  explicit shared_piece(block* made) noexcept : held_(made) {}

  block* held_ = nullptr;
};

}  // namespace confman::detail
