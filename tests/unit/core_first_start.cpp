// The first election of a cluster, and data directories that were wiped: docs/adr/0002.
#include <doctest/doctest.h>

#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

void strictly(raft_options& o) {
  o.first_election_by_majority = false;
}

[[nodiscard]] std::unique_ptr<test_node> wiped(std::uint64_t id, std::uint64_t n,
                                               std::uint64_t incarnation = 424242) {
  return std::make_unique<test_node>(id, voters(n), [=](raft_options& o) {
    o.first_election_by_majority = false;
    o.incarnation = incarnation_id(incarnation);
  });
}

}  // namespace

TEST_CASE("first start: all voters together elect a leader quickly, and all are bound by its first entry") {
  for (std::uint64_t n = 1; n <= 7; ++n) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      CAPTURE(n);
      CAPTURE(seed);
      test_cluster_of cluster(n, [&](raft_options& o) {
        strictly(o);
        o.seed = seed * 101 + o.self.value();
      });
      std::uint32_t ticks = 0;
      while (cluster.leader() == 0 && ticks < 200) {
        CHECK(cluster.tick_all());
        ++ticks;
      }
      REQUIRE(cluster.leader() != 0);
      CHECK(ticks <= 100);
      CHECK(cluster.settle());
      for (std::uint64_t i = 1; i <= n; ++i) {
        CHECK(cluster[i]->members() == bound_voters(n));
        CHECK(cluster[i]->members_at() == log_index(1));
      }
    }
  }
}

TEST_CASE("first start: waits for a voter that is down, unless a majority may found the cluster") {
  test_cluster_of cluster(3, strictly);
  cluster[3].crash();
  CHECK(cluster.tick_all(300));
  CHECK(cluster.leader() == 0);
  CHECK(cluster[1]->term() == term_t(0));
  cluster[3].restart();
  CHECK(cluster.tick_all(100));
  CHECK(cluster.leader() != 0);

  test_cluster_of bold(3);
  bold[3].crash();
  CHECK(bold.tick_all(100));
  REQUIRE(bold.leader() != 0);
  CHECK(bold[1]->commit() > log_index(0));
  CHECK_FALSE(bold[1]->members().find_member(node_id(3))->incarnation);
}

TEST_CASE("first start: once bound, a majority elects as ever") {
  test_cluster_of cluster(3, strictly);
  REQUIRE(cluster.elect(1));
  cluster[1].crash();
  CHECK(cluster.tick_all(60));
  REQUIRE(cluster.leader() != 0);
  cluster[1].restart();
  CHECK(cluster.tick_all(20));
  for (std::uint64_t i = 1; i <= 3; ++i) cluster[i].crash();
  for (std::uint64_t i = 2; i <= 3; ++i) cluster[i].restart();
  CHECK(cluster.tick_all(60));
  CHECK(cluster.leader() != 0);
}

TEST_CASE("first start: the whole cluster restarts between the first election and the first commit") {
  for (int kept = 0; kept <= 1; ++kept) {
    test_cluster_of cluster(3, strictly);
    cluster[1].time_out();
    while (cluster[1]->role() != role::leader) {
      cluster.collect();
      for (std::uint64_t i = 1; i <= 3; ++i) cluster[i].persist();
      cluster.deliver_all();
    }
    cluster[1].pump();  // the first entry is on its way to the disk
    for (std::uint64_t i = 1; i <= 3; ++i) cluster[i].crash(i == 1 ? static_cast<std::size_t>(kept) : 0);
    cluster.wire.clear();
    for (std::uint64_t i = 1; i <= 3; ++i) cluster[i].restart();
    CHECK(cluster[1]->log().last_index() == log_index(static_cast<std::uint64_t>(kept)));
    if (kept == 1) cluster[3].crash();  // then it is bound, and two are enough
    CHECK(cluster.tick_all(100));
    CHECK(cluster.leader() == (kept == 1 ? 1 : cluster.leader()));
    CHECK(cluster.leader() != 0);
  }
}

