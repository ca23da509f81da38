#pragma once

#include <algorithm>

#include "confman/core/raft_core.hpp"

namespace confman {

CONFMAN_DECL std::error_code raft_core::read(read_id id) {
  const leader_role* self = as_leader();
  const std::size_t waiting = new_reads_.size() + follower_reads_.size() + (self ? self->rounds.size() : 0);
  if (waiting >= options_.max_pending_reads) return errc::busy;
  new_reads_.push_back(id);
  return {};
}

CONFMAN_DECL void raft_core::forget_reads(const std::vector<read_id>& gone) {
  const auto is_gone = [&gone](read_id id) { return std::binary_search(gone.begin(), gone.end(), id); };
  std::erase_if(new_reads_, is_gone);
  follower_reads_.forget(is_gone);
  if (leader_role* self = as_leader()) self->rounds.forget(is_gone);
}

CONFMAN_DECL bool raft_core::reads_due() const noexcept {
  if (new_reads_.empty() && new_remote_reads_.empty()) return false;
  CONFMAN_MARK_IF(is_leader() && !leads_surely(), read_waits_for_term);
  if (is_leader() && CONFMAN_MUTANT(read_before_own_commit)) return true;
  return is_leader() ? leads_surely() : leader_ && !new_reads_.empty();
}

// Called once per ready: all reads that came since the last one share a round, or one question to the leader.
CONFMAN_DECL void raft_core::begin_reads() {
  if (!reads_due()) return;
  leader_role* self = as_leader();
  if (!self) {
    send(leader_, read_index_request{follower_reads_.ask(std::exchange(new_reads_, {}))});
    return;
  }
  // Before its own term's first commit a leader doesn't know the commit index (thesis, 6.4, step 1).
  self->rounds.begin(CONFMAN_MUTANT(read_at_applied) ? applied_ : state_.commit,
                     std::exchange(new_reads_, {}), std::exchange(new_remote_reads_, {}));
  send_heartbeats(*self);
  confirm_reads(*self);
}

// A quorum that answered a round sent after the read came proves that no newer leader had committed anything.
CONFMAN_DECL void raft_core::confirm_reads(leader_role& self) {
  if (!self.rounds.waiting()) return;
  const std::uint64_t round = quorum_reached<std::uint64_t>(members(), [&](const member& m) {
    if (CONFMAN_MUTANT(read_without_round)) return self.rounds.latest();
    if (m.id == options_.self) return speaks_for(m) ? self.rounds.latest() : 0;
    const progress* p = self.find(m.id);
    return p ? p->round : 0;
  });
  self.rounds.confirmed(round, [this](const read_rounds::batch& b) {
    for (const read_id id : b.local) answered_reads_.push_back({id, b.index});
    for (const remote_read& r : b.remote) send(r.from, read_index_response{r.context, b.index});
  });
}

CONFMAN_DECL std::error_code raft_core::handle(const message& m, read_index_request& body) {
  // Not the leader: no answer. The asker finds out by the leader's silence or by a new one's heartbeat.
  const leader_role* self = as_leader();
  if (!self) return {};
  if (new_remote_reads_.size() + self->rounds.size() >= options_.max_pending_reads) return errc::busy;
  new_remote_reads_.push_back({m.from, body.context});
  return {};
}

CONFMAN_DECL std::error_code raft_core::handle(const message& m, read_index_response& body) {
  if (m.from != leader_) return {};
  const std::vector<read_id> answered = follower_reads_.answered(body.context);
  CONFMAN_MARK_IF(answered.empty(), read_answer_late);
  for (const read_id id : answered) answered_reads_.push_back({id, body.index});
  return {};
}

// Questions and answers can be lost: ask the last one again at the pace of heartbeats; its answer answers all
// before it. A repeated answer is ignored.
CONFMAN_DECL void raft_core::retry_reads() {
  if (!leader_ || !follower_reads_.waiting()) return;
  CONFMAN_MARK(read_asked_again);
  send(leader_, read_index_request{follower_reads_.latest()});
}

// The leader changed: local reads are asked anew, remote ones are asked anew by who asked.
CONFMAN_DECL void raft_core::release_reads() {
  std::vector<read_id> again = follower_reads_.release();
  if (leader_role* self = as_leader()) {
    const std::vector<read_id> own = self->rounds.release();
    again.insert(again.end(), own.begin(), own.end());
  }
  CONFMAN_MARK_IF(!again.empty(), reads_released);
  new_reads_.insert(new_reads_.end(), again.begin(), again.end());
  new_remote_reads_.clear();
}

}  // namespace confman
