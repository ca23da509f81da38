// What a run of many seeds amounts to.
#pragma once

#include <cstddef>
#include <cstdint>

#include "confman/sim/statistics.hpp"
#include "confman/sim/world.hpp"
#include "marks.hpp"

namespace report {

// One process's part of a run, in memory that all of them share.
struct share {
  std::uint64_t seeds = 0;
  std::uint64_t failures = 0;
  double processor_seconds = 0;
  confman::sim::statistics counts;
  marks::counts marks;
};

[[nodiscard]] share sum(const share* shares, std::size_t count);

// Two runs of one seed, of which the first wrote this log. Throws sim::violation if they differ.
void must_agree(const confman::sim::trace& log, const confman::sim::outcome& first,
                const confman::sim::outcome& second);

// A line for who waits.
void progress(const share* shares, std::size_t count, std::uint64_t seeds, double seconds);

// Prints what happened. False if a kind of trouble never occurred in a run that is long enough for it: then
// the run shows less than it seems to.
[[nodiscard]] bool summary(const share* shares, std::size_t count, std::uint64_t first, double seconds,
                           bool good);

}  // namespace report
