// Groups and their snapshots: when one is taken, what it lets go of, and how a follower far behind gets on.
#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <utility>

#include "runtime_snapshots.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

void put(driven& d, int from, int to) {
  for (int i = from; i < to; ++i) {
    test_write w("/k/" + std::to_string(i), "v");
    d->submit(w);
    d.settle();
    REQUIRE(w.ended_with({}));
  }
}
// Of the log the disk has all, memory so many bytes.
auto keeps_in_memory(std::size_t bytes) {
  return [bytes](group_options& o) {
    manual(o);
    o.raft.max_cached_bytes = bytes;
    o.snapshots.tail_entries = 1000;
  };
}
// Node 1 leads, node 3 doesn't hear of these keys, and comes back; what is read for it waits.
void lack(driven_cluster& c, int from, int to) {
  c.lost = [](const message& m) { return touches(m, 3); };
  put(c, 1, from, to);
  c.lost = nullptr;
  c[1].keep_fetches = true;
}

}  // namespace

TEST_CASE("a snapshot on request contains everything applied, and cuts the log to its tail") {
  const auto d = lone_leader(manual);
  put(*d, 0, 20);
  const log_index applied = d->g->core().applied();
  const version at = snapshot_of(*d);
  CHECK(at.index == applied);
  d->settle();
  CHECK(d->g->core().snapshot()->at == at);
  CHECK(d->g->core().log().first_index() == applied + 1 - 4);
  const recovered_log disk = d->storage.log.recover(cluster_id(7), incarnation_id(101));
  CHECK(disk.base.index == applied - 4);
  put(*d, 20, 21);
  CHECK(d->value("/k/20") == "v");
}

TEST_CASE(
    "a request for what is durable already is answered at once, one before anything is applied refused") {
  driven empty(1, 3, manual);
  test_cluster_operation none(action::snapshot);
  empty->submit(none);
  CHECK(none.ended_with(errc::bad_option));
  const auto d = lone_leader(manual);
  const version at = snapshot_of(*d);
  test_cluster_operation again(action::snapshot);
  d->g->submit(again);
  CHECK(again.ended_with({}));
  CHECK(again.at == at);
  CHECK(d->storage.takes.empty());
}

TEST_CASE("who asks while a snapshot is taken gets one that has what was applied then") {
  const auto d = lone_leader(manual);
  put(*d, 0, 3);
  d->keep_takes = true;
  test_cluster_operation first(action::snapshot), second(action::snapshot), third(action::snapshot);
  d->g->submit(first);
  d->g->submit(second);
  const log_index before = d->g->core().applied();
  put(*d, 3, 5);
  d->g->submit(third);
  REQUIRE(d->storage.takes.size() == 1);
  d->take_snapshot();
  CHECK(first.ended_with({}));
  CHECK(second.ended_with({}));
  CHECK(first.at.index == before);
  CHECK(third.waits());
  REQUIRE(d->storage.takes.size() == 1);
  d->take_snapshot();
  CHECK(third.ended_with({}));
  CHECK(third.at.index == d->g->core().applied());
}

TEST_CASE("snapshots come by the number of entries while writes go on, one at a time") {
  const auto d = lone_leader([](group_options& o) {
    manual(o);
    o.snapshots.log_entries = 10;
  });
  d->keep_takes = true;
  put(*d, 0, 45);
  CHECK(d->storage.takes.size() == 1);
  CHECK_FALSE(d->g->core().snapshot());
  d->take_snapshot();
  REQUIRE(d->g->core().snapshot());
  const log_index first = d->g->core().snapshot()->at.index;
  CHECK(d->value("/k/44") == "v");
  put(*d, 45, 46);
  CHECK(d->storage.takes.size() == 1);
  d->keep_takes = false;
  d->settle();
  CHECK(d->g->core().snapshot()->at.index > first);
}

