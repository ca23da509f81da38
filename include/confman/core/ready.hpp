// What the core wants done: the only way anything leaves it.
#pragma once

#include <optional>
#include <vector>

#include "confman/core/hard_state.hpp"
#include "confman/core/message.hpp"

namespace confman {

enum class role : std::uint8_t { follower, pre_candidate, candidate, leader };

// The read may be answered from any state that has applied at least `index` (thesis, 6.4).
struct read_answer {
  read_id id;
  log_index index;
};

// Entries of the log, from `from` on, at most up to `last`, for one follower: as many as make `max_bytes`
// (one larger entry still counts). All of them are durable, committed and applied.
struct entry_fetch {
  node_id peer;
  log_index from;
  log_index last;
  std::size_t max_bytes = 0;
};

// One batch of work. The parts may be done in any order and in parallel: whatever must wait for the disk is
// held back inside the core until persisted() says so.
struct ready {
  std::vector<message> messages;
  write_batch write;  // empty() when there is nothing to write, or storage was said to be occupied
  // Committed entries to apply, in order: [apply_first, apply_last], none if apply_last < apply_first.
  log_index apply_first{1};
  log_index apply_last{0};
  std::vector<read_answer> reads;
  // Followers that need entries which this log no longer holds: send them the newest snapshot. One that is
  // being served already may be named again.
  std::vector<node_id> snapshots_wanted;
  // Followers that need entries which are on disk only: read them (away from this queue), answer
  // each by entries_fetched().
  std::vector<entry_fetch> fetches;
};

struct raft_options {
  cluster_id cluster;
  group_id group;
  node_id self;
  incarnation_id incarnation;              // of this data directory
  std::uint64_t boot = 1;                  // counts this directory's starts; makes request ids unique
  std::uint64_t seed = 1;                  // for election timeouts; should differ per node
  std::uint32_t heartbeat_ticks = 5;       // a leader speaks at least this often
  std::uint32_t election_ticks = 30;       // timeouts are drawn from [election_ticks, 2 * election_ticks)
  std::size_t max_append_bytes = 1 << 20;  // of entries in one append (a single larger entry still goes)
  std::size_t max_append_entries = 4096;
  std::size_t max_window_appends = 256;  // appends on their way to one follower
  std::size_t max_window_bytes = 16 << 20;
  std::size_t max_uncommitted_entries = 1 << 16;
  std::size_t max_uncommitted_bytes = 256 << 20;
  std::size_t max_pending_reads = 1 << 16;
  std::size_t max_apply_entries = 4096;  // in one ready, so that a long replay doesn't silence a node
  std::uint64_t promotion_lag = 256;     // entries that a learner may be behind and still become a voter
  // A leader looks this often, and not before it has led so long, for a voter of a higher priority to hand
  // over to; rounded up to whole election_ticks. 0: never.
  std::uint32_t priority_check_ticks = 300;
  // The first election of a cluster needs the vote of every bootstrap voter, so that a wiped data directory
  // can't pass for a new one (docs/adr/0002). True: a majority will do. Only for a cluster that is started
  // for the first time with some of its members down; from then on a member that is wiped together with the
  // loss of another one can cost committed entries.
  bool first_election_by_majority = false;
  // Entries kept in memory for followers, see cost(). What is not applied or not durable yet stays whatever
  // it costs.
  std::size_t max_cached_bytes = 64 << 20;
};

}  // namespace confman
