// Elections beyond the paper: pre-vote, check-quorum, leader stickiness.
#include <doctest/doctest.h>

#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

TEST_CASE("pre-vote: asking raises nobody's term and writes nothing") {
  test_node node(1, voters(3), {}, disk_of(4, {1, 4}));
  node.time_out();
  CHECK(node->role() == role::pre_candidate);
  CHECK(node->term() == term_t(4));
  node.work();
  CHECK(node.disk.state == hard_state{term_t(4), node_id(0), log_index(0)});
  for (const std::uint64_t peer : {2u, 3u}) {
    const auto asked = node.take<pre_vote_request>(peer);
    REQUIRE(asked.size() == 1);
    CHECK(asked[0].campaign_term == term_t(5));
    CHECK(asked[0].last == version{term_t(4), log_index(2)});
  }
  test_node other(2, voters(3), {}, disk_of(2, {1}));
  CHECK_FALSE(other.receive(1, 4, pre_vote_request{term_t(5), {term_t(4), log_index(2)}}));
  other.work();
  CHECK(other->term() == term_t(2));
  CHECK(other.writing.empty());
  CHECK(other.take<pre_vote_response>(1).at(0).granted);
}

TEST_CASE("pre-vote: refused for an old campaign term or a log that is behind") {
  test_node node(1, voters(3), {}, disk_of(5, {1, 4}));
  CHECK_FALSE(node.receive(2, 4, pre_vote_request{term_t(5), {term_t(4), log_index(9)}}));
  CHECK_FALSE(node.receive(2, 5, pre_vote_request{term_t(6), {term_t(4), log_index(1)}}));
  CHECK_FALSE(node.receive(2, 5, pre_vote_request{term_t(6), {term_t(1), log_index(9)}}));
  CHECK_FALSE(node.receive(2, 5, pre_vote_request{term_t(6), {term_t(4), log_index(2)}}));
  node.work();
  const auto answers = node.take<pre_vote_response>(2);
  REQUIRE(answers.size() == 4);
  for (std::size_t i = 0; i < 3; ++i) CHECK_FALSE(answers[i].granted);
  CHECK(answers[3].granted);
  CHECK(node->vote() == node_id(0));
}

TEST_CASE("pre-vote: refused while a leader is heard, and by the leader itself") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  const term_t term = cluster[1]->term();
  for (const std::uint64_t voter : {1u, 2u}) {
    CHECK_FALSE(
        cluster[voter].receive(3, term.value(), pre_vote_request{term + 1, {term + 1, log_index(100)}}));
    cluster[voter].pump();
    CHECK_FALSE(cluster[voter].take<pre_vote_response>(3).at(0).granted);
  }
  cluster[2].tick(cluster[2].options.election_ticks);  // a minimum timeout without the leader
  CHECK_FALSE(cluster[2].receive(3, term.value(), pre_vote_request{term + 1, {term + 1, log_index(100)}}));
  cluster[2].pump();
  CHECK(cluster[2].take<pre_vote_response>(3).at(0).granted);
}

TEST_CASE("pre-vote: answers to another campaign term, or when not asking, count for nothing") {
  test_node node(1, voters(3), {}, disk_of(4, {1}));
  CHECK_FALSE(node.receive(2, 4, pre_vote_response{term_t(5), true}));
  CHECK(node->role() == role::follower);
  node.time_out();
  CHECK_FALSE(node.receive(2, 4, pre_vote_response{term_t(4), true}));
  CHECK_FALSE(node.receive(2, 4, pre_vote_response{term_t(6), true}));
  CHECK(node->role() == role::pre_candidate);
  for (const std::uint64_t peer : {2u, 3u})
    CHECK_FALSE(node.receive(peer, 4, pre_vote_response{term_t(5), false}));
  CHECK(node->role() == role::follower);
}

TEST_CASE("pre-vote: a node that was cut off does not disturb the leader when it comes back") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  const term_t term = cluster[1]->term();
  cluster.isolate(3);
  CHECK(cluster.tick_all(200));
  CHECK(cluster[3]->term() == term);
  cluster.heal();
  CHECK(cluster.tick_all(50));
  CHECK(cluster.leader() == 1);
  CHECK(cluster[1]->term() == term);
  CHECK(cluster[3]->leader() == node_id(1));
}

TEST_CASE("trap: pre-vote with a low-term rejoiner while the leader crashes still elects") {
  // 2 has term 5 and the longer log, 3 came back with term 2: 3's grant bears the low term 2 and must count.
  test_node node(2, voters(3), {}, disk_of(5, {1, 4, 5}));
  test_node rejoiner(3, voters(3), {}, disk_of(2, {1}));
  node.time_out();
  node.pump();
  const auto asked = node.take<pre_vote_request>(3);
  REQUIRE(asked.size() == 1);
  CHECK_FALSE(rejoiner.receive(2, 5, asked[0]));
  rejoiner.pump();
  REQUIRE(rejoiner.sent.size() == 1);
  CHECK_FALSE(node->step(std::move(rejoiner.sent[0])));
  CHECK(node->role() == role::candidate);
  CHECK(node->term() == term_t(6));
}