TEST_CASE("snapshots come by the bytes of the log, and the tail is bounded in bytes") {
  const auto d = lone_leader([](group_options& o) {
    manual(o);
    o.snapshots.log_bytes = 10'000;
    o.snapshots.tail_entries = 1000;
    o.snapshots.tail_bytes = 2500;
  });
  for (int i = 0; i < 12; ++i) {
    test_write w("/large", std::string(1000, 'x'));
    d->g->submit(w);
    d->settle();
  }
  REQUIRE(d->g->core().snapshot());
  const log_view& log = d->g->core().log();
  const std::uint64_t kept = d->g->core().snapshot()->at.index - (log.first_index() - 1);
  CHECK(kept == 2);
}

TEST_CASE("a snapshot that can't be written is reported; the node works on and tries again later") {
  const auto d = lone_leader([](group_options& o) {
    manual(o);
    o.snapshots.log_entries = 10;
  });
  d->storage.files->full = true;
  test_cluster_operation asked(action::snapshot);
  d->g->submit(asked);
  d->settle();
  CHECK(asked.ended_with(errc::storage_failed));
  put(*d, 0, 15);
  CHECK_FALSE(d->g->failed());
  CHECK(d->observer.events.size() == 2);
  CHECK_FALSE(d->g->core().snapshot());
  d->storage.files->full = false;
  put(*d, 15, 30);
  CHECK(d->g->core().snapshot());
  CHECK(d->observer.failures.empty());
}

TEST_CASE("a restart goes on from snapshot and log") {
  driven_cluster c(3, manual);
  c.elect(1);
  put(c, 1, 0, 30);
  (void)snapshot_of(c[1]);
  put(c, 1, 30, 35);
  const std::uint64_t hash = c[1].map.revision();
  c[1].restart();
  CHECK(c[1].value("/k/29") == "v");
  c.elect(2);
  c.tick(5);
  CHECK(c[1].value("/k/34") == "v");
  CHECK(c[1].map.revision() >= hash);
  put(c, 1, 35, 36);
  CHECK(c[3].value("/k/35") == "v");
}

TEST_CASE("a follower behind the memory of the leader, not its disk, gets entries from there") {
  const auto small_cache = [](group_options& o) {
    manual(o);
    o.raft.max_cached_bytes = 500;
  };
  driven_cluster c(3, small_cache);
  c.elect(1);
  c.lost = [](const message& m) { return touches(m, 3); };
  put(c, 1, 0, 60);
  REQUIRE(c[1]->core().log().first_index() > log_index(20));
  int pieces = 0;
  c.lost = [&](const message& m) {
    pieces += std::holds_alternative<snapshot_piece>(m.body) ? 1 : 0;
    return false;
  };
  c.tick(20);
  CHECK(c[3].value("/k/59") == "v");
  CHECK(c[3].value("/k/0") == "v");
  CHECK(pieces == 0);
  CHECK(c[1].observer.events.empty());
}

TEST_CASE("a fetch that fails is reported, and the follower gets on by a snapshot") {
  driven_cluster c(3, keeps_in_memory(500));
  c.elect(1);
  lack(c, 0, 60);
  for (int i = 0; i < 20 && c[1].storage.fetches.empty(); ++i) c.tick();
  REQUIRE_FALSE(c[1].storage.fetches.empty());
  (void)snapshot_of(c[1]);
  c[1]->fetched(c[1].storage.fetches.front(), failure(errc::storage_failed, "unreadable sector"));
  c[1].storage.fetches.clear();
  CHECK(c[1].observer.events.size() == 1);
  c.tick(20);
  CHECK(c[3].observer.installed.size() == 1);
  CHECK(c[3].value("/k/59") == "v");
}

TEST_CASE("who needs what the leader's log can't give any more gets a snapshot that is made for it") {
  driven_cluster c(3, keeps_in_memory(500));
  c.elect(1);
  lack(c, 0, 60);
  for (int i = 0; i < 100 && c[3].observer.installed.empty(); ++i) {
    c.tick();
    for (const entry_fetch& what : std::exchange(c[1].storage.fetches, {}))
      c[1]->fetched(what, failure(errc::log_damaged, "a turned bit"));
  }
  CHECK(c[3].observer.installed.size() == 1);
  CHECK(c[3].value("/k/59") == "v");
  CHECK_FALSE(c[1].observer.events.empty());
  CHECK(c[1].observer.events.size() < 10);
}

