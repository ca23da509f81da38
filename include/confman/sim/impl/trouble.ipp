#pragma once

#include <algorithm>

#include "confman/sim/world.hpp"

namespace confman::sim {

CONFMAN_DECL survival world::draw_survival() {
  return dice_.pick(survival::none, survival::some, survival::some, survival::all, survival::cached,
                    survival::cached);
}

CONFMAN_DECL node* world::leader() {
  node* found = nullptr;
  for (const auto& n : nodes_)
    if (n->leads() && (!found || n->core().term() > found->core().term())) found = n.get();
  return found;
}

// Whatever happens to a leader is more interesting.
CONFMAN_DECL node& world::pick_victim() {
  node* l = dice_.coin() ? leader() : nullptr;
  return l ? *l : *nodes_[dice_.below(nodes_.size())];  // also one that isn't in use: nothing happens
}

CONFMAN_DECL decision world::new_decision(decision_kind kind, const node& n) {
  decision d;
  d.at = shared_.time.now();
  d.kind = kind;
  d.node = static_cast<std::uint8_t>(n.id().value());
  d.seed = dice_.next();
  return d;
}

CONFMAN_DECL void world::draw_aftermath(decision& d) {
  d.survive = draw_survival();
  d.length = dice_.skewed(1000, shared_.plan.down_time * (dice_.chance(150) ? 6 : 1));
}

CONFMAN_DECL void world::draw_fuse(decision& d, std::uint64_t least, std::uint64_t most) {
  d.count = dice_.skewed(least, most);
  d.performed = dice_.coin();
  draw_aftermath(d);
}

// The next thing that goes wrong, and when.
CONFMAN_DECL void world::draw_trouble() {
  trouble_at_ = shared_.time.now() + dice_.skewed(1, 4 * shared_.plan.fault_interval);
  fault::set allowed[fault::kinds];
  std::size_t count = 0;
  for (unsigned i = 0; i < fault::kinds; ++i)
    if (shared_.plan.faults >> i & 1) allowed[count++] = fault::set{1} << i;
  if (count != 0) draw_fault(allowed[dice_.below(count)]);
}

CONFMAN_DECL void world::draw_fault(fault::set one) {
  const micros timeout = shared_.plan.election_timeout();
  decision d = new_decision(decision_kind::crash, pick_victim());
  switch (one) {
    case fault::crash:
      break;
    case fault::effect_crash:
      d.kind = decision_kind::effect_crash;
      draw_fuse(d, 0, 60);
      return perform(d);
    case fault::power_loss:
      d.kind = decision_kind::power_loss;
      d.node = 0;
      break;
    case fault::pause:
      d.kind = decision_kind::pause;
      d.length = dice_.skewed(1000, 10 * timeout);
      return perform(d);
    case fault::stall:
      d.kind = decision_kind::stall;
      d.length = dice_.skewed(1000, std::min<micros>(60'000'000, 30 * timeout));
      return perform(d);
    case fault::disk_error:
      d.kind = decision_kind::disk_error;
      d.count = dice_.skewed(0, 20);
      break;
    case fault::bad_disk:
      d.kind = decision_kind::bad_disk;
      d.failing = dice_.pick(disk::call::read, disk::call::write, disk::call::sync);
      d.count = dice_.skewed(1, 20);
      break;
    case fault::full_disk:
      d.kind = decision_kind::full_disk;
      d.count = dice_.skewed(1, 30);
      break;
    case fault::frozen_clock:
      d.kind = decision_kind::frozen_clock;
      d.count = dice_.skewed(1, 10 * shared_.plan.election_ticks);
      return perform(d);
    case fault::latent_rot:
      d.kind = decision_kind::latent_rot;
      return perform(d);
    case fault::stop:
      d.kind = decision_kind::stop;
      break;
    case fault::clock_jump:
      d.kind = decision_kind::clock_jump;
      d.count = dice_.skewed(1, 3 * shared_.plan.election_ticks);
      return perform(d);
    case fault::partition:
      return draw_partition(d);
    case fault::leader_cut:
      return draw_leader_cut(d);
    default:
      return;  // leader_crash, recovery_crash, rot, rot_tail and wipe answer to something, see below
  }
  draw_aftermath(d);
  perform(d);
}

namespace detail {

inline void cut(decision& d, std::uint64_t from, std::uint64_t to) {
  d.links[from] = static_cast<node_set>(d.links[from] | 1u << to);
}

inline void cut_both(decision& d, std::uint64_t a, std::uint64_t b) {
  cut(d, a, b);
  cut(d, b, a);
}

}  // namespace detail

CONFMAN_DECL void world::draw_partition(decision d) {
  const std::size_t count = nodes_.size();
  const std::uint64_t victim = d.node;
  const auto side = dice_.next();  // one bit per node
  const auto in_side = [&](std::uint64_t n) { return (side >> n & 1) != 0; };
  d.kind = decision_kind::partition;
  d.node = 0;
  d.shape = dice_.pick(cut_shape::halves, cut_shape::isolation, cut_shape::one_way, cut_shape::bridge,
                       cut_shape::ring);
  for (std::uint64_t a = 1; a <= count; ++a) {
    for (std::uint64_t b = a + 1; b <= count; ++b) {
      const bool touches = a == victim || b == victim;
      const bool apart = in_side(a) != in_side(b);
      if (d.shape == cut_shape::halves && apart) detail::cut_both(d, a, b);
      if (d.shape == cut_shape::isolation && touches) detail::cut_both(d, a, b);
      if (d.shape == cut_shape::one_way && apart) detail::cut(d, in_side(a) ? a : b, in_side(a) ? b : a);
      // The victim sees both parts.
      if (d.shape == cut_shape::bridge && !touches && apart) detail::cut_both(d, a, b);
      if (d.shape == cut_shape::ring && b != a + 1 && !(a == 1 && b == count)) detail::cut_both(d, a, b);
    }
  }
  d.length = dice_.skewed(1000, 8 * shared_.plan.election_timeout());
  const bool cuts = std::any_of(d.links.begin(), d.links.end(), [](node_set to) { return to != 0; });
  if (cuts) perform(d);
}

// What makes logs diverge: a leader that appends, reaches a few followers with some of it, and disappears.
CONFMAN_DECL void world::draw_leader_cut(decision d) {
  const node* l = leader();
  if (!l || nodes_.size() < 3) return;
  d.kind = decision_kind::partition;
  d.shape = cut_shape::leader;
  d.node = static_cast<std::uint8_t>(l->id().value());
  const std::uint64_t reached = dice_.below((nodes_.size() + 1) / 2);
  const std::uint64_t first = dice_.below(nodes_.size());
  std::uint64_t kept = 0;
  for (std::uint64_t i = 0; i < nodes_.size(); ++i) {
    const std::uint64_t other = 1 + (first + i) % nodes_.size();
    if (other != d.node && kept++ >= reached) detail::cut_both(d, d.node, other);
  }
  d.length = dice_.skewed(1000, 4 * shared_.plan.election_timeout());
  perform(d);
  if (!dice_.chance(700)) return;
  decision end = new_decision(decision_kind::effect_crash, *l);
  draw_fuse(end, 4, 60);
  perform(end);
}

// --- in answer to something, a moment later

CONFMAN_DECL void world::defer(const decision& d) {
  const auto later = [](micros at, const decision& other) { return at < other.at; };
  pending_.insert(std::upper_bound(pending_.begin(), pending_.end(), d.at, later), d);
}

CONFMAN_DECL void world::react_to_election(const node& n) {
  if ((shared_.plan.faults & fault::leader_crash) == 0 || !dice_.chance(400)) return;
  decision d = new_decision(decision_kind::effect_crash, n);
  ++d.at;
  draw_fuse(d, 0, 40);
  defer(d);
}

// Whoever is asked to stand for election loses its disk in the middle of it. What made it stand, and votes
// for its directory, may reach the next one.
CONFMAN_DECL void world::react_to_hand_over(const node& n) {
  if ((shared_.plan.faults & fault::wipe) == 0 || !n.core().log().last_index() || !dice_.chance(500)) return;
  const micros there_and_back = 2 * (shared_.plan.latency + shared_.plan.jitter);
  decision d = new_decision(decision_kind::crash, n);
  d.at += dice_.skewed(1, there_and_back + 2 * shared_.plan.sync_time);
  d.survive = draw_survival();
  d.length = dice_.skewed(2, 2 + there_and_back);
  defer(d);
  decision wiped = new_decision(decision_kind::wipe, n);
  wiped.at = d.at + 1;
  defer(wiped);
}

CONFMAN_DECL void world::react_to_crash(const node& n, bool was_up) {
  const auto react = [&](fault::set one, decision_kind kind, std::uint64_t per_mille) {
    if ((shared_.plan.faults & one) == 0 || !dice_.chance(per_mille)) return;
    decision d = new_decision(kind, n);
    ++d.at;
    if (kind == decision_kind::recovery_crash) draw_fuse(d, 0, 60);
    defer(d);
  };
  if (was_up) react(fault::rot, decision_kind::rot, 100);
  if (was_up) react(fault::rot_tail, decision_kind::rot_tail, 200);
  react(fault::wipe, decision_kind::wipe, 150);
  react(fault::recovery_crash, decision_kind::recovery_crash, 400);
}

}  // namespace confman::sim
