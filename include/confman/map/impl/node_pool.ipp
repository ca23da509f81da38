#pragma once

#include <algorithm>
#include <cstdint>
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
  free_[bytes / 8] = ::new (block) free_block{free_[bytes / 8]};
#endif
}

CONFMAN_DECL void* node_pool::allocate_slow(std::size_t bytes) {
#if defined(CONFMAN_NODE_POOL_BYPASSED)
  return ::operator new(bytes);
#else
  // What is left of the old chunk becomes one free block of its size.
  if (const auto left = static_cast<std::size_t>(end_ - next_); left >= 32 && left <= largest)
    free_[left / 8] = ::new (static_cast<void*>(next_)) free_block{free_[left / 8]};
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
