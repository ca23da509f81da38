// The oracle's checks of who leads and what is committed (invariants 1, 4, 6 to 10, 21) can fail: each is
// handed nodes of which every one is right by itself, and which can't be right together.
#include <doctest/doctest.h>

#include "confman/sim/world.hpp"
#include "watched.hpp"

using namespace watched;

namespace {

// Another history than that of a leader by winner() at the same place.
recovered_log other_log(std::uint64_t term, std::uint64_t commit) {
  return disk_of(term, {term}, 0, commit);
}

// Node 1 leads term 1 on another directory than the one it was started with.
test_node next_directory() {
  test_node node(1, voters(3), [](confman::raft_options& o) { o.incarnation = incarnation_of(9); });
  win(node, 3);
  return node;
}

}  // namespace

TEST_CASE("two leaders of one term are found (1)") {
  cluster c;
  c.step(winner(1, 3));
  SUBCASE("of one term") {
    CHECK(refuses(invariant::one_leader, "which node 1 has led", [&] { c.step(winner(2, 3)); }));
  }
  SUBCASE("of two terms") {
    CHECK_NOTHROW(c.step(winner(2, 3, disk_of(1, {}))));
  }
}

TEST_CASE("a leader by votes that its directory was not given is found (2)") {
  cluster c;
  const test_node leader = winner(1, 3);
  SUBCASE("its own alone") {
    c.elected.insert(leader->term());
    CHECK(refuses(invariant::one_vote, "by the votes of 1 of 3 voters", [&] { c.step(leader); }));
  }
  SUBCASE("those for the directory before it") {
    c.vote(three, leader);
    c.elected.insert(leader->term());
    const test_node next = next_directory();
    CHECK(refuses(invariant::one_vote, "by the votes of 0 of 3 voters", [&] { c.step(next); }));
  }
  SUBCASE("a majority's") {
    c.vote(three, leader);
    c.elected.insert(leader->term());
    CHECK_NOTHROW(c.step(leader));
  }
  SUBCASE("one that is given twice, to two directories") {
    c.vote(three, leader);
    const test_node next = next_directory();
    CHECK(refuses(invariant::one_vote, "another directory of it", [&] { c.vote(three, next); }));
  }
}

TEST_CASE("a leader that truncates or changes its log is found (4)") {
  cluster c;
  test_node leader = winner(1, 3);
  c.step(leader);
  propose(leader, "x");
  CHECK_NOTHROW(c.step(leader));
  confman::write_batch cut;
  cut.truncate_from = log_index(1);
  SUBCASE("truncates") {
    CHECK(refuses(invariant::leader_appends_only, "truncates its log from 1",
                  [&] { c.judge.on_write(one, cut, leader.core()); }));
  }
  SUBCASE("a follower may") {
    CHECK_NOTHROW(c.judge.on_write(one, cut, node_of(1).core()));
  }
  SUBCASE("has less") {
    CHECK(
        refuses(invariant::leader_appends_only, "has changed its entry 1:2", [&] { c.step(winner(1, 3)); }));
  }
  SUBCASE("has something else") {
    test_node other = winner(1, 3);
    propose(other, "y");
    CHECK(refuses(invariant::leader_appends_only, "has changed its entry 1:2", [&] { c.step(other); }));
  }
}

TEST_CASE("a leader that lacks what was committed is found (6)") {
  cluster c;
  recovered_log disk = c.begin().disk;
  SUBCASE("lacks it") {
    CHECK(refuses(invariant::leader_completeness, "without the committed entry 1:1",
                  [&] { c.step(winner(2, 3, disk_of(1, {}))); }));
  }
  SUBCASE("has it") {
    disk.state = {term_t(1), {}, {}};
    CHECK_NOTHROW(c.step(winner(2, 3, disk)));
  }
}

TEST_CASE("a hand-over to who lacks an entry is found (6)") {
  cluster c;
  test_node leader = winner(1, 3);
  const confman::message now{leader.options.cluster, leader.options.group,  one, two, incarnation_of(1),
                             leader.core().term(),   confman::timeout_now{}};
  CHECK(refuses(invariant::leader_completeness, "which has entries up to 0 of 1",
                [&] { c.judge.on_send(one, now, leader.core()); }));
  acknowledge(leader, 2, 1);
  CHECK_NOTHROW(c.judge.on_send(one, now, leader.core()));
}

