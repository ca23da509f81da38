// Linearizable reads by read index (thesis, 6.4).
#include <doctest/doctest.h>

#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

// A leader of three that has committed in its own term.
test_node sure_leader(const test_node::tweak& change = {}) {
  test_node node(1, bound_voters(3), change);
  lead(node);
  (void)node.receive(2, 1, append_ok{log_index(1)});
  node.work();
  node.sent.clear();
  return node;
}

}  // namespace

TEST_CASE("trap: a read index is not given before the leader has committed in its own term") {
  // Entry 3 may be committed by the old leader: without own-term commit the new one does not know.
  test_node node(1, bound_voters(3), {}, disk_of(4, {1, 4, 4}, 0, 1));
  lead(node);
  REQUIRE(node->role() == role::leader);
  CHECK_FALSE(node->leads_surely());
  CHECK_FALSE(node->read(read_id(1)));
  CHECK_FALSE(node.receive(3, 5, read_index_request{77}));
  node.work();
  for (const std::uint64_t peer : {2u, 3u}) CHECK_FALSE(node.receive(peer, 5, heartbeat_response{0}));
  node.work();
  CHECK(node.answers.empty());
  CHECK(node.count<read_index_response>() == 0);
  CHECK_FALSE(node.receive(2, 5, append_ok{log_index(4)}));
  CHECK(node->leads_surely());
  node.work();
  CHECK(node.answers.empty());  // now the round begins
  const std::uint64_t round = node.take<heartbeat>(2).back().round;
  CHECK_FALSE(node.receive(2, 5, heartbeat_response{round}));
  node.work();
  REQUIRE(node.answers.size() == 1);
  CHECK(node.answers[0].index == log_index(4));
  CHECK(node.take<read_index_response>(3).at(0).index == log_index(4));
}

TEST_CASE("trap: a read is not answered before a quorum has answered a round sent after it") {
  test_node node(1, bound_voters(5));
  lead(node, 2);
  for (const std::uint64_t peer : {2u, 3u}) CHECK_FALSE(node.receive(peer, 1, append_ok{log_index(1)}));
  node.work();
  node.sent.clear();
  CHECK_FALSE(node->read(read_id(1)));
  node.work();
  const std::uint64_t round = node.take<heartbeat>(2).at(0).round;
  for (const std::uint64_t peer : {2u, 3u, 4u, 5u})
    CHECK_FALSE(node.receive(peer, 1, heartbeat_response{round - 1}));  // sent before the read came
  CHECK_FALSE(node.receive(2, 1, heartbeat_response{round}));
  CHECK_FALSE(node.receive(2, 1, heartbeat_response{round}));
  node.work();
  CHECK(node.answers.empty());
  CHECK_FALSE(node.receive(4, 1, heartbeat_response{round}));
  node.work();
  REQUIRE(node.answers.size() == 1);
  CHECK(node.answers[0].id == read_id(1));
}

TEST_CASE("reads that come together share one round, and one answer for all") {
  test_node node = sure_leader();
  for (std::uint64_t i = 1; i <= 100; ++i) CHECK_FALSE(node->read(read_id(i)));
  node.work();
  const auto beats = node.take<heartbeat>(2);
  REQUIRE(beats.size() == 1);
  CHECK_FALSE(node.receive(3, 1, heartbeat_response{beats[0].round}));
  node.work();
  REQUIRE(node.answers.size() == 100);
  for (std::uint64_t i = 1; i <= 100; ++i) CHECK(node.answers[i - 1].id == read_id(i));
}

TEST_CASE("the index of a read is the commit index when its round began") {
  test_node node = sure_leader();
  CHECK_FALSE(node->read(read_id(1)));
  node.work();
  const std::uint64_t first = node.take<heartbeat>(2).at(0).round;
  CHECK_FALSE(node->propose(text("x")).code);
  node.work();
  CHECK_FALSE(node.receive(3, 1, append_ok{log_index(2)}));
  CHECK_FALSE(node->read(read_id(2)));
  node.work();
  const std::uint64_t second = node.take<heartbeat>(2).at(0).round;
  CHECK(second > first);
  CHECK_FALSE(node.receive(2, 1, heartbeat_response{second}));  // confirms both
  node.work();
  REQUIRE(node.answers.size() == 2);
  CHECK(node.answers[0].index == log_index(1));
  CHECK(node.answers[1].index == log_index(2));
}

