// The replicated state machine: applies committed entries, publishes versions, and never makes a reader wait.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "confman/config.hpp"
#include "confman/core/entry.hpp"
#include "confman/core/ids.hpp"
#include "confman/map/command.hpp"
#include "confman/map/epoch.hpp"
#include "confman/map/log_clock.hpp"
#include "confman/map/map_capture.hpp"
#include "confman/map/map_view.hpp"
#include "confman/map/node_pool.hpp"
#include "confman/map/reclaimer.hpp"
#include "confman/map/record_builder.hpp"
#include "confman/map/record_cache.hpp"
#include "confman/map/session_table.hpp"
#include "confman/map/trie_editor.hpp"
#include "confman/map/upload_table.hpp"
#include "confman/map/watch.hpp"
#include "confman/mutants.hpp"

namespace confman {

namespace detail {

// What snapshots keep alive beyond the map.
struct map_core {
  CONFMAN_DECL map_core();
  CONFMAN_DECL ~map_core();
  map_core(const map_core&) = delete;
  map_core& operator=(const map_core&) = delete;

  // The order matters: the tree gives its memory to the reclaimer's pool.
  record_cache records;
  epoch_domain epochs;
  reclaimer garbage{records, epochs};
  trie_editor<reclaimer> tree{garbage.pool(), garbage};
};

}  // namespace detail

class loaded_map;

// Memory that a map's writer no longer uses and that takes long to give back: large values, whole tables.
// Destroy it on any thread, also after the map.
class discarded_memory {
 public:
  [[nodiscard]] bool empty() const noexcept {
    return records_.empty() && pools_.empty() && sessions_.empty();
  }

 private:
  friend class map_state;
  std::vector<map_entry> records_;
  std::vector<std::unique_ptr<detail::node_pool>> pools_;
  std::vector<std::unique_ptr<detail::session_table>> sessions_;
};

// One writer thread calls apply(), publish() and collect(); any thread reads, without a lock and without
// waiting.
//
// A batch is any number of apply() and then one publish(): readers see all of it or nothing. Applying is
// deterministic: time and author come from the entry. Revision = log index of the entry.
class map_state {
 public:
  // Counters of the writer's thread, for tests and monitoring.
  struct memory_figures {
    std::size_t live_records = 0;  // made and not yet given back by the map (handles may still hold others)
    std::size_t live_nodes = 0;    // nodes and versions
    std::size_t node_bytes = 0;
    std::size_t backlog = 0;  // nodes and records replaced, but not yet freed
    std::size_t sessions = 0;
    std::size_t session_bytes = 0;
    std::size_t uploads = 0;  // in progress
    std::size_t upload_bytes = 0;
    std::size_t discarded = 0;  // things that take_discarded() would give
  };

  // `session_limit`: a rule that must be the same on all members, so that nothing but tests has another one.
  CONFMAN_DECL explicit map_state(history_limits history = {}, std::size_t session_limit = max_sessions);
  // Precondition: no guard is left. Snapshots and entries may outlive the map. Watches aren't notified: call
  // watches().close() before.
  ~map_state() = default;
  map_state(const map_state&) = delete;
  map_state& operator=(const map_state&) = delete;

  // Writer: applies one committed entry. Its index must be larger than all before. No-ops and configurations
  // only advance the revision, as does a command that can't be decoded (code bad_command), whose comparison
  // fails (compare_failed), whose upload isn't complete (upload_expired), or that its session refuses
  // (session_expired, busy: see detail::session_table). A write that its session knows gets the answer it got
  // before. Erasing a key that isn't there succeeds with existed = false. Throws std::bad_alloc.
  CONFMAN_DECL apply_result apply(const entry& e);

  // Writer: applies the entries at(0) to at(count - 1) and calls `answered(const entry&, const
  // apply_result&)` for each. Faster than one by one when the map is larger than the cache: the places of a
  // group of entries are fetched together.
  template <class At, class Answered>
  void apply_all(std::size_t count, At&& at, Answered&& answered) {
    const entry* group[prepared_together] = {};
    for (std::size_t first = 0; first < count; first += prepared_together) {
      const std::size_t size = std::min(prepared_together, count - first);
      for (std::size_t i = 0; i < size; ++i) group[i] = &at(first + i);
      prepare(group, size);
      for (std::size_t i = 0; i < size; ++i) answered(*group[i], apply(*group[i]));
    }
  }

