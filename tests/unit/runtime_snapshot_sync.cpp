// Groups whose snapshots' disk fails: a failed sync of the directory, which is the log's, too, ends the node;
// any other failure costs one snapshot.
#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "runtime_snapshots.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

// It has stopped for good, says why, and takes nothing more.
void check_ended(driven& d) {
  d.settle();
  CHECK(d->failed().code == errc::sync_failed);
  CHECK(d->failed().what.find("sync directory snapshots") != std::string::npos);
  REQUIRE(d.observer.failures.size() == 1);
  CHECK(d.observer.failures[0].code == errc::sync_failed);
  CHECK(d.observer.events.empty());
  test_write late("/late", "v");
  d->submit(late);
  d.settle();
  CHECK(late.ended_with(errc::stopped));
}

// Node 1 leads; node 3 was away while 40 keys were written and the log was cut. Node 3 has an older snapshot.
struct one_behind {
  one_behind() : c(3, manual) {
    c.elect(1);
    c.tick(3);
    put(c, 1, 0, 5);
    (void)snapshot_of(c[3]);
    c.lost = [](const message& m) { return m.from == node_id(3) || m.to == node_id(3); };
    put(c, 1, 5, 40);
    c.tick(3);
    (void)snapshot_of(c[1]);
    REQUIRE(c[1]->core().log().first_index() > c[3]->core().log().last_index() + 1);
  }
  void bring_back(int ticks = 12) {
    c.lost = nullptr;
    c.tick(ticks);
  }
  // The others don't miss it.
  void check_others() {
    CHECK_FALSE(c[1]->failed());
    put(c, 1, 40, 42);
    CHECK(c[2].value("/k/41") == "v");
  }
  driven_cluster c;
};

}  // namespace

TEST_CASE("a snapshot whose name may not be durable ends the node: the log's next name might not be either") {
  const auto d = lone_leader(manual);
  test_cluster_operation asked(action::snapshot);
  d->storage.files->good_directory_syncs = 0;
  d->g->submit(asked);
  check_ended(*d);
  CHECK(asked.ended_with(errc::sync_failed));
  CHECK_FALSE(d->g->core().snapshot());
}

TEST_CASE("a removal of older snapshots that may not be durable ends the node") {
  const auto d = lone_leader(manual);
  (void)snapshot_of(*d);
  test_write w("/k", "v");
  d->g->submit(w);
  d->settle();
  test_cluster_operation asked(action::snapshot);
  d->storage.files->good_directory_syncs = 1;
  d->g->submit(asked);
  check_ended(*d);
  CHECK(asked.ended_with({}));  // its own name was synced before
}

TEST_CASE("a received snapshot whose name may not be durable ends the follower, and is never acknowledged") {
  one_behind f;
  f.c[3].storage.files->good_directory_syncs = 0;
  bool installed = false;
  f.c.lost = nullptr;
  f.c.repeated = [&](const message& m) {
    const auto* answer = std::get_if<snapshot_piece_response>(&m.body);
    installed |= answer && answer->installed;
    return false;
  };
  f.c.tick(12);
  check_ended(f.c[3]);
  CHECK_FALSE(installed);
  CHECK(f.c[3].observer.installed.empty());
  f.check_others();
}

TEST_CASE("a received snapshot that replaces older ones, perhaps not durably, ends the follower") {
  one_behind f;
  f.c[3].storage.files->good_directory_syncs = 1;
  f.bring_back();
  check_ended(f.c[3]);
  CHECK(f.c[3].observer.installed.size() == 1);
  f.check_others();
  f.c[3].storage.files->good_directory_syncs = -1;
  f.c[3].restart();
  f.c.tick(12);
  CHECK(f.c[3].value("/k/41") == "v");
}

TEST_CASE("a failed sync of a snapshot's own file is an event: the node goes on and tries again") {
  one_behind f;
  f.c[3].storage.files->failing_syncs = 1;
  f.bring_back(30);
  REQUIRE(f.c[3].observer.events.size() == 1);
  CHECK(f.c[3].observer.events[0].code == errc::storage_failed);
  CHECK_FALSE(f.c[3]->failed());
  CHECK(f.c[3].value("/k/39") == "v");
  f.c[1].storage.files->failing_syncs = 1;
  put(f.c, 1, 40, 41);
  test_cluster_operation asked(action::snapshot);
  f.c[1]->submit(asked);
  f.c[1].settle();
  CHECK(asked.ended_with(errc::storage_failed));
  CHECK_FALSE(f.c[1]->failed());
  CHECK(snapshot_of(f.c[1]).index == f.c[1]->core().applied());
}

TEST_CASE("older snapshots that can't be removed, or one that can't be set aside, are an event") {
  const auto d = lone_leader(manual);
  d->g->snapshot_settled({errc::storage_failed, "rename: no space left on device"});
  CHECK(d->observer.events.size() == 1);
  CHECK_FALSE(d->g->failed());
  d->g->snapshot_settled({});
  CHECK(d->observer.events.size() == 1);
  d->g->snapshot_settled({errc::sync_failed, "sync directory snapshots"});
  CHECK(d->g->failed().code == errc::sync_failed);
  d->g->snapshot_settled({errc::sync_failed, "it has ended already"});
  CHECK(d->observer.failures.size() == 1);
  CHECK(d->observer.events.size() == 2);
}

TEST_CASE("a follower that loads for long gets what the log still holds then, not another snapshot") {
  one_behind f;
  driven& slow = f.c[3];
  slow.keep_pieces = true;
  f.c.lost = nullptr;
  const auto last = [&slow] {
    const snapshot_write& w = slow.storage.pieces.front();
    return w.offset + w.bytes.size() == w.file.bytes;
  };
  for (int i = 0; i < 500 && (slow.storage.pieces.empty() || !last()); ++i) {
    if (!slow.write_piece()) f.c.tick();
    f.c.settle();
  }
  REQUIRE_FALSE(slow.storage.pieces.empty());
  for (int i = 0; i < 6; ++i) {
    f.c.tick(60);  // longer than until who is silent is given up
    put(f.c, 1, 40 + 10 * i, 50 + 10 * i);
    (void)snapshot_of(f.c[1]);
  }
  slow.keep_pieces = false;
  f.c.tick(20);
  CHECK(slow.observer.installed.size() == 1);
  CHECK(slow.value("/k/99") == "v");
}
