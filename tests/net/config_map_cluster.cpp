// Three members with sockets and logs in one process: what users see of a cluster.
#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "net_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

// Collects what a watch delivers, from whatever thread.
struct collector {
  void operator()(const change_batch& batch) {
    const std::lock_guard lock(mutex);
    for (const change& c : batch.changes) {
      const char* const kind = c.kind == change_kind::put ? "put " : "erase ";
      changes.push_back(kind + std::string(c.key()) + "=" + std::string(c.entry.value()));
      revisions.push_back(c.revision());
    }
    if (batch.error) error = batch.error;
  }
  std::size_t size() {
    const std::lock_guard lock(mutex);
    return changes.size();
  }
  std::error_code code() {
    const std::lock_guard lock(mutex);
    return error.code;
  }
  std::mutex mutex;
  std::vector<std::string> changes;
  std::vector<std::uint64_t> revisions;
  failure error;
};

std::string value_of(const config_map& map, std::string_view key) {
  const auto found = map.get(key);
  return found ? std::string(found->value()) : "<none>";
}

// Three that run, one of them leads.
struct three_members {
  three_members() {
    REQUIRE_FALSE(c.start_all());
    leader = c.leader();
    follower = c.follower();
    REQUIRE(leader != 0);
  }
  tcp_cluster c{3};
  std::uint64_t leader = 0, follower = 0;
};

}  // namespace

TEST_CASE_FIXTURE(three_members, "a write on a follower is forwarded, and is there when it completes") {
  const write_result put = c[follower].put("/f", "1");
  CHECK(put.at.index.value() == put.revision);
  std::error_code error;
  for (std::uint64_t id = 1; id <= 3; ++id) {
    const auto entry = c[id].get("/f", at_least(put.at), error);
    CHECK_FALSE(error);
    REQUIRE(entry);
    CHECK(entry->value() == "1");
    CHECK(entry->modify_revision() == put.revision);
    CHECK(entry->author() == node_id(follower));
  }
}

TEST_CASE_FIXTURE(three_members,
                  "a linearizable read on any member sees the latest completed write, wherever it was made") {
  std::error_code error;
  for (int i = 0; i < 60; ++i) {
    const auto writer = static_cast<std::uint64_t>(i % 3 + 1),
               reader = static_cast<std::uint64_t>((i / 3) % 3 + 1);
    c[writer].put("/r", std::to_string(i));
    const auto entry = c[reader].get("/r", linearizable, error);
    CHECK_FALSE(error);
    CHECK((entry && entry->value() == std::to_string(i)));
  }
}

TEST_CASE_FIXTURE(three_members, "list gives the keys of a prefix in order") {
  for (const char* key : {"/l/b", "/l/a/x", "/l/c", "/l", "/l/a", "/m", "/l/B"}) c[follower].put(key, key);
  std::error_code error;
  c[leader].read_barrier(linearizable, error);
  CHECK_FALSE(error);
  std::vector<std::string> keys;
  for (const map_entry& e : c[leader].list("/l/")) keys.emplace_back(e.key());
  CHECK(keys == std::vector<std::string>{"/l/B", "/l/a", "/l/a/x", "/l/b", "/l/c"});
  CHECK(c[leader].list("/l").size() == 6);
  CHECK(c[leader].list("/none").empty());
  CHECK(c[leader].list("").size() == 7);
}

TEST_CASE_FIXTURE(three_members, "erase, compare-exchange and compare-erase tell what they found") {
  const write_result made = c[follower].put("/c", "1");
  CHECK_FALSE(made.existed);
  std::error_code error;
  const write_result refused = c[follower].compare_exchange("/c", 0, "2", error);
  CHECK(error == errc::compare_failed);
  CHECK(refused.previous_revision == made.revision);
  const write_result changed = c[leader].compare_exchange("/c", made.revision, "2", error);
  CHECK_FALSE(error);
  CHECK(changed.previous_revision == made.revision);
  (void)c[leader].compare_erase("/c", made.revision, error);
  CHECK(error == errc::compare_failed);
  (void)c[follower].compare_erase("/c", changed.revision, error);
  CHECK_FALSE(error);
  CHECK_FALSE(c[follower].erase("/c").existed);
  (void)c[follower].compare_exchange("/c", 0, "new", error);
  CHECK_FALSE(error);
}

