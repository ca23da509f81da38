// The big tables of a search: flat, and without a pointer per element.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <new>
#include <vector>

#include "lib/state_hash.hpp"

namespace confman::exhaustive {

using testing::hash128;

// Memory that takes no room before it is touched.
template <class T>
class pages {
 public:
  explicit pages(std::size_t count) : bytes_(count * sizeof(T)) {
    void* const p =
        mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    (void)madvise(p, bytes_, MADV_HUGEPAGE);  // touched at random: fewer misses of the page table
    data_ = static_cast<T*>(p);
  }
  pages(const pages&) = delete;
  pages& operator=(const pages&) = delete;
  ~pages() { munmap(data_, bytes_); }
  T& operator[](std::size_t i) noexcept { return data_[i]; }
  const T& operator[](std::size_t i) const noexcept { return data_[i]; }

 private:
  std::size_t bytes_;
  T* data_ = nullptr;
};

// The states that were seen: 128-bit fingerprints, open addressing.
class fingerprints {
 public:
  explicit fingerprints(std::size_t most) : mask_(slots_for(most) - 1), slots_(mask_ + 1) {}

  // False: it is there already.
  bool insert(hash128 h) {
    if (h == hash128{}) h.low = 1;
    for (std::size_t at = h.high & mask_;; at = (at + 1) & mask_) {
      if (slots_[at] == h) return false;
      if (slots_[at] != hash128{}) continue;
      slots_[at] = h;
      return true;
    }
  }

 private:
  static std::size_t slots_for(std::size_t most) {
    std::size_t slots = 1024;
    while (slots * 3 < most * 4) slots *= 2;
    return slots;
  }
  std::size_t mask_;
  pages<hash128> slots_;
};

// From 64-bit keys to 32-bit numbers; grows. Key 0 isn't used.
class number_table {
 public:
  number_table() : slots_(1u << 16) {}

  [[nodiscard]] std::uint32_t* find(std::uint64_t key) noexcept {
    slot& s = place(slots_, key);
    return s.key == key ? &s.value : nullptr;
  }
  void insert(std::uint64_t key, std::uint32_t value) {
    if (2 * ++size_ > slots_.size()) {
      std::vector<slot> larger(2 * slots_.size());
      for (const slot& s : slots_)
        if (s.key != 0) place(larger, s.key) = s;
      slots_ = std::move(larger);
    }
    place(slots_, key) = {key, value};
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  struct slot {
    std::uint64_t key = 0;
    std::uint32_t value = 0;
  };
  static slot& place(std::vector<slot>& slots, std::uint64_t key) noexcept {
    const std::size_t mask = slots.size() - 1;
    std::size_t at = detail::fold_multiply(key, 0x9E3779B97F4A7C15u) & mask;
    while (slots[at].key != 0 && slots[at].key != key) at = (at + 1) & mask;
    return slots[at];
  }
  std::vector<slot> slots_;
  std::size_t size_ = 0;
};

// Equal things get one number, in order of their first appearance; two that differ in content and agree in
// 128 bits of hash would be taken for one.
template <class T>
class pool {
 public:
  // `make()` is called if the hash is new.
  template <class Make>
  std::uint32_t number(const hash128& h, Make&& make) {
    for (std::uint64_t key = h.low | 1;; key += 2) {
      const std::uint32_t* known = numbers_.find(key);
      if (!known) {
        numbers_.insert(key, static_cast<std::uint32_t>(values_.size()));
        values_.push_back(make());
        hashes_.push_back(h);
        return static_cast<std::uint32_t>(values_.size() - 1);
      }
      if (hashes_[*known] == h) return *known;
    }
  }
  [[nodiscard]] const T& operator[](std::uint32_t i) const noexcept { return values_[i]; }
  [[nodiscard]] T& operator[](std::uint32_t i) noexcept { return values_[i]; }
  [[nodiscard]] const hash128& hash(std::uint32_t i) const noexcept { return hashes_[i]; }
  [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }

 private:
  number_table numbers_;
  std::deque<T> values_;  // references stay
  std::deque<hash128> hashes_;
};

// A queue of words in blocks that are given back as soon as they are read.
class word_queue {
 public:
  void push(const std::uint32_t* words, std::size_t count) {
    if (blocks_.empty() || filled_ + count > block_words) {
      if (!blocks_.empty()) blocks_.back().used = filled_;
      blocks_.push_back({std::make_unique_for_overwrite<std::uint32_t[]>(block_words), 0});
      filled_ = 0;
    }
    std::copy(words, words + count, blocks_.back().words.get() + filled_);
    filled_ += count;
    blocks_.back().used = filled_;
  }
  [[nodiscard]] bool empty() const noexcept {
    return blocks_.empty() || (blocks_.size() == 1 && read_ == blocks_.front().used);
  }
  // The next `count` words; they are gone with the next call.
  const std::uint32_t* pop(std::size_t count) {
    if (read_ == blocks_.front().used) {
      blocks_.pop_front();
      read_ = 0;
    }
    read_ += count;
    return blocks_.front().words.get() + read_ - count;
  }

 private:
  static constexpr std::size_t block_words = 1u << 20;
  struct block {
    std::unique_ptr<std::uint32_t[]> words;
    std::size_t used;
  };
  std::deque<block> blocks_;
  std::size_t filled_ = 0, read_ = 0;
};

}  // namespace confman::exhaustive
