#pragma once

#include <algorithm>

#include "confman/sim/dice.hpp"
#include "confman/sim/scenario.hpp"

namespace confman::sim {

namespace detail {

inline void draw_cluster(scenario& s, dice& d) {
  s.nodes = d.chance(60) ? 1 : d.chance(400) ? 5 : 3;
  const auto pace = d.below(4);
  s.heartbeat_ticks = pace == 0 ? 1 : pace == 1 ? 2 : 3;
  s.election_ticks = static_cast<std::uint32_t>(pace == 0 ? 6 : pace == 1 ? 10 : 15);
  // Election timeouts of 60 ms to 750 ms, and up to twice that: those of a rack and those of a wide network.
  s.tick = d.pick<micros>(10'000, 20'000, 50'000);
  s.drift = d.pick<unsigned>(0, 10, 50, 200);
  s.pump_delay = d.pick<micros>(0, 0, 50, 500);
  // Small limits make a follower fall behind in steps that a crash can come between.
  if (d.chance(400)) s.max_append_entries = d.between(1, 4);
  if (d.chance(150)) s.max_append_bytes = d.pick<std::size_t>(1, 200, 1000);
  if (d.chance(300)) s.max_window_appends = d.between(1, 3);
  if (d.chance(200)) s.max_apply_entries = d.between(1, 8);
  if (d.chance(100)) s.max_uncommitted_entries = d.between(2, 16);
  if (d.chance(150)) s.max_window_bytes = d.pick<std::size_t>(1, 500, 3000);
  if (d.chance(100)) s.max_uncommitted_bytes = d.pick<std::size_t>(1, 500, 3000);
}

// Why no world can run this; nullptr: it can.
inline const char* impossible(const scenario& s) {
  if (s.nodes == 0 || s.nodes > most_nodes || s.spares > most_nodes - s.nodes)
    return "1 to 15 nodes and spares are possible";
  if (s.tick == 0 || s.heartbeat_ticks == 0 || s.election_ticks < 2 || s.drift >= 1000)
    return "ticks, heartbeats and elections take time";
  if (s.clients == 0 || s.keys == 0 || s.burst == 0) return "there must be clients, and keys for them";
  if (s.max_sessions == 0) return "a session must have its place";
  return nullptr;
}

inline void draw_network(scenario& s, dice& d) {
  const micros shortest = s.tick * s.election_ticks;
  s.latency = d.pick<micros>(100, 500, 1000, 5000);
  s.jitter = d.pick<micros>(100, 1000, 5000, shortest / 8, shortest / 2);
  s.in_order = d.chance(400);
  s.encode = d.chance(300);
  if (d.chance(500)) s.loss = static_cast<unsigned>(d.pick(5, 20, 100, 250));
  if (d.chance(500)) s.duplication = static_cast<unsigned>(d.pick(10, 50, 200));
  if (d.chance(400)) s.replay = static_cast<unsigned>(d.pick(2, 10, 50));
}

inline void draw_links(scenario& s, dice& d) {
  if (d.chance(500)) s.flips = d.pick<unsigned>(1, 5, 20);
  if (d.chance(500)) s.cut_frames = d.pick<unsigned>(1, 5, 20);
  if (d.chance(300)) s.storms = d.pick<unsigned>(1, 5);
  if (d.chance(300)) s.spikes = d.pick<unsigned>(1, 5);
}

inline void draw_differences(scenario& s, dice& d) {
  s.mixed = d.chance(250);
  if (d.chance(300)) s.slow_nodes = 300;
  if (d.chance(500)) s.skew_ms = d.pick<std::uint64_t>(100, 100'000, 100'000'000, 1'000'000'000'000);
}

// Leaders that are cut off with many writes, while the others snapshot whatever they commit: who comes back
// with a suffix of its own is sent a snapshot at an index in it.
inline void draw_divergence(scenario& s, dice& d) {
  if (!d.chance(120)) return;
  s.faults |= fault::leader_cut;
  s.snapshot_entries = d.between(1, 5);
  s.tail_entries = 0;
  s.burst = 16;
  s.reads = 100;
  s.think_time = 2 * s.tick * s.clients;
  s.max_uncommitted_entries = 1 << 16;
  s.max_uncommitted_bytes = 256 << 20;
  s.mixed = false;
  // Snapshots overtake what the disk is just writing.
  if (!d.coin()) return;
  s.latency = s.jitter = 100;
  s.sync_time = 20'000;
}

inline void draw_disks(scenario& s, dice& d) {
  s.append_time = d.pick<micros>(10, 50, 500);
  s.sync_time = d.pick<micros>(100, 500, 3000, 20'000);
  s.segment_bytes = d.pick<std::uint64_t>(1, 2, 4, 16, 64) << 10;
  s.recycled_segments = static_cast<std::size_t>(d.pick(0, 1, 2));
  s.prepare_ahead = d.coin();
  s.maintain = d.coin();
}

inline void draw_snapshots(scenario& s, dice& d) {
  if (d.chance(750)) s.snapshot_entries = d.skewed(1, 50);
  s.tail_entries = d.pick<std::uint64_t>(0, 0, 1, 5, 30);
  if (d.chance(500)) s.cached_bytes = d.pick<std::size_t>(1, 500, 3000);
  s.piece_bytes = d.pick<std::size_t>(100, 500, 3000, 100'000);
  s.piece_window = static_cast<std::size_t>(d.between(1, 4));
  if (d.chance(200)) s.transfer_bytes_per_tick = d.pick<std::size_t>(1000, 5000);
  s.snapshot_sync_bytes = d.pick<std::uint64_t>(1, 1000, 1 << 20);
}

// Members come and go in half of the worlds.
inline void draw_members(scenario& s, dice& d) {
  s.promotion_lag = d.pick<std::uint64_t>(0, 2, 10, 256);
  if (d.chance(200)) s.priority_check_ticks = s.election_ticks * static_cast<std::uint32_t>(d.between(1, 6));
  if (d.chance(500)) {
    s.faults &= ~fault::wipe;
    return;
  }
  if (d.chance(300)) s.nodes = static_cast<unsigned>(d.between(1, 4));
  s.spares = static_cast<unsigned>(d.between(1, 7 - std::min(s.nodes, 5u)));
  s.churn_interval = s.election_timeout() * d.pick<micros>(1, 2, 5, 15) / 2;
}

inline void draw_clients(scenario& s, dice& d) {
  s.clients = static_cast<unsigned>(d.between(1, 6));
  s.keys = static_cast<unsigned>(d.between(1, 8));
  s.think_time = s.tick * d.pick<micros>(2, 6, 20) * s.clients;
  s.burst = d.chance(300) ? static_cast<unsigned>(d.pick(4, 16)) : 1;
  s.think_time *= s.burst;
  s.max_value_bytes = d.pick<std::size_t>(16, 64, 64, 600, 3000);
  s.reads = static_cast<unsigned>(d.pick(100, 400, 700));
  if (d.chance(600)) s.sessions = d.pick<unsigned>(200, 600, 1000);
  s.session_ttl_ms = d.pick<std::uint64_t>(5, 50, 10'000);
  if (d.chance(300)) s.uploads = d.pick<unsigned>(30, 200);
  s.cancellations = static_cast<unsigned>(d.pick(0, 20, 100));
}

// More sessions than the map keeps at once.
inline void draw_eviction(scenario& s, dice& d) {
  if (d.chance(250)) s.max_sessions = d.pick<std::size_t>(2, 3);
}

inline void draw_watchers(scenario& s, dice& d) {
  s.watchers = static_cast<unsigned>(d.pick(0, 1, 2, 4));
  s.watch_interval = s.election_timeout() * d.pick<micros>(1, 4, 10);
  s.watch_delay = s.election_timeout() * d.pick<micros>(1, 10, 100) / 10;
  s.watch_buffer_changes = d.pick<std::size_t>(1, 2, 8, 4096);
  if (d.chance(200)) s.watch_buffer_bytes = d.pick<std::size_t>(1, 1000);
  s.watch_history_changes = d.pick<std::size_t>(0, 1, 10, 8192);
  if (d.chance(200)) s.watch_history_bytes = d.pick<std::size_t>(1, 1000);
}

}  // namespace detail

CONFMAN_DECL scenario scenario::draw(std::uint64_t seed) {
  // Neighbouring seeds must not give neighbouring worlds.
  dice d = dice(seed).fork(seed * 2 + 1);
  scenario s;
  s.seed = seed;
  detail::draw_cluster(s, d);
  detail::draw_network(s, d);
  detail::draw_disks(s, d);
  detail::draw_clients(s, d);
  // A subset of the faults: all at once hide each other's consequences.
  const auto density = d.pick<std::uint64_t>(200, 400, 700);
  for (unsigned i = 0; i < fault::kinds; ++i)
    if (d.chance(density)) s.faults |= fault::set{1} << i;
  const micros timeout = s.election_timeout();
  s.fault_interval = timeout * d.pick<micros>(2, 5, 10, 30) / 4;
  s.down_time = timeout * d.pick<micros>(1, 2, 8) / 2;
  s.safety = timeout * d.between(20, 100);
  detail::draw_snapshots(s, d);
  detail::draw_members(s, d);
  detail::draw_watchers(s, d);
  detail::draw_links(s, d);
  detail::draw_differences(s, d);
  detail::draw_divergence(s, d);
  s.ruin = d.chance(15);
  detail::draw_eviction(s, d);
  return s;
}

CONFMAN_DECL std::string scenario::describe() const {
  std::string text;
  for_each_field(*this, [&text](const char* name, const auto& value) {
    text += (text.empty() ? "" : " ") + std::string(name) + "=" + std::to_string(value);
  });
  return text;
}

}  // namespace confman::sim
