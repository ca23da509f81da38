#pragma once

#include <algorithm>
#include <stdexcept>
#include <string>

#include "confman/sim/impl/decisions.ipp"
#include "confman/sim/world.hpp"

namespace confman::sim {

namespace detail {

inline const scenario& possible(const scenario& plan) {
  if (const char* why = impossible(plan)) throw std::invalid_argument(std::string("scenario: ") + why);
  return plan;
}

// A script may have decisions that its scenario wouldn't draw: nodes that are strangers to others are to be
// expected then, too.
inline scenario with_strangers(scenario plan, const std::vector<decision>& decisions) {
  const bool some = std::any_of(decisions.begin(), decisions.end(), [](const decision& d) {
    return d.kind == decision_kind::wipe || d.kind == decision_kind::change ||
           d.kind == decision_kind::invite || d.kind == decision_kind::retire;
  });
  if (some) plan.faults |= fault::wipe;
  return plan;
}

}  // namespace detail

CONFMAN_DECL world::world(const scenario& plan, bool echo) : world(plan, {}, false, echo) {}

CONFMAN_DECL world::world(const scenario& plan, std::vector<decision> decisions, bool echo)
    : world(plan, std::move(decisions), true, echo) {}

CONFMAN_DECL world::world(const scenario& plan, std::vector<decision>&& decisions, bool replays, bool echo)
    : shared_(detail::with_strangers(detail::possible(plan), decisions), echo),
      dice_(dice(plan.seed).fork(1)),
      clients_(plan.clients),
      replays_(replays),
      script_(std::move(decisions)),
      led_(plan.nodes + plan.spares + 1),
      armed_(plan.nodes + plan.spares + 1),
      stops_(plan.nodes + plan.spares + 1),
      pause_seeds_(plan.nodes + plan.spares + 1),
      fell_(plan.nodes + plan.spares + 1),
      in_use_(plan.nodes + plan.spares + 1),
      removed_(plan.nodes + plan.spares + 1) {
  const dice all = dice(plan.seed).fork(3);
  for (std::size_t i = 0; i < clients_.size(); ++i) clients_[i].own = dice(all).fork(i);
  for (unsigned i = 1; i <= plan.nodes + plan.spares; ++i)
    nodes_.push_back(std::make_unique<node>(shared_, node_id(i)));
  const auto is_quorum = [](const decision& d) { return d.kind == decision_kind::quorum; };
  const auto quorum = std::find_if(script_.begin(), script_.end(), is_quorum);
  if (quorum != script_.end()) quorum_script_ = *quorum;
  std::erase_if(script_, is_quorum);
  std::stable_sort(script_.begin(), script_.end(),
                   [](const decision& a, const decision& b) { return a.at < b.at; });
}

// The groups still know calls that wait, so they go first.
CONFMAN_DECL world::~world() {
  nodes_.clear();
}

CONFMAN_DECL outcome world::run() {
  const scenario& plan = shared_.plan;
  shared_.counts.add(counted::nodes, plan.nodes);
  shared_.counts.add(counted::mixed_worlds, plan.mixed ? 1 : 0);
  for (const auto& n : nodes_) shared_.counts.add(counted::slow_nodes, n->slow() ? 1 : 0);
  for (unsigned i = 1; i <= plan.nodes; ++i) in_use_[i] = true;
  for (unsigned i = 0; i < plan.nodes; ++i)
    if (!nodes_[i]->start()) shared_.log.fail(invariant::harness, "a node can't start on an empty disk");
  for (unsigned i = 0; i < plan.nodes; ++i) applications_.started(*nodes_[i]);
  for (std::uint32_t i = 0; i < plan.clients; ++i)
    shared_.time.schedule(clients_[i].own.below(plan.election_timeout()), {event_kind::client, 0, 0, i});
  if (!applications_.used()) watchers_.start();
  if (plan.faults != 0) trouble_at_ = dice_.below(2 * plan.election_timeout());
  if (plan.churn_interval != 0)
    admin_at_ = dice_.below(2 * plan.churn_interval) + 2 * plan.election_timeout();
  run_until(plan.safety, [] { return false; });
  if (plan.ruin) {
    ruin();
  } else {
    check_liveness();
    check_stability();
    converge();
  }
  for (const auto& n : nodes_) {
    const disk::counters& d = n->platter().counted();
    shared_.counts.add(counted::sectors_lost, d.sectors_lost);
    shared_.counts.add(counted::sectors_torn, d.sectors_torn);
    shared_.counts.add(counted::names_lost, d.names_lost);
    shared_.counts.add(counted::disk_errors, d.errors);
    shared_.counts.add(counted::failed_disk_reads, d.failed_reads);
    shared_.counts.add(counted::failed_disk_writes, d.failed_writes);
    shared_.counts.add(counted::failed_syncs, d.failed_syncs);
    shared_.counts.add(counted::failed_name_syncs, d.failed_name_syncs);
    shared_.counts.add(counted::misdirected_sectors, d.misdirected);
    shared_.counts.add(counted::lasting_errors, d.lasting);
    shared_.counts.add(counted::full_disks, d.no_space);
    shared_.counts.add(counted::lost_writes, d.lost_writes);
  }
  shared_.counts.add(counted::events, shared_.time.taken());
  shared_.counts.add(counted::virtual_ms, shared_.time.now() / 1000);
  return {shared_.counts, shared_.log.hash(), shared_.log.count()};
}

// --- time

template <class Done>
bool world::run_until(micros end, Done&& done) {
  // A world that does this much in its time is one that goes round in circles.
  constexpr std::uint64_t limit = 20'000'000;
  for (;;) {
    const micros next = shared_.time.empty() ? never : shared_.time.next_at();
    // A decision comes before all events of its microsecond. Then a run that carries out a list of them has
    // the same order as the one that they were drawn in, whose queue of events doesn't know of them either.
    const micros decision_at = next_decision();
    if (decision_at <= next && decision_at <= end) {
      shared_.time.wait_until(decision_at);
      shared_.log.at(shared_.time.now());
      decide();
      continue;
    }
    if (next > end || next == never) break;
    const event e = shared_.time.take();
    shared_.log.at(shared_.time.now());
    dispatch(e);
    if (done()) return true;
    if (shared_.time.taken() > limit) shared_.log.fail(invariant::liveness, "millions of events and no end");
  }
  shared_.time.wait_until(end);
  shared_.log.at(end);
  return false;
}

CONFMAN_DECL void world::dispatch(const event& e) {
  switch (e.kind) {
    case event_kind::client:
      return client_turn(e.slot);
    case event_kind::watcher:
      return watchers_.turn(e.slot);
    case event_kind::heal:
      if (troubled_ && e.slot == partitions_) heal_network();
      return;
    default:
      break;
  }
  node& n = *nodes_[e.node - 1u];
  if (e.kind == event_kind::restart) {
    restart(n);
  } else if (e.kind == event_kind::resume) {
    if (n.run() == e.run) resume(n);
  } else if (e.kind != event_kind::deliver && e.kind != event_kind::unreachable &&
             (!n.up() || n.run() != e.run)) {
    return;  // of a process that is gone
  } else if (n.up() && n.paused()) {
    return n.keep_for_later(e);
  } else {
    dispatch_to(n, e);
  }
  after(n);
}

CONFMAN_DECL void world::dispatch_to(node& n, const event& e) {
  switch (e.kind) {
    case event_kind::tick:
      return n.tick();
    case event_kind::pump:
      return n.pump();
    case event_kind::application:
      return applications_.call_back(e);
    case event_kind::watched:
      return watchers_.look(e.slot);
    case event_kind::unreachable:
      if (n.up()) n.unreachable(node_id(e.slot));
      return;
    case event_kind::deliver: {
      std::optional<result<message>> m = shared_.net.take(e.slot);
      if (!m) return;
      if (!*m) shared_.log.fail(invariant::harness, "the codec and a message: " + m->error().what);
      const node_id from(e.run);
      if (!n.up() || !shared_.net.connected(from, n.id())) {
        const loss why = n.up() ? loss::cut : loss::nobody;
        return shared_.net.lose(from, n.id(), why, counted::cut_messages);
      }
      const bool stands = std::holds_alternative<timeout_now>((*m)->body);
      n.receive(std::move(**m));
      if (stands && troubled_ && !replays_) react_to_hand_over(n);
      return;
    }
    default:
      return n.disk_event(e.kind);
  }
}

// After anything that a node did: takes it down if its power is gone.
CONFMAN_DECL void world::after(node& n) {
  if (!n.up()) return;
  if (n.dead()) {
    if (n.fuse().blown()) shared_.counts.add(counted::effect_crashes);
    return crash(n);
  }
  if (n.left()) return crash(n, aftermath(stops_[n.id().value()]));
  if (!n.leads()) return;
  if (!quorum_.empty()) keep_quorum(n);
  if (led_[n.id().value()] == n.core().term()) return;
  led_[n.id().value()] = n.core().term();
  shared_.net.haunt(n.id());
  if (troubled_ && !replays_) react_to_election(n);
}

// --- the end

CONFMAN_DECL void world::heal_network() {
  shared_.net.heal();
  shared_.log.note(step::heal, node_id{});
}

CONFMAN_DECL void world::heal(node& n) {
  n.fuse().disarm();
  n.platter().stop_failing();
  n.stall_until(0);
  armed_[n.id().value()].reset();
  n.freeze_clock(0);
  if (!n.up()) n.platter().restore();
  resume(n);
  restart(n);
}

// For whoever reads a failure.
CONFMAN_DECL std::string world::describe_nodes() const {
  const auto list = [this](const std::vector<member>& members) {
    std::string text;
    for (const member& m : members)
      text += ' ' + std::to_string(m.id.value()) +
              (!m.incarnation                                             ? "?"
               : m.incarnation == nodes_[m.id.value() - 1]->incarnation() ? ""
                                                                          : "!");
    return text;
  };
  std::string text;
  for (const auto& n : nodes_) {
    text += "\n  node " + std::to_string(n->id().value()) + ": ";
    text += !in_use_[n->id().value()] ? "not in use"
            : !n->up()                ? "down"
            : n->paused()             ? "paused"
            : n->leaving()            ? "leaving"
                                      : "up";
    if (std::find(quorum_.begin(), quorum_.end(), n->id()) != quorum_.end()) text += ", healed";
    if (!n->up()) continue;
    const raft_core& c = n->core();
    text += ", role " + std::to_string(static_cast<int>(c.role())) + ", term " +
            std::to_string(c.term().value()) + ", vote " + std::to_string(c.vote().value()) + ", leader " +
            std::to_string(c.leader().value()) + ", log " + std::to_string(c.log().first_index().value()) +
            " to " + oracle::show(c.log().last()) + ", applied " + std::to_string(c.applied().value()) +
            ", commit " + std::to_string(c.commit().value()) + ", members at " +
            std::to_string(c.members_at().value()) + ":" + list(c.members().incoming) + " |" +
            list(c.members().outgoing) + " | learners" + list(c.members().learners);
  }
  return text;
}

// Half of the worlds heal everything; the others leave a minority broken, which must not matter.
CONFMAN_DECL decision world::draw_quorum() {
  decision d;
  d.at = shared_.time.now();
  d.kind = decision_kind::quorum;
  std::vector<node_id> ids;
  for (const auto& n : nodes_)
    if (in_use_[n->id().value()]) ids.push_back(n->id());
  for (std::size_t i = ids.size(); i > 1; --i) std::swap(ids[i - 1], ids[dice_.below(i)]);
  // A leader that is left out, and perhaps still heard, is more interesting.
  if (const node* l = dice_.coin() ? leader() : nullptr)
    std::stable_partition(ids.begin(), ids.end(), [l](node_id id) { return id != l->id(); });
  // As many as must be, and some more.
  std::size_t healed = ids.size();
  if (dice_.coin()) {
    std::vector<bool> in(nodes_.size() + 1);
    for (healed = 0; healed < ids.size() && !sufficient(in); ++healed) in[ids[healed].value()] = true;
    healed = dice_.between(healed, ids.size());
  }
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto how = dice_.below(3);
    node_set& set = i < healed ? d.nodes : how == 1 ? d.deaf : d.mute;
    if (i < healed || how != 0) set = static_cast<node_set>(set | 1u << ids[i].value());
  }
  return d;
}

