#pragma once

#include "confman/core/raft_core.hpp"

namespace confman {

CONFMAN_DECL void raft_core::reset_election_timer() {
  election_elapsed_ = 0;
  // Randomised so that split votes are rare and resolved quickly (paper, 5.2).
  election_timeout_ = options_.election_ticks +
                      static_cast<std::uint32_t>(random_.below(options_.election_ticks)) + priority_delay();
  if (CONFMAN_MUTANT(timeout_not_random)) election_timeout_ = options_.election_ticks;
}

// Within the minimum election timeout after hearing from a leader, or being one that a quorum answers, a node
// takes no part in replacing it (thesis, 4.2.3 and 6.4.1).
CONFMAN_DECL bool raft_core::hears_leader() const noexcept {
  return is_leader() ||
         (leader_ && election_elapsed_ < options_.election_ticks && !CONFMAN_MUTANT(no_stickiness));
}

CONFMAN_DECL void raft_core::become_follower(term_t term, node_id leader) {
  const bool was_leader = is_leader();
  const bool new_leader = leader != leader_;
  if (new_leader || was_leader) release_reads();
  CONFMAN_MARK_IF(was_leader && term > state_.term, leader_deposed);
  if (term > state_.term) {
    state_.term = term;
    if (!CONFMAN_MUTANT(vote_kept)) state_.vote = node_id{};
  }
  leader_ = leader;
  role_.emplace<follower_role>();
  if (leader) {
    missed_leaders_ = 0;
    refused_behind_ = false;
  }
  // A higher term alone doesn't put off our own campaign: a candidate that can't win must not keep us from
  // trying.
  if ((leader && !CONFMAN_MUTANT(leader_unheard)) || was_leader) reset_election_timer();
}

// Ask first whether an election could be won, without disturbing anybody's term (thesis, 9.6).
CONFMAN_DECL void raft_core::become_pre_candidate() {
  if (CONFMAN_MUTANT(no_pre_vote)) return become_candidate(false);
  release_reads();
  leader_ = node_id{};
  reset_election_timer();
  auto& self = role_.emplace<pre_candidate_role>();
  self.answers.record(options_.self, options_.incarnation, true);
  if (count(self.answers) == vote_result::won) return become_candidate(false);
  for (const node_id id : members().ids())
    if (id != options_.self && members().is_voter(id))
      send(id, pre_vote_request{state_.term + 1, log_.last()});
}

// `transfer`: the leader asked for it, so those who hear that leader may vote, too.
CONFMAN_DECL void raft_core::become_candidate(bool transfer) {
  release_reads();
  ++state_.term;
  state_.vote = options_.self;
  voted_for_ = options_.incarnation;
  leader_ = node_id{};
  reset_election_timer();
  role_.emplace<candidate_role>();
  // Term and vote must be durable before anybody counts the vote, we ourselves included (paper, figure 2).
  for (const node_id id : members().ids()) {
    if (!members().is_voter(id)) continue;
    if (id == options_.self)
      send_when_durable(id, vote_response{true, options_.incarnation});
    else if (CONFMAN_MUTANT(candidate_before_stored))
      send(id, vote_request{log_.last(), transfer});
    else
      send_when_durable(id, vote_request{log_.last(), transfer});
  }
}

CONFMAN_DECL void raft_core::become_leader(const votes& granted) {
  CONFMAN_ASSERT(!is_leader(), "a leader is not elected twice in a term");
  CONFMAN_MARK_IF(!members().is_voter(options_.self), elected_while_removed);
  leader_ = options_.self;
  heartbeat_elapsed_ = 0;
  role_.emplace<leader_role>();
  follow_configuration();
  // The first entry of a term commits all before it (paper, 5.4.2, figure 8). That of the first leader also
  // binds the data directories that elected it: nothing is ever committed before a majority is bound. Later
  // ones bind only if all voters are with them: else another leader's log could bind an id to another
  // directory at the same time, see bind_answered().
  configuration next = members();
  bool bound = false;
  if (founding() || granted.unanimous(next) || CONFMAN_MUTANT(bind_at_any_election)) {
    for (auto* list : {&next.incoming, &next.outgoing, &next.learners_next}) {
      for (member& m : *list) {
        const votes::answer* answer = granted.of(m.id);
        if (m.incarnation || !answer || !answer->granted) continue;
        m.incarnation = answer->incarnation;
        bound = true;
      }
    }
  }
  if (bound)
    append_configuration(std::move(next));
  else if (!CONFMAN_MUTANT(no_first_entry))
    append(entry_type::noop, {});
  send_heartbeats(*as_leader());
}

CONFMAN_DECL void raft_core::tick_leader(leader_role& self) {
  tick_transfer(self);
  if (!is_leader()) return;
  // Check-quorum (thesis, 6.2): a leader that a majority doesn't answer steps down, so that clients look
  // elsewhere. In a joint configuration both majorities must answer; learners never count, nor does a leader
  // that is no voter.
  if (++self.quorum_elapsed < options_.election_ticks) return;
  self.quorum_elapsed = 0;
  const bool reached = count_votes(members(), [&](const member& m) {
                         const progress* p = m.id == options_.self ? nullptr : self.find(m.id);
                         return std::optional<bool>(speaks_for(m) || (p && p->recently_active));
                       }) == vote_result::won;
  for (progress& p : self.peers) p.was_active = std::exchange(p.recently_active, false);
  CONFMAN_MARK_IF(!reached, check_quorum_lost);
  if (!reached && !CONFMAN_MUTANT(no_check_quorum)) return become_follower(state_.term, node_id{});
  tick_priority(self);
}

CONFMAN_DECL std::error_code raft_core::handle(const message& m, pre_vote_request& body) {
  const bool could = body.campaign_term > state_.term && up_to_date(body.last);
  const bool grant = could && !hears_leader();
  CONFMAN_MARK_IF(could && !grant, pre_vote_refused_for_leader);
  send(m.from, pre_vote_response{body.campaign_term, grant});
  if (CONFMAN_MUTANT(pre_vote_raises_term) && body.campaign_term > state_.term)
    become_follower(body.campaign_term, node_id{});
  return {};
}

CONFMAN_DECL std::error_code raft_core::handle(const message& m, pre_vote_response& body) {
  auto* self = std::get_if<pre_candidate_role>(&role_);
  if (!self || body.campaign_term != state_.term + 1) return {};
  self->answers.record(m.from, m.incarnation, body.granted);
  switch (count(self->answers)) {
    case vote_result::won:
      become_candidate(false);
      break;
    case vote_result::lost:
      CONFMAN_MARK(pre_vote_lost);
      become_follower(state_.term, node_id{});
      break;
    case vote_result::pending:
      break;
  }
  return {};
}

CONFMAN_DECL std::error_code raft_core::handle(const message& m, vote_request& body) {
  // One vote per term, first come first served, and only for a log at least as up to date
  // (paper, 5.2, 5.4.1). A directory, not an id, has it: another one under the same id would be a second
  // leader of the term. The disk doesn't say which one had it, so a restarted voter grants no repetition; the
  // candidate counts one vote less.
  const bool repeated = state_.vote == m.from && voted_for_ && voted_for_ == m.incarnation;
  const bool free = !state_.vote || repeated || CONFMAN_MUTANT(vote_twice);
  const bool grant = free && !leader_ && up_to_date(body.last);
  CONFMAN_MARK_IF(!free, vote_refused_given);
  CONFMAN_MARK_IF(free && !leader_ && !grant, vote_refused_behind);
  if (!grant) {
    send(m.from, vote_response{false, m.incarnation});
    return {};
  }
  state_.vote = m.from;
  voted_for_ = m.incarnation;
  election_elapsed_ = 0;
  if (CONFMAN_MUTANT(vote_before_stored))
    send(m.from, vote_response{true, m.incarnation});
  else
    send_when_durable(m.from, vote_response{true, m.incarnation});
  return {};
}

CONFMAN_DECL std::error_code raft_core::handle(const message& m, vote_response& body) {
  auto* self = std::get_if<candidate_role>(&role_);
  if (!self) return {};
  // A vote is a directory's. One that was given to the directory before ours, in the middle of an election in
  // which it was lost, may have been for entries that we don't have.
  if (body.candidate != options_.incarnation && !CONFMAN_MUTANT(votes_of_another)) {
    CONFMAN_MARK(vote_for_another_directory);
    return {};
  }
  self->answers.record(m.from, m.incarnation, body.granted);
  switch (count(self->answers)) {
    case vote_result::won: {
      const votes granted = std::move(self->answers);
      become_leader(granted);
      break;
    }
    case vote_result::lost:
      CONFMAN_MARK(election_lost);
      become_follower(state_.term, node_id{});
      break;
    case vote_result::pending:
      break;
  }
  return {};
}

// Whoever appends or beats in our term is its one leader (paper, 5.2). A second one means that some node has
// forgotten a vote; believing it would let the logs diverge.
CONFMAN_DECL std::error_code raft_core::accept_leader(const message& m) {
  if (leader_ && leader_ != m.from) return errc::two_leaders;
  become_follower(state_.term, m.from);
  return {};
}

}  // namespace confman