TEST_CASE_FIXTURE(three_members,
                  "of concurrent compare-exchanges for one revision exactly one wins, each time") {
  constexpr int rounds = 40;
  std::uint64_t revision = c[leader].put("/cas", "start").revision;
  for (int round = 0; round < rounds; ++round) {
    std::atomic<int> won{0}, lost{0}, other{0};
    std::atomic<std::uint64_t> next{0};
    std::vector<std::thread> threads;
    for (std::uint64_t id = 1; id <= 3; ++id)
      threads.emplace_back([&, id] {
        std::error_code error;
        const write_result w = c[id].compare_exchange("/cas", revision, std::to_string(id), error);
        if (!error) {
          ++won;
          next = w.revision;
        } else {
          ++(error == errc::compare_failed ? lost : other);
        }
      });
    for (std::thread& t : threads) t.join();
    CHECK(won == 1);
    CHECK(lost == 2);
    CHECK(other == 0);
    revision = next;
  }
}

TEST_CASE_FIXTURE(
    three_members,
    "a watch on a follower gets every change of its prefix, in order, without gap or repetition") {
  collector seen;
  const watch_handle watch = c[follower].watch("/w/", [&](const change_batch& b) { seen(b); });
  std::vector<std::string> expected;
  for (int i = 0; i < 200; ++i) {
    const std::string key = "/w/" + std::to_string(i % 7);
    if (i % 5 == 4 && c[leader].erase(key).existed) continue;
    c[leader].put("/other", "x");
  }
  const std::uint64_t before = c[leader].put("/w/end", "0").revision;
  REQUIRE(eventually([&] { return seen.size() > 0; }));
  for (int i = 0; i < 200; ++i) {
    c[i % 2 == 0 ? leader : follower].put("/w/k", std::to_string(i));
    expected.push_back("put /w/k=" + std::to_string(i));
  }
  REQUIRE(eventually([&] { return seen.size() >= expected.size() + 1; }));
  const std::lock_guard lock(seen.mutex);
  std::vector<std::string> after;
  for (std::size_t i = 0; i < seen.changes.size(); ++i)
    if (seen.revisions[i] > before) after.push_back(seen.changes[i]);
  CHECK(after == expected);
  for (std::size_t i = 1; i < seen.revisions.size(); ++i) CHECK(seen.revisions[i] > seen.revisions[i - 1]);
}

TEST_CASE("a watch may begin at a revision of the past, and is told when the history no longer reaches") {
  tcp_cluster c(3, [](options& o) { o.watch_history_changes = 20; });
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t follower = c.follower();
  const std::uint64_t first = c[follower].put("/w/first", "0").revision;
  std::uint64_t after = 0;
  for (int i = 1; i <= 10; ++i) {
    const std::uint64_t revision = c[follower].put("/w/k", std::to_string(i)).revision;
    if (i == 5) after = revision;
  }
  REQUIRE(c.converge(follower));
  for (std::uint64_t id = 1; id <= 3; ++id) {
    collector seen;
    const watch_handle watch = c[id].watch("/w/", after, [&](const change_batch& b) { seen(b); });
    CHECK(eventually([&] { return seen.size() == 5; }));
    const std::lock_guard lock(seen.mutex);
    CHECK(seen.changes.front() == "put /w/k=6");
    CHECK(seen.changes.back() == "put /w/k=10");
  }
  for (int i = 0; i < 40; ++i) c[follower].put("/w/k", "x");
  REQUIRE(c.converge(follower));
  for (std::uint64_t id = 1; id <= 3; ++id) {
    collector old, future;
    const watch_handle w1 = c[id].watch("/w/", first, [&](const change_batch& b) { old(b); });
    const watch_handle w2 = c[id].watch("/w/", 1'000'000, [&](const change_batch& b) { future(b); });
    CHECK(eventually([&] { return old.code() == errc::compacted; }));
    CHECK(eventually([&] { return future.code() == errc::revision_in_future; }));
    CHECK(old.size() == 0);
    CHECK(old.error.what.find(std::to_string(first)) != std::string::npos);
  }
}

