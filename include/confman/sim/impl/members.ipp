#pragma once

#include <algorithm>
#include <utility>

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
      if (!counts(n) || n.forgetful() || n.incarnation() != m.incarnation) continue;
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
  bool founder_left = false;
  for (unsigned i = 1; i <= shared_.plan.nodes; ++i)
    founder_left = founder_left || (node_id(i) != victim.id() && judge.durable_last(node_id(i)));
  if (!founder_left) return false;
  // A learner may have asked to become a voter, and be made one after it was wiped. And as long as a voter
  // isn't bound to a directory, the next one passes for that which has acknowledged.
  const auto holds = [&](configuration c) {
    const member* known = c.find_member(victim.id());
    if (known && !known->incarnation && c.is_voter(victim.id())) return false;
    for (const member& learner : std::exchange(c.learners, {}))
      if (learner.id == victim.id()) c.incoming.push_back(learner);
    return can_decide(c, [&](const node& n) { return &n != &victim; });
  };
  return judge.for_possible_members(holds);
}

CONFMAN_DECL bool world::is_member(const node& n) const {
  const configuration* committed = shared_.judge.committed_members();
  return committed ? committed->contains(n.id()) : n.id().value() <= shared_.plan.nodes;
}

// What the administrator does next, and when.
CONFMAN_DECL void world::admin_turn() {
  admin_at_ = shared_.time.now() + dice_.skewed(1, 4 * shared_.plan.churn_interval);
  node* at = dice_.chance(850) ? leader() : nullptr;
  if (!at || at->paused() || at->dead()) at = pick_running(dice_);
  if (!at || dice_.chance(250)) return draw_retirement();
  const configuration& members = at->core().members();
  if (dice_.chance(250) && draw_invitation(members)) return;
  decision d = new_decision(decision_kind::change, *at);
  const auto kind = dice_.below(10);
  if (kind == 0) {
    d.kind = decision_kind::snapshot;
  } else if (kind <= 2) {
    d.kind = decision_kind::transfer;
    if (!members.incoming.empty() && dice_.chance(700))
      d.target = static_cast<std::uint8_t>(members.incoming[dice_.below(members.incoming.size())].id.value());
  } else {
    draw_changes(members, d);
  }
  d.count = dice_.between(2, 20) * shared_.plan.election_ticks;
  perform(d);
}

