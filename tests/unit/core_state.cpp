// A core can be copied, and its state shown: what a search of all states rests on.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "lib/core_harness.hpp"
#include "lib/state_hash.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

// What a ready says, as one hash.
hash128 hash_of(const ready& work) {
  state_hasher h;
  h.values(work.messages, work.write, work.apply_first, work.apply_last, work.reads, work.snapshots_wanted,
           work.fetches);
  return h.result();
}

using input = std::function<void(test_node&)>;

void fixed_timeout(raft_options& o) {
  o.election_ticks = 1;
  o.heartbeat_ticks = 1;
  o.priority_check_ticks = 0;
}

// Node 1 of three bound voters, which leads term 1 with its first entry committed.
test_node leader() {
  test_node node(1, bound_voters(3));
  lead(node, 2);
  (void)node.receive(2, 1, append_ok{log_index(1)});
  node.work();
  REQUIRE(node->leads_surely());
  return node;
}
test_node follower(std::uint64_t id = 2) {
  return test_node(id, bound_voters(3));
}

// The hash before and after an input.
bool changes(test_node node, const input& what) {
  const hash128 before = hash_of_core(node.core());
  what(node);
  return hash_of_core(node.core()) != before;
}

struct named_input {
  std::string name;
  input apply;
};

message_body some_append(std::uint64_t commit = 0) {
  return append_of({1}, 0, commit);
}

}  // namespace

TEST_CASE("a copy of a core behaves like the original, and apart from it") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  for (int i = 0; i < 40; ++i) {
    test_node& node = cluster[1 + static_cast<std::uint64_t>(i) % 3];
    raft_core copy = node.core();
    CHECK(hash_of_core(copy) == hash_of_core(node.core()));
    const hash128 before = hash_of_core(copy);
    node->tick();
    if (i % 5 == 0) (void)node->propose(text("x"));
    if (i % 7 == 0) (void)node->read(read_id(static_cast<std::uint64_t>(i)));
    CHECK(hash_of_core(copy) == before);  // nothing is shared
    copy.tick();
    if (i % 5 == 0) (void)copy.propose(text("x"));
    if (i % 7 == 0) (void)copy.read(read_id(static_cast<std::uint64_t>(i)));
    CHECK(hash_of_core(copy) == hash_of_core(node.core()));
    raft_core second = node.core();
    CHECK(hash_of(copy.take_ready(true)) == hash_of(second.take_ready(true)));
    CHECK(hash_of_core(copy) == hash_of_core(second));
    cluster.settle();
  }
}

TEST_CASE("cores that came to the same state by other ways show the same") {
  // The votes come in another order, and one of them twice.
  const auto elected = [](std::vector<std::uint64_t> order) {
    test_node node(1, bound_voters(3), fixed_timeout);
    node.time_out();
    node.work();
    for (const std::uint64_t id : order) (void)node.receive(id, 0, pre_vote_response{term_t(1), true});
    node.work();
    for (const std::uint64_t id : {2, 2, 3})
      (void)node.receive(static_cast<std::uint64_t>(id), 1, vote_response{true});
    node.work();
    REQUIRE(node->role() == role::leader);
    return hash_of_core(node.core());
  };
  CHECK(elected({2, 3}) == elected({3, 2, 2}));

  // One write or two, of the same entries: how many there were is no part of the state.
  const auto stored = [](bool at_once) {
    test_node node(2, bound_voters(3), fixed_timeout);
    (void)node.receive(1, 1, append_of({1}, 0));
    if (!at_once) node.work();
    (void)node.receive(1, 1, append_of({1, 1}, 1));
    node.work();
    return hash_of_core(node.core());
  };
  CHECK(stored(true) == stored(false));

  // The dice count only where they can show more than one number.
  const auto thrown = [](std::uint64_t seed, bool fixed) {
    test_node node(2, bound_voters(3), [=](raft_options& o) {
      if (fixed) fixed_timeout(o);
      o.seed = seed;
    });
    return hash_of_core(node.core());
  };
  CHECK(thrown(1, true) == thrown(2, true));
  CHECK(thrown(1, false) != thrown(2, false));
}

