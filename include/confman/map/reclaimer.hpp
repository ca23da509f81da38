// What the current version of the map no longer uses, until nobody can see it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
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
//
// When the whole state is replaced, a new generation begins, with a node pool of its own. The old tree is
// freed in portions once no snapshot of its generation is left, then its pool.
class reclaimer {
 public:
  reclaimer(record_cache& records, epoch_domain& epochs) : records_(records), epochs_(epochs) {
    pools_.push_back({0, std::make_unique<node_pool>()});
  }
  reclaimer(const reclaimer&) = delete;
  reclaimer& operator=(const reclaimer&) = delete;
  // Frees everything. Precondition: no reader, no snapshot.
  CONFMAN_DECL ~reclaimer();

  // The running batch took this node or record (its one reference) out of the tree.
  void retire(trie_ref gone) { waiting_.push_back(gone); }

  // `old` was replaced by a version published in `epoch`, and with it all that was retired since the last
  // call.
  CONFMAN_DECL void superseded(const published_state* old, std::uint64_t epoch);

  // The same for a replacement of the whole state: the tree of `old` isn't used any more, the next one's
  // nodes live in `pool`. Precondition: nothing was retired since the last call.
  CONFMAN_DECL void replaced(const published_state* old, std::uint64_t epoch,
                             std::unique_ptr<node_pool> pool);

  // Of the current generation.
  [[nodiscard]] node_pool& pool() noexcept { return *pools_.back().pool; }
  [[nodiscard]] std::uint64_t generation() const noexcept { return pools_.back().generation; }
  // Pools of which nothing is in use any more, to be destroyed on any thread.
  [[nodiscard]] std::vector<std::unique_ptr<node_pool>>& empty_pools() noexcept { return empty_pools_; }
  // Nodes and versions of all generations.
  [[nodiscard]] CONFMAN_DECL std::size_t blocks_in_use() const noexcept;
  [[nodiscard]] CONFMAN_DECL std::size_t bytes_in_use() const noexcept;

  // Frees or moves at most about `max_work` things. Returns how many were freed.
  CONFMAN_DECL std::size_t collect(std::size_t max_work);

  // Nodes and records that no collect has looked at yet.
  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size(); }
  // The same, what snapshots hold, and the records of replaced states: everything not yet freed.
  [[nodiscard]] CONFMAN_DECL std::size_t backlog() const noexcept;
  [[nodiscard]] std::uint64_t records_released() const noexcept { return records_released_; }

 private:
  // The last `count` of the things waiting that belong to one publication.
  struct bag {
    std::uint64_t epoch;
    std::size_t count;
    const published_state* old;
    std::uint64_t generation;
  };
  // A version that was pinned when it was replaced, and what only it (or an older one) still needs.
  struct pinned {
    const published_state* state;
    std::vector<trie_ref> held;
  };
  // The tree of a state that was replaced as a whole, and how far freeing it has come.
  struct abandoned {
    struct step {
      trie_node* node;
      unsigned place;
    };
    std::uint64_t generation;
    std::uint64_t epoch;
    trie_ref root;
    std::uint64_t records;
    std::vector<step> path;
  };
  struct generation_pool {
    std::uint64_t generation;
    std::unique_ptr<node_pool> pool;
  };

  CONFMAN_DECL std::size_t collect_pinned(std::size_t& work);
  CONFMAN_DECL std::size_t collect_waiting(std::size_t& work);
  CONFMAN_DECL std::size_t collect_abandoned(std::size_t& work);
  CONFMAN_DECL std::size_t free_tree(abandoned& tree, std::size_t& work);
  CONFMAN_DECL bool keep_or_free(trie_ref gone, std::size_t older_pins, std::uint64_t generation);
  CONFMAN_DECL void free_thing(trie_ref gone, std::uint64_t generation) noexcept;
  CONFMAN_DECL void free_state(const published_state* state) noexcept;
  CONFMAN_DECL node_pool& pool_of(std::uint64_t generation) noexcept;

  record_cache& records_;
  epoch_domain& epochs_;
  std::vector<generation_pool> pools_;  // oldest generation first
  std::vector<std::unique_ptr<node_pool>> empty_pools_;
  std::deque<trie_ref> waiting_;  // oldest first; the bags say where each publication's part ends
  std::deque<bag> bags_;
  std::size_t bagged_ = 0;           // how many of waiting_ are in a bag
  std::vector<pinned> pinned_;       // ascending by epoch
  std::deque<abandoned> abandoned_;  // oldest generation first
  std::size_t next_pin_ = 0;         // where the next collect goes on looking for released pins
  std::uint64_t safe_epoch_ = 0;     // no guard sees what was replaced up to here
  std::uint64_t records_released_ = 0;
};

}  // namespace confman::detail

#if !defined(CONFMAN_COMPILED)
#include "confman/map/impl/reclaimer.ipp"
#endif
