// What a seed stands for: the size of a world, its speeds and limits, and which faults strike it how often.
#pragma once

#include <cstdint>
#include <string>

#include "confman/config.hpp"
#include "confman/sim/timeline.hpp"

namespace confman::sim {

// Kinds of trouble that a scenario may allow; a set of bits.
struct fault {
  using set = std::uint32_t;
  static constexpr set crash = 1 << 0;  // a node loses power at some moment
  static constexpr set effect_crash = 1
                                      << 1;  // a node loses power in the middle of an effect, see effect_fuse
  static constexpr set recovery_crash = 1 << 2;  // ... while it recovers
  static constexpr set power_loss = 1 << 3;      // all nodes at once
  static constexpr set pause = 1 << 4;           // a process stops for a while, and its messages wait
  static constexpr set stall = 1 << 5;           // a disk takes very long
  static constexpr set disk_error = 1 << 6;      // a call to a disk fails
  static constexpr set partition =
      1 << 7;  // links are cut: in two parts, one way, one node, a bridge, a ring
  static constexpr set leader_cut = 1 << 8;     // a leader reaches only some followers, and then crashes
  static constexpr set leader_crash = 1 << 9;   // leaders crash within a few effects after their election
  static constexpr set stop = 1 << 10;          // a process stops in an orderly way, and is started again
  static constexpr set clock_jump = 1 << 11;    // a node's clock jumps ahead
  static constexpr set rot = 1 << 12;           // a crashed node's disk turns a bit of what it holds
  static constexpr set wipe = 1 << 13;          // a crashed member comes back under its id with an empty disk
  static constexpr set bad_disk = 1 << 14;      // reads, writes or syncs of a disk fail for a while
  static constexpr set full_disk = 1 << 15;     // a disk has no room for a while
  static constexpr set frozen_clock = 1 << 16;  // a node's clock stands still, or jumps back
  static constexpr set rot_tail = 1 << 17;      // a crashed node's disk turns a bit of the last it has synced
  static constexpr set latent_rot = 1 << 18;    // the disk of a node that runs turns a bit of what it holds
  static constexpr unsigned kinds = 19;
};

inline constexpr unsigned most_nodes = 15;

// All times are virtual microseconds; rates are per thousand. A plain value: change it to look at one thing
// alone.
struct scenario {
  std::uint64_t seed = 1;

  // the cluster
  unsigned nodes = 3;  // founders; 1 to most_nodes with the spares
  micros tick = 10'000;
  std::uint32_t heartbeat_ticks = 3;
  std::uint32_t election_ticks = 15;
  unsigned drift = 0;     // a node's ticks are up to this much faster or slower
  micros pump_delay = 0;  // inputs that come within this time share one drain of the queue
  std::size_t max_append_entries = 4096;
  std::size_t max_append_bytes = 1 << 20;
  std::size_t max_window_appends = 256;
  std::size_t max_apply_entries = 4096;
  std::size_t max_uncommitted_entries = 1 << 16;
  std::size_t max_window_bytes = 16 << 20;
  std::size_t max_uncommitted_bytes = 256 << 20;

  bool mixed = false;       // each node draws limits of its own, see draw_settings()
  unsigned slow_nodes = 0;  // of 1,000 nodes, how many are ten times slower
  std::uint64_t skew_ms =
      0;  // the clocks of authors, as their commands' time stamps say, are up to so far off

  // the network
  micros latency = 500;
  micros jitter = 500;
  bool in_order = true;  // per link, as one TCP connection delivers
  bool encode = true;    // messages travel as bytes, through the real codec
  unsigned loss = 0;
  unsigned duplication = 0;
  unsigned replay = 0;      // an old message is delivered again, up to many election timeouts later
  unsigned flips = 0;       // with encode: a bit of a frame turns, which its reader must notice
  unsigned cut_frames = 0;  // ... the connection breaks in the middle of a frame
  unsigned storms = 0;      // of 1,000 messages of a link, how many are followed by a storm of reconnects
  unsigned spikes = 0;      // ... by a time in which nothing arrives

  // the disks
  micros append_time = 50;
  micros sync_time = 500;
  std::uint64_t segment_bytes = 64 << 10;
  std::size_t recycled_segments = 2;
  bool prepare_ahead = true;
  bool maintain = true;  // log::maintain() is called while a log is idle

  // the snapshots
  std::uint64_t snapshot_entries = 0;  // one is taken each time so many entries were applied; 0: never
  std::uint64_t tail_entries = 1000;   // kept in the log behind it
  std::size_t cached_bytes = std::size_t{64} << 20;  // of entries kept in memory
  std::size_t piece_bytes = std::size_t{256} << 10;
  std::size_t piece_window = 4;
  std::size_t transfer_bytes_per_tick = 0;
  std::uint64_t snapshot_sync_bytes = 4 << 20;
  unsigned round_trips = 50;  // of 1,000 snapshots, how many are loaded and saved again at once

  // the members
  unsigned spares = 0;        // nodes that aren't founders
  micros churn_interval = 0;  // between two acts of the administrator, on average; 0: there is none
  std::uint64_t promotion_lag = 256;
  std::uint32_t priority_check_ticks = 0;

