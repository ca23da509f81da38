// What the members of one cluster may have different: their limits, their disks, their speed.
#pragma once

#include "confman/sim/dice.hpp"
#include "confman/sim/scenario.hpp"

namespace confman::sim {

// The scenario as one node sees it, the next time it starts: with scenario::mixed its limits are drawn anew.
// What all must agree on (ticks, the members' names) stays.
[[nodiscard]] CONFMAN_DECL scenario draw_settings(const scenario& plan, dice& d);

// A node on a machine ten times slower. Its disk stays fast enough for elections: one that takes about as
// long as the election timeout has no right to be in a cluster.
[[nodiscard]] CONFMAN_DECL scenario slowed(scenario plan);

// Whether a member far behind needs so many round trips to catch up that nobody else can be served.
[[nodiscard]] inline bool is_narrow(const scenario& s) noexcept {
  const std::size_t per_append = s.max_append_bytes < 2000 ? 1 : s.max_append_entries;
  const std::size_t appends = s.max_window_bytes < 5000 ? 1 : s.max_window_appends;
  return per_append * appends < 64;
}
// A follower that needs a snapshot gets so little of it in a round trip that other limits of time are right.
[[nodiscard]] inline bool sends_crumbs(const scenario& s) noexcept {
  return s.piece_bytes * s.piece_window < 4000;
}

}  // namespace confman::sim

#if !defined(CONFMAN_COMPILED)
#include "confman/sim/impl/settings.ipp"
#endif