TEST_CASE("watches end with an error when the map stops, and may destroy their handle in the callback") {
  tcp_cluster c(1);
  REQUIRE_FALSE(c.start_all());
  collector ended, once;
  const watch_handle watch = c[1].watch("/", [&](const change_batch& b) { ended(b); });
  std::optional<watch_handle> self;
  std::mutex mutex;
  {
    const std::lock_guard lock(mutex);
    self = c[1].watch("/w/", [&](const change_batch& b) {
      once(b);
      const std::lock_guard inner(mutex);
      self.reset();
    });
  }
  c[1].put("/w/a", "1");
  CHECK(eventually([&] { return once.size() == 1; }));
  c[1].put("/w/b", "1");
  c[1].put("/w/c", "1");
  CHECK(eventually([&] { return ended.size() == 3; }));
  c[1].stop();
  CHECK_FALSE(c[1].wait());
  CHECK(eventually([&] { return ended.code() == errc::stopped; }));
  CHECK(once.size() == 1);
  collector late;
  const watch_handle after = c[1].watch("/", [&](const change_batch& b) { late(b); });
  CHECK(eventually([&] { return late.code() == errc::stopped; }));
}

TEST_CASE("watches come and go from many threads while changes arrive") {
  tcp_cluster c(1);
  REQUIRE_FALSE(c.start_all());
  c[1].put("/w/a", "0");
  std::atomic<bool> done{false};
  std::atomic<int> delivered{0};
  std::vector<std::thread> watchers;
  for (int t = 0; t < 2; ++t)
    watchers.emplace_back([&] {
      while (!done) {
        const watch_handle w = c[1].watch("/w/", [&](const change_batch& b) {
          CHECK_FALSE(b.error);
          delivered += static_cast<int>(b.changes.size());
        });
        std::this_thread::yield();
      }
    });
  std::error_code error;
  for (int i = 0; i < 300; ++i) (void)c[1].put("/w/a", std::to_string(i), error);
  CHECK(eventually([&] { return delivered > 0; }));
  done = true;
  for (std::thread& t : watchers) t.join();
  CHECK_FALSE(error);
}

TEST_CASE("a slow watch is told that it lagged instead of holding memory without bound") {
  loopback_network network;
  running_context context(2);
  options o = memory_options();
  o.watch_buffer_changes = 10;
  memory_map map(context.io().get_executor(), o, network);
  map.async_run([](std::error_code) {});
  collector seen;
  std::promise<void> gate;
  const std::shared_future<void> opened = gate.get_future().share();
  const watch_handle watch = map.watch("/w/", [&](const change_batch& b) {
    seen(b);
    opened.wait();
  });
  map.put("/w/first", "v");
  REQUIRE(eventually([&] { return seen.size() == 1; }));  // and now it keeps one thread busy
  std::atomic<int> done{0};
  for (int i = 0; i < 200; ++i) map.async_put("/w/k", "v", [&](std::error_code, write_result) { ++done; });
  CHECK(eventually([&] { return done == 200; }));
  gate.set_value();
  CHECK(eventually([&] { return seen.code() == errc::watch_lagged; }));
  CHECK(seen.size() == 11);  // the first, then what the buffer held
}

TEST_CASE("a member that was stopped finds its data again, and what it missed") {
  tcp_cluster c(3);
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t victim = c.leader();
  c[victim].put("/before", "1");
  CHECK_FALSE(c.stop(victim));
  const std::uint64_t other = victim % 3 + 1;
  std::error_code error;
  write_result missed;
  REQUIRE(eventually([&] {  // what went to the leader that left is lost, and said to be unknown
    missed = c[other].put("/missed", "2", error);
    CHECK((!error || error == errc::outcome_unknown));
    return !error;
  }));
  REQUIRE_FALSE(c.start(victim));
  const auto found = c[victim].get("/missed", at_least(missed.at), error);
  CHECK_FALSE(error);
  REQUIRE(found);
  CHECK(found->value() == "2");
  CHECK(value_of(c[victim], "/before") == "1");
  CHECK(c[victim].put("/after", "3").revision > missed.revision);
}

