#include "report.hpp"

#include <cinttypes>
#include <cstdio>

namespace report {

namespace {

using confman::sim::counted;
using confman::sim::statistics;

constexpr std::uint64_t enough_seeds = 1000;

}  // namespace

share sum(const share* shares, std::size_t count) {
  share all;
  for (std::size_t i = 0; i < count; ++i) {
    all.seeds += shares[i].seeds;
    all.failures += shares[i].failures;
    all.counts += shares[i].counts;
    for (std::size_t m = 0; m < confman::mark_count; ++m) all.marks.hits[m] += shares[i].marks.hits[m];
  }
  return all;
}

void progress(const share* shares, std::size_t count, std::uint64_t seeds, double seconds) {
  const share all = sum(shares, count);
  std::printf("%" PRIu64 " of %" PRIu64 " seeds, %.0f s\n", all.seeds, seeds, seconds);
  std::fflush(stdout);
}

bool summary(const share* shares, std::size_t count, std::uint64_t first, double seconds, bool good) {
  const share all = sum(shares, count);
  const statistics& c = all.counts;
  const double core_seconds = seconds * static_cast<double>(count);
  bool covered = true;
  for (std::size_t i = 0; i < statistics::size; ++i) {
    std::printf("%-22s %14" PRIu64 "%s", statistics::name(i), c.value(i), i % 3 == 2 ? "\n" : "   ");
    if (c.value(i) == 0) covered = false;
  }
  std::printf("\n");
  std::printf("%.1f seeds/s, %.0f simulated seconds per core-second, %.0f events/s per core\n",
              static_cast<double>(all.seeds) / seconds,
              static_cast<double>(c[counted::virtual_ms]) / 1000 / core_seconds,
              static_cast<double>(c[counted::events]) / core_seconds);
  if (all.seeds < enough_seeds) covered = true;
  if (good && !covered)
    std::printf("FAILED: some of the above never happened in %" PRIu64 " seeds\n", all.seeds);
  std::printf("%s: %" PRIu64 " seeds from %" PRIu64 " on %zu processes in %.1f s, %" PRIu64 " failed\n",
              good && covered ? "passed" : "FAILED", all.seeds, first, count, seconds,
              all.failures + (good || all.failures != 0 ? 0 : 1));
  return covered;
}

}  // namespace report