CONFMAN_DECL void world::heal_quorum() {
  troubled_ = false;
  shared_.log.note(step::phase, node_id{}, 2);
  shared_.net.calm();
  heal_network();
  decision d;
  d.nodes = static_cast<node_set>(~0u);
  if (quorum_script_) d = *quorum_script_;
  if (!replays_) d = draw_quorum();
  if (!replays_ || quorum_script_) decisions_.push_back(d);
  healed_at_ = shared_.time.now();
  heal_these(d);
}

// All of them, if those in the decision couldn't go on.
CONFMAN_DECL void world::heal_these(const decision& d) {
  std::vector<bool> healed(nodes_.size() + 1);
  for (std::size_t i = 1; i <= nodes_.size(); ++i) healed[i] = in_use_[i] && (d.nodes >> i & 1) != 0;
  if (!sufficient(healed)) healed = in_use_;
  for (std::size_t i = 1; i <= nodes_.size(); ++i) {
    if (!in_use_[i]) continue;
    const node_id id(i);
    if (healed[i]) {
      quorum_.push_back(id);
      continue;
    }
    // Who can be heard could still become a voter, and then the healed ones would no longer be enough.
    const bool votes = votes_somewhere(id);
    for (const auto& other : nodes_) {
      if (!votes || (d.deaf >> i & 1) == 0) shared_.net.cut(id, other->id());  // it isn't heard
      if (!votes || (d.mute >> i & 1) == 0) shared_.net.cut(other->id(), id);  // it hears nothing
    }
    nodes_[i - 1]->fuse().disarm();
  }
  for (const node_id id : quorum_) heal(*nodes_[id.value() - 1]);
}

