// Cluster, group and incarnation: who is talked to, and whose word counts.
#include <doctest/doctest.h>

#include <algorithm>

#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

const incarnation_id stranger(424242);

}  // namespace

TEST_CASE("a message of another cluster or group is refused and changes nothing") {
  test_node node(1, voters(3));
  message m{cluster_id(1), test_group, node_id(2), node_id(1), incarnation_of(2), term_t(9), heartbeat{}};
  CHECK(node->step(std::move(m)) == errc::wrong_cluster);
  message g{test_cluster, group_id(99), node_id(2), node_id(1), incarnation_of(2), term_t(9), heartbeat{}};
  CHECK(node->step(std::move(g)) == errc::wrong_cluster);
  CHECK(node->term() == term_t(0));
  CHECK_FALSE(node->has_ready(true));
}

TEST_CASE("a message from nobody, from ourselves, to another or from no member is refused") {
  test_node node(1, voters(3));
  CHECK(node.receive(0, 9, heartbeat{}) == errc::unknown_peer);
  CHECK(node.receive(1, 9, heartbeat{}) == errc::unknown_peer);
  CHECK(node.receive(7, 9, vote_response{true}) == errc::unknown_peer);
  CHECK(node.receive(7, 9, append_ok{log_index(5)}) == errc::unknown_peer);
  CHECK(node.receive(7, 9, stale_term{}) == errc::unknown_peer);
  message m{test_cluster, test_group, node_id(2), node_id(3), incarnation_of(2), term_t(9), heartbeat{}};
  CHECK(node->step(std::move(m)) == errc::unknown_peer);
  CHECK(node->term() == term_t(0));
}

// Seeds 1363573 and 1627103 of the simulation: an id is wiped in the middle of an election, and its next
// directory stands in the same term.
TEST_CASE("votes that were given to another directory of our id don't count") {
  test_node node(1, bound_voters(3));
  node.time_out();
  node.work();
  (void)node.receive(2, 0, pre_vote_response{term_t(1), true});
  node.work();
  REQUIRE(node->role() == role::candidate);
  (void)node.receive(2, 1, vote_response{true, stranger});
  (void)node.receive(3, 1, vote_response{true, stranger});
  CHECK(node->role() == role::candidate);
  (void)node.receive(2, 1, vote_response{false, stranger});
  (void)node.receive(3, 1, vote_response{false, stranger});
  CHECK(node->role() == role::candidate);
  (void)node.receive(2, 1, vote_response{true, incarnation_of(1)});
  CHECK(node->role() == role::leader);
}

TEST_CASE("an answer to a request for a vote names the directory that asked") {
  for (const bool up_to_date : {true, false}) {
    test_node node(1, voters(3), {}, disk_of(1, {1}));
    (void)node.receive(2, 2, vote_request{{term_t(up_to_date ? 1 : 0), log_index(1)}}, stranger);
    node.work();
    const auto said = std::find_if(node.sent.begin(), node.sent.end(), [](const message& m) {
      return std::holds_alternative<vote_response>(m.body);
    });
    REQUIRE(said != node.sent.end());
    CHECK(std::get<vote_response>(said->body).granted == up_to_date);
    CHECK(std::get<vote_response>(said->body).candidate == stranger);
  }
}

TEST_CASE("the first entry of the first leader binds the data directories that elected it") {
  test_node node(1, voters(3));
  lead(node);
  REQUIRE(node->role() == role::leader);
  REQUIRE(node->log().last_index() == log_index(1));
  const entry& first = node->log().at(log_index(1));
  CHECK(first.type == entry_type::configuration);
  const auto bound = decode_configuration(first.payload.view());
  REQUIRE(bound);
  CHECK(*bound == node->members());
  CHECK(bound->find_member(node_id(1))->incarnation == incarnation_of(1));
  CHECK(bound->find_member(node_id(2))->incarnation == incarnation_of(2));
  CHECK_FALSE(bound->find_member(node_id(3))->incarnation);
}

