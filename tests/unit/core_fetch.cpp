// The entry cache has a limit: what it dropped is read from the disk for those who lag behind.
#include <doctest/doctest.h>

#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

constexpr std::size_t payload_bytes = 1000;

void tiny_cache(raft_options& o) {
  o.max_cached_bytes = 5000;
  o.max_append_entries = 4;
  o.max_append_bytes = 1 << 20;
}

// A leader of three with 41 entries applied, of which memory holds the last few; follower 2 has them all,
// follower 3 says that it has `theirs` of them.
test_node leader_of_laggard(std::uint64_t theirs, const test_node::tweak& change = tiny_cache) {
  test_node node(1, bound_voters(3), change);
  lead(node);
  for (int i = 0; i < 40; ++i) {
    CHECK_FALSE(node->propose(text(std::string(payload_bytes, 'x'))).code);
    node.work();
    CHECK_FALSE(node.receive(2, 1, append_ok{node->log().last_index()}));
    node.work();
  }
  if (theirs > 0) CHECK_FALSE(node.receive(3, 1, append_ok{log_index(theirs)}));
  CHECK_FALSE(node.receive(3, 1, heartbeat_response{0}));
  node.sent.clear();
  node.pump();
  return node;
}

log_index next_of(test_node& node, std::uint64_t id) {
  return node->progress_of(node_id(id))->next;
}

}  // namespace

TEST_CASE("the cache drops applied and stable entries from the front, down to its limit") {
  test_node node = leader_of_laggard(0);
  CHECK(node->log().bytes() <= 5000);
  CHECK(node->log().bytes() > 3000);
  CHECK(node->log().base().index > log_index(30));
  CHECK(node.disk.entries.size() == 41);
  CHECK(node->log().last_index() == log_index(41));
}

TEST_CASE("the cache keeps what is not committed, not durable or not applied, whatever it costs") {
  test_node node(1, bound_voters(3), tiny_cache);
  lead(node);
  for (int i = 0; i < 20; ++i) CHECK_FALSE(node->propose(text(std::string(payload_bytes, 'x'))).code);
  node.work();
  CHECK(node->log().first_index() == log_index(1));  // nothing is committed
  CHECK_FALSE(node.receive(2, 1, append_ok{log_index(21)}));
  const ready work = node->take_ready(true);
  CHECK(node->log().first_index() == log_index(1));  // nothing is applied
  node->applied(work.apply_last);
  CHECK(node->log().bytes() <= 5000);

  test_node slow(1, bound_voters(3), tiny_cache);
  lead(slow);
  for (int i = 0; i < 20; ++i) CHECK_FALSE(slow->propose(text(std::string(payload_bytes, 'x'))).code);
  slow.pump();
  for (std::uint64_t i = 2; i <= 3; ++i) CHECK_FALSE(slow.receive(i, 1, append_ok{log_index(21)}));
  slow.pump();
  CHECK(slow->applied() == log_index(21));
  CHECK(slow->log().first_index() == log_index(2));  // only the first write was durable
  slow.persist();
  CHECK(slow->log().bytes() <= 5000);
}

TEST_CASE("a restart fills no more memory than the cache may take") {
  recovered_log disk = disk_of(1, std::vector<std::uint64_t>(300, 1));
  const entry last = disk.entries.at(249);
  disk.snapshot = snapshot_meta{{last.term, last.index}, last.hash, bound_voters(3), log_index{}};
  test_node node(1, bound_voters(3), tiny_cache, disk);
  CHECK(node->log().bytes() <= 5000);
  CHECK(node->log().last_index() == log_index(300));
  CHECK(node->stable() == log_index(300));
  CHECK(node->log().base().index <= log_index(250));
}

