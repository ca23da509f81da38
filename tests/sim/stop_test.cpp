// An orderly stop: a leader hands over before its process ends, and waits no longer for it than it must.
#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include "confman/sim/script.hpp"
#include "confman/sim/world.hpp"

using namespace confman::sim;

namespace {

// Three nodes, each of which stops once, one so much after the other.
outcome stop_each(micros apart, std::vector<decision> more = {}) {
  scenario plan;
  plan.seed = 9;
  plan.safety = 8'000'000;
  for (std::uint8_t n = 1; n <= 3; ++n) {
    decision d;
    d.at = 3'000'000 + n * apart;
    d.kind = decision_kind::stop;
    d.node = n;
    d.length = 300'000;
    more.push_back(d);
  }
  world w(plan, std::move(more));
  return w.run();
}

}  // namespace

TEST_CASE("a leader that stops hands over, and no election is lost") {
  const outcome end = stop_each(1'000'000);
  CHECK(end.counts[counted::stops] == 3);
  CHECK(end.counts[counted::leaders_stopped] >= 1);
  CHECK(end.counts[counted::stops_handed_over] == end.counts[counted::leaders_stopped]);
  CHECK(end.counts[counted::elections] == 1 + end.counts[counted::leaders_stopped]);
}

TEST_CASE("a leader that nobody hears stops without handing over") {
  decision cut;
  cut.at = 3'000'000;
  cut.kind = decision_kind::partition;
  cut.length = 5'000'000;
  for (std::size_t from = 1; from <= 3; ++from) cut.links[from] = static_cast<node_set>(0xE & ~(1u << from));
  const outcome end = stop_each(10'000, {cut});
  CHECK(end.counts[counted::stops] == 3);
  CHECK(end.counts[counted::leaders_stopped] >= 1);
  CHECK(end.counts[counted::stops_handed_over] == 0);
}