CONFMAN_DECL void world::draw_changes(const configuration& members, decision& d) {
  const std::uint64_t changes = dice_.chance(600) ? 1 : dice_.between(2, d.edits.size());
  for (std::uint64_t i = 0; i < changes; ++i)
    if (const std::optional<member_edit> e = draw_change(members)) d.edits[d.edit_count++] = *e;
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
CONFMAN_DECL std::optional<member_edit> world::draw_change(const configuration& members) {
  using action = member_edit::action;
  member_edit e;
  const auto among = [&](const std::vector<member>& list) {
    e.node =
        list.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(list[dice_.below(list.size())].id.value());
  };
  switch (dice_.below(6)) {
    case 0:  // a dead member goes first, then any
      e.what = action::remove;
      among(members.incoming);
      for (const auto* list : {&members.incoming, &members.learners})
        for (const member& m : *list)
          if (m.incarnation && nodes_[m.id.value() - 1]->incarnation() != m.incarnation)
            e.node = static_cast<std::uint8_t>(m.id.value());
      break;
    case 1:
      e.what = action::remove;
      among(dice_.chance(300) ? members.learners : members.incoming);
      break;
    case 2:
      among(members.learners);
      break;
    case 3:
      if (members.incoming.size() <= 2) return std::nullopt;
      e.what = action::learner;
      among(members.incoming);
      break;
    case 4:
      e.what = action::priority;
      among(members.incoming);
      e.priority = static_cast<std::uint8_t>(dice_.below(4));
      break;
    default: {
      const node& n = *nodes_[dice_.below(nodes_.size())];
      if (members.contains(n.id()) || !in_use_[n.id().value()]) return std::nullopt;
      e.what = dice_.coin() ? action::voter : action::learner;
      e.node = static_cast<std::uint8_t>(n.id().value());
      e.bound = dice_.coin();
      break;
    }
  }
  if (e.node == 0) return std::nullopt;
  if (e.what == action::remove && members.incoming.size() <= 2 && !dice_.chance(50)) return std::nullopt;
  return e;
}

CONFMAN_DECL bool world::draw_invitation(const configuration& members) {
  const std::vector<node_id> ids = members.ids();
  if (ids.empty()) return false;
  for (const auto& n : nodes_) {
    if (in_use_[n->id().value()]) continue;
    decision d = new_decision(decision_kind::invite, *n);
    for (const node_id id : ids)
      if (id != n->id() && (d.nodes == 0 || dice_.coin()))
        d.nodes = static_cast<node_set>(d.nodes | 1u << id.value());
    if (d.nodes == 0) continue;
    d.learner = dice_.chance(200);
    d.priority = static_cast<std::uint8_t>(dice_.chance(700) ? 1 : dice_.below(4));
    perform(d);
    return true;
  }
  return false;
}

CONFMAN_DECL void world::draw_retirement() {
  for (const auto& n : nodes_) {
    if (!may_retire(*n)) continue;
    decision d = new_decision(decision_kind::retire, *n);
    d.survive = draw_survival();
    return perform(d);
  }
}

// Whoever has acknowledged what is committed is bound to its directory, soon: else its word would never
// count.
CONFMAN_DECL void world::check_bound() {
  const auto bound = [this] {
    const node* l = leader();
    return l && std::all_of(nodes_.begin(), nodes_.end(), [&](const auto& n) {
             const member* m = l->core().members().find_member(n->id());
             return !m || m->incarnation || !n->up() || !in_use_[n->id().value()];
           });
  };
  if (!run_until(shared_.time.now() + 10 * shared_.plan.election_timeout(), bound))
    shared_.log.fail(invariant::liveness,
                     "a member that has caught up is not bound to its directory" + describe_nodes());
}

// Nothing is wrong and nothing happens any more: a voter of the highest priority comes to lead, and stays.
CONFMAN_DECL void world::check_priorities() {
  if (shared_.plan.priority_check_ticks == 0) return;
  const auto priority = [](const node& leader, node_id id) {
    const configuration& members = leader.core().members();
    return members.is_voter(id) ? static_cast<int>(members.find_member(id)->priority) : -1;
  };
  const auto best_leads = [&] {
    const node* l = leader();
    return l && std::none_of(nodes_.begin(), nodes_.end(), [&](const auto& n) {
             const member* m = l->core().members().find_member(n->id());
             return m && m->incarnation == n->incarnation() && n->up() && !n->forgetful() &&
                    priority(*l, n->id()) > priority(*l, l->id());
           });
  };
  const micros patience =
      2 * shared_.plan.tick * shared_.plan.priority_check_ticks + 10 * shared_.plan.election_timeout();
  if (!run_until(shared_.time.now() + 2 * patience, best_leads))
    shared_.log.fail(invariant::liveness, "no voter of the highest priority comes to lead within " +
                                              std::to_string(2 * patience / 1000) + " ms" + describe_nodes());
  const node_id before = leader()->id();
  const log_index members_at = leader()->core().members_at();
  run_until(shared_.time.now() + patience, [] { return false; });
  const node* now = leader();
  if (now && (now->id() == before || now->core().members_at() != members_at ||
              priority(*now, now->id()) > priority(*now, before)))
    return;
  shared_.log.fail(invariant::liveness, "node " + std::to_string(before.value()) +
                                            ", of the highest priority, doesn't stay leader" +
                                            describe_nodes());
}

// Where nothing is wrong a voter that is asked to take over does so.
CONFMAN_DECL void world::check_transfer() {
  const node* before = leader();
  if (!before || shared_.plan.seed % 4 != 0) return;
  const configuration members = before->core().members();
  const auto takes_over = [&](const member& m) {
    const node& n = *nodes_[m.id.value() - 1];
    return m.id != before->id() && n.up() && !n.forgetful() && m.incarnation == n.incarnation();
  };
  const auto target = std::find_if(members.incoming.begin(), members.incoming.end(), takes_over);
  if (target == members.incoming.end()) return;
  const auto leads = [this, id = target->id] { return nodes_[id.value() - 1]->leads(); };
  for (int i = 0; i < 5; ++i) {
    if (node* at = leader(); at && at->id() != target->id) {
      decision d;
      d.kind = decision_kind::transfer;
      d.target = static_cast<std::uint8_t>(target->id.value());
      d.count = 10 * shared_.plan.election_ticks;
      (void)administer(d, *at);
    }
    if (run_until(shared_.time.now() + 4 * shared_.plan.election_timeout(), leads)) return;
  }
  shared_.log.fail(invariant::liveness, "node " + std::to_string(target->id.value()) +
                                            " is asked to take over, and never does" + describe_nodes());
}

}  // namespace confman::sim
