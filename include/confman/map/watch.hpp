// Watches: the changes of a prefix, in order, without gap or duplicate, or an explicit end that says why.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "confman/config.hpp"
#include "confman/core/ids.hpp"
#include "confman/error.hpp"
#include "confman/map/limits.hpp"
#include "confman/map/record.hpp"
#include "confman/mutants.hpp"

namespace confman {

using watch_id = tagged<struct watch_id_tag>;

enum class change_kind : std::uint8_t { put = 1, erase = 2 };

// One change of one key.
struct change {
  change_kind kind = change_kind::put;
  version at;       // the entry that made it
  map_entry entry;  // put: what was written; erase: what was there before

  [[nodiscard]] std::string_view key() const noexcept { return entry.key(); }
  [[nodiscard]] std::uint64_t revision() const noexcept { return at.index.value(); }
};

// What a watch has for its consumer.
struct change_batch {
  std::vector<change> changes;  // in order of revision
  std::uint64_t first = 0;      // revision of the first change; 0 without changes
  std::uint64_t last = 0;       // revision of the last change; 0 without changes
  // No change of the prefix up to this revision is missing: where a later watch may go on (`after`).
  std::uint64_t through = 0;
  bool more = false;  // there is more to take right now
  // Set once everything was taken of a watch that ended: compacted (the history doesn't reach back that far,
  // or the state was replaced by a later one, and what lies between isn't known change by change),
  // revision_in_future (refused when it began: this member isn't that far yet), watch_lagged (the buffer
  // overflowed: go on after `through`), stopped.
  failure error;
  // compacted: read the prefix at this revision or a later one, then watch after that. 0 otherwise.
  std::uint64_t restart_at = 0;
};

// The bounds of one watch's buffer. What is replayed from the history on add() doesn't count: it's shared
// with it. A value of more than max_piece_bytes is taken in whatever
// the bytes, if nothing else is there.
struct watch_limits {
  std::size_t max_changes = 4096;
  std::size_t max_bytes = std::size_t{4} << 20;
};

// The bounds of the history that all watches share. A value of more than max_piece_bytes may stay
// beyond them until the next change.
struct history_limits {
  std::size_t max_changes = 8192;
  std::size_t max_bytes = std::size_t{16} << 20;
};

// Distributes the changes of one map. The map's writer calls stage(), announce() and dispatch(); everything
// else may be called from any thread, also from a notification. A mutex guards the watches; reads of keys
// never come here. Does no I/O, starts no thread.
class watch_hub {
 public:
  // Called on the writer's thread, without the lock, after the changes are visible to readers of the map:
  // when a watch that had nothing to take has something. Must not throw. May still run while another thread
  // removes the watch.
  using notify_function = std::function<void()>;

  explicit watch_hub(history_limits limits = {}) : limits_(limits) {}
  watch_hub(const watch_hub&) = delete;
  watch_hub& operator=(const watch_hub&) = delete;

  // Watches the keys that start with `prefix` ("" or "/": all of them): the changes after revision `after`,
  // or from now on. `after` may be the current revision of the map, as read through a guard or snapshot. A
  // watch from the past may have something at once: take() after add(), it isn't notified. Errors: compacted
  // (the history doesn't reach back; names floor()), revision_in_future, stopped.
  [[nodiscard]] CONFMAN_DECL result<watch_id> add(std::string_view prefix, std::optional<std::uint64_t> after,
                                                  watch_limits limits, notify_function notify);

  // Takes what is there, at most `max_changes` (but never part of a revision). A watch that fell behind gives
  // all it had buffered, then watch_lagged; a watch that was removed, or whose hub was closed, gives stopped.
  [[nodiscard]] CONFMAN_DECL change_batch
  take(watch_id id, std::size_t max_changes = std::numeric_limits<std::size_t>::max());

  // Ends a watch and frees its buffer. Unknown ids are ignored.
  CONFMAN_DECL void remove(watch_id id);

  // Ends all watches with errc::stopped and notifies them; add() is refused from now on.
  CONFMAN_DECL void close();

  // The smallest `after` that add() accepts: the history holds every change behind this revision.
  [[nodiscard]] CONFMAN_DECL std::uint64_t floor() const;
  // How many watches there are.
  [[nodiscard]] CONFMAN_DECL std::size_t size() const;

  // Writer: a change of the batch being applied. Revisions never go back.
  void stage(change c) { staged_.push_back(std::move(c)); }
  // Writer: `revision` is about to become visible to readers of the map.
  void announce(std::uint64_t revision) noexcept { announced_.store(revision, std::memory_order_release); }
  // Writer: everything staged is visible up to the announced revision: into the history and to the watches.
  CONFMAN_DECL void dispatch();
  // Writer: the state was replaced by that of `revision`, which was announced and is visible. The history
  // starts there. Watches that haven't been offered everything up to there end with compacted; those that
  // have go on. Precondition: nothing is staged.
  CONFMAN_DECL void restart(std::uint64_t revision);
  // Writer: what the last dispatch() or restart() dropped from the history, for the writer to free.
  [[nodiscard]] std::vector<map_entry>& forgotten() noexcept { return forgotten_; }

 private:
  struct watch {
    std::string prefix;
    watch_limits limits;
    notify_function notify;
    std::uint64_t through = 0;  // no change up to here is missing in what was taken
    std::deque<change> buffer;
    std::size_t replayed = 0;    // how many at the front of the buffer came from the history
    std::size_t live_bytes = 0;  // cost of the others
    bool armed = true;           // the consumer has seen the buffer empty: notify on the next change
    failure ended;
    std::uint64_t ended_through = 0;
    std::uint64_t restart_at = 0;
    std::atomic<bool> removed{false};
  };
  using watch_pointer = std::shared_ptr<watch>;
  using watch_list = std::vector<watch_pointer>;

  struct prefix_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  using prefix_index = std::unordered_map<std::string, watch_list, prefix_hash, std::equal_to<>>;

  [[nodiscard]] static std::size_t cost(const change& c) noexcept {
    return sizeof(change) + c.entry->allocated_bytes();
  }
  // Too large for one log entry: its bytes are shared with the map, and no buffer is sized for it.
  [[nodiscard]] static bool is_large(const change& c) noexcept {
    return c.entry.value().size() > max_piece_bytes;
  }
  CONFMAN_DECL void replay(watch& w) const;
  CONFMAN_DECL void offer(const watch_pointer& w, const change& c, watch_list& to_notify,
                          watch_list& lagging);
  CONFMAN_DECL void trim_history();
  CONFMAN_DECL void unlink(const watch_pointer& w);
  CONFMAN_DECL static void end(watch& w, failure why, std::uint64_t through) noexcept;
  CONFMAN_DECL static void notify(const watch_list& watches);

  const history_limits limits_;
  std::vector<change> staged_;               // the writer's
  std::vector<map_entry> forgotten_;         // the writer's
  std::atomic<std::uint64_t> announced_{0};  // set by the writer before it publishes

  mutable std::mutex mutex_;   // guards everything below
  std::uint64_t current_ = 0;  // dispatched up to here
  std::uint64_t floor_ = 0;
  std::deque<change> history_;
  std::size_t history_bytes_ = 0;
  bool closed_ = false;
  watch_id last_id_;
  std::unordered_map<watch_id, watch_pointer> watches_;
  // The watches that haven't ended, by prefix, by its length: a change costs one look per length in use.
  std::map<std::size_t, prefix_index> by_length_;
};

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/map/impl/watch.ipp"
#endif