TEST_CASE("a lost round is repeated by the next heartbeat") {
  test_node node = sure_leader();
  CHECK_FALSE(node->read(read_id(1)));
  node.work();
  node.sent.clear();
  node.tick(node.options.heartbeat_ticks);
  node.work();
  CHECK_FALSE(node.receive(3, 1, heartbeat_response{node.take<heartbeat>(3).at(0).round}));
  node.work();
  CHECK(node.answers.size() == 1);
}

TEST_CASE("an answer to a round that was never begun confirms no later read") {
  test_node node = sure_leader();
  CHECK(node.receive(2, 1, heartbeat_response{1000}) == errc::bad_command);
  CHECK_FALSE(node->read(read_id(1)));
  node.work();
  CHECK(node.answers.empty());
}

TEST_CASE("a follower reads by asking the leader, and answers when the answer comes") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  CHECK_FALSE(cluster[1]->propose(text("x")).code);
  CHECK(cluster.settle());
  for (std::uint64_t i = 1; i <= 10; ++i) CHECK_FALSE(cluster[3]->read(read_id(i)));
  cluster[3].pump();
  CHECK(cluster[3].count<read_index_request>(1) == 1);
  CHECK(cluster.settle());
  REQUIRE(cluster[3].answers.size() == 10);
  CHECK(cluster[3].answers[9].index == cluster[1]->commit());
}

TEST_CASE(
    "a lost question or answer is asked again at the pace of heartbeats, one question for all that wait") {
  test_node node(1, bound_voters(3));
  CHECK_FALSE(node.receive(2, 1, heartbeat{}));
  for (std::uint64_t i = 1; i <= 5; ++i) {
    CHECK_FALSE(node->read(read_id(i)));
    node.work();
  }
  const auto asked = node.take<read_index_request>(2);
  REQUIRE(asked.size() == 5);
  node.tick(node.options.heartbeat_ticks);
  node.work();
  const auto again = node.take<read_index_request>(2);
  REQUIRE(again.size() == 1);
  CHECK(again[0].context == asked[4].context);
  CHECK_FALSE(node.receive(2, 1, read_index_response{asked[1].context, log_index(7)}));
  node.work();
  CHECK(node.answers.size() == 2);  // the two first; the later ones came after that index was taken
  CHECK_FALSE(node.receive(2, 1, read_index_response{again[0].context, log_index(9)}));
  CHECK_FALSE(node.receive(2, 1, read_index_response{again[0].context, log_index(9)}));
  node.work();
  REQUIRE(node.answers.size() == 5);
  CHECK(node.answers[4].index == log_index(9));
}

TEST_CASE("an answer meant for the run before a restart is ignored") {
  test_node node(1, bound_voters(3));
  CHECK_FALSE(node.receive(2, 1, heartbeat{}));
  CHECK_FALSE(node->read(read_id(1)));
  node.work();
  const std::uint64_t old_context = node.take<read_index_request>(2).at(0).context;
  node.crash();
  node.restart();
  CHECK_FALSE(node.receive(2, 1, heartbeat{}));
  CHECK_FALSE(node->read(read_id(1)));
  node.work();
  CHECK_FALSE(node.receive(2, 1, read_index_response{old_context, log_index(0)}));
  node.work();
  CHECK(node.answers.empty());
  const std::uint64_t context = node.take<read_index_request>(2).at(0).context;
  CHECK(context != old_context);
  CHECK_FALSE(node.receive(3, 1, read_index_response{context, log_index(0)}));  // not the leader
  node.work();
  CHECK(node.answers.empty());
}

TEST_CASE(
    "a follower's reads are asked anew from a new leader, and an answer of the old one counts no more") {
  test_node node(1, bound_voters(3));
  CHECK_FALSE(node.receive(2, 1, heartbeat{}));
  CHECK_FALSE(node->read(read_id(1)));
  node.work();
  const std::uint64_t old_context = node.take<read_index_request>(2).at(0).context;
  CHECK_FALSE(node.receive(3, 2, heartbeat{}));
  node.work();
  const auto asked = node.take<read_index_request>(3);
  REQUIRE(asked.size() == 1);
  CHECK_FALSE(node.receive(2, 1, read_index_response{old_context, log_index(1)}));
  CHECK_FALSE(node.receive(3, 2, read_index_response{old_context, log_index(1)}));
  node.work();
  CHECK(node.answers.empty());
  CHECK_FALSE(node.receive(3, 2, read_index_response{asked[0].context, log_index(4)}));
  node.work();
  CHECK(node.answers.size() == 1);
}