// A change that was on its way when the quorum was chosen, and a learner's promotion is one, may make others
// necessary: then all are healed, and what is asked of them begins anew.
CONFMAN_DECL void world::keep_quorum(const node& leader) {
  const std::pair<term_t, log_index> now{leader.core().term(), leader.core().members_at()};
  const auto in_use = static_cast<std::size_t>(std::count(in_use_.begin(), in_use_.end(), true));
  if ((quorum_.size() == in_use && !hidden_) || now == judged_) return;
  if (std::count(quorum_.begin(), quorum_.end(), leader.id()) == 0) return;
  judged_ = now;
  std::vector<bool> healed(nodes_.size() + 1);
  for (const node_id id : quorum_) healed[id.value()] = id != hidden_;
  if (sufficient(healed)) return;
  shared_.log.note(step::phase, node_id{}, 5);
  heal_network();
  hidden_ = node_id{};
  for (const auto& n : nodes_) {
    if (!in_use_[n->id().value()] || std::count(quorum_.begin(), quorum_.end(), n->id()) != 0) continue;
    quorum_.push_back(n->id());
    heal(*n);
  }
  healed_at_ = shared_.time.now();
}

CONFMAN_DECL bool world::votes_somewhere(node_id id) const {
  return std::any_of(nodes_.begin(), nodes_.end(),
                     [&](const auto& n) { return shared_.judge.members_of(n->id()).is_voter(id); });
}

