// Figure 7 of the Raft paper: a leader of term 8 and six logs that its followers may have.
#include <doctest/doctest.h>

#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

using terms = std::vector<std::uint64_t>;

const terms leader_log = {1, 1, 1, 4, 4, 5, 5, 6, 6, 6};

struct follower_case {
  const char* name;
  terms log;
  std::uint64_t term;
  bool votes;  // for the leader of term 8
};

const follower_case cases[] = {
    {"(a) an entry is missing", {1, 1, 1, 4, 4, 5, 5, 6, 6}, 6, true},
    {"(b) many entries are missing", {1, 1, 1, 4}, 4, true},
    {"(c) one entry too many", {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6}, 6, false},
    {"(d) two entries of a later term too many", {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7}, 7, false},
    {"(e) entries both missing and too many", {1, 1, 1, 4, 4, 4, 4}, 4, true},
    {"(f) many of both", {1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3}, 3, true},
};

// Carries messages between two nodes until neither has any; returns how many appends that took.
std::size_t exchange(test_node& a, test_node& b) {
  std::size_t appends = 0;
  for (int round = 0; round < 100; ++round) {
    a.work();
    b.work();
    std::vector<message> both = std::move(a.sent);
    both.insert(both.end(), b.sent.begin(), b.sent.end());
    a.sent.clear();
    b.sent.clear();
    bool moved = false;
    for (message& m : both) {
      if (m.to != a.id() && m.to != b.id()) continue;
      moved = true;
      appends += std::holds_alternative<append_request>(m.body) ? 1u : 0u;
      CHECK_FALSE((m.to == a.id() ? a : b)->step(std::move(m)));
    }
    if (!moved) return appends;
  }
  FAIL("the two never came to rest");
  return appends;
}

test_node leader_of_term_8() {
  test_node leader(1, voters(3), {}, disk_of(7, leader_log));
  leader.time_out();
  (void)leader.receive(3, 7, pre_vote_response{term_t(8), true});
  leader.work();
  (void)leader.receive(3, 8, vote_response{true});
  leader.sent.clear();
  return leader;
}

}  // namespace

TEST_CASE("figure 7: the leader brings each follower's log in line, and removes only what conflicts") {
  for (const follower_case& c : cases) {
    CAPTURE(c.name);
    test_node leader = leader_of_term_8();
    test_node follower(2, voters(3), {}, disk_of(c.term, c.log));
    REQUIRE(leader->role() == role::leader);
    const std::size_t appends = exchange(leader, follower);
    CHECK(terms_of(follower->log()) == terms_of(leader->log()));
    CHECK(follower->log().last_hash() == leader->log().last_hash());
    CHECK(follower.disk.entries == leader.disk.entries);
    CHECK(leader->commit() == leader->log().last_index());
    CHECK(follower->commit() == leader->commit());
    CHECK(appends <= 6);  // the hints skip whole terms (paper, 5.3, end)
  }
}

TEST_CASE("figure 7: (a), (b), (e) and (f) may vote for the leader of term 8, (c) and (d) may not") {
  for (const follower_case& c : cases) {
    CAPTURE(c.name);
    test_node follower(2, voters(3), {}, disk_of(c.term, c.log));
    CHECK_FALSE(follower.receive(1, 8, vote_request{{term_t(6), log_index(10)}}));
    follower.work();
    CHECK(follower.take<vote_response>(1).at(0).granted == c.votes);
  }
}

TEST_CASE("figure 7: without the leader's noop an equal prefix is not rewritten on the disk") {
  test_node leader = leader_of_term_8();
  test_node follower(2, voters(3), {}, disk_of(6, cases[0].log));
  leader.work();
  follower.work();
  CHECK_FALSE(follower.receive(1, 8, append_of({1, 1, 1, 4, 4, 5, 5, 6, 6, 6}, 3)));
  follower.pump();
  REQUIRE(follower.writing.size() == 1);
  CHECK_FALSE(follower.writing[0].truncate_from);
  CHECK(follower.writing[0].entries.size() == 1);
}
