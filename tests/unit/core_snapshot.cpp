// Snapshots that arrive, and restarts from one (paper, section 7 and figure 13).
#include <doctest/doctest.h>

#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

// A snapshot of the log with these terms, as of its entry `at`.
snapshot_meta snapshot_of(const std::vector<std::uint64_t>& terms, std::size_t at,
                          configuration members = bound_voters(3)) {
  const entry last = log_of(terms).at(at - 1);
  return {{last.term, last.index}, last.hash, std::move(members), log_index{}};
}

recovered_log with_snapshot(recovered_log disk, const snapshot_meta& meta) {
  disk.snapshot = meta;
  return disk;
}

// The log with these terms, of which all up to `base` was released.
recovered_log released(std::uint64_t term, const std::vector<std::uint64_t>& terms, std::size_t base) {
  recovered_log disk = disk_of(term, terms);
  const entry last = disk.entries.at(base - 1);
  disk.base = {last.term, last.index};
  disk.base_hash = last.hash;
  disk.entries.erase(disk.entries.begin(), disk.entries.begin() + static_cast<std::ptrdiff_t>(base));
  return disk;
}

// Follower 1 of leader 2 in `term`, with this log on its disk.
test_node follower_of(std::uint64_t term, const std::vector<std::uint64_t>& terms, std::uint64_t commit = 0) {
  test_node node(1, bound_voters(3), {}, disk_of(term, terms, 0, commit));
  CHECK_FALSE(node.receive(2, term, heartbeat{}));
  node.work();
  node.sent.clear();
  return node;
}

}  // namespace

TEST_CASE("an empty follower takes the snapshot's place, and goes on with what follows it") {
  test_node node = follower_of(2, {});
  configuration members = bound_voters(4);
  snapshot_meta meta = snapshot_of({1, 1, 2}, 3, members);
  meta.members_at = log_index(2);
  CHECK(node->install(meta));
  CHECK(node->commit() == log_index(3));
  CHECK(node->applied() == log_index(3));
  CHECK(node->log().last() == meta.at);
  CHECK(node->log().last_hash() == meta.hash);
  CHECK(node->members() == members);
  CHECK(node->snapshot() == meta);
  CHECK(node->describe_snapshot() == meta);
  CHECK_FALSE(node.receive(2, 2, append_of({1, 1, 2, 2, 2}, 3, 4)));
  node.work();
  CHECK(node->commit() == log_index(4));
  REQUIRE(node.applied.size() == 1);  // only what the snapshot does not hold
  CHECK(node.applied[0].index == log_index(4));
  CHECK(node.disk.base == meta.at);
  CHECK(node.disk.entries.size() == 2);
}

TEST_CASE("an installed snapshot is acknowledged only when the log's reset is durable") {
  test_node node = follower_of(2, {1});
  REQUIRE(node->install(snapshot_of({1, 1, 2}, 3)));
  node.pump();
  REQUIRE(node.writing.size() == 1);
  REQUIRE(node.writing[0].reset);
  CHECK(node.writing[0].reset->at == version{term_t(2), log_index(3)});
  CHECK(node.writing[0].state->commit == log_index(3));
  CHECK(node->stable() == log_index(0));
  CHECK(node.count<append_ok>() == 0);
  node.persist();
  node.pump();
  const auto oks = node.take<append_ok>(2);
  REQUIRE(oks.size() == 1);
  CHECK(oks[0].match == log_index(3));
  CHECK(node->stable() == log_index(3));
}

TEST_CASE("trap: the completion of a write from before the reset makes nothing stable") {
  test_node node = follower_of(2, {});
  CHECK_FALSE(node.receive(2, 2, append_of({1, 1, 1, 1, 1}, 0)));
  node.pump();
  REQUIRE(node.writing.size() == 1);
  REQUIRE(node->install(snapshot_of({2, 2, 2}, 3)));
  CHECK_FALSE(node.receive(2, 2, append_of({2, 2, 2, 2, 2}, 3)));
  node.persist_one();
  CHECK(node->stable() == log_index(0));
  node.pump();
  REQUIRE(node.writing.size() == 1);
  CHECK_FALSE(node.writing[0].truncate_from);
  CHECK(node.writing[0].entries.size() == 2);
  node.persist();
  CHECK(node->stable() == log_index(5));
  CHECK(node.disk.entries.back().hash == hash_of({2, 2, 2, 2, 2}));
}

