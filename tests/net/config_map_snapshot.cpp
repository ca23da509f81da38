// Snapshots of running members: taken, restarted from, sent, copied.
#include <doctest/doctest.h>

#include <algorithm>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/use_future.hpp>
#include <atomic>
#include <filesystem>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "net_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

// Small segments and a short tail, so that what is compacted shows.
void compact_eagerly(options& o) {
  o.segment_bytes = 1 << 16;
  o.snapshot_log_bytes = 256 << 10;
  o.log_tail_bytes = 16 << 10;
  o.log_tail_entries = 100;
  o.log_cache_bytes = 32 << 10;
}

std::size_t log_segments(const std::string& directory) {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    count += entry.path().filename().string().rfind("log-", 0) == 0;
  return count;
}

void put_many(config_map& map, int count, const std::string& prefix, std::size_t bytes = 1000) {
  std::vector<std::future<write_result>> under_way;
  for (int i = 0; i < count; ++i) {
    under_way.push_back(map.async_put(prefix + std::to_string(i), std::string(bytes, 'v'), asio::use_future));
    if (under_way.size() < 200) continue;
    for (auto& w : under_way) (void)w.get();
    under_way.clear();
  }
  for (auto& w : under_way) (void)w.get();
}

options single(const std::string& directory) {
  options o = quick_options(1, {{1, "127.0.0.1:" + std::to_string(free_ports(1)[0])}}, directory);
  o.heartbeat_interval = 2ms;
  o.election_timeout = 6ms;
  return o;
}

}  // namespace

TEST_CASE("a snapshot is taken by hand while writes go on, and is what the next start begins with") {
  temporary_directory directory;
  const options o = single(directory / "1");
  std::uint64_t hash = 0;
  {
    config_map map(o);
    REQUIRE_FALSE(map.start());
    put_many(map, 500, "/k/");
    std::atomic<bool> stop{false};
    std::thread writing([&] {
      for (int i = 0; !stop; ++i) map.put("/w/" + std::to_string(i % 50), std::to_string(i));
    });
    for (int i = 0; i < 5; ++i) {
      const result<version> taken = map.take_snapshot();
      REQUIRE(taken);
      CHECK(taken->index.value() >= 500);
      CHECK(eventually([&] { return map.status().snapshot >= taken->index; }));
    }
    stop = true;
    writing.join();
    map.put("/last", "1");
    hash = map.read().state_hash();
    map.stop();
    CHECK_FALSE(map.wait());
  }
  config_map map(o);
  REQUIRE_FALSE(map.start());
  CHECK(map.status().snapshot.value() > 500);
  std::error_code error;
  map.read_barrier(linearizable, error);
  CHECK_FALSE(error);
  CHECK(map.list("/k/").size() == 500);
  CHECK(map.get("/last")->value() == "1");
  CHECK(map.read().state_hash() != 0);
  CHECK(hash != 0);
}

TEST_CASE("snapshots come by themselves, and the log's files before them are freed") {
  tcp_cluster c(3, compact_eagerly);
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t leader = c.leader();
  put_many(c[leader], 3000, "/k/");
  REQUIRE(c.converge(leader));
  for (std::uint64_t id = 1; id <= 3; ++id) {
    CHECK(eventually([&] { return c[id].status().first.value() > 1000; }));
    CHECK(c[id].status().snapshot.value() > 1000);
    CHECK(eventually([&] { return log_segments(c.directory(id)) < 20; }));  // 3 MB were 50
  }
  const std::uint64_t hash = c[leader].read().state_hash();
  c.stop_all();
  REQUIRE_FALSE(c.start_all());
  std::error_code error;
  for (std::uint64_t id = 1; id <= 3; ++id) {
    c[id].read_barrier(linearizable, error);
    CHECK_FALSE(error);
    CHECK(c[id].list("/k/").size() == 3000);
  }
  CHECK(c[1].read().state_hash() == c[2].read().state_hash());
  CHECK(hash != 0);
}