TEST_CASE("a follower below memory is served from the disk: one fetch at a time, one append each") {
  test_node node = leader_of_laggard(10);
  log_index next(11);
  bool first = true;
  while (!node.fetches.empty()) {
    REQUIRE(node.fetches.size() == 1);
    const entry_fetch fetch = node.fetches[0];
    CHECK(fetch.peer == node_id(3));
    CHECK(fetch.from == (first ? next - 1 : next));  // the hash of the place before is learned once
    CHECK(fetch.last < next + 4);
    CHECK(fetch.last < node->log().first_index());
    CHECK(fetch.max_bytes == node.options.max_append_bytes);
    CHECK_FALSE(node->has_ready(true));
    CHECK(node.count<append_request>(3) == 0);
    node.answer_fetches();
    CHECK(node->has_ready(true));
    node.pump();
    for (const append_request& append : node.take<append_request>(3)) {
      CHECK(append.previous.index + 1 == next);
      CHECK(append.previous_hash == node.disk.entries.at(next.value() - 2).hash);
      CHECK(append.entries.size() <= 4);
      for (const entry& e : append.entries) {
        CHECK(e == node.disk.entries.at(next.value() - 1));
        ++next;
      }
    }
    first = false;
  }
  CHECK(next == log_index(42));        // the last fetch is followed by what memory holds
  CHECK(node->log().bytes() <= 5000);  // what is read does not go into the cache
}

TEST_CASE("a whole laggard catches up by fetches, in a cluster") {
  test_cluster_of cluster(3, tiny_cache);
  cluster.isolate(3);
  REQUIRE(cluster.elect(1));
  for (int i = 0; i < 60; ++i) {
    CHECK_FALSE(cluster[1]->propose(text(std::string(payload_bytes, 'x'))).code);
    REQUIRE(cluster.settle());
  }
  CHECK(cluster[1]->log().base().index > log_index(50));
  cluster.heal();
  REQUIRE(cluster.tick_all(4 * cluster[1].options.election_ticks));
  CHECK(cluster[3].machine == cluster[1].machine);
  CHECK(cluster[3]->applied() == cluster[1]->applied());
  CHECK_FALSE(cluster[3]->snapshot());
  CHECK(cluster[3]->log().bytes() <= 5000);
}

TEST_CASE("a stale suffix below the leader's memory is found without reading it") {
  test_node node(
      1, bound_voters(3), [](raft_options& o) { tiny_cache(o), o.max_cached_bytes = 1000; },
      [] {
        std::vector<std::uint64_t> terms(40, 1);
        terms.resize(80, 3);
        return disk_of(3, terms);
      }());
  lead(node);
  CHECK_FALSE(node.receive(2, 4, append_ok{log_index(81)}));
  node.work();
  REQUIRE(node->log().base().index > log_index(45));
  node.sent.clear();
  // A follower with 60 entries, of which those after 40 are of term 2: one round finds the place.
  CHECK_FALSE(node.receive(3, 4, append_reject{log_index(80), {term_t(2), log_index(60)}}));
  node.pump();
  CHECK(next_of(node, 3) == log_index(41));
  node.answer_fetches();
  node.pump();
  const auto appends = node.take<append_request>(3);
  REQUIRE(appends.size() == 1);
  CHECK(appends[0].previous == version{term_t(1), log_index(40)});
  CHECK(appends[0].entries.size() == 4);
}

TEST_CASE("a single entry larger than a fetch may bring is no obstacle") {
  test_node node = leader_of_laggard(10, [](raft_options& o) {
    tiny_cache(o);
    o.max_append_bytes = 100;
  });
  std::size_t appends = 0;
  for (int rounds = 0; rounds < 100 && next_of(node, 3) <= node->log().base().index; ++rounds) {
    REQUIRE(node.fetches.size() == 1);
    node.answer_fetches();
    node.pump();
    for (const append_request& append : node.take<append_request>(3)) {
      ++appends;
      CHECK(append.entries.size() == 1);
    }
  }
  CHECK(appends > 20);
}

