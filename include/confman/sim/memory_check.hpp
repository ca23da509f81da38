// Whether a node keeps within the limits that it was given (invariant 22).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "confman/core/raft_core.hpp"
#include "confman/sim/log_account.hpp"
#include "confman/sim/scenario.hpp"
#include "confman/sim/trace.hpp"

namespace confman::sim {

// One process's account of what it keeps. on_step() after each of its inputs costs O(1) per entry, and O(1)
// per peer of a leader. A limit that is broken throws sim::violation.
class memory_check {
 public:
  // What the core doesn't know of.
  struct queues {
    std::size_t writes = 0;     // that wait for their answer
    std::size_t reads = 0;      // likewise
    std::size_t fetches = 0;    // of entries, for followers that lag
    std::size_t jobs = 0;       // of the thread for snapshots
    std::size_t files = 0;      // in the data directory
    std::size_t segments = 0;   // of the log
    bool snapshotting = false;  // one is being taken
    log_index snapshot_begun;   // the place of the last one that was begun, whatever became of it
  };

  // `settings` and `log` must outlive it.
  memory_check(node_id id, const scenario& settings, trace& log)
      : id_(id), settings_(settings), trace_(log) {}

  // A new process with these limits, to begin with, and what it has found on its disk.
  void restart(const raft_options& limits, std::size_t segments = 0, log_index first = log_index{1},
               log_index last = log_index{}) {
    limits_ = limits;
    leads_ = term_t{};
    settled_ = log_index{};
    account_.restart(segments, first, last, settings_.segment_bytes);
    snapshot_ = log_index{};
    syncs_ = 0;
    fresh_ = true;
    led_ = false;
  }
  // Before the log gets a batch, and after its sync.
  void on_append(const write_batch& batch) { account_.on_append(batch); }
  void on_synced() {
    account_.on_synced();
    ++syncs_;
  }
  // After the drain of the queue, where transfers end with the leadership that they began in.
  void on_pumped(const raft_core& core) { led_ = core.role() == role::leader; }
  // An append holds no more than one may.
  CONFMAN_DECL void on_send(const message& m) const;
  CONFMAN_DECL void on_step(const raft_core& core, const queues& kept);

  // Operations of each kind that a node may keep waiting.
  static constexpr std::size_t max_waiting = 64;
  // The disk is asked for one range of entries per follower and state of its progress. While it stalls these
  // add up, so the limit only notices what grows without end.
  static constexpr std::size_t max_fetches = 256;
  // A window of pieces for each follower, and what was asked for transfers that have ended since.
  static constexpr std::size_t max_jobs = 128;
  // Beside segments and spares: the lock, the file of terms and votes, two snapshots and one in the making, a
  // received one, and what is renamed.
  static constexpr std::size_t other_files = 10;

 private:
  void check_tail(const raft_core& core);
  void check_windows(const raft_core& core) const;
  void check_disk(const raft_core& core, const queues& kept);
  void check_released(const raft_core& core);
  void at_most(std::uint64_t seen, std::uint64_t limit, const char* what) const;

  node_id id_;
  const scenario& settings_;
  trace& trace_;
  raft_options limits_;
  log_index settled_;  // applied when a snapshot was last being taken
  log_account account_;
  bool fresh_ = true;             // nothing was seen of this process yet
  bool led_ = false;              // since the last drain: it may have transfers that aren't ended yet
  log_index snapshot_;            // the newest one
  bool snapshot_counts_ = false;  // it was taken by this process while it sent none to others
  std::uint64_t syncs_ = 0;       // since then
  // A leader's uncommitted entries.
  term_t leads_;
  log_index commit_;
  std::deque<std::size_t> tail_;  // the cost of each
  std::size_t tail_bytes_ = 0;
};

}  // namespace confman::sim

#if !defined(CONFMAN_COMPILED)
#include "confman/sim/impl/memory_check.ipp"
#endif
