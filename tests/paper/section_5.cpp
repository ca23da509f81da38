// Section 5 of the Raft paper.
#include <doctest/doctest.h>

#include <map>

#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

TEST_CASE("section 5.1: terms only grow, and stale ones are refused") {
  test_node node(1, voters(3));
  for (const std::uint64_t term : {3u, 2u, 7u, 1u, 7u}) {
    const term_t before = node->term();
    (void)node.receive(2, term, heartbeat{});
    CHECK(node->term() == std::max(before, term_t(term)));
  }
}

TEST_CASE("section 5.1: a leader that sees a higher term steps down at once") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  CHECK_FALSE(cluster[1].receive(2, 9, stale_term{}));
  CHECK(cluster[1]->role() == role::follower);
  CHECK(cluster[1]->term() == term_t(9));
  CHECK(cluster[1]->propose(text("x")).code == errc::not_leader);
}

TEST_CASE("section 5.2: a server votes for at most one candidate per term, first come first served") {
  test_node node(1, voters(3));
  CHECK_FALSE(node.receive(2, 1, vote_request{}));
  CHECK_FALSE(node.receive(3, 1, vote_request{}));
  node.work();
  CHECK(node.take<vote_response>(2).at(0).granted);
  CHECK_FALSE(node.take<vote_response>(3).at(0).granted);
}

TEST_CASE("section 5.2: three servers elect one leader, and heartbeats keep it") {
  test_cluster_of cluster(3);
  for (int i = 0; i < 50 && cluster.leader() == 0; ++i) CHECK(cluster.tick_all());
  const std::uint64_t leader = cluster.leader();
  REQUIRE(leader != 0);
  const term_t term = cluster[leader]->term();
  CHECK(cluster.tick_all(200));
  for (std::uint64_t i = 1; i <= 3; ++i) {
    CHECK(cluster[i]->term() == term);
    CHECK(cluster[i]->leader() == node_id(leader));
  }
}

TEST_CASE("section 5.2: a split vote ends with no leader, and the next randomised timeouts resolve it") {
  test_cluster_of cluster(4);
  // 1 and 2 campaign in the same term; 3 votes for 1, 4 for 2.
  for (const std::uint64_t candidate : {1u, 2u}) {
    cluster[candidate].time_out();
    for (const std::uint64_t voter : {3u, 4u})
      CHECK_FALSE(cluster[candidate].receive(voter, 0, pre_vote_response{term_t(1), true}));
    cluster[candidate].work();
    REQUIRE(cluster[candidate]->role() == role::candidate);
  }
  cluster.cut(1, 4);
  cluster.cut(2, 3);
  CHECK(cluster.settle());
  CHECK(cluster.leader() == 0);
  CHECK(cluster[3]->vote() == node_id(1));
  CHECK(cluster[4]->vote() == node_id(2));
  cluster.heal();
  for (int i = 0; i < 100 && cluster.leader() == 0; ++i) CHECK(cluster.tick_all());
  REQUIRE(cluster.leader() != 0);
  CHECK(cluster[cluster.leader()]->term() > term_t(1));
}

TEST_CASE("section 5.2: election timeouts are drawn anew from [T, 2T) each time") {
  test_node node(1, voters(3));
  std::map<std::uint32_t, int> seen;
  for (int i = 0; i < 500; ++i) {
    CHECK_FALSE(node.receive(2, 1, heartbeat{}));
    std::uint32_t ticks = 0;
    while (node->role() == role::follower) {
      node.tick();
      ++ticks;
    }
    CHECK(ticks >= node.options.election_ticks);
    CHECK(ticks < 2 * node.options.election_ticks);
    ++seen[ticks];
  }
  CHECK(seen.size() == node.options.election_ticks);
}

TEST_CASE(
    "section 5.3: an entry is committed when the leader has stored it on a majority, and then all before "
    "it") {
  test_cluster_of cluster(5);
  REQUIRE(cluster.elect(1));
  for (const std::uint64_t down : {2u, 3u, 4u, 5u}) cluster.cut(1, down);
  for (int i = 0; i < 3; ++i) CHECK_FALSE(cluster[1]->propose(text("x")).code);
  CHECK(cluster.settle());
  const log_index before = cluster[1]->commit();
  CHECK(before < cluster[1]->log().last_index());
  cluster.heal();
  CHECK(cluster.tick_all(10));
  CHECK(cluster[1]->commit() == cluster[1]->log().last_index());
  for (std::uint64_t i = 1; i <= 5; ++i) CHECK(cluster[i].applied == cluster[1].applied);
}

