// A run is its scenario and its decisions: carried out from their list, they give the same run again.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "confman/sim/world.hpp"

using namespace confman::sim;

TEST_SUITE("replay") {
  TEST_CASE("a run from the recorded decisions equals the run that drew them") {
    std::set<decision_kind> seen;
    for (std::uint64_t seed = 1; seed <= 150; ++seed) {
      CAPTURE(seed);
      const scenario plan = scenario::draw(seed);
      world drawn(plan);
      const outcome first = drawn.run();
      world carried_out(plan, drawn.decisions());
      const outcome second = carried_out.run();
      REQUIRE(first.trace_count == second.trace_count);
      REQUIRE(first.trace_hash == second.trace_hash);
      for (std::size_t i = 0; i < statistics::size; ++i)
        REQUIRE(first.counts.value(i) == second.counts.value(i));
      REQUIRE(drawn.decisions() == carried_out.decisions());
      for (const decision& d : drawn.decisions()) seen.insert(d.kind);
    }
    CHECK(seen.size() == decision_kinds);
  }

  TEST_CASE("a part of the decisions is a run, too, and another one") {
    std::size_t others = 0;
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
      CAPTURE(seed);
      const scenario plan = scenario::draw(seed);
      world drawn(plan);
      const outcome first = drawn.run();
      std::vector<decision> some;
      for (std::size_t i = 0; i < drawn.decisions().size(); i += 2) some.push_back(drawn.decisions()[i]);
      world carried_out(plan, some);
      if (carried_out.run().trace_hash != first.trace_hash) ++others;
      // What didn't apply any more isn't listed, and so the list gives the same run once more.
      world again(plan, carried_out.decisions());
      REQUIRE(again.run().trace_hash == carried_out.log().hash());
    }
    CHECK(others > 40);
  }

  TEST_CASE("without decisions nothing goes wrong") {
    scenario plan = scenario::draw(3);
    world quiet(plan, std::vector<decision>());
    const outcome end = quiet.run();
    CHECK(quiet.decisions().empty());
    CHECK(end.counts[counted::crashes] == 0);
  }

  TEST_CASE("decisions about what doesn't exist are passed over") {
    scenario plan;
    plan.safety = 1'000'000;
    std::vector<decision> odd;
    for (unsigned kind = 0; kind < decision_kinds; ++kind) {
      decision d;
      d.at = 500'000;
      d.kind = static_cast<decision_kind>(kind);
      d.node = 15;
      d.target = 15;
      if (d.kind != decision_kind::power_loss && d.kind != decision_kind::partition &&
          d.kind != decision_kind::quorum)
        odd.push_back(d);
    }
    world whole(plan, odd);
    whole.run();
    CHECK(whole.decisions().empty());
  }
}
