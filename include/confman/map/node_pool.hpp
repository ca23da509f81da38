// Memory for the nodes of one trie: only its writer allocates and frees, so no lock and no header per node.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "confman/config.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CONFMAN_NODE_POOL_BYPASSED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CONFMAN_NODE_POOL_BYPASSED 1
#endif

namespace confman::detail {

// Free lists by exact size over chunks of an eighth of what is there, 2 KiB to 1 MiB; memory goes back to the
// system when the pool dies. Under the sanitizers every node is an allocation of its own, so that they see a
// use after free.
class node_pool {
 public:
  static constexpr std::size_t largest = 2104;

  node_pool() = default;
  node_pool(const node_pool&) = delete;
  node_pool& operator=(const node_pool&) = delete;
  CONFMAN_DECL ~node_pool();

  // `bytes`: a multiple of 8, at most `largest`. Throws std::bad_alloc.
  [[nodiscard]] void* allocate(std::size_t bytes) {
    bytes_in_use_ += bytes;
    ++blocks_in_use_;
#if !defined(CONFMAN_NODE_POOL_BYPASSED)
    free_block*& head = free_[bytes / 8];
    if (head) {
      free_block* const block = head;
      head = block->next;
      return block;
    }
    if (static_cast<std::size_t>(end_ - next_) >= bytes) {
      char* const block = next_;
      next_ += bytes;
      return block;
    }
#endif
    return allocate_slow(bytes);
  }

  CONFMAN_DECL void free(void* block, std::size_t bytes) noexcept;

  [[nodiscard]] std::size_t bytes_in_use() const noexcept {
    return bytes_in_use_;
  }
  [[nodiscard]] std::size_t blocks_in_use() const noexcept {
    return blocks_in_use_;
  }

 private:
  struct free_block {
    free_block* next;
  };

  CONFMAN_DECL void* allocate_slow(std::size_t bytes);

  std::array<free_block*, largest / 8 + 1> free_{};
  char* next_ = nullptr;
  char* end_ = nullptr;
  std::size_t chunk_bytes_ = 0;
  std::size_t bytes_in_use_ = 0;
  std::size_t blocks_in_use_ = 0;
  std::vector<void*> chunks_;
};

}  // namespace confman::detail

#if !defined(CONFMAN_COMPILED)
#include "confman/map/impl/node_pool.ipp"
#endif