// Seed 102532 of the simulation: a snapshot of everything that is applied helps there, too.
TEST_CASE("so does who needs nothing but the last entry, and the log can't give that one") {
  driven_cluster c(3, keeps_in_memory(1));
  c.elect(1);
  put(c, 1, 0, 10);
  lack(c, 10, 11);
  const log_index last = c[1]->core().log().last_index();
  for (int i = 0; i < 100 && c[3].observer.installed.empty(); ++i) {
    c.tick();
    for (const entry_fetch& what : std::exchange(c[1].storage.fetches, {}))
      c[1]->fetched(what, what.from == last ? failure(errc::log_damaged, "a turned bit")
                                            : c[1].storage.log.read(what.from, last - 1, what.max_bytes));
  }
  CHECK(c[3].observer.installed.size() == 1);
  CHECK(c[3].value("/k/10") == "v");
}

TEST_CASE("a follower far behind gets a snapshot in pieces, then entries") {
  one_far_behind f;
  f.bring_back();
  REQUIRE(f.c[3].observer.installed.size() == 1);
  CHECK(f.c[3].observer.installed[0] == f.at);
  CHECK(f.c[3].value("/k/39") == "v");
  CHECK(f.c[3]->core().commit() == f.c[1]->core().commit());
  CHECK(f.c[3].map.revision() == f.c[1].map.revision());
  put(f.c, 1, 40, 42);
  CHECK(f.c[3].value("/k/41") == "v");
  CHECK(f.c[1].observer.events.empty());
  CHECK(f.c[3].observer.events.empty());
}

TEST_CASE("a follower that was cut off while the log was released twice over still catches up") {
  one_far_behind f;
  f.c[3].restart();
  put(f.c, 1, 40, 80);
  (void)snapshot_of(f.c[1]);
  f.bring_back();
  CHECK(f.c[3].value("/k/79") == "v");
}

TEST_CASE("while a snapshot is received the follower answers heartbeats and reads, and the leader leads on") {
  one_far_behind f;
  f.c[3].keep_pieces = true;
  f.bring_back();
  REQUIRE_FALSE(f.c[3].storage.pieces.empty());
  const term_t term = f.c[1]->core().term();
  test_read old_state(read_mode::applied_version, {term_t(1), log_index(2)});
  f.c[3]->submit(old_state);
  CHECK(old_state.ended_with({}));
  test_read fresh;
  f.c[3]->submit(fresh);
  f.c.tick(35);
  CHECK(fresh.waits());  // its index is known, the state isn't there yet
  CHECK(f.c[3]->core().leader() == node_id(1));
  CHECK(f.c[1]->core().role() == role::leader);
  CHECK(f.c[1]->core().term() == term);
  f.c[3].keep_pieces = false;
  f.c.tick(12);
  CHECK(fresh.ended_with({}));
  CHECK(f.c[3].value("/k/39") == "v");
}

TEST_CASE("pieces and answers that get lost are sent again until the snapshot is there") {
  one_far_behind f;
  random_source dice(7);
  f.c.lost = [&](const message& m) {
    return (std::holds_alternative<snapshot_piece>(m.body) ||
            std::holds_alternative<snapshot_piece_response>(m.body)) &&
           dice.below(3) == 0;
  };
  f.c.repeated = [](const message& m) { return std::holds_alternative<snapshot_piece>(m.body); };
  f.c.tick(300);
  CHECK(f.c[3].observer.installed.size() == 1);
  CHECK(f.c[3].value("/k/39") == "v");
}

TEST_CASE("a follower that restarts in the middle of a snapshot goes on with what it has") {
  one_far_behind f;
  f.c[3].keep_pieces = true;
  f.bring_back();
  f.c[3].write_piece();
  f.c.settle();
  f.c[3].write_piece();
  f.c.settle();
  f.c[3].keep_pieces = false;
  f.c[3].restart();
  f.c[1]->unreachable(node_id(3));
  f.c.tick(30);
  CHECK(f.c[3].observer.installed.size() == 1);
  CHECK(f.c[3].value("/k/39") == "v");
}