TEST_CASE("a member that was down for long gets the snapshot, while the leader is written to") {
  tcp_cluster c(3, compact_eagerly);
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t leader = c.leader(), victim = c.follower();
  put_many(c[leader], 100, "/before/");
  CHECK_FALSE(c.stop(victim));
  put_many(c[leader], 5000, "/k/");
  c[leader].erase("/before/7");
  REQUIRE(eventually([&] { return c[leader].status().first.value() > 2000; }));
  const term_t term = c[leader].status().term;
  std::atomic<bool> stop{false};
  std::atomic<int> errors{0};
  std::thread writing([&] {
    std::error_code error;
    for (int i = 0; !stop; ++i) {
      (void)c[leader].put("/w/" + std::to_string(i), std::string(500, 'w'), error);
      if (error) ++errors;
    }
  });
  REQUIRE_FALSE(c.start(victim));
  std::error_code error;
  c[victim].read_barrier(linearizable, error);
  CHECK_FALSE(error);
  CHECK(c[victim].list("/k/").size() == 5000);
  CHECK_FALSE(c[victim].get("/before/7"));
  CHECK(c[victim].status().snapshot.value() > 1000);
  stop = true;
  writing.join();
  CHECK(errors == 0);
  CHECK(c[leader].status().term == term);
  REQUIRE(c.converge(leader));
  CHECK(c[victim].read().state_hash() == c[leader].read().state_hash());
  CHECK(c[victim].put("/after", "1").revision > 0);
}

TEST_CASE("a watch on a member that gets a snapshot is told") {
  tcp_cluster c(3, compact_eagerly);
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t leader = c.leader(), victim = c.follower();
  c[leader].put("/a", "1");
  CHECK_FALSE(c.stop(victim));
  put_many(c[leader], 5000, "/k/");
  REQUIRE_FALSE(c.start(victim));
  std::promise<std::error_code> ended;
  std::atomic<bool> told{false};
  const watch_handle w = c[victim].watch("/k/", 0, [&](const change_batch& batch) {
    if (batch.error && !told.exchange(true)) ended.set_value(batch.error.code);
  });
  auto outcome = ended.get_future();
  REQUIRE(outcome.wait_for(10s) == std::future_status::ready);
  CHECK(outcome.get() == errc::compacted);
}

TEST_CASE("a new member joins by snapshot where the log was cut") {
  tcp_cluster c(3, compact_eagerly, 1);
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t leader = c.leader();
  put_many(c[leader], 3000, "/k/");
  REQUIRE(eventually([&] { return c[leader].status().first.value() > 1000; }));
  REQUIRE_FALSE(c.start(c.joining_options(4, c.follower())));
  CHECK(eventually([&] { return c[4].members().is_voter(node_id(4)); }));
  CHECK(c[4].list("/k/").size() == 3000);
  CHECK_FALSE(c.stop(4));
  REQUIRE_FALSE(c.start(c.joining_options(4, c.follower())));
  CHECK(c[4].put("/after", "1").revision > 0);
  std::error_code error;
  c[4].read_barrier(linearizable, error);
  CHECK_FALSE(error);
  CHECK(c[4].list("/k/").size() == 3000);
}

TEST_CASE("with snapshot_on_stop the next start has nothing to replay") {
  temporary_directory directory;
  options o = single(directory / "1");
  o.snapshot_on_stop = true;
  log_index last;
  {
    config_map map(o);
    REQUIRE_FALSE(map.start());
    put_many(map, 300, "/k/");
    map.stop();
    CHECK_FALSE(map.wait());
    last = map.status().last;
    CHECK(map.status().snapshot == last);
  }
  o.election_timeout = 3000ms;  // what is there at the start comes from the snapshot, not from an election
  o.heartbeat_interval = 1000ms;
  config_map map(o);
  REQUIRE_FALSE(map.start());
  CHECK(map.status().applied == last);
  CHECK(map.status().snapshot == last);
  CHECK(map.list("/k/").size() == 300);
}

