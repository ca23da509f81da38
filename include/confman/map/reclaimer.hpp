// What the current version of the map no longer uses, until nobody can see it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "confman/config.hpp"
#include "confman/map/epoch.hpp"
#include "confman/map/node_pool.hpp"
#include "confman/map/published_state.hpp"
#include "confman/map/record_cache.hpp"
#include "confman/map/trie_node.hpp"

namespace confman::detail {

// Guards hold things back by time: nothing retired since the oldest guard began is freed, so guards must be
// short. Snapshots hold back by content: of what was retired, only what the pinned version itself contains is
// kept, which is at most one copy of the state per snapshot however long it lives. A node or record of
// version v was made at or before v and retired after it, so for each thing it is enough to know its birth
// and the next older pinned version. Thread safety: the writer's thread.
class reclaimer {
 public:
  reclaimer(node_pool& pool, record_cache& records, epoch_domain& epochs) noexcept
      : pool_(pool), records_(records), epochs_(epochs) {}
  reclaimer(const reclaimer&) = delete;
  reclaimer& operator=(const reclaimer&) = delete;
  // Frees everything. Precondition: no reader, no snapshot.
  CONFMAN_DECL ~reclaimer();

  // The running batch took this node or record (its one reference) out of the tree.
  void retire(trie_ref gone) { waiting_.push_back(gone); }

  // `old` was replaced by a version published in `epoch`, and with it all that was retired since the last
  // call.
  CONFMAN_DECL void superseded(const published_state* old, std::uint64_t epoch);

  // Frees or moves at most about `max_work` things. Returns how many were freed.
  CONFMAN_DECL std::size_t collect(std::size_t max_work);

  // Nodes and records that no collect has looked at yet.
  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size(); }
  // The same and what snapshots hold: everything retired and not yet freed.
  [[nodiscard]] CONFMAN_DECL std::size_t backlog() const noexcept;
  [[nodiscard]] std::uint64_t records_released() const noexcept { return records_released_; }

 private:
  // The last `count` of the things waiting that belong to one publication.
  struct bag {
    std::uint64_t epoch;
    std::size_t count;
    const published_state* old;
  };
  // A version that was pinned when it was replaced, and what only it (or an older one) still needs.
  struct pinned {
    const published_state* state;
    std::vector<trie_ref> held;
  };

  CONFMAN_DECL std::size_t collect_pinned(std::size_t& work);
  CONFMAN_DECL std::size_t collect_waiting(std::size_t& work);
  CONFMAN_DECL bool keep_or_free(trie_ref gone, std::size_t older_pins);
  CONFMAN_DECL void free_thing(trie_ref gone) noexcept;
  CONFMAN_DECL void free_state(const published_state* state) noexcept;

  node_pool& pool_;
  record_cache& records_;
  epoch_domain& epochs_;
  std::deque<trie_ref> waiting_;  // oldest first; the bags say where each publication's part ends
  std::deque<bag> bags_;
  std::size_t bagged_ = 0;        // how many of waiting_ are in a bag
  std::uint64_t safe_epoch_ = 0;  // no guard sees what was replaced up to here
  std::vector<pinned> pinned_;    // ascending by epoch
  std::size_t next_pin_ = 0;      // where the next collect goes on looking for released pins
  std::uint64_t records_released_ = 0;
};

}  // namespace confman::detail

#if !defined(CONFMAN_COMPILED)
#include "confman/map/impl/reclaimer.ipp"
#endif