TEST_CASE("a new leader in the middle of a transfer serves the follower from its own snapshot") {
  one_far_behind f;
  (void)snapshot_of(f.c[2]);
  f.c[3].keep_pieces = true;
  f.bring_back();
  REQUIRE_FALSE(f.c[3].storage.pieces.empty());
  f.c.lost = [](const message& m) { return touches(m, 1); };
  f.c[3].keep_pieces = false;
  f.c.elect(2);
  f.c.tick(30);
  CHECK(f.c[2]->core().role() == role::leader);
  CHECK(f.c[3].value("/k/39") == "v");
  CHECK(f.c[3]->core().commit() == f.c[2]->core().commit());
}

TEST_CASE("a piece of a deposed leader, or of who leads nobody, is not taken") {
  one_far_behind f;
  f.bring_back();
  const term_t term = f.c[3]->core().term();
  snapshot_piece late;
  late.at = {term, log_index(1000)};
  late.total = 500;
  late.bytes = shared_bytes::copy(std::string(64, 'x'));
  CHECK(f.c[3].receive(1, term.value() - 1, late) == std::error_code{});
  CHECK(f.c[3].storage.pieces.empty());
  CHECK(f.c[3].receive(2, term.value(), late) == errc::two_leaders);
  CHECK(f.c[1].receive(2, term.value(), late) == errc::two_leaders);
  CHECK(f.c[3].storage.pieces.empty());
  CHECK(f.c[1].storage.pieces.empty());
  CHECK(f.c[3].receive(1, term.value(), late) == std::error_code{});
  CHECK(f.c[3].storage.pieces.size() == 1);
}

TEST_CASE("a received file that isn't what it should be is refused, and the follower lives") {
  one_far_behind f;
  const term_t term = f.c[1]->core().term();
  snapshot_piece rubbish;
  rubbish.at = {term, log_index(1000)};
  rubbish.digest = 5;
  rubbish.total = 200;
  rubbish.bytes = shared_bytes::copy(std::string(200, 'x'));
  CHECK(f.c[3].receive(1, term.value(), rubbish) == std::error_code{});
  f.c[3].settle();
  CHECK(f.c[3].observer.events.size() == 1);
  CHECK_FALSE(f.c[3]->failed());
  f.bring_back();
  CHECK(f.c[3].value("/k/39") == "v");
}

TEST_CASE("a follower without room for a snapshot says so, and gets it when there is room") {
  one_far_behind f;
  f.c[3].storage.files->full = true;
  f.bring_back();
  CHECK_FALSE(f.c[3].observer.events.empty());
  CHECK_FALSE(f.c[3]->failed());
  CHECK(f.c[3].observer.installed.empty());
  f.c[3].storage.files->full = false;
  f.c.tick(60);
  CHECK(f.c[3].value("/k/39") == "v");
}

TEST_CASE("a snapshot that is taken while a later one is installed changes nothing") {
  one_far_behind f;
  f.c[3].keep_takes = true;
  test_cluster_operation own(action::snapshot);
  f.c[3]->submit(own);
  f.bring_back();
  REQUIRE(f.c[3].observer.installed.size() == 1);
  CHECK(own.waits());
  f.c[3].keep_takes = false;
  f.c[3].settle();
  CHECK(own.ended_with({}));
  CHECK(f.c[3]->core().snapshot()->at == f.at);
  f.c[3].restart();
  CHECK(f.c[3].value("/k/39") == "v");
  f.c.elect(3);
  f.c.tick(3);
  CHECK(f.c[3]->core().role() == role::leader);
}

