// Members that come, go and hand over leadership while the cluster runs and nobody is restarted.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "net_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

member_change change_of(member_change::action what, std::uint64_t id) {
  member_change c;
  c.what = what;
  c.who.id = node_id(id);
  return c;
}
member_change removal(std::uint64_t id) {
  return change_of(member_change::action::remove, id);
}
member_change promotion(std::uint64_t id) {
  return change_of(member_change::action::add_voter, id);
}
member_change demotion(std::uint64_t id) {
  return change_of(member_change::action::add_learner, id);
}

std::vector<std::uint64_t> ids(const std::vector<member>& members) {
  std::vector<std::uint64_t> found;
  for (const member& m : members) found.push_back(m.id.value());
  return found;
}
std::vector<std::uint64_t> voters(const config_map& map) {
  return ids(map.members().incoming);
}

bool becomes_voter(config_map& map, std::uint64_t id) {
  return eventually([&] { return map.members().is_voter(node_id(id)) && !map.members().joint(); });
}

// Changes as the leader of the moment, again while the leader is too new or changes.
failure change_as_leader(tcp_cluster& c, const std::vector<member_change>& changes) {
  failure f;
  (void)eventually([&] {
    const std::uint64_t leader = c.leader();
    f = c[leader].change_members(changes);
    return f.code != errc::not_leader && f.code != errc::change_in_flight && f.code != errc::learner_behind;
  });
  return f;
}

// Writes through one map until it is stopped, and keeps what went wrong and the longest pause between two
// successes.
class writer {
 public:
  explicit writer(config_map& map, std::string prefix = "/w/") : map_(map), prefix_(std::move(prefix)) {
    thread_ = std::thread([this] { run(); });
  }
  ~writer() { stop(); }
  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] int count() const { return written_; }
  [[nodiscard]] std::chrono::milliseconds longest_pause() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(longest_);
  }
  [[nodiscard]] const std::vector<std::error_code>& errors() const { return errors_; }  // after stop()

 private:
  void run() {
    auto last = std::chrono::steady_clock::now();
    while (!stop_) {
      std::error_code error;
      (void)map_.put(prefix_ + std::to_string(written_), "v", error);
      const auto now = std::chrono::steady_clock::now();
      if (error) {
        errors_.push_back(error);
        continue;
      }
      longest_ = std::max(longest_, now - last);
      last = now;
      ++written_;
    }
  }
  config_map& map_;
  std::string prefix_;
  std::atomic<bool> stop_{false};
  std::atomic<int> written_{0};
  std::chrono::steady_clock::duration longest_{};
  std::vector<std::error_code> errors_;
  std::thread thread_;
};

// Collects events of all members.
struct events {
  std::function<void(const failure&)> sink() {
    return [this](const failure& f) {
      const std::lock_guard lock(mutex);
      seen.push_back(f);
    };
  }
  bool has(errc code) {
    const std::lock_guard lock(mutex);
    for (const failure& f : seen)
      if (f.code == code) return true;
    return false;
  }
  std::mutex mutex;
  std::vector<failure> seen;
};

}  // namespace

TEST_CASE("nodes join a running cluster through any member, and become voters") {
  tcp_cluster c(3, {}, 2);
  REQUIRE_FALSE(c.start_all());
  c[1].put("/before", "1");
  const std::uint64_t leader = c.leader(), follower = c.follower();
  writer w(c[leader]);
  REQUIRE_FALSE(c.start(c.joining_options(4, follower)));
  CHECK(becomes_voter(c[4], 4));
  REQUIRE_FALSE(c.start(c.joining_options(5, 4)));  // who has only just come may be asked too
  CHECK(becomes_voter(c[5], 5));
  w.stop();
  CHECK(w.errors().empty());
  CHECK(w.count() > 0);
  for (std::uint64_t id = 1; id <= 5; ++id)
    CHECK(eventually([&] { return voters(c[id]) == std::vector<std::uint64_t>{1, 2, 3, 4, 5}; }));
  const write_result put = c[5].put("/after", "2");
  REQUIRE(c.converge(5));
  std::error_code error;
  CHECK(c[4].get("/after", at_least(put.at), error));
  CHECK(c[5].get("/before")->value() == "1");
  CHECK(eventually([&] { return c[5].read().state_hash() == c[leader].read().state_hash(); }));
}

