// Figure 2 of the Raft paper: rules for servers.
#include <doctest/doctest.h>

#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

TEST_CASE("figure 2, all servers: if commitIndex > lastApplied, apply log[lastApplied], in order") {
  test_node node(1, voters(3));
  CHECK_FALSE(node.receive(2, 5, append_of({1, 1, 5}, 0, 2)));
  ready work = node->take_ready(true);
  CHECK(work.apply_first == log_index(1));
  CHECK(work.apply_last == log_index(2));
  node->applied(log_index(2));
  CHECK(node->applied() == log_index(2));
  CHECK_FALSE(node.receive(2, 5, append_of({1, 1, 5}, 3, 3)));
  work = node->take_ready(true);
  CHECK(work.apply_first == log_index(3));
  CHECK(work.apply_last == log_index(3));
}

TEST_CASE("figure 2, all servers: if a request or response has a higher term, adopt it and become follower") {
  const std::vector<message_body> bodies = {append_of({1}, 0),
                                            append_ok{log_index(0)},
                                            append_reject{log_index(1), {}},
                                            heartbeat{log_index(0), 0},
                                            heartbeat_response{0},
                                            commit_notice{log_index(0)},
                                            vote_response{false},
                                            pre_vote_response{term_t(9), false},
                                            read_index_request{1},
                                            read_index_response{1, log_index(0)},
                                            stale_term{}};
  for (const message_body& body : bodies) {
    test_node node(1, voters(3));
    lead(node);
    REQUIRE(node->role() == role::leader);
    (void)node.receive(2, 9, body);
    CHECK(node->role() == role::follower);
    CHECK(node->term() == term_t(9));
    CHECK(node->vote() == node_id(0));
  }
}

TEST_CASE("figure 2, followers: respond to calls from candidates and leaders") {
  test_node node(1, voters(3));
  CHECK_FALSE(node.receive(2, 1, vote_request{}));
  node.work();
  CHECK(node.take<vote_response>(2).at(0).granted);
  CHECK_FALSE(node.receive(2, 1, append_of({1}, 0)));
  node.work();
  CHECK(node.take<append_ok>(2).at(0).match == log_index(1));
  CHECK_FALSE(node.receive(2, 1, heartbeat{log_index(1), 7}));
  node.work();
  CHECK(node.take<heartbeat_response>(2).at(0).round == 7);
}

TEST_CASE("figure 2, followers: a timeout without a leader or a vote given begins an election") {
  test_node node(1, voters(3));
  node.tick(node.options.election_ticks - 1);
  CHECK(node->role() == role::follower);
  node.tick(node.options.election_ticks);
  CHECK(node->role() == role::pre_candidate);  // confman asks before it campaigns (thesis, 9.6)
}

TEST_CASE("figure 2, followers: a heartbeat, an append or a granted vote put the election off") {
  for (int what = 0; what < 3; ++what) {
    test_node node(1, voters(3));
    for (int i = 0; i < 20; ++i) {
      node.tick(node.options.election_ticks - 1);
      CHECK(node->role() == role::follower);
      const std::uint64_t term = what == 2 ? static_cast<std::uint64_t>(i) + 1 : 1;
      if (what == 0) CHECK_FALSE(node.receive(2, term, heartbeat{log_index(0), 0}));
      if (what == 1) CHECK_FALSE(node.receive(2, term, append_of({}, 0)));
      if (what == 2) CHECK_FALSE(node.receive(2, term, vote_request{}));
      CHECK(node->role() == role::follower);
    }
  }
}

TEST_CASE("figure 2, followers: a refused vote does not put the election off") {
  test_node node(1, voters(3), {}, disk_of(1, {1}));
  for (std::uint64_t i = 0; i < 2 * node.options.election_ticks; ++i) {
    node.tick();
    CHECK_FALSE(node.receive(2, 2 + i, vote_request{}));  // an empty log never wins
    node.work();
  }
  CHECK(node.count<pre_vote_request>() > 0);
}

TEST_CASE(
    "figure 2, candidates: on starting an election, raise the term, vote for self, reset the timer, ask "
    "all") {
  test_node node(1, voters(3), {}, disk_of(4, {1, 4}));
  node.time_out();
  CHECK_FALSE(node.receive(2, 4, pre_vote_response{term_t(5), true}));
  CHECK(node->role() == role::candidate);
  CHECK(node->term() == term_t(5));
  CHECK(node->vote() == node_id(1));
  node.work();
  CHECK(node.disk.state == hard_state{term_t(5), node_id(1), log_index(0)});
  for (const std::uint64_t peer : {2u, 3u})
    CHECK(node.take<vote_request>(peer).at(0).last == version{term_t(4), log_index(2)});
  node.tick(node.options.election_ticks - 1);  // a fresh timeout
  CHECK(node->role() == role::candidate);
}

