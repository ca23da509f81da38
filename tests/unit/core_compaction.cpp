// A log that forgets its beginning: what a leader does for those who need it, what a follower answers.
#include <doctest/doctest.h>

#include "confman/core/random.hpp"
#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

void propose(test_node& node, int count = 1) {
  for (int i = 0; i < count; ++i) CHECK_FALSE(node->propose(text("x")).code);
  node.work();
}

// A leader of three whose follower 2 has everything, with `entries` entries applied. Of follower 3 nothing
// was heard.
test_node leader_with(std::uint64_t entries, const test_node::tweak& change = {}) {
  test_node node(1, bound_voters(3), change);
  lead(node);
  propose(node, static_cast<int>(entries) - 1);
  (void)node.receive(2, 1, append_ok{log_index(entries)});
  node.work();
  node.sent.clear();
  return node;
}

void elect_again(test_node& node) {
  node.restart();
  lead(node);
  node.sent.clear();
}

}  // namespace

TEST_CASE("a compacted log knows its base, the terms down to its floor, and nothing before") {
  log_view log;
  for (entry& e : log_of({1, 1, 2, 4, 4, 4, 7})) log.append(std::move(e));
  const chain_hash hash = *log.hash_at(log_index(5));
  const std::size_t bytes = log.bytes();
  log.compact_to(log_index(5));
  log.compact_to(log_index(3));  // already
  CHECK(log.base() == version{term_t(4), log_index(5)});
  CHECK(log.first_index() == log_index(6));
  CHECK(log.hash_at(log_index(5)) == hash);
  CHECK_FALSE(log.hash_at(log_index(4)));
  CHECK(log.bytes() < bytes);
  const std::vector<std::uint64_t> terms{0, 1, 1, 2, 4, 4, 4, 7};
  for (std::size_t i = 0; i < terms.size(); ++i) CHECK(log.term_at(log_index(i)) == term_t(terms[i]));
  CHECK(log.last_hash() == hash_of({1, 1, 2, 4, 4, 4, 7}));
  log.raise_floor(log_index(2));
  CHECK(log.floor() == version{term_t(1), log_index(2)});
  CHECK_FALSE(log.term_at(log_index(1)));
  CHECK(log.term_at(log_index(3)) == term_t(2));
  log.raise_floor(log_index(9));  // not above what memory begins with
  CHECK(log.floor() == log.base());
  log.compact_to(log_index(7));
  CHECK(log.last() == version{term_t(7), log_index(7)});
  CHECK(log.bytes() == 0);
  log.reset({{term_t(9), log_index(20)}, chain_hash(5)});
  CHECK(log.last() == version{term_t(9), log_index(20)});
  CHECK(log.floor() == log.last());
  CHECK(log.last_hash() == chain_hash(5));
}

TEST_CASE("the conflict search finds the same in a compacted log, down to its floor") {
  random_source random(4);
  for (int run = 0; run < 2000; ++run) {
    std::vector<std::uint64_t> terms;
    for (std::uint64_t n = 1 + random.below(20), term = 1; n > 0; --n)
      terms.push_back(term += random.below(3) / 2 * (1 + random.below(2)));
    log_view whole;
    for (entry& e : log_of(terms)) whole.append(std::move(e));
    log_view log = whole;
    const log_index base(random.below(terms.size() + 1));
    log.compact_to(base);
    const log_index floor(random.below(base.value() + 1));
    log.raise_floor(floor);
    REQUIRE(log.floor().index == floor);
    const version limit{term_t(random.below(12)), log_index(random.below(25))};
    const version expected = whole.last_agreeing(limit);
    CHECK(log.last_agreeing(limit) == (expected.index >= floor ? expected : log.floor()));
    for (log_index i = floor; i <= whole.last_index(); ++i) CHECK(log.term_at(i) == whole.term_at(i));
  }
}

TEST_CASE("configurations: the one in force at a place, after compaction, truncation and reset") {
  configuration_log log(log_index(0), bound_voters(1));
  log.append(log_index(5), bound_voters(2));
  log.append(log_index(9), bound_voters(3));
  CHECK(log.at(log_index(4)).second == bound_voters(1));
  CHECK(log.at(log_index(5)).first == log_index(5));
  log.compact_to(log_index(7));
  CHECK(log.at(log_index(7)).second == bound_voters(2));
  CHECK(log.effective() == bound_voters(3));
  log.truncate_from(log_index(9));
  CHECK(log.effective_index() == log_index(5));
  log.reset(log_index(20), bound_voters(4));
  CHECK(log.effective() == bound_voters(4));
  CHECK(log.effective_index() == log_index(20));
}

