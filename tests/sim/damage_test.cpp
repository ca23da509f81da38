// Damage to disks: drawn only where it can be survived, noticed where it matters, and counted against nobody.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "confman/sim/script.hpp"
#include "confman/sim/world.hpp"

using namespace confman::sim;

namespace {

// Three nodes with a snapshot now and then, and nothing wrong but these.
outcome run(const std::vector<decision>& decisions, bool ruin = false) {
  scenario plan;
  plan.seed = 9;
  plan.safety = 6'000'000;
  plan.snapshot_entries = 20;
  plan.tail_entries = 5;
  plan.segment_bytes = 4096;
  plan.maintain = false;  // or a note on disk tells that the end of the log was synced
  plan.ruin = ruin;
  world w(plan, decisions);
  return w.run();
}

decision strike(micros at, decision_kind kind, std::uint8_t node, std::uint64_t seed) {
  decision d;
  d.at = at;
  d.kind = kind;
  d.node = node;
  d.seed = seed;
  d.survive = survival::none;
  d.length = 300'000;
  return d;
}

}  // namespace

TEST_CASE("as long as one whole copy is left, disks rot; the last one doesn't") {
  std::vector<decision> all;
  for (std::uint8_t n = 1; n <= 3; ++n) {
    all.push_back(strike(4'000'000 + n, decision_kind::crash, n, n));
    all.push_back(strike(4'000'010 + n, decision_kind::rot, n, 40u + n));
  }
  const outcome end = run(all);
  CHECK(end.counts[counted::rotten_disks] > 0);
  CHECK(end.counts[counted::rotten_disks] < 3);
}

TEST_CASE("under running processes disks rot as well, but for one whole copy, and all goes on") {
  std::vector<decision> all;
  for (std::uint8_t n = 1; n <= 3; ++n)
    for (std::uint8_t i = 0; i < 10; ++i)
      all.push_back(strike(4'000'000 + i, decision_kind::latent_rot, n, 40u + n + 10u * i));
  const outcome end = run(all);
  CHECK(end.counts[counted::latent_rots] == 2);
  CHECK(end.counts[counted::refused_disks] == 0);
}

TEST_CASE("the end of a log that rots is forgotten only where a majority keeps it") {
  std::uint64_t tails = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    std::vector<decision> some;
    for (std::uint8_t n = 1; n <= 3; ++n) {
      some.push_back(strike(3'000'000 + seed * 10'000 + n, decision_kind::crash, n, seed));
      some.push_back(strike(3'000'010 + seed * 10'000 + n, decision_kind::rot_tail, n, seed));
    }
    const outcome end = run(some);
    CHECK(end.counts[counted::rotten_tails] <= 1);
    tails += end.counts[counted::rotten_tails];
  }
  CHECK(tails > 0);
}

TEST_CASE("where every disk or every copy is damaged, nodes refuse to run or do without what was hit") {
  std::uint64_t ruined = 0, refused = 0, throughout = 0, refused_throughout = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    scenario plan = scenario::draw(seed);
    plan.ruin = true;
    world w(plan);
    const outcome end = w.run();
    const bool all = end.counts[counted::ruined_logs] != 0;
    throughout += end.counts[counted::ruined_logs];
    ruined += end.counts[counted::ruined_disks];
    (all ? refused_throughout : refused) += end.counts[counted::refused_disks];
  }
  CHECK(ruined > 20);
  CHECK(refused > ruined / 10);
  CHECK(throughout > 20);
  CHECK(refused_throughout > throughout / 3);
}
