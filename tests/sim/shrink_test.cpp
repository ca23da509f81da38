// Shrinking, tried on failures that are none of the product's.
#include "confman/sim/shrink.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

#include "lib/effort.hpp"

using namespace confman::sim;

namespace {

bool has(const world& w, decision_kind kind) {
  return std::any_of(w.decisions().begin(), w.decisions().end(),
                     [kind](const decision& d) { return d.kind == kind; });
}

// A seed with many decisions of which two kinds are needed.
scenario busy_scenario() {
  scenario plan;
  plan.seed = 12;
  plan.nodes = 5;
  plan.loss = 20;
  plan.faults = fault::crash | fault::pause | fault::clock_jump | fault::partition | fault::stall;
  return plan;
}

// Breaks when a pause and a jump of a clock were in one run.
bool pause_and_jump(const world& w) {
  return has(w, decision_kind::pause) && has(w, decision_kind::clock_jump);
}

// However busy the machine is.
shrink::settings patient() {
  shrink::settings how;
  how.seconds = 3600;
  return how;
}

}  // namespace

// Each shrinks by some hundred runs in processes of their own: too many for a sanitizer.
TEST_SUITE("shrink" * doctest::skip(confman_test::effort(10u) < 10)) {
  TEST_CASE("a broken invariant is left with the decisions that it needs, in the plain scenario") {
    shrink::settings how = patient();
    how.run = [](world& w) {
      w.run();
      if (pause_and_jump(w)) w.log().fail(invariant::bounds, "artificial");
    };
    const shrink::outcome found = shrink::smallest(busy_scenario(), how);
    CHECK(found.first.broken == static_cast<int>(invariant::bounds));
    CHECK(found.first.decisions.size() > 20);
    REQUIRE(found.reproduced);
    CHECK(found.small.decisions.size() == 2);
    CHECK(found.small.plan.loss == 0);
    CHECK(found.small.plan.faults == 0);
    CHECK(found.small.plan.clients == 1);
    CHECK(found.last.broken == found.first.broken);
  }

  TEST_CASE("so is an abort, and an endless loop") {
    shrink::settings how = patient();
    how.run = [](world& w) {
      w.run();
      if (pause_and_jump(w)) std::abort();
    };
    const shrink::outcome aborted = shrink::smallest(busy_scenario(), how);
    CHECK(aborted.first.broken == shrink::verdict::signal + SIGABRT);
    CHECK(aborted.small.decisions.size() == 2);

    how.run_seconds = 1;
    how.runs = 12;
    how.run = [](world& w) {
      w.run();
      for (volatile bool endless = pause_and_jump(w); endless;) {
      }
    };
    const shrink::outcome endless = shrink::smallest(busy_scenario(), how);
    CHECK(endless.first.broken == shrink::verdict::signal + SIGVTALRM);
    CHECK(endless.small.decisions.size() < endless.first.decisions.size());
  }

  TEST_CASE("a failure of another kind isn't taken for it, and what passes isn't shrunk") {
    shrink::settings how = patient();
    how.run = [](world& w) {
      w.run();
      const bool many = w.decisions().size() > 10;
      if (pause_and_jump(w)) w.log().fail(many ? invariant::bounds : invariant::harness, "artificial");
    };
    const shrink::outcome found = shrink::smallest(busy_scenario(), how);
    REQUIRE(found.reproduced);
    CHECK(found.last.broken == static_cast<int>(invariant::bounds));
    CHECK(found.small.decisions.size() == 11);

    how.run = [](world& w) {
      w.run();
      if (pause_and_jump(w)) throw std::runtime_error("the application's own");
    };
    how.runs = 2;
    const shrink::outcome thrown = shrink::smallest(busy_scenario(), how);
    CHECK(thrown.first.broken == shrink::verdict::exception);
    CHECK(thrown.first.what == "the application's own");
    CHECK(thrown.reproduced);

    const shrink::outcome good = shrink::smallest(scenario());
    CHECK(good.first.broken == shrink::verdict::passed);
    CHECK(good.runs == 1);
  }
}
