// Reading one version of the map: under a guard (short), or from a snapshot (as long as you like).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "confman/config.hpp"
#include "confman/core/ids.hpp"
#include "confman/map/epoch.hpp"
#include "confman/map/published_state.hpp"
#include "confman/map/record.hpp"
#include "confman/map/trie.hpp"

namespace confman {

namespace detail {
struct map_core;
}

// The lookups that guards and snapshots share. Every call sees the same version of the whole map.
// Complexity of a lookup: one step per byte position in which keys on the way differ; nothing is allocated.
class map_view {
 public:
  // The record of exactly this key, or nullptr. Valid as long as the guard or snapshot, so not of a temporary
  // one: `const auto guard = map.read(); guard.find(key)`.
  [[nodiscard]] const record* find(std::string_view key) const& noexcept {
    return detail::find_record(state_->root, key);
  }
  const record* find(std::string_view key) const&& = delete;
  // The same as a handle that outlives guard, snapshot and map.
  [[nodiscard]] std::optional<map_entry> get(std::string_view key) const noexcept {
    const record* const found = find(key);
    return found ? std::optional<map_entry>(map_entry(*found)) : std::nullopt;
  }

  // Calls `visit(const record&) -> bool` for each key that starts with `prefix` ("": all), in byte order,
  // until it returns false. With `start_after`, only for greater keys: page by passing the last key of the
  // page before, which needs not exist any more.
  template <class Visitor>
  void for_each_prefix(std::string_view prefix, std::string_view start_after, Visitor&& visit) const {
    detail::scan(state_->root, prefix, start_after, visit);
  }
  template <class Visitor>
  void for_each_prefix(std::string_view prefix, Visitor&& visit) const {
    detail::scan(state_->root, prefix, {}, visit);
  }

  // The index of the last entry applied, of whatever kind.
  [[nodiscard]] std::uint64_t revision() const noexcept { return state_->revision(); }
  // The same with its term.
  [[nodiscard]] version at() const noexcept { return state_->at; }
  // How many keys there are.
  [[nodiscard]] std::uint64_t size() const noexcept { return state_->count; }
  // The sum of the content hashes of all keys: depends on what they hold now, not on how it came about.
  [[nodiscard]] std::uint64_t state_hash() const noexcept { return state_->state_hash; }
  // Of everything replicated: keys, sessions with their answers, uploads in progress, log time. Equal on all
  // replicas at the same revision.
  [[nodiscard]] std::uint64_t replica_hash() const noexcept { return state_->replica_hash; }
  // Memory of this version: records, nodes, sessions and uploads as allocated, without the allocator's
  // overhead.
  [[nodiscard]] std::uint64_t approximate_bytes() const noexcept { return state_->bytes; }

 protected:
  explicit map_view(const detail::published_state* state) noexcept : state_(state) {}
  ~map_view() = default;

  const detail::published_state* state_;
};

// The current version, held for the time of a few lookups: while a guard lives, nothing that is replaced can
// be freed. Costs two stores to a cache line of the thread's own. Belongs to the thread that made it (don't
// keep one over a co_await), may be nested, must not outlive the map.
class read_guard : public map_view {
 public:
  read_guard(const read_guard&) = delete;
  read_guard& operator=(const read_guard&) = delete;
  ~read_guard() { detail::epoch_domain::leave(slot_); }

 private:
  friend class map_state;
  explicit read_guard(const detail::epoch_domain& epochs) : read_guard(epochs, epochs.enter()) {}
  read_guard(const detail::epoch_domain& epochs, detail::reader_slot* slot) noexcept
      : map_view(static_cast<const detail::published_state*>(epochs.load_published())), slot_(slot) {}

  detail::reader_slot* slot_;
};

// One version, held for as long as you like, also after the map is gone: it costs at most one extra copy of
// the state. Copying costs two atomic increments. Thread safety: any number of threads may read one; as
// shared_ptr otherwise.
class map_snapshot : public map_view {
 public:
  map_snapshot(const map_snapshot& other) noexcept : map_view(other.state_), core_(other.core_) { pin(); }
  map_snapshot(map_snapshot&& other) noexcept
      : map_view(std::exchange(other.state_, nullptr)), core_(std::move(other.core_)) {}
  map_snapshot& operator=(map_snapshot other) noexcept {
    std::swap(state_, other.state_);
    std::swap(core_, other.core_);
    return *this;
  }
  // The memory is freed by the map's writer, at one of its next collects.
  ~map_snapshot() {
    if (state_) state_->pins.fetch_sub(1, std::memory_order_release);
  }

 private:
  friend class map_state;
  friend class snapshot_encoder;
  // Precondition: `state` is protected by a guard of this thread.
  map_snapshot(std::shared_ptr<const detail::map_core> core, const detail::published_state* state) noexcept
      : map_view(state), core_(std::move(core)) {
    pin();
  }
  void pin() const noexcept {
    if (state_) state_->pins.fetch_add(1, std::memory_order_relaxed);
  }

  std::shared_ptr<const detail::map_core> core_;
};

}  // namespace confman
