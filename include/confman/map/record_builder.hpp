// A record whose value arrives in pieces: allocated once, filled in place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "confman/config.hpp"
#include "confman/map/content_hash.hpp"
#include "confman/map/record.hpp"

namespace confman::detail {

// Bytes below filled() never change, so whoever holds share() may read them on any thread while more are
// appended. Everything else: the owner's thread.
class record_builder {
 public:
  // Precondition: a valid key, a value of at most max_large_value_bytes. Throws std::bad_alloc.
  CONFMAN_DECL record_builder(std::string_view key, std::size_t total);

  [[nodiscard]] std::string_view key() const noexcept { return key_; }
  [[nodiscard]] std::size_t total() const noexcept { return total_; }
  [[nodiscard]] std::size_t filled() const noexcept { return filled_; }
  [[nodiscard]] std::string_view value() const noexcept { return {key_.data() + key_.size(), filled_}; }
  // Of key and value so far; the same however the pieces were cut.
  [[nodiscard]] std::uint64_t hash() const noexcept {
    return hash_content(hasher_.so_far(value().data(), filled_), key_) + filled_;
  }
  // What it takes, without the allocator's own overhead.
  [[nodiscard]] std::size_t allocated_bytes() const noexcept { return allocation_size(key_.size(), total_); }

  // Precondition: no more than total() in all.
  CONFMAN_DECL void append(std::string_view bytes) noexcept;

  // Keeps the memory, to read key() and value() as they are now. Nothing of the handle itself may be used.
  [[nodiscard]] map_entry share() const noexcept { return building_; }

  // The record, owned by `references` holders besides those who share it. Precondition: filled.
  [[nodiscard]] CONFMAN_DECL const record* seal(const record::origin& from,
                                                std::uint32_t references) noexcept;
  // Given up: the handle keeps the memory.
  [[nodiscard]] map_entry abandon() noexcept { return std::move(building_); }

 private:
  // Room for the widest origin, and for the rounding of record_cache.
  [[nodiscard]] static std::size_t allocation_size(std::size_t key_bytes, std::size_t total) noexcept {
    return record::allocation_size(key_bytes, total, true) + 16;
  }

  map_entry building_;
  std::string_view key_;  // in the record
  std::size_t total_;
  std::size_t filled_ = 0;
  content_hasher hasher_;
};

}  // namespace confman::detail

#if !defined(CONFMAN_COMPILED)
#include "confman/map/impl/record_builder.ipp"
#endif
