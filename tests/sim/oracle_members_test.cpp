// The oracle's checks of members (invariant 13) can fail: each is handed a change that a right core refuses.
#include <doctest/doctest.h>

#include "watched.hpp"

using namespace watched;

namespace {

confman::configuration only(std::initializer_list<std::uint64_t> ids) {
  confman::configuration members;
  for (const std::uint64_t id : ids) members.incoming.push_back({node_id(id), incarnation_of(id)});
  return members;
}

// A log of the first terms given, and a configuration at its end, of the last one's term.
recovered_log configured(const std::vector<std::uint64_t>& terms, const confman::configuration& members) {
  recovered_log disk = disk_of(terms.back(), terms);
  confman::entry& last = disk.entries.back();
  last.type = confman::entry_type::configuration;
  last.payload = confman::encode_configuration(members);
  // The hash as a log gives it.
  confman::log_view log;
  for (confman::entry& e : disk.entries) {
    log.append(e);
    e = log.at(e.index);
  }
  return disk;
}

// Node 1 leads term 1 of these members, its first entry is committed, and it has begun this change.
test_node changing(const confman::configuration& members, const confman::member_change& what,
                   std::uint64_t voter, std::size_t commands = 0, std::uint64_t lag = 0) {
  test_node leader(1, members, [lag](confman::raft_options& o) { o.promotion_lag = lag; });
  win(leader, voter);
  acknowledge(leader, voter, 1);
  for (std::size_t i = 0; i < commands; ++i) propose(leader, "x");
  REQUIRE_FALSE(change(leader.core(), {what}));
  leader.work();
  return leader;
}

}  // namespace

TEST_CASE("majorities of two configurations that need not meet are found (13)") {
  cluster c;
  const test_node leader = changing(bound_voters(3), remove_member(3), 2);
  c.put(two, leader.disk);
  c.put(three, leader.disk);
  SUBCASE("they meet") {
    CHECK_NOTHROW(c.step(leader));
  }
  SUBCASE("they need not") {
    c.judge.on_start(one, node_of(1, {}, only({3})).core());
    CHECK(refuses(invariant::configuration_safety, "majorities of the configurations at 0 and 2",
                  [&] { c.step(leader); }));
  }
}

TEST_CASE("a change of voters before the last one is committed is found (13)") {
  cluster c;
  const test_node leader = changing(bound_voters(3), remove_member(3), 2, 2);
  c.put(two, leader.disk);
  SUBCASE("committed") {
    CHECK_NOTHROW(c.step(leader));
  }
  SUBCASE("not committed") {
    c.judge.on_start(one, node_of(1, configured({1, 1, 1}, bound_voters(3))).core());
    CHECK(refuses(invariant::configuration_safety, "at 4 while that at 3 isn't committed",
                  [&] { c.step(leader); }));
  }
}

TEST_CASE("a change of voters before an entry of the leader's term is committed is found (13)") {
  cluster c;
  CHECK(refuses(invariant::configuration_safety, "in term 2, of which nothing is committed yet", [&] {
    c.step(winner(1, 2, configured({1, 1}, bound_voters(2))));
  }));
}

TEST_CASE("a learner that becomes a voter while it is far behind is found (13)") {
  cluster c;
  confman::configuration learning = only({1, 2});
  learning.learners = only({3}).incoming;
  c.judge.on_start(one, node_of(1, {}, learning).core());
  const auto promoting = [](std::uint64_t lag) { return changing(only({1, 2}), add_voter(3), 2, 0, lag); };
  c.put(two, promoting(0).disk);
  SUBCASE("close enough") {
    test_node leader = promoting(1);
    acknowledge(leader, 3, 1);
    CHECK_NOTHROW(c.step(leader));
  }
  SUBCASE("too far") {
    CHECK(refuses(invariant::configuration_safety,
                  "promotes node 3, whose log is known up to 0, by the entry at 2",
                  [&] { c.step(promoting(0)); }));
  }
  SUBCASE("nothing was heard of it") {
    CHECK(refuses(invariant::configuration_safety,
                  "promotes node 3, whose log is known up to 0, by the entry at 2",
                  [&] { c.step(promoting(1)); }));
  }
}

