#pragma once

#include <algorithm>

#include "confman/sim/settings.hpp"

namespace confman::sim {

CONFMAN_DECL scenario draw_settings(const scenario& plan, dice& d) {
  scenario s = plan;
  if (!plan.mixed) return s;
  s.max_append_entries = d.pick<std::size_t>(1, 2, 4, 4096);
  s.max_append_bytes = d.pick<std::size_t>(200, 1000, 1 << 20, 1 << 20);
  s.max_window_appends = d.pick<std::size_t>(1, 3, 256, 256);
  s.max_apply_entries = d.pick<std::size_t>(1, 8, 4096);
  s.max_uncommitted_entries = d.pick<std::size_t>(16, 1 << 16, 1 << 16);
  s.cached_bytes = d.pick<std::size_t>(1, 500, 3000, std::size_t{64} << 20);
  s.snapshot_entries = d.chance(700) ? d.skewed(1, 50) : 0;
  s.tail_entries = d.pick<std::uint64_t>(0, 1, 5, 30);
  s.piece_bytes = d.pick<std::size_t>(100, 500, 3000, 100'000);
  s.piece_window = static_cast<std::size_t>(d.between(1, 4));
  s.snapshot_sync_bytes = d.pick<std::uint64_t>(1, 1000, 1 << 20);
  s.segment_bytes = d.pick<std::uint64_t>(1, 2, 4, 16, 64) << 10;
  s.recycled_segments = d.pick<std::size_t>(0, 1, 2);
  s.prepare_ahead = d.coin();
  s.maintain = d.coin();
  s.watch_history_changes = d.pick<std::size_t>(0, 1, 10, 8192);
  return s;
}

CONFMAN_DECL scenario slowed(scenario plan) {
  constexpr micros times = 10;
  const micros most = plan.election_timeout() / 8;
  plan.append_time = std::max(plan.append_time, std::min(times * plan.append_time, most / 4));
  plan.sync_time = std::max(plan.sync_time, std::min(times * plan.sync_time, most));
  plan.pump_delay =
      std::max(plan.pump_delay, std::min(times * std::max<micros>(plan.pump_delay, 100), most / 4));
  return plan;
}

}  // namespace confman::sim
