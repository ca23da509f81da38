// Figure 2 of the Raft paper: what the receiver of a RequestVote call does.
#include <doctest/doctest.h>

#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

// What node 1 answers to one vote request, once its disk is done.
bool grants(test_node& node, std::uint64_t from, std::uint64_t term, version last) {
  node.sent.clear();
  CHECK_FALSE(node.receive(from, term, vote_request{last}));
  node.work();
  const auto answers = node.take<vote_response>(from);
  REQUIRE(answers.size() == 1);
  return answers[0].granted;
}

}  // namespace

TEST_CASE("figure 2, RequestVote 1: reply false if term < currentTerm") {
  test_node node(1, voters(3), {}, disk_of(5, {1}));
  CHECK_FALSE(node.receive(2, 4, vote_request{{term_t(4), log_index(9)}}));
  node.work();
  REQUIRE(node.sent.size() == 1);
  CHECK(std::get<vote_response>(node.sent[0].body).granted == false);
  CHECK(node.sent[0].term == term_t(5));
  CHECK(node->vote() == node_id(0));
}

TEST_CASE("figure 2, RequestVote 2: grant if votedFor is none and the log is up to date") {
  test_node node(1, voters(3), {}, disk_of(5, {1}));
  CHECK(grants(node, 2, 5, {term_t(1), log_index(1)}));
  CHECK(node->vote() == node_id(2));
  CHECK(node.disk.state.vote == node_id(2));
}

TEST_CASE("figure 2, RequestVote 2: grant again to the candidate already voted for") {
  test_node node(1, voters(3), {}, disk_of(5, {1}));
  CHECK(grants(node, 2, 5, {term_t(1), log_index(1)}));
  CHECK(grants(node, 2, 5, {term_t(1), log_index(1)}));
  CHECK(node.writing.empty());
}

TEST_CASE("figure 2, RequestVote 2: one vote per term, also across a restart") {
  test_node node(1, voters(3), {}, disk_of(5, {1}));
  CHECK(grants(node, 2, 5, {term_t(1), log_index(1)}));
  CHECK_FALSE(grants(node, 3, 5, {term_t(5), log_index(9)}));
  CHECK(grants(node, 2, 5, {term_t(1), log_index(1)}));  // a repetition
  node.crash();
  node.restart();
  CHECK_FALSE(grants(node, 3, 5, {term_t(5), log_index(9)}));
  // Stricter than the paper: which of 2's data directories had the vote is not on the disk.
  CHECK_FALSE(grants(node, 2, 5, {term_t(1), log_index(1)}));
}

TEST_CASE("figure 2, RequestVote 2: a new term frees the vote") {
  test_node node(1, voters(3), {}, disk_of(5, {1}, 2));
  CHECK_FALSE(grants(node, 3, 5, {term_t(1), log_index(1)}));
  CHECK(grants(node, 3, 6, {term_t(1), log_index(1)}));
  CHECK(node.disk.state == hard_state{term_t(6), node_id(3), log_index(0)});
}

TEST_CASE("figure 2, RequestVote 2: refuse a candidate whose log is less up to date, without voting") {
  test_node node(1, voters(3), {}, disk_of(5, {1, 4, 4}));
  CHECK_FALSE(grants(node, 2, 6, {term_t(4), log_index(2)}));
  CHECK_FALSE(grants(node, 2, 7, {term_t(3), log_index(30)}));
  CHECK(node->term() == term_t(7));
  CHECK(node->vote() == node_id(0));
  CHECK(grants(node, 3, 7, {term_t(4), log_index(3)}));
}

TEST_CASE("figure 2, RequestVote 2: nobody gets a vote in a term whose leader is known") {
  test_node node(1, voters(3), {}, disk_of(5, {1}));
  CHECK_FALSE(node.receive(2, 5, heartbeat{}));
  CHECK_FALSE(grants(node, 3, 5, {term_t(1), log_index(1)}));
  CHECK(node->vote() == node_id(0));
}

TEST_CASE("trap: the vote is not given before it is durable, and a crash before that gives none") {
  test_node node(1, voters(3), {}, disk_of(5, {1}));
  CHECK_FALSE(node.receive(2, 6, vote_request{{term_t(1), log_index(1)}}));
  node.pump();
  CHECK(node.count<vote_response>() == 0);
  node.crash();
  node.restart();
  CHECK(node->term() == term_t(5));
  CHECK(node->vote() == node_id(0));
  CHECK(grants(node, 3, 6, {term_t(1), log_index(1)}));
}
