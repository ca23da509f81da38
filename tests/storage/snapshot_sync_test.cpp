// Snapshots and log share a directory: whose sync of it fails knows of an error that the other may never hear
// of.
#include <string>
#include <vector>

#include "snapshot_samples.hpp"

using namespace confman_test;
using confman::make_error_code;

namespace {

failure written(test_store& store, std::uint64_t index) {
  const result<snapshot_info> made = save(store, sample_meta(index), {"new"});
  return made ? failure() : made.error();
}

// What a peer has at `index`, sent in one piece.
failure received(test_store& store, std::uint64_t index) {
  crash_file_system peer;
  test_store theirs = open_store(peer);
  const result<snapshot_info> sent = save(theirs, sample_meta(index), {"sent"});
  REQUIRE(sent);
  auto receiver = store.receive(sent->meta.at, sent->digest, sent->bytes);
  REQUIRE(receiver);
  REQUIRE_FALSE(receiver->write(0, peer.image().at(sent->path)));
  const result<snapshot_info> made = receiver->finish();
  return made ? failure() : made.error();
}

struct place {
  const char* what;
  failure (*act)(test_store&);
  std::uint64_t syncs;  // of the directory before the one that fails
};
const place places[] = {
    {"the name of one that is written", [](test_store& s) { return written(s, 16); }, 0},
    {"the removal of older ones after that", [](test_store& s) { return written(s, 16); }, 1},
    {"the name of one that is received", [](test_store& s) { return received(s, 16); }, 0},
    {"the removal of older ones after that", [](test_store& s) { return received(s, 16); }, 1},
    {"one is set aside", [](test_store& s) { return s.set_aside(sample_meta(8).at); }, 0},
};

}  // namespace

TEST_CASE("a failed sync of the directory is told apart wherever it comes, and is never tried again") {
  for (const place& p : places) {
    CAPTURE(std::string(p.what));
    CAPTURE(p.syncs);
    crash_file_system fs;
    test_store store = open_store(fs);
    REQUIRE_FALSE(written(store, 8));
    fs.failing_directory_sync = p.syncs + 1;
    const failure f = p.act(store);
    REQUIRE(fs.failing_directory_sync == 0);  // it would succeed from now on
    CHECK(f.code == make_error_code(errc::sync_failed));
    CHECK(mentions(f, "sync directory data"));
    CHECK(mentions(f, "Input/output error"));
    CHECK(mentions(f, "start it again"));
    CHECK_FALSE(mentions(f, "as before"));
    CHECK(written(store, 32).code == make_error_code(errc::sync_failed));
    CHECK((!store.newest() || store.newest()->meta.at.index < log_index(32)));
    fs.lose_power([] { return false; });
    test_store again = open_store(fs);
    CHECK(load_newest(again));
    CHECK_FALSE(written(again, 32));
  }
}

TEST_CASE("a failed sync of the directory at the start is told apart, and the next start may succeed") {
  crash_file_system fs;
  {
    test_store store = open_store(fs);
    REQUIRE_FALSE(written(store, 8));
  }
  fs.failing_directory_sync = 1;
  const result<test_store> opened = test_store::open(fs, "data", sample_options());
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == make_error_code(errc::sync_failed));
  test_store again = open_store(fs);
  CHECK(load_newest(again));
}

TEST_CASE(
    "a failed sync of a snapshot's own file is no failed sync of the directory, and the next one is good") {
  for (const auto act : {written, received}) {
    crash_file_system fs;
    test_store store = open_store(fs);
    REQUIRE_FALSE(written(store, 8));
    const disk_image before = fs.image();
    fs.failing_sync = 1;
    const failure f = act(store, 16);
    CHECK(f.code == make_error_code(errc::storage_failed));
    CHECK(mentions(f, "the log and earlier snapshots are as before"));
    CHECK(fs.image() == before);
    CHECK_FALSE(act(store, 16));
  }
}
