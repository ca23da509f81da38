#pragma once

#include <algorithm>
#include <bit>

#include "confman/sim/impl/members.ipp"
#include "confman/sim/world.hpp"

namespace confman::sim {

CONFMAN_DECL micros world::next_decision() const {
  if (!troubled_) return never;
  if (replays_) return next_ < script_.size() ? script_[next_].at : never;
  const micros drawn = std::min(trouble_at_, admin_at_);
  return pending_.empty() ? drawn : std::min(drawn, pending_.front().at);
}

// Carries out, or draws and carries out, what is due now.
CONFMAN_DECL void world::decide() {
  const micros now = shared_.time.now();
  if (replays_) return perform(script_[next_++]);
  if (!pending_.empty() && pending_.front().at <= now) {
    const decision d = pending_.front();
    pending_.pop_front();
    return perform(d);
  }
  if (trouble_at_ <= now) return draw_trouble();
  admin_turn();
}

// Recorded first, so that a list is complete even if the decision ends the run.
CONFMAN_DECL void world::perform(const decision& d) {
  decisions_.push_back(d);
  if (!carry_out(d)) decisions_.pop_back();
}

// False if the decision doesn't apply; nothing has happened then.
CONFMAN_DECL bool world::carry_out(const decision& d) {
  if (d.kind == decision_kind::power_loss) {
    power_loss(d);
    return true;
  }
  if (d.kind == decision_kind::partition) {
    if (nodes_.size() < 3) return false;
    partition(d);
    return true;
  }
  if (d.node == 0 || d.node > nodes_.size()) return false;
  node& n = *nodes_[d.node - 1u];
  switch (d.kind) {
    case decision_kind::disk_error:
    case decision_kind::bad_disk:
    case decision_kind::full_disk:
    case decision_kind::stall:
      strike_disk(d, n);
      return true;
    case decision_kind::recovery_crash:
    case decision_kind::rot:
    case decision_kind::rot_tail:
    case decision_kind::wipe:
      return strike_down(d, n);
    case decision_kind::change:
    case decision_kind::transfer:
    case decision_kind::snapshot:
    case decision_kind::invite:
    case decision_kind::retire:
      return administer(d, n);
    case decision_kind::quorum:
      return false;  // see heal_quorum()
    default:
      return strike(d, n);
  }
}

// Faults of disks, whether the node runs or not.
CONFMAN_DECL void world::strike_disk(const decision& d, node& n) {
  if (d.kind == decision_kind::stall) {
    n.stall_until(shared_.time.now() + d.length);
    shared_.counts.add(counted::stalls);
    return shared_.log.note(step::stall, n.id(), shared_.time.now() + d.length);
  }
  armed_[d.node] = aftermath{d.survive, d.length, d.seed};
  if (d.kind == decision_kind::bad_disk)
    n.platter().fail_calls(d.failing, d.count);
  else if (d.kind == decision_kind::full_disk)
    n.platter().fill_up(d.count);
  else
    n.platter().fail_after(d.count);
  shared_.log.note(step::disk_error, n.id(), d.count, static_cast<std::uint64_t>(d.kind));
}

// Faults of nodes that run.
CONFMAN_DECL bool world::strike(const decision& d, node& n) {
  if (!n.up()) return false;
  switch (d.kind) {
    case decision_kind::latent_rot:
      return latent_rot(n, d.seed);
    case decision_kind::crash:
      shared_.counts.add(counted::crashes);
      crash(n, {d.survive, d.length, d.seed});
      return true;
    case decision_kind::effect_crash:
      arm(n, d);
      return true;
    default:
      break;
  }
  if (n.paused() || (d.kind == decision_kind::stop && n.leaving())) return false;
  if (d.kind == decision_kind::pause) {
    pause(n, d);
  } else if (d.kind == decision_kind::stop) {
    shared_.counts.add(counted::stops);
    stops_[d.node] = {d.survive, d.length, d.seed};
    n.leave();
    after(n);
  } else if (d.kind == decision_kind::frozen_clock) {
    shared_.counts.add(counted::frozen_clocks);
    jump_wall_clock(n, d.seed, -1);
    n.freeze_clock(d.count);
    shared_.log.note(step::clock_jump, n.id(), 0, d.count);
  } else {
    shared_.counts.add(counted::clock_jumps);
    jump_wall_clock(n, d.seed, 1);
    n.jump(d.count);
    after(n);
  }
  return true;
}

// The time of day jumps as well, in half of the cases: by less or more than log time takes from a single
// command (ten seconds), or than makes it forget a clock that went back (an hour).
CONFMAN_DECL void world::jump_wall_clock(const node& n, std::uint64_t seed, std::int64_t sign) {
  dice own(seed);
  if (!own.coin()) return;
  shared_.counts.add(counted::wall_clock_jumps);
  shared_.clients.jump(n.id(), sign * static_cast<std::int64_t>(own.skewed(1, 10'000'000)));
}

// Faults of nodes that are down.
CONFMAN_DECL bool world::strike_down(const decision& d, node& n) {
  if (n.up() || !in_use_[d.node]) return false;
  if (d.kind == decision_kind::rot) return rot(n, d.seed);
  if (d.kind == decision_kind::rot_tail) return rot_tail(n, d.seed);
  if (d.kind == decision_kind::wipe) return wipe(n);
  arm(n, d);
  return true;
}

// The power of a node will go within so many effects.
CONFMAN_DECL void world::arm(node& n, const decision& d) {
  armed_[d.node] = aftermath{d.survive, d.length, d.seed};
  n.fuse().arm(d.count, d.performed);
  shared_.log.note(step::fuse, n.id(), d.count, d.performed);
}

CONFMAN_DECL void world::pause(node& n, const decision& d) {
  n.pause();
  pause_seeds_[d.node] = d.seed;
  shared_.counts.add(counted::pauses);
  shared_.log.note(step::paused, n.id(), shared_.time.now() + d.length);
  shared_.time.schedule(d.length, {event_kind::resume, d.node, n.run(), 0});
}

CONFMAN_DECL void world::power_loss(const decision& d) {
  shared_.counts.add(counted::power_losses);
  shared_.log.note(step::power_loss, node_id{});
  const dice all(d.seed);
  for (const auto& n : nodes_) {
    dice own = dice(all).fork(n->id().value());
    if (!n->up()) continue;
    const survival survive = own.pick(survival::none, survival::some, survival::some, survival::all);
    const micros down = own.skewed(1000, std::max<micros>(1000, d.length));
    crash(*n, {survive, down, own.next()});
  }
}

CONFMAN_DECL void world::partition(const decision& d) {
  shared_.net.heal();
  for (std::size_t from = 1; from <= nodes_.size(); ++from)
    for (std::size_t to = 1; to <= nodes_.size(); ++to)
      if (from != to && (d.links[from] >> to & 1) != 0) shared_.net.cut(node_id(from), node_id(to));
  switch (d.shape) {
    case cut_shape::halves:
      shared_.counts.add(counted::symmetric_partitions);
      break;
    case cut_shape::isolation:
      shared_.counts.add(counted::isolations);
      break;
    case cut_shape::one_way:
      shared_.counts.add(counted::one_way_partitions);
      break;
    case cut_shape::bridge:
      shared_.counts.add(counted::bridges);
      break;
    case cut_shape::ring:
      shared_.counts.add(counted::rings);
      break;
    case cut_shape::leader:
      shared_.counts.add(counted::leader_cuts);
      break;
    case cut_shape::links:
      break;
  }
  int links = 0;
  for (const node_set to : d.links) links += std::popcount(to);
  shared_.log.note(step::partition, node_id(d.node), static_cast<std::uint64_t>(d.shape),
                   static_cast<std::uint64_t>(links));
  shared_.time.schedule(d.length, {event_kind::heal, 0, 0, ++partitions_});
}

// Damage to acknowledged data: the node must refuse to run on it, or not need it.
CONFMAN_DECL bool world::rot(node& n, std::uint64_t seed) {
  if (!fell_[n.id().value()] || (!shared_.plan.ruin && !atlas_.may_rot(n))) return false;
  if (!n.platter().rot(seed)) return false;
  shared_.log.note(step::rot, n.id());
  shared_.counts.add(counted::rotten_disks);
  return true;
}

// The process goes on and knows nothing of it.
CONFMAN_DECL bool world::latent_rot(node& n, std::uint64_t seed) {
  if (!atlas_.may_rot(n) || !n.platter().rot_in_use(seed)) return false;
  shared_.log.note(step::rot, n.id());
  shared_.counts.add(counted::latent_rots);
  return true;
}

// Damage to the very end of a log, which may pass for a torn write.
CONFMAN_DECL bool world::rot_tail(node& n, std::uint64_t seed) {
  const std::optional<log_index> from = n.rottable_tail();
  if (!from || !shared_.judge.may_lose_tail(n.id(), *from)) return false;
  const auto decides = [this](const configuration& c, const auto& counts) { return can_decide(c, counts); };
  if (!atlas_.may_rot_tail(n, decides) || !n.rot_tail(seed)) return false;
  shared_.log.note(step::rot, n.id(), from->value());
  shared_.counts.add(counted::rotten_tails);
  return true;
}

// Somebody replaces a member's disk and starts it as if nothing had happened.
CONFMAN_DECL bool world::wipe(node& n) {
  if (n.platter().rotten() || !may_wipe(n)) return false;
  n.wipe(n.id().value() > shared_.plan.nodes || n.joined());
  shared_.counts.add(counted::wiped_disks);
  return true;
}

// --- the administrator

CONFMAN_DECL bool world::administer(const decision& d, node& n) {
  if (d.kind == decision_kind::invite) return invite(d, n);
  if (d.kind == decision_kind::retire) return retire(d, n);
  if (!n.up() || n.paused() || n.dead()) return false;
  if (d.kind == decision_kind::change) return change(d, n);
  if (d.target > nodes_.size()) return false;
  change_call& call = new_change(n);
  call.what = d.kind == decision_kind::snapshot ? cluster_operation::action::snapshot
                                                : cluster_operation::action::transfer;
  call.target = node_id(d.target);
  submit(call, d, n);
  return true;
}

CONFMAN_DECL bool world::change(const decision& d, node& at) {
  using action = member_change::action;
  constexpr action actions[] = {action::add_voter, action::add_learner, action::remove, action::update};
  const configuration& members = at.core().members();
  std::vector<member_change> changes;
  for (std::size_t i = 0; i < d.edit_count; ++i) {
    const member_edit& e = d.edits[i];
    if (e.node == 0 || e.node > nodes_.size()) continue;
    member_change c;
    c.what = actions[static_cast<std::size_t>(e.what)];
    const member* known = members.find_member(node_id(e.node));
    if (!known && !in_use_[e.node]) continue;
    if (known) c.who = *known;
    c.who.id = node_id(e.node);
    if (!known && e.bound) c.who.incarnation = nodes_[e.node - 1u]->incarnation();
    if (c.what == action::update) c.who.priority = e.priority;
    changes.push_back(std::move(c));
  }
  // The product can't know which members are gone for good, so it carries out what leaves none to decide.
  result<configuration> next = change_one(members, changes);
  if (!next) next = enter_joint(members, changes, true);
  if (next && !can_decide(*next, [](const node&) { return true; })) return false;
  for (const member_change& c : changes)
    if (c.what == action::remove && members.contains(c.who.id)) removed_[c.who.id.value()] = true;
  change_call& call = new_change(at);
  call.what = cluster_operation::action::change_members;
  call.changes = changes;
  const log_index before = at.core().members_at();
  submit(call, d, at);
  if (at.up() && !at.dead() && at.core().members_at() != before) check_change(at, changes);
  return true;
}

// What was asked for and begun is in force at once, or will be when the joint phase ends.
CONFMAN_DECL void world::check_change(const node& at, const std::vector<member_change>& changes) const {
  using action = member_change::action;
  const configuration& now = at.core().members();
  const auto& in = configuration::find;
  for (const member_change& c : changes) {
    const node_id id = c.who.id;
    const bool voter = in(now.incoming, id), learner = in(now.learners, id) || in(now.learners_next, id);
    const bool good = c.what == action::add_voter     ? voter && !learner
                      : c.what == action::add_learner ? learner && !voter
                      : c.what == action::remove
                          ? !voter && !learner
                          : now.contains(id) && now.find_member(id)->priority == c.who.priority;
    if (!good)
      shared_.log.fail(invariant::configuration_safety,
                       "node " + std::to_string(at.id().value()) + " begins a change of members at " +
                           std::to_string(at.core().members_at().value()) +
                           " that doesn't do what was asked for node " + std::to_string(id.value()));
  }
}

CONFMAN_DECL void world::submit(change_call& call, const decision& d, node& at) {
  shared_.log.note(step::change, at.id(), static_cast<std::uint64_t>(d.kind),
                   call.changes.empty() ? call.target.value() : call.changes.front().who.id.value(), call.id);
  call.deadline = at.now() + d.count;
  at.submit(static_cast<cluster_operation&>(call));
  after(at);
}

// A node that isn't in use is started and asks some members to let it join.
CONFMAN_DECL bool world::invite(const decision& d, node& n) {
  std::vector<node_id> contacts;
  for (std::size_t i = 1; i <= nodes_.size(); ++i)
    if (i != d.node && (d.nodes >> i & 1) != 0) contacts.push_back(node_id(i));
  if (in_use_[d.node] || contacts.empty()) return false;
  n.join(std::move(contacts), d.learner, d.priority);
  in_use_[d.node] = true;
  removed_[d.node] = false;
  shared_.counts.add(counted::joins);
  restart(n);
  return true;
}

CONFMAN_DECL bool world::may_retire(const node& n) const {
  const std::size_t id = n.id().value();
  return in_use_[id] && removed_[id] && shared_.judge.committed_members() && !is_member(n) && may_wipe(n);
}

// Who was removed is taken down some time, and its id comes back with an empty directory.
CONFMAN_DECL bool world::retire(const decision& d, node& n) {
  if (!may_retire(n)) return false;
  if (n.up()) {
    lose_calls(n);
    applications_.crashed(n);
    n.crash(d.survive, d.seed);
  }
  n.wipe(true);
  in_use_[d.node] = false;
  armed_[d.node].reset();
  shared_.counts.add(counted::retirements);
  return true;
}

// --- what becomes of nodes

// The power is gone, or the process has given up.
CONFMAN_DECL void world::crash(node& n) {
  const std::size_t id = n.id().value();
  if (armed_[id]) return crash(n, aftermath(*armed_[id]));
  dice own = dice(shared_.plan.seed).fork((std::uint64_t{1} << 32) + id * 1'000'000 + n.run());
  const survival survive =
      own.pick(survival::none, survival::some, survival::some, survival::all, survival::cached);
  const micros down = own.skewed(1000, std::max<micros>(1000, shared_.plan.down_time));
  crash(n, {survive, down, own.next()});
}

CONFMAN_DECL void world::crash(node& n, const aftermath& what) {
  const std::size_t id = n.id().value();
  const bool was_up = n.up();
  lose_calls(n);
  applications_.crashed(n);
  n.crash(what.survive, what.seed);
  armed_[id].reset();
  if (was_up && what.survive == survival::cached) shared_.counts.add(counted::kills);
  for (const auto& other : nodes_)
    if (was_up && other->up() && other->id() != n.id()) shared_.net.peer_ended(other->id(), n.id());
  fell_[id] = was_up;
  shared_.time.schedule(troubled_ ? what.down : 1000,
                        {event_kind::restart, static_cast<std::uint8_t>(id), 0, 0});
  if (troubled_ && !replays_) react_to_crash(n, was_up);
}

CONFMAN_DECL void world::restart(node& n) {
  if (n.up() || !in_use_[n.id().value()]) return;
  // What was damaged while it ran, and is found only now that all are healed, is restored as in heal().
  if (!troubled_ && !shared_.plan.ruin) n.platter().restore();
  if (n.start()) {
    shared_.net.haunt(n.id());  // answers to the process before it
    return applications_.started(n);
  }
  const bool refused = !n.fuse().blown() && n.platter().rotten();
  if (!refused) {
    shared_.counts.add(n.fuse().blown() ? counted::recovery_crashes : counted::disk_errors);
    return crash(n);
  }
  // It says that its log is damaged, which is right, and stays down until somebody restores it: heal().
  shared_.counts.add(counted::refused_disks);
  n.crash(survival::all, 0);
}

CONFMAN_DECL void world::resume(node& n) {
  if (!n.paused()) return;
  shared_.log.note(step::resumed, n.id());
  const std::vector<event> backlog = n.resume();
  // A client's request may have waited as well, and may be seen before what the peers have sent meanwhile.
  dice own(pause_seeds_[n.id().value()]);
  const std::uint64_t reads = troubled_ ? own.below(4) : 0;
  for (std::uint64_t i = 0; i < reads && n.up() && !n.dead(); ++i) {
    const auto who = static_cast<std::uint32_t>(own.below(clients_.size()));
    issue_read(who, n, call_kind::read_linearizable,
               static_cast<std::uint32_t>(own.below(shared_.plan.keys)));
  }
  for (const event& e : backlog) shared_.time.schedule(0, e);
}

}  // namespace confman::sim
