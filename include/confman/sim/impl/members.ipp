#pragma once

#include <algorithm>

#include "confman/sim/world.hpp"

namespace confman::sim {

// What the administrator has asked of a node.
class world::change_call final : public cluster_operation {
 public:
  void begin(world& owner, node& at, std::uint64_t number) {
    owner_ = &owner;
    at_ = &at;
    id = number;
    changes.clear();
    target = node_id{};
  }
  [[nodiscard]] const node* at() const noexcept { return at_; }

  void complete(const failure& error, version) override {
    if (at_->dead()) return;  // nobody hears it any more
    owner_->shared_.log.note(step::change_ended, at_->id(), id,
                             static_cast<std::uint64_t>(error.code.value()));
    statistics& counts = owner_->shared_.counts;
    if (what == action::snapshot) {
      counts.add(error ? counted::snapshots_failed : counted::snapshots_asked);
    } else if (what == action::transfer) {
      counts.add(error ? counted::transfers_failed : counted::transfers);
    } else {
      counts.add(!error                                ? counted::changes_done
                 : error.code == errc::change_undone   ? counted::changes_undone
                 : error.code == errc::outcome_unknown ? counted::changes_unknown
                                                       : counted::changes_refused);
    }
    lose();
  }
  void lose() {
    at_ = nullptr;
    owner_->free_changes_.push_back(this);
  }