  // Writer: makes everything applied visible, at once, to readers and then to the watches. Frees a bounded
  // amount of what earlier batches replaced. Does nothing if nothing was applied.
  CONFMAN_DECL void publish();

  // Writer: frees memory that no reader can see any more, at most about `max_work` nodes and records. Call it
  // now and then (from a tick) while there is nothing to publish. Returns how many were freed.
  CONFMAN_DECL std::size_t collect(std::size_t max_work = 4096);

  // Writer: what is large and no longer used. Whoever calls this regularly spares the writer the time to free
  // it; otherwise collect() frees one such thing per call, and publish() all beyond the first few.
  [[nodiscard]] CONFMAN_DECL discarded_memory take_discarded();

  // Writer: the whole state, by reference, in microseconds. Precondition: everything applied is published.
  [[nodiscard]] CONFMAN_DECL map_capture capture() const;

  // Writer: replaces the state by a later one and publishes it. What guards, snapshots, captures and entries
  // hold of the old one stays valid; the rest is freed by later collects. The history of the watches begins
  // at the new revision; watches that were behind it end with errc::compacted. Preconditions: everything
  // applied is published, and the new state isn't older. Throws std::bad_alloc.
  CONFMAN_DECL void adopt(loaded_map&& loaded);

  // Writer: the last entry applied, published or not.
  [[nodiscard]] version applied() const noexcept { return next_.at; }
  [[nodiscard]] CONFMAN_DECL memory_figures memory() const noexcept;

  // Any thread: the current version, for a few lookups (see read_guard). The first read of a thread allocates
  // its slot.
  [[nodiscard]] read_guard read() const { return read_guard(core_->epochs); }
  // Any thread: one key's entry as a handle, or nothing.
  [[nodiscard]] std::optional<map_entry> get(std::string_view key) const { return read().get(key); }
  // Any thread: the current version, for as long as you like. Takes well under a microsecond, whatever the
  // size.
  [[nodiscard]] map_snapshot snapshot() const {
    const read_guard guard = read();
    return map_snapshot(core_, guard.state_);
  }
  [[nodiscard]] std::uint64_t revision() const { return read().revision(); }

  // Any thread: the watches on this map.
  [[nodiscard]] watch_hub& watches() noexcept { return watches_; }

 private:
  // The version being built.
  struct next_version {
    version at;
    std::uint64_t count = 0;
    std::uint64_t hash = 0;
    std::uint64_t record_bytes = 0;
  };

  static constexpr std::size_t prepared_together = 16;
  static constexpr std::size_t expired_per_entry = 8;  // sessions
  static constexpr std::size_t kept_discarded = 16;    // large records, before publish() frees some

  // Brings what the entries will touch into the cache; changes nothing.
  CONFMAN_DECL void prepare(const entry* const* entries, std::size_t count) const noexcept;
  CONFMAN_DECL void write(const command_view& command, apply_result& answer);
  // What needs sessions or uploads.
  CONFMAN_DECL void apply_special(const command_view& command, apply_result& answer);
  CONFMAN_DECL void write_in_session(const command_view& command, apply_result& answer);
  CONFMAN_DECL void expire();
  CONFMAN_DECL void drop_upload(map_entry&& memory);
  CONFMAN_DECL void put(const command_view& command, const record* existing, detail::record_builder* upload);
  [[nodiscard]] CONFMAN_DECL std::uint64_t replica_hash() const noexcept;
  CONFMAN_DECL void erase(const record* existing);
  CONFMAN_DECL void discard(const record* replaced);

  std::shared_ptr<detail::map_core> core_;
  watch_hub watches_;
  next_version next_;
  detail::log_clock clock_;
  std::unique_ptr<detail::session_table> sessions_;
  detail::upload_table uploads_;
  std::vector<std::unique_ptr<detail::session_table>> old_sessions_;  // to be discarded
  bool changed_ = false;                                              // applied since the last publish
  std::uint64_t published_revision_ = 0;
  std::uint64_t records_created_ = 0;
  std::uint64_t records_discarded_ = 0;
  // publish() collects when this many more things are waiting than its last collect left.
  static constexpr std::size_t collect_portion = 1024;
  std::size_t collect_at_ = collect_portion;
  std::size_t retired_before_ = 0;
};

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/map/impl/map_state.ipp"
#endif