TEST_CASE("compaction tells storage in the next write, and memory forgets") {
  test_node node = leader_with(10);
  node.compact(3);
  CHECK(node->has_ready(true));
  CHECK(node->log().first_index() == log_index(8));
  node.pump();
  REQUIRE(node.writing.size() == 1);
  CHECK(node.writing[0].release_before == log_index(8));
  CHECK(node.writing[0].entries.empty());
  node.persist();
  CHECK(node.disk.base.index == log_index(7));
  CHECK(node->snapshot()->at.index == log_index(10));
  CHECK_FALSE(node->has_ready(true));
}

TEST_CASE("trap: a snapshot that releases a long log frees a bounded part of it per input, ticks the rest") {
  constexpr std::uint64_t count = 5 * max_trimmed_entries;
  test_node node(2, bound_voters(3), {}, disk_of(1, std::vector<std::uint64_t>(count, 1), 0, count));
  node.work();
  REQUIRE(node->applied() == log_index(count));
  REQUIRE(node->log().first_index() == log_index(1));
  node.compact();
  log_index first = node->log().first_index();
  CHECK(first == log_index(1 + max_trimmed_entries));
  CHECK_FALSE(node->has_ready(false));
  for (int i = 0; i < 4; ++i) {
    node.tick();
    CHECK(node->log().first_index() == first + max_trimmed_entries);
    first = node->log().first_index();
  }
  CHECK(node->log().bytes() == 0);
  node.persist();
  CHECK(node->log().floor() == node->log().last());
}

TEST_CASE("a write that only releases holds no promise up") {
  test_node node(2, bound_voters(3));
  CHECK_FALSE(node.receive(1, 1, append_of({1, 1, 1}, 0, 3)));
  node.work();
  node.sent.clear();
  node.compact();
  CHECK_FALSE(node.receive(1, 1, append_of({1, 1, 1}, 0, 3)));
  node.pump(false);
  CHECK(node.count<append_ok>(1) == 1);
}

TEST_CASE("an older snapshot than the newest is ignored, whenever it is reported") {
  test_node node = leader_with(5);
  const snapshot_meta old = node->describe_snapshot();
  propose(node, 5);
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(10)}));
  node.work();
  node.compact(8);
  node->compacted(old, log_index(6));
  CHECK(node->snapshot()->at.index == log_index(10));
  CHECK(node->log().first_index() == log_index(3));
}

TEST_CASE("compaction drops nothing that is not applied, and from memory nothing that is not durable") {
  test_node node(2, bound_voters(3));
  CHECK_FALSE(node.receive(1, 1, append_of({1, 1, 1, 1}, 0, 4)));
  const ready work = node->take_ready(true);  // the write is under way, nothing is applied
  REQUIRE(work.write.entries.size() == 4);
  const entry third = node->log().at(log_index(3));
  const snapshot_meta meta{{third.term, third.index}, third.hash, bound_voters(3), log_index{}};
  node->applied(log_index(2));
  node->compacted(meta, log_index(4));  // from elsewhere, ahead of what is applied here
  CHECK(node->log().first_index() == log_index(1));
  CHECK(node->take_ready(false).apply_last < node->take_ready(false).apply_first);
  node->persisted(work.write.seq);
  CHECK(node->log().first_index() == log_index(3));
  CHECK(node->take_ready(true).write.release_before == log_index(3));
  node->applied(log_index(4));
  CHECK(node->describe_snapshot().at.index == log_index(4));
}

TEST_CASE("a follower that needs what is compacted is named once, gets no appends, and still heartbeats") {
  test_node node = leader_with(10);
  node.compact();
  node.work();
  CHECK_FALSE(node.receive(3, 1, append_reject{log_index(0), {}}));
  CHECK_FALSE(node.receive(3, 1, heartbeat_response{0}));
  node.work();
  node.sent.clear();
  // The first probe was sent before the compaction: it names entry 0, so the answer is about what is gone.
  const progress* three = node->progress_of(node_id(3));
  REQUIRE(three->state == progress_state::snapshot);
  CHECK(node.snapshots_wanted == std::vector<node_id>{node_id(3)});
  propose(node, 3);
  CHECK_FALSE(node.receive(3, 1, heartbeat_response{0}));
  node.work();
  CHECK(node.count<append_request>(3) == 0);
  CHECK(node.snapshots_wanted.size() == 1);
  node.tick(node.options.heartbeat_ticks);
  node.pump();
  CHECK(node.take<heartbeat>(3).at(0).commit == log_index(0));
}

