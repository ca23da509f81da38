// What promises durability leaves the core only when it is durable; what doesn't, leaves at once.
#include <doctest/doctest.h>

#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

test_node leader_of_three() {
  test_node node(1, bound_voters(3));
  lead(node);
  (void)node.receive(2, 1, append_ok{log_index(1)});
  node.work();
  node.sent.clear();
  return node;
}

}  // namespace

TEST_CASE("durable before acknowledged: a vote request leaves after term and vote are durable") {
  test_node node(1, voters(3));
  node.time_out();
  node.pump();
  CHECK_FALSE(node.receive(2, 0, pre_vote_response{term_t(1), true}));
  REQUIRE(node->role() == role::candidate);
  node.pump();
  node.pump();
  CHECK(node.count<vote_request>() == 0);
  node.persist();
  node.pump();
  CHECK(node.count<vote_request>() == 2);
}

TEST_CASE("durable before acknowledged: the candidate's own vote counts only when durable") {
  test_node node(1, voters(3));
  node.time_out();
  CHECK_FALSE(node.receive(2, 0, pre_vote_response{term_t(1), true}));
  node.pump();
  CHECK_FALSE(node.receive(2, 1, vote_response{true}));  // can't be, but must not be enough either
  CHECK(node->role() == role::candidate);
  node.persist();
  CHECK(node->role() == role::leader);
}

TEST_CASE("durable before acknowledged: a vote, an append's ok, each waits for its own write") {
  test_node node(2, voters(3));
  CHECK_FALSE(node.receive(1, 1, vote_request{}));
  node.pump();
  CHECK_FALSE(node.receive(1, 1, append_of({1}, 0)));
  node.pump();
  CHECK_FALSE(node.receive(1, 1, append_of({1, 1}, 1)));
  node.pump();
  REQUIRE(node.writing.size() == 3);
  CHECK(node.sent.empty());
  node.persist_one();
  node.pump();
  REQUIRE(node.sent.size() == 1);
  CHECK(std::holds_alternative<vote_response>(node.sent[0].body));
  node.persist_one();
  node.pump();
  REQUIRE(node.sent.size() == 2);
  CHECK(std::get<append_ok>(node.sent[1].body).match == log_index(1));
  node.persist_one();
  node.pump();
  REQUIRE(node.sent.size() == 3);
  CHECK(std::get<append_ok>(node.sent[2].body).match == log_index(2));
}

TEST_CASE("durable before acknowledged: an append of known entries still in flight waits for their write") {
  test_node node(2, voters(3));
  CHECK_FALSE(node.receive(1, 1, append_of({1, 1}, 0, 2)));
  node.pump();
  CHECK(node->commit() == log_index(2));
  CHECK_FALSE(node.receive(1, 1, append_of({1, 1}, 0, 2)));  // all below the commit index
  CHECK_FALSE(node.receive(1, 1, append_of({1, 1}, 1, 2)));
  CHECK_FALSE(node.receive(1, 1, append_of({1, 1}, 2, 2)));
  node.pump();
  CHECK(node.count<append_ok>() == 0);
  node.persist();
  node.pump();
  const auto oks = node.take<append_ok>(1);
  REQUIRE(oks.size() == 1);  // one per write is enough
  CHECK(oks[0].match == log_index(2));
}

TEST_CASE("refusals and heartbeat answers do not wait for the disk") {
  test_node node(2, voters(3));
  CHECK_FALSE(node.receive(1, 1, append_of({1, 1}, 0)));
  node.pump();
  CHECK_FALSE(node.receive(1, 1, heartbeat{log_index(0), 4}));
  CHECK_FALSE(node.receive(1, 1, append_of({1, 1, 1, 1}, 3)));
  CHECK_FALSE(node.receive(3, 1, vote_request{}));
  CHECK_FALSE(node.receive(3, 0, heartbeat{}));
  node.pump();
  CHECK(node.count<heartbeat_response>(1) == 1);
  CHECK(node.count<append_reject>(1) == 1);
  CHECK(node.count<vote_response>(3) == 1);
  CHECK(node.count<stale_term>(3) == 1);
  CHECK(node.count<append_ok>() == 0);
}

TEST_CASE("what an older term promised is not sent in a newer one") {
  test_node node(2, voters(3));
  CHECK_FALSE(node.receive(1, 1, append_of({1}, 0)));
  node.pump();
  CHECK_FALSE(node.receive(3, 2, heartbeat{}));
  node.work();
  CHECK(node.count<append_ok>() == 0);
  CHECK(node.count<heartbeat_response>(3) == 1);
}

