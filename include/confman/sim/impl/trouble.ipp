#pragma once

#include <algorithm>

#include "confman/sim/world.hpp"

namespace confman::sim {

CONFMAN_DECL survival world::draw_survival() {
  return dice_.pick(survival::none, survival::some, survival::some, survival::all);
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

// The power of a node will go within so many effects.
CONFMAN_DECL void world::cut_power(node& n, std::uint64_t least, std::uint64_t most) {
  const std::uint64_t effects = dice_.skewed(least, most);
  const bool performed = dice_.coin();
  n.fuse().arm(effects, performed);
  shared_.log.note(step::fuse, n.id(), effects, performed);
}

// The next thing that goes wrong, and when.
CONFMAN_DECL void world::trouble() {
  if (!troubled_) return;
  fault::set allowed[fault::kinds];
  std::size_t count = 0;
  for (unsigned i = 0; i < fault::kinds; ++i)
    if (shared_.plan.faults >> i & 1) allowed[count++] = fault::set{1} << i;
  if (count != 0) strike(allowed[dice_.below(count)]);
  shared_.time.schedule(dice_.skewed(1, 4 * shared_.plan.fault_interval), {event_kind::trouble, 0, 0, 0});
}

CONFMAN_DECL void world::strike(fault::set one) {
  const scenario& plan = shared_.plan;
  node& victim = pick_victim();
  switch (one) {
    case fault::crash:
      if (!victim.up()) return;
      shared_.counts.add(counted::crashes);
      return crash(victim);
    case fault::effect_crash: {
      if (!victim.up()) return;
      return cut_power(victim, 0, 60);
    }
    case fault::power_loss:
      return power_loss();
    case fault::pause: {
      if (!victim.up() || victim.paused()) return;
      const micros length = dice_.skewed(1000, 4 * plan.election_timeout());
      victim.pause();
      shared_.counts.add(counted::pauses);
      shared_.log.note(step::paused, victim.id(), shared_.time.now() + length);
      return shared_.time.schedule(
          length, {event_kind::resume, static_cast<std::uint8_t>(victim.id().value()), victim.run(), 0});
    }
    case fault::stall: {
      const micros until = shared_.time.now() + dice_.skewed(1000, 10 * plan.election_timeout());
      victim.stall_until(until);
      shared_.counts.add(counted::stalls);
      return shared_.log.note(step::stall, victim.id(), until);
    }
    case fault::disk_error: {
      const std::uint64_t calls = dice_.skewed(0, 20);
      victim.platter().fail_after(calls);
      return shared_.log.note(step::disk_error, victim.id(), calls);
    }
    case fault::stop:
      if (!victim.up() || victim.paused()) return;
      shared_.counts.add(counted::stops);
      victim.stop();
      return crash(victim);
    case fault::clock_jump:
      if (!victim.up() || victim.paused()) return;
      shared_.counts.add(counted::clock_jumps);
      victim.jump(dice_.skewed(1, 3 * plan.election_ticks));
      return after(victim);
    case fault::partition:
      return cut_network();
    case fault::leader_cut:
      return cut_leader();
    default:
      return;  // recovery_crash strikes in restart(), leader_crash in after(), rot in spoil(), wipe in
               // lose_disk()
  }
}

CONFMAN_DECL void world::crash(node& n) {
  const bool was_up = n.up();
  lose_calls(n);
  n.crash(draw_survival());
  if (was_up) spoil(n);
  lose_disk(n);
  const micros longest = !troubled_ ? 1000 : shared_.plan.down_time * (dice_.chance(150) ? 6 : 1);
  shared_.time.schedule(dice_.skewed(1000, longest),
                        {event_kind::restart, static_cast<std::uint8_t>(n.id().value()), 0, 0});
}

CONFMAN_DECL void world::restart(node& n) {
  if (n.up() || !in_use_[n.id().value()]) return;
  const bool fragile = troubled_ && (shared_.plan.faults & fault::recovery_crash) != 0 && dice_.chance(400);
  if (fragile) cut_power(n, 0, 60);
  if (n.start()) return shared_.net.haunt(n.id());  // answers to the process before it
  const bool refused = !n.fuse().blown() && n.platter().rotten();
  if (!refused) {
    shared_.counts.add(n.fuse().blown() ? counted::recovery_crashes : counted::disk_errors);
    return crash(n);
  }
  // It says that its log is damaged, which is right, and stays down until somebody restores it: heal().
  shared_.counts.add(counted::refused_disks);
  n.crash(survival::all);
}

// Damage to acknowledged data, on a minority at most: the node must refuse to run on it, or not need it.
CONFMAN_DECL void world::spoil(node& n) {
  if (!troubled_ || (shared_.plan.faults & fault::rot) == 0 || !dice_.chance(100)) return;
  const auto spoilt =
      std::count_if(nodes_.begin(), nodes_.end(), [](const auto& m) { return m->platter().rotten(); });
  if (2 * static_cast<std::size_t>(spoilt) + 2 >= nodes_.size() || !n.platter().rot()) return;
  shared_.log.note(step::rot, n.id());
  shared_.counts.add(counted::rotten_disks);
}

CONFMAN_DECL void world::resume(node& n) {
  if (!n.paused()) return;
  shared_.log.note(step::resumed, n.id());
  const std::vector<event> backlog = n.resume();
  // A client's request may have waited as well, and may be seen before what the peers have sent meanwhile.
  const std::uint64_t reads = troubled_ ? dice_.below(4) : 0;
  for (std::uint64_t i = 0; i < reads && n.up() && !n.dead(); ++i) {
    const auto who = static_cast<std::uint32_t>(dice_.below(clients_.size()));
    issue_read(who, n, call_kind::read_linearizable,
               static_cast<std::uint32_t>(dice_.below(shared_.plan.keys)));
  }
  for (const event& e : backlog) shared_.time.schedule(0, e);
}

CONFMAN_DECL void world::power_loss() {
  shared_.counts.add(counted::power_losses);
  shared_.log.note(step::power_loss, node_id{});
  for (const auto& n : nodes_)
    if (n->up()) crash(*n);  // wipes of disks count one by one
}

CONFMAN_DECL void world::cut_both(node_id a, node_id b) {
  shared_.net.cut(a, b);
  shared_.net.cut(b, a);
}

CONFMAN_DECL void world::cut_network() {
  const std::size_t count = nodes_.size();
  if (count < 3) return;
  shared_.net.heal();
  const auto kind = dice_.below(5);
  const node_id victim = pick_victim().id();
  const auto side = dice_.next();  // one bit per node
  const auto in_side = [&](node_id n) { return (side >> n.value() & 1) != 0; };
  for (std::uint64_t i = 1; i <= count; ++i) {
    for (std::uint64_t j = i + 1; j <= count; ++j) {
      const node_id a(i), b(j);
      const bool touches = a == victim || b == victim;
      if (kind == 0 && in_side(a) != in_side(b)) cut_both(a, b);  // two parts
      if (kind == 1 && touches) cut_both(a, b);                   // one node alone
      if (kind == 2 && in_side(a) != in_side(b))
        shared_.net.cut(in_side(a) ? a : b, in_side(a) ? b : a);  // one way
      if (kind == 3 && !touches && in_side(a) != in_side(b))
        cut_both(a, b);  // a bridge: the victim sees both parts
      if (kind == 4 && j != i + 1 && !(i == 1 && j == count)) cut_both(a, b);  // a ring
    }
  }
  constexpr counted kinds[] = {counted::symmetric_partitions, counted::isolations,
                               counted::one_way_partitions, counted::bridges, counted::rings};
  shared_.counts.add(kinds[kind]);
  shared_.log.note(step::partition, node_id{}, kind);
  shared_.time.schedule(dice_.skewed(1000, 8 * shared_.plan.election_timeout()), {event_kind::heal, 0, 0, 0});
}

// What makes logs diverge: a leader that appends, reaches a few followers with some of it, and disappears.
CONFMAN_DECL void world::cut_leader() {
  node* l = leader();
  if (!l || nodes_.size() < 3) return;
  shared_.net.heal();
  const std::uint64_t reached = dice_.below((nodes_.size() + 1) / 2);
  const std::uint64_t first = dice_.below(nodes_.size());
  std::uint64_t kept = 0;
  for (std::uint64_t i = 0; i < nodes_.size(); ++i) {
    const node_id other(1 + (first + i) % nodes_.size());
    if (other == l->id()) continue;
    if (kept++ >= reached) cut_both(l->id(), other);
  }
  shared_.counts.add(counted::leader_cuts);
  shared_.log.note(step::partition, l->id(), 9);
  if (dice_.chance(700)) cut_power(*l, 4, 60);
  shared_.time.schedule(dice_.skewed(1000, 4 * shared_.plan.election_timeout()), {event_kind::heal, 0, 0, 0});
}

}  // namespace confman::sim