TEST_CASE("the acknowledgement of a snapshot brings a follower back to replication; a late one doesn't") {
  test_node node = leader_with(10);
  node.compact(2);
  node.work();
  CHECK_FALSE(node.receive(3, 1, heartbeat_response{0}));
  node.work();
  REQUIRE(node->progress_of(node_id(3))->state == progress_state::snapshot);
  node.sent.clear();
  CHECK_FALSE(node.receive(3, 1, append_ok{log_index(5)}));
  CHECK(node->progress_of(node_id(3))->state == progress_state::snapshot);
  CHECK_FALSE(node.receive(3, 1, append_reject{log_index(9), {}}));
  CHECK(node->progress_of(node_id(3))->state == progress_state::snapshot);
  CHECK_FALSE(node.receive(3, 1, append_ok{log_index(8)}));
  CHECK(node->progress_of(node_id(3))->state == progress_state::replicate);
  node.work();
  const auto appends = node.take<append_request>(3);
  REQUIRE(appends.size() == 1);
  CHECK(appends[0].previous.index == log_index(8));
  CHECK(appends[0].entries.size() == 2);
}

TEST_CASE("a failed transfer asks the follower where it stands, when it is heard of again") {
  for (const bool lost_connection : {false, true}) {
    test_node node = leader_with(10);
    node.compact();
    node.work();
    CHECK_FALSE(node.receive(3, 1, heartbeat_response{0}));
    node.work();
    REQUIRE(node.snapshots_wanted.size() == 1);
    node.sent.clear();
    lost_connection ? node->unreachable(node_id(3)) : node->snapshot_failed(node_id(3));
    node.work();
    CHECK(node.count<append_request>(3) == 0);  // no hot loop while it is away
    CHECK_FALSE(node.receive(3, 1, heartbeat_response{0}));
    node.work();
    const auto probes = node.take<append_request>(3);
    REQUIRE(probes.size() == 1);
    CHECK(probes[0].previous.index == log_index(10));
    CHECK_FALSE(node.receive(3, 1, append_reject{log_index(10), {}}));
    node.work();
    CHECK(node.snapshots_wanted.size() == 2);
    // Had it been the acknowledgement that was lost, nothing would be sent again.
    node->snapshot_failed(node_id(3));
    CHECK_FALSE(node.receive(3, 1, append_ok{log_index(10)}));
    node.work();
    CHECK(node->progress_of(node_id(3))->state == progress_state::replicate);
    CHECK(node.snapshots_wanted.size() == 2);
  }
  test_node node = leader_with(10);
  node->snapshot_failed(node_id(3));
  node->snapshot_failed(node_id(9));
  CHECK(node->progress_of(node_id(3))->state == progress_state::probe);
}

TEST_CASE("a follower that needs a snapshot and is silent is asked again once per election timeout") {
  test_node node = leader_with(10);
  node.compact();
  CHECK_FALSE(node.receive(3, 1, heartbeat_response{0}));
  node.work();
  REQUIRE(node.snapshots_wanted.size() == 1);
  node.sent.clear();
  std::size_t probes = 0;
  for (std::uint32_t tick = 0; tick < 10 * node.options.election_ticks; ++tick) {
    node.tick();
    CHECK_FALSE(node.receive(2, 1, heartbeat_response{0}));
    node.work();
    probes += node.take<append_request>(3).size();
  }
  CHECK(probes >= 9);
  CHECK(probes <= 10);
  CHECK(node.snapshots_wanted.size() == 1);  // it never said that it still needs one
}

