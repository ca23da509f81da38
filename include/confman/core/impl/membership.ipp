#pragma once

#include <string>

#include "confman/core/raft_core.hpp"

namespace confman {

// --- who is a voter ---

// Our own entry, if we are a voter and this data directory is the one that speaks for us. As long as the
// effective configuration isn't known to be committed, the one before it counts, too: a voter whose removal
// is in its log alone may be the only one that can win, since the others' logs are shorter than its own
// (thesis, 4.2.2). It doesn't count itself then. Not so if the effective one binds our id to another
// directory: whoever counts by it holds that one's word for ours.
CONFMAN_DECL const member* raft_core::own_vote() const noexcept {
  const member* bound = members().find_member(options_.self);
  if (bound && bound->incarnation && bound->incarnation != options_.incarnation) return nullptr;
  for (const configuration* c : {&members(), &configurations_.at(state_.commit).second}) {
    const member* me = c->is_voter(options_.self) ? c->find_member(options_.self) : nullptr;
    if (me && (!me->incarnation || me->incarnation == options_.incarnation)) return me;
  }
  return nullptr;
}

// We are no voter, and that can't be taken back by another leader.
CONFMAN_DECL bool raft_core::removed_for_good() const noexcept {
  return !change_under_way() && !members().is_voter(options_.self);
}

CONFMAN_DECL vote_result raft_core::count(const votes& answers) const {
  return answers.count(members(), founding() && options_.first_election_by_majority);
}

CONFMAN_DECL bool raft_core::close_behind(const progress& peer) const noexcept {
  return peer.match + options_.promotion_lag >= last_for(peer);
}

// --- changes ---

CONFMAN_DECL raft_core::change_proposed raft_core::propose_change(std::span<const member_change> changes) {
  if (failure why = refuse_change(changes)) return {std::move(why), {}};
  // One voter more or less: each majority of the old meets each of the new (thesis, 4.1). More: both decide.
  result<configuration> next = change_one(members(), changes);
  CONFMAN_MARK_IF(next, change_of_one);
  if (!next) next = enter_joint(members(), changes, true);
  if (!next) return {next.error(), {}};
  CONFMAN_MARK_IF(next->joint(), joint_entered);
  CONFMAN_MARK_IF(
      std::any_of(next->incoming.begin(), next->incoming.end(),
                  [this](const member& m) { return members().contains(m.id) && !members().is_voter(m.id); }),
      learner_promoted);
  append_configuration(*std::move(next));
  check_invariants();
  return {{}, log_.last()};
}

CONFMAN_DECL failure raft_core::refuse_change(std::span<const member_change> changes) const {
  if (!is_leader()) return {errc::not_leader, "change of members: this node doesn't lead; ask the leader"};
  if (transferring_to() && !CONFMAN_MUTANT(change_in_transfer))
    return {errc::busy, "change of members: leadership is being transferred; try again at the new leader"};
  if (log_.last_index() - state_.commit >= options_.max_uncommitted_entries ||
      uncommitted_bytes_ >= options_.max_uncommitted_bytes)
    return {errc::busy, "change of members: too many entries wait to be committed; try again later"};
  // Two changes at once, or one on top of what an earlier leader has left uncommitted, could give two
  // majorities that don't meet (Ongaro, "bug in single-server membership changes", raft-dev, 2015).
  CONFMAN_MARK_IF(!leads_surely(), change_before_own_commit);
  CONFMAN_MARK_IF(leads_surely() && change_under_way(), change_in_flight);
  if (!leads_surely() && !CONFMAN_MUTANT(change_unsure_leader))
    return {errc::change_in_flight,
            "change of members: this leader has not committed an entry of its term yet; try again later"};
  if (change_under_way() && !CONFMAN_MUTANT(second_change))
    return {errc::change_in_flight, "change of members: another one, begun at log entry " +
                                        std::to_string(members_at().value()) +
                                        ", is under way; try again when it is done"};
  if (failure why = check_changes(members(), changes)) return why;
  for (const member_change& c : changes)
    if (failure why = refuse_promotion(c)) return why;
  return {};
}

// A voter far behind could be needed for a majority and take long to give it (thesis, 4.2.1).
CONFMAN_DECL failure raft_core::refuse_promotion(const member_change& change) const {
  const member* known = members().find_member(change.who.id);
  if (change.what != member_change::action::add_voter || !known) return {};
  const progress* p = progress_of(change.who.id);
  const std::string learner = "change of members: learner " + std::to_string(change.who.id.value());
  // A new leader takes everybody for active, so that alone is no answer; nor is a late request.
  const bool heard = p && (p->recently_active || p->was_active);
  if (!heard || ((p->match == log_index{} || !known->incarnation) && !CONFMAN_MUTANT(promote_unheard)))
    return {errc::learner_behind, learner + " has not answered lately; promote it when it runs"};
  CONFMAN_MARK_IF(!close_behind(*p), learner_behind);
  if (!close_behind(*p) && !CONFMAN_MUTANT(promote_behind))
    return {errc::learner_behind, learner + " is " + std::to_string(last_for(*p) - p->match) +
                                      " entries behind, more than " + std::to_string(options_.promotion_lag) +
                                      "; promote it when it has caught up"};
  return {};
}

// Effective from here on, committed or not (thesis, 4.1).
CONFMAN_DECL void raft_core::append_configuration(configuration next) {
  append(entry_type::configuration, encode_configuration(next));
  configurations_.append(log_.last_index(), std::move(next));
  follow_configuration();
}

// Progress for exactly the members, and for ourselves, member or not: a leader that is being removed still
// has a log that becomes durable. Our own progress is never another directory's, whatever our id is bound to.
CONFMAN_DECL void raft_core::follow_configuration() {
  leader_role& self = *as_leader();
  std::vector<node_id> ids = members().ids();
  if (!members().contains(options_.self))
    ids.insert(std::lower_bound(ids.begin(), ids.end(), options_.self), options_.self);
  std::vector<progress> peers;
  for (const node_id id : ids) {
    const member* m = members().find_member(id);
    const bool votes = members().is_voter(id);
    incarnation_id bound = m ? m->incarnation : options_.incarnation;
    if (id == options_.self && bound) bound = options_.incarnation;
    progress* known = self.find(id);
    if (known && (!known->incarnation || known->incarnation == bound)) {
      peers.push_back(std::move(*known));
    } else {
      progress& p = peers.emplace_back();
      p.id = id;
      p.votes = votes;
      p.next = last_for(p) + 1;
      p.recently_active = true;  // one election timeout to be heard of
      if (id == options_.self) {
        p.match = writes_.stable();
        p.next = log_.last_index() + 1;  // its own log is whole, voter or not
        p.answered_by = options_.incarnation;
      }
    }
    peers.back().incarnation = bound;
    peers.back().votes = votes;
  }
  self.peers = std::move(peers);
  if (self.transfer_to && !members().is_voter(self.transfer_to)) self.transfer_to = node_id{};
  confirm_reads(self);
}

// What a leader does whenever its commit index has moved.
CONFMAN_DECL void raft_core::follow_commit() {
  bind_answered();
  if (!leads_surely() || (members_at() > state_.commit && !CONFMAN_MUTANT(leave_joint_early))) return;
  if (members().joint() && members().auto_leave && !CONFMAN_MUTANT(joint_kept)) {
    // Both majorities hold the joint configuration: from here on the new one may decide alone (thesis, 4.3).
    // Also when an earlier leader began it.
    CONFMAN_MARK_IF(log_.term_at(members_at()) == state_.term, joint_left);
    CONFMAN_MARK_IF(log_.term_at(members_at()) != state_.term, joint_left_by_another);
    append_configuration(*leave_joint(members()));
  } else if (removed_for_good() && !transferring_to() && !CONFMAN_MUTANT(removed_leader_stays)) {
    // Our task ends with our removal (thesis, 4.2.2). Handing over spares the others an election timeout.
    CONFMAN_MARK(leader_removed);
    if (transfer_leadership(node_id{})) become_follower(state_.term, node_id{});
  }
}

// --- which data directory speaks for an id ---

// Before an id is bound, two directories may answer under it, one after the other: nothing of the first holds
// for the second.
CONFMAN_DECL void raft_core::note_directory(progress& peer, incarnation_id incarnation, bool acknowledges) {
  if (peer.incarnation || !incarnation || peer.answered_by == incarnation) return;
  if (peer.answered_by) {
    const node_id id = peer.id;
    const log_index next = peer.next;
    peer = progress{};
    peer.id = id;
    peer.next = next;
    peer.recently_active = true;
  }
  if (acknowledges) peer.answered_by = incarnation;
}

// Binds whoever has acknowledged entries to its data directory, by an entry in the log; its acknowledgements
// count from then on. This changes no set of voters, but it does change whose word counts. So it waits, like
// any change, for a commit of our own term: a binding that an earlier leader left uncommitted, to another
// directory perhaps, is then in no log that could still win. It may overlap with a change of voters: it only
// adds to those who may form the majorities, whose sizes stay. Where a majority may found a cluster, those
// who weren't part of it are bound at once as long as nothing of it is committed: some of the founders may be
// gone.
CONFMAN_DECL void raft_core::bind_answered() {
  if (CONFMAN_MUTANT(never_bound)) return;
  leader_role& self = *as_leader();
  const bool founded_by_majority =
      options_.first_election_by_majority && configurations_.at(state_.commit).first == log_index{};
  if (!leads_surely() && !founded_by_majority && !CONFMAN_MUTANT(bind_unsure_leader)) return;
  configuration next = members();
  bool bound = false;
  for (auto* list : {&next.incoming, &next.outgoing, &next.learners, &next.learners_next}) {
    for (member& m : *list) {
      const progress* p = self.find(m.id);
      if (m.incarnation || !p || !p->answered_by) continue;
      m.incarnation = p->answered_by;
      bound = true;
    }
  }
  CONFMAN_MARK_IF(bound, directory_bound);
  if (bound) append_configuration(std::move(next));
}

}  // namespace confman
