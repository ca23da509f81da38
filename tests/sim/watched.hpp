// For the oracle's own tests: what it refuses, and an oracle that is handed the cores and platters of nodes.
#pragma once

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "confman/sim/oracle.hpp"
#include "confman/sim/violation.hpp"
#include "lib/core_harness.hpp"

namespace watched {

using confman::log_index;
using confman::node_id;
using confman::recovered_log;
using confman::term_t;
using namespace confman::sim;
using namespace confman::testing;

inline const node_id one{1}, two{2}, three{3};

// Whether it breaks this invariant, for a reason that has these words in it: several checks share a number.
template <class Action>
[[nodiscard]] bool refuses(invariant which, const char* words, Action&& action) {
  try {
    action();
  } catch (const violation& v) {
    const std::string why = v.what();
    CAPTURE(why);
    CHECK(v.which() == which);
    CHECK(why.find(words) != std::string::npos);
    return true;
  }
  return false;
}

// Wins the next term's election with the vote of node `voter`; its first entry is on its disk.
inline void win(test_node& node, std::uint64_t voter) {
  node.time_out();
  node.work();
  const term_t next = node->term() + 1;
  (void)node.receive(voter, node->term().value(), confman::pre_vote_response{next, true});
  node.work();
  (void)node.receive(voter, next.value(), confman::vote_response{true});
  node.work();
  REQUIRE(node->role() == confman::role::leader);
}

[[nodiscard]] inline test_node node_of(std::uint64_t id, recovered_log disk = {},
                                       const confman::configuration& members = bound_voters(3)) {
  return test_node(id, members, {}, std::move(disk));
}
[[nodiscard]] inline test_node winner(std::uint64_t id, std::uint64_t voter, recovered_log disk = {}) {
  test_node node = node_of(id, std::move(disk));
  win(node, voter);
  return node;
}
inline void propose(test_node& node, const char* command) {
  REQUIRE_FALSE(node->propose(text(command)).code);
  node.work();
}
inline void acknowledge(test_node& node, std::uint64_t from, std::uint64_t match) {
  (void)node.receive(from, node->term().value(), confman::append_ok{log_index(match)});
  node.work();
}

// Three nodes that have started for the first time.
struct cluster {
  trace log;
  statistics counts;
  oracle judge{3, log, counts};
  std::set<term_t> elected;

  cluster() {
    for (std::uint64_t id = 1; id <= 3; ++id) {
      recovered_log found;
      found.boot = 1;
      found.incarnation = incarnation_of(id);
      judge.on_recovered(node_id(id), found, false);
      judge.on_start(node_id(id), node_of(id).core());
    }
  }
  // This is on the platter of a node, and nothing else.
  void put(node_id id, const recovered_log& disk) {
    confman::write_batch all;
    all.truncate_from = log_index(1);
    all.entries = disk.entries;
    all.state = disk.state;
    judge.on_append(id, all);
    judge.on_synced(id);
  }
  // `voter` gives its vote to the directory that `candidate` runs on, as it should: durably first.
  void vote(node_id voter, const test_node& candidate) {
    confman::write_batch all;
    all.state = confman::hard_state{candidate->term(), candidate.id(), {}};
    judge.on_append(voter, all);
    judge.on_synced(voter);
    confman::message m;
    m.from = voter;
    m.to = candidate.id();
    m.term = candidate->term();
    m.body = confman::vote_response{true, candidate->options().incarnation};
    judge.on_send(voter, m, node_of(voter.value()).core());
  }
  // Who is first seen to lead a term has been elected by all.
  void step(const test_node& node) {
    put(node.id(), node.disk);
    if (node->role() == confman::role::leader && elected.insert(node->term()).second)
      for (const node_id voter : {one, two, three})
        if (voter != node.id()) vote(voter, node);
    judge.on_step(node.id(), node.core());
  }
  // Node 1 leads term 1, and its first entry is committed, by node 3.
  test_node begin() {
    test_node leader = winner(1, 3);
    acknowledge(leader, 3, 1);
    put(three, leader.disk);
    step(leader);
    REQUIRE(judge.committed() == log_index(1));
    return leader;
  }
};

}  // namespace watched
