// Starting, stopping and destroying a map, in every order, with operations under way.
#include <doctest/doctest.h>

#include <asio/detached.hpp>
#include <asio/use_future.hpp>
#include <atomic>
#include <future>
#include <optional>
#include <string>

#include "net_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

// Operations that can't complete, each holding on to `token`.
template <class Map>
void leave_pending(Map& map, const std::shared_ptr<int>& token) {
  map.async_put("/a", "1", [token](std::error_code, write_result) {});
  map.async_erase("/a", [token](std::error_code, write_result) {});
  map.async_get("/a", linearizable, [token](std::error_code, std::optional<map_entry>) {});
  map.async_read_barrier(at_least({term_t(9), log_index(9999)}), [token](std::error_code) {});
}

}  // namespace

TEST_CASE("run() of the host's context returns after stop, with every operation completed") {
  loopback_network network;
  asio::io_context io;
  memory_map map(io.get_executor(), memory_options(1, 3), network);
  std::optional<std::error_code> ended, write, read;
  map.async_run([&](std::error_code c) { ended = c; });
  REQUIRE(run_until(io, [&] { return map.status().running; }));
  map.async_put("/a", "1", [&](std::error_code c, write_result) { write = c; });
  map.async_get("/a", linearizable, [&](std::error_code c, std::optional<map_entry>) { read = c; });
  map.stop();
  io.restart();
  io.run();
  REQUIRE(ended);
  CHECK_FALSE(*ended);
  CHECK(write == errc::stopped);
  CHECK(read == errc::stopped);
  std::optional<std::error_code> late;
  map.async_put("/a", "1", [&](std::error_code c, write_result) { late = c; });
  CHECK_FALSE(late);
  io.restart();
  io.run();
  CHECK(late == errc::stopped);
}

TEST_CASE("stop while the storage is still being opened ends the run") {
  for (int i = 0; i < 20; ++i) {
    asio::io_context io;
    temporary_directory directory;
    const auto port = free_ports(1);
    config_map map(io, quick_options(1, {{1, "127.0.0.1:" + std::to_string(port[0])}}, directory / "d"));
    std::optional<std::error_code> ended;
    map.async_run([&](std::error_code c) { ended = c; });
    if (i % 2 == 1) io.run_one();  // the opening has begun
    map.stop();
    io.restart();
    io.run();
    REQUIRE(ended);
    CHECK_FALSE(*ended);
  }
}

TEST_CASE("a map that was never run can be destroyed, stopped, asked and watched") {
  loopback_network network;
  asio::io_context io;
  {
    memory_map map(io.get_executor(), memory_options(), network);
    map.stop();
    CHECK_FALSE(map.get("/a"));
    CHECK(map.list("/").empty());
    const watch_handle w = map.watch("/", [](const change_batch&) {});
    std::error_code error;
    (void)map.put("/a", "1", error);
    CHECK(error == errc::stopped);
    CHECK_FALSE(map.status().running);
  }
  io.run();
}

TEST_CASE("a context destroyed with operations pending frees them without calling them") {
  const auto token = std::make_shared<int>();
  {
    loopback_network network;
    asio::io_context io;
    {
      memory_map map(io.get_executor(), memory_options(1, 3), network);
      map.async_run([token](std::error_code) { FAIL("nobody runs the context any more"); });
      REQUIRE(run_until(io, [&] { return map.status().running; }));
      leave_pending(map, token);
      (void)run_until(
          io, [] { return false; }, 10ms);
      leave_pending(map, token);  // these stay in the mailbox
    }
  }
  CHECK(token.use_count() == 1);
}

TEST_CASE("the same with sockets and a log") {
  const auto token = std::make_shared<int>();
  temporary_directory directory;
  for (int i = 0; i < 10; ++i) {
    const auto ports = free_ports(2);
    asio::io_context io;
    {
      config_map map(io, quick_options(1,
                                       {{1, "127.0.0.1:" + std::to_string(ports[0])},
                                        {2, "127.0.0.1:" + std::to_string(ports[1])}},
                                       directory / std::to_string(i)));
      map.async_run([token](std::error_code) {});
      if (i % 2 == 0) REQUIRE(run_until(io, [&] { return map.status().running; }));
      if (i % 3 == 0)
        (void)run_until(
            io, [] { return false; }, 5ms);
      leave_pending(map, token);
      if (i % 5 == 0) (void)io.poll();
    }
  }
  CHECK(token.use_count() == 1);
}

