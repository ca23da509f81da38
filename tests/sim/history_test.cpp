// Histories of simulated runs are judged by checkers that know nothing of the simulator and its own checks.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "confman/check/linearizability.hpp"
#include "confman/check/witness.hpp"
#include "confman/sim/world.hpp"
#include "history_file.hpp"
#include "lib/effort.hpp"

using confman::check::history;
using confman::check::verdict;

namespace {

history history_of(std::uint64_t seed) {
  std::vector<confman::sim::recorded_call> calls;
  confman::sim::world simulated(confman::sim::scenario::draw(seed));
  simulated.record(calls);
  (void)simulated.run();
  return history_file::operations_of(calls);
}

}  // namespace

TEST_CASE("the checkers find nothing wrong in simulated runs, and a stale read put into them") {
  std::size_t answered = 0;
  std::size_t unknown = 0;
  unsigned spoiled = 0;
  for (std::uint64_t seed = 1; seed <= confman_test::effort(40u); ++seed) {
    CAPTURE(seed);
    history all = history_of(seed);
    const auto seen = check_witness(all);
    const std::string why = seen.findings.empty() ? "" : seen.findings[0].rule + ": " + seen.findings[0].text;
    CAPTURE(why);
    REQUIRE(seen.end == verdict::good);
    REQUIRE(check_linearizability(all, confman::check::register_model::value).end != verdict::violation);
    REQUIRE(check_linearizability(all, confman::check::register_model::revision).end != verdict::violation);
    for (const auto& op : all) {
      answered += op.end == confman::check::outcome::answered;
      unknown += op.end == confman::check::outcome::unknown;
    }
    const auto last_read = std::find_if(all.rbegin(), all.rend(), [](const auto& op) {
      return op.kind == confman::check::operation_kind::get && op.end == confman::check::outcome::answered &&
             op.mode == confman::check::read_mode::linearizable;
    });
    if (last_read == all.rend() || last_read->version.index < 2) continue;
    ++spoiled;
    last_read->version = {1, 1};
    last_read->revision = 0;
    REQUIRE(check_witness(all).end == verdict::violation);
  }
  CHECK(answered > confman_test::effort(2000u));
  CHECK(unknown > confman_test::effort(100u));
  CHECK(spoiled > confman_test::effort(20u));
}