TEST_CASE("a deposed leader's own reads are answered by the next leader, not by it") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  cluster.isolate(1);
  CHECK_FALSE(cluster[1]->read(read_id(1)));
  CHECK(cluster.settle());
  CHECK(cluster[1].answers.empty());
  REQUIRE(cluster.elect(2));
  CHECK_FALSE(cluster[2]->propose(text("newer")).code);
  CHECK(cluster.settle());
  CHECK(cluster[1].answers.empty());
  cluster.heal();
  CHECK(cluster.tick_all(30));
  REQUIRE(cluster[1].answers.size() == 1);
  CHECK(cluster[1].answers[0].index >= cluster[2]->commit());
}

TEST_CASE("reads without a leader wait for one") {
  test_cluster_of cluster(3);
  CHECK_FALSE(cluster[1]->read(read_id(1)));
  CHECK_FALSE(cluster[2]->read(read_id(2)));
  CHECK(cluster.settle());
  CHECK(cluster[1].answers.empty());
  REQUIRE(cluster.elect(1));
  CHECK(cluster.tick_all(3));
  CHECK(cluster[1].answers.size() == 1);
  CHECK(cluster[2].answers.size() == 1);
}

TEST_CASE("busy: reads are bounded, in every role, and accepted again when answered") {
  test_node leader = sure_leader([](raft_options& o) { o.max_pending_reads = 3; });
  for (std::uint64_t i = 1; i <= 3; ++i) {
    CHECK_FALSE(leader->read(read_id(i)));
    leader.work();  // each begins a round of its own, none is answered
  }
  CHECK(leader->read(read_id(4)) == errc::busy);
  CHECK(leader.receive(2, 1, read_index_request{5}) == errc::busy);
  CHECK_FALSE(leader.receive(2, 1, heartbeat_response{leader.take<heartbeat>(2).back().round}));
  CHECK_FALSE(leader->read(read_id(4)));

  test_node follower(1, bound_voters(3), [](raft_options& o) { o.max_pending_reads = 2; });
  CHECK_FALSE(follower->read(read_id(1)));
  CHECK_FALSE(follower.receive(2, 1, heartbeat{}));
  follower.work();
  CHECK_FALSE(follower->read(read_id(2)));
  CHECK(follower->read(read_id(3)) == errc::busy);
}

TEST_CASE("reads that nobody waits for any more make room for others, in every role") {
  test_node leader = sure_leader([](raft_options& o) { o.max_pending_reads = 2; });
  for (std::uint64_t i = 1; i <= 2; ++i) {
    CHECK_FALSE(leader->read(read_id(i)));
    leader.work();
  }
  CHECK(leader->read(read_id(3)) == errc::busy);
  leader->forget_reads({read_id(1)});
  CHECK_FALSE(leader->read(read_id(3)));
  CHECK(leader->read(read_id(4)) == errc::busy);

  test_node follower(1, bound_voters(3), [](raft_options& o) { o.max_pending_reads = 2; });
  CHECK_FALSE(follower->read(read_id(1)));
  CHECK_FALSE(follower->read(read_id(2)));  // no leader yet
  follower->forget_reads({read_id(1), read_id(2)});
  CHECK_FALSE(follower->read(read_id(3)));
  CHECK_FALSE(follower.receive(2, 1, heartbeat{}));
  follower.work();
  CHECK_FALSE(follower->read(read_id(4)));
  CHECK(follower->read(read_id(5)) == errc::busy);
  follower->forget_reads({read_id(3)});
  CHECK_FALSE(follower->read(read_id(5)));
}

TEST_CASE("who doesn't lead doesn't answer a question for a read index") {
  test_node node(1, bound_voters(3));
  CHECK_FALSE(node.receive(2, 1, heartbeat{}));
  CHECK_FALSE(node.receive(3, 1, read_index_request{5}));
  node.work();
  CHECK(node.count<read_index_response>() == 0);
}