TEST_CASE("figure 2, candidates: votes from a majority make a leader") {
  test_node node(1, voters(5), {}, disk_of(4, {1, 4}));
  node.time_out();
  for (const std::uint64_t peer : {2u, 3u})
    CHECK_FALSE(node.receive(peer, 4, pre_vote_response{term_t(5), true}));
  node.work();
  CHECK_FALSE(node.receive(2, 5, vote_response{true}));
  CHECK_FALSE(node.receive(2, 5, vote_response{true}));  // a duplicate counts once
  CHECK(node->role() == role::candidate);
  CHECK_FALSE(node.receive(3, 5, vote_response{true}));
  CHECK(node->role() == role::leader);
  CHECK(node->leader() == node_id(1));
}

TEST_CASE("figure 2, candidates: an append from a new leader makes a follower") {
  test_node node(1, voters(3));
  node.time_out();
  CHECK_FALSE(node.receive(2, 0, pre_vote_response{term_t(1), true}));
  node.work();
  REQUIRE(node->role() == role::candidate);
  CHECK_FALSE(node.receive(3, 1, append_of({1}, 0)));
  CHECK(node->role() == role::follower);
  CHECK(node->leader() == node_id(3));
  CHECK(node->vote() == node_id(1));
}

TEST_CASE("figure 2, candidates: if the timeout passes, a new election begins") {
  test_node node(1, voters(3));
  node.time_out();
  CHECK_FALSE(node.receive(2, 0, pre_vote_response{term_t(1), true}));
  node.work();
  REQUIRE(node->role() == role::candidate);
  node.time_out();
  CHECK(node->role() == role::pre_candidate);
  CHECK_FALSE(node.receive(2, 1, pre_vote_response{term_t(2), true}));
  CHECK(node->role() == role::candidate);
  CHECK(node->term() == term_t(2));
}

TEST_CASE("figure 2, leaders: on election send heartbeats, and again in idle periods") {
  test_node node(1, voters(3));
  lead(node);
  REQUIRE(node->role() == role::leader);
  for (const std::uint64_t peer : {2u, 3u}) CHECK(node.take<heartbeat>(peer).size() == 1);
  for (int i = 0; i < 3; ++i) {
    node.tick(node.options.heartbeat_ticks);
    node.pump();
    for (const std::uint64_t peer : {2u, 3u}) CHECK(node.take<heartbeat>(peer).size() == 1);
    CHECK_FALSE(node.receive(2, 1, heartbeat_response{0}));
  }
}

TEST_CASE("figure 2, leaders: a command is appended to the log and applied once committed") {
  test_node node(1, voters(3));
  lead(node);
  const auto proposed = node->propose(text("x"));
  CHECK_FALSE(proposed.code);
  CHECK(proposed.at == version{term_t(1), log_index(2)});
  CHECK(node->log().last() == proposed.at);
  node.work();
  CHECK(node.applied.empty());
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(2)}));
  node.work();
  REQUIRE(node.applied.size() == 2);
  CHECK(node.applied[1].payload.view() == "x");
  CHECK(node->commit() == log_index(2));
}

TEST_CASE("figure 2, leaders: if last log index >= nextIndex, send the entries from nextIndex on") {
  test_node node(1, voters(3));
  lead(node);
  CHECK(node.take<append_request>(2).at(0).entries.size() == 1);
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(1)}));
  (void)node->propose(text("x"));
  (void)node->propose(text("y"));
  node.work();
  const auto appends = node.take<append_request>(2);
  REQUIRE(appends.size() == 1);
  CHECK(appends[0].previous == version{term_t(1), log_index(1)});
  REQUIRE(appends[0].entries.size() == 2);
  CHECK(appends[0].entries[1].payload.view() == "y");
}

TEST_CASE("figure 2, leaders: on success nextIndex and matchIndex of the follower move") {
  test_node node(1, voters(3));
  lead(node);
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(1)}));
  CHECK(node->progress_of(node_id(2))->match == log_index(1));
  CHECK(node->progress_of(node_id(2))->next == log_index(2));
}

TEST_CASE(
    "figure 2, leaders: on a failed consistency check nextIndex goes back and the append is tried again") {
  test_node node(1, voters(3), {}, disk_of(3, {1, 2, 3}));
  lead(node);
  CHECK(node.take<append_request>(2).at(0).previous == version{term_t(3), log_index(3)});
  CHECK_FALSE(node.receive(2, 4, append_reject{log_index(3), {term_t(2), log_index(2)}}));
  CHECK(node->progress_of(node_id(2))->next == log_index(3));
  node.work();
  const auto again = node.take<append_request>(2);
  REQUIRE(again.size() == 1);
  CHECK(again[0].previous == version{term_t(2), log_index(2)});
  CHECK(again[0].entries.size() == 2);
}

TEST_CASE("figure 2, leaders: an index that a majority matches, of the current term, becomes commitIndex") {
  test_node node(1, voters(5));
  lead(node, 2);
  REQUIRE(node->role() == role::leader);
  (void)node->propose(text("x"));
  node.work();
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(2)}));
  CHECK(node->commit() == log_index(0));
  CHECK_FALSE(node.receive(3, 1, append_ok{log_index(1)}));
  CHECK(node->commit() == log_index(1));
  CHECK_FALSE(node.receive(3, 1, append_ok{log_index(2)}));
  CHECK(node->commit() == log_index(2));
}