TEST_CASE("a refusal of a pre-vote brings a low-term node up to date") {
  test_node rejoiner(3, voters(3), {}, disk_of(2, {1}));
  rejoiner.time_out();
  CHECK_FALSE(rejoiner.receive(2, 5, pre_vote_response{term_t(3), false}));
  CHECK(rejoiner->term() == term_t(5));
  CHECK(rejoiner->role() == role::follower);
}

TEST_CASE("trap: a long log of a low term against a short log of a high term still elects") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    test_cluster_of cluster(3, [seed](raft_options& o) { o.seed = seed * 3 + o.self.value(); });
    const auto change = [seed](raft_options& o) { o.seed = seed * 5 + o.self.value(); };
    cluster.replace(1, std::make_unique<test_node>(1, voters(3), change, disk_of(7, {1, 1, 1, 1, 1, 1})));
    cluster.replace(2, std::make_unique<test_node>(2, voters(3), change, disk_of(3, {1, 3})));
    cluster[3].crash();
    std::uint32_t ticks = 0;
    while (cluster.leader() == 0 && ticks < 200) {
      CHECK(cluster.tick_all());
      ++ticks;
    }
    CHECK(cluster.leader() == 2);
    CHECK(ticks <= 100);
  }
}

TEST_CASE("trap: a shorter log never wins, however often it asks") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  cluster.isolate(3);
  CHECK_FALSE(cluster[1]->propose(text("x")).code);
  CHECK(cluster.settle());
  cluster[1].crash();
  cluster.heal();
  for (int i = 0; i < 20; ++i) {
    cluster[3].time_out();
    CHECK(cluster.settle());
    CHECK(cluster[3]->role() != role::leader);
  }
  CHECK(cluster.tick_all(60));
  CHECK(cluster.leader() == 2);
}

TEST_CASE("check-quorum: a leader that a majority does not answer steps down") {
  test_cluster_of cluster(5);
  REQUIRE(cluster.elect(1));
  cluster[4].crash();
  cluster[5].crash();
  CHECK(cluster.tick_all(100));
  CHECK(cluster.leader() == 1);
  cluster.isolate(1);
  cluster[1].tick(2 * cluster[1].options.election_ticks);
  CHECK(cluster[1]->role() != role::leader);
  CHECK(cluster[1]->leader() == node_id(0));
  CHECK(cluster[1]->propose(text("x")).code == errc::not_leader);
}

TEST_CASE("check-quorum: a leader that sends but does not hear makes room for another") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  cluster.cut_one_way(2, 1);
  cluster.cut_one_way(3, 1);
  CHECK(cluster.tick_all(100));
  CHECK(cluster.leader() != 0);
  CHECK(cluster.leader() != 1);
}

TEST_CASE("check-quorum: a bridge between two that don't see each other keeps one leader") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  const term_t term = cluster[1]->term();
  cluster.cut(1, 3);
  CHECK(cluster.tick_all(200));
  CHECK(cluster.leader() == 1);
  CHECK(cluster[1]->term() == term);
}

TEST_CASE("leader stickiness: who hears a leader neither votes nor adopts the candidate's term") {
  test_node node(1, voters(3));
  CHECK_FALSE(node.receive(2, 4, heartbeat{}));
  node.work();
  node.sent.clear();
  CHECK_FALSE(node.receive(3, 9, vote_request{{term_t(8), log_index(99)}}));
  node.work();
  CHECK(node.sent.empty());
  CHECK(node->term() == term_t(4));
  node.tick(node.options.election_ticks);
  CHECK_FALSE(node.receive(3, 9, vote_request{{term_t(8), log_index(99)}}));
  node.work();
  CHECK(node.take<vote_response>(3).at(0).granted);
  CHECK(node->term() == term_t(9));
}

TEST_CASE("a leader of a passed term is told, so that it does not lead in vain for ever") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  // 3 campaigned alone: its term is higher, its heart is elsewhere.
  cluster.replace(3, std::make_unique<test_node>(3, voters(3), test_node::tweak{}, disk_of(9, {}, 3)));
  CHECK(cluster.tick_all(60));
  REQUIRE(cluster.leader() != 0);
  for (std::uint64_t i = 1; i <= 3; ++i) {
    CHECK(cluster[i]->term() > term_t(9));
    CHECK(cluster[i]->leader() == node_id(cluster.leader()));
  }
}

