#include "marks.hpp"

#include <doctest/doctest.h>

#include "confman/sim/world.hpp"

namespace {

std::uint64_t hits(const marks::counts& all, confman::mark which) {
  return all.hits[static_cast<std::size_t>(which)];
}

}  // namespace

TEST_CASE("marks count what the core of a simulated world comes by") {
  marks::reset();
  confman::sim::scenario plan;
  plan.safety = 2'000'000;
  confman::sim::world(plan).run();
  marks::counts all;
  marks::copy_to(all);
  CHECK(hits(all, confman::mark::directory_bound) + hits(all, confman::mark::read_waits_for_term) != 0);
  CHECK(hits(all, confman::mark::joint_entered) == 0);
  marks::reset();
  marks::copy_to(all);
  CHECK(hits(all, confman::mark::directory_bound) + hits(all, confman::mark::read_waits_for_term) == 0);
}

TEST_CASE("a long run in which a mark was never reached is refused") {
  marks::counts all;
  for (std::uint64_t& h : all.hits) h = 1;
  CHECK(marks::covered(all, 1'000'000, false));
  all.hits[static_cast<std::size_t>(confman::mark::joint_entered)] = 0;
  CHECK(marks::covered(all, 10, false));
  CHECK_FALSE(marks::covered(all, 1'000'000, false));
}