TEST_CASE("the leader's entries are sent before its own write is durable") {
  test_node node = leader_of_three();
  CHECK_FALSE(node->propose(text("x")).code);
  node.pump(false);  // storage occupied
  CHECK(node.writing.empty());
  CHECK(node.count<append_request>(2) == 1);
}

TEST_CASE("the leader counts itself only when its write is durable") {
  test_node node = leader_of_three();
  CHECK_FALSE(node->propose(text("x")).code);
  node.pump();
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(2)}));
  CHECK(node->commit() == log_index(1));
  CHECK(node->progress_of(node_id(1))->match == log_index(1));
  node.persist();
  CHECK(node->commit() == log_index(2));
}

TEST_CASE("trap: the leader's disk stalls while heartbeats go on: its followers commit without it") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  CHECK_FALSE(cluster[1]->propose(text("x")).code);
  const log_index last = cluster[1]->log().last_index();
  for (int i = 0; i < 20; ++i) {
    cluster[1].tick();
    cluster.collect();
    for (const std::uint64_t follower : {2u, 3u}) cluster[follower].persist();
    cluster.deliver_all();
  }
  CHECK(cluster[1]->role() == role::leader);
  CHECK(cluster[1]->stable() < last);
  CHECK(cluster[1]->commit() == last);
  CHECK(cluster[2]->commit() == last);
}

TEST_CASE("group commit: what comes while storage is occupied joins the next write") {
  test_node node = leader_of_three();
  CHECK_FALSE(node->propose(text("a")).code);
  node.pump();
  REQUIRE(node.writing.size() == 1);
  for (int i = 0; i < 10; ++i) {
    CHECK_FALSE(node->propose(text("b")).code);
    node.pump(false);
  }
  CHECK_FALSE(node->has_ready(false));
  CHECK(node->has_ready(true));
  CHECK(node.writing.size() == 1);
  node.pump(true);
  REQUIRE(node.writing.size() == 2);
  CHECK(node.writing[1].entries.size() == 10);
}

TEST_CASE(
    "trap: asynchronous append, an old term's completion does not count for the entries that replaced it") {
  test_node node(2, voters(3));
  CHECK_FALSE(node.receive(1, 1, append_of({1, 1, 1}, 0)));
  node.pump();  // write 1: entries 1..3 of term 1
  CHECK_FALSE(node.receive(3, 2, append_of({1, 2, 2}, 1)));
  node.pump();  // write 2: truncate from 2, entries 2..3 of term 2
  node.persist_one();
  node.pump();
  CHECK(node->stable() == log_index(1));
  CHECK(node.count<append_ok>() == 0);
  node.persist_one();
  node.pump();
  CHECK(node->stable() == log_index(3));
  CHECK(node.take<append_ok>(3).at(0).match == log_index(3));
  CHECK(terms_of(node->log()) == std::vector<std::uint64_t>{1, 2, 2});
  CHECK(node.disk.entries.size() == 3);
}

TEST_CASE(
    "trap: a new leader counts of its own log only what is durable, not an old term's write in flight") {
  test_node node(1, bound_voters(3));
  CHECK_FALSE(node.receive(2, 1, append_of({1, 1}, 0)));
  node.pump();  // write 1 stays in flight
  node.time_out();
  CHECK_FALSE(node.receive(3, 1, pre_vote_response{term_t(2), true}));
  node.pump();
  CHECK(node.count<vote_request>() == 0);  // the log it names waits for the disk too
  node.persist_one();
  node.pump();
  CHECK(node.count<vote_request>() == 0);
  node.persist_one();
  node.pump();
  CHECK(node.count<vote_request>() == 2);
  CHECK_FALSE(node.receive(3, 2, vote_response{true}));
  REQUIRE(node->role() == role::leader);
  CHECK(node->progress_of(node_id(1))->match == log_index(2));
  node.pump();
  CHECK_FALSE(node.receive(3, 2, append_ok{log_index(3)}));
  CHECK(node->commit() == log_index(0));
  node.persist();
  CHECK(node->commit() == log_index(3));
}

TEST_CASE("a disk that answers long after the campaign is over elects nobody") {
  test_node node(1, voters(3));
  node.time_out();
  CHECK_FALSE(node.receive(2, 0, pre_vote_response{term_t(1), true}));
  node.pump();
  CHECK_FALSE(node.receive(3, 2, heartbeat{}));
  node.persist();
  node.work();
  CHECK(node->role() == role::follower);
  CHECK(node->leader() == node_id(3));
  CHECK(node.count<vote_request>() == 0);
}