TEST_CASE("section 5.3: a leader never overwrites or removes entries of its own log") {
  test_node node(1, voters(3), {}, disk_of(2, {1, 2}));
  lead(node);
  const std::vector<std::uint64_t> before = terms_of(node->log());
  CHECK(node.receive(2, 3, append_of({1, 1, 1, 3}, 0, 4)) == errc::two_leaders);
  CHECK(node.receive(2, 3, heartbeat{log_index(4), 1}) == errc::two_leaders);
  CHECK(node.receive(2, 3, commit_notice{log_index(4)}) == errc::two_leaders);
  CHECK_FALSE(node.receive(3, 3, append_reject{log_index(2), {}}));
  CHECK(terms_of(node->log()) == before);
  CHECK(node->role() == role::leader);
  CHECK(node->commit() == log_index(0));
}

TEST_CASE("section 5.3, log matching: equal index and term mean equal logs up to there") {
  test_cluster_of cluster(3);
  for (std::uint64_t round = 0; round < 9; ++round) {
    const std::uint64_t leader = 1 + round % 3;
    REQUIRE(cluster.elect(leader));
    cluster.cut(leader, 1 + (round + 2) % 3);
    CHECK_FALSE(cluster[leader]->propose(text("common")).code);
    CHECK(cluster.settle());
    cluster.isolate(leader);
    CHECK_FALSE(cluster[leader]->propose(text("lost")).code);
    CHECK(cluster.settle());
    cluster.heal();
  }
  REQUIRE(cluster.elect(1));
  CHECK(cluster.tick_all(20));
  for (const std::uint64_t i : {2u, 3u}) {
    CHECK(cluster[i]->log().last_hash() == cluster[1]->log().last_hash());
    CHECK(cluster[i].applied == cluster[1].applied);
  }
}

TEST_CASE("section 5.3: a conflict of many entries is found with one rejection per term, not per entry") {
  std::vector<std::uint64_t> mine(100, 1), theirs(100, 1);
  mine.insert(mine.end(), 500, 4);
  theirs.insert(theirs.end(), 700, 2);
  test_node leader(1, voters(3), {}, disk_of(4, mine));
  test_node follower(2, voters(3), {}, disk_of(4, theirs));
  leader.time_out();
  CHECK_FALSE(leader.receive(3, 4, pre_vote_response{term_t(5), true}));
  leader.work();
  CHECK_FALSE(leader.receive(3, 5, vote_response{true}));
  std::size_t rejections = 0;
  for (int i = 0; i < 10 && follower->log().last() != leader->log().last(); ++i) {
    leader.work();
    for (append_request& m : leader.take<append_request>(2))
      CHECK_FALSE(follower.receive(1, 5, std::move(m)));
    follower.work();
    for (append_reject& m : follower.take<append_reject>(1)) {
      ++rejections;
      CHECK_FALSE(leader.receive(2, 5, std::move(m)));
    }
    for (append_ok& m : follower.take<append_ok>(1)) CHECK_FALSE(leader.receive(2, 5, std::move(m)));
  }
  CHECK(follower->log().last_hash() == leader->log().last_hash());
  CHECK(rejections <= 2);
}

TEST_CASE("section 5.4.1: a candidate wins only with a log at least as up to date as a majority's") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  cluster.isolate(3);
  CHECK_FALSE(cluster[1]->propose(text("x")).code);
  CHECK(cluster.settle());
  cluster.heal();
  cluster[1].crash();
  cluster.wire.clear();
  CHECK_FALSE(cluster.elect(3));  // 2 has what 3 misses
  CHECK(cluster.elect(2));
}

TEST_CASE("section 5.4.1: with different last terms the later term is more up to date, whatever the length") {
  test_node node(1, voters(3), {}, disk_of(5, {1, 1, 1, 1, 1, 1, 1}));
  CHECK_FALSE(node.receive(2, 6, vote_request{{term_t(2), log_index(1)}}));
  node.work();
  CHECK(node.take<vote_response>(2).at(0).granted);
}

TEST_CASE("section 5.4.1: with the same last term the longer log is more up to date") {
  test_node node(1, voters(3), {}, disk_of(5, {1, 1, 1}));
  CHECK_FALSE(node.receive(2, 6, vote_request{{term_t(1), log_index(2)}}));
  CHECK_FALSE(node.receive(3, 6, vote_request{{term_t(1), log_index(3)}}));
  node.work();
  CHECK_FALSE(node.take<vote_response>(2).at(0).granted);
  CHECK(node.take<vote_response>(3).at(0).granted);
}