TEST_CASE("a cluster that was stopped as a whole has every acknowledged write when it starts again") {
  tcp_cluster c(3);
  REQUIRE_FALSE(c.start_all());
  for (int i = 0; i < 100; ++i)
    c[static_cast<std::uint64_t>(i % 3 + 1)].put("/k/" + std::to_string(i), std::to_string(i));
  c[1].erase("/k/50");
  const std::string large(1 << 20, 'L');
  c[2].put("/large", large);
  for (int restart = 0; restart < 2; ++restart) {
    c.stop_all();
    REQUIRE_FALSE(c.start_all());
    std::error_code error;
    for (std::uint64_t id = 1; id <= 3; ++id) {
      c[id].read_barrier(linearizable, error);
      REQUIRE_FALSE(error);
      CHECK(c[id].list("/k/").size() == 99);
      for (int i = 0; i < 100; ++i)
        CHECK(value_of(c[id], "/k/" + std::to_string(i)) == (i == 50 ? "<none>" : std::to_string(i)));
      CHECK(value_of(c[id], "/large") == large);
    }
    CHECK(c[1].read().state_hash() == c[2].read().state_hash());
    CHECK(c[1].read().state_hash() == c[3].read().state_hash());
  }
}

TEST_CASE(
    "without a majority writes end with an error that tells applied from unknown, and local reads go on") {
  tcp_cluster c(3, [](options& o) { o.request_timeout = 700ms; });
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t survivor = c.leader();
  c[survivor].put("/a", "1");
  for (std::uint64_t id = 1; id <= 3; ++id)
    if (id != survivor) CHECK_FALSE(c.stop(id));
  std::error_code error;
  (void)c[survivor].put("/b", "1", error);
  CHECK((error == errc::outcome_unknown || error == errc::no_leader));
  (void)eventually([&] { return c[survivor].status().role != role::leader; });
  (void)c[survivor].put("/c", "1", error);
  CHECK(error == errc::no_leader);
  (void)c[survivor].get("/a", linearizable, error);
  CHECK(error == errc::timed_out);
  (void)c[survivor].get("/a", at_least({term_t(99), log_index(99999)}), error);
  CHECK(error == errc::timed_out);
  CHECK(value_of(c[survivor], "/a") == "1");
}

TEST_CASE("more requests at once than allowed are busy, certainly not applied, and the rest completes") {
  tcp_cluster c(3, [](options& o) { o.max_pending_requests = 100; });
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t leader = c.leader(), follower = c.follower();
  c[leader].put("/warm", "1");
  for (const std::uint64_t id : {leader, follower}) {
    std::atomic<int> done{0}, busy{0}, good{0}, other{0};
    constexpr int total = 3000;
    const std::string prefix = "/busy/" + std::to_string(id) + "/";
    for (int i = 0; i < total; ++i)
      c[id].async_put(prefix + std::to_string(i), "v", [&](std::error_code code, write_result) {
        ++(!code ? good : code == errc::busy ? busy : other);
        ++done;
      });
    REQUIRE(eventually([&] { return done == total; }));
    CHECK(good > 0);
    CHECK(busy > 0);
    CHECK(other == 0);
    std::error_code error;
    c[leader].read_barrier(linearizable, error);
    CHECK_FALSE(error);
    CHECK(c[leader].list(prefix).size() == static_cast<std::size_t>(good));
  }
}

TEST_CASE("members on loopback_transport with memory_storage make a cluster too") {
  loopback_network network;
  running_context context(2);
  std::vector<std::unique_ptr<memory_map>> maps;
  for (std::uint64_t id = 1; id <= 3; ++id) {
    maps.push_back(std::make_unique<memory_map>(context.io().get_executor(), memory_options(id, 3), network));
    maps.back()->async_run([](std::error_code) {});
  }
  for (int i = 0; i < 30; ++i) maps[static_cast<std::size_t>(i % 3)]->put("/k", std::to_string(i));
  std::error_code error;
  for (auto& m : maps) {
    CHECK(m->get("/k", linearizable, error)->value() == "29");
    CHECK_FALSE(error);
  }
  maps.erase(maps.begin());  // one is gone for ever; the others go on
  CHECK(eventually([&] { return maps[0]->put("/k", "still", error).revision > 0; }));
  CHECK(maps[1]->get("/k", linearizable, error)->value() == "still");
  maps.clear();
}