TEST_CASE("whoever has joined is a member like any other: it leads, and finds itself again at a restart") {
  tcp_cluster c(1, {}, 2);
  REQUIRE_FALSE(c.start_all());
  c[1].put("/a", "1");
  for (const std::uint64_t id : {2u, 3u}) {
    REQUIRE_FALSE(c.start(c.joining_options(id, 1)));
    REQUIRE(becomes_voter(c[id], id));
  }
  REQUIRE(eventually([&] { return !c[1].transfer_leadership(3); }));
  CHECK(eventually([&] { return c[3].status().role == role::leader; }));
  CHECK_FALSE(c.stop(3));
  // The first may have gone to the leader that left, if its successor was not heard of yet.
  CHECK(eventually([&] {
    std::error_code error;
    (void)c[2].put("/b", "2", error);
    return !error;
  }));
  REQUIRE_FALSE(c.start(c.joining_options(3, 1)));  // the same options as before: without effect
  REQUIRE(c.converge(2));
  CHECK(voters(c[3]) == std::vector<std::uint64_t>{1, 2, 3});
  CHECK(c[3].put("/c", "3").revision > 0);
}

TEST_CASE("a learner stays one, reads and writes through the leader, and is promoted on request") {
  tcp_cluster c(1, {}, 1);
  REQUIRE_FALSE(c.start_all());
  c[1].put("/a", "1");
  options o = c.joining_options(2, 1);
  o.join_as_learner = true;
  REQUIRE_FALSE(c.start(o));
  REQUIRE(eventually([&] { return ids(c[2].members().learners) == std::vector<std::uint64_t>{2}; }));
  CHECK(c[2].put("/l", "2").revision > 0);
  std::error_code error;
  CHECK(c[2].get("/a", linearizable, error)->value() == "1");
  std::this_thread::sleep_for(600ms);  // it would have asked again
  CHECK(voters(c[1]) == std::vector<std::uint64_t>{1});
  CHECK(c[2].status().role == role::follower);
  CHECK_FALSE(change_as_leader(c, {promotion(2)}));
  CHECK(voters(c[1]) == std::vector<std::uint64_t>{1, 2});
  CHECK_FALSE(change_as_leader(c, {demotion(2)}));
  CHECK(voters(c[1]) == std::vector<std::uint64_t>{1});
  CHECK(ids(c[1].members().learners) == std::vector<std::uint64_t>{2});
}

TEST_CASE("several members are replaced in one change, while a client writes") {
  tcp_cluster c(3, {}, 2);
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t leader = c.leader();
  c[leader].put("/before", "1");
  std::vector<member_change> changes;
  for (std::uint64_t id = 4; id <= 5; ++id) {
    options o = c.joining_options(id, 1);
    o.join_as_learner = true;
    REQUIRE_FALSE(c.start(o));
    REQUIRE(eventually([&] { return c[id].members().contains(node_id(id)); }));
    changes.push_back(promotion(id));
  }
  for (std::uint64_t id = 1; id <= 3; ++id)
    if (id != leader) changes.push_back(removal(id));
  writer w(c[leader]);
  CHECK_FALSE(change_as_leader(c, changes));
  w.stop();
  CHECK(w.errors().empty());
  CHECK(voters(c[leader]) == std::vector<std::uint64_t>{leader, 4, 5});
  CHECK_FALSE(c[leader].members().joint());
  for (std::uint64_t id = 1; id <= 3; ++id)
    if (id != leader) CHECK_FALSE(c.stop(id));
  CHECK(c[4].put("/after", "2").revision > 0);
  CHECK_FALSE(c.stop(leader));  // of {leader, 4, 5} two are left
  CHECK(c[5].put("/later", "3").revision > 0);
  REQUIRE(c.converge(5));
  CHECK(c[4].get("/before")->value() == "1");
}

TEST_CASE("a leader that is removed lets another lead, and knows that it is no member any more") {
  tcp_cluster c(3);
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t leader = c.leader(), other = c.follower();
  c[leader].put("/a", "1");
  writer w(c[other]);
  CHECK_FALSE(change_as_leader(c, {removal(leader)}));
  CHECK(eventually([&] {
    return c[other].status().leader.value() != leader && c[other].status().leader &&
           !c[other].members().contains(node_id(leader));
  }));
  CHECK(eventually([&] { return c[leader].status().role == role::follower; }));
  CHECK(c[other].put("/b", "2").revision > 0);
  w.stop();
  for (const std::error_code& error : w.errors())
    CHECK((error == errc::outcome_unknown || error == errc::busy));
  CHECK(w.errors().size() <= 2);
  CHECK_FALSE(c[leader].members().contains(node_id(leader)));
  CHECK(c[leader].get("/a")->value() == "1");  // what it knew
  const term_t term = c[other].status().term;
  std::this_thread::sleep_for(700ms);  // a removed member doesn't disturb the others
  CHECK(c[other].status().term == term);
  CHECK_FALSE(c.stop(leader));
}