TEST_CASE("a commit without a leader, a majority or an entry of its term is found (7)") {
  cluster c;
  SUBCASE("no leader") {
    CHECK(
        refuses(invariant::commit_soundness, "no leader has", [&] { c.step(node_of(1, other_log(1, 1))); }));
  }
  SUBCASE("no majority") {
    test_node leader = winner(1, 3);
    acknowledge(leader, 3, 1);
    CHECK(refuses(invariant::commit_soundness, "which 1 of 3 voters have", [&] { c.step(leader); }));
  }
  SUBCASE("a majority") {
    CHECK_NOTHROW(c.begin());
  }
  SUBCASE("another directory's word") {
    test_node leader = winner(1, 3);
    acknowledge(leader, 3, 1);
    c.put(three, leader.disk);
    c.judge.on_wiped(three);
    recovered_log found;
    found.boot = 1;
    found.incarnation = incarnation_of(4);
    c.judge.on_recovered(three, found, false);
    c.put(three, leader.disk);
    CHECK_NOTHROW(c.step(leader));  // what it held when it was lost counted then
    propose(leader, "x");
    acknowledge(leader, 3, 2);
    c.put(three, leader.disk);
    CHECK(refuses(invariant::commit_soundness, "which 1 of 3 voters have", [&] { c.step(leader); }));
  }
  SUBCASE("an entry of an earlier term") {
    const test_node leader = winner(1, 3, other_log(1, 1));
    c.put(three, leader.disk);
    CHECK(refuses(invariant::commit_soundness, "commits by counting 1:1, an entry of an earlier term",
                  [&] { c.step(leader); }));
  }
}

TEST_CASE("what was committed and is changed, lost or something else is found (8)") {
  cluster c;
  const test_node leader = c.begin();
  confman::snapshot_meta meta{{term_t(1), log_index(1)}, leader.core().log().last_hash(), {}, {}};
  const recovered_log other = other_log(1, 1);
  SUBCASE("a snapshot of it") {
    CHECK_NOTHROW(c.judge.on_snapshot_durable(two, meta));
  }
  SUBCASE("a snapshot of another log") {
    meta.hash = hash_of({1});
    CHECK(refuses(invariant::committed_immutable, "has a snapshot at 1:1",
                  [&] { c.judge.on_snapshot_durable(two, meta); }));
  }
  SUBCASE("a snapshot of more") {
    meta.at.index = log_index(2);
    CHECK(refuses(invariant::committed_immutable, "has a snapshot at 1:2",
                  [&] { c.judge.on_captured(two, meta, 1); }));
  }
  SUBCASE("a start with another log") {
    CHECK(refuses(invariant::committed_immutable, "starts with commit index 1",
                  [&] { c.judge.on_start(two, node_of(2, other).core()); }));
  }
  SUBCASE("lost") {
    test_node changed = node_of(1, other);
    changed.work();
    CHECK(refuses(invariant::committed_immutable, "has lost or changed an entry", [&] { c.step(changed); }));
  }
  SUBCASE("committed twice") {
    CHECK(refuses(invariant::committed_immutable, "(or another history before it) was committed there",
                  [&] { c.step(node_of(2, other)); }));
  }
  SUBCASE("a log that goes on after something else") {
    recovered_log based;
    based.state.term = term_t(1);
    based.base = {term_t(1), log_index(1)};
    based.base_hash = hash_of({1});
    based.snapshot = confman::snapshot_meta{based.base, based.base_hash, bound_voters(3), {}};
    const test_node node = node_of(2, based);
    c.put(two, other);
    CHECK(refuses(invariant::committed_immutable, "has a log that begins after 1",
                  [&] { c.judge.on_step(two, node.core()); }));
  }
}

TEST_CASE("a term, a commit or an applied index that goes back is found (9)") {
  cluster c;
  SUBCASE("term") {
    c.step(node_of(1, disk_of(2, {})));
    CHECK_NOTHROW(c.step(node_of(1, disk_of(3, {}))));
    CHECK(refuses(invariant::never_backwards, "had term 3", [&] { c.step(node_of(1, disk_of(2, {}))); }));
  }
  SUBCASE("commit") {
    (void)c.begin();
    CHECK(refuses(invariant::never_backwards, "commit 1, applied 1; now term 1, commit 0",
                  [&] { c.step(winner(1, 3)); }));
  }
  SUBCASE("applied") {
    recovered_log disk = c.begin().disk;
    disk.state.commit = log_index(1);
    CHECK(refuses(invariant::never_backwards, "now term 1, commit 1, applied 0",
                  [&] { c.step(node_of(1, disk)); }));
  }
  SUBCASE("boots") {
    recovered_log found;
    found.boot = 2;
    found.incarnation = incarnation_of(1);
    CHECK_NOTHROW(c.judge.on_recovered(one, found, false));
    CHECK(refuses(invariant::never_backwards, "counts boot 2 after boot 2",
                  [&] { c.judge.on_recovered(one, found, false); }));
  }
  SUBCASE("what is known of a follower") {
    const test_node before = winner(1, 3);
    test_node after = winner(1, 3);
    acknowledge(after, 2, 1);
    c.put(two, after.disk);
    CHECK_NOTHROW(c.judge.on_acknowledged(one, two, before.core()));
    CHECK_NOTHROW(c.judge.on_acknowledged(one, two, after.core()));
    CHECK(refuses(invariant::never_backwards, "knew that node 2 has entries up to 1, now up to 0",
                  [&] { c.judge.on_acknowledged(one, two, before.core()); }));
  }
}

