// Values too large for one entry of the log.
#include <doctest/doctest.h>

#include <algorithm>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/use_future.hpp>
#include <atomic>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "net_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

// Not the same anywhere, so that a piece in the wrong place shows.
std::string large_value(std::size_t bytes, std::uint64_t seed) {
  std::string value(bytes, '\0');
  std::uint64_t x = seed * 2 + 1;
  for (std::size_t i = 0; i + 8 <= bytes; i += 8) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    std::copy_n(reinterpret_cast<const char*>(&x), 8, value.data() + i);
  }
  return value;
}

void slow_elections(options& o) {
  o.heartbeat_interval = 50ms;
  o.election_timeout = 500ms;
  o.request_timeout = 60s;
  o.segment_bytes = 8 << 20;
}

}  // namespace

TEST_CASE("values from 255 KiB to 5 MB are put and read through the leader and a follower") {
  tcp_cluster c(3, slow_elections);
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t leader = c.leader(), follower = c.follower();
  std::error_code error;
  std::uint64_t seed = 0;
  for (const std::size_t bytes : {max_piece_bytes - 1, max_piece_bytes, max_piece_bytes + 1,
                                  std::size_t{300'000}, std::size_t{5'000'000}})
    for (const std::uint64_t through : {leader, follower}) {
      const std::string value = large_value(bytes, ++seed);
      const write_result put = c[through].put("/large", value, error);
      REQUIRE_FALSE(error);
      for (std::uint64_t id = 1; id <= 3; ++id) {
        const auto found = c[id].get("/large", at_least(put.at), error);
        REQUIRE_FALSE(error);
        REQUIRE(found);
        CHECK((found->value() == value));
        CHECK(found->modify_revision() == put.revision);
      }
    }
  const std::string value = large_value(1'000'000, 99);
  const auto now = c[follower].get("/large", linearizable, error)->modify_revision();
  (void)c[follower].compare_exchange("/large", 1, value, error);
  CHECK(error == errc::compare_failed);
  (void)c[follower].compare_exchange("/large", now, value, error);
  CHECK_FALSE(error);
  CHECK((c[leader].get("/large", linearizable, error)->value() == value));
}

TEST_CASE("a value of 100 MB beside small writes: no election, no error") {
  tcp_cluster c(3, slow_elections);
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t leader = c.leader(), follower = c.follower();
  c[leader].put("/warm", "1");
  const term_t term = c[leader].status().term;
  std::atomic<bool> stop{false};
  std::atomic<int> errors{0}, written{0};
  std::vector<std::thread> writers;
  for (const std::uint64_t id : {leader, follower})
    writers.emplace_back([&, id] {
      std::error_code error;
      for (int i = 0; !stop; ++i, ++written)
        if ((void)c[id].put("/small/" + std::to_string(i % 100), "v", error); error) ++errors;
    });
  const std::string value = large_value(100'000'000, 7);
  std::error_code error;
  const auto began = std::chrono::steady_clock::now();
  const write_result put = c[follower].put("/large", value, error);
  CHECK_FALSE(error);
  const auto took = std::chrono::steady_clock::now() - began;
  stop = true;
  for (auto& w : writers) w.join();
  MESSAGE("100 MB in " << std::chrono::duration_cast<std::chrono::milliseconds>(took).count() << " ms, with "
                       << written.load() << " small writes beside it");
  CHECK(errors == 0);
  CHECK(written > 20);
  for (std::uint64_t id = 1; id <= 3; ++id) {
    const auto found = c[id].get("/large", at_least(put.at), error);
    REQUIRE(found);
    CHECK((found->value() == value));
    CHECK(c[id].status().term == term);
  }
}

TEST_CASE("a large value replaces another while it is read, and is in snapshot and restart") {
  temporary_directory directory;
  options o = quick_options(1, {{1, "127.0.0.1:" + std::to_string(free_ports(1)[0])}}, directory / "1");
  o.heartbeat_interval = 10ms;
  o.election_timeout = 30ms;
  const std::string first = large_value(3'000'000, 1), second = large_value(2'000'000, 2);
  {
    config_map map(o);
    REQUIRE_FALSE(map.start());
    map.put("/large", first);
    const auto held = map.get("/large");
    map.put("/large", second);
    CHECK((held->value() == first));
    CHECK(map.take_snapshot());
    map.put("/other", first);
  }
  config_map map(o);
  REQUIRE_FALSE(map.start());
  std::error_code error;
  CHECK((map.get("/large", linearizable, error)->value() == second));
  CHECK((map.get("/other")->value() == first));
}

TEST_CASE("a large write in a session that is repeated has one effect") {
  tcp_cluster c(3, slow_elections);
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t follower = c.follower();
  std::error_code error;
  const std::uint64_t id = c[follower].open_session(60s, error);
  const once token{id, 1, 1};
  const std::string value = large_value(1'000'000, 3);
  const write_result first = c[follower].put("/large", value, token, error);
  CHECK_FALSE(error);
  c[follower].put("/large", "small");
  const write_result again = c[c.leader()].put("/large", value, token, error);
  CHECK_FALSE(error);
  CHECK(again.at == first.at);
  CHECK(c[follower].get("/large", linearizable, error)->value() == "small");
}

TEST_CASE("a large put across a change of leader happens, or is certainly not applied") {
  tcp_cluster c(3);
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t leader = c.leader(), follower = c.follower();
  const std::string value = large_value(8'000'000, 4);
  std::promise<std::pair<std::error_code, write_result>> put;
  c[follower].async_put("/large", value, [&](std::error_code code, write_result r) {
    put.set_value({code, r});
  });
  std::this_thread::sleep_for(10ms);
  (void)c[leader].transfer_leadership(0);
  const auto [code, outcome] = put.get_future().get();
  std::error_code error;
  const auto found = c[follower].get("/large", linearizable, error);
  if (!code) {
    REQUIRE(found);
    CHECK((found->value() == value));
    CHECK(outcome.revision == found->modify_revision());
  } else if (code != errc::outcome_unknown) {
    CHECK_FALSE(found);
  }
}

TEST_CASE("values above the limit are refused, by this node's options and by the hard limit") {
  tcp_cluster c(1, [](options& o) { o.max_value_bytes = 400'000; });
  REQUIRE_FALSE(c.start_all());
  std::error_code error;
  (void)c[1].put("/a", std::string(400'000, 'x'), error);
  CHECK_FALSE(error);
  (void)c[1].put("/a", std::string(400'001, 'x'), error);
  CHECK(error == errc::value_too_large);
  options o = c.options_of(1);
  o.max_value_bytes = max_large_value_bytes + 1;
  CHECK(validate(o).code == errc::bad_option);
}

TEST_CASE("a large put can be cancelled, and the node goes on") {
  tcp_cluster c(1);
  REQUIRE_FALSE(c.start_all());
  c[1].put("/a", "1");
  asio::cancellation_signal signal;
  std::promise<std::error_code> ended;
  c[1].async_put("/large", large_value(60'000'000, 5),
                 asio::bind_cancellation_slot(
                     signal.slot(), [&](std::error_code code, write_result) { ended.set_value(code); }));
  std::this_thread::sleep_for(5ms);
  signal.emit(asio::cancellation_type::terminal);
  auto outcome = ended.get_future();
  REQUIRE(outcome.wait_for(20s) == std::future_status::ready);
  const std::error_code code = outcome.get();
  CHECK(code == asio::error::operation_aborted);
  CHECK_FALSE(c[1].get("/large"));
  CHECK(c[1].put("/after", "1").revision > 0);
}

TEST_CASE(
    "a map destroyed or stopped in the middle of large puts and a join completes all and leaks nothing") {
  const auto token = std::make_shared<int>();
  for (int i = 0; i < 6; ++i) {
    tcp_cluster c(1, {}, 1);
    REQUIRE_FALSE(c.start_all());
    c[1].put("/a", "1");
    const std::string value = large_value(4'000'000, 6);
    std::atomic<int> done{0};
    for (int k = 0; k < 4; ++k)
      c[1].async_put("/large" + std::to_string(k), value,
                     [token, &done](std::error_code, write_result) { ++done; });
    REQUIRE_FALSE(c.start(c.joining_options(2, 1)));
    std::this_thread::sleep_for(std::chrono::milliseconds(2 * i));
    if (i % 2 == 0) {
      CHECK_FALSE(c.stop(1));
      CHECK(done == 4);
    }
    c.destroy(1);
    c.destroy(2);
    CHECK(eventually([&] { return token.use_count() == 1; }));
  }
}