TEST_CASE("a member that was removed comes back under its id, with a new directory") {
  tcp_cluster c(3);
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t leader = c.leader(), victim = c.follower();
  c[leader].put("/a", "1");
  REQUIRE_FALSE(change_as_leader(c, {removal(victim)}));
  CHECK_FALSE(c.stop(victim));
  options o = c.joining_options(victim, leader);
  o.directory += "-new";
  REQUIRE_FALSE(c.start(o));
  CHECK(becomes_voter(c[victim], victim));
  CHECK(c[victim].put("/b", "2").revision > 0);
  CHECK(c[victim].get("/a")->value() == "1");
}

TEST_CASE("a wiped directory under an old id is refused, whether it asks to join or not") {
  events seen;
  tcp_cluster c(3, [&](options& o) { o.on_event = seen.sink(); });
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t leader = c.leader(), victim = c.follower();
  for (int i = 0; i < 10; ++i) c[leader].put("/k" + std::to_string(i), "1");
  REQUIRE(eventually([&] {
    const configuration all = c[leader].members();
    const member* m = all.find_member(node_id(victim));
    return m && m->incarnation && !c[leader].status().change_under_way;
  }));
  REQUIRE(c.converge(leader));
  CHECK_FALSE(c.stop(victim));
  std::filesystem::remove_all(c.directory(victim));
  REQUIRE_FALSE(c.start(victim));
  CHECK(eventually([&] { return seen.has(errc::wrong_incarnation); }));
  CHECK_FALSE(c[victim].get("/k1"));
  (void)c.stop(victim);
  std::filesystem::remove_all(c.directory(victim));
  REQUIRE_FALSE(c.start(c.joining_options(victim, leader)));
  CHECK(eventually([&] { return seen.has(errc::already_a_member); }));
  CHECK_FALSE(c[victim].get("/k1"));
  CHECK(c[leader].put("/still", "1").revision > 0);
  // The way out: remove it, and it is taken in by itself.
  CHECK_FALSE(change_as_leader(c, {removal(victim)}));
  CHECK(becomes_voter(c[victim], victim));
  CHECK(c[victim].get("/k1", linearizable, *std::make_unique<std::error_code>()));
}

TEST_CASE("changes that make no sense are refused with a reason, and nothing changes") {
  tcp_cluster c(3);
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t leader = c.leader(), follower = c.follower();
  c[leader].put("/a", "1");
  REQUIRE(eventually([&] { return !c[leader].status().change_under_way; }));
  const std::vector<std::uint64_t> before = voters(c[leader]);
  const auto refused = [&](std::vector<member_change> changes, errc code) {
    const failure f = c[leader].change_members(std::move(changes));
    CHECK(f.code == code);
    CHECK(f.what.size() > 20);
    CHECK(voters(c[leader]) == before);
  };
  refused({removal(1), removal(2), removal(3)}, errc::last_voter);
  refused({promotion(follower)}, errc::already_a_member);
  refused({removal(9)}, errc::not_a_member);
  refused({}, errc::bad_change);
  refused({removal(follower), removal(follower)}, errc::bad_change);
  CHECK(c[follower].change_members({removal(follower)}).code == errc::not_leader);
  std::promise<std::error_code> asynchronous;
  c[leader].async_change_members({removal(9)},
                                 [&](std::error_code code, version) { asynchronous.set_value(code); });
  CHECK(asynchronous.get_future().get() == errc::not_a_member);
}

TEST_CASE("a member may listen elsewhere than where its peers reach it") {
  const std::vector<std::uint16_t> ports = free_ports(2);
  temporary_directory directory;
  std::vector<std::unique_ptr<config_map>> maps;
  for (std::uint64_t id = 1; id <= 2; ++id) {
    options o = quick_options(
        id, {{1, "localhost:" + std::to_string(ports[0])}, {2, "127.0.0.1:" + std::to_string(ports[1])}},
        directory / std::to_string(id));
    o.listen = "0.0.0.0:" + std::to_string(ports[static_cast<std::size_t>(id - 1)]);
    maps.push_back(std::make_unique<config_map>(o));
    REQUIRE_FALSE(maps.back()->start());
  }
  CHECK(maps[0]->put("/a", "1").revision > 0);
  CHECK(maps[1]->put("/b", "1").revision > 0);
}

TEST_CASE("two clusters can't share a node") {
  events seen;
  tcp_cluster c(2, {}, 1);
  REQUIRE_FALSE(c.start_all());
  c[1].put("/a", "1");
  options o = c.joining_options(3, 1);
  o.cluster = "another";
  o.on_event = seen.sink();
  REQUIRE_FALSE(c.start(o));
  CHECK(eventually([&] { return seen.has(errc::wrong_cluster); }));
  CHECK(voters(c[1]) == std::vector<std::uint64_t>{1, 2});
  CHECK_FALSE(c[3].get("/a"));
}

