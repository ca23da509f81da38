// Replication beyond the paper: pipelining, loss, duplicates, bounds.
#include <doctest/doctest.h>

#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

// A leader of three bound voters whose follower 2 is in step with it.
test_node leader_in_step(const test_node::tweak& change = {}) {
  test_node node(1, bound_voters(3), change);
  lead(node);
  (void)node.receive(2, 1, append_ok{log_index(1)});
  node.work();
  node.sent.clear();
  return node;
}

void propose(test_node& node, std::string_view bytes = "x") {
  CHECK_FALSE(node->propose(text(bytes)).code);
  node.work();
}

}  // namespace

TEST_CASE("pipelining: appends follow each other without waiting for answers") {
  test_node node = leader_in_step();
  for (int i = 0; i < 5; ++i) propose(node);
  const auto appends = node.take<append_request>(2);
  REQUIRE(appends.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(appends[i].previous.index == log_index(i + 1));
    CHECK(appends[i].entries.size() == 1);
  }
  CHECK(node->progress_of(node_id(2))->window.count() == 5);
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(6)}));
  CHECK(node->progress_of(node_id(2))->window.count() == 0);
}

TEST_CASE("pipelining: a peer whose place is not known gets one append at a time") {
  test_node node = leader_in_step();
  CHECK(node.take<append_request>(3).empty());  // its first probe was taken by the setup
  for (int i = 0; i < 5; ++i) propose(node);
  CHECK(node.take<append_request>(3).empty());
  CHECK_FALSE(node.receive(3, 1, append_ok{log_index(1)}));
  node.work();
  const auto appends = node.take<append_request>(3);
  REQUIRE(appends.size() == 1);
  CHECK(appends[0].entries.size() == 5);
}

TEST_CASE("the window is bounded in appends, and opens again with an acknowledgement") {
  test_node node = leader_in_step([](raft_options& o) { o.max_window_appends = 3; });
  for (int i = 0; i < 10; ++i) propose(node);
  CHECK(node.take<append_request>(2).size() == 3);
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(2)}));
  node.work();
  const auto appends = node.take<append_request>(2);
  REQUIRE(appends.size() == 1);
  CHECK(appends[0].entries.size() == 7);  // what waited goes together
}

TEST_CASE("the window is bounded in bytes, and opens again with an acknowledgement") {
  test_node node = leader_in_step([](raft_options& o) { o.max_window_bytes = 1000; });
  for (int i = 0; i < 10; ++i) propose(node, std::string(400, 'x'));
  const auto appends = node.take<append_request>(2);
  CHECK(appends.size() < 5);
  CHECK(node->progress_of(node_id(2))->window.bytes() < 1500);
  CHECK_FALSE(node.receive(2, 1, append_ok{appends.back().entries.back().index}));
  node.work();
  CHECK(node.count<append_request>(2) > 0);
}

TEST_CASE("trap: an oversized batch is split, and a single oversized entry still goes") {
  test_node node =
      leader_in_step([](raft_options& o) { o.max_append_bytes = 1000, o.max_append_entries = 3; });
  for (int i = 0; i < 4; ++i) CHECK_FALSE(node->propose(text(std::string(400, 'x'))).code);
  CHECK_FALSE(node->propose(text(std::string(5000, 'y'))).code);
  for (int i = 0; i < 7; ++i) CHECK_FALSE(node->propose(text("z")).code);
  node.work();
  log_index next(2);
  for (const append_request& append : node.take<append_request>(2)) {
    std::size_t bytes = 0;
    for (const entry& e : append.entries) bytes += cost(e);
    CHECK(append.entries.size() <= 3);
    CHECK((bytes <= 1000 || append.entries.size() == 1));
    CHECK(append.previous.index + 1 == next);
    next = next + append.entries.size();
  }
  CHECK(next == node->log().last_index() + 1);
}

TEST_CASE("a lost append is found by the next heartbeat's answer, and sent again") {
  test_node node = leader_in_step();
  test_node follower(2, bound_voters(3));
  CHECK_FALSE(follower.receive(1, 1, append_request{{}, {}, log_index(1), {node->log().at(log_index(1))}}));
  follower.work();
  follower.sent.clear();
  propose(node);
  CHECK(node.take<append_request>(2).size() == 1);         // lost on its way
  CHECK_FALSE(node.receive(2, 1, heartbeat_response{0}));  // may be slow
  CHECK_FALSE(node.receive(2, 1, heartbeat_response{0}));  // still no news
  node.work();
  const auto verify = node.take<append_request>(2);
  REQUIRE(verify.size() == 1);
  CHECK(verify[0].entries.empty());
  CHECK(verify[0].previous.index == log_index(2));
  CHECK_FALSE(follower.receive(1, 1, verify[0]));
  follower.work();
  const auto rejects = follower.take<append_reject>(1);
  REQUIRE(rejects.size() == 1);
  CHECK_FALSE(node.receive(2, 1, rejects[0]));
  node.work();
  const auto again = node.take<append_request>(2);
  REQUIRE(again.size() == 1);
  CHECK(again[0].previous.index == log_index(1));
  CHECK(again[0].entries.size() == 1);
}

