// Figure 2 of the Raft paper: the state, and what the receiver of an AppendEntries call does.
#include <doctest/doctest.h>

#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

TEST_CASE("figure 2, State: currentTerm is 0 on first boot, votedFor none, the log empty, commitIndex 0") {
  test_node node(1, voters(3));
  CHECK(node->term() == term_t(0));
  CHECK(node->vote() == node_id(0));
  CHECK(node->log().last() == version{});
  CHECK(node->commit() == log_index(0));
  CHECK(node->applied() == log_index(0));
  CHECK(node->log().first_index() == log_index(1));
  CHECK_FALSE(node->has_ready(true));
}

TEST_CASE("figure 2, State: currentTerm, votedFor and log are on the disk before the node answers") {
  test_node node(1, voters(3));
  CHECK_FALSE(node.receive(2, 4, append_of({3, 4}, 0)));
  node.pump();
  CHECK(node.sent.empty());
  REQUIRE(node.writing.size() == 1);
  CHECK(node.writing[0].entries == log_of({3, 4}));
  REQUIRE(node.writing[0].state);
  CHECK(node.writing[0].state->term == term_t(4));
  node.persist();
  node.pump();
  CHECK(node.count<append_ok>(2) == 1);
  CHECK(node.disk.state.term == term_t(4));
  CHECK(node.disk.entries == log_of({3, 4}));

  node.time_out();  // who hears a leader votes for nobody
  CHECK_FALSE(node.receive(3, 5, vote_request{{term_t(4), log_index(2)}}));
  node.pump();
  CHECK(node.count<vote_response>() == 0);
  node.persist();
  node.pump();
  CHECK(node.count<vote_response>(3) == 1);
  CHECK(node.disk.state == hard_state{term_t(5), node_id(3), log_index(0)});
}

TEST_CASE("figure 2, State: a restart finds term, vote and log again, and starts as a follower") {
  test_node node(1, voters(3), {}, disk_of(5, {3, 4}, 3));
  CHECK(node->term() == term_t(5));
  CHECK(node->vote() == node_id(3));
  CHECK(terms_of(node->log()) == std::vector<std::uint64_t>{3, 4});
  CHECK(node->role() == role::follower);
  CHECK(node->commit() == log_index(0));
}

TEST_CASE("figure 2, State on leaders: nextIndex starts after the last entry, matchIndex at 0") {
  test_node node(1, voters(3), {}, disk_of(5, {3, 4}));
  lead(node);
  REQUIRE(node->role() == role::leader);
  for (const std::uint64_t peer : {2u, 3u}) {
    CHECK(node->progress_of(node_id(peer))->match == log_index(0));
    CHECK(node->progress_of(node_id(peer))->next == log_index(3));
  }
}

TEST_CASE("figure 2, AppendEntries 1: reply false if term < currentTerm") {
  test_node node(1, voters(3), {}, disk_of(5, {1, 1}));
  CHECK_FALSE(node.receive(2, 4, append_of({1, 1, 4}, 2, 3)));
  node.work();
  CHECK(node.count<append_ok>() == 0);
  REQUIRE(node.sent.size() == 1);
  CHECK(std::holds_alternative<stale_term>(node.sent[0].body));
  CHECK(node.sent[0].to == node_id(2));
  CHECK(node.sent[0].term == term_t(5));
  CHECK(terms_of(node->log()) == std::vector<std::uint64_t>{1, 1});
  CHECK(node->commit() == log_index(0));
  CHECK(node->leader() == node_id(0));
}

TEST_CASE("figure 2, AppendEntries 2: reply false if the log has no entry at prevLogIndex") {
  test_node node(1, voters(3), {}, disk_of(5, {1, 1}));
  CHECK_FALSE(node.receive(2, 5, append_of({1, 1, 2, 5}, 3, 4)));
  node.work();
  const auto rejects = node.take<append_reject>(2);
  REQUIRE(rejects.size() == 1);
  CHECK(rejects[0].rejected == log_index(3));
  CHECK(rejects[0].hint == version{term_t(1), log_index(2)});
  CHECK(node->log().last_index() == log_index(2));
  CHECK(node->commit() == log_index(0));
}

