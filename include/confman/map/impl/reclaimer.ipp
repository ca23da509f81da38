#pragma once

#include <utility>

#include "confman/map/reclaimer.hpp"

namespace confman::detail {

CONFMAN_DECL reclaimer::~reclaimer() {
  for (const trie_ref gone : waiting_) free_thing(gone);
  for (const bag& b : bags_)
    if (b.old) free_state(b.old);
  for (const pinned& p : pinned_) {
    for (const trie_ref gone : p.held) free_thing(gone);
    free_state(p.state);
  }
}

CONFMAN_DECL void reclaimer::superseded(const published_state* old, std::uint64_t epoch) {
  bags_.push_back({epoch, waiting_.size() - bagged_, old});
  bagged_ = waiting_.size();
}

CONFMAN_DECL std::size_t reclaimer::backlog() const noexcept {
  std::size_t held = 0;
  for (const pinned& p : pinned_) held += p.held.size();
  return waiting_.size() + held;
}

CONFMAN_DECL std::size_t reclaimer::collect(std::size_t max_work) {
  std::size_t work = max_work;
  const std::size_t freed = collect_waiting(work);  // first, because it grows while the map is written
  return freed + collect_pinned(work);
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
      if (!keep_or_free(gone, next_pin_)) ++freed;
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
      if (!keep_or_free(gone, pinned_.size())) ++freed;
    }
    if (b.count == 0) bags_.pop_front();
  }
  return freed;
}

// Of the oldest `older_pins` pinned versions, the youngest that is still held decides: if it doesn't contain
// the thing, no older one does, because the thing was made later.
CONFMAN_DECL bool reclaimer::keep_or_free(trie_ref gone, std::size_t older_pins) {
  for (std::size_t i = older_pins; i-- != 0;) {
    pinned& p = pinned_[i];
    const bool contained = gone.is_record() ? gone.as_record()->modify_revision() <= p.state->revision()
                                            : gone.as_node()->edit() <= p.state->epoch;
    if (!contained) break;
    if (p.state->pins.load(std::memory_order_acquire) == 0) continue;
    p.held.push_back(gone);
    return true;
  }
  free_thing(gone);
  return false;
}

CONFMAN_DECL void reclaimer::free_thing(trie_ref gone) noexcept {
  if (gone.is_record()) {
    ++records_released_;
    records_.release(gone.as_record());
  } else {
    pool_.free(gone.as_node(), gone.as_node()->allocated_bytes());
  }
}

CONFMAN_DECL void reclaimer::free_state(const published_state* state) noexcept {
  state->~published_state();
  pool_.free(const_cast<published_state*>(state), sizeof(published_state));
}

}  // namespace confman::detail