TEST_CASE("trap: a truncation that waits for the disk is replaced by the reset") {
  test_node node = follower_of(3, {1, 1, 2, 2, 2});
  CHECK_FALSE(node.receive(2, 3, append_of({1, 1, 3}, 2)));
  REQUIRE(node->install(snapshot_of({1, 1, 3, 3}, 4)));
  node.work();
  CHECK(node.disk.entries.empty());
  CHECK(node.disk.base == version{term_t(3), log_index(4)});
  CHECK(node->stable() == log_index(4));
}

TEST_CASE("trap: a snapshot that is a prefix of my log keeps the suffix") {
  test_node node = follower_of(2, {1, 1, 2, 2, 2}, 1);
  const snapshot_meta meta = snapshot_of({1, 1, 2}, 3);
  CHECK_FALSE(node->install(meta));
  CHECK(node->log().last_index() == log_index(5));
  CHECK(node->commit() == log_index(3));
  CHECK(node->applied() == log_index(1));
  node.work();
  CHECK(node.applied.size() == 3);  // the state machine gets there by the log
  CHECK(node.disk.entries.size() == 5);
  const auto oks = node.take<append_ok>(2);
  REQUIRE(oks.size() == 1);
  CHECK(oks[0].match == log_index(3));
}

TEST_CASE("trap: a prefix is acknowledged only when its entries are durable") {
  test_node node = follower_of(2, {});
  CHECK_FALSE(node.receive(2, 2, append_of({1, 1, 2}, 0)));
  node.sent.clear();
  CHECK_FALSE(node->install(snapshot_of({1, 1, 2}, 2)));
  node.pump();
  CHECK(node.count<append_ok>() == 0);
  node.persist();
  node.pump();
  CHECK(node.count<append_ok>(2) == 1);
}

TEST_CASE("trap: a snapshot older than commit is ignored and still answered") {
  test_node node = follower_of(2, {1, 1, 2, 2}, 3);
  const std::optional<snapshot_meta> before = node->snapshot();
  for (const std::size_t at : {2u, 3u}) {
    CHECK_FALSE(node->install(snapshot_of({1, 1, 2, 2}, at)));
    node.work();
    CHECK(node->commit() == log_index(3));
    CHECK(node->log().last_index() == log_index(4));
    CHECK(node->snapshot() == before);
    const auto oks = node.take<append_ok>(2);
    REQUIRE(oks.size() == 1);
    CHECK(oks[0].match == log_index(3));
  }
}

TEST_CASE("trap: a conflicting entry at the snapshot's index discards the whole log, the suffix too") {
  test_node node = follower_of(3, {1, 1, 2, 2, 2}, 2);
  const snapshot_meta meta = snapshot_of({1, 1, 3}, 3);
  CHECK(node->install(meta));
  CHECK(node->log().last() == meta.at);
  node.work();
  CHECK(node.disk.entries.empty());
  CHECK(node.disk.base == meta.at);
  CHECK(node.disk.state.commit == log_index(3));
}

TEST_CASE("a snapshot with a higher term than ours raises it; nobody is thanked who isn't known") {
  test_node node = follower_of(2, {1, 1});
  REQUIRE(node->install(snapshot_of({1, 1, 5}, 3)));
  CHECK(node->term() == term_t(5));
  CHECK(node->vote() == node_id{});
  node.work();
  CHECK(node.count<append_ok>() == 0);
  CHECK(node.disk.state.term == term_t(5));
}

TEST_CASE("a snapshot that contradicts our hash, has no place or an absurd term changes nothing") {
  test_node node = follower_of(2, {1, 1, 2});
  snapshot_meta meta = snapshot_of({1, 1, 2}, 3);
  meta.hash = chain_hash(12345);
  CHECK_FALSE(node->install(meta));
  CHECK_FALSE(node->install({}));
  meta.at = {term_t(highest_term.value() + 1), log_index(9)};
  CHECK_FALSE(node->install(meta));
  node.work();
  CHECK(node->commit() == log_index(0));
  CHECK(node->log().last_index() == log_index(3));
  CHECK(node.sent.empty());
}

TEST_CASE("a leader keeps its log whatever snapshot arrives") {
  test_node node(1, bound_voters(3), {}, disk_of(1, {1}));
  lead(node);
  REQUIRE(node->role() == role::leader);
  const version last = node->log().last();
  CHECK_FALSE(node->install(snapshot_of({1, 1, 1, 1, 1}, 5)));
  CHECK(node->log().last() == last);
  CHECK(node->role() == role::leader);
}

TEST_CASE("what was handed out before an install and is applied late takes nothing back") {
  test_node node = follower_of(2, {1, 1, 2}, 0);
  CHECK_FALSE(node.receive(2, 2, heartbeat{log_index(2)}));
  const ready work = node->take_ready(true);
  REQUIRE(work.apply_last == log_index(2));
  REQUIRE(node->install(snapshot_of({1, 1, 2, 2, 2}, 5)));
  node->applied(log_index(2));
  CHECK(node->applied() == log_index(5));
}