TEST_CASE("later leaders of bound voters begin with a noop") {
  test_node node(1, bound_voters(3));
  lead(node);
  CHECK(node->log().at(log_index(1)).type == entry_type::noop);
}

TEST_CASE("an unbound peer is bound by its first acknowledgement, and counts from then on") {
  test_node node(1, voters(3));
  lead(node);
  CHECK_FALSE(node.receive(3, 1, append_ok{log_index(1)}));
  CHECK(node->members().find_member(node_id(3))->incarnation == incarnation_of(3));
  REQUIRE(node->log().last_index() == log_index(2));
  CHECK(node->log().at(log_index(2)).type == entry_type::configuration);
  node.work();
  CHECK(node->commit() == log_index(1));
  CHECK_FALSE(node.receive(3, 1, append_ok{log_index(2)}));
  CHECK(node->commit() == log_index(2));
  CHECK_FALSE(node.receive(3, 1, append_ok{log_index(2)}));
  CHECK(node->log().last_index() == log_index(2));  // bound once
}

TEST_CASE("a peer that names no data directory is not bound and never counts") {
  test_node node(1, voters(3));
  lead(node);
  CHECK_FALSE(node.receive(3, 1, append_ok{log_index(1)}, incarnation_id{}));
  node.work();
  CHECK_FALSE(node->members().find_member(node_id(3))->incarnation);
  CHECK(node->commit() == log_index(0));
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(1)}));
  CHECK(node->commit() == log_index(1));
}

TEST_CASE("heartbeat answers and rejections bind nobody") {
  test_node node(1, voters(3));
  lead(node);
  CHECK_FALSE(node.receive(3, 1, heartbeat_response{0}, stranger));
  CHECK_FALSE(node.receive(3, 1, append_reject{log_index(0), {}}, stranger));
  CHECK_FALSE(node->members().find_member(node_id(3))->incarnation);
}

TEST_CASE("another data directory under a bound id is refused, and told so") {
  test_node node(1, voters(3));
  lead(node);
  node.sent.clear();
  const std::vector<message_body> bodies = {
      append_ok{log_index(1)},         vote_response{true},
      heartbeat_response{0},           vote_request{},  // a log that is behind ours
      pre_vote_request{term_t(9), {}}, read_index_request{1}};
  for (const message_body& body : bodies) {
    CHECK(node.receive(2, 9, body, stranger) == errc::wrong_incarnation);
    node.pump();
    const auto told = node.take<refused>(2);
    REQUIRE(told.size() == 1);
    CHECK(told[0].bound == incarnation_of(2));
  }
  CHECK(node->term() == term_t(1));
  CHECK(node->role() == role::leader);
  CHECK(node->progress_of(node_id(2))->match == log_index(0));
  CHECK(node.receive(2, 1, refused{}, stranger) == errc::wrong_incarnation);
  node.pump();
  CHECK(node.count<refused>() == 0);  // two that refuse each other don't talk for ever
}

TEST_CASE(
    "trap: a member that lagged while an id came back with a new directory follows it and votes for it") {
  test_node node(3, voters(3));
  append_request first;
  first.entries.push_back(
      {term_t(1), log_index(1), entry_type::configuration, encode_configuration(bound_voters(3)), {}});
  CHECK_FALSE(node.receive(1, 1, first));
  // Meanwhile 2 was removed, and added again with another directory.
  CHECK_FALSE(node.receive(2, 5, heartbeat{}, stranger));
  CHECK(node->leader() == node_id(2));
  CHECK(node.receive(2, 5, append_ok{log_index(1)}, stranger) == errc::wrong_incarnation);
  node.tick(100);
  node.sent.clear();
  const term_t next = node->term() + 1;
  CHECK_FALSE(node.receive(2, next.value(), vote_request{{term_t(5), log_index(9)}}, stranger));
  node.work();
  const auto votes = node.take<vote_response>(2);
  REQUIRE(votes.size() == 1);
  CHECK(votes[0].granted);
  // A wiped one that stands for election knows nothing.
  CHECK(node.receive(2, next.value() + 1, vote_request{}, stranger) == errc::wrong_incarnation);
}