TEST_CASE("what a leader knows of a follower and can't be right is found (10, 22)") {
  cluster c;
  test_node leader = winner(1, 3);
  acknowledge(leader, 2, 1);
  c.put(two, leader.disk);
  // Damaged by hand: the core keeps it right.
  auto& peer = const_cast<confman::progress&>(*leader->progress_of(two));
  SUBCASE("what is sent next") {
    CHECK_NOTHROW(c.judge.on_acknowledged(one, two, leader.core()));
    peer.next = peer.match;
    CHECK(refuses(invariant::bounds, "sends entries from 1 to node 2, which has them up to 1",
                  [&] { c.judge.on_acknowledged(one, two, leader.core()); }));
  }
  SUBCASE("what is on its way") {
    const confman::message append{
        leader.options.cluster, leader.options.group,     one, two, incarnation_of(1),
        leader.core().term(),   confman::append_request{}};
    while (peer.window.count() < leader.options.max_window_appends) peer.window.sent(log_index(2), 1);
    CHECK_NOTHROW(c.judge.on_send(one, append, leader.core()));
    peer.window.sent(log_index(2), 1);
    CHECK(refuses(invariant::bounded_memory, "appends on their way to node 2",
                  [&] { c.judge.on_send(one, append, leader.core()); }));
  }
}

// The core asserts the other parts of invariant 10 itself.
TEST_CASE("a snapshot of what isn't applied yet is out of bounds (10)") {
  cluster c;
  const recovered_log disk = [&] {
    recovered_log d = c.begin().disk;
    d.state.commit = log_index(1);
    return d;
  }();
  test_node node = node_of(3, disk);
  const confman::snapshot_meta meta{{term_t(1), log_index(1)}, node->log().last_hash(), bound_voters(3), {}};
  SUBCASE("applied") {
    node.work();
    node->compacted(meta, log_index(1));
    CHECK_NOTHROW(c.step(node));
  }
  SUBCASE("not applied") {
    node->compacted(meta, log_index(1));
    CHECK(refuses(invariant::bounds, "first 1, applied 0, commit 1, last 1", [&] { c.step(node); }));
  }
}

TEST_CASE("a command that is taken during a hand-over is found (21)") {
  cluster c;
  test_node before = winner(1, 3), after = winner(1, 3);
  propose(after, "x");
  REQUIRE_FALSE(after->transfer_leadership(two));
  SUBCASE("taken before it") {
    c.step(before);
    CHECK_NOTHROW(c.step(after));
  }
  SUBCASE("taken during it") {
    REQUIRE_FALSE(before->transfer_leadership(two));
    c.step(before);
    CHECK(refuses(invariant::liveness, "takes a command at 2 while it hands over to node 2",
                  [&] { c.step(after); }));
  }
}

TEST_CASE("a hand-over that isn't given up is found (21)") {
  cluster c;
  test_node node = winner(1, 3);
  REQUIRE_FALSE(node->transfer_leadership(two));
  c.step(node);
  const auto ticks = [&](int n) {
    for (int i = 0; i < n; ++i) c.judge.on_tick(one, node.core());
  };
  REQUIRE(node->options().priority_check_ticks != 0);  // another one for its sake may follow at once
  const int most = 2 * static_cast<int>(node->options().election_ticks);
  SUBCASE("after two election timeouts") {
    CHECK_NOTHROW(ticks(most));
    CHECK(refuses(invariant::liveness, "hands over to node 2 for", [&] { ticks(1); }));
  }
  SUBCASE("a second one has its own time") {
    CHECK_NOTHROW(ticks(most));
    test_node other = winner(1, 3);
    CHECK_NOTHROW(c.judge.on_tick(one, other.core()));
    CHECK_NOTHROW(ticks(most));
  }
}

TEST_CASE("a world that can't elect a leader says so (21)") {
  scenario plan;
  plan.safety = 1'000'000;
  plan.sync_time = 20 * plan.election_timeout();  // no vote is ever in time
  CHECK(refuses(invariant::liveness, "no leader within 10 election timeouts", [&] { world(plan).run(); }));
}
