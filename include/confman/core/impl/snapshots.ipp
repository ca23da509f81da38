#pragma once

#include "confman/core/raft_core.hpp"

namespace confman {

// After a crash the log either reaches the snapshot's end, with the same entry there: then it goes on after
// it. Or the crash came between a snapshot's arrival and the log's reset: then the reset is done now (paper,
// section 7: a snapshot stands for everything up to its last entry, whatever the log says).
CONFMAN_DECL void raft_core::recover_log(recovered_log& recovered) {
  log_.reset({recovered.base, recovered.base_hash});
  stored_first_ = recovered.base.index + 1;
  stored_base_ = log_place{recovered.base, recovered.base_hash};
  snapshot_ = std::move(recovered.snapshot);
  if (snapshot_) configurations_.reset(snapshot_->members_at, snapshot_->members);
  const log_index from = snapshot_ ? snapshot_->at.index : log_index{};
  for (entry& e : recovered.entries) {
    if (e.type == entry_type::configuration && e.index > from)
      if (auto members = decode_configuration(e.payload.view()))
        configurations_.append(e.index, *std::move(members));
    log_.append(std::move(e));
  }
  applied_ = apply_handed_ = from;
  if (snapshot_ && log_.place_at(from) != log_place{snapshot_->at, snapshot_->hash} &&
      !CONFMAN_MUTANT(recovery_keeps_log)) {
    CONFMAN_MARK(snapshot_recovered);
    begin_at(*snapshot_);
  }
}

// Everything before the snapshot's end is replaced by it, everything after it is void.
CONFMAN_DECL void raft_core::begin_at(const snapshot_meta& meta) {
  CONFMAN_ASSERT(!is_leader(), "a leader never truncates");
  const log_place end{meta.at, meta.hash};
  log_.reset(end);
  writes_.reset(end);
  if (!CONFMAN_MUTANT(install_keeps_members)) configurations_.reset(meta.members_at, meta.members);
  if (!CONFMAN_MUTANT(reset_bytes_kept)) uncommitted_bytes_ = 0;
  stored_first_ = meta.at.index + 1;
  stored_base_ = end;
  state_.commit = applied_ = apply_handed_ = meta.at.index;
}

CONFMAN_DECL bool raft_core::install(const snapshot_meta& meta) {
  if (meta.at.term > highest_term || !meta.at.index || meta.at.index > highest_index) return false;
  if (meta.at.index <= state_.commit && !CONFMAN_MUTANT(install_old_snapshot)) {
    // What it says is known here. The leader still has to hear it, or it would go on offering snapshots.
    CONFMAN_MARK(snapshot_old);
    acknowledge(state_.commit);
    return false;
  }
  const bool known = log_.matches(meta.at) && !CONFMAN_MUTANT(install_old_snapshot);
  // Equal places have equal histories (log matching, paper 5.3), and a leader has every committed entry
  // (paper, 5.4.3). Where that doesn't hold, hardware or code is broken: no data is thrown away for it.
  if (known ? log_.hash_at(meta.at.index) != meta.hash : is_leader()) return false;
  if (meta.at.term > state_.term) become_follower(meta.at.term, node_id{});
  CONFMAN_MARK_IF(known, snapshot_known);
  CONFMAN_MARK_IF(!known && meta.at.index <= log_.last_index(), snapshot_discards);
  CONFMAN_MARK_IF(!known && meta.at.index > log_.last_index(), snapshot_replaces);
  if (known) {
    // "If existing log entry has same index and term as snapshot's last included entry, retain log entries
    // following it and reply" (paper, figure 13, 6). Only what is committed gets into a snapshot.
    commit_to(meta.at.index);
  } else if (CONFMAN_MUTANT(install_keeps_suffix)) {
    const log_view before = log_;
    begin_at(meta);
    snapshot_ = meta;
    for (log_index i = meta.at.index + 1; i >= before.first_index() && i <= before.last_index(); ++i) {
      uncommitted_bytes_ += cost(before.at(i));
      log_.append(before.at(i));
    }
  } else {
    begin_at(meta);  // "discard the entire log" (paper, figure 13, 7 and 8)
    snapshot_ = meta;
  }
  acknowledge(meta.at.index);
  check_invariants();
  return !known;
}

CONFMAN_DECL void raft_core::acknowledge(log_index match) {
  if (leader_ && leader_ != options_.self && CONFMAN_MUTANT(install_before_stored))
    return send(leader_, append_ok{match});
  if (leader_ && leader_ != options_.self) send_when_durable(leader_, append_ok{match});
}

CONFMAN_DECL snapshot_meta raft_core::describe_snapshot() const {
  CONFMAN_ASSERT(applied_, "a snapshot contains something");
  // The configuration in force at that place: a later one is not committed yet, or not in this state
  // (thesis, 5.1.1).
  const configuration_log::placed& in_force =
      configurations_.at(CONFMAN_MUTANT(snapshot_uncommitted_members) ? log_.last_index() : applied_);
  const log_place end = *log_.place_at(applied_);
  return {end.at, end.hash, in_force.second, in_force.first};
}

CONFMAN_DECL void raft_core::compacted(const snapshot_meta& meta, log_index keep_from) {
  if (snapshot_ && meta.at.index < snapshot_->at.index) return;
  CONFMAN_ASSERT(meta.at.index <= state_.commit, "a snapshot contains only what is committed");
  CONFMAN_ASSERT(keep_from <= meta.at.index + 1, "only what a snapshot holds is released");
  CONFMAN_ASSERT(log_.hash_at(meta.at.index).value_or(meta.hash) == meta.hash, "a snapshot is of this log");
  snapshot_ = meta;
  configurations_.compact_to(std::min(meta.at.index, applied_));
  if (CONFMAN_MUTANT(release_all)) keep_from = applied_ + 1;
  keep_from = std::min(keep_from, applied_ + 1);
  if (keep_from > stored_first_) {
    const log_index last_gone = keep_from - 1;
    stored_base_ = log_.place_at(last_gone);
    if (last_gone == meta.at.index) stored_base_ = log_place{meta.at, meta.hash};
    stored_first_ = keep_from;
    if (!CONFMAN_MUTANT(release_unasked)) writes_.release(keep_from);
  }
  trim();
  check_invariants();
}

// Memory keeps what a follower is likely to need next, and all that is not applied or not durable yet.
// Every entry is dropped once: O(1) amortised; but a snapshot may release all that the cache holds, and
// freeing that at once would hold everything else up. `just_droppable`: as many as the input has made free to
// go are dropped on top, so that no backlog grows; ticks and later inputs drop the rest.
CONFMAN_DECL void raft_core::trim(std::size_t just_droppable) {
  const log_index droppable = CONFMAN_MUTANT(trim_unstable) ? applied_ : std::min(applied_, writes_.stable());
  const log_index limit = std::min(droppable, log_.base().index + (max_trimmed_entries + just_droppable));
  log_.compact_to(std::min(stored_first_ - 1, limit));
  while (log_.bytes() > options_.max_cached_bytes && !CONFMAN_MUTANT(cache_unbounded) &&
         log_.base().index < limit) {
    CONFMAN_MARK(cache_trimmed);
    log_.compact_to(log_.base().index + 1);
  }
  log_.raise_floor(stored_first_ - 1);
}

// An append that begins before what is in memory: what is dropped from memory is committed, and so known to
// agree. The rest of the append must still continue this very log.
CONFMAN_DECL std::error_code raft_core::skip_compacted(append_request& body) {
  CONFMAN_MARK(append_skips_compacted);
  const log_place base = *log_.place_at(log_.base().index);
  const std::size_t known = static_cast<std::size_t>(base.at.index - body.previous.index);
  CONFMAN_ASSERT(known < body.entries.size(), "an append of nothing new has been answered");
  log_place reached{body.previous, body.previous_hash};
  for (std::size_t i = 0; i < known; ++i) {
    const entry& e = body.entries[i];
    if (e.index != reached.at.index + 1 || e.term < reached.at.term) return errc::bad_command;
    reached = {{e.term, e.index},
               extend_chain(reached.hash, e.term, static_cast<std::uint8_t>(e.type), e.payload.view())};
  }
  if (reached != base) return errc::log_diverged;
  body.previous = base.at;
  body.previous_hash = base.hash;
  body.entries.erase(body.entries.begin(), body.entries.begin() + static_cast<std::ptrdiff_t>(known));
  return {};
}

// What the next append to this follower has to name as the place before it. Nothing: only the disk knows.
CONFMAN_DECL std::optional<log_place> raft_core::place_before(const progress& peer) const {
  const log_index index = peer.next - 1;
  if (std::optional<log_place> place = log_.place_at(index)) return place;
  if (stored_base_ && stored_base_->at.index == index) return stored_base_;
  if (peer.before && peer.before->at.index == index) return peer.before;
  if (snapshot_ && snapshot_->at.index == index) return log_place{snapshot_->at, snapshot_->hash};
  return std::nullopt;
}

// The follower needs what is not in memory: from the disk, off this queue, or what replaced it there (paper,
// section 7: "the leader must occasionally send snapshots to followers that lag behind").
CONFMAN_DECL void raft_core::read_or_snapshot(progress& peer, log_index from) {
  if (from < stored_first_) return want_snapshot(peer);
  peer.fetching = from;
  const log_index last = std::min(log_.base().index, peer.next - 1 + options_.max_append_entries);
  fetches_.push_back({peer.id, from, last, options_.max_append_bytes});
}

CONFMAN_DECL void raft_core::want_snapshot(progress& peer) {
  CONFMAN_ASSERT(snapshot_, "what is released, a snapshot holds");
  CONFMAN_MARK(snapshot_wanted);
  peer.become_snapshot();
  snapshots_wanted_.push_back(peer.id);
}

CONFMAN_DECL bool raft_core::is_of_log(log_index from, const std::vector<entry>& entries) const {
  for (const entry& e : entries) {
    if (e.index != from || log_.term_at(e.index) != e.term) return false;
    from = from + 1;
  }
  return !entries.empty();
}

// What was asked for is durable and committed, so that it can't change until the answer comes; but the
// follower may need something else by then.
CONFMAN_DECL void raft_core::entries_fetched(node_id peer, log_index from, std::vector<entry> entries) {
  leader_role* self = as_leader();
  progress* p = self ? self->find(peer) : nullptr;
  if (!p || p->fetching != from) return;
  p->fetching.reset();
  if (from != p->next && from + 1 != p->next) return;
  if (!is_of_log(from, entries)) {
    CONFMAN_MARK(fetch_void);
    // Unreadable, or released meanwhile. Without a snapshot that would help it is tried again when the
    // follower is next heard of.
    if (snapshot_ && snapshot_->at.index >= p->next) return want_snapshot(*p);
    p->become_probe(p->state == progress_state::probe ? p->next : p->match + 1);
    p->probe_sent = true;
    return;
  }
  if (from + 1 == p->next) {
    p->before = log_place{{entries.front().term, from}, entries.front().hash};
    entries.erase(entries.begin());
  }
  if (entries.size() > options_.max_append_entries) entries.resize(options_.max_append_entries);
  const std::optional<log_place> previous = place_before(*p);
  if (entries.empty() || !previous || !(p->state == progress_state::probe || window_open(*p))) return;
  CONFMAN_MARK(append_from_disk);
  send_entries(*p, *previous, std::move(entries));
}

// Asks, by an append at the end of the log, where a follower stands: the answer tells whether it needs a
// snapshot. Not before it is heard of again.
CONFMAN_DECL void raft_core::ask_again(progress& peer) {
  peer.become_probe(last_for(peer) + 1);
  peer.probe_sent = true;
}

CONFMAN_DECL void raft_core::snapshot_failed(node_id peer) {
  leader_role* self = as_leader();
  progress* p = self ? self->find(peer) : nullptr;
  if (p && p->state == progress_state::snapshot) ask_again(*p);
}

// A snapshot, its acknowledgement, or a probe to one that knows no leader to answer may be lost: once per
// election timeout, who has given no news is asked.
CONFMAN_DECL void raft_core::ask_silent_peers() {
  leader_role* self = as_leader();
  if (!self || CONFMAN_MUTANT(snapshot_not_resent)) return;
  for (progress& p : self->peers) {
    const bool waits = p.state == progress_state::snapshot || p.probe_sent;
    p.silent_ticks = waits ? p.silent_ticks + 1 : 0;
    if (p.silent_ticks < options_.election_ticks) continue;
    p.silent_ticks = 0;
    CONFMAN_MARK_IF(p.state == progress_state::snapshot, snapshot_silent);
    if (p.state == progress_state::snapshot) p.become_probe(last_for(p) + 1);
    p.probe_sent = false;
  }
}

}  // namespace confman