TEST_CASE("trap: an answer to a directory that was wiped is not taken for one to its successor's request") {
  for (std::uint64_t boot = 1; boot < 50; ++boot)
    CHECK((first_request(1, incarnation_of(2)) >> 32) != (first_request(boot, stranger) >> 32));
  CHECK(first_request(1, stranger) != first_request(2, stranger));
}

TEST_CASE("a refused data directory knows who refused it, whatever the terms") {
  test_node node(2, bound_voters(3), {}, disk_of(5, {}));
  CHECK(node->refused_by() == node_id(0));
  CHECK_FALSE(node.receive(1, 5, refused{incarnation_of(2)}));  // names us: not a refusal
  CHECK(node->refused_by() == node_id(0));
  CHECK_FALSE(node.receive(1, 3, refused{stranger}));
  CHECK(node->refused_by() == node_id(1));
  CHECK(node->term() == term_t(5));
}

TEST_CASE("trap: a wiped follower keeps no match index, its word does not commit") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  CHECK_FALSE(cluster[1]->propose(text("x")).code);
  CHECK(cluster.tick_all(5));
  cluster[3].crash();
  // 2 loses its disk and comes back under its old id.
  cluster.replace(
      2, std::make_unique<test_node>(2, voters(3), [](raft_options& o) { o.incarnation = stranger; }));
  const log_index before = cluster[1]->commit();
  (void)cluster[1]->propose(text("y"));
  CHECK(cluster.tick_all(60));
  CHECK(cluster[1]->commit() == before);
  CHECK(cluster.leader() == 0);
  CHECK(cluster[2]->refused_by() == node_id(1));
  cluster[3].restart();
  CHECK(cluster.tick_all(60));
  REQUIRE(cluster.leader() != 0);
  CHECK(cluster.leader() != 2);
  CHECK(cluster[cluster.leader()]->commit() > before);
}

TEST_CASE("two data directories under one id don't vote twice: the first answer stands") {
  test_node node(1, voters(5));
  node.time_out();
  for (const std::uint64_t peer : {2u, 3u})
    CHECK_FALSE(node.receive(peer, 0, pre_vote_response{term_t(1), true}));
  node.work();
  CHECK_FALSE(node.receive(2, 1, vote_response{true}));
  CHECK_FALSE(node.receive(2, 1, vote_response{true}, stranger));
  CHECK(node->role() == role::candidate);
}

TEST_CASE("a configuration entry is effective when appended, and taken back when truncated") {
  test_node node(3, voters(3));
  append_request body;
  body.entries.push_back(
      {term_t(1), log_index(1), entry_type::configuration, encode_configuration(bound_voters(3)), {}});
  CHECK_FALSE(node.receive(1, 1, body));
  CHECK(node->members() == bound_voters(3));
  CHECK(node.receive(2, 1, append_ok{}, stranger) == errc::wrong_incarnation);
  CHECK_FALSE(node.receive(2, 2, append_of({2}, 0)));
  CHECK(node->members() == voters(3));
}

TEST_CASE("a restart finds the bound configuration in its log") {
  test_node node(1, voters(3));
  lead(node);
  const configuration bound = node->members();
  node.crash();
  node.restart();
  CHECK(node->members() == bound);
}

