// Who should lead: the priorities in the configuration.
#include <doctest/doctest.h>

#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

[[nodiscard]] configuration with_priorities(const std::vector<std::uint8_t>& priorities) {
  configuration members = voters(priorities.size());
  for (std::size_t i = 0; i < priorities.size(); ++i) members.incoming[i].priority = priorities[i];
  return members;
}

[[nodiscard]] test_cluster_of cluster_of(const std::vector<std::uint8_t>& priorities, std::uint64_t seed = 1,
                                         const test_node::tweak& more = {}) {
  test_cluster_of cluster(priorities.size());
  for (std::uint64_t i = 1; i <= priorities.size(); ++i) {
    const auto change = [&](raft_options& o) {
      o.seed = seed * 31 + i;
      o.priority_check_ticks = 100;
      if (more) more(o);
    };
    cluster.replace(i, std::make_unique<test_node>(i, with_priorities(priorities), change));
  }
  return cluster;
}

}  // namespace

TEST_CASE("priority 0 lets others go first, and votes") {
  test_cluster_of cluster = cluster_of({0, 0, 1});
  cluster[1].tick(2 * cluster[1]->options().election_ticks);
  CHECK(cluster[1]->role() == role::follower);
  CHECK(cluster[1].count<pre_vote_request>() == 0);
  cluster = cluster_of({0, 0, 1});
  CHECK(cluster.tick_all(60));
  CHECK(cluster.leader() == 3);
}

// Found by the simulator (seed 4015): all who knew their committed configuration had priority 0, and the only
// other voter had an empty log.
TEST_CASE("priority 0 stands when nobody else has for two election timeouts") {
  test_cluster_of cluster = cluster_of({0, 0, 1});
  CHECK(cluster.tick_all(60));
  REQUIRE(cluster.leader() == 3);
  cluster[3].crash();
  CHECK(cluster.tick_all(200));
  CHECK(cluster.leader() != 0);
  CHECK(cluster.leader() != 3);
}

TEST_CASE("priority 0 takes over when asked to explicitly, but is nobody's choice") {
  test_cluster_of cluster = cluster_of({0, 1, 1}, 1, [](raft_options& o) { o.priority_check_ticks = 0; });
  CHECK(cluster.tick_all(60));
  REQUIRE(cluster.leader() != 0);
  test_node& leader = cluster[cluster.leader()];
  const std::uint64_t other = leader.id() == node_id(2) ? 3 : 2;
  CHECK_FALSE(leader->transfer_leadership(node_id(0)));
  CHECK(leader->transferring_to() == node_id(other));
  CHECK(cluster.settle());
  REQUIRE(cluster.leader() == other);
  CHECK_FALSE(cluster[other]->transfer_leadership(node_id(1)));
  CHECK(cluster.settle());
  CHECK(cluster.leader() == 1);
  CHECK(cluster.tick_all(300));
  CHECK(cluster.leader() == 1);  // priorities are not looked at here
}

TEST_CASE("priority 0 that has lost its leader doesn't keep others from replacing it") {
  test_node node(1, with_priorities({0, 1, 1}));
  CHECK_FALSE(node.receive(2, 4, heartbeat{}));
  node.tick(3 * node.options.election_ticks);  // its own timer has expired, and begun anew
  node.work();
  CHECK(node->leader() == node_id(0));
  CHECK_FALSE(node.receive(3, 4, pre_vote_request{term_t(5), {}}));
  node.work();
  CHECK(node.take<pre_vote_response>(3).at(0).granted);
}

TEST_CASE("a leader hands over to the highest priority once it has been stable for a while") {
  test_cluster_of cluster = cluster_of({1, 5, 9});
  REQUIRE(cluster.elect(1));
  CHECK(cluster.tick_all(90));
  CHECK(cluster.leader() == 1);
  CHECK(cluster.tick_all(15));
  CHECK(cluster.leader() == 3);
  const term_t term = cluster[3]->term();
  CHECK(cluster.tick_all(300));
  CHECK(cluster.leader() == 3);
  CHECK(cluster[3]->term() == term);
}

TEST_CASE("a leader hands over to the highest that is there and has caught up") {
  test_cluster_of cluster = cluster_of({1, 5, 9});
  REQUIRE(cluster.elect(1));
  cluster[3].crash();
  CHECK(cluster.tick_all(120));
  CHECK(cluster.leader() == 2);
  cluster[3].restart();
  CHECK(cluster.tick_all(120));
  CHECK(cluster.leader() == 3);
}

TEST_CASE("equal priorities leave the leader alone") {
  test_cluster_of cluster = cluster_of({4, 4, 4});
  REQUIRE(cluster.elect(2));
  const term_t term = cluster[2]->term();
  CHECK(cluster.tick_all(500));
  CHECK(cluster.leader() == 2);
  CHECK(cluster[2]->term() == term);
}

TEST_CASE("no hand-over while a change of members is under way") {
  test_cluster_of cluster = cluster_of({5, 1, 9});
  REQUIRE(cluster.elect(1));
  // 4 and 5 don't exist: neither the joint phase nor anything else can be left.
  CHECK_FALSE(change(cluster[1].core(), {add_voter(4), add_voter(5), add_voter(6), add_voter(7)}));
  for (int i = 0; i < 25; ++i) {
    CHECK(cluster.tick_all(9));
    for (const std::uint64_t id : {4u, 5u, 6u, 7u})  // they only keep check-quorum content
      if (cluster[1]->role() == role::leader)
        CHECK_FALSE(cluster[1].receive(id, cluster[1]->term().value(), heartbeat_response{}));
  }
  CHECK(cluster.leader() == 1);
  CHECK(cluster[1]->change_under_way());
}

TEST_CASE("a lower priority waits longer, by one election_ticks at most") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    test_cluster_of cluster = cluster_of({1, 10}, seed);
    const std::uint32_t base = cluster[1].options.election_ticks;
    std::uint32_t waited = 0;
    while (cluster[1]->role() == role::follower && waited < 1000) cluster[1].tick(), ++waited;
    CHECK(waited >= base + base * 9 / 10);
    CHECK(waited < 3 * base);
    waited = 0;
    while (cluster[2]->role() == role::follower && waited < 1000) cluster[2].tick(), ++waited;
    CHECK(waited >= base);
    CHECK(waited < 2 * base);
  }
}

TEST_CASE("priority 0 stands when those who may can't win, since its log is ahead of theirs") {
  test_cluster_of cluster = cluster_of({1, 0});
  REQUIRE(cluster.elect(1));
  CHECK_FALSE(cluster[1]->propose(text("x")).code);
  cluster[1].pump();
  for (message& m : cluster[1].sent) (void)cluster[2]->step(std::move(m));
  cluster[2].work();
  cluster[1].crash();  // its own copy was not durable yet
  cluster[1].restart();
  REQUIRE(cluster[1]->log().last() < cluster[2]->log().last());
  std::uint32_t ticks = 0;
  while (cluster.leader() == 0 && ticks < 200) {
    CHECK(cluster.tick_all());
    ++ticks;
  }
  CHECK(cluster.leader() == 2);
  CHECK(ticks <= 100);
  CHECK(cluster.tick_all(130));
  CHECK(cluster.leader() == 1);
}