TEST_CASE("trap: previous index 0 after compaction") {
  test_node node(2, bound_voters(3));
  CHECK_FALSE(node.receive(1, 1, append_of({1, 1, 1, 1, 1}, 0, 4)));
  node.work();
  node.compact();
  node.work();
  node.sent.clear();
  REQUIRE(node->log().first_index() == log_index(5));
  // All of it is known.
  append_request known = append_of({1, 1, 1}, 0, 3);
  CHECK_FALSE(node.receive(1, 1, known));
  node.work();
  CHECK(node.take<append_ok>(1).at(0).match == log_index(4));
  CHECK_FALSE(node.receive(1, 1, append_request{{}, {}, log_index(0), {}}));
  node.work();
  CHECK(node.take<append_ok>(1).at(0).match == log_index(4));
  // It reaches over the base, and over the end.
  for (const std::size_t previous : {0u, 1u, 3u, 4u}) {
    CHECK_FALSE(node.receive(1, 1, append_of({1, 1, 1, 1, 1, 1, 1}, previous, 4)));
    node.work();
    CHECK(node.take<append_ok>(1).at(0).match == log_index(7));
    CHECK(node->log().last_hash() == hash_of({1, 1, 1, 1, 1, 1, 1}));
  }
}

TEST_CASE("an append that reaches over the base is checked there: another history is refused") {
  test_node node(2, bound_voters(3));
  CHECK_FALSE(node.receive(1, 2, append_of({1, 1, 2, 2}, 0, 3)));
  node.work();
  node.compact();
  node.work();
  CHECK(node.receive(1, 2, append_of({1, 2, 2, 2, 2}, 0, 3)) == errc::log_diverged);
  append_request gap = append_of({1, 1, 2, 2, 2}, 0, 3);
  gap.entries[1].index = log_index(3);
  CHECK(node.receive(1, 2, gap) == errc::bad_command);
  append_request wrong = append_of({1, 1, 2, 2, 2}, 1, 3);
  wrong.previous_hash = chain_hash(1);
  CHECK(node.receive(1, 2, wrong) == errc::log_diverged);
  CHECK(node->log().last_index() == log_index(4));
}

TEST_CASE("an append that reaches over the base may replace an uncommitted suffix") {
  test_node node(2, bound_voters(3));
  CHECK_FALSE(node.receive(1, 1, append_of({1, 1, 1, 1, 1}, 0, 3)));
  node.work();
  node.compact();
  node.work();
  CHECK_FALSE(node.receive(3, 2, append_of({1, 1, 1, 2}, 0, 3)));
  node.work();
  CHECK(node->log().last_hash() == hash_of({1, 1, 1, 2}));
  CHECK(node.disk.entries.size() == 1);
}

TEST_CASE("a rejection with a hint at or below the base: what can be served is, the rest gets a snapshot") {
  // Terms on the leader's log: 1 at 1..10, then its own.
  const auto leader = [] {
    test_node node(1, bound_voters(3), {}, disk_of(1, std::vector<std::uint64_t>(10, 1)));
    lead(node);
    (void)node.receive(2, 2, append_ok{log_index(11)});
    node.work();
    node.compact(1);  // entry 11 stays
    node.work();
    node.sent.clear();
    REQUIRE(node->log().first_index() == log_index(11));
    return node;
  };
  for (std::uint64_t hint = 0; hint < 10; ++hint) {
    CAPTURE(hint);
    test_node node = leader();
    CHECK_FALSE(node.receive(3, 2, append_reject{log_index(10), {term_t(hint ? 1 : 0), log_index(hint)}}));
    node.work();
    const progress* three = node->progress_of(node_id(3));
    CHECK(three->state == progress_state::snapshot);
    CHECK(node.snapshots_wanted.size() == 1);
  }
  // A follower whose entry 10 is of a lower term than ours parted from us before it.
  test_node node(1, bound_voters(3), {}, disk_of(3, {1, 1, 3, 3, 3}));
  lead(node);
  (void)node.receive(2, 4, append_ok{log_index(6)});
  node.work();
  node.compact(3);
  node.work();
  REQUIRE(node->log().base().index == log_index(3));
  CHECK_FALSE(node.receive(3, 4, append_reject{log_index(5), {term_t(2), log_index(5)}}));
  node.work();
  CHECK(node.take<append_request>(3).back().previous.index == log_index(3));
  CHECK_FALSE(node.receive(3, 4, append_reject{log_index(3), {term_t(2), log_index(3)}}));
  node.work();
  CHECK(node->progress_of(node_id(3))->state == progress_state::snapshot);
}

