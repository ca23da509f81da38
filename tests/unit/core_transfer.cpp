// Handing leadership over (thesis, 3.10), and giving it up.
#include <doctest/doctest.h>

#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

TEST_CASE("transfer: the target leads in the next term, without an election timeout") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  const term_t term = cluster[1]->term();
  CHECK_FALSE(cluster[1]->transfer_leadership(node_id(3)));
  CHECK(cluster[1]->transferring_to() == node_id(3));
  CHECK(cluster.settle());
  CHECK(cluster.leader() == 3);
  CHECK(cluster[3]->term() == term + 1);
  CHECK(cluster[1]->role() == role::follower);
  CHECK(cluster[1]->transferring_to() == node_id(0));
}

TEST_CASE("transfer: refused to who is no voter and from who doesn't lead; to oneself nothing happens") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  CHECK(cluster[2]->transfer_leadership(node_id(3)) == errc::not_leader);
  CHECK(cluster[1]->transfer_leadership(node_id(9)) == errc::not_a_member);
  CHECK_FALSE(change(cluster[1].core(), {add_learner(4)}));
  CHECK(cluster[1]->transfer_leadership(node_id(4)) == errc::not_a_member);
  CHECK_FALSE(cluster[1]->transfer_leadership(node_id(1)));
  CHECK(cluster[1]->transferring_to() == node_id(0));
  CHECK_FALSE(cluster[1]->propose(text("x")).code);
  test_node alone(1, voters(1));
  alone.time_out();
  alone.work();
  REQUIRE(alone->role() == role::leader);
  CHECK(alone->transfer_leadership(node_id(0)) == errc::not_a_member);
}

TEST_CASE("transfer: proposals and changes are refused meanwhile, reads are answered") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  cluster.cut_one_way(1, 3);  // 3 never hears that it should stand
  CHECK_FALSE(cluster[1]->transfer_leadership(node_id(3)));
  CHECK(cluster[1]->propose(text("x")).code == errc::busy);
  CHECK(change(cluster[1].core(), {remove_member(2)}) == errc::busy);
  CHECK_FALSE(cluster[1]->read(read_id(7)));
  CHECK(cluster.settle());
  REQUIRE(cluster[1].answers.size() == 1);
  CHECK(cluster[1].answers[0].index == cluster[1]->commit());
}

TEST_CASE("transfer: given up after one election timeout, the leader leads on") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  cluster[3].crash();
  CHECK_FALSE(cluster[1]->transfer_leadership(node_id(3)));
  CHECK(cluster.tick_all(cluster[1].options.election_ticks - 1));
  CHECK(cluster[1]->transferring_to() == node_id(3));
  CHECK(cluster[1]->propose(text("x")).code == errc::busy);
  CHECK(cluster.tick_all());
  CHECK(cluster[1]->transferring_to() == node_id(0));
  CHECK(cluster[1]->role() == role::leader);
  const raft_core::proposed next = cluster[1]->propose(text("x"));
  CHECK_FALSE(next.code);
  CHECK(cluster.settle());
  CHECK(cluster[1]->commit() == next.at.index);
}

TEST_CASE("transfer: another target replaces the first") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  cluster[3].crash();
  CHECK_FALSE(cluster[1]->transfer_leadership(node_id(3)));
  CHECK(cluster.tick_all(5));
  CHECK_FALSE(cluster[1]->transfer_leadership(node_id(2)));
  CHECK(cluster.settle());
  CHECK(cluster.leader() == 2);
}

TEST_CASE("trap: a transfer aborted by step-down leaves no \"in progress\"") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  cluster[3].crash();
  CHECK_FALSE(cluster[1]->transfer_leadership(node_id(3)));
  const std::uint64_t term = cluster[1]->term().value();
  CHECK_FALSE(cluster[1].receive(2, term + 1, stale_term{}));  // somebody is in a higher term
  REQUIRE(cluster[1]->role() == role::follower);
  CHECK(cluster[1]->transferring_to() == node_id(0));
  cluster[3].restart();
  cluster[1].work();
  cluster[1].sent.clear();
  REQUIRE(cluster.elect(1));
  CHECK(cluster[1]->transferring_to() == node_id(0));
  CHECK_FALSE(cluster[1]->propose(text("x")).code);
  CHECK(cluster.tick_all(50));
  CHECK(cluster.leader() == 1);
}

