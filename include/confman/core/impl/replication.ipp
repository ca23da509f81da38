#pragma once

#include "confman/core/raft_core.hpp"

namespace confman {

CONFMAN_DECL raft_core::proposed raft_core::propose(shared_bytes command) {
  if (!is_leader()) return {errc::not_leader, {}};
  if (transferring_to() && !CONFMAN_MUTANT(propose_in_transfer)) return {errc::busy, {}};
  const std::size_t waiting = static_cast<std::size_t>(log_.last_index() - state_.commit);
  if ((waiting >= options_.max_uncommitted_entries && !CONFMAN_MUTANT(tail_unbounded)) ||
      (uncommitted_bytes_ >= options_.max_uncommitted_bytes && !CONFMAN_MUTANT(tail_bytes_unbounded)))
    return {errc::busy, {}};
  append(entry_type::command, std::move(command));
  check_invariants();
  return {{}, log_.last()};
}

// A leader only ever appends to its own log (paper, 5.3: leader append-only).
CONFMAN_DECL void raft_core::append(entry_type type, shared_bytes payload) {
  entry e{state_.term, log_.last_index() + 1, type, std::move(payload), {}};
  uncommitted_bytes_ += cost(e);
  log_.append(std::move(e));
}

CONFMAN_DECL std::error_code raft_core::handle(const message& m, append_request& body) {
  if (const std::error_code error = accept_leader(m)) return error;
  if (body.previous.index < state_.commit) {
    // Overtaken or repeated: all up to our commit index is known to agree (state machine safety,
    // paper 5.4.3).
    const std::size_t known = static_cast<std::size_t>(state_.commit - body.previous.index);
    if (known >= body.entries.size()) {
      CONFMAN_MARK(append_overtaken);
      send_when_durable(m.from, append_ok{state_.commit});
      return {};
    }
  }
  if (body.previous.index < log_.base().index)
    if (const std::error_code error = skip_compacted(body)) return error;
  if (!log_.matches(body.previous) && !CONFMAN_MUTANT(append_unmatched)) {
    if (body.previous.index <= state_.commit) return errc::log_diverged;
    const log_index limit = std::min(body.previous.index, log_.last_index());
    const version hint = log_.last_agreeing({body.previous.term, limit});
    CONFMAN_MARK_IF(hint.index < limit, hint_by_term);
    send(m.from, append_reject{body.previous.index, hint});
    return {};
  }
  // Equal (index, term) with unequal history is impossible (log matching), so the hardware or the code is
  // broken.
  if (log_.hash_at(body.previous.index) != body.previous_hash && !CONFMAN_MUTANT(append_unmatched))
    return errc::log_diverged;
  log_index match;
  if (const std::error_code error = append_from(body, match)) return error;
  // Only what this leader has just confirmed may be committed: a longer log of ours may end in a stale
  // suffix.
  CONFMAN_MARK_IF(match < log_.last_index(), append_agrees_before_more);
  CONFMAN_MARK_IF(match < std::min(body.commit, log_.last_index()), commit_held_back);
  commit_to(CONFMAN_MUTANT(commit_beyond_match) ? body.commit : std::min(body.commit, match));
  if (CONFMAN_MUTANT(append_before_sync))
    send(m.from, append_ok{match});
  else
    send_when_durable(m.from, append_ok{match});
  return {};
}

// Appends what is new, removing a conflicting suffix first (paper, figure 2, AppendEntries 3 and 4).
CONFMAN_DECL std::error_code raft_core::append_from(const append_request& body, log_index& match) {
  match = body.previous.index;
  term_t last_term = body.previous.term;
  for (const entry& e : body.entries) {
    if (e.index != match + 1 || e.term < last_term || e.term > state_.term) return errc::bad_command;
    // Before anything is removed for it: a refused append changes nothing.
    if (e.type == entry_type::configuration && !decode_configuration(e.payload.view()))
      return errc::bad_command;
    match = e.index;
    last_term = e.term;
  }
  std::size_t i = 0;
  while (i < body.entries.size() &&
         (log_.matches({body.entries[i].term, body.entries[i].index}) ||
          (CONFMAN_MUTANT(conflict_kept) && body.entries[i].index <= log_.last_index())))
    ++i;
  for (; i < body.entries.size(); ++i) {
    const entry& e = body.entries[i];
    if (e.index <= log_.last_index()) {
      CONFMAN_ASSERT(!is_leader(), "a leader never truncates");
      CONFMAN_MARK(conflict_truncated);
      if (e.index <= state_.commit) return errc::log_diverged;  // a committed entry is never truncated
      truncate(e.index);
    }
    if (e.type == entry_type::configuration) {
      configurations_.append(e.index, *decode_configuration(e.payload.view()));
    }
    uncommitted_bytes_ += cost(e);
    log_.append(e);
  }
  if (CONFMAN_MUTANT(truncate_agreeing) && std::max(match, state_.commit) < log_.last_index())
    truncate(std::max(match, state_.commit) + 1);
  return {};
}

CONFMAN_DECL void raft_core::truncate(log_index from) {
  CONFMAN_MARK_IF(members_at() >= from, configuration_truncated);
  if (!CONFMAN_MUTANT(truncated_bytes_kept))
    for (log_index gone = from; gone <= log_.last_index(); ++gone) uncommitted_bytes_ -= cost(log_.at(gone));
  log_.truncate_from(from);
  writes_.truncated(from);
  configurations_.truncate_from(from);
}

CONFMAN_DECL std::error_code raft_core::handle(const message& m, append_ok& body) {
  leader_role* self = as_leader();
  progress* peer = self ? self->find(m.from) : nullptr;
  if (!peer || body.match > log_.last_index()) return peer ? errc::bad_command : std::error_code{};
  peer->recently_active = true;
  note_directory(*peer, m.incarnation, true);
  peer->verify = false;
  const bool news = body.match > peer->match;
  if (news || CONFMAN_MUTANT(match_goes_back)) peer->match = body.match;
  if (!CONFMAN_MUTANT(window_not_freed)) peer->window.acknowledged(peer->match);
  if (peer->state == progress_state::probe && body.match + 1 >= peer->next) peer->become_replicate();
  if (peer->state == progress_state::snapshot && peer->match + 1 >= stored_first_) peer->become_replicate();
  if (peer->next <= peer->match && !CONFMAN_MUTANT(next_behind_match)) peer->next = peer->match + 1;
  if (!news) return {};
  bind_answered();
  if (self->transfer_to == m.from) push_transfer(*self);
  advance_commit(*self);
  return {};
}

CONFMAN_DECL std::error_code raft_core::handle(const message& m, append_reject& body) {
  leader_role* self = as_leader();
  progress* peer = self ? self->find(m.from) : nullptr;
  if (!peer) return {};
  peer->recently_active = true;
  note_directory(*peer, m.incarnation, false);
  // Late or repeated: what is known to match stays matched, and a probe is only answered by its own
  // rejection.
  CONFMAN_MARK_IF(body.rejected <= peer->match, rejection_late);
  if (body.rejected <= peer->match || peer->state == progress_state::snapshot) return {};
  if (peer->state == progress_state::probe && body.rejected + 1 != peer->next) return {};
  // The follower names the last place that may agree from its side; ours may be earlier (paper, 5.3, end).
  const version agreeing = body.hint.index < log_.floor().index ? body.hint : log_.last_agreeing(body.hint);
  CONFMAN_MARK_IF(agreeing.index < body.hint.index, hint_met_earlier);
  CONFMAN_MARK_IF(peer->state == progress_state::replicate, loss_found);
  const log_index next =
      CONFMAN_MUTANT(hint_overshoots) ? log_.last_index() + 1 : std::min(agreeing.index + 1, body.rejected);
  peer->become_probe(next);
  return {};
}

CONFMAN_DECL void raft_core::commit_to(log_index index) {
  const log_index limit = std::min(index, log_.last_index());
  while (state_.commit < limit) {
    ++state_.commit;
    uncommitted_bytes_ -= cost(log_.at(state_.commit));
  }
}

// A leader commits by counting only entries of its own term (paper, 5.4.2, figure 8).
CONFMAN_DECL void raft_core::advance_commit(leader_role& self) {
  const auto held = [&](const member& m) {
    const progress* p = self.find(m.id);
    if (CONFMAN_MUTANT(self_before_sync) && m.id == options_.self) return log_.last_index();
    if (CONFMAN_MUTANT(no_incarnation) && p) return p->match;
    return p && p->incarnation && p->incarnation == m.incarnation ? p->match : log_index{};
  };
  log_index index = quorum_reached<log_index>(members(), held);
  if (CONFMAN_MUTANT(learner_counts)) {
    std::vector<member> all = members().incoming;
    all.insert(all.end(), members().learners.begin(), members().learners.end());
    index = majority_reached<log_index>(all, held);
  }
  if (CONFMAN_MUTANT(removed_leader_counts) && !members().is_voter(options_.self)) {
    std::vector<member> all = members().incoming;
    all.push_back({options_.self, options_.incarnation});
    index = majority_reached<log_index>(all, held);
  }
  CONFMAN_MARK_IF(index > state_.commit && log_.term_at(index) != state_.term, commit_waits_for_term);
  if (index > state_.commit && (log_.term_at(index) == state_.term || CONFMAN_MUTANT(commit_earlier_term))) {
    commit_to(index);
    follow_commit();  // may end this role
  }
}

CONFMAN_DECL bool raft_core::window_open(const progress& peer) const noexcept {
  if (CONFMAN_MUTANT(window_unbounded)) return true;
  if (CONFMAN_MUTANT(window_bytes_unbounded)) return peer.window.count() < options_.max_window_appends;
  return peer.window.count() < options_.max_window_appends && peer.window.bytes() < options_.max_window_bytes;
}

// A learner is sent what is committed and no more. Who has appended the configuration that makes it a voter,
// and was left alone with that, asks for its vote; it must not refuse that for the sake of entries that
// nobody else has, as it doesn't stand for election itself (docs/adr/0011).
CONFMAN_DECL log_index raft_core::last_for(const progress& peer) const noexcept {
  return peer.votes || CONFMAN_MUTANT(learner_ahead) ? log_.last_index() : state_.commit;
}

CONFMAN_DECL bool raft_core::replication_due(const progress& peer) const noexcept {
  if (peer.id == options_.self || peer.state == progress_state::snapshot || peer.fetching) return false;
  if (peer.state == progress_state::probe) return !peer.probe_sent;
  if (peer.verify) return true;
  const bool more = peer.next <= last_for(peer);
  CONFMAN_MARK_IF(more && !window_open(peer), window_full);
  if (more) return window_open(peer);
  if (CONFMAN_MUTANT(notice_commit)) return peer.told_commit < state_.commit;
  return peer.told_commit < std::min(state_.commit, peer.match);
}

// Called once per ready: what was proposed since the last one leaves as one append per follower.
CONFMAN_DECL void raft_core::replicate(leader_role& self) {
  for (progress& p : self.peers)
    while (replication_due(p)) send_appends(p);
}

CONFMAN_DECL void raft_core::send_appends(progress& peer) {
  const std::optional<log_place> previous = place_before(peer);
  if (!previous) return read_or_snapshot(peer, peer.next - 1);
  if (peer.state == progress_state::probe || (peer.next <= last_for(peer) && window_open(peer))) {
    if (peer.next < log_.first_index()) return read_or_snapshot(peer, peer.next);
    peer.verify = false;
    send_entries(peer, *previous, entries_for(peer));
  } else if (peer.verify) {
    // An empty append at the end of what was sent: if anything before it was lost, it is rejected.
    peer.verify = false;
    send(peer.id, append_request{previous->at, previous->hash, state_.commit, {}});
  } else {
    // Nothing else is on its way: without this a follower's readers and watchers would wait for a heartbeat.
    peer.told_commit = CONFMAN_MUTANT(notice_commit) ? state_.commit : std::min(state_.commit, peer.match);
    send(peer.id, commit_notice{peer.told_commit});
  }
}

// The entries in memory from peer.next on, as many as fit one message.
CONFMAN_DECL std::vector<entry> raft_core::entries_for(const progress& peer) const {
  std::vector<entry> entries;
  const log_index last = last_for(peer);
  if (peer.next > last) return entries;
  const std::size_t available = static_cast<std::size_t>(last + 1 - peer.next);
  entries.reserve(std::min(available, options_.max_append_entries));
  std::size_t bytes = 0;
  for (log_index i = peer.next; i <= last && entries.size() < options_.max_append_entries; ++i) {
    const entry& e = log_.at(i);
    if (!entries.empty() && bytes + cost(e) > options_.max_append_bytes && !CONFMAN_MUTANT(append_unbounded))
      break;
    bytes += cost(e);
    entries.push_back(e);
  }
  return entries;
}

CONFMAN_DECL void raft_core::send_entries(progress& peer, const log_place& previous,
                                          std::vector<entry> entries) {
  std::size_t bytes = 0;
  for (const entry& e : entries) bytes += cost(e);
  const log_index last = previous.at.index + entries.size();
  peer.told_commit = std::min(state_.commit, last);
  if (peer.state == progress_state::probe) {
    peer.probe_sent = true;
  } else {
    peer.next = last + 1;
    peer.window.sent(last, bytes);
    // In memory it may be gone by the time that what follows it is sent.
    if (!entries.empty()) peer.before = log_place{{entries.back().term, last}, entries.back().hash};
  }
  send(peer.id, append_request{previous.at, previous.hash, state_.commit, std::move(entries)});
}

CONFMAN_DECL void raft_core::send_heartbeats(leader_role& self) {
  for (const progress& p : self.peers)
    if (p.id != options_.self)
      send(p.id,
           heartbeat{CONFMAN_MUTANT(heartbeat_commit) ? state_.commit : std::min(state_.commit, p.match),
                     self.rounds.latest()});
}

// A leader never names more than we acknowledged to it, so there is no stale suffix to fear; and if we don't
// hold that much, our disk has lost what it had synced. An empty log belongs to a wiped directory, whose
// answers the leader will refuse by their incarnation, which says more.
CONFMAN_DECL bool raft_core::lacks_acknowledged(log_index commit) const noexcept {
  return commit > log_.last_index() && log_.last_index() && !CONFMAN_MUTANT(lost_tail_unnoticed);
}

CONFMAN_DECL std::error_code raft_core::handle(const message& m, heartbeat& body) {
  if (const std::error_code error = accept_leader(m)) return error;
  if (lacks_acknowledged(body.commit)) return errc::log_damaged;
  commit_to(body.commit);
  send(m.from, heartbeat_response{body.round});
  return {};
}

CONFMAN_DECL std::error_code raft_core::handle(const message& m, heartbeat_response& body) {
  leader_role* self = as_leader();
  progress* peer = self ? self->find(m.from) : nullptr;
  if (!peer) return {};
  // A round not begun yet would confirm reads that come after the answer.
  if (body.round > self->rounds.latest()) return errc::bad_command;
  if (!CONFMAN_MUTANT(idle_is_silent)) peer->recently_active = true;
  peer->probe_sent = false;
  // Sent but not acknowledged since the last heartbeat: slow, or lost. Asking costs one empty message.
  if (peer->state == progress_state::replicate && peer->match + 1 < peer->next &&
      !CONFMAN_MUTANT(loss_unnoticed))
    peer->verify = peer->match == peer->match_at_heartbeat;
  CONFMAN_MARK_IF(peer->verify, loss_suspected);
  peer->match_at_heartbeat = peer->match;
  if (body.round > peer->round) peer->round = body.round;
  if (CONFMAN_MUTANT(read_stale_round)) peer->round = self->rounds.latest();
  confirm_reads(*self);
  return {};
}

CONFMAN_DECL std::error_code raft_core::handle(const message& m, commit_notice& body) {
  if (const std::error_code error = accept_leader(m)) return error;
  if (lacks_acknowledged(body.commit)) return errc::log_damaged;
  commit_to(body.commit);
  return {};
}

}  // namespace confman
