// The simulated network breaks connections as a real one does: nothing damaged arrives, and what was on its
// way is lost.
#include "confman/sim/network.hpp"

#include <doctest/doctest.h>

#include <string>

#include "confman/transport/framing.hpp"

namespace {

using confman::node_id;
using namespace confman::sim;

const node_id one{1}, two{2};

confman::message heartbeat() {
  return {confman::cluster_id(1), {}, one, two, confman::incarnation_id(1), confman::term_t(1),
          confman::heartbeat{}};
}

struct linked {
  scenario plan;
  timeline<event> time;
  statistics counts;
  trace log{false};

  // What arrives of so many messages.
  std::size_t arrive(std::size_t sent) {
    network net(plan, time, counts, log);
    for (std::size_t i = 0; i < sent; ++i) net.send(heartbeat());
    std::size_t arrived = 0;
    while (!time.empty()) {
      const event e = time.take();
      if (e.kind != event_kind::deliver) continue;
      const auto m = net.take(e.slot);
      if (m) CHECK(*m);
      arrived += m ? 1 : 0;
    }
    return arrived;
  }
};

}  // namespace

TEST_CASE("a frame is read whole and unchanged, or not at all") {
  confman::gather_buffer out;
  confman::append_message_frame(heartbeat(), out);
  const std::string whole = out.str();
  CHECK(network::gives_frame(whole));
  for (std::size_t i = 0; i < whole.size(); ++i) {
    CHECK_FALSE(network::gives_frame(whole.substr(0, i)));
    for (int bit = 0; bit < 8; ++bit) {
      std::string hurt = whole;
      hurt[i] = static_cast<char>(hurt[i] ^ 1 << bit);
      CHECK_FALSE(network::gives_frame(hurt));
    }
  }
}

TEST_CASE("a good link brings everything") {
  linked l;
  CHECK(l.arrive(100) == 100);
  CHECK(l.counts[counted::broken_connections] == 0);
}

TEST_CASE("a damaged frame takes with it what is on its way") {
  linked l;
  SUBCASE("flipped") {
    l.plan.flips = 1000;
  }
  SUBCASE("cut off") {
    l.plan.cut_frames = 1000;
  }
  CHECK(l.arrive(100) == 0);
  CHECK(l.counts[counted::flipped_frames] + l.counts[counted::cut_frames] == 1);
  CHECK(l.counts[counted::broken_connections] == 1);
  CHECK(l.counts[counted::lost_in_flight] == 99);
}

TEST_CASE("storms of reconnects lose some, delay spikes only take time") {
  linked l;
  SUBCASE("storm") {
    l.plan.storms = 1000;
    const std::size_t arrived = l.arrive(100);
    CHECK(arrived < 100);
    CHECK(arrived + l.counts[counted::lost_in_flight] == 100);
  }
  SUBCASE("spike") {
    l.plan.spikes = 1000;
    CHECK(l.arrive(100) == 100);
    CHECK(l.time.now() > 1000);
  }
}
