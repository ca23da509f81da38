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
  // A search may give up where too many writes have no known outcome, now and then.
  unsigned searches = 0;
  unsigned ended = 0;
  std::size_t searched_operations = 0;
  for (std::uint64_t seed = 1; seed <= confman_test::effort(40u); ++seed) {
    CAPTURE(seed);
    history all = history_of(seed);
    const auto seen = check_witness(all);
    const std::string why = seen.findings.empty() ? "" : seen.findings[0].rule + ": " + seen.findings[0].text;
    CAPTURE(why);
    REQUIRE(seen.end == verdict::good);
    for (const auto model :
         {confman::check::register_model::value, confman::check::register_model::revision}) {
      const auto searched = check_linearizability(all, model, {2'000'000, std::size_t{1} << 28});
      REQUIRE(searched.end != verdict::violation);
      ++searches;
      ended += searched.end == verdict::good;
      if (searched.end == verdict::good) searched_operations += searched.checked;
    }
    for (const auto& op : all) {
      answered += op.end == confman::check::outcome::answered;
      unknown += op.end == confman::check::outcome::unknown;
    }
    const auto last_read = std::find_if(all.rbegin(), all.rend(), [](const auto& op) {
      return op.kind == confman::check::operation_kind::get && op.end == confman::check::outcome::answered &&
             op.mode == confman::check::read_mode::linearizable;
    });
    // In a world where little is committed the beginning may be all that anybody knew when it was called.
    const auto knew_more = [&](const auto& op) {
      return op.end == confman::check::outcome::answered && op.returned < last_read->called &&
             op.version.index > 1;
    };
    if (last_read == all.rend() || std::none_of(all.begin(), all.end(), knew_more)) continue;
    ++spoiled;
    last_read->version = {1, 1};
    last_read->revision = 0;
    REQUIRE(check_witness(all).end == verdict::violation);
  }
  CHECK(answered > confman_test::effort(2000u));
  CHECK(unknown > confman_test::effort(100u));
  CHECK(spoiled > confman_test::effort(20u));
  CHECK(ended * 4 >= searches * 3);
  CHECK(searched_operations > confman_test::effort(1000u));
}