TEST_CASE("a map destroyed while its context runs on completes everything and leaves nothing behind") {
  const auto token = std::make_shared<int>();
  for (int i = 0; i < 10; ++i) {
    loopback_network network;
    running_context context(2);
    std::future<void> ended;
    {
      memory_map map(context.io().get_executor(), memory_options(1, i % 2 == 0 ? 1 : 3), network);
      ended = map.async_run(asio::use_future);
      if (i > 2) (void)eventually([&] { return map.status().running; });
      if (i % 2 == 0 && i > 2) (void)map.async_put("/x", "1", asio::use_future).get();
      leave_pending(map, token);
    }
    ended.get();
    context.join();
    CHECK(token.use_count() == 1);
  }
}

TEST_CASE("a leader destroyed in the middle of its writes doesn't crash, and everything completes") {
  const auto token = std::make_shared<int>();
  for (int i = 0; i < 10; ++i) {
    loopback_network network;
    running_context context(2);
    std::atomic<int> done{0};
    constexpr int writes = 500;
    {
      memory_map map(context.io().get_executor(), memory_options(), network);
      map.async_run(asio::detached);
      (void)map.async_put("/x", "1", asio::use_future).get();
      for (int k = 0; k < writes; ++k)
        map.async_put("/k" + std::to_string(k), "v",
                      [&done, token](std::error_code, write_result) { ++done; });
    }
    context.join();
    CHECK(done == writes);
    CHECK(token.use_count() == 1);
  }
}

TEST_CASE("the same with a log: the destructor waits for the write under way, drops what was not begun") {
  const auto token = std::make_shared<int>();
  temporary_directory directory;
  for (int i = 0; i < 10; ++i) {
    const auto ports = free_ports(1);
    running_context context;
    std::atomic<int> done{0};
    constexpr int writes = 300;
    {
      options o =
          quick_options(1, {{1, "127.0.0.1:" + std::to_string(ports[0])}}, directory / std::to_string(i));
      o.heartbeat_interval = 2ms;
      o.election_timeout = 6ms;
      config_map map(context.io(), o);
      map.async_run(asio::detached);
      if (i % 3 != 0) (void)map.async_put("/x", "1", asio::use_future).get();
      for (int k = 0; k < writes; ++k)
        map.async_put("/k" + std::to_string(k), "v",
                      [&done, token](std::error_code, write_result) { ++done; });
    }
    context.join();
    CHECK(done == writes);
    CHECK(token.use_count() == 1);
  }
}

TEST_CASE("entries, snapshots and watch handles may outlive a map with a thread of its own") {
  std::optional<map_entry> entry;
  std::optional<map_snapshot> snapshot;
  watch_handle watch;
  {
    tcp_cluster c(1);
    REQUIRE_FALSE(c.start_all());
    c[1].put("/a", "1");
    entry = c[1].get("/a");
    snapshot = c[1].snapshot();
    watch = c[1].watch("/", [](const change_batch&) {});
  }
  CHECK(entry->value() == "1");
  CHECK(snapshot->get("/a")->value() == "1");
  watch.cancel();
}

TEST_CASE("a map with a thread of its own starts, stops and says why it ended") {
  tcp_cluster c(1);
  {
    config_map map(c.options_of(1));
    CHECK(map.wait().code == errc::stopped);  // not started
    REQUIRE_FALSE(map.start());
    CHECK(map.status().running);
    CHECK(map.put("/a", "1").revision > 0);
    map.stop();
    CHECK_FALSE(map.wait());
    CHECK_FALSE(map.wait());
    CHECK_FALSE(map.status().running);
    CHECK(map.get("/a")->value() == "1");  // what it knew is still there
    std::error_code error;
    (void)map.put("/a", "2", error);
    CHECK(error == errc::stopped);
  }
  config_map again(c.options_of(1));
  REQUIRE_FALSE(again.start());
  std::error_code error;
  CHECK(again.get("/a", linearizable, error)->value() == "1");
}

