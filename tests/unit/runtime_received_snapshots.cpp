// What becomes of a snapshot that was received: it is the state, it is refused, or the node ends meanwhile.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "runtime_snapshots.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

// A file of another node's, at `at`, with these blocks or else with a state that ends there.
struct foreign_file {
  explicit foreign_file(version at, const std::string& block = {}) {
    snapshot_meta meta;
    meta.at = at;
    meta.hash = chain_hash(12345);
    meta.members.incoming = {{node_id(1), incarnation_id(101)}};
    result<snapshot_file> made = failure(errc::bad_option, "");
    if (block.empty()) {
      map_state map;
      entry e;
      e.term = at.term;
      e.index = at.index;
      map.apply(e);
      map.publish();
      made = other.snapshots->take(map.capture(), meta);
    } else {
      auto store = snapshot_store<small_file_system>::open(*other.files, "snapshots",
                                                           other.snapshots->store().options());
      auto writer = store->begin(meta);
      REQUIRE_FALSE(writer->write(block));
      const auto info = writer->commit();
      made = snapshot_file{at, info->digest, info->bytes};
      other.restart();
    }
    REQUIRE(made);
    file = *made;
  }
  [[nodiscard]] snapshot_piece whole() {
    auto bytes = other.snapshots->read({node_id(9), file, 0, static_cast<std::size_t>(file.bytes)});
    REQUIRE(bytes);
    return {file.at, file.digest, file.bytes, 0, *std::move(bytes)};
  }
  fake_storage other;
  snapshot_file file;
};
// Node 3 holds an entry of node 1 that isn't committed, and has a snapshot of its own.
struct one_uncommitted {
  one_uncommitted() : c(3, manual) {
    c.elect(1);
    put(c, 1, 0, 5);
    c.tick(3);
    held = snapshot_of(c[3]);
    c.lost = [](const message& m) { return m.to == node_id(1); };
    c[1]->submit(waits);
    c.settle();
    last = c[3]->core().log().last();
    REQUIRE(last.index > c[3]->core().commit());
  }
  [[nodiscard]] version kept() { return c[3].storage.snapshots->store().newest()->meta.at; }
  test_write waits{"/late", "v"};
  driven_cluster c;
  version held, last;
};

}  // namespace

TEST_CASE("a received snapshot whose blocks are sound but whose state is refused replaces nothing") {
  one_uncommitted f;
  const std::size_t files = f.c[3].storage.files->list_directory("snapshots")->size();
  foreign_file bad({f.last.term, f.last.index + 100}, "sound bytes, but no state");
  CHECK_FALSE(f.c[3].receive(1, f.last.term.value(), bad.whole()));
  f.c[3].settle();
  REQUIRE(f.c[3].observer.events.size() == 1);
  CHECK(f.c[3].observer.events[0].code == errc::snapshot_damaged);
  CHECK_FALSE(f.c[3]->failed());
  CHECK(f.kept() == f.held);
  CHECK(f.c[3].storage.files->list_directory("snapshots")->size() == files);
  f.c[3].restart();
  CHECK(f.c[3].value("/k/4") == "v");
}

TEST_CASE("a received snapshot that differs from the log is set aside: a restart begins with the log") {
  one_uncommitted f;
  foreign_file other(f.last);
  CHECK_FALSE(f.c[3].receive(1, f.last.term.value(), other.whole()));
  f.c[3].settle();
  CHECK(f.c[3]->failed().code == errc::log_diverged);
  CHECK(f.c[3].storage.destroyed.size() == 1);  // not on the group's queue
  CHECK(f.kept() == f.held);
  const auto names = *f.c[3].storage.files->list_directory("snapshots");
  CHECK(std::count_if(names.begin(), names.end(),
                      [](const std::string& n) { return n.ends_with(".refused"); }) == 1);
  f.c[3].restart();
  CHECK(f.kept() == f.held);
  CHECK(f.c[3]->core().log().last() == f.last);
  CHECK(f.c[3].value("/k/4") == "v");
}

TEST_CASE("a received snapshot replaces the older one once it is the state") {
  one_uncommitted f;
  foreign_file next({f.last.term, f.last.index + 100});
  CHECK_FALSE(f.c[3].receive(1, f.last.term.value(), next.whole()));
  f.c[3].settle();
  CHECK(f.c[3].observer.installed.size() == 1);
  CHECK(f.c[3].storage.snapshots->store().all().size() == 1);
  CHECK(f.kept() == next.file.at);
}

TEST_CASE("a snapshot whose group has stopped meanwhile is destroyed elsewhere") {
  one_uncommitted f;
  foreign_file next({f.last.term, f.last.index + 100});
  f.c[3].keep_pieces = true;
  CHECK_FALSE(f.c[3].receive(1, f.last.term.value(), next.whole()));
  f.c[3].settle();
  f.c[3]->stop();
  f.c[3].write_piece();
  CHECK(f.c[3].storage.destroyed.size() == 1);
}

TEST_CASE("a shutdown in the middle of the last piece's work keeps the part, and the next try goes on") {
  fake_storage storage;
  foreign_file next({term_t(2), log_index(100)});
  const snapshot_piece whole = next.whole();
  const snapshot_write all{node_id(1), next.file, 0, whole.bytes};
  storage.cancelled = true;
  const auto ended = storage.snapshots->receive(all);
  REQUIRE_FALSE(ended);
  CHECK(ended.error().code == errc::stopped);
  CHECK(storage.snapshots->store().newest() == nullptr);
  CHECK(storage.files->list_directory("snapshots")->size() == 1);
  storage.cancelled = false;
  storage.restart();
  CHECK(storage.snapshots->receive({node_id(1), next.file, next.file.bytes, {}})->written.next > 0);
  CHECK(next.other.snapshots->copy(next.file.at, "out/backup"));
  next.other.cancelled = true;
  CHECK(next.other.snapshots->copy(next.file.at, "out/again").error().code == errc::stopped);
  CHECK(next.other.files->list_directory("out")->size() == 1);
}

TEST_CASE("a backup whose snapshot was replaced meanwhile is one of the newest") {
  fake_storage storage;
  foreign_file next({term_t(2), log_index(100)});
  const auto copied = next.other.snapshots->copy({term_t(1), log_index(50)}, "backup");
  REQUIRE(copied);
  CHECK(*copied == next.file.at);
  CHECK_FALSE(next.other.snapshots->copy({term_t(3), log_index(150)}, "newer"));
}
