#include "report.hpp"

#include <cinttypes>
#include <cstdio>

namespace report {

namespace {

using confman::sim::counted;
using confman::sim::statistics;

// From so many seeds on, a run in which something never happened fails. What happens a few times in a
// thousand seeds may be missing by chance for longer.
constexpr std::uint64_t enough_seeds = 1000;
constexpr std::uint64_t enough_for_rare = 10'000;

bool is_rare(counted what) {
  switch (what) {
    case counted::conflicting_snapshots:
    case counted::transfers_resumed:
    case counted::changes_undone:
    case counted::sessions_full:
    case counted::forgetful_stopped:
      return true;
    default:
      return false;
  }
}

}  // namespace

share sum(const share* shares, std::size_t count) {
  share all;
  for (std::size_t i = 0; i < count; ++i) {
    all.seeds += shares[i].seeds;
    all.failures += shares[i].failures;
    all.processor_seconds += shares[i].processor_seconds;
    all.counts += shares[i].counts;
    for (std::size_t m = 0; m < confman::mark_count; ++m) all.marks.hits[m] += shares[i].marks.hits[m];
  }
  return all;
}

void must_agree(const confman::sim::trace& log, const confman::sim::outcome& first,
                const confman::sim::outcome& second) {
  if (first.trace_hash != second.trace_hash || first.trace_count != second.trace_count)
    log.fail(confman::sim::invariant::determinism, "two runs of one seed differ");
}

void progress(const share* shares, std::size_t count, std::uint64_t seeds, double seconds) {
  const share all = sum(shares, count);
  std::printf("%" PRIu64 " of %" PRIu64 " seeds, %.0f s\n", all.seeds, seeds, seconds);
  std::fflush(stdout);
}

bool summary(const share* shares, std::size_t count, std::uint64_t first, double seconds, bool good) {
  const share all = sum(shares, count);
  const statistics& c = all.counts;
  // Of processor time: others may use the machine, too.
  const double core_seconds = all.processor_seconds;
  bool covered = true;
  for (std::size_t i = 0; i < statistics::size; ++i) {
    std::printf("%-22s %14" PRIu64 "%s", statistics::name(i), c.value(i), i % 3 == 2 ? "\n" : "   ");
    const bool rare = is_rare(static_cast<counted>(i));
    if (c.value(i) == 0 && all.seeds >= (rare ? enough_for_rare : enough_seeds)) covered = false;
  }
  std::printf("\n");
  std::printf("%.1f seeds/s, %.0f simulated seconds per core-second, %.0f events/s per core\n",
              static_cast<double>(all.seeds) / seconds,
              static_cast<double>(c[counted::virtual_ms]) / 1000 / core_seconds,
              static_cast<double>(c[counted::events]) / core_seconds);
  if (good && !covered)
    std::printf("FAILED: some of the above never happened in %" PRIu64 " seeds\n", all.seeds);
  std::printf("%s: %" PRIu64 " seeds from %" PRIu64 " on %zu processes in %.1f s, %" PRIu64 " failed\n",
              good && covered ? "passed" : "FAILED", all.seeds, first, count, seconds,
              all.failures + (good || all.failures != 0 ? 0 : 1));
  return covered;
}

}  // namespace report