TEST_CASE("leadership is handed over on request, to whom was asked for, without an election timeout") {
  tcp_cluster c(3);
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t leader = c.leader(), target = c.follower();
  c[leader].put("/a", "1");
  REQUIRE(c.converge(leader));
  CHECK(c[target].transfer_leadership(leader).code == errc::not_leader);
  CHECK(c[leader].transfer_leadership(9).code == errc::not_a_member);
  CHECK_FALSE(c[leader].transfer_leadership(leader));  // it does lead
  const auto before = std::chrono::steady_clock::now();
  CHECK_FALSE(c[leader].transfer_leadership(target));
  CHECK(std::chrono::steady_clock::now() - before < 200ms);
  CHECK(eventually([&] { return c[target].status().role == role::leader; }));
  c[target].put("/b", "1");  // by then it has heard from the others
  CHECK_FALSE(c[target].transfer_leadership(0));
  CHECK(eventually([&] { return c[target].status().role == role::follower; }));
}

TEST_CASE("a transfer to a member that is down fails in time, and the leader leads on") {
  tcp_cluster c(3);
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t leader = c.leader(), target = c.follower();
  c[leader].put("/a", "1");
  CHECK_FALSE(c.stop(target));
  const term_t term = c[leader].status().term;
  CHECK(c[leader].transfer_leadership(target).code == errc::transfer_failed);
  CHECK(c[leader].put("/b", "1").revision > 0);
  CHECK(c[leader].status().role == role::leader);
  CHECK(c[leader].status().term == term);
}

TEST_CASE("a leader that is stopped hands over first: no write fails, and the pause is short") {
  tcp_cluster c(3, [](options& o) {
    o.heartbeat_interval = 200ms;  // what happens in time is no election
    o.election_timeout = 2000ms;
  });
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t leader = c.leader(), other = c.follower();
  c[other].put("/a", "1");
  REQUIRE(c.converge(other));
  writer w(c[other]);
  REQUIRE(eventually([&] { return w.count() > 20; }));
  const auto before = std::chrono::steady_clock::now();
  CHECK_FALSE(c.stop(leader));
  CHECK(std::chrono::steady_clock::now() - before < 1500ms);
  const int count = w.count();
  CHECK(eventually([&] { return w.count() > count + 20; }));
  w.stop();
  MESSAGE("the longest pause was " << w.longest_pause().count() << " ms, errors: " << w.errors().size());
  CHECK(w.longest_pause() < 1500ms);
  // What was on its way to the leader that left.
  for (const std::error_code& error : w.errors())
    CHECK((error == errc::outcome_unknown || error == errc::busy));
  CHECK(w.errors().size() <= 2);
}

TEST_CASE("a follower stops at once") {
  tcp_cluster c(3, [](options& o) {
    o.heartbeat_interval = 200ms;
    o.election_timeout = 2000ms;
  });
  REQUIRE_FALSE(c.start_all());
  c[1].put("/a", "1");
  const auto before = std::chrono::steady_clock::now();
  CHECK_FALSE(c.stop(c.follower()));
  CHECK(std::chrono::steady_clock::now() - before < 500ms);
}

TEST_CASE("the voter of the highest priority leads in the end, and one of priority 0 gives way to others") {
  tcp_cluster c(3, [](options& o) { o.priorities = {{1, 0}, {2, 1}, {3, 7}}; });
  REQUIRE_FALSE(c.start_all());
  c[1].put("/a", "1");
  CHECK(eventually([&] { return c.leader() == 3; }, 30s));
  CHECK_FALSE(c.stop(3));
  CHECK(c[1].put("/b", "1").revision > 0);
  // On a busy machine 1 may have to lead for a while, when 2 doesn't get to it.
  CHECK(eventually([&] { return c.leader() == 2; }, 30s));
}

TEST_CASE("a node in memory joins over loopback_transport") {
  loopback_network network;
  running_context context(2);
  memory_map first(context.io().get_executor(), memory_options(), network);
  first.async_run([](std::error_code) {});
  first.put("/a", "1");
  options o = memory_options(2, 2);
  o.join = true;
  memory_map second(context.io().get_executor(), o, network);
  second.async_run([](std::error_code) {});
  CHECK(eventually([&] { return second.members().is_voter(node_id(2)); }));
  CHECK(second.get("/a")->value() == "1");
  CHECK(second.put("/b", "2").revision > 0);
}
