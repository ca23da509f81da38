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

// Immutable once made. The header is kept at 56 bytes (with malloc's 8 that makes 64 per key): the index part
// of `at` is the modify revision, and the hash of the value is kept only where computing it again would be
// slow. Thread safety: any thread may read a record it reached under a guard, a snapshot or a map_entry.
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

  [[nodiscard]] std::string_view key() const noexcept { return {bytes(), key_bytes()}; }
  [[nodiscard]] std::string_view value() const noexcept { return {bytes() + key_bytes(), value_bytes_}; }
  [[nodiscard]] std::uint64_t create_revision() const noexcept { return create_revision_; }
  [[nodiscard]] std::uint64_t modify_revision() const noexcept { return modify_revision_; }
  [[nodiscard]] std::uint64_t key_version() const noexcept { return counters_ >> 16; }
  [[nodiscard]] version at() const noexcept { return {term_, log_index(modify_revision_)}; }
  [[nodiscard]] std::int64_t timestamp() const noexcept { return timestamp_; }
  [[nodiscard]] node_id author() const noexcept { return author_; }

  // A hash of key, value and everything else above. Replicas compare sums of these.
  [[nodiscard]] CONFMAN_DECL std::uint64_t content_hash() const noexcept;

  // What the record takes, without the allocator's own overhead.
  [[nodiscard]] std::size_t allocated_bytes() const noexcept {
    return allocation_size(key_bytes(), value_bytes_);
  }

  // A record owned by `references` holders. Precondition: the key is valid, the value smaller than 4 GiB.
  // Throws std::bad_alloc.
  [[nodiscard]] CONFMAN_DECL static record* create(std::string_view key, std::string_view value,
                                                   const origin& from, std::uint32_t references);
  // The same in memory from ::operator new of at least allocation_size().
  [[nodiscard]] static record* create_in(void* memory, std::string_view key, std::string_view value,
                                         const origin& from, std::uint32_t references) noexcept {
    return ::new (memory) record(key, value, from, references);
  }
  // What a record with a key and a value of these sizes takes.
  [[nodiscard]] static std::size_t allocation_size(std::size_t key_bytes, std::size_t value_bytes) noexcept {
    return sizeof(record) + key_bytes + value_bytes +
           (value_bytes >= hash_kept_from ? sizeof(std::uint64_t) : 0);
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

  CONFMAN_DECL record(std::string_view key, std::string_view value, const origin& from,
                      std::uint32_t references) noexcept;

  CONFMAN_DECL static void destroy(const record* dead) noexcept;

  [[nodiscard]] std::size_t key_bytes() const noexcept { return counters_ & 0xffff; }
  [[nodiscard]] char* bytes() noexcept { return reinterpret_cast<char*>(this + 1); }
  [[nodiscard]] const char* bytes() const noexcept { return reinterpret_cast<const char*>(this + 1); }

  mutable std::atomic<std::uint32_t> references_;
  std::uint32_t value_bytes_;
  std::uint64_t create_revision_;
  std::uint64_t modify_revision_;
  term_t term_;
  std::int64_t timestamp_;
  node_id author_;
  std::uint64_t
      counters_;  // key version (48 bits), key bytes (16 bits): beside the key, which lookups compare
};

static_assert(sizeof(record) == 56);

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