TEST_CASE("trap: a duplicate late rejection never drives next to or below match, nor to a snapshot") {
  test_node node = leader_with(10);
  CHECK_FALSE(node.receive(3, 1, append_ok{log_index(9)}));
  node.compact(1);
  node.work();
  for (std::uint64_t i = 0; i <= 9; ++i) CHECK_FALSE(node.receive(3, 1, append_reject{log_index(i), {}}));
  node.work();
  const progress* three = node->progress_of(node_id(3));
  CHECK(three->state == progress_state::replicate);
  CHECK(three->next > log_index(9));
  CHECK(node.snapshots_wanted.empty());
}

TEST_CASE("a hint from before the log's floor asks for the snapshot at once, without another probe") {
  test_node node = leader_with(10);
  node.compact(3);
  node.work();
  elect_again(node);
  CHECK_FALSE(node.receive(3, 2, append_reject{log_index(10), {term_t(1), log_index(3)}}));
  node.work();
  CHECK(node.snapshots_wanted.size() == 1);
  CHECK(node.count<append_request>(3) == 0);
}

TEST_CASE("a follower one behind the log's beginning needs no snapshot: the place before is remembered") {
  test_node node = leader_with(10);
  node.compact(3);
  node.work();
  elect_again(node);  // its memory begins at the disk's base
  REQUIRE(node->log().base().index == log_index(7));
  CHECK_FALSE(node.receive(3, 2, append_reject{log_index(10), {term_t(1), log_index(7)}}));
  node.work();
  CHECK(node.snapshots_wanted.empty());
  CHECK(node.take<append_request>(3).at(0).previous.index == log_index(7));
}

TEST_CASE("trap: a wiped follower keeps no match index: its answers are refused, not taken for progress") {
  test_node node = leader_with(10);
  CHECK_FALSE(node.receive(3, 1, append_ok{log_index(10)}));
  node.compact();
  node.work();
  const incarnation_id wiped(31337);
  CHECK(node.receive(3, 1, append_reject{log_index(10), {}}, wiped) == errc::wrong_incarnation);
  CHECK(node.receive(3, 1, append_ok{log_index(10)}, wiped) == errc::wrong_incarnation);
  CHECK(node.receive(3, 1, heartbeat_response{0}, wiped) == errc::wrong_incarnation);
  node.work();
  CHECK(node.snapshots_wanted.empty());
  CHECK(node.count<refused>(3) == 3);
}

TEST_CASE("trap: a learner added while cut off, the log fully purged, gets the snapshot and what follows") {
  configuration members = voters(3);
  members.learners.push_back({node_id(4), incarnation_id{}});
  test_cluster_of cluster(4, members);
  cluster.isolate(4);
  REQUIRE(cluster.elect(1));
  for (int i = 0; i < 20; ++i) CHECK_FALSE(cluster[1]->propose(text(std::to_string(i))).code);
  REQUIRE(cluster.settle());
  for (std::uint64_t i = 1; i <= 3; ++i) cluster[i].compact();
  REQUIRE(cluster.settle());
  CHECK(cluster[1]->log().first_index() == cluster[1]->log().last_index() + 1);
  CHECK_FALSE(cluster[1]->propose(text("after")).code);
  REQUIRE(cluster.settle());
  cluster.heal();
  REQUIRE(cluster.tick_all(4 * cluster[1].options.election_ticks));
  CHECK(cluster[4]->applied() == cluster[1]->applied());
  CHECK(cluster[4].machine == cluster[1].machine);
  CHECK(cluster[4]->snapshot());
  CHECK(cluster[1]->progress_of(node_id(4))->state == progress_state::replicate);
}

TEST_CASE("trap: a follower whose whole suffix is stale and whose place is purged is set right") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(3));
  REQUIRE(cluster.settle());
  cluster.isolate(3);
  for (int i = 0; i < 10; ++i) CHECK_FALSE(cluster[3]->propose(text("stale")).code);
  REQUIRE(cluster.elect(1));
  for (int i = 0; i < 6; ++i) CHECK_FALSE(cluster[1]->propose(text(std::to_string(i))).code);
  REQUIRE(cluster.settle());
  cluster[1].compact();
  cluster[2].compact(2);
  cluster.heal();
  REQUIRE(cluster.tick_all(6 * cluster[1].options.election_ticks));
  for (std::uint64_t i = 2; i <= 3; ++i) {
    CHECK(cluster[i].machine == cluster[1].machine);
    CHECK(cluster[i]->log().last_hash() == cluster[1]->log().last_hash());
  }
  CHECK(cluster[3].disk.base.index > log_index(1));
}