TEST_CASE("fetches go on ahead of acknowledgements as far as the window is open") {
  test_node node = leader_of_laggard(10, [](raft_options& o) {
    tiny_cache(o);
    o.max_window_appends = 3;
  });
  std::size_t appends = 0;
  for (int i = 0; i < 10; ++i) {
    node.answer_fetches();
    node.pump();
    appends += node.take<append_request>(3).size();
  }
  CHECK(appends == 3);
  CHECK(node.fetches.empty());
  CHECK_FALSE(node.receive(3, 1, append_ok{log_index(14)}));
  node.pump();
  CHECK(node.fetches.size() == 1);
}

TEST_CASE(
    "an answer that came too late is ignored: another term, another role, another place, no such peer") {
  const auto answer = [](test_node& node, const entry_fetch& fetch) {
    node->entries_fetched(fetch.peer, fetch.from, node.read(fetch));
    node.pump();
    return node.count<append_request>(3);
  };
  {
    test_node node = leader_of_laggard(10);
    const entry_fetch fetch = node.fetches.at(0);
    CHECK_FALSE(node.receive(3, 1, append_ok{log_index(20)}));  // it had more than it said
    CHECK(answer(node, fetch) == 0);
    REQUIRE(node.fetches.size() == 2);
    CHECK(node.fetches[1].from > fetch.from);
    CHECK(answer(node, node.fetches[1]) == 1);
    CHECK(answer(node, node.fetches[1]) == 1);  // a second answer
  }
  {
    test_node node = leader_of_laggard(10);
    const entry_fetch fetch = node.fetches.at(0);
    node->unreachable(node_id(3));  // it is asked anew
    node.pump();
    REQUIRE(node.fetches.size() == 2);
    CHECK(answer(node, fetch) == 1);
    CHECK(answer(node, fetch) == 1);
  }
  {
    test_node node = leader_of_laggard(10);
    const entry_fetch fetch = node.fetches.at(0);
    CHECK_FALSE(node.receive(2, 2, heartbeat{}));
    CHECK(answer(node, fetch) == 0);
    lead(node);
    node.sent.clear();
    REQUIRE(node->role() == role::leader);
    CHECK(answer(node, fetch) == 0);
    node->entries_fetched(node_id(9), log_index(1), {});
  }
}

TEST_CASE("unreadable entries without a snapshot: tried again when the follower is heard of") {
  for (const std::uint64_t theirs : {0u, 10u}) {
    test_node node = leader_of_laggard(theirs);
    for (int i = 0; i < 3; ++i) {
      REQUIRE(node.fetches.size() == 1);
      const entry_fetch fetch = std::exchange(node.fetches, {}).at(0);
      node->entries_fetched(fetch.peer, fetch.from, {});
      node.pump();
      CHECK(node.fetches.empty());  // no hot loop
      CHECK(node.snapshots_wanted.empty());
      CHECK_FALSE(node.receive(3, 1, heartbeat_response{0}));
      node.pump();
    }
    node.answer_fetches();
    node.pump();
    CHECK(node.count<append_request>(3) == 1);
  }
}

TEST_CASE("unreadable or foreign entries with a snapshot beyond them: the snapshot is sent") {
  for (const int broken : {0, 1, 2, 3}) {
    CAPTURE(broken);
    test_node node = leader_of_laggard(10);
    node.compact(40);
    REQUIRE(node->snapshot());
    const entry_fetch fetch = node.fetches.at(0);
    std::vector<entry> entries = node.read(fetch);
    if (broken == 0) entries.clear();
    if (broken == 1) entries[1].index = log_index(5);
    if (broken == 2) entries[0].term = term_t(9);
    if (broken == 3) entries.erase(entries.begin());
    node->entries_fetched(fetch.peer, fetch.from, std::move(entries));
    CHECK(node->has_ready(true));
    node.pump();
    CHECK(node.snapshots_wanted == std::vector<node_id>{node_id(3)});
    CHECK(node->progress_of(node_id(3))->state == progress_state::snapshot);
    CHECK(node.count<append_request>(3) == 0);
  }
}