TEST_CASE("trap: same id with an empty disk: a wiped directory and a lagging member don't elect each other") {
  for (const std::uint64_t n : {3u, 5u}) {
    CAPTURE(n);
    test_cluster_of cluster(n, strictly);
    // Leader 1 and 2 (and 3 of five) commit; the others have given their votes and nothing else since.
    const std::uint64_t holders = n / 2 + 1;
    cluster[1].time_out();
    while (cluster[1]->role() != role::leader) {
      cluster.collect();
      for (std::uint64_t i = 1; i <= n; ++i) cluster[i].persist();
      cluster.deliver_all();
    }
    for (std::uint64_t i = holders + 1; i <= n; ++i) cluster.isolate(i);
    cluster.wire.clear();
    CHECK_FALSE(cluster[1]->propose(text("precious")).code);
    CHECK(cluster.tick_all(5));
    REQUIRE(cluster[1]->commit() == log_index(2));
    REQUIRE(cluster[n]->log().last_index() == log_index(0));
    // 2 is wiped while 1 (and 3 of five) are down: what is left has never heard of the first start.
    cluster[1].crash();
    if (n == 5) cluster[3].crash();
    cluster.replace(2, wiped(2, n));
    cluster.heal();
    CHECK(cluster.tick_all(300));
    CHECK(cluster.leader() == 0);
    // The one that holds what was committed comes back: everybody who may follows it, 2 is told.
    cluster[1].restart();
    if (n == 5) cluster[3].restart();
    CHECK(cluster.tick_all(100));
    REQUIRE(cluster.leader() != 0);
    test_node& leader = cluster[cluster.leader()];
    CHECK(leader->log().at(log_index(2)).payload.view() == "precious");
    CHECK(leader->commit() > log_index(2));
    CHECK(cluster[2]->role() != role::leader);
    CHECK(cluster[2]->refused_by() != node_id(0));
  }
}

TEST_CASE("a wiped directory's vote doesn't elect who knows the bound one, nor does its word commit") {
  test_cluster_of cluster(3, strictly);
  REQUIRE(cluster.elect(1));
  cluster[1].crash();
  cluster.replace(2, wiped(2, 3));
  CHECK(cluster.tick_all(200));
  CHECK(cluster.leader() == 0);
}

TEST_CASE("a disk wiped after its first vote can't vote in that term again") {
  // 1 leads term 1 by the votes of 2 and 3, and nobody but 1 has its entry.
  test_cluster_of cluster(3, strictly);
  cluster[1].time_out();
  while (cluster[1]->role() != role::leader) {
    cluster.collect();
    for (std::uint64_t i = 1; i <= 3; ++i) cluster[i].persist();
    cluster.deliver_all();
  }
  cluster[1].work();
  cluster[1].crash();
  cluster.wire.clear();
  cluster.replace(2, wiped(2, 3));
  CHECK(cluster.tick_all(200));
  CHECK(cluster.leader() == 0);
  cluster[1].restart();
  CHECK(cluster.tick_all(100));
  CHECK(cluster.leader() == 1);
  CHECK(cluster[1]->members() == bound_voters(3));
}

TEST_CASE("all directories wiped is a new cluster") {
  test_cluster_of cluster(3, strictly);
  REQUIRE(cluster.elect(1));
  for (std::uint64_t i = 1; i <= 3; ++i) cluster.replace(i, wiped(i, 3, 7000 + i));
  CHECK(cluster.tick_all(100));
  CHECK(cluster.leader() != 0);
}

TEST_CASE("votes: a grant for an unbound id counts when all voters grant, or a majority may found") {
  configuration members = bound_voters(3);
  members.incoming[2].incarnation = incarnation_id{};
  votes answers;
  answers.record(node_id(1), incarnation_of(1), true);
  answers.record(node_id(3), incarnation_id(5), true);
  CHECK(answers.count(members, false) == vote_result::pending);
  CHECK(answers.count(members, true) == vote_result::won);
  votes refused = answers;
  refused.record(node_id(2), incarnation_of(2), false);
  CHECK(refused.count(members, false) == vote_result::lost);
  votes other = answers;
  other.record(node_id(2), incarnation_id(5), true);  // not the directory that 2 is bound to
  CHECK(other.count(members, false) != vote_result::won);
  CHECK_FALSE(other.unanimous(members));
  answers.record(node_id(2), incarnation_of(2), true);
  CHECK(answers.count(members, false) == vote_result::won);
  CHECK(answers.unanimous(members));
}
