#pragma once

#include <algorithm>
#include <cstdint>
#include <new>

#include "confman/map/node_pool.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace confman::detail {

CONFMAN_DECL node_pool::~node_pool() {
  for (const auto& [chunk, huge] : chunks_) {
    if (huge)
      ::operator delete(chunk, std::align_val_t{std::size_t{2} << 20});
    else
      ::operator delete(chunk);
  }
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
  // Above some size whole huge pages: a lookup then misses the page tables for its record only.
  constexpr std::size_t page = std::size_t{2} << 20;
  const bool huge = chunk_bytes_ >= 4 * page;
  const std::size_t size =
      huge ? page : std::max(std::clamp<std::size_t>(chunk_bytes_ / 64 * 8, 2048, std::size_t{1} << 20), bytes);
  chunks_.push_back({});
  chunks_.back() = {huge ? ::operator new(size, std::align_val_t{page}) : ::operator new(size), huge};
  chunk_bytes_ += size;
#if defined(__linux__)
  if (huge) static_cast<void>(madvise(chunks_.back().first, size, MADV_HUGEPAGE));
#endif
  next_ = static_cast<char*>(chunks_.back().first);
  end_ = next_ + size;
  CONFMAN_ASSERT((reinterpret_cast<std::uintptr_t>(end_) >> 24 >> 24) == 0,
                 "trie_ref needs the upper 16 bits of addresses");
  char* const block = next_;
  next_ += bytes;
  return block;
#endif
}

}  // namespace confman::detail
