// Records that were just freed, kept for the ones about to be made: a value that changes needs no trip to
// malloc.
#pragma once

#include <array>
#include <cstddef>
#include <new>
#include <utility>
#include <vector>

#include "confman/config.hpp"
#include "confman/map/node_pool.hpp"
#include "confman/map/record.hpp"

namespace confman::detail {

// Plain heap blocks by size class, so any thread may free a record the ordinary way; what the writer frees
// comes here, up to a bound. Thread safety: the writer's thread.
class record_cache {
 public:
  static constexpr std::size_t largest = 1024;          // bytes of a record that is kept
  static constexpr std::size_t max_bytes = 256u << 10;  // kept in all
  // Giving memory of this size back to the system takes long enough to leave it to another thread.
  static constexpr std::size_t large_from = 256u << 10;

  record_cache() = default;
  record_cache(const record_cache&) = delete;
  record_cache& operator=(const record_cache&) = delete;
  ~record_cache() {
    for (block* list : free_) {
      while (list) {
        block* const next = list->next;
        ::operator delete(list);
        list = next;
      }
    }
  }

  // As record::create. Throws std::bad_alloc.
  [[nodiscard]] record* create(std::string_view key, std::string_view value, const record::origin& from,
                               std::uint32_t references) {
    return record::create_in(allocate(record::allocation_size(key, value, from)), key, value, from,
                             references);
  }

  // Gives up one reference; that to a large record goes to large().
  void release(const record* r) noexcept {
    const std::size_t bytes = r->allocated_bytes();
    if (bytes >= large_from && defer(r)) return;
    if (!r->release_only()) return;
    r->~record();
#if !defined(CONFMAN_NODE_POOL_BYPASSED)
    if (const std::size_t c = size_class(bytes); bytes <= largest && kept_ + c * 16 <= max_bytes) {
      free_[c] = ::new (static_cast<void*>(const_cast<record*>(r))) block{free_[c]};
      kept_ += c * 16;
      return;
    }
#endif
    ::operator delete(const_cast<record*>(r));
  }

  // References to large records that were given up, to be dropped on any thread.
  [[nodiscard]] std::vector<map_entry>& large() noexcept {
    return large_;
  }

 private:
  struct block {
    block* next;
  };

  // Sizes that malloc rounds to the same (16 n + 8, with its header of 8) share a list.
  [[nodiscard]] static std::size_t size_class(std::size_t bytes) noexcept {
    return (bytes + 7) / 16;
  }

  [[nodiscard]] bool defer(const record* r) noexcept {
    try {
      large_.emplace_back();
    } catch (const std::bad_alloc&) {
      return false;
    }
    large_.back() = map_entry::adopt(r);
    return true;
  }

  [[nodiscard]] void* allocate(std::size_t bytes) {
    if (bytes > largest) return ::operator new(bytes);
    const std::size_t c = size_class(bytes);
    if (block* const kept = free_[c]) {
      free_[c] = kept->next;
      kept_ -= c * 16;
      return kept;
    }
    return ::operator new(c * 16 + 8);
  }

  std::array<block*, (largest + 7) / 16 + 1> free_{};
  std::size_t kept_ = 0;
  std::vector<map_entry> large_;
};

}  // namespace confman::detail
