#pragma once

#include <string>

#include "confman/core/raft_core.hpp"

namespace confman {

namespace detail {

// Whether the log has the entry at the snapshot's end, by index and term, after another history.
[[nodiscard]] inline bool diverges(const recovered_log& recovered, const snapshot_meta& snapshot) {
  const log_index end = snapshot.at.index;
  if (end <= recovered.base.index || end > recovered.base.index + recovered.entries.size()) return false;
  const std::size_t count = static_cast<std::size_t>(end - recovered.base.index);
  if (recovered.entries[count - 1].term != snapshot.at.term) return false;
  chain_hash hash = recovered.base_hash;
  for (std::size_t i = 0; i < count; ++i) {
    const entry& e = recovered.entries[i];
    hash = extend_chain(hash, e.term, static_cast<std::uint8_t>(e.type), e.payload.view());
  }
  return hash != snapshot.hash;
}

// Terms never decrease along a log, and none is above what a peer may have.
[[nodiscard]] inline failure check_terms(const recovered_log& recovered) {
  const auto bad = [](const std::string& where, term_t term) {
    return failure(errc::log_damaged, where + " has term " + std::to_string(term.value()) +
                                          ", which no node can have written there; keep the data directory "
                                          "for analysis, and let the node join anew with an empty one");
  };
  term_t before = recovered.base.term;
  for (const entry& e : recovered.entries) {
    if (e.term < before) return bad("log entry " + std::to_string(e.index.value()), e.term);
    before = e.term;
  }
  if (before > highest_term) return bad("the end of the log", before);
  if (recovered.state.term > highest_term) return bad("the log's state", recovered.state.term);
  if (recovered.snapshot && recovered.snapshot->at.term > highest_term)
    return bad("the newest snapshot", recovered.snapshot->at.term);
  return {};
}

}  // namespace detail

CONFMAN_DECL failure check_recovered(const recovered_log& recovered) {
  if (failure f = detail::check_terms(recovered)) return f;
  for (const entry& e : recovered.entries)
    if (e.type == entry_type::configuration && !decode_configuration(e.payload.view()))
      return {
          errc::format_unsupported,
          "log entry " + std::to_string(e.index.value()) +
              " is a configuration that this version of confman can't read; start the version that wrote it"};
  // Equal index and term mean equal histories (log matching, paper 5.3); to begin at the snapshot would drop
  // the log, which may be the sound one of the two.
  if (recovered.snapshot && detail::diverges(recovered, *recovered.snapshot))
    return {errc::log_diverged, "the newest snapshot, at log entry " +
                                    std::to_string(recovered.snapshot->at.index.value()) +
                                    ", differs from this node's log at the same index and term; check this "
                                    "node's disk and memory, keep its data directory for analysis, and let "
                                    "it join anew with an empty one"};
  if (!recovered.base.index) return {};
  const std::string gone = "log entries up to " + std::to_string(recovered.base.index.value()) +
                           " were released to a snapshot, but ";
  const std::string advice = "; restore the file, or clear the directory and let the node join anew";
  if (!recovered.snapshot) return {errc::log_damaged, gone + "no readable snapshot is there" + advice};
  const log_place held{recovered.snapshot->at, recovered.snapshot->hash};
  if (held.at.index < recovered.base.index)
    return {errc::log_damaged,
            gone + "the newest readable snapshot ends at " + std::to_string(held.at.index.value()) + advice};
  if (held.at.index == recovered.base.index && held != log_place{recovered.base, recovered.base_hash})
    return {errc::log_damaged, gone + "the snapshot that ends there is of another log" + advice};
  return {};
}

CONFMAN_DECL raft_core::raft_core(const raft_options& options, configuration bootstrap,
                                  recovered_log recovered)
    : options_(options),
      random_(options.seed),
      state_(recovered.state),
      configurations_(log_index(0), std::move(bootstrap)),
      writes_(recovered.base.index + recovered.entries.size(), recovered.state),
      follower_reads_(options.boot, options.incarnation) {
  if (CONFMAN_MUTANT(vote_forgotten)) state_.vote = node_id{};
  recover_log(recovered);
  // A crash may have kept a write's entries and lost the term that came behind them. Nobody was told of
  // either, and no vote of that term was given: it would have been durable in a write before.
  if (log_.last().term > state_.term && !CONFMAN_MUTANT(term_behind_log)) {
    CONFMAN_MARK(recovered_term_raised);
    state_.term = log_.last().term;
    state_.vote = node_id{};
  }
  // The commit hint may have reached the disk in a write whose entries another write's truncation voided.
  if (!CONFMAN_MUTANT(commit_hint_unclamped))
    state_.commit = std::max(applied_, std::min(state_.commit, log_.last_index()));
  if (!CONFMAN_MUTANT(recovered_bytes_uncounted))
    for (log_index i = state_.commit + 1; i <= log_.last_index(); ++i) uncommitted_bytes_ += cost(log_.at(i));
  trim(recovered.entries.size());
  checked_term_ = state_.term;
  checked_vote_ = state_.vote;
  checked_commit_ = state_.commit;
  checked_applied_ = applied_;
  reset_election_timer();
}

namespace detail {

// What is taken from an id that isn't in our configuration, because the sender may have a newer one:
//   - from a leader: members learn of a new configuration from it, and one that is being removed leads on
//     until its removal is committed, when its followers have already struck it off (thesis, 4.2.2);
//   - from a candidate: in {1,2,3,4} of which we know only {1,2,3}, with leader 1 gone, 4 may be the only one
//     that can win, as its log is the longest, and it needs our vote. Such a vote is safe, since it promises
//     no more than one to a member: it goes to a log at least as new as ours, once per term, and which votes
//     decide is the business of the candidate's configuration. A removed server that keeps campaigning gets
//     refusals: by pre-vote while we hear a leader, and by its log once we have newer entries.
//   - that our data directory is refused: an empty one that wants to join under a used id knows no member.
// Other answers are not: we ask members only.
[[nodiscard]] inline bool heard_from_strangers(const message_body& body) noexcept {
  return std::holds_alternative<append_request>(body) || std::holds_alternative<heartbeat>(body) ||
         std::holds_alternative<commit_notice>(body) || std::holds_alternative<snapshot_piece>(body) ||
         std::holds_alternative<timeout_now>(body) || std::holds_alternative<pre_vote_request>(body) ||
         std::holds_alternative<vote_request>(body) || std::holds_alternative<refused>(body);
}

}  // namespace detail

// Whether a directory that our configuration doesn't bind to the sender's id may be bound to it by a newer
// one, since the id was removed and added again while we lagged behind. A leader is: whoever was elected is
// bound, or was elected by every founder. A candidate may be if its log is at least as new as ours. One that
// was wiped may have a log, too, which a leader's appends have brought before its answers were refused; but
// it doesn't stand once that log binds its id to the directory before it, see own_vote(). A vote for it
// promises no more than one to a stranger: its own configuration decides which votes count.
CONFMAN_DECL bool raft_core::may_be_newer(const message& m) const {
  if (const auto* pre_vote = std::get_if<pre_vote_request>(&m.body)) return pre_vote->last >= log_.last();
  if (const auto* vote = std::get_if<vote_request>(&m.body)) return vote->last >= log_.last();
  return detail::heard_from_strangers(m.body) && !std::holds_alternative<refused>(m.body);
}

CONFMAN_DECL std::error_code raft_core::check_sender(const message& m) {
  if ((m.cluster != options_.cluster || m.group != options_.group) && !CONFMAN_MUTANT(cluster_unchecked))
    return errc::wrong_cluster;
  if ((m.to != options_.self && !CONFMAN_MUTANT(addressee_unchecked)) || m.from == options_.self || !m.from)
    return errc::unknown_peer;
  if (m.term > highest_term && !CONFMAN_MUTANT(any_term_taken)) return errc::bad_command;
  const member* sender = members().find_member(m.from);
  if (!sender) return detail::heard_from_strangers(m.body) ? std::error_code{} : errc::unknown_peer;
  if (sender->incarnation && sender->incarnation != m.incarnation && !may_be_newer(m) &&
      !CONFMAN_MUTANT(no_incarnation) && !CONFMAN_MUTANT(incarnation_unchecked)) {
    CONFMAN_MARK(directory_refused);
    if (!std::holds_alternative<refused>(m.body)) send(m.from, refused{sender->incarnation});
    return errc::wrong_incarnation;
  }
  return {};
}

CONFMAN_DECL std::error_code raft_core::step(message&& m) {
  if (const std::error_code error = check_sender(m)) return error;
  if (!pass_term_gate(m)) return {};
  const std::error_code error = dispatch(m);
  check_invariants();
  return error;
}

// Terms are compared once, before dispatch (paper, figure 2, "Rules for Servers"). False: the message ends
// here.
CONFMAN_DECL bool raft_core::pass_term_gate(const message& m) {
  const bool pre_vote = std::holds_alternative<pre_vote_request>(m.body);
  const bool vote = std::holds_alternative<vote_request>(m.body);
  if (m.term > state_.term) {
    // Asking must not raise terms (thesis, 9.6), nor may a candidate that a live leader's followers don't
    // need (leader stickiness: thesis, 4.2.3).
    if (pre_vote) return true;
    if (vote && hears_leader() &&
        (!std::get<vote_request>(m.body).transfer || CONFMAN_MUTANT(transfer_not_excepted))) {
      CONFMAN_MARK(vote_ignored_for_leader);
      return false;
    }
    CONFMAN_MARK_IF(vote && hears_leader(), vote_despite_leader);
    become_follower(m.term, node_id{});
    return true;
  }
  if (m.term == state_.term) return true;
  if (CONFMAN_MUTANT(stale_append_ok) && std::holds_alternative<append_ok>(m.body)) return true;
  if (CONFMAN_MUTANT(stale_vote_ok) && std::holds_alternative<vote_response>(m.body)) return true;
  if (pre_vote && !CONFMAN_MUTANT(stale_pre_vote_unanswered))
    return true;  // answered by a refusal, whose term brings the sender up to date
  // A grant bears the term of who gave it, which may be lower than the asker's: asking raised nobody's term.
  if (std::holds_alternative<pre_vote_response>(m.body)) return true;
  // That our data directory isn't accepted is true whatever the term.
  if (std::holds_alternative<refused>(m.body)) return true;
  if (vote) send(m.from, vote_response{false, m.incarnation});
  const bool from_leader = std::holds_alternative<append_request>(m.body) ||
                           std::holds_alternative<heartbeat>(m.body) ||
                           std::holds_alternative<commit_notice>(m.body);
  // A deposed leader, or one whose term a lone candidate has passed: tell it, or it would lead in vain for
  // ever.
  CONFMAN_MARK_IF(from_leader, stale_leader_told);
  if (from_leader && !CONFMAN_MUTANT(stale_leader_untold)) send(m.from, stale_term{});
  return false;
}

CONFMAN_DECL std::error_code raft_core::dispatch(message& m) {
  return std::visit([this, &m](auto& body) { return handle(m, body); }, m.body);
}

CONFMAN_DECL std::error_code raft_core::handle(const message& m, refused& body) {
  if (body.bound != options_.incarnation) refused_by_ = m.from;
  return {};
}

CONFMAN_DECL void raft_core::tick() {
  ++election_elapsed_;
  ++heartbeat_elapsed_;
  if (leader_role* self = as_leader()) {
    tick_leader(*self);
  } else if (election_elapsed_ >= election_timeout_) {
    if (may_campaign())
      become_pre_candidate();
    else
      miss_leader();
  }
  if (heartbeat_elapsed_ >= options_.heartbeat_ticks) {
    heartbeat_elapsed_ = 0;
    if (leader_role* self = as_leader()) {
      send_heartbeats(*self);
      push_transfer(*self);  // the request may have been lost
    } else {
      retry_reads();
    }
  }
  ask_silent_peers();
  trim();
  check_invariants();
}

CONFMAN_DECL void raft_core::persisted(write_seq seq) {
  const log_index before = writes_.stable();
  writes_.persisted(seq);
  const auto news = static_cast<std::size_t>(std::max(before, writes_.stable()) - before);
  release_held();
  if (leader_role* self = as_leader()) {
    // The leader's disk is one voter among others (thesis, 10.2.1): it counts when its write is durable.
    self->find(options_.self)->match = writes_.stable();
    advance_commit(*self);
  }
  trim(news);
  check_invariants();
}

CONFMAN_DECL void raft_core::applied(log_index index) {
  CONFMAN_ASSERT(index <= apply_handed_, "the state machine applied what it was not given");
  // What was handed out before a snapshot was installed is in the snapshot.
  if (index <= applied_) return;
  const auto news = static_cast<std::size_t>(index - applied_);
  applied_ = index;
  trim(news);
  check_invariants();
}

CONFMAN_DECL void raft_core::unreachable(node_id peer) {
  leader_role* self = as_leader();
  progress* p = self ? self->find(peer) : nullptr;
  if (p && p->state == progress_state::replicate) p->become_probe(p->match + 1);
  if (p && p->state == progress_state::snapshot) ask_again(*p);
}

CONFMAN_DECL bool raft_core::has_ready(bool storage_idle) const {
  if (!outbox_.empty() || !answered_reads_.empty() || apply_handed_ < state_.commit || reads_due())
    return true;
  if (!snapshots_wanted_.empty()) return true;
  if (storage_idle && writes_.dirty(log_, state_)) return true;
  if (const auto* self = std::get_if<leader_role>(&role_))
    for (const progress& p : self->peers)
      if (replication_due(p)) return true;
  return false;
}

CONFMAN_DECL ready raft_core::take_ready(bool storage_idle) {
  begin_reads();
  if (leader_role* self = as_leader()) replicate(*self);
  ready work;
  work.messages = std::move(outbox_);
  outbox_.clear();
  if (storage_idle && writes_.dirty(log_, state_)) work.write = writes_.take(log_, state_);
  work.apply_first = apply_handed_ + 1;
  apply_handed_ = std::min(CONFMAN_MUTANT(apply_uncommitted) ? log_.last_index() : state_.commit,
                           apply_handed_ + options_.max_apply_entries);
  work.apply_last = apply_handed_;
  work.reads = std::move(answered_reads_);
  answered_reads_.clear();
  work.snapshots_wanted = std::exchange(snapshots_wanted_, {});
  work.fetches = std::exchange(fetches_, {});
  return work;
}

CONFMAN_DECL const progress* raft_core::progress_of(node_id id) const noexcept {
  if (const auto* self = std::get_if<leader_role>(&role_))
    for (const progress& p : self->peers)
      if (p.id == id) return &p;
  return nullptr;
}

CONFMAN_DECL message raft_core::envelope(node_id to, message_body body) const {
  return {options_.cluster,     options_.group, options_.self,  to,
          options_.incarnation, state_.term,    std::move(body)};
}

CONFMAN_DECL void raft_core::send(node_id to, message_body body) {
  outbox_.push_back(envelope(to, std::move(body)));
}

// A promise to a peer (or to ourselves): it leaves when all that holds now is durable. Held here and not in
// the runtime, so that no runtime can send it too early.
CONFMAN_DECL void raft_core::send_when_durable(node_id to, message_body body) {
  const std::optional<write_seq> after = writes_.barrier(log_, state_);
  if (!after) {
    CONFMAN_ASSERT(to != options_.self, "a promise to ourselves always follows a change of state");
    send(to, std::move(body));
    return;
  }
  const bool same_write = !held_.empty() && (held_.back().after == *after || CONFMAN_MUTANT(acks_merged));
  if (same_write && held_.back().m.to == to && held_.back().m.term == state_.term &&
      std::holds_alternative<append_ok>(body) && std::holds_alternative<append_ok>(held_.back().m.body)) {
    // One acknowledgement per write is enough: matches of one term only grow, but a late duplicate may say
    // less.
    auto& waiting = std::get<append_ok>(held_.back().m.body);
    waiting.match = std::max(waiting.match, std::get<append_ok>(body).match);
    return;
  }
  held_.push_back({*after, envelope(to, std::move(body))});
}

CONFMAN_DECL void raft_core::release_held() {
  std::vector<message> own;
  while (!held_.empty() && held_.front().after <= writes_.durable()) {
    message m = std::move(held_.front().m);
    held_.pop_front();
    // What an older term promised is moot; sending it under its old term would be harmless and useless.
    CONFMAN_MARK_IF(m.term != state_.term, promise_void);
    if (m.term != state_.term && !CONFMAN_MUTANT(void_promise_kept)) continue;
    (m.to == options_.self ? own : outbox_).push_back(std::move(m));
  }
  for (message& m : own) dispatch(m);
}

CONFMAN_DECL void raft_core::check_invariants() {
  CONFMAN_ASSERT(writes_.stable() <= log_.last_index(), "stable <= last");
  CONFMAN_ASSERT(applied_ <= state_.commit && state_.commit <= log_.last_index(),
                 "applied <= commit <= last");
  CONFMAN_ASSERT(log_.base().index <= applied_ && stored_first_ <= applied_ + 1,
                 "what is not applied is kept");
  CONFMAN_ASSERT(state_.term >= checked_term_, "terms never go back");
  CONFMAN_ASSERT(state_.term > checked_term_ || !checked_vote_ || state_.vote == checked_vote_,
                 "one vote per term");
  CONFMAN_ASSERT(state_.commit >= checked_commit_, "the commit index never goes back");
  CONFMAN_ASSERT(applied_ >= checked_applied_, "the applied index never goes back");
  CONFMAN_ASSERT(log_.last().term <= state_.term, "the log holds no term above the current one");
  CONFMAN_ASSERT(!is_leader() || leader_ == options_.self, "a leader knows itself");
  checked_term_ = state_.term;
  checked_vote_ = state_.vote;
  checked_commit_ = state_.commit;
  checked_applied_ = applied_;
}

}  // namespace confman