TEST_CASE("a map that is stopped or destroyed in the middle of a snapshot starts again") {
  temporary_directory directory;
  const options o = single(directory / "1");
  for (int i = 0; i < 8; ++i) {
    config_map map(o);
    REQUIRE_FALSE(map.start());
    if (i == 0) put_many(map, 2000, "/k/", 10'000);
    map.put("/round", std::to_string(i));
    auto taken = map.async_snapshot(asio::use_future);
    auto copied = map.async_backup(directory / ("backup" + std::to_string(i)), asio::use_future);
    std::this_thread::sleep_for(std::chrono::milliseconds(3 * i));
    if (i % 2 == 0) {
      map.stop();
      CHECK_FALSE(map.wait());
      CHECK(taken.wait_for(5s) == std::future_status::ready);
      CHECK(copied.wait_for(5s) == std::future_status::ready);
    }
  }
  config_map map(o);
  REQUIRE_FALSE(map.start());
  std::error_code error;
  CHECK(map.get("/round", linearizable, error)->value() == "7");
  CHECK(map.list("/k/").size() == 2000);
}

TEST_CASE("a snapshot may be cancelled: the wait ends, the snapshot is made") {
  temporary_directory directory;
  config_map map(single(directory / "1"));
  REQUIRE_FALSE(map.start());
  put_many(map, 500, "/k/", 10'000);
  asio::cancellation_signal signal;
  std::promise<std::error_code> ended;
  map.async_snapshot(asio::bind_cancellation_slot(
      signal.slot(), [&](std::error_code code, version) { ended.set_value(code); }));
  signal.emit(asio::cancellation_type::all);
  const std::error_code code = ended.get_future().get();
  CHECK((!code || code == asio::error::operation_aborted));
  CHECK(eventually([&] { return map.status().snapshot.value() >= 500; }));
}

TEST_CASE("a snapshot of nothing, and a backup over a file, are refused") {
  temporary_directory directory;
  tcp_cluster c(2);
  REQUIRE_FALSE(c.start(1));  // alone it never applies anything
  CHECK(c[1].take_snapshot().error().code == errc::bad_option);
  REQUIRE_FALSE(c.start(2));
  c[1].put("/a", "1");
  std::ofstream(directory / "there") << "precious";
  CHECK_THROWS_AS((void)c[1].async_backup(directory / "there", asio::use_future).get(), std::system_error);
  CHECK(image_of(directory.path()).at("there") == "precious");
  CHECK(c[1].backup(directory / "there").code == errc::bad_option);
  CHECK(c[1].backup(directory / "no/such/place").code == errc::storage_failed);
  CHECK_FALSE(c[1].backup(directory / "good"));
  CHECK(std::filesystem::file_size(directory / "good") > 100);
  CHECK(c[1].put("/b", "1").revision > 0);
}

TEST_CASE("snapshots of maps in memory are taken, and sent to a member that lags") {
  loopback_network network;
  running_context context(2);
  std::vector<std::unique_ptr<memory_map>> maps;
  for (std::uint64_t id = 1; id <= 3; ++id) {
    options o = memory_options(id, 3);
    compact_eagerly(o);
    maps.push_back(std::make_unique<memory_map>(context.io().get_executor(), o, network));
    maps.back()->async_run([](std::error_code) {});
  }
  maps[0]->put("/a", "1");
  const auto leads = [](const auto& m) { return m->status().role == role::leader; };
  const auto lagging = std::find_if_not(maps.begin(), maps.end(), leads);
  REQUIRE(eventually([&] { return (*lagging)->get("/a").has_value(); }));
  memory_map& leader = **std::find_if(maps.begin(), maps.end(), leads);
  network.isolate((*lagging)->status().id);
  for (int i = 0; i < 3000; ++i) leader.put("/k/" + std::to_string(i), std::string(500, 'v'));
  REQUIRE(eventually([&] { return leader.status().first.value() > 100; }));
  network.heal();
  CHECK(eventually([&] { return (*lagging)->read().revision() == leader.read().revision(); }));
  CHECK((*lagging)->list("/k/").size() == 3000);
  CHECK((*lagging)->read().state_hash() == leader.read().state_hash());
}