TEST_CASE("figure 2, AppendEntries 2: reply false if the entry at prevLogIndex has another term") {
  test_node node(1, voters(3), {}, disk_of(5, {1, 2, 2}));
  CHECK_FALSE(node.receive(2, 5, append_of({1, 1, 3, 5}, 3, 4)));
  node.work();
  REQUIRE(node.count<append_reject>(2) == 1);
  CHECK(node.count<append_ok>() == 0);
  CHECK(terms_of(node->log()) == std::vector<std::uint64_t>{1, 2, 2});
}

TEST_CASE("figure 2, AppendEntries 3: an existing entry that conflicts goes, with all that follow it") {
  test_node node(1, voters(3), {}, disk_of(3, {1, 2, 2, 3}));
  CHECK_FALSE(node.receive(2, 5, append_of({1, 2, 5}, 1)));
  CHECK(terms_of(node->log()) == std::vector<std::uint64_t>{1, 2, 5});
  node.pump();
  REQUIRE(node.writing.size() == 1);
  CHECK(node.writing[0].truncate_from == log_index(3));
  REQUIRE(node.writing[0].entries.size() == 1);
  CHECK(node.writing[0].entries[0].index == log_index(3));
  node.work();
  const auto oks = node.take<append_ok>(2);
  REQUIRE(oks.size() == 1);
  CHECK(oks[0].match == log_index(3));
  CHECK(node.disk.entries.size() == 3);
}

TEST_CASE("figure 2, AppendEntries 3: without a conflict nothing is removed") {
  test_node node(1, voters(3), {}, disk_of(5, {1, 2, 2, 5}));
  CHECK_FALSE(node.receive(2, 5, append_of({1, 2}, 1)));  // a repeated, shorter append
  node.work();
  CHECK(terms_of(node->log()) == std::vector<std::uint64_t>{1, 2, 2, 5});
  const auto oks = node.take<append_ok>(2);
  REQUIRE(oks.size() == 1);
  CHECK(oks[0].match == log_index(2));
}

TEST_CASE("figure 2, AppendEntries 4: entries not yet in the log are appended") {
  test_node node(1, voters(3), {}, disk_of(2, {1, 2}));
  CHECK_FALSE(node.receive(2, 5, append_of({1, 2, 2, 5}, 1)));
  CHECK(terms_of(node->log()) == std::vector<std::uint64_t>{1, 2, 2, 5});
  node.pump();
  REQUIRE(node.writing.size() == 1);
  CHECK_FALSE(node.writing[0].truncate_from);
  CHECK(node.writing[0].entries.size() == 2);  // only the new ones are written
  node.work();
  CHECK(node.take<append_ok>(2).at(0).match == log_index(4));
}

TEST_CASE("figure 2, AppendEntries 5: commitIndex becomes min(leaderCommit, index of the last new entry)") {
  test_node node(1, voters(3), {}, disk_of(5, {1}));
  CHECK_FALSE(node.receive(2, 5, append_of({1, 5, 5}, 1, 2)));
  CHECK(node->commit() == log_index(2));
  CHECK_FALSE(node.receive(2, 5, append_of({1, 5, 5}, 3, 9)));
  CHECK(node->commit() == log_index(3));
  CHECK_FALSE(node.receive(2, 5, append_of({1, 5, 5}, 1, 1)));  // a late one says less
  CHECK(node->commit() == log_index(3));
}

TEST_CASE(
    "trap: an empty append with a commit index above the matched prefix commits nothing of a stale suffix") {
  // Entries 3 and 4 are of a deposed leader; the new one has only confirmed the prefix up to 2.
  test_node node(1, voters(3), {}, disk_of(3, {1, 2, 3, 3}));
  CHECK_FALSE(node.receive(2, 5, append_of({1, 2}, 2, 4)));
  CHECK(node->commit() == log_index(2));
  node.work();
  CHECK(node.applied.size() == 2);
  CHECK(node.take<append_ok>(2).at(0).match == log_index(2));
  CHECK_FALSE(node.receive(2, 5, append_of({1, 2, 5, 5}, 2, 4)));
  CHECK(node->commit() == log_index(4));
  CHECK(terms_of(node->log()) == std::vector<std::uint64_t>{1, 2, 5, 5});
}
