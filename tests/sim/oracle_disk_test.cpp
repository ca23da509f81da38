// The oracle's checks of what is durable (invariant 3) can fail: what is promised, counted, released or found
// again is handed to it with a platter that says otherwise.
#include <doctest/doctest.h>

#include "watched.hpp"

using namespace watched;

namespace {

// Node 1 has led, and its only entry is committed.
struct written : cluster {
  test_node leader = begin();
  confman::snapshot_meta meta{
      {term_t(1), log_index(1)}, leader.core().log().last_hash(), bound_voters(3), {}};

  [[nodiscard]] recovered_log found() const {
    recovered_log all = leader.disk;
    all.boot = 2;
    all.incarnation = incarnation_of(1);
    return all;
  }
};

}  // namespace

TEST_CASE("a log that is released or given up for no durable snapshot is found (3)") {
  written w;
  confman::write_batch batch;
  SUBCASE("released") {
    batch.release_before = log_index(2);
    CHECK(refuses(invariant::durable_first, "releases its log up to 2",
                  [&] { w.judge.on_append(one, batch); }));
  }
  SUBCASE("given up") {
    batch.reset = confman::log_reset{w.meta.at, w.meta.hash};
    CHECK(refuses(invariant::durable_first, "gives up its log for a snapshot at 1:1",
                  [&] { w.judge.on_append(one, batch); }));
  }
  w.judge.on_snapshot_durable(one, w.meta);
  CHECK_NOTHROW(w.judge.on_append(one, batch));
}

TEST_CASE("an entry that is read back and isn't that of the log is found (5)") {
  written w;
  const confman::raft_core& core = w.leader.core();
  std::vector<confman::entry> entries{core.log().at(log_index(1))};
  CHECK_NOTHROW(w.judge.on_fetched(one, log_index(1), entries, core));
  SUBCASE("another place") {
    entries.front().index = log_index(2);
  }
  SUBCASE("another hash") {
    entries.front().hash = confman::chain_hash(7);
  }
  SUBCASE("other bytes") {
    entries.front().payload = confman::shared_bytes::copy("x");
  }
  SUBCASE("another term") {
    entries.front().term = term_t(2);
  }
  CHECK(refuses(invariant::log_matching, "that is not the one of its log at 1",
                [&] { w.judge.on_fetched(one, log_index(1), entries, core); }));
}

TEST_CASE("a durable snapshot, or a directory's identity, that is gone after a restart is found (3)") {
  written w;
  w.judge.on_snapshot_durable(one, w.meta);
  recovered_log found = w.found();
  SUBCASE("no snapshot") {
    CHECK(refuses(invariant::durable_first, "had a durable snapshot at 1, now its newest one is at 0",
                  [&] { w.judge.on_recovered(one, found, false); }));
  }
  SUBCASE("damaged on purpose") {
    CHECK_NOTHROW(w.judge.on_recovered(one, found, false, true));
  }
  found.snapshot = w.meta;
  SUBCASE("another directory") {
    found.incarnation = incarnation_of(4);
    CHECK(refuses(invariant::durable_first, "has lost its incarnation",
                  [&] { w.judge.on_recovered(one, found, false); }));
  }
  SUBCASE("as it was") {
    CHECK_NOTHROW(w.judge.on_recovered(one, found, false));
  }
}

TEST_CASE("a platter that holds less than was synced is found (3)") {
  written w;
  recovered_log found = w.found();
  CHECK_NOTHROW(w.judge.on_recovered(one, found, true));
  SUBCASE("no entry") {
    found.entries.clear();
  }
  SUBCASE("no vote") {
    found.state.vote = {};
  }
  SUBCASE("no term") {
    found.state.term = {};
  }
  CHECK(refuses(invariant::durable_first, "but its platter at this moment holds",
                [&] { w.judge.on_recovered(one, found, true); }));
}

TEST_CASE("what a leader counts and isn't on a platter is found (3)") {
  cluster c;
  test_node leader = winner(1, 3);
  acknowledge(leader, 2, 1);
  recovered_log voteless = leader.disk;
  voteless.state.vote = {};
  SUBCASE("a follower's entries") {
    CHECK(refuses(invariant::durable_first, "counts entries of node 2 up to 1",
                  [&] { c.judge.on_acknowledged(one, two, leader.core()); }));
    c.put(two, leader.disk);
    CHECK_NOTHROW(c.judge.on_acknowledged(one, two, leader.core()));
  }
  // Seed 1450193: the word of a directory that is bound, or not yet, and was wiped since.
  SUBCASE("what a follower had when it was wiped") {
    for (const bool bound : {true, false}) {
      auto& peer = const_cast<confman::progress&>(*leader->progress_of(two));
      peer.incarnation = bound ? incarnation_of(2) : confman::incarnation_id{};
      peer.answered_by = bound ? confman::incarnation_id{} : incarnation_of(2);
      cluster had, never;
      had.put(two, leader.disk);
      had.judge.on_wiped(two);
      CHECK_NOTHROW(had.judge.on_acknowledged(one, two, leader.core()));
      never.judge.on_wiped(two);
      CHECK(refuses(invariant::durable_first, "counts entries of node 2 up to 1",
                    [&] { never.judge.on_acknowledged(one, two, leader.core()); }));
    }
  }
  SUBCASE("its own entries") {
    CHECK(refuses(invariant::durable_first, "takes its entries up to 1 of 1 for durable",
                  [&] { c.judge.on_step(one, leader.core()); }));
  }
  SUBCASE("its own vote") {
    c.put(one, voteless);
    CHECK(refuses(invariant::durable_first, "by its own vote, which is not on its platter",
                  [&] { c.judge.on_step(one, leader.core()); }));
  }
  SUBCASE("all is there") {
    c.put(two, leader.disk);
    CHECK_NOTHROW(c.step(leader));
  }
}