TEST_CASE("trap: a transfer to a lagging target first brings it up to date") {
  test_cluster_of cluster(3, [](raft_options& o) { o.max_append_entries = 2; });
  REQUIRE(cluster.elect(1));
  cluster.isolate(3);
  for (int i = 0; i < 20; ++i) CHECK_FALSE(cluster[1]->propose(text("x")).code);
  CHECK(cluster.settle());
  const log_index last = cluster[1]->log().last_index();
  REQUIRE(cluster[3]->log().last_index() < last);
  CHECK_FALSE(cluster[1]->transfer_leadership(node_id(3)));
  cluster[1].pump();
  CHECK(cluster[1].count<timeout_now>() == 0);
  cluster.heal();
  CHECK(cluster.tick_all(cluster[1].options.election_ticks - 1));
  CHECK(cluster.leader() == 3);
  CHECK(cluster[3]->log().last_index() > last);
}

TEST_CASE("transfer: asked again with each heartbeat, since the first request may be lost") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  CHECK_FALSE(cluster[1]->transfer_leadership(node_id(3)));
  cluster[1].pump();
  CHECK(cluster[1].take<timeout_now>(3).size() == 1);  // and lost
  CHECK(cluster.tick_all(cluster[1].options.heartbeat_ticks));
  CHECK(cluster.leader() == 3);
}

TEST_CASE("timeout_now: skips pre-vote, and its votes are given by those who hear the leader") {
  test_node target(2, voters(3));
  CHECK_FALSE(target.receive(1, 4, heartbeat{}));
  CHECK_FALSE(target.receive(1, 4, timeout_now{}));
  CHECK(target->role() == role::candidate);
  CHECK(target->term() == term_t(5));
  target.work();
  const auto asked = target.take<vote_request>(3);
  REQUIRE(asked.size() == 1);
  CHECK(asked[0].transfer);
  test_node voter(3, voters(3));
  CHECK_FALSE(voter.receive(1, 4, heartbeat{}));
  CHECK_FALSE(voter.receive(2, 5, vote_request{asked[0].last, false}));
  voter.work();
  CHECK(voter.count<vote_response>() == 0);  // without the leader's leave it is ignored
  CHECK_FALSE(voter.receive(2, 5, asked[0]));
  voter.work();
  CHECK(voter.take<vote_response>(2).at(0).granted);
}

TEST_CASE("timeout_now: ignored from anyone but the leader of the term, and by learners") {
  test_node node(2, voters(3));
  CHECK_FALSE(node.receive(1, 4, timeout_now{}));  // no leader is known
  CHECK(node->role() == role::follower);
  CHECK_FALSE(node.receive(1, 4, heartbeat{}));
  CHECK_FALSE(node.receive(3, 4, timeout_now{}));  // not the leader
  CHECK_FALSE(node.receive(1, 3, timeout_now{}));  // of a passed term
  CHECK(node->role() == role::follower);
  CHECK_FALSE(node.receive(3, 6, timeout_now{}));  // of a term in which nobody has led yet
  CHECK(node->role() == role::follower);
  configuration members = voters(3);
  members.learners.push_back({node_id(4), incarnation_id{}});
  test_node learner(4, members);
  CHECK_FALSE(learner.receive(1, 4, heartbeat{}));
  CHECK_FALSE(learner.receive(1, 4, timeout_now{}));
  CHECK(learner->role() == role::follower);
}

TEST_CASE("transfer: a target whose log is behind after all doesn't win") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  cluster.isolate(3);
  CHECK_FALSE(cluster[1]->propose(text("x")).code);
  CHECK(cluster.settle());
  cluster.heal();
  const std::uint64_t term = cluster[1]->term().value();
  CHECK_FALSE(cluster[3].receive(1, term, timeout_now{}));  // a leader that is mistaken
  CHECK(cluster.settle());
  CHECK(cluster[3]->role() != role::leader);
  CHECK(cluster.tick_all(60));
  CHECK(cluster.leader() != 0);
}

TEST_CASE("resign: steps down at once in its term, and lets others go first") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    test_cluster_of cluster(3, [&](raft_options& o) { o.seed = seed * 7 + o.self.value(); });
    REQUIRE(cluster.elect(1));
    const term_t term = cluster[1]->term();
    cluster[2]->resign();
    CHECK(cluster[2]->leader() == node_id(1));  // followers: nothing
    cluster[1]->resign();
    CHECK(cluster[1]->role() == role::follower);
    CHECK(cluster[1]->term() == term);
    CHECK(cluster[1]->leader() == node_id(0));
    CHECK(cluster.tick_all(60));
    CHECK(cluster.leader() != 0);
    CHECK(cluster.leader() != 1);
  }
}

TEST_CASE("resign: who is alone leads again") {
  test_node node(1, voters(1));
  node.time_out();
  node.work();
  REQUIRE(node->role() == role::leader);
  node->resign();
  for (int i = 0; i < 50 && node->role() != role::leader; ++i) {
    node.tick();
    node.work();
  }
  CHECK(node->role() == role::leader);
}
