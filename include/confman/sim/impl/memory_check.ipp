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

}  // namespace confman::sim