// Whether these nodes must be able to go on: they are majorities of the newest committed configuration and of
// each that may follow it, on the disks that these are bound to. As long as a configuration isn't committed,
// that on a node left out may be the one that the others need.
CONFMAN_DECL bool world::sufficient(const std::vector<bool>& healed) const {
  const oracle& judge = shared_.judge;
  // The first election needs every voter (docs/adr/0002).
  if (!judge.committed_members()) {
    for (unsigned i = 1; i <= shared_.plan.nodes; ++i)
      if (!healed[i]) return false;
    return true;
  }
  const auto majority = [&](const configuration& c) {
    return can_decide(c, [&](const node& n) { return healed[n.id().value()]; });
  };
  return judge.for_possible_members(majority);
}

// When the healed ones must have served. With a narrow window a follower far behind needs a round trip per
// entry before it can help to commit; one that must be sent a snapshot in crumbs needs as long.
CONFMAN_DECL micros world::serve_by() {
  const micros usual = 20 * shared_.plan.election_timeout(), longest = 10 * usual;
  const auto any = [this](auto&& is) {
    return std::any_of(quorum_.begin(), quorum_.end(),
                       [&](node_id id) { return is(nodes_[id.value() - 1]->settings()); });
  };
  if ((any(is_narrow) && lacks_entries()) || (any(sends_crumbs) && lacks_snapshot()))
    behind_at_ = shared_.time.now();
  return std::min(std::max(healed_at_, behind_at_) + usual, healed_at_ + longest);
}