// Seed 1465685: a change that nobody has in memory any more may be on a disk, and come back with it.
TEST_CASE("a configuration may follow as long as nothing else is committed in its place") {
  cluster c;
  test_node leader = winner(1, 2, configured({1}, bound_voters(3)));
  acknowledge(leader, 2, 2);
  c.put(two, leader.disk);
  c.step(leader);
  const recovered_log before = leader.disk;
  const auto all_have_three = [&c] {
    return c.judge.for_possible_members([](const auto& members) { return members.contains(three); });
  };
  CHECK(all_have_three());
  REQUIRE_FALSE(change(leader.core(), {remove_member(3)}));
  leader.work();
  confman::write_batch batch;
  batch.entries.push_back(leader.disk.entries.back());
  c.judge.on_write(one, batch, leader.core());
  CHECK_FALSE(all_have_three());
  test_node other = winner(2, 3, before);
  acknowledge(other, 3, 3);
  c.put(three, other.disk);
  c.step(other);
  CHECK(all_have_three());
}

TEST_CASE("a change while leadership is handed over is found (13)") {
  cluster c;
  test_node leader = changing(bound_voters(3), remove_member(3), 2);
  c.put(two, leader.disk);
  c.put(three, leader.disk);
  REQUIRE_FALSE(leader.core().transfer_leadership(two));
  CHECK(refuses(invariant::configuration_safety, "begins a change of members at 2 while it hands over",
                [&] { c.step(leader); }));
}

TEST_CASE("a joint configuration that is left for another than it announced is found (13)") {
  cluster c;
  confman::configuration joint = bound_voters(2);
  joint.outgoing = bound_voters(3).incoming;
  joint.learners_next = only({3}).incoming;
  joint.auto_leave = true;
  c.judge.on_start(one, node_of(1, {}, joint).core());
  const auto leave = [&](const confman::member_change& what) {
    const test_node leader = changing(bound_voters(3), what, 2);
    c.put(two, leader.disk);
    c.put(three, leader.disk);
    c.step(leader);
  };
  SUBCASE("as announced") {
    CHECK_NOTHROW(leave(add_learner(3)));
  }
  SUBCASE("a learner is lost") {
    CHECK(refuses(invariant::configuration_safety, "which doesn't have the voters and learners",
                  [&] { leave(remove_member(3)); }));
  }
}

TEST_CASE("a snapshot with a configuration that wasn't committed is found (13)") {
  cluster c;
  const test_node leader = c.begin();
  confman::snapshot_meta meta{
      {term_t(1), log_index(1)}, leader.core().log().last_hash(), bound_voters(3), {}};
  CHECK_NOTHROW(c.judge.on_captured(one, meta, 1));
  meta.members_at = log_index(1);
  CHECK(refuses(invariant::configuration_safety, "with the configuration of 1",
                [&] { c.judge.on_captured(one, meta, 1); }));
}

TEST_CASE("a leader that is no voter is found (13)") {
  cluster c;
  // Node 1 is removed, and leads until that is committed.
  test_node leader = changing(bound_voters(3), remove_member(1), 2);
  c.put(two, leader.disk);
  c.put(three, leader.disk);
  CHECK_NOTHROW(c.step(leader));
  acknowledge(leader, 2, 2);
  acknowledge(leader, 3, 2);
  CHECK_NOTHROW(c.step(leader));
  REQUIRE(c.judge.committed() == log_index(2));
  recovered_log disk = leader.disk;
  disk.state = {term_t(1), {}, log_index(2)};
  for (const node_id id : {one, two}) c.judge.on_start(id, node_of(id.value(), disk).core());
  const test_node next = winner(2, 3, disk);
  SUBCASE("a voter") {
    CHECK_NOTHROW(c.step(next));
  }
  SUBCASE("the one that was removed") {
    recovered_log own = next.disk;
    own.state.vote = one;
    c.put(one, own);
    CHECK(refuses(invariant::configuration_safety, "leads term 2 and is no voter",
                  [&] { c.judge.on_step(one, next.core()); }));
  }
}