TEST_CASE("entries released while they were read: the answer is still good or the snapshot goes") {
  test_node node = leader_of_laggard(10);
  const entry_fetch fetch = node.fetches.at(0);
  const std::vector<entry> entries = node.read(fetch);
  node.compact();
  node->entries_fetched(fetch.peer, fetch.from, entries);
  node.pump();
  CHECK(node.snapshots_wanted.size() == 1);
}

TEST_CASE("lost appends are found by asking at the end of what was sent, also when memory has passed it") {
  test_node node = leader_of_laggard(10);
  node.answer_fetches();
  node.pump();
  REQUIRE(node.take<append_request>(3).size() == 1);  // 11..14, lost
  const entry_fetch next = std::exchange(node.fetches, {}).at(0);
  for (int i = 0; i < 2; ++i) CHECK_FALSE(node.receive(3, 1, heartbeat_response{0}));
  node->entries_fetched(next.peer, next.from, node.read(next));
  node.pump();
  // What was read goes out and asks by itself; it would be rejected.
  CHECK(node.take<append_request>(3).size() >= 1);
  CHECK_FALSE(node.receive(3, 1, append_reject{log_index(14), {term_t(1), log_index(10)}}));
  CHECK(next_of(node, 3) == log_index(11));
  CHECK_FALSE(node->progress_of(node_id(3))->fetching);
  node.fetches.clear();
  node.pump();
  REQUIRE(node.fetches.size() == 1);
  node.answer_fetches();
  node.pump();
  CHECK(node.take<append_request>(3).at(0).previous.index == log_index(10));
}

TEST_CASE("what is released is not read any more, not even for the hash of the place before") {
  test_node node = leader_of_laggard(10);
  REQUIRE(node.fetches.size() == 1);
  node.compact(31);  // entries 11..41 stay on the disk, memory begins far after
  node->unreachable(node_id(3));
  node.pump();
  CHECK(node.fetches.size() == 1);
  CHECK(node.snapshots_wanted == std::vector<node_id>{node_id(3)});
}

// Seeds 3256 and 3348 of the simulation. A read that was begun to learn the place before the next entry has
// one entry more than an append may; by the time of its answer that place may be the next entry itself.
TEST_CASE("a late answer of the disk with one entry too many is cut to what an append may hold") {
  test_node node = leader_of_laggard(0);
  node.crash();
  node.restart();
  lead(node);
  node.work();
  const auto read = [&node](std::uint64_t from, std::uint64_t last) {
    const auto first = node.disk.entries.begin();
    node->entries_fetched(
        node_id(3), log_index(from),
        {first + static_cast<std::ptrdiff_t>(from - 1), first + static_cast<std::ptrdiff_t>(last)});
    node.pump();
  };
  const auto reject = [&node](std::uint64_t theirs) {
    append_reject no;
    no.rejected = next_of(node, 3) - 1;
    no.hint = {term_t(1), log_index(theirs)};
    CHECK_FALSE(node.receive(3, node->term().value(), no));
    node.pump();
  };
  reject(20);
  REQUIRE(next_of(node, 3) == log_index(21));
  REQUIRE(node->progress_of(node_id(3))->fetching == log_index(20));
  reject(19);
  REQUIRE(next_of(node, 3) == log_index(20));
  read(19, 19);  // no more than the place before
  REQUIRE(node->progress_of(node_id(3))->fetching == log_index(20));
  node.sent.clear();
  read(20, 24);  // the first answer
  std::size_t appends = 0;
  for (const message& m : node.sent) {
    const auto* append = std::get_if<append_request>(&m.body);
    if (!append || m.to != node_id(3)) continue;
    ++appends;
    CHECK(append->entries.size() == 4);
    CHECK(append->entries.front().index == log_index(20));
  }
  CHECK(appends == 1);
}