TEST_CASE("trap: campaign, crash, restart, and a delayed old grant arrives") {
  test_node node(1, voters(3), {}, disk_of(4, {1}));
  node.time_out();
  CHECK_FALSE(node.receive(2, 4, pre_vote_response{term_t(5), true}));
  node.pump();
  CHECK(node.count<vote_request>() == 0);  // nobody is asked before term and vote are on the disk
  node.crash();
  node.restart();
  CHECK(node->term() == term_t(4));
  CHECK_FALSE(node.receive(3, 5, vote_response{true}));  // of another campaign of this term, long ago
  CHECK(node->role() == role::follower);

  node.time_out();
  CHECK_FALSE(node.receive(2, 5, pre_vote_response{term_t(6), true}));
  node.work();
  CHECK(node.count<vote_request>() == 2);
  node.crash();
  node.restart();
  CHECK(node->term() == term_t(6));
  CHECK(node->vote() == node_id(1));
  CHECK_FALSE(node.receive(2, 6, vote_response{true}));
  CHECK_FALSE(node.receive(3, 6, vote_response{true}));
  CHECK(node->role() == role::follower);
}

TEST_CASE("trap: campaign, crash, lost tail, restart, and a delayed old grant arrives") {
  test_node node(1, voters(3), {}, disk_of(4, {1}));
  const entry first = node->log().at(log_index(1));
  test_node leader(2, voters(3), {}, disk_of(4, {1, 4}));
  CHECK_FALSE(node.receive(
      2, 4, append_request{{first.term, first.index}, first.hash, {}, {leader->log().at(log_index(2))}}));
  node.pump();
  REQUIRE(node->log().last_index() == log_index(2));
  REQUIRE(node.writing.size() == 1);  // and is never finished
  node.time_out();
  CHECK_FALSE(node.receive(3, 4, pre_vote_response{term_t(5), true}));
  node.pump();
  // Its candidacy rests on entries that are not on its disk: nobody may hear of it.
  CHECK(node.count<vote_request>() == 0);
  node.crash();
  node.restart();
  REQUIRE(node->log().last_index() == log_index(1));
  CHECK(node->term() == term_t(4));
  for (const std::uint64_t voter : {2u, 3u}) CHECK_FALSE(node.receive(voter, 5, vote_response{true}));
  CHECK(node->role() == role::follower);
}

TEST_CASE("trap: a crash at each step of saving term and vote gives old or new, never empty") {
  for (std::size_t whole = 0; whole <= 1; ++whole) {
    for (int parts = 0; parts <= 3; ++parts) {
      test_node node(1, voters(3), {}, disk_of(4, {1}, 2));
      CHECK_FALSE(node.receive(3, 7, vote_request{{term_t(1), log_index(1)}}));
      node.pump();
      REQUIRE(node.writing.size() == 1);
      node.crash(whole, parts);
      node.restart();
      const bool old_state = node->term() == term_t(4) && node->vote() == node_id(2);
      const bool new_state = node->term() == term_t(7) && node->vote() == node_id(3);
      CHECK((old_state || new_state));
      if (whole == 1) CHECK(new_state);
    }
  }
}

TEST_CASE("trap: a crash between an append's entries and its term leaves a log that the next start accepts") {
  test_node node(1, voters(3), {}, disk_of(4, {1}, 2));
  CHECK_FALSE(node.receive(3, 7, append_of({1, 7, 7}, 1)));
  node.pump();
  node.crash(0, 2);  // entries of term 7 are there, the record of term 7 is not
  node.restart();
  CHECK(node->term() == term_t(7));
  CHECK(node->vote() == node_id(0));
  node.tick();
  node.work();
  CHECK(node.disk.state.term == term_t(7));
  node.time_out();
  CHECK(node.take<pre_vote_request>().empty());
  node.work();
  CHECK(node.take<pre_vote_request>(2).at(0).campaign_term == term_t(8));
}

TEST_CASE("a single node elects itself, but only once its vote is durable, and commits what is durable") {
  test_node node(1, voters(1));
  node.time_out();
  CHECK(node->role() == role::candidate);
  node.pump();
  CHECK(node->role() == role::candidate);
  node.persist();
  CHECK(node->role() == role::leader);
  node.pump();
  CHECK(node->commit() == log_index(0));
  node.persist();
  CHECK(node->commit() == log_index(1));
  CHECK_FALSE(node->propose(text("x")).code);
  node.pump();
  CHECK(node->commit() == log_index(1));
  node.persist();
  CHECK(node->commit() == log_index(2));
  CHECK_FALSE(node->read(read_id(5)));
  node.work();
  REQUIRE(node.answers.size() == 1);
  CHECK(node.answers[0].index == log_index(2));
  node.tick(500);
  CHECK(node->role() == role::leader);
}

TEST_CASE("who is no voter never campaigns") {
  configuration members = voters(3);
  members.learners.push_back({node_id(4), incarnation_id{}});
  test_node learner(4, members);
  learner.tick(1000);
  learner.work();
  CHECK(learner.sent.empty());
  CHECK(learner->role() == role::follower);
}