TEST_CASE("a lost acknowledgement is found the same way, and nothing is sent twice") {
  test_node node = leader_in_step();
  propose(node);
  node.sent.clear();
  for (int i = 0; i < 2; ++i) CHECK_FALSE(node.receive(2, 1, heartbeat_response{0}));
  node.work();
  CHECK(node.take<append_request>(2).at(0).entries.empty());
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(2)}));
  node.work();
  CHECK(node->progress_of(node_id(2))->match == log_index(2));
  CHECK(node->commit() == log_index(2));
}

TEST_CASE("a full window whose appends were all lost opens again") {
  test_node node = leader_in_step([](raft_options& o) { o.max_window_appends = 2; });
  for (int i = 0; i < 5; ++i) propose(node);
  node.sent.clear();
  for (int i = 0; i < 2; ++i) CHECK_FALSE(node.receive(2, 1, heartbeat_response{0}));
  node.work();
  REQUIRE(node.take<append_request>(2).at(0).entries.empty());
  CHECK_FALSE(node.receive(2, 1, append_reject{log_index(3), {term_t(1), log_index(1)}}));
  node.work();
  CHECK(node.take<append_request>(2).at(0).entries.size() == 5);
}

TEST_CASE("a probe whose answer was lost is repeated after a heartbeat, not before") {
  test_node node(1, bound_voters(3));
  lead(node);
  CHECK(node.take<append_request>(3).size() == 1);
  for (int i = 0; i < 5; ++i) node.work();
  CHECK(node.take<append_request>(3).empty());
  CHECK_FALSE(node.receive(3, 1, heartbeat_response{0}));
  node.work();
  CHECK(node.take<append_request>(3).size() == 1);
}

TEST_CASE("trap: a duplicate late rejection never drives next to or below match") {
  test_node node = leader_in_step();
  for (int i = 0; i < 5; ++i) propose(node);
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(4)}));
  const log_index next = node->progress_of(node_id(2))->next;
  for (std::uint64_t i = 0; i <= 4; ++i) CHECK_FALSE(node.receive(2, 1, append_reject{log_index(i), {}}));
  CHECK(node->progress_of(node_id(2))->next == next);
  CHECK(node->progress_of(node_id(2))->state == progress_state::replicate);
  CHECK_FALSE(node.receive(2, 1, append_reject{log_index(6), {}}));
  CHECK(node->progress_of(node_id(2))->next == log_index(5));
  CHECK_FALSE(node.receive(2, 1, append_reject{log_index(6), {}}));  // not of the probe in question
  CHECK(node->progress_of(node_id(2))->next == log_index(5));
}

TEST_CASE("a duplicated or late acknowledgement takes nothing back") {
  test_node node = leader_in_step();
  for (int i = 0; i < 3; ++i) propose(node);
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(4)}));
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(2)}));
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(0)}));
  CHECK(node->progress_of(node_id(2))->match == log_index(4));
  CHECK(node->progress_of(node_id(2))->next == log_index(5));
  CHECK(node->commit() == log_index(4));
}

TEST_CASE("an acknowledgement of an older term counts for nothing") {
  test_node node(1, bound_voters(3), {}, disk_of(4, {1, 4}));
  lead(node);
  CHECK_FALSE(node.receive(2, 4, append_ok{log_index(3)}));
  CHECK_FALSE(node.receive(3, 4, append_ok{log_index(3)}));
  CHECK(node->commit() == log_index(0));
  CHECK(node->progress_of(node_id(2))->match == log_index(0));
}

TEST_CASE("a peer that the transport lost is asked where it stands") {
  test_node node = leader_in_step();
  for (int i = 0; i < 3; ++i) propose(node);
  node.sent.clear();
  node->unreachable(node_id(2));
  CHECK(node->has_ready(true));
  node.work();
  const auto appends = node.take<append_request>(2);
  REQUIRE(appends.size() == 1);
  CHECK(appends[0].previous.index == log_index(1));
  CHECK(appends[0].entries.size() == 3);
  node->unreachable(node_id(2));
  node->unreachable(node_id(9));
  CHECK_FALSE(node->has_ready(true));  // no hot loop while it stays lost
}