// Whether one of the healed ones is down, or its log ends more than `slack` before the greatest index that
// `what` gives of the others' logs.
template <class What>
bool world::is_behind(What&& what, std::uint64_t slack) const {
  log_index most;
  for (const node_id id : quorum_)
    if (const node& n = *nodes_[id.value() - 1]; n.up()) most = std::max(most, what(n.core().log()));
  return std::any_of(quorum_.begin(), quorum_.end(), [&](node_id id) {
    const node& n = *nodes_[id.value() - 1];
    return !n.up() || n.core().log().last_index() + slack < most;
  });
}

// Whether one of the healed ones lacks more than a few entries that another one of them has.
CONFMAN_DECL bool world::lacks_entries() const {
  constexpr std::uint64_t few = 4;
  return is_behind([](const log_view& log) { return log.last_index(); }, few);
}

// Whether one of the healed ones lacks what no other one's log holds any more.
CONFMAN_DECL bool world::lacks_snapshot() const {
  return is_behind([](const log_view& log) { return log.first_index(); }, 1);
}

CONFMAN_DECL void world::check_liveness() {
  heal_quorum();
  dice own = dice(shared_.plan.seed).fork(4);
  const micros timeout = shared_.plan.election_timeout();
  // More clients have no right to be served then.
  const bool narrow =
      std::any_of(nodes_.begin(), nodes_.end(), [](const auto& n) { return is_narrow(n->settings()); });
  if (narrow) clients_active_ = false;
  const auto leads = [this] {
    return std::any_of(quorum_.begin(), quorum_.end(),
                       [this](node_id id) { return nodes_[id.value() - 1]->leads(); });
  };
  const auto wait_for_leader = [&] {
    while (!leads() && shared_.time.now() < healed_at_ + 10 * timeout)
      run_until(healed_at_ + 10 * timeout, leads);
    return leads();
  };
  if (!wait_for_leader())
    shared_.log.fail(invariant::liveness, "no leader within 10 election timeouts (" +
                                              std::to_string(10 * timeout / 1000) +
                                              " ms) in a healed quorum of " + std::to_string(quorum_.size()) +
                                              " of " + std::to_string(nodes_.size()) + describe_nodes());
  const std::uint64_t writes = acknowledged_, reads = fresh_reads_;
  const auto served = [&] { return acknowledged_ > writes && fresh_reads_ > reads; };
  while (!served() && shared_.time.now() < serve_by()) {
    node& at = *nodes_[quorum_[own.below(quorum_.size())].value() - 1];
    if (at.up() && !at.dead()) {
      issue_write(0, at, call_kind::put, 0);
      after(at);
    }
    if (at.up() && !at.dead()) {
      issue_read(0, at, call_kind::read_linearizable, 0);
      after(at);
    }
    const micros pause = narrow && lacks_entries() ? 5 * timeout : timeout / 2;
    run_until(std::min(shared_.time.now() + pause, serve_by()), served);
  }
  if (!served())
    shared_.log.fail(invariant::liveness,
                     std::string("no ") + (acknowledged_ > writes ? "read" : "write") + " within " +
                         std::to_string((serve_by() - healed_at_) / timeout) + " election timeouts (" +
                         std::to_string((serve_by() - healed_at_) / 1000) + " ms) in a healed quorum of " +
                         std::to_string(quorum_.size()) + " of " + std::to_string(nodes_.size()) +
                         describe_nodes());
}

