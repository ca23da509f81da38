// Exactly once: what a client gets that repeats its writes.
#include <doctest/doctest.h>

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

// Three that run, and a session.
struct with_session {
  with_session() {
    REQUIRE_FALSE(c.start_all());
    leader = c.leader();
    follower = c.follower();
    id = open(60s);
  }
  std::uint64_t open(std::chrono::milliseconds time_to_live) {
    std::error_code error;
    const std::uint64_t opened = c[follower].open_session(time_to_live, error);
    REQUIRE_FALSE(error);
    REQUIRE(opened != 0);
    return opened;
  }
  tcp_cluster c{3};
  std::uint64_t leader = 0, follower = 0, id = 0;
};

bool same(const write_result& a, const write_result& b) {
  return a.at == b.at && a.revision == b.revision && a.previous_revision == b.previous_revision &&
         a.existed == b.existed && a.code == b.code;
}

}  // namespace

TEST_CASE_FIXTURE(with_session, "a repeated write has one effect and the same answer, on any member") {
  client_session session(id);
  const once token = session.begin();
  std::error_code error;
  const write_result first = c[follower].put("/a", "1", token, error);
  REQUIRE_FALSE(error);
  c[leader].put("/a", "2");
  for (std::uint64_t at = 1; at <= 3; ++at) {
    const write_result again = c[at].put("/a", "1", token, error);
    CHECK_FALSE(error);
    CHECK(same(first, again));
  }
  CHECK(c[leader].get("/a", linearizable, error)->value() == "2");
  session.end(token);
  const once next = session.begin();
  CHECK(next.sequence == token.sequence + 1);
  CHECK(next.acknowledged == next.sequence);
  CHECK(c[leader].erase("/a", next, error).existed);
  CHECK(c[follower].erase("/a", next, error).existed);  // the first answer, though it is gone
}

TEST_CASE_FIXTURE(with_session, "a repeated compare-exchange that lost keeps losing with the same answer") {
  c[leader].put("/a", "0");
  const auto attempt = [&](std::uint64_t at, std::uint64_t expected, const once& token) {
    std::promise<std::pair<std::error_code, write_result>> answer;
    c[at].async_compare_exchange("/a", expected, "x", token, [&](std::error_code code, write_result r) {
      answer.set_value({code, r});
    });
    return answer.get_future().get();
  };
  const auto lost = attempt(follower, 0, {id, 1, 1});
  CHECK(lost.first == errc::compare_failed);
  c[leader].erase("/a");
  const auto again = attempt(leader, 0, {id, 1, 1});
  CHECK(again.first == errc::compare_failed);
  CHECK(same(lost.second, again.second));
}

TEST_CASE_FIXTURE(with_session, "a repetition after a failover has the first answer") {
  const once token{id, 1, 1};
  std::error_code error;
  const write_result first = c[leader].put("/a", "1", token, error);
  REQUIRE_FALSE(error);
  CHECK_FALSE(c.stop(leader));
  const write_result again = c[follower].put("/a", "1", token, error);
  CHECK_FALSE(error);
  CHECK(same(first, again));
}

TEST_CASE_FIXTURE(with_session, "writes in a session survive failovers by themselves, each with one effect") {
  std::atomic<int> done{0}, failed{0};
  std::atomic<bool> stop{false};
  std::thread client([&] {
    client_session session(id);
    std::error_code error;
    while (!stop) {
      const once token = session.begin();
      (void)c[follower].compare_exchange("/unused", 1, "", error);  // no effect; makes the revisions move
      const write_result put = c[follower].put("/n/" + std::to_string(done.load()), "1", token, error);
      if (error || put.existed) {
        ++failed;
        MESSAGE("write " << done.load() << ": " << error.message());
      }
      session.end(token);
      ++done;
    }
  });
  for (int round = 0; round < 3; ++round) {
    const int before = done;
    CHECK(eventually([&] { return done > before + 20; }));
    const std::uint64_t leads = c.leader();
    if (leads == follower) {
      (void)c[leads].transfer_leadership(0);
      continue;
    }
    c.destroy(leads);  // not orderly
    CHECK(eventually([&] { return done > before + 40; }));
    REQUIRE_FALSE(c.start(leads));
  }
  stop = true;
  client.join();
  CHECK(failed == 0);
  std::error_code error;
  c[follower].read_barrier(linearizable, error);
  CHECK(c[follower].list("/n/").size() == static_cast<std::size_t>(done.load()));
}

TEST_CASE_FIXTURE(with_session, "a session that ended says so, and its writes don't happen") {
  std::error_code error;
  (void)c[leader].put("/a", "1", once{id + 1'000'000, 1, 1}, error);
  CHECK(error == errc::session_expired);
  CHECK_NOTHROW((void)c[follower].async_keep_session(id, asio::use_future).get());
  CHECK_NOTHROW((void)c[follower].async_close_session(id, asio::use_future).get());
  (void)c[leader].put("/a", "1", once{id, 1, 1}, error);
  CHECK(error == errc::session_expired);
  const std::uint64_t brief = open(1ms);
  // How far the cluster's time lags behind a member's clock depends on how long a write takes.
  std::uint64_t sequence = 0;
  const auto expired = [&] {
    std::this_thread::sleep_for(20ms);
    c[leader].put("/time", "goes on");
    ++sequence;
    (void)c[leader].put("/a/" + std::to_string(sequence), "1", once{brief, sequence, sequence}, error);
    return error == errc::session_expired;
  };
  CHECK(eventually(expired));
  CHECK_FALSE(c[leader].get("/a", linearizable, error));
  CHECK_FALSE(c[leader].get("/a/" + std::to_string(sequence), linearizable, error));
}

TEST_CASE_FIXTURE(with_session, "tokens and times that make no sense are refused before anything is sent") {
  std::error_code error;
  (void)c[leader].put("/a", "1", once{id, 0, 0}, error);
  CHECK(error == errc::bad_option);
  (void)c[leader].put("/a", "1", once{0, 1, 1}, error);
  CHECK(error == errc::bad_option);
  (void)c[leader].put("/a", "1", once{id, 1, 2}, error);
  CHECK(error == errc::bad_option);
  CHECK(c[leader].open_session(0ms, error) == 0);
  CHECK(error == errc::bad_option);
  CHECK(c[leader].open_session(std::chrono::hours(24 * 8), error) == 0);
  CHECK(error == errc::bad_option);
  CHECK_THROWS_AS((void)c[leader].async_close_session(0, asio::use_future).get(), std::system_error);
}

TEST_CASE_FIXTURE(with_session, "sessions and their answers are part of a snapshot, and survive a restart") {
  const once token{id, 1, 1};
  std::error_code error;
  const write_result first = c[leader].put("/a", "1", token, error);
  for (std::uint64_t at = 1; at <= 3; ++at) {
    c[at].read_barrier(at_least(first.at), error);
    CHECK(c[at].take_snapshot());
  }
  c.stop_all();
  REQUIRE_FALSE(c.start_all());
  const write_result again = c[follower].put("/a", "1", token, error);
  CHECK_FALSE(error);
  CHECK(same(first, again));
}