TEST_CASE("a follower is told of a commit at once when no append is on its way to it") {
  test_node node = leader_in_step();
  propose(node);
  node.sent.clear();
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(2)}));
  node.work();
  const auto notices = node.take<commit_notice>(2);
  REQUIRE(notices.size() == 1);
  CHECK(notices[0].commit == log_index(2));
  CHECK(node.take<commit_notice>(3).empty());  // not known to hold it
  node.work();
  CHECK(node.take<commit_notice>(2).empty());

  test_node follower(2, bound_voters(3));
  CHECK_FALSE(follower.receive(1, 1, append_of({1, 1, 1}, 0)));
  CHECK_FALSE(follower.receive(1, 1, commit_notice{log_index(2)}));
  CHECK(follower->commit() == log_index(2));
}

TEST_CASE("an append that carries the commit index spares the notice") {
  test_node node = leader_in_step();
  propose(node);
  node.sent.clear();
  CHECK_FALSE(node->propose(text("y")).code);
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(2)}));
  node.work();
  CHECK(node.take<commit_notice>(2).empty());
  CHECK(node.take<append_request>(2).at(0).commit == log_index(2));
}

TEST_CASE("heartbeats name no more than the follower is known to hold") {
  test_node node = leader_in_step();
  propose(node);
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(2)}));
  node.work();
  node.sent.clear();
  node.tick(node.options.heartbeat_ticks);
  node.pump();
  CHECK(node.take<heartbeat>(2).at(0).commit == log_index(2));
  CHECK(node.take<heartbeat>(3).at(0).commit == log_index(0));
}

TEST_CASE(
    "busy: proposals beyond the uncommitted bounds are refused without effect, and accepted after a commit") {
  test_node node = leader_in_step([](raft_options& o) { o.max_uncommitted_entries = 3; });
  for (int i = 0; i < 3; ++i) propose(node);
  const log_index last = node->log().last_index();
  CHECK(node->propose(text("x")).code == errc::busy);
  CHECK(node->log().last_index() == last);
  CHECK_FALSE(node.receive(2, 1, append_ok{last}));
  CHECK_FALSE(node->propose(text("x")).code);

  test_node bytes = leader_in_step([](raft_options& o) { o.max_uncommitted_bytes = 1000; });
  int accepted = 0;
  while (!bytes->propose(text(std::string(300, 'x'))).code) ++accepted;
  CHECK(accepted > 0);
  CHECK(accepted <= 4);
  bytes.work();
  CHECK_FALSE(bytes.receive(2, 1, append_ok{bytes->log().last_index()}));
  CHECK_FALSE(bytes->propose(text("x")).code);
}

TEST_CASE("the uncommitted bytes are counted right across restart, truncation and a change of roles") {
  const auto change = [](raft_options& o) {
    o.max_uncommitted_entries = 1000, o.max_uncommitted_bytes = 4000;
  };
  test_node node(1, bound_voters(3), change, disk_of(3, {1, 2, 3, 3, 3, 3, 3, 3, 3, 3}, 0, 1));
  for (std::uint64_t i = 0; i < 50; ++i) {
    CHECK_FALSE(node.receive(2, 4 + i, append_of({1, 2, 3, 4 + i, 4 + i}, i % 2 ? 3 : 2)));
    node.work();
  }
  node.time_out();
  CHECK_FALSE(node.receive(2, 53, pre_vote_response{term_t(54), true}));
  node.work();
  CHECK_FALSE(node.receive(2, 54, vote_response{true}));
  node.work();
  CHECK_FALSE(node.receive(2, 54, append_ok{node->log().last_index()}));
  CHECK(node->commit() == node->log().last_index());
  std::size_t bytes = 0;
  while (!node->propose(text(std::string(50, 'x'))).code)
    bytes += cost(node->log().at(node->log().last_index()));
  CHECK(bytes >= 4000);
  CHECK(bytes < 4000 + 50 + sizeof(entry));
}

TEST_CASE("committed entries are handed out in bounded portions, in order, each once") {
  test_node node(1, bound_voters(3), [](raft_options& o) { o.max_apply_entries = 4; });
  CHECK_FALSE(node.receive(2, 1, append_of(std::vector<std::uint64_t>(10, 1), 0, 10)));
  std::vector<std::uint64_t> firsts;
  while (node->has_ready(true)) {
    const ready work = node->take_ready(true);
    if (work.apply_last < work.apply_first) break;
    CHECK(work.apply_last - work.apply_first < 4);
    firsts.push_back(work.apply_first.value());
  }
  CHECK(firsts == std::vector<std::uint64_t>{1, 5, 9});
}

TEST_CASE("a restart applies again from the durable commit hint") {
  test_node node(1, bound_voters(3), {}, disk_of(4, {1, 4, 4}, 0, 2));
  CHECK(node->commit() == log_index(2));
  node.work();
  CHECK(node.applied.size() == 2);
  test_node clamped(1, bound_voters(3), {}, disk_of(4, {1, 4}, 0, 9));
  CHECK(clamped->commit() == log_index(2));
}