TEST_CASE("each part of a follower's state shows") {
  const named_input inputs[] = {
      {"time", [](test_node& n) { n.tick(); }},
      {"term", [](test_node& n) { (void)n.receive(3, 5, stale_term{}); }},
      {"leader", [](test_node& n) { (void)n.receive(1, 0, heartbeat{}); }},
      {"vote", [](test_node& n) { (void)n.receive(1, 1, vote_request{}); }},
      {"entries", [](test_node& n) { (void)n.receive(1, 1, some_append()); }},
      {"read", [](test_node& n) { (void)n->read(read_id(1)); }},
      {"campaign", [](test_node& n) { n.time_out(); }},
      {"refused", [](test_node& n) { (void)n.receive(1, 0, refused{incarnation_id(5)}); }},
      {"answer",
       [](test_node& n) {
         (void)n.receive(1, 0, pre_vote_request{term_t(1), {}});
       }},
  };
  std::vector<hash128> seen;
  for (const named_input& i : inputs) {
    CAPTURE(i.name);
    CHECK(changes(follower(), i.apply));
    test_node node = follower();
    i.apply(node);
    seen.push_back(hash_of_core(node.core()));
  }
  std::sort(seen.begin(), seen.end());
  CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
}

TEST_CASE("what of the log is committed, handed out, written, durable and applied shows") {
  test_node node(2, bound_voters(3));
  const auto shown = [&] { return hash_of_core(node.core()); };
  (void)node.receive(1, 1, some_append());
  const hash128 appended = shown();
  ready work = node->take_ready(true);
  REQUIRE(!work.write.empty());
  const hash128 handed = shown();
  CHECK(handed != appended);
  node->persisted(work.write.seq);
  const hash128 durable = shown();
  CHECK(durable != handed);
  (void)node->take_ready(true);
  const hash128 acknowledged = shown();
  CHECK(acknowledged != durable);
  (void)node.receive(1, 1, commit_notice{log_index(1)});
  const hash128 committed = shown();
  CHECK(committed != acknowledged);
  (void)node->take_ready(true);
  const hash128 given_out = shown();
  CHECK(given_out != committed);
  node->applied(log_index(1));
  const hash128 applied = shown();
  CHECK(applied != given_out);
  node->compacted(node->describe_snapshot(), log_index(2));
  CHECK(shown() != applied);
}

TEST_CASE("each part of a leader's state shows") {
  const named_input inputs[] = {
      {"proposal", [](test_node& n) { (void)n->propose(text("x")); }},
      {"check-quorum clock", [](test_node& n) { n.tick(); }},
      {"match", [](test_node& n) { (void)n.receive(3, 1, append_ok{log_index(1)}); }},
      {"answered beat", [](test_node& n) { (void)n.receive(3, 1, heartbeat_response{0}); }},
      {"read", [](test_node& n) { (void)n->read(read_id(1)); }},
      {"remote read", [](test_node& n) { (void)n.receive(2, 1, read_index_request{9}); }},
      {"read under way", [](test_node& n) { (void)n->read(read_id(1)), n.pump(); }},
      {"transfer", [](test_node& n) { (void)n->transfer_leadership(node_id(2)); }},
      {"change of members", [](test_node& n) { (void)change(n.core(), {remove_member(3)}); }},
      {"window",
       [](test_node& n) {
         (void)n->propose(text("x"));
         n.pump();
       }},
      {"unreachable", [](test_node& n) { n->unreachable(node_id(2)); }},
      {"step-down", [](test_node& n) { n->resign(); }},
  };
  std::vector<hash128> seen;
  for (const named_input& i : inputs) {
    CAPTURE(i.name);
    CHECK(changes(leader(), i.apply));
    test_node node = leader();
    i.apply(node);
    seen.push_back(hash_of_core(node.core()));
  }
  std::sort(seen.begin(), seen.end());
  CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
}

TEST_CASE("candidates show who has answered, and how") {
  const auto answered = [](bool vote, std::optional<bool> granted) {
    test_node node(1, bound_voters(5));
    node.time_out();
    node.work();
    if (vote) {
      for (const std::uint64_t id : {2, 3})
        (void)node.receive(static_cast<std::uint64_t>(id), 0, pre_vote_response{term_t(1), true});
      node.work();
    }
    if (granted && vote) (void)node.receive(4, 1, vote_response{*granted});
    if (granted && !vote) (void)node.receive(4, 0, pre_vote_response{term_t(1), *granted});
    return hash_of_core(node.core());
  };
  for (const bool vote : {false, true}) {
    CHECK(answered(vote, {}) != answered(vote, true));
    CHECK(answered(vote, {}) != answered(vote, false));
    CHECK(answered(vote, true) != answered(vote, false));
  }
}
