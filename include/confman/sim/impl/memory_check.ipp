#pragma once

#include <algorithm>
#include <string>

#include "confman/sim/memory_check.hpp"

namespace confman::sim {

CONFMAN_DECL void memory_check::at_most(std::uint64_t seen, std::uint64_t limit, const char* what) const {
  if (seen <= limit) return;
  trace_.fail(invariant::bounded_memory, "node " + std::to_string(id_.value()) + " keeps " +
                                             std::to_string(seen) + " " + what + ", the limit is " +
                                             std::to_string(limit));
}

CONFMAN_DECL void memory_check::on_send(const message& m) const {
  const auto* const append = std::get_if<append_request>(&m.body);
  if (append == nullptr || append->entries.size() < 2) return;
  std::size_t bytes = 0;
  for (const entry& e : append->entries) bytes += cost(e);
  at_most(append->entries.size(), limits_.max_append_entries, "entries in one append");
  at_most(bytes, limits_.max_append_bytes, "bytes of entries in one append");
}

CONFMAN_DECL void memory_check::on_step(const raft_core& core, const queues& kept) {
  at_most(kept.writes, max_waiting, "writes that wait");
  at_most(kept.reads, max_waiting, "reads that wait");
  at_most(kept.fetches, max_fetches, "reads of its log that wait for the disk");
  at_most(kept.jobs, max_jobs, "jobs of snapshots that wait for the disk");
  check_disk(core, kept);
  if (core.role() != role::leader) {
    leads_ = term_t{};
    return;
  }
  check_tail(core);
  check_windows(core);
}

// What a leader began with is as long as it is; what clients add must fit. What it appends by itself, a
// configuration or the first entry of its term, always does.
CONFMAN_DECL void memory_check::check_tail(const raft_core& core) {
  const log_view& log = core.log();
  const bool begins = leads_ != core.term();
  if (begins) {
    leads_ = core.term();
    commit_ = core.commit();
    tail_.clear();
    tail_bytes_ = 0;
  }
  for (; commit_ < core.commit() && !tail_.empty(); ++commit_) {
    tail_bytes_ -= tail_.front();
    tail_.pop_front();
  }
  // Committed, and maybe dropped from memory, before it was ever seen here.
  commit_ = std::max(commit_, core.commit());
  for (log_index i = commit_ + 1 + tail_.size(); i <= log.last_index(); ++i) {
    const entry& e = log.at(i);
    if (!begins && e.type == entry_type::command) {
      at_most(tail_.size() + 1, limits_.max_uncommitted_entries, "uncommitted entries");
      if (tail_bytes_ >= limits_.max_uncommitted_bytes)
        at_most(tail_bytes_ + cost(e), limits_.max_uncommitted_bytes, "bytes of uncommitted entries");
    }
    tail_.push_back(cost(e));
    tail_bytes_ += tail_.back();
  }
}

// Appends on their way. The last one may be of a single entry that is larger than any limit.
CONFMAN_DECL void memory_check::check_windows(const raft_core& core) const {
  for (const auto* list : {&core.members().incoming, &core.members().outgoing, &core.members().learners}) {
    for (const member& m : *list) {
      const progress* const peer = core.progress_of(m.id);
      if (!peer || m.id == id_) continue;
      at_most(peer->window.count(), limits_.max_window_appends, "appends on their way to one follower");
      if (peer->window.count() > 1)
        at_most(
            peer->window.bytes(),
            limits_.max_window_bytes + std::max(limits_.max_append_bytes, settings_.max_value_bytes + 1000),
            "bytes of appends on their way to one follower");
    }
  }
}

CONFMAN_DECL void memory_check::check_disk(const raft_core& core, const queues& kept) {
  at_most(kept.files, kept.segments + settings_.recycled_segments + other_files, "files");
  at_most(kept.segments, account_.most_segments(), "segments of its log");
  check_released(core);
  if (settings_.snapshot_entries == 0) return;
  if (kept.snapshotting) settled_ = core.applied();
  if (core.applied() <= settled_) return;
  // Had it been more, a snapshot would have begun when they were applied. After one that failed the count
  // begins anew.
  const log_index snapshot = core.snapshot() ? core.snapshot()->at.index : log_index{};
  const log_index counted_from = std::max(snapshot, kept.snapshot_begun);
  if (core.applied() > counted_from)
    at_most(core.applied() - counted_from, settings_.snapshot_entries,
            "applied entries since the last snapshot, and begins no other");
}

// What a durable snapshot holds is released but for the tail, by the write that follows: one may be on its
// way already. A leader may keep more, for those that it sends an older snapshot.
CONFMAN_DECL void memory_check::check_released(const raft_core& core) {
  led_ = led_ || core.role() == role::leader;
  const log_index newest = core.snapshot() ? core.snapshot()->at.index : log_index{};
  if (newest != snapshot_ || fresh_) {
    snapshot_ = newest;
    snapshot_counts_ = !fresh_ && !led_;
    fresh_ = false;
    syncs_ = 0;
  }
  if (!snapshot_counts_ || syncs_ < 2) return;
  at_most((newest + 1) - std::min(newest + 1, account_.released()), settings_.tail_entries,
          "entries before its snapshot");
}

}  // namespace confman::sim
