#include <string>
#include <vector>

#include "log_model.hpp"
#include "snapshot_samples.hpp"

using namespace confman_test;
using confman::recovered_log;
using test_log = confman::log<crash_file_system>;

namespace {

// A disk with a store in "data" that was exported to "backup".
crash_file_system exported() {
  crash_file_system fs;
  test_store store = open_store(fs);
  REQUIRE(save(store, sample_meta(16), sample_blocks()));
  const failure f = export_snapshot(store, store.newest()->meta.at, "safe/backup");
  REQUIRE_MESSAGE(!f, f.what);
  return fs;
}

confman::log_options new_identity() {
  confman::log_options identity = small_options();
  identity.cluster = confman::cluster_id(1000);
  return identity;
}

confman::configuration new_members() {
  confman::configuration members;
  members.incoming = {{node_id(1), {}, "new:1", 1}};
  return members;
}

}  // namespace

TEST_CASE("a backup is a copy of the snapshot, durable, and never replaces a file") {
  crash_file_system fs = exported();
  fs.lose_power([] { return false; });
  test_store store = open_store(fs);
  CHECK(fs.image().at("safe/backup") == fs.image().at(store.newest()->path));
  CHECK(names_with(fs, ".new").empty());
  const disk_image before = fs.image();
  const failure f = export_snapshot(store, store.newest()->meta.at, "safe/backup");
  CHECK(f.code == make_error_code(errc::bad_option));
  CHECK(mentions(f, "safe/backup exists already"));
  CHECK(export_snapshot(store, sample_meta(99).at, "safe/other").code ==
        make_error_code(errc::snapshot_damaged));
  fs.space = 0;
  CHECK(export_snapshot(store, store.newest()->meta.at, "safe/other").code ==
        make_error_code(errc::storage_failed));
  CHECK(fs.image() == before);
}

TEST_CASE("a damaged snapshot is not backed up") {
  crash_file_system good;
  {
    test_store store = open_store(good);
    REQUIRE(save(store, sample_meta(16), sample_blocks()));
  }
  disk_image image = good.image();
  std::string& bytes = image.begin()->second;
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  crash_file_system fs(image);
  test_store store = open_store(fs);
  CHECK(export_snapshot(store, store.newest()->meta.at, "backup").code ==
        make_error_code(errc::snapshot_damaged));
  CHECK(fs.image() == image);
}

TEST_CASE("a restored directory begins with the snapshot, under a new cluster id and with new members") {
  crash_file_system fs = exported();
  const auto made = import_snapshot(fs, "safe/backup", "restored", new_identity(), new_members());
  REQUIRE_MESSAGE(made, made.error().what);
  fs.lose_power([] { return false; });
  recovered_log found;
  result<test_log> log = test_log::open(fs, "restored", new_identity(), found);
  REQUIRE_MESSAGE(log, log.error().what);
  CHECK(found.base == sample_meta(16).at);
  CHECK(found.base_hash == sample_meta(16).hash);
  CHECK(found.entries.empty());
  CHECK(found.cluster == confman::cluster_id(1000));
  CHECK(found.state == hard_state{});
  snapshot_options options = sample_options();
  options.cluster = confman::cluster_id(1000);
  auto store = test_store::open(fs, "restored", options);
  REQUIRE(store);
  REQUIRE(store->newest() != nullptr);
  CHECK(store->newest()->meta.at == found.base);
  CHECK(store->newest()->meta.members == new_members());
  CHECK(store->newest()->meta.members_at == log_index());
  CHECK(*load_newest(*store) == sample_blocks());
  // It can't be taken for one of the old cluster, nor the other way round.
  CHECK(test_store::open(fs, "restored", sample_options()).error().code ==
        make_error_code(errc::wrong_cluster));
}

TEST_CASE("restoring over anything is refused and changes nothing") {
  crash_file_system fs = exported();
  recovered_log found;
  REQUIRE(test_log::open(fs, "live", small_options(), found));
  const disk_image before = fs.image();
  for (const char* directory : {"live", "safe", "data"}) {
    const auto made = import_snapshot(fs, "safe/backup", directory, new_identity(), new_members());
    REQUIRE_FALSE(made);
    CHECK(made.error().code == make_error_code(errc::directory_not_empty));
    CHECK(mentions(made.error(), directory));
    CHECK(fs.image() == before);
  }
}

TEST_CASE("restoring a damaged backup, or with impossible options, leaves nothing behind") {
  const disk_image good = exported().image();
  const std::string& bytes = good.at("safe/backup");
  for (std::size_t at = 0; at < bytes.size(); at += 7) {
    disk_image image = good;
    image["safe/backup"][at] = static_cast<char>(bytes[at] ^ 4);
    crash_file_system fs(image);
    const auto made = import_snapshot(fs, "safe/backup", "restored", new_identity(), new_members());
    REQUIRE_FALSE(made);
    REQUIRE(made.error().code == make_error_code(errc::snapshot_damaged));
    REQUIRE(fs.image() == image);
  }
  crash_file_system fs(good);
  const auto refused = [&](confman::log_options identity, const confman::configuration& members) {
    const auto made = import_snapshot(fs, "safe/backup", "restored", identity, members);
    CHECK(fs.image() == good);
    return !made && made.error().code == make_error_code(errc::bad_option);
  };
  CHECK(refused(new_identity(), {}));
  confman::log_options identity = new_identity();
  identity.cluster = {};
  CHECK(refused(identity, new_members()));
  identity = new_identity();
  identity.segment_bytes = 7;
  CHECK(refused(identity, new_members()));
  confman::configuration far = new_members();
  far.incoming.front().address.assign(70000, 'a');
  CHECK(refused(new_identity(), far));
}

TEST_CASE(
    "a restore that crashes anywhere leaves a complete directory, or one that is refused or begins at the "
    "snapshot") {
  crash_file_system whole = exported();
  const std::uint64_t before = whole.effects;
  REQUIRE(import_snapshot(whole, "safe/backup", "restored", new_identity(), new_members()));
  const std::uint64_t steps = whole.effects - before;
  snapshot_options options = sample_options();
  options.cluster = confman::cluster_id(1000);
  std::size_t refused = 0, usable = 0;
  for (std::uint64_t step = 1; step <= steps; ++step)
    for (unsigned survivors = 0; survivors < 4; ++survivors) {
      crash_file_system fs = exported();
      fs.dies_at = fs.effects + step;
      (void)import_snapshot(fs, "safe/backup", "restored", new_identity(), new_members());
      unsigned at = survivors;
      fs.lose_power([&] { return survivors != 0 && (survivors == 3 || at++ % 2 == 1); });
      const bool nothing = names_with(fs, "restored/").empty();
      recovered_log found;
      const auto log = test_log::open(fs, "restored", new_identity(), found);
      if (!log) {
        REQUIRE_FALSE(nothing);
        REQUIRE(log.error().code == make_error_code(errc::bad_option));
        ++refused;
        continue;
      }
      if (nothing) continue;
      // A log without the snapshot it needs, or an empty one that would begin a new history, never appears.
      auto store = test_store::open(fs, "restored", options);
      REQUIRE(store);
      REQUIRE(store->newest() != nullptr);
      REQUIRE((found.base == sample_meta(16).at || found.base == version{}));
      REQUIRE(*load_newest(*store) == sample_blocks());
      ++usable;
    }
  CHECK(refused > 0);
  CHECK(usable > 0);
}
