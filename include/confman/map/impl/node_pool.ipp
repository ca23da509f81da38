#pragma once

#include <algorithm>
#include <bit>
#include <new>

#include "confman/map/node_pool.hpp"

namespace confman::detail {

CONFMAN_DECL node_pool::~node_pool() {
  for (void* chunk : chunks_) ::operator delete(chunk);
}

CONFMAN_DECL void node_pool::free(void* block, std::size_t bytes) noexcept {
  bytes_in_use_ -= bytes;
  --blocks_in_use_;
#if defined(CONFMAN_NODE_POOL_BYPASSED)
  ::operator delete(block);
#else
  put_free(block, bytes);
#endif
}

CONFMAN_DECL void node_pool::put_free(void* block, std::size_t bytes) noexcept {
  const std::size_t list = bytes / 8;
  free_[list] = ::new (block) free_block{free_[list]};
  maybe_free_[list / 64] |= std::uint64_t{1} << (list % 64);
}

// The largest free block that leaves a useful rest: nodes that grew leave blocks of sizes nobody asks for any
// more.
CONFMAN_DECL void* node_pool::split_larger(std::size_t bytes) noexcept {
  constexpr std::size_t smallest = 32;
  for (std::size_t word = maybe_free_.size(); word-- != 0;) {
    while (maybe_free_[word] != 0) {
      const std::size_t bit = static_cast<std::size_t>(63 - std::countl_zero(maybe_free_[word]));
      const std::size_t list = word * 64 + bit;
      if (list * 8 < bytes + smallest) return nullptr;
      if (free_block* const block = free_[list]) {
        free_[list] = block->next;
        put_free(reinterpret_cast<char*>(block) + bytes, list * 8 - bytes);
        return block;
      }
      maybe_free_[word] &= ~(std::uint64_t{1} << bit);
    }
  }
  return nullptr;
}

CONFMAN_DECL void* node_pool::allocate_slow(std::size_t bytes) {
#if defined(CONFMAN_NODE_POOL_BYPASSED)
  return ::operator new(bytes);
#else
  if (void* const block = split_larger(bytes)) return block;
  if (static_cast<std::size_t>(end_ - next_) >= bytes) {
    char* const block = next_;
    next_ += bytes;
    return block;
  }
  // What is left of the old chunk becomes one free block of its size.
  if (const auto left = static_cast<std::size_t>(end_ - next_); left >= 32 && left <= largest)
    put_free(next_, left);
  const std::size_t size =
      std::max(std::clamp<std::size_t>(chunk_bytes_ / 64 * 8, 2048, std::size_t{1} << 20), bytes);
  chunks_.push_back(nullptr);
  chunks_.back() = ::operator new(size);
  chunk_bytes_ += size;
  next_ = static_cast<char*>(chunks_.back());
  end_ = next_ + size;
  CONFMAN_ASSERT((reinterpret_cast<std::uintptr_t>(end_) >> 24 >> 24) == 0,
                 "trie_ref needs the upper 16 bits of addresses");
  char* const block = next_;
  next_ += bytes;
  return block;
#endif
}

}  // namespace confman::detail
