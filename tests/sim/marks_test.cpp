#include "marks.hpp"

#include <doctest/doctest.h>

#include <iterator>
#include <numeric>

#include "confman/sim/world.hpp"

namespace {

std::uint64_t sum(const marks::counts& all) {
  return std::accumulate(std::begin(all.hits), std::end(all.hits), std::uint64_t{0});
}

}  // namespace

TEST_CASE("marks count what the core of a simulated world comes by") {
  marks::reset();
  marks::counts all;
  marks::copy_to(all);
  CHECK(sum(all) == 0);
  confman::sim::world(confman::sim::scenario::draw(1)).run();
  marks::copy_to(all);
  CHECK(sum(all) != 0);
  marks::reset();
}

TEST_CASE("a long run in which a mark was never reached is refused") {
  marks::counts all;
  for (std::uint64_t& h : all.hits) h = 1;
  CHECK(marks::covered(all, 1'000'000, false));
  all.hits[static_cast<std::size_t>(confman::mark::joint_entered)] = 0;
  CHECK(marks::covered(all, 10, false));
  CHECK_FALSE(marks::covered(all, 1'000'000, false));
}