  // the clients
  unsigned clients = 3;
  unsigned keys = 4;
  micros think_time = 50'000;  // between two operations of a client, on average
  unsigned burst = 1;          // operations that a client may start at once
  std::size_t max_value_bytes = 64;
  unsigned reads = 400;                 // of 1,000 operations
  unsigned sessions = 0;                // of 1,000 writes, how many belong to a session
  unsigned uploads = 0;                 // ... and how many are large values in pieces
  std::uint64_t session_ttl_ms = 1000;  // of log time, in which each call takes a millisecond
  std::size_t max_sessions = 65'536;    // the map's limit, which is the same on all members
  unsigned cancellations = 20;          // of 1,000 times a client looks up

  // the watchers
  unsigned watchers = 0;
  micros watch_interval = 1'000'000;  // until a watcher looks whether to go elsewhere, on average
  micros watch_delay = 10'000;        // from a notification until it takes, at most
  std::size_t watch_buffer_changes = 4096;
  std::size_t watch_buffer_bytes = std::size_t{4} << 20;
  std::size_t watch_history_changes = 8192;
  std::size_t watch_history_bytes = std::size_t{16} << 20;

  // the trouble
  fault::set faults = 0;
  bool ruin = false;  // every disk is damaged in the end: no node may run on what it needs and doesn't have
  micros fault_interval = 500'000;
  micros down_time = 300'000;  // of a crashed node, at most (sometimes longer)
  micros safety = 15'000'000;  // how long trouble lasts before the cluster is healed

  // Draws a world from a seed: equal seeds, equal worlds.
  [[nodiscard]] CONFMAN_DECL static scenario draw(std::uint64_t seed);

  // The longest that a node waits for a leader before it campaigns, on the slowest clock.
  [[nodiscard]] micros election_timeout() const noexcept {
    return 2 * tick * election_ticks * (1000 + drift) / 1000;
  }
  [[nodiscard]] CONFMAN_DECL std::string describe() const;
};

// Calls visit(name, field) for each field of a scenario, in a fixed order: for whoever prints, reads or
// changes one. Whoever adds a field adds it here.
// tidy: long-function one line per field
template <class Scenario, class Visit>
void for_each_field(Scenario&& s, Visit&& visit) {
  visit("seed", s.seed);
  visit("nodes", s.nodes);
  visit("tick", s.tick);
  visit("heartbeat_ticks", s.heartbeat_ticks);
  visit("election_ticks", s.election_ticks);
  visit("drift", s.drift);
  visit("pump_delay", s.pump_delay);
  visit("max_append_entries", s.max_append_entries);
  visit("max_append_bytes", s.max_append_bytes);
  visit("max_window_appends", s.max_window_appends);
  visit("max_apply_entries", s.max_apply_entries);
  visit("max_uncommitted_entries", s.max_uncommitted_entries);
  visit("max_window_bytes", s.max_window_bytes);
  visit("max_uncommitted_bytes", s.max_uncommitted_bytes);
  visit("mixed", s.mixed);
  visit("slow_nodes", s.slow_nodes);
  visit("skew_ms", s.skew_ms);
  visit("latency", s.latency);
  visit("jitter", s.jitter);
  visit("in_order", s.in_order);
  visit("encode", s.encode);
  visit("loss", s.loss);
  visit("duplication", s.duplication);
  visit("replay", s.replay);
  visit("flips", s.flips);
  visit("cut_frames", s.cut_frames);
  visit("storms", s.storms);
  visit("spikes", s.spikes);
  visit("append_time", s.append_time);
  visit("sync_time", s.sync_time);
  visit("segment_bytes", s.segment_bytes);
  visit("recycled_segments", s.recycled_segments);
  visit("prepare_ahead", s.prepare_ahead);
  visit("maintain", s.maintain);
  visit("snapshot_entries", s.snapshot_entries);
  visit("tail_entries", s.tail_entries);
  visit("cached_bytes", s.cached_bytes);
  visit("piece_bytes", s.piece_bytes);
  visit("piece_window", s.piece_window);
  visit("transfer_bytes_per_tick", s.transfer_bytes_per_tick);
  visit("snapshot_sync_bytes", s.snapshot_sync_bytes);
  visit("round_trips", s.round_trips);
  visit("spares", s.spares);
  visit("churn_interval", s.churn_interval);
  visit("promotion_lag", s.promotion_lag);
  visit("priority_check_ticks", s.priority_check_ticks);
  visit("clients", s.clients);
  visit("keys", s.keys);
  visit("think_time", s.think_time);
  visit("burst", s.burst);
  visit("max_value_bytes", s.max_value_bytes);
  visit("reads", s.reads);
  visit("sessions", s.sessions);
  visit("uploads", s.uploads);
  visit("session_ttl_ms", s.session_ttl_ms);
  visit("max_sessions", s.max_sessions);
  visit("cancellations", s.cancellations);
  visit("watchers", s.watchers);
  visit("watch_interval", s.watch_interval);
  visit("watch_delay", s.watch_delay);
  visit("watch_buffer_changes", s.watch_buffer_changes);
  visit("watch_buffer_bytes", s.watch_buffer_bytes);
  visit("watch_history_changes", s.watch_history_changes);
  visit("watch_history_bytes", s.watch_history_bytes);
  visit("faults", s.faults);
  visit("ruin", s.ruin);
  visit("fault_interval", s.fault_interval);
  visit("down_time", s.down_time);
  visit("safety", s.safety);
}

}  // namespace confman::sim

#if !defined(CONFMAN_COMPILED)
#include "confman/sim/impl/scenario.ipp"
#endif
