#pragma once

#include <tuple>

#include "confman/core/raft_core.hpp"

namespace confman {

// Learners and non-members never stand for election. Priority 0 lets all others go first; but nobody would
// ever lead {1,2}, where 2 has priority 0 and the longer log: 1 asks in vain, or doesn't ask at all, if that
// log is what makes it a voter. So 2 stands after it has waited twice, or once if a candidate was behind it
// or its configuration may not be committed; and it hands over later, like any leader of a low priority.
CONFMAN_DECL bool raft_core::may_campaign() const noexcept {
  const member* me = own_vote();
  if (CONFMAN_MUTANT(learner_stands)) return true;
  if (CONFMAN_MUTANT(priority_zero_never_stands)) return me && me->priority != 0;
  return me && (me->priority != 0 || missed_leaders_ > 1 ||
                (missed_leaders_ > 0 && (refused_behind_ || members_at() > state_.commit)));
}

// The leader is out of reach and we don't stand: others may have our vote, and our readers wait for another.
CONFMAN_DECL void raft_core::miss_leader() {
  CONFMAN_MARK(missed_leader);
  become_follower(state_.term, node_id{});
  reset_election_timer();
  ++missed_leaders_;
}

// A voter of a lower priority waits longer, so that it doesn't win what it would hand over again. At most one
// election_ticks: the highest may be down.
CONFMAN_DECL std::uint32_t raft_core::priority_delay() const noexcept {
  unsigned highest = 0;
  for (const auto* list : {&members().incoming, &members().outgoing})
    for (const member& m : *list) highest = std::max<unsigned>(highest, m.priority);
  const member* me = own_vote();
  if (!me || me->priority >= highest) return 0;
  return static_cast<std::uint32_t>(std::uint64_t{options_.election_ticks} * (highest - me->priority) /
                                    highest);
}

CONFMAN_DECL std::error_code raft_core::transfer_leadership(node_id to) {
  leader_role* self = as_leader();
  if (!self) return errc::not_leader;
  if (to == options_.self) return {};
  if (!to) to = best_successor(*self, 0);
  if (!to || !members().is_voter(to)) return errc::not_a_member;
  if (self->transfer_to != to) {
    CONFMAN_MARK(transfer_begun);
    self->transfer_to = to;
    self->transfer_elapsed = 0;
    push_transfer(*self);
  }
  check_invariants();
  return {};
}

CONFMAN_DECL node_id raft_core::transferring_to() const noexcept {
  const auto* self = std::get_if<leader_role>(&role_);
  return self ? self->transfer_to : node_id{};
}

// The voter that should lead instead of us, of a priority above `above_priority`; 0: none.
CONFMAN_DECL node_id raft_core::best_successor(const leader_role& self, unsigned above_priority) const {
  std::tuple<bool, unsigned, log_index> best;
  node_id found;
  for (const progress& p : self.peers) {
    if (p.id == options_.self || !(p.recently_active || p.was_active) || !p.match) continue;
    for (const member& m : members().incoming) {
      if (m.id != p.id || m.priority < above_priority) continue;
      if (m.priority == above_priority && !CONFMAN_MUTANT(equals_take_over)) continue;
      const std::tuple<bool, unsigned, log_index> rank{close_behind(p), m.priority, p.match};
      if (!found || rank > best) {
        best = rank;
        found = p.id;
      }
    }
  }
  return found;
}

// As soon as the target holds the whole log, which no longer grows by proposals, it may stand.
CONFMAN_DECL void raft_core::push_transfer(leader_role& self) {
  const progress* target = self.transfer_to ? self.find(self.transfer_to) : nullptr;
  CONFMAN_MARK_IF(target && target->match != log_.last_index(), transfer_waits);
  if (target && (target->match == log_.last_index() || CONFMAN_MUTANT(transfer_unready)))
    send(target->id, timeout_now{});
}

// Without success within an election timeout the leader leads on (thesis, 3.10).
CONFMAN_DECL void raft_core::tick_transfer(leader_role& self) {
  if (!self.transfer_to || ++self.transfer_elapsed < options_.election_ticks) return;
  if (CONFMAN_MUTANT(transfer_kept)) return;
  CONFMAN_MARK(transfer_aborted);
  self.transfer_to = node_id{};
  if (removed_for_good()) become_follower(state_.term, node_id{});
}

// Hands over to a voter of a higher priority that has caught up, once we have led undisturbed for a while.
CONFMAN_DECL void raft_core::tick_priority(leader_role& self) {
  self.priority_elapsed += options_.election_ticks;
  if (options_.priority_check_ticks == 0 || self.priority_elapsed < options_.priority_check_ticks) return;
  self.priority_elapsed = 0;
  if (!leads_surely() || change_under_way() || self.transfer_to) return;
  if (CONFMAN_MUTANT(priorities_ignored)) return;
  const member* me = members().find_member(options_.self);
  const node_id better = best_successor(self, me ? me->priority : 0);
  const progress* p = better ? self.find(better) : nullptr;
  CONFMAN_MARK_IF(p && close_behind(*p), transfer_by_priority);
  if (p && close_behind(*p)) (void)transfer_leadership(better);
}

// Only the leader of our term may ask for an election at its own cost. It has checked that our log is whole;
// the voters check it again.
CONFMAN_DECL std::error_code raft_core::handle(const message& m, timeout_now&) {
  if (m.from != leader_ || is_leader() || !own_vote()) return {};
  CONFMAN_MARK(transfer_obeyed);
  become_candidate(true);
  return {};
}

CONFMAN_DECL void raft_core::resign() {
  if (!is_leader()) return;
  become_follower(state_.term, node_id{});
  // Others have heard from us until now, and take up to two election_ticks to notice.
  election_timeout_ += 2 * options_.election_ticks;
  check_invariants();
}

}  // namespace confman