TEST_CASE("section 5.4.2, figure 8: an entry of an earlier term is not committed by counting replicas") {
  // (c): S1 leads term 4; entry 2 is of term 2 and now on a majority, the entry of term 4 is not.
  test_node leader(1, voters(5), {}, disk_of(3, {1, 2}));
  lead(leader, 2);
  REQUIRE(leader->role() == role::leader);
  REQUIRE(leader->term() == term_t(4));
  for (const std::uint64_t peer : {2u, 3u, 4u, 5u})
    CHECK_FALSE(leader.receive(peer, 4, append_ok{log_index(2)}));
  CHECK(leader->commit() == log_index(0));
  // (e): with its own entry on a majority, all before it is committed as well.
  leader.work();
  for (const std::uint64_t peer : {2u, 3u})
    CHECK_FALSE(leader.receive(peer, 4, append_ok{leader->log().last_index()}));
  CHECK(leader->commit() == leader->log().last_index());
}

TEST_CASE("section 5.4.2, figure 8 (d): such an entry can still be overwritten by a leader of a later term") {
  test_node follower(2, voters(5), {}, disk_of(4, {1, 2}));
  CHECK_FALSE(follower.receive(5, 5, append_of({1, 3, 5}, 1, 3)));
  follower.work();
  CHECK(terms_of(follower->log()) == std::vector<std::uint64_t>{1, 3, 5});
  CHECK(follower->commit() == log_index(3));
}

TEST_CASE("section 5.4.3: a new leader has every committed entry") {
  test_cluster_of cluster(5);
  std::vector<entry> committed;
  for (std::uint64_t round = 0; round < 10; ++round) {
    const std::uint64_t leader = 1 + round % 5;
    cluster.heal();
    CHECK(cluster.tick_all(5));
    REQUIRE(cluster.elect(leader));
    for (const entry& e : committed) CHECK(cluster[leader]->log().at(e.index) == e);
    cluster.isolate(1 + (round + 2) % 5);
    CHECK_FALSE(cluster[leader]->propose(text("x")).code);
    CHECK(cluster.settle());
    committed = cluster[leader].applied;
  }
  CHECK(committed.size() >= 20);
}

TEST_CASE("section 5.5: appends and votes are idempotent, a repeated request has no further effect") {
  test_node node(1, voters(3));
  for (int i = 0; i < 3; ++i) {
    CHECK_FALSE(node.receive(2, 1, append_of({1, 1}, 0, 1)));
    node.work();
  }
  CHECK(node->log().last_index() == log_index(2));
  CHECK(node.disk.entries.size() == 2);
  CHECK(node.applied.size() == 1);
  const auto oks = node.take<append_ok>(2);
  REQUIRE(oks.size() == 3);
  for (const append_ok& ok : oks) CHECK(ok.match == log_index(2));
}

TEST_CASE("section 5.5: a crashed follower catches up after its restart") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  cluster[3].crash();
  for (int i = 0; i < 5; ++i) {
    CHECK_FALSE(cluster[1]->propose(text("x")).code);
    CHECK(cluster.settle());
  }
  cluster[3].restart();
  CHECK(cluster.tick_all(10));
  CHECK(cluster[3].applied == cluster[1].applied);
  CHECK(cluster[3]->log().last_hash() == cluster[1]->log().last_hash());
}

TEST_CASE("section 5.6: while heartbeats arrive within the election timeout the leader stays") {
  test_cluster_of cluster(5);
  REQUIRE(cluster.elect(2));
  const term_t term = cluster[2]->term();
  CHECK(cluster.tick_all(500));
  CHECK(cluster.leader() == 2);
  CHECK(cluster[2]->term() == term);
}

TEST_CASE("section 5.6: without a leader, a new one is elected within a few election timeouts") {
  test_cluster_of cluster(5);
  REQUIRE(cluster.elect(2));
  cluster[2].crash();
  std::uint32_t ticks = 0;
  while (cluster.leader() == 0 && ticks < 200) {
    CHECK(cluster.tick_all());
    ++ticks;
  }
  CHECK(cluster.leader() != 0);
  CHECK(ticks <= 4 * cluster[1].options.election_ticks);
}