// One voter that isn't needed no longer hears the leader, but everybody else. In half of the worlds it has a
// log that could win an election, since nothing is written any more.
CONFMAN_DECL void world::hide_leader(const node& from) {
  clients_active_ = clients_active_ && shared_.plan.seed % 2 == 0;
  for (const node_id lonely : quorum_) {
    std::vector<bool> others(nodes_.size() + 1);
    for (const node_id id : quorum_) others[id.value()] = id != lonely;
    if (lonely == from.id() || !votes_somewhere(lonely) || !sufficient(others)) continue;
    shared_.log.note(step::partition, lonely, 5, 1);
    hidden_ = lonely;
    return shared_.net.cut(from.id(), lonely);
  }
}

// Nothing is wrong within the quorum any more, so whatever the rest sends must not depose its leader: that is
// what pre-vote and leader stickiness are for (thesis, 4.2.3 and 9.6).
CONFMAN_DECL void world::check_stability() {
  const auto leads_removed = [](const node& n) {
    const raft_core& core = n.core();
    return core.members_at() <= core.commit() && !core.members().is_voter(n.id());
  };
  const micros timeout = shared_.plan.election_timeout();
  const micros healed = healed_at_;
  run_until(shared_.time.now() + 3 * timeout, [] { return false; });
  const node* before = leader();
  const term_t term = before ? before->core().term() : term_t{};
  const bool removed = before && leads_removed(*before);
  if (before) hide_leader(*before);
  run_until(shared_.time.now() + 4 * timeout, [] { return false; });
  const node* now = leader();
  if (removed && now == before && now->core().term() == term && leads_removed(*now))
    shared_.log.fail(invariant::liveness, "node " + std::to_string(now->id().value()) +
                                              " leads on, although its removal is committed");
  // Who was broken until now may know of a later term.
  if (healed_at_ != healed) return;
  // With priorities it may hand over, even just now.
  if (shared_.plan.priority_check_ticks != 0 &&
      (now || run_until(shared_.time.now() + 2 * timeout, [this] { return leader() != nullptr; })))
    return;
  if (!before || now != before || now->core().term() != term)
    shared_.log.fail(invariant::liveness,
                     "a healed quorum of " + std::to_string(quorum_.size()) + " of " +
                         std::to_string(nodes_.size()) + " changes its leader without need: in term " +
                         std::to_string(term.value()) + " node " +
                         std::to_string(before ? before->id().value() : 0) + " led, then in term " +
                         std::to_string(now ? now->core().term().value() : 0) + " node " +
                         std::to_string(now ? now->id().value() : 0));
}