 private:
  world* owner_ = nullptr;
  node* at_ = nullptr;  // null: in the pool
};

// Majorities of its voters are on the disks that they are bound to, and one of these may stand for election.
// Only nodes that `counts` says count.
template <class Counts>
bool world::can_decide(const configuration& c, Counts&& counts) const {
  for (const auto* voters : {&c.incoming, &c.outgoing}) {
    std::size_t live = 0;
    bool stands = false;
    for (const member& m : *voters) {
      const node& n = *nodes_[m.id.value() - 1];
      if (!counts(n) || n.incarnation() != m.incarnation) continue;
      ++live;
      stands = stands || m.priority != 0;
    }
    if (!voters->empty() && (2 * live <= voters->size() || !stands)) return false;
  }
  return true;
}

// Nothing that could have been committed may hang on this disk: of the voters of each configuration that is
// or may come into force, a majority must be left on disks that have forgotten nothing; and one founder must
// be left that would refuse its vote to an empty log.
CONFMAN_DECL bool world::may_wipe(const node& victim) const {
  const oracle& judge = shared_.judge;
  const configuration* committed = judge.committed_members();
  if (!committed) return false;
  bool founder_left = false;
  for (unsigned i = 1; i <= shared_.plan.nodes; ++i)
    founder_left = founder_left || (node_id(i) != victim.id() && judge.durable_last(node_id(i)));
  if (!founder_left) return false;
  const auto holds = [&](const configuration& c) {
    return can_decide(c, [&](const node& n) { return &n != &victim; });
  };
  if (!holds(*committed)) return false;
  return std::all_of(nodes_.begin(), nodes_.end(), [&](const auto& n) {
    return judge.members_at(n->id()) <= judge.committed_members_at() || holds(judge.members_of(n->id()));
  });
}

CONFMAN_DECL bool world::is_member(const node& n) const {
  const configuration* committed = shared_.judge.committed_members();
  return committed ? committed->contains(n.id()) : n.id().value() <= shared_.plan.nodes;
}

CONFMAN_DECL void world::admin_turn() {
  if (!troubled_) return;
  shared_.time.schedule(dice_.skewed(1, 4 * shared_.plan.churn_interval), {event_kind::admin, 0, 0, 0});
  node* at = dice_.chance(850) ? leader() : nullptr;
  if (!at || at->paused() || at->dead()) at = pick_running(dice_);
  if (!at || dice_.chance(250)) return retire();
  if (dice_.chance(250) && invite(at->core().members())) return;
  change_call& call = new_change(*at);
  const configuration& members = at->core().members();
  const auto kind = dice_.below(10);
  if (kind == 0) {
    call.what = cluster_operation::action::snapshot;
  } else if (kind <= 2) {
    call.what = cluster_operation::action::transfer;
    if (!members.incoming.empty() && dice_.chance(700))
      call.target = members.incoming[dice_.below(members.incoming.size())].id;
  } else {
    call.what = cluster_operation::action::change_members;
    const std::uint64_t changes = dice_.chance(600) ? 1 : dice_.between(2, 3);
    for (std::uint64_t i = 0; i < changes; ++i) draw_change(members, call.changes);
  }
  // The product can't know which members are gone for good, so it carries out what leaves none to decide.
  if (call.what == cluster_operation::action::change_members) {
    result<configuration> next = change_one(members, call.changes);
    if (!next) next = enter_joint(members, call.changes, true);
    if (next && !can_decide(*next, [](const node&) { return true; })) return call.lose();
  }
  shared_.log.note(step::change, at->id(), kind,
                   call.changes.empty() ? call.target.value() : call.changes.front().who.id.value(), call.id);
  call.deadline = at->now() + dice_.between(2, 20) * shared_.plan.election_ticks;
  at->submit(static_cast<cluster_operation&>(call));
  after(*at);
}

CONFMAN_DECL world::change_call& world::new_change(node& at) {
  if (free_changes_.empty()) {
    changes_.emplace_back();
    free_changes_.push_back(&changes_.back());
  }
  change_call& call = *free_changes_.back();
  free_changes_.pop_back();
  call.begin(*this, at, (std::uint64_t{1} << 40) + ++changes_asked_);
  return call;
}

// One of the changes that an administrator may ask for, sensible or not.
CONFMAN_DECL void world::draw_change(const configuration& members, std::vector<member_change>& changes) {
  using action = member_change::action;
  member_change c;
  const auto among = [&](const std::vector<member>& list) {
    return list.empty() ? member{} : list[dice_.below(list.size())];
  };
  switch (dice_.below(6)) {
    case 0: {  // a dead member goes first, then any
      c.what = action::remove;
      c.who = among(members.incoming);
      for (const auto* list : {&members.incoming, &members.learners})
        for (const member& m : *list)
          if (m.incarnation && nodes_[m.id.value() - 1]->incarnation() != m.incarnation) c.who = m;
      break;
    }
    case 1:
      c.what = action::remove;
      c.who = dice_.chance(300) ? among(members.learners) : among(members.incoming);
      break;
    case 2:
      c.what = action::add_voter;
      c.who = among(members.learners);
      break;
    case 3:
      if (members.incoming.size() <= 2) return;
      c.what = action::add_learner;
      c.who = among(members.incoming);
      break;
    case 4:
      c.what = action::update;
      c.who = among(members.incoming);
      c.who.priority = static_cast<std::uint8_t>(dice_.below(4));
      break;
    default: {
      node& n = *nodes_[dice_.below(nodes_.size())];
      if (members.contains(n.id()) || !in_use_[n.id().value()]) return;
      c.what = dice_.coin() ? action::add_voter : action::add_learner;
      c.who.id = n.id();
      if (dice_.coin()) c.who.incarnation = n.incarnation();
      break;
    }
  }
  if (!c.who.id) return;
  if (c.what == action::remove && members.incoming.size() <= 2 && !dice_.chance(50)) return;
  if (c.what == action::remove && members.contains(c.who.id)) removed_[c.who.id.value()] = true;
  changes.push_back(std::move(c));
}

// A node that isn't in use is started and asks some members to let it join.
CONFMAN_DECL bool world::invite(const configuration& members) {
  const std::vector<node_id> ids = members.ids();
  if (ids.empty()) return false;
  for (const auto& n : nodes_) {
    if (in_use_[n->id().value()]) continue;
    std::vector<node_id> contacts;
    for (const node_id id : ids)
      if (id != n->id() && (contacts.empty() || dice_.coin())) contacts.push_back(id);
    if (contacts.empty()) continue;
    n->join(contacts, dice_.chance(200), static_cast<std::uint8_t>(dice_.chance(700) ? 1 : dice_.below(4)));
    in_use_[n->id().value()] = true;
    removed_[n->id().value()] = false;
    shared_.counts.add(counted::joins);
    restart(*n);
    return true;
  }
  return false;
}

// Who was removed is taken down some time, and its id comes back with an empty directory.
CONFMAN_DECL void world::retire() {
  for (const auto& n : nodes_) {
    const std::size_t id = n->id().value();
    if (!in_use_[id] || !removed_[id] || !shared_.judge.committed_members() || is_member(*n) || !may_wipe(*n))
      continue;
    if (n->up()) {
      lose_calls(*n);
      n->crash(draw_survival());
    }
    n->wipe(true);
    in_use_[id] = false;
    shared_.counts.add(counted::retirements);
    return;
  }
}

// Somebody replaces a member's disk and starts it as if nothing had happened.
CONFMAN_DECL void world::lose_disk(node& n) {
  if (!troubled_ || (shared_.plan.faults & fault::wipe) == 0 || !dice_.chance(150)) return;
  if (n.platter().rotten() || !may_wipe(n)) return;
  n.wipe(n.id().value() > shared_.plan.nodes || n.joined());
  shared_.counts.add(counted::wiped_disks);
}

}  // namespace confman::sim