TEST_CASE("trap: a wiped founder with the entry that binds its predecessor neither leads nor counts") {
  const auto strictly = [](raft_options& o) { o.first_election_by_majority = false; };
  test_cluster_of cluster(3, strictly);
  // All founders elect 1, which appends the binding of {1, 2, 3: d1}.
  lead(cluster[1], 2);
  (void)cluster[1].take<pre_vote_request>();
  (void)cluster[1].take<vote_request>();
  for (const std::uint64_t voter : {2u, 3u}) {
    CHECK_FALSE(cluster[voter].receive(1, 1, vote_request{}));
    cluster[voter].work();
    CHECK(cluster[voter].take<vote_response>(1).at(0).granted);
  }
  REQUIRE(cluster[1]->members() == bound_voters(3));
  // d1 makes way for the empty d2, which gets the entry before its answer is refused.
  const recovered_log d1 = cluster[3].disk;
  cluster.replace(3, std::make_unique<test_node>(3, voters(3), [&](raft_options& o) {
                    strictly(o);
                    o.incarnation = stranger;
                  }));
  cluster.isolate(2);
  CHECK(cluster.tick_all(5));
  REQUIRE(cluster[3]->members() == bound_voters(3));
  REQUIRE(cluster[1]->commit() == log_index(0));
  CHECK(cluster[3]->refused_by() == node_id(1));
  // 1 and 2 restart; d2's log is as new as theirs, so that they would grant.
  for (const std::uint64_t id : {1u, 2u}) {
    cluster[id].crash();
    cluster[id].restart();
  }
  cluster.heal();
  CHECK_FALSE(cluster.elect(3));
  CHECK(cluster[3]->role() == role::follower);
  cluster.cut(1, 3);
  cluster.cut(1, 2);
  CHECK(cluster.tick_all(60));
  CHECK(cluster[3]->propose(text("lost")).code == errc::not_leader);
  const log_index committed = std::max(cluster[2]->commit(), cluster[3]->commit());
  CHECK(committed == log_index(0));
  // d1 is put back, and a majority of bound directories goes on.
  cluster[2].crash();
  cluster.replace(3, std::make_unique<test_node>(3, voters(3), strictly, d1));
  cluster.heal();
  CHECK(cluster.tick_all(100));
  REQUIRE(cluster.leader() == 1);
  CHECK_FALSE(cluster[1]->propose(text("kept")).code);
  CHECK(cluster.tick_all(5));
  CHECK(cluster[3]->commit() == cluster[1]->log().last_index());
}

TEST_CASE("a voter whose id the log binds to another directory doesn't stand, not even when asked to") {
  test_node node(3, voters(3), [](raft_options& o) { o.incarnation = stranger; });
  append_request first;
  first.entries.push_back(
      {term_t(1), log_index(1), entry_type::configuration, encode_configuration(bound_voters(3)), {}});
  CHECK_FALSE(node.receive(1, 1, first));
  CHECK_FALSE(node.receive(1, 1, timeout_now{}));
  CHECK(node->role() == role::follower);
  node.tick(100);
  node.work();
  CHECK(node->role() == role::follower);
  CHECK(node->term() == term_t(1));
  CHECK(node.count<pre_vote_request>() + node.count<vote_request>() == 0);
  // Another leader's log takes the entry back, and with it the reason.
  CHECK_FALSE(node.receive(2, 2, append_of({2}, 0)));
  node.time_out();
  CHECK(node->role() == role::pre_candidate);
}

TEST_CASE("trap: two data directories of one id don't get one vote each") {
  const auto ask = [](test_node& node, incarnation_id who, bool granted) {
    CHECK_FALSE(node.receive(2, 5, vote_request{{term_t(4), log_index(9)}}, who));
    node.work();
    CHECK(node.take<vote_response>(2).at(0).granted == granted);
  };
  test_node node(3, bound_voters(3));
  ask(node, stranger, true);
  ask(node, incarnation_of(2), false);
  ask(node, stranger, true);  // a repetition
  CHECK(node->vote() == node_id(2));
  // The disk doesn't say which directory it was.
  node.crash();
  node.restart();
  CHECK(node->vote() == node_id(2));
  ask(node, incarnation_of(2), false);
  ask(node, stranger, false);
  CHECK_FALSE(node.receive(2, 6, vote_request{{term_t(4), log_index(9)}}));
  node.work();
  CHECK(node.take<vote_response>(2).at(0).granted);  // the next term's vote is free

  test_node unnamed(3, bound_voters(3));  // who names no directory may be anybody
  ask(unnamed, incarnation_id{}, true);
  ask(unnamed, incarnation_id{}, false);
}