TEST_CASE("proposals are counted right after a reset: no byte of the old log stays counted") {
  const auto change = [](raft_options& o) { o.max_uncommitted_bytes = 1500; };
  test_node node(1, bound_voters(3), change, disk_of(2, std::vector<std::uint64_t>(40, 1)));
  CHECK_FALSE(node.receive(2, 2, heartbeat{}));
  REQUIRE(node->install(snapshot_of({2, 2, 2}, 3)));
  node.work();
  lead(node);
  REQUIRE(node->role() == role::leader);
  CHECK_FALSE(node->propose(text("x")).code);
}

TEST_CASE("a restart from a snapshot begins there: commit, applied, members") {
  snapshot_meta meta = snapshot_of({1, 1, 2, 2, 2}, 3, bound_voters(5));
  meta.members_at = log_index(2);
  recovered_log disk = with_snapshot(disk_of(2, {1, 1, 2, 2, 2}, 0, 1), meta);
  disk.entries[0].type = entry_type::configuration;  // before the snapshot: not looked at
  disk.entries[0].payload = encode_configuration(bound_voters(1));
  log_view log;
  for (entry& e : disk.entries) {
    log.append(e);
    e = log.at(e.index);
  }
  disk.snapshot->hash = disk.entries[2].hash;
  CHECK_FALSE(check_recovered(disk));
  test_node node(1, bound_voters(3), {}, disk);
  CHECK(node->commit() == log_index(3));
  CHECK(node->applied() == log_index(3));
  CHECK(node->log().last_index() == log_index(5));
  CHECK(node->members() == bound_voters(5));
  CHECK(node->describe_snapshot().members_at == log_index(2));
  CHECK_FALSE(node->has_ready(true));
  CHECK_FALSE(node.receive(2, 2, heartbeat{log_index(5)}));
  node.work();
  REQUIRE(node.applied.size() == 2);
  CHECK(node.applied[0].index == log_index(4));
}

TEST_CASE("trap: a crash between a snapshot's arrival and the log's reset; the log is too short") {
  const snapshot_meta meta = snapshot_of({1, 1, 2, 2}, 4);
  test_node node(1, bound_voters(3), {}, with_snapshot(disk_of(1, {1, 1}), meta));
  CHECK(node->commit() == log_index(4));
  CHECK(node->log().last() == meta.at);
  CHECK(node->term() == term_t(2));
  CHECK(node->stable() == log_index(0));
  node.work();
  CHECK(node.disk.base == meta.at);
  CHECK(node.disk.base_hash == meta.hash);
  CHECK(node.disk.entries.empty());
  CHECK(node->stable() == log_index(4));
}

TEST_CASE("trap: a crash between a snapshot's arrival and the log's reset; the log conflicts with it") {
  const snapshot_meta meta = snapshot_of({1, 2, 2}, 3);
  recovered_log disk = with_snapshot(disk_of(2, {1, 1, 1, 1, 1}), meta);
  test_node node(1, bound_voters(3), {}, disk);
  CHECK(node->log().last() == meta.at);
  node.work();
  CHECK(node.disk.entries.empty());
  CHECK(node.disk.base == meta.at);

  disk.snapshot->at.term = term_t(1);  // the same term and yet another history
  test_node other(1, bound_voters(3), {}, disk);
  CHECK(other->log().last() == disk.snapshot->at);
}

TEST_CASE("trap: a crash at each step of the write that resets the log finds the snapshot or more") {
  for (int parts = 0; parts <= 3; ++parts) {
    CAPTURE(parts);
    test_node node = follower_of(3, {1, 1, 2, 2, 2}, 2);
    const snapshot_meta meta = snapshot_of({1, 1, 3}, 3);
    REQUIRE(node.install(meta, 99));
    CHECK_FALSE(node.receive(2, 3, append_of({1, 1, 3, 3}, 3, 4)));
    node.pump();
    node.crash(0, parts);
    REQUIRE_FALSE(check_recovered(node.disk));
    node.restart();
    CHECK(node.machine == 99);
    CHECK(node->applied() == log_index(3));
    CHECK(node->log().hash_at(log_index(3)) == meta.hash);
    node.work();
    CHECK(node.disk.base == meta.at);
  }
}

