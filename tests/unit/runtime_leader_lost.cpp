// Writes on a follower whose connection to the leader is down, and nodes that lost what they acknowledged.
#include <doctest/doctest.h>

#include "runtime_group.hpp"

using namespace confman;
using namespace confman::testing;

TEST_CASE("a write offered while the leader can't be reached waits for the next leader") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(3);
  REQUIRE(c[2]->core().leader() == node_id(1));
  c.lost = [](const message& m) { return m.from == node_id(1) || m.to == node_id(1); };
  test_write sent("/a", "1"), kept("/b", "2");
  c[2]->submit(sent);
  c[2]->unreachable(node_id(1));
  CHECK(sent.ended_with(errc::outcome_unknown));
  c[2]->submit(kept);
  c[2]->unreachable(node_id(1));
  CHECK(kept.waits());
  c.elect(2);
  c.settle();
  c.tick(3);
  CHECK(kept.ended_with({}));
  CHECK(c[3].value("/b") == "2");
}

TEST_CASE("a write kept back is sent when the same leader is heard again") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(3);
  c[2]->unreachable(node_id(1));
  test_write w("/a", "1");
  c[2]->submit(w);
  CHECK(w.waits());
  c.tick(4);
  CHECK(w.ended_with({}));
  CHECK(c[1].value("/a") == "1");
}

TEST_CASE("a node that lacks what it acknowledged stops and says so") {
  driven d(2, 3);
  entry e;
  e.term = term_t(1);
  e.index = log_index(1);
  REQUIRE(d.receive(1, 1, append_request{{}, {}, log_index(0), {e}}) == std::error_code{});
  CHECK(d.receive(1, 1, heartbeat{log_index(1), 0}) == std::error_code{});
  CHECK(d.receive(1, 1, heartbeat{log_index(5), 0}) == errc::log_damaged);
  REQUIRE(d.observer.failures.size() == 1);
  CHECK(d.observer.failures[0].code == errc::log_damaged);
  CHECK(d->failed().what.find("node 2") != std::string::npos);
}

TEST_CASE("a recovered configuration that can't be read is refused before a core is made of it") {
  recovered_log log;
  entry e;
  e.term = term_t(1);
  e.index = log_index(1);
  e.type = entry_type::configuration;
  e.payload = shared_bytes::copy("?");
  log.entries.push_back(e);
  CHECK(check_recovered(log).code == errc::format_unsupported);
}