// Every disk is damaged while all are without power, in one place each or, in half of the worlds, in every
// sector of what the newest segment of the log holds: no copy of the newest entries is good then, unless a
// snapshot has them. Each node must refuse to run, or be able to do without what was hit: whatever is
// answered then must be right.
CONFMAN_DECL void world::ruin() {
  troubled_ = false;
  shared_.log.note(step::phase, node_id{}, 4);
  heal_network();
  const dice all = dice(shared_.plan.seed).fork(6);
  const bool every_copy = dice(all).fork(0).coin();
  for (const auto& n : nodes_) {
    if (!in_use_[n->id().value()]) continue;
    dice own = dice(all).fork(n->id().value());
    n->platter().stop_failing();
    crash(*n, {survival::all, 0, own.next()});
    const bool hit = every_copy ? n->rot_log(own.next()) : n->platter().rot(own.next());
    if (!hit) continue;
    shared_.log.note(step::rot, n->id());
    shared_.counts.add(every_copy ? counted::ruined_logs : counted::ruined_disks);
  }
  run_until(shared_.time.now() + 20 * shared_.plan.election_timeout(), [] { return false; });
}

CONFMAN_DECL bool world::converged() {
  const node* l = leader();
  if (!l || l->core().commit() != l->core().log().last_index() || l->core().change_under_way()) return false;
  const log_index last = l->core().commit();
  return std::all_of(nodes_.begin(), nodes_.end(), [&](const auto& n) {
    const member* m = l->core().members().find_member(n->id());
    if (!m || !in_use_[n->id().value()] || (m->incarnation && m->incarnation != n->incarnation()) ||
        n->stopped_for_loss())
      return true;
    return n->up() && n->core().applied() == last && n->core().term() == l->core().term() &&
           n->core().log().last_hash() == l->core().log().last_hash();
  });
}

// How long it takes depends on how much there is to catch up with, and on the limits of the scenario; that it
// goes on does not.
CONFMAN_DECL void world::wait_for_convergence() {
  const micros limit = 20 * shared_.plan.election_timeout();
  const auto progress = [this] {
    // A piece that arrives takes a transfer on; there are fewer in all than any loop of the same ones would
    // bring.
    std::uint64_t sum = std::min<std::uint64_t>(shared_.counts[counted::snapshot_pieces], most_pieces);
    for (const auto& n : nodes_) sum += n->up() ? n->core().applied().value() : 0;
    return sum;
  };
  for (std::uint64_t before = progress();; before = progress()) {
    if (run_until(shared_.time.now() + limit, [this] { return converged(); })) return;
    if (progress() > before) continue;
    shared_.log.fail(invariant::liveness,
                     "the healed nodes neither converge nor go on within 20 election timeouts (" +
                         std::to_string(limit / 1000) + " ms)" + describe_nodes());
  }
}

CONFMAN_DECL void world::converge() {
  clients_active_ = false;
  applications_.stop();
  shared_.log.note(step::phase, node_id{}, 3);
  heal_network();
  for (const auto& n : nodes_) heal(*n);
  wait_for_convergence();
  check_deadlines();
  check_bound();
  check_priorities();
  check_transfer();
  wait_for_convergence();
  const raft_core& core = leader()->core();
  if (core.commit().value() < shared_.clients.floor())
    shared_.log.fail(invariant::no_lost_acknowledgement,
                     "the final log ends at " + std::to_string(core.commit().value()) + ", index " +
                         std::to_string(shared_.clients.floor()) + " was acknowledged");
  const std::uint64_t state = leader()->map().read().replica_hash();
  if (core.log().hash_at(core.commit()) != shared_.judge.committed_hash(core.commit()))
    shared_.log.fail(invariant::committed_immutable, "the final log is not what was committed");
  for (const auto& n : nodes_)
    if (n->up() && n->core().applied() == core.applied() && n->map().read().replica_hash() != state)
      shared_.log.fail(invariant::state_machine_safety, "the nodes end in different states");
  watchers_.finish();
  applications_.finish(leader()->map().read());
  shared_.clients.finish([this](log_index i) { return shared_.judge.committed_term(i); });
}

}  // namespace confman::sim