TEST_CASE("a snapshot that differs from the log at the same index and term is refused, the log stays") {
  recovered_log disk = released(2, {1, 1, 2, 2, 2}, 3);
  disk.snapshot = snapshot_of({1, 1, 2, 2, 2}, 4);
  CHECK_FALSE(check_recovered(disk));
  disk.snapshot->hash = chain_hash(1);
  CHECK(check_recovered(disk).code == errc::log_diverged);
  CHECK(check_recovered(disk).what.find("log entry 4") != std::string::npos);
  // An entry of another term was never committed: a crash came before the log's reset.
  disk.snapshot = snapshot_of({1, 1, 2, 3}, 4);
  CHECK_FALSE(check_recovered(disk));
}

TEST_CASE("a log without its beginning and without a snapshot of it is damaged, and so said") {
  recovered_log disk = released(2, {1, 1, 2, 2, 2}, 3);
  CHECK(check_recovered(disk).code == errc::log_damaged);
  CHECK(check_recovered(disk).what.find("up to 3") != std::string::npos);
  disk.snapshot = snapshot_of({1, 1, 2, 2, 2}, 2);
  CHECK(check_recovered(disk).code == errc::log_damaged);
  CHECK(check_recovered(disk).what.find("ends at 2") != std::string::npos);
  disk.snapshot = snapshot_of({1, 1, 2, 2, 2}, 3);
  CHECK_FALSE(check_recovered(disk));
  disk.snapshot->hash = chain_hash(1);
  CHECK(check_recovered(disk).code == errc::log_damaged);
  disk.snapshot = snapshot_of({1, 1, 2, 2, 2}, 5);
  CHECK_FALSE(check_recovered(disk));
  test_node node(1, bound_voters(3), {}, disk);
  CHECK(node->applied() == log_index(5));
  CHECK(node->log().first_index() == log_index(4));
}

TEST_CASE("a snapshot says which committed configuration is in force there, not the one appended after") {
  test_node node(1, voters(3));
  lead(node);  // entry 1 binds directories
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(1)}));
  node.work();
  CHECK_FALSE(node.receive(3, 1, append_ok{log_index(1)}));  // entry 2 binds the third, not committed
  REQUIRE(node->log().last_index() == log_index(2));
  const snapshot_meta meta = node->describe_snapshot();
  CHECK(meta.at.index == log_index(1));
  CHECK(meta.members_at == log_index(1));
  CHECK_FALSE(meta.members.find_member(node_id(3))->incarnation);
  CHECK(node->members().find_member(node_id(3))->incarnation);
  const auto again = decode_snapshot_meta(encode_snapshot_meta(meta).view());
  REQUIRE(again);
  CHECK(*again == meta);
}

TEST_CASE("a configuration that is truncated leaves the snapshot's in force") {
  test_node node = follower_of(3, {});
  REQUIRE(node->install(snapshot_of({1, 1, 3}, 3, bound_voters(4))));
  append_request change{{term_t(3), log_index(3)}, hash_of({1, 1, 3}), log_index(3), {}};
  change.entries.push_back(
      {term_t(3), log_index(4), entry_type::configuration, encode_configuration(bound_voters(5)), {}});
  CHECK_FALSE(node.receive(2, 3, change));
  CHECK(node->members() == bound_voters(5));
  CHECK_FALSE(node.receive(3, 4, append_of({1, 1, 3, 4}, 3)));
  CHECK(node->members() == bound_voters(4));
  CHECK(node->describe_snapshot().members == bound_voters(4));
}

TEST_CASE("a node that is no member hears any leader of its cluster, and becomes what the snapshot says") {
  test_node node(4, configuration{});
  CHECK_FALSE(node.receive(2, 3, heartbeat{}));
  CHECK(node->leader() == node_id(2));
  node.work();
  CHECK(node.count<heartbeat_response>(2) == 1);
  CHECK_FALSE(node.receive(2, 3, append_of({1, 1, 3}, 2)));  // has no place for it
  node.work();
  CHECK(node.count<append_reject>(2) == 1);
  configuration members = bound_voters(3);
  members.learners.push_back({node_id(4), incarnation_of(4)});
  REQUIRE(node->install(snapshot_of({1, 1, 3}, 3, members)));
  node.work();
  CHECK(node.take<append_ok>(2).at(0).match == log_index(3));
  CHECK(node->members() == members);
  CHECK(node.receive(9, 3, append_ok{}) == errc::unknown_peer);  // it knows its members now
  CHECK(node.receive(9, 3, heartbeat{}) == errc::two_leaders);
  message other{cluster_id(1), test_group, node_id(2), node_id(4), incarnation_of(2), term_t(9), heartbeat{}};
  CHECK(node->step(std::move(other)) == errc::wrong_cluster);
  node.tick(5 * node.options.election_ticks);
  CHECK(node->role() == role::follower);  // a learner never campaigns
}
