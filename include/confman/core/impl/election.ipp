#pragma once

#include "confman/core/raft_core.hpp"

namespace confman {

CONFMAN_DECL void raft_core::reset_election_timer() {
  election_elapsed_ = 0;
  // Randomised so that split votes are rare and resolved quickly (paper, 5.2).
  election_timeout_ =
      options_.election_ticks + static_cast<std::uint32_t>(random_.below(options_.election_ticks));
}

// Within the minimum election timeout after hearing from a leader, or being one that a quorum answers, a node
// takes no part in replacing it (thesis, 4.2.3 and 6.4.1).
CONFMAN_DECL bool raft_core::hears_leader() const noexcept {
  return is_leader() || (leader_ && election_elapsed_ < options_.election_ticks);
}

CONFMAN_DECL void raft_core::become_follower(term_t term, node_id leader) {
  const bool was_leader = is_leader();
  const bool new_leader = leader != leader_;
  if (new_leader || was_leader) release_reads();
  if (term > state_.term) {
    state_.term = term;
    state_.vote = node_id{};
  }
  leader_ = leader;
  role_.emplace<follower_role>();
  // A higher term alone doesn't put off our own campaign: a candidate that can't win must not keep us from
  // trying.
  if (leader || was_leader) reset_election_timer();
}

// Ask first whether an election could be won, without disturbing anybody's term (thesis, 9.6).
CONFMAN_DECL void raft_core::become_pre_candidate() {
  release_reads();
  leader_ = node_id{};
  reset_election_timer();
  auto& self = role_.emplace<pre_candidate_role>();
  self.answers.record(options_.self, options_.incarnation, true);
  if (self.answers.count(members()) == vote_result::won) return become_candidate();
  for (const node_id id : members().ids())
    if (id != options_.self && members().is_voter(id))
      send(id, pre_vote_request{state_.term + 1, log_.last()});
}

CONFMAN_DECL void raft_core::become_candidate() {
  ++state_.term;
  state_.vote = options_.self;
  leader_ = node_id{};
  reset_election_timer();
  role_.emplace<candidate_role>();
  // Term and vote must be durable before anybody counts the vote, we ourselves included (paper, figure 2).
  for (const node_id id : members().ids()) {
    if (!members().is_voter(id)) continue;
    if (id == options_.self)
      send_when_durable(id, vote_response{true});
    else
      send_when_durable(id, vote_request{log_.last()});
  }
}

CONFMAN_DECL void raft_core::become_leader(const votes& granted) {
  CONFMAN_ASSERT(!is_leader(), "a leader is not elected twice in a term");
  leader_ = options_.self;
  heartbeat_elapsed_ = 0;
  auto& self = role_.emplace<leader_role>();
  configuration members_now = members();
  bool bound = false;
  for (auto* list : {&members_now.incoming, &members_now.outgoing}) {
    for (member& m : *list) {
      const votes::answer* answer = granted.of(m.id);
      if (m.incarnation || !answer || !answer->granted) continue;
      m.incarnation = answer->incarnation;
      bound = true;
    }
  }
  for (const node_id id : members_now.ids()) {
    progress p;
    p.id = id;
    p.next = log_.last_index() + 1;
    p.recently_active = true;  // a new leader has one election timeout to find its quorum
    p.incarnation = members_now.find_member(id)->incarnation;
    if (id == options_.self) p.match = writes_.stable();
    self.peers.push_back(std::move(p));
  }
  // The first entry of a term commits all before it (paper, 5.4.2, figure 8). In the first term of a cluster
  // it also binds the data directories that elected this leader: nothing is ever committed before a majority
  // is bound.
  if (bound) {
    append(entry_type::configuration, encode_configuration(members_now));
    configurations_.append(log_.last_index(), std::move(members_now));
  } else {
    append(entry_type::noop, {});
  }
  send_heartbeats(self);
}

CONFMAN_DECL void raft_core::tick_leader(leader_role& self) {
  // Check-quorum (thesis, 6.2): a leader that a majority doesn't answer steps down, so that clients look
  // elsewhere.
  if (++self.quorum_elapsed < options_.election_ticks) return;
  self.quorum_elapsed = 0;
  const bool reached = count_votes(members(), [&](const member& m) {
                         const progress* p = self.find(m.id);
                         return std::optional<bool>(m.id == options_.self || (p && p->recently_active));
                       }) == vote_result::won;
  for (progress& p : self.peers) p.recently_active = false;
  if (!reached) become_follower(state_.term, node_id{});
}

CONFMAN_DECL std::error_code raft_core::handle(const message& m, pre_vote_request& body) {
  const bool grant = body.campaign_term > state_.term && up_to_date(body.last) && !hears_leader();
  send(m.from, pre_vote_response{body.campaign_term, grant});
  return {};
}

CONFMAN_DECL std::error_code raft_core::handle(const message& m, pre_vote_response& body) {
  auto* self = std::get_if<pre_candidate_role>(&role_);
  if (!self || body.campaign_term != state_.term + 1) return {};
  self->answers.record(m.from, m.incarnation, body.granted);
  switch (self->answers.count(members())) {
    case vote_result::won:
      become_candidate();
      break;
    case vote_result::lost:
      become_follower(state_.term, node_id{});
      break;
    case vote_result::pending:
      break;
  }
  return {};
}

CONFMAN_DECL std::error_code raft_core::handle(const message& m, vote_request& body) {
  // One vote per term, first come first served, and only for a log at least as up to date
  // (paper, 5.2, 5.4.1).
  const bool free = !state_.vote || state_.vote == m.from;
  const bool grant = free && !leader_ && up_to_date(body.last);
  if (!grant) {
    send(m.from, vote_response{false});
    return {};
  }
  state_.vote = m.from;
  election_elapsed_ = 0;
  send_when_durable(m.from, vote_response{true});
  return {};
}

CONFMAN_DECL std::error_code raft_core::handle(const message& m, vote_response& body) {
  auto* self = std::get_if<candidate_role>(&role_);
  if (!self) return {};
  self->answers.record(m.from, m.incarnation, body.granted);
  switch (self->answers.count(members())) {
    case vote_result::won: {
      const votes granted = std::move(self->answers);
      become_leader(granted);
      break;
    }
    case vote_result::lost:
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