TEST_CASE("several threads may wait for the end") {
  tcp_cluster c(1);
  REQUIRE_FALSE(c.start_all());
  std::vector<std::future<failure>> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(std::async(std::launch::async, [&] { return c[1].wait(); }));
  std::this_thread::sleep_for(20ms);
  c[1].stop();
  for (auto& w : waiting) {
    REQUIRE(w.wait_for(10s) == std::future_status::ready);
    CHECK_FALSE(w.get());
  }
}

TEST_CASE("a map runs once") {
  tcp_cluster c(1);
  config_map map(c.options_of(1));
  REQUIRE_FALSE(map.start());
  const failure again = map.start();
  CHECK(again.code == errc::stopped);
  CHECK_FALSE(again.what.empty());
  std::promise<std::error_code> ran;
  map.async_run([&](std::error_code code) { ran.set_value(code); });
  CHECK(ran.get_future().get() == errc::stopped);
  CHECK(map.put("/a", "1").revision > 0);  // the first run goes on
}

TEST_CASE("start after async_run is refused, and says so") {
  loopback_network network;
  running_context context;
  memory_map map(context.io().get_executor(), memory_options(), network);
  map.async_run(asio::detached);
  const failure f = map.start();
  CHECK(f.code == errc::stopped);
  CHECK_FALSE(f.what.empty());
  CHECK(map.wait().code == errc::stopped);
  map.stop();
}

TEST_CASE("start that is overtaken by stop says that the map is stopped") {
  for (int i = 0; i < 5; ++i) {
    tcp_cluster c(1);
    config_map map(c.options_of(1));
    std::thread stopper([&] { map.stop(); });
    const failure f = map.start();
    stopper.join();
    if (f) {
      CHECK(f.code == errc::stopped);
      CHECK_FALSE(map.status().running);
    }
    map.stop();
    CHECK_FALSE(map.wait());
  }
}

TEST_CASE("a blocking call on the map's own thread fails with would_deadlock instead of waiting for ever") {
  tcp_cluster c(1);
  REQUIRE_FALSE(c.start_all());
  std::promise<std::error_code> put, get;
  c[1].async_put("/a", "1", [&](std::error_code, write_result) {
    std::error_code error;
    (void)c[1].put("/b", "1", error);
    put.set_value(error);
    (void)c[1].get("/a", linearizable, error);
    get.set_value(error);
    CHECK(c[1].wait().code == errc::would_deadlock);
    CHECK(c[1].get("/a")->value() == "1");  // local reads never block
  });
  CHECK(put.get_future().get() == errc::would_deadlock);
  CHECK(get.get_future().get() == errc::would_deadlock);
  CHECK_FALSE(c[1].get("/b"));
}

TEST_CASE("a map with a thread of its own may be destroyed on that thread") {
  const auto token = std::make_shared<int>();
  tcp_cluster c(1);
  auto map = std::make_unique<config_map>(c.options_of(1));
  REQUIRE_FALSE(map->start());
  std::promise<void> gone;
  map->async_put("/a", "1", [&map, &gone, token](std::error_code, write_result) {
    map->async_put("/b", "1", [token](std::error_code, write_result) {});
    map.reset();
    gone.set_value();
  });
  gone.get_future().wait();
  CHECK(eventually([&] { return token.use_count() == 1; }));
}

TEST_CASE("events reach on_event, and never after the destructor") {
  std::atomic<bool> alive{true};
  std::atomic<int> events{0}, late{0};
  {
    tcp_cluster c(2, [&](options& o) {
      o.on_event = [&](const failure& f) {
        CHECK_FALSE(f.what.empty());
        ++(alive ? events : late);
      };
    });
    REQUIRE_FALSE(c.start(1));  // the other doesn't run: connecting fails
    CHECK(eventually([&] { return events > 0; }));
    c.stop_all();
    alive = false;
  }
  std::this_thread::sleep_for(100ms);
  CHECK(late == 0);
}
