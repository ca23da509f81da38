// One key with its value and where they come from, in one allocation; and the handle that keeps one alive.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

#include "confman/config.hpp"
#include "confman/core/ids.hpp"

namespace confman {

namespace detail {
class record_builder;
}

// Immutable once made. The header is 40 bytes, because there is one per key: terms, authors and counters are
// kept in as few bits as nearly all have, and a record for which that's too few (`wide`) carries them in full
// behind its bytes. The index part of `at` is the modify revision. The hash of the value is kept only where
// computing it is slow. Thread safety: any thread may read a record it reached under a guard, a snapshot or a
// map_entry.
class record {
 public:
  // Everything of a record but its bytes.
  struct origin {
    std::uint64_t create_revision = 0;  // the revision that brought the key into being
    version at;                         // the entry that wrote this value
    std::uint64_t key_version = 1;      // how many times the key was written since then; 1 at creation
    std::int64_t timestamp = 0;         // microseconds since the epoch, by the proposer's clock
    node_id author;                     // who proposed it
  };

  record(const record&) = delete;
  record& operator=(const record&) = delete;

  // Key and value are valid as long as the record is kept readable. What the others mean stands at `origin`.
  [[nodiscard]] std::string_view key() const noexcept { return {bytes(), key_bytes()}; }
  [[nodiscard]] std::string_view value() const noexcept { return {bytes() + key_bytes(), value_bytes_}; }
  [[nodiscard]] std::uint64_t create_revision() const noexcept {
    return wide() ? extra(0) : modify_revision_ - (counters_ >> 32);
  }
  // The revision that wrote this value: what compare-exchange compares.
  [[nodiscard]] std::uint64_t modify_revision() const noexcept { return modify_revision_; }
  [[nodiscard]] std::uint64_t key_version() const noexcept {
    return wide() ? extra(1) : counters_ >> 11 & max_key_version;
  }
  [[nodiscard]] version at() const noexcept {
    return {term_t(wide() ? extra(2) : origin_ >> 32), log_index(modify_revision_)};
  }
  [[nodiscard]] std::int64_t timestamp() const noexcept { return timestamp_; }
  [[nodiscard]] node_id author() const noexcept { return node_id(wide() ? extra(3) : origin_ & 0xffffffff); }

  // A hash of key, value and everything else above. Replicas compare sums of these.
  [[nodiscard]] CONFMAN_DECL std::uint64_t content_hash() const noexcept;

  // What the record takes, without the allocator's own overhead.
  [[nodiscard]] std::size_t allocated_bytes() const noexcept {
    return allocation_size(key_bytes(), value_bytes_, wide());
  }

  // A record owned by `references` holders. Precondition: the key is valid, the value smaller than 4 GiB.
  // Throws std::bad_alloc.
  [[nodiscard]] CONFMAN_DECL static record* create(std::string_view key, std::string_view value,
                                                   const origin& from, std::uint32_t references);
  // The same in memory from ::operator new of at least `allocation_size(key, value, from)` bytes.
  [[nodiscard]] static record* create_in(void* memory, std::string_view key, std::string_view value,
                                         const origin& from, std::uint32_t references) noexcept {
    return ::new (memory) record(key, value, from, references);
  }
  [[nodiscard]] static std::size_t allocation_size(std::string_view key, std::string_view value,
                                                   const origin& from) noexcept {
    return allocation_size(key.size(), value.size(), needs_wide(from));
  }
  void acquire() const noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  // The last release frees the record, on whichever thread it happens.
  void release() const noexcept {
    if (release_only()) destroy(this);
  }
  // Gives up a reference and says whether it was the last: then the caller destroys the record and frees its
  // memory.
  [[nodiscard]] bool release_only() const noexcept {
    return references_.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }
  ~record() = default;
  [[nodiscard]] std::uint32_t use_count() const noexcept {
    return references_.load(std::memory_order_relaxed);
  }

 private:
  // Longer values keep their hash behind the bytes, so that replacing one doesn't read all of it again.
  static constexpr std::size_t hash_kept_from = 256;
  static constexpr std::size_t extra_bytes = 4 * sizeof(std::uint64_t);
  static constexpr std::uint64_t wide_mark = 1024;
  static constexpr std::uint64_t max_key_version = (std::uint64_t{1} << 21) - 1;
  static constexpr std::uint64_t max_short = 0xffffffff;  // of term, author and modify minus create revision

  friend class detail::record_builder;

