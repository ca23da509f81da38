#pragma once

#include <limits>
#include <utility>

#include "confman/map/reclaimer.hpp"

namespace confman::detail {

CONFMAN_DECL reclaimer::~reclaimer() {
  std::size_t unlimited = std::numeric_limits<std::size_t>::max();
  for (const bag& b : bags_) {
    for (std::size_t i = 0; i < b.count; ++i, waiting_.pop_front())
      free_thing(waiting_.front(), b.generation);
    if (b.old) free_state(b.old);
  }
  for (const trie_ref gone : waiting_) free_thing(gone, generation());
  for (const pinned& p : pinned_) {
    for (const trie_ref gone : p.held) free_thing(gone, p.state->generation);
    free_state(p.state);
  }
  for (abandoned& tree : abandoned_) free_tree(tree, unlimited);
}

CONFMAN_DECL node_pool& reclaimer::pool_of(std::uint64_t generation) noexcept {
  auto at = pools_.end() - 1;
  while (at->generation != generation) --at;
  return *at->pool;
}

CONFMAN_DECL std::size_t reclaimer::blocks_in_use() const noexcept {
  std::size_t blocks = 0;
  for (const generation_pool& p : pools_) blocks += p.pool->blocks_in_use();
  return blocks;
}

CONFMAN_DECL std::size_t reclaimer::bytes_in_use() const noexcept {
  std::size_t bytes = 0;
  for (const generation_pool& p : pools_) bytes += p.pool->bytes_in_use();
  return bytes;
}

CONFMAN_DECL void reclaimer::replaced(const published_state* old, std::uint64_t epoch,
                                      std::unique_ptr<node_pool> pool) {
  CONFMAN_ASSERT(waiting_.size() == bagged_, "a state is replaced between batches");
  abandoned_.push_back({old->generation, epoch, old->root, old->count, {}});
  superseded(old, epoch);
  const std::uint64_t next = generation() + 1;
  pools_.push_back({next, std::move(pool)});
}

CONFMAN_DECL void reclaimer::superseded(const published_state* old, std::uint64_t epoch) {
  bags_.push_back({epoch, waiting_.size() - bagged_, old, old->generation});
  bagged_ = waiting_.size();
}

CONFMAN_DECL std::size_t reclaimer::backlog() const noexcept {
  std::size_t held = 0;
  for (const pinned& p : pinned_) held += p.held.size();
  for (const abandoned& tree : abandoned_) held += static_cast<std::size_t>(tree.records);
  return waiting_.size() + held;
}

CONFMAN_DECL std::size_t reclaimer::collect(std::size_t max_work) {
  std::size_t work = max_work;
  std::size_t freed = collect_waiting(work);  // first, because it grows while the map is written
  freed += collect_pinned(work);
  return freed + collect_abandoned(work);
}

CONFMAN_DECL std::size_t reclaimer::collect_abandoned(std::size_t& work) {
  std::size_t freed = 0;
  while (!abandoned_.empty() && work != 0) {
    abandoned& tree = abandoned_.front();
    // As long as the bag of its last version waits, guards may read it, or a snapshot may be made.
    if (!bags_.empty() && bags_.front().epoch <= tree.epoch) break;
    if (!pinned_.empty() && pinned_.front().state->generation <= tree.generation) break;
    freed += free_tree(tree, work);
    if (tree.root) break;
    CONFMAN_ASSERT(pools_.front().generation == tree.generation && pools_.front().pool->blocks_in_use() == 0,
                   "a replaced state leaves nothing in its pool");
    empty_pools_.push_back(std::move(pools_.front().pool));
    pools_.erase(pools_.begin());
    abandoned_.pop_front();
  }
  return freed;
}

// Depth first; a node goes after its children.
CONFMAN_DECL std::size_t reclaimer::free_tree(abandoned& tree, std::size_t& work) {
  const std::size_t before = work;
  if (tree.root && tree.path.empty()) {
    if (tree.root.is_record()) {
      free_thing(tree.root, tree.generation);
      tree.root = {};
      tree.records = 0;
      --work;
    } else {
      tree.path.push_back({tree.root.as_node(), 0});
    }
  }
  while (!tree.path.empty() && work != 0) {
    abandoned::step& top = tree.path.back();
    if (top.place == top.node->count()) {
      free_thing(trie_ref(top.node), tree.generation);
      tree.path.pop_back();
      --work;
    } else if (const trie_ref next = top.node->child(top.place++); next.is_record()) {
      free_thing(next, tree.generation);
      --tree.records;
      --work;
    } else {
      tree.path.push_back({next.as_node(), 0});
    }
  }
  if (tree.path.empty()) tree.root = {};
  return before - work;
}

// Gives what released pins held to the next older one that needs it.
CONFMAN_DECL std::size_t reclaimer::collect_pinned(std::size_t& work) {
  std::size_t freed = 0;
  for (std::size_t looked = pinned_.size(); looked != 0 && work != 0; --looked) {
    if (next_pin_ >= pinned_.size()) next_pin_ = 0;
    pinned& p = pinned_[next_pin_];
    --work;
    if (p.state->pins.load(std::memory_order_acquire) != 0) {
      ++next_pin_;
      continue;
    }
    while (!p.held.empty() && work != 0) {
      const trie_ref gone = p.held.back();
      p.held.pop_back();
      --work;
      if (!keep_or_free(gone, next_pin_, p.state->generation)) ++freed;
    }
    if (!p.held.empty()) break;
    free_state(p.state);
    pinned_.erase(pinned_.begin() + static_cast<std::ptrdiff_t>(next_pin_));
  }
  return freed;
}

CONFMAN_DECL std::size_t reclaimer::collect_waiting(std::size_t& work) {
  if (bags_.empty() || work == 0) return 0;
  if (bags_.front().epoch > safe_epoch_) safe_epoch_ = epochs_.oldest_reader();
  std::size_t freed = 0;
  while (!bags_.empty() && bags_.front().epoch <= safe_epoch_ && work != 0) {
    bag& b = bags_.front();
    --work;
    // No guard can take a pin on this version any more, so whether it is pinned is now settled.
    if (const published_state* const old = std::exchange(b.old, nullptr)) {
      if (old->pins.load(std::memory_order_acquire) != 0)
        pinned_.push_back({old, {}});
      else
        free_state(old);
    }
    for (; b.count != 0 && work != 0; --b.count, --bagged_, --work) {
      const trie_ref gone = waiting_.front();
      waiting_.pop_front();
      if (!keep_or_free(gone, pinned_.size(), b.generation)) ++freed;
    }
    if (b.count == 0) bags_.pop_front();
  }
  return freed;
}

// Of the oldest `older_pins` pinned versions, the youngest that is still held decides: if it doesn't contain
// the thing, no older one does, because the thing was made later. Versions of an earlier generation contain
// nothing of this one.
CONFMAN_DECL bool reclaimer::keep_or_free(trie_ref gone, std::size_t older_pins, std::uint64_t generation) {
  for (std::size_t i = older_pins; i-- != 0;) {
    pinned& p = pinned_[i];
    if (p.state->generation != generation) break;
    const bool contained = gone.is_record() ? gone.as_record()->modify_revision() <= p.state->revision()
                                            : gone.as_node()->edit() <= p.state->epoch;
    if (!contained) break;
    if (p.state->pins.load(std::memory_order_acquire) == 0) continue;
    p.held.push_back(gone);
    return true;
  }
  free_thing(gone, generation);
  return false;
}

CONFMAN_DECL void reclaimer::free_thing(trie_ref gone, std::uint64_t generation) noexcept {
  if (gone.is_record()) {
    ++records_released_;
    records_.release(gone.as_record());
  } else {
    pool_of(generation).free(gone.as_node(), gone.as_node()->allocated_bytes());
  }
}

CONFMAN_DECL void reclaimer::free_state(const published_state* state) noexcept {
  node_pool& pool = pool_of(state->generation);
  state->~published_state();
  pool.free(const_cast<published_state*>(state), sizeof(published_state));
}

}  // namespace confman::detail