TEST_CASE("a received snapshot that the log has reached meanwhile still lets the log be cut") {
  one_far_behind f;
  f.c[3].keep_pieces = true;
  f.bring_back();
  // The rest of the file arrives, but the last piece stays with the disk.
  for (int i = 0; i < 200 && f.c[3].observer.installed.empty(); ++i) {
    REQUIRE_FALSE(f.c[3].storage.pieces.empty());
    const snapshot_write& w = f.c[3].storage.pieces.front();
    if (w.offset + w.bytes.size() == w.file.bytes) break;
    f.c[3].write_piece();
    f.c.settle();
  }
  // Entries from a leader that still had them: what this node lacked, one append.
  std::vector<entry> entries =
      *f.c[2].storage.log.read(f.c[3]->core().log().last_index() + 1, f.at.index, 1 << 20);
  const log_view& log = f.c[3]->core().log();
  const term_t term = f.c[3]->core().term();
  append_request whole{log.last(), log.last_hash(), f.at.index, std::move(entries)};
  REQUIRE(f.c[3].receive(1, term.value(), whole) == std::error_code{});
  f.c[3].settle();
  REQUIRE(f.c[3]->core().applied() == f.at.index);
  f.c[3].keep_pieces = false;
  f.c[3].settle();
  CHECK(f.c[3].observer.installed.empty());
  REQUIRE(f.c[3]->core().snapshot());
  CHECK(f.c[3]->core().snapshot()->at == f.at);
  CHECK(f.c[3]->core().log().first_index() == f.at.index + 1 - 4);
  f.c[3].restart();
  CHECK(f.c[3].value("/k/39") == "v");
}

TEST_CASE("install: what waited for entries that are in the snapshot is resolved") {
  driven_cluster c(3, manual);
  c.elect(1);
  c.tick(3);
  put(c, 1, 0, 5);
  // Node 1 is cut off with proposals of its own; the others go on without it and cut their logs.
  c.lost = [](const message& m) { return touches(m, 1); };
  test_write plain("/plain", "1"), again("/again", "1");
  again.repeatable = true;
  test_cluster_operation change(action::change_members);
  change.changes.push_back({member_change::action::remove, {node_id(3), {}}});
  c[1]->submit(plain);
  c[1]->submit(again);
  c[1]->submit(change);
  CHECK(change.waits());
  c.settle();
  c.elect(2);
  put(c, 2, 5, 40);
  (void)snapshot_of(c[2]);
  test_read read(read_mode::applied_version, {term_t(1), log_index(12)});
  c[1]->submit(read);
  CHECK(read.waits());
  c.lost = nullptr;
  c.tick(40);
  CHECK(c[1].observer.installed.size() == 1);
  CHECK(plain.ended_with(errc::outcome_unknown));
  CHECK(change.ended_with(errc::outcome_unknown));
  CHECK(read.ended_with({}));
  CHECK(again.ended_with({}));
  CHECK(c[2].value("/again") == "1");
  CHECK_FALSE(c[2].value("/plain"));
  CHECK(c[2]->core().members().incoming.size() == 3);
}

TEST_CASE("a snapshot that contradicts the log stops the node, which keeps what it has") {
  one_far_behind f;
  // Of another history, it says, at a place that node 2 has already.
  auto state = *f.c[1].storage.snapshots->load_newest();
  REQUIRE(state);
  REQUIRE(state->meta.at.index <= f.c[2]->core().commit());
  state->meta.hash = chain_hash(state->meta.hash.value() + 1);
  snapshot_received_piece piece;
  piece.written = {state->file, state->file.bytes, true};
  piece.loaded.emplace(*std::move(state));
  f.c[2]->snapshot_received(node_id(1), std::move(piece));
  CHECK(f.c[2]->failed().code == errc::log_diverged);
  CHECK(f.c[2].value("/k/39") == "v");
}

TEST_CASE("destroying a group abandons who waits for a snapshot") {
  test_cluster_operation o(action::snapshot), stopped(action::snapshot);
  {
    const auto d = lone_leader(manual);
    d->keep_takes = true;
    d->g->submit(o);
    const auto e = lone_leader(manual);
    e->keep_takes = true;
    e->g->submit(stopped);
    e->g->stop();
    CHECK(stopped.ended_with(errc::stopped));
    e->take_snapshot();
  }
  CHECK(o.abandoned == 1);
  CHECK(o.completions == 0);
}