  CONFMAN_DECL record(std::string_view key, std::string_view value, const origin& from,
                      std::uint32_t references) noexcept;
  // With one reference and the key; value and origin are still to come.
  CONFMAN_DECL record(std::string_view key, std::size_t value_bytes) noexcept;
  // Key and value are there: adds the rest. `value_hash` is kept if the value is long enough.
  CONFMAN_DECL void complete(const origin& from, std::uint64_t value_hash) noexcept;

  [[nodiscard]] static bool needs_wide(const origin& from) noexcept {
    return from.at.index.value() - from.create_revision > max_short || from.key_version > max_key_version ||
           from.at.term.value() > max_short || from.author.value() > max_short;
  }
  [[nodiscard]] static std::size_t allocation_size(std::size_t key_bytes, std::size_t value_bytes,
                                                   bool wide) noexcept {
    return sizeof(record) + key_bytes + value_bytes + (wide ? extra_bytes : 0) +
           (value_bytes >= hash_kept_from ? sizeof(std::uint64_t) : 0);
  }
  CONFMAN_DECL static void destroy(const record* dead) noexcept;

  [[nodiscard]] std::size_t key_bytes() const noexcept { return counters_ & 1023; }
  [[nodiscard]] bool wide() const noexcept { return (counters_ & wide_mark) != 0; }
  [[nodiscard]] char* bytes() noexcept { return reinterpret_cast<char*>(this + 1); }
  [[nodiscard]] const char* bytes() const noexcept { return reinterpret_cast<const char*>(this + 1); }
  // Of a wide record: create revision, key version, term, author.
  [[nodiscard]] std::uint64_t extra(std::size_t which) const noexcept {
    std::uint64_t value;
    std::memcpy(&value, bytes() + key_bytes() + value_bytes_ + which * sizeof value, sizeof value);
    return value;
  }

  mutable std::atomic<std::uint32_t> references_;
  std::uint32_t value_bytes_;
  std::uint64_t modify_revision_;
  std::int64_t timestamp_;
  std::uint64_t origin_;  // unless wide: term and author, 32 bits each
  // Modify minus create revision (32 bits), key version (21), wide_mark, key bytes (10).
  std::uint64_t counters_;
};

static_assert(sizeof(record) == 40);

// Keeps one record readable for as long as you like, independent of guards, snapshots and the map itself.
// Copying costs one atomic increment. Thread safety: as shared_ptr.
class map_entry {
 public:
  map_entry() noexcept = default;
  explicit map_entry(const record& r) noexcept : record_(&r) { r.acquire(); }
  map_entry(const map_entry& other) noexcept : record_(other.record_) {
    if (record_) record_->acquire();
  }
  map_entry(map_entry&& other) noexcept : record_(std::exchange(other.record_, nullptr)) {}
  map_entry& operator=(map_entry other) noexcept {
    std::swap(record_, other.record_);
    return *this;
  }
  ~map_entry() {
    if (record_) record_->release();
  }

  // Takes over a reference that the caller already owns.
  [[nodiscard]] static map_entry adopt(const record* r) noexcept {
    map_entry entry;
    entry.record_ = r;
    return entry;
  }

  // Whether there is a record; everything below needs one.
  [[nodiscard]] explicit operator bool() const noexcept { return record_ != nullptr; }
  // Hands the reference over to the caller.
  [[nodiscard]] const record* detach() noexcept { return std::exchange(record_, nullptr); }
  [[nodiscard]] const record& operator*() const noexcept { return *record_; }
  [[nodiscard]] const record* operator->() const noexcept { return record_; }

  // As of `record`; the views are valid as long as this or a copy of it lives.
  [[nodiscard]] std::string_view key() const noexcept { return record_->key(); }
  [[nodiscard]] std::string_view value() const noexcept { return record_->value(); }
  [[nodiscard]] std::uint64_t create_revision() const noexcept { return record_->create_revision(); }
  [[nodiscard]] std::uint64_t modify_revision() const noexcept { return record_->modify_revision(); }
  [[nodiscard]] std::uint64_t key_version() const noexcept { return record_->key_version(); }
  [[nodiscard]] version at() const noexcept { return record_->at(); }
  [[nodiscard]] std::int64_t timestamp() const noexcept { return record_->timestamp(); }
  [[nodiscard]] node_id author() const noexcept { return record_->author(); }

 private:
  const record* record_ = nullptr;
};

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/map/impl/record.ipp"
#endif
