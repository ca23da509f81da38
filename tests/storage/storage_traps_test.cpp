// Traps that other implementations fell into, by name. More of them: damage that must not be cut, a full
// disk, a failed sync and undecodable records are in log_recovery_test.cpp and log_test.cpp.
#include <string>
#include <vector>

#include "log_model.hpp"
#include "snapshot_samples.hpp"

using namespace confman_test;
using confman::recovered_log;
using test_log = confman::log<crash_file_system>;

namespace {

test_log open_log(crash_file_system& fs, recovered_log& found) {
  result<test_log> opened = test_log::open(fs, "data", small_options(), found);
  REQUIRE_MESSAGE(opened, (opened ? "" : opened.error().what));
  return std::move(*opened);
}

void write(test_log& log, const write_batch& batch) {
  REQUIRE_FALSE(log.append(batch));
  REQUIRE_FALSE(log.sync());
}

}  // namespace

TEST_CASE(
    "missing directory sync: what commit, finish and a change of segment named survives a loss of power at "
    "once") {
  crash_file_system fs;
  recovered_log found;
  test_log log = open_log(fs, found);
  log_model model;
  test_store store = open_store(fs);
  for (int i = 0; i < 12; ++i) write(log, model.batch({std::string(900, 'a')}));
  REQUIRE(log.segment_count() > 1);
  REQUIRE(save(store, sample_meta(4), {"four"}));
  const disk_image before = fs.image();
  fs.lose_power([] { return false; });
  for (const auto& file : before)
    if (file.first.find("data/spare-") == std::string::npos)
      CHECK_MESSAGE(fs.image().count(file.first) == 1, file.first);
  test_log again = open_log(fs, found);
  CHECK(content_of(found) == model.now());
  test_store after = open_store(fs);
  CHECK(*load_newest(after) == std::vector<std::string>{"four"});
}

TEST_CASE("missing directory sync: a snapshot that an open found is durable, though its rename was not") {
  crash_file_system whole;
  {
    test_store store = open_store(whole);
    REQUIRE(save(store, sample_meta(4), {"four"}));
  }
  crash_file_system fs;
  fs.dies_at = whole.effects;  // the sync of the directory
  {
    test_store store = open_store(fs);
    REQUIRE_FALSE(save(store, sample_meta(4), {"four"}));
  }
  fs.kill();
  {
    test_store store = open_store(fs);
    REQUIRE(store.newest() != nullptr);  // in the page cache
  }
  fs.lose_power([] { return false; });
  test_store store = open_store(fs);
  REQUIRE(store.newest() != nullptr);
  CHECK(*load_newest(store) == std::vector<std::string>{"four"});
}

TEST_CASE(
    "crash between install and log reset: the snapshot is ahead of the log, and the reset is done again") {
  crash_file_system fs;
  log_model model;
  recovered_log found;
  {
    test_log log = open_log(fs, found);
    write(log, model.batch({"one", "two"}, {}, hard_state{term_t(1), node_id(2), log_index(1)}));
    test_store store = open_store(fs);
    REQUIRE(save(store, sample_meta(100), {"a hundred"}));
  }
  fs.lose_power([] { return false; });
  {
    test_log log = open_log(fs, found);
    CHECK(content_of(found) == model.now());  // untouched: it may hold votes and a suffix that counts
    CHECK(found.base == version{});
    test_store store = open_store(fs);
    REQUIRE(store.newest() != nullptr);
    const snapshot_meta& meta = store.newest()->meta;
    CHECK(meta.at.index > log.last_index());
    write(log, model.reset({meta.at, meta.hash}, {"next"}));
  }
  fs.lose_power([] { return false; });
  (void)open_log(fs, found);
  CHECK(found.base == sample_meta(100).at);
  CHECK(found.base_hash == sample_meta(100).hash);
  CHECK(content_of(found) == model.now());
  CHECK(found.state == hard_state{term_t(1), node_id(2), log_index(1)});  // the vote outlives the reset
}

TEST_CASE(
    "applied index not atomic with state: a snapshot's place and its blocks are one file, proven together") {
  crash_file_system fs;
  test_store store = open_store(fs);
  REQUIRE(save(store, sample_meta(16), {"state at 16"}));
  REQUIRE(save(store, sample_meta(17), {"state at 17"}));
  crash_file_system other;
  {
    test_store theirs = open_store(other);
    REQUIRE(save(theirs, sample_meta(16), {"state at 16"}));
  }
  // The header of one with the blocks and footer of the other.
  const std::string seventeen = fs.image().begin()->second, sixteen = other.image().begin()->second;
  const std::size_t head = *confman::snapshot_format::header_size(seventeen);
  REQUIRE(seventeen.size() == sixteen.size());
  crash_file_system mixed(
      disk_image{{fs.image().begin()->first, seventeen.substr(0, head) + sixteen.substr(head)}});
  test_store found = open_store(mixed);
  const auto blocks = load_newest(found);
  REQUIRE_FALSE(blocks);
  CHECK(blocks.error().code == make_error_code(errc::snapshot_damaged));
}

TEST_CASE("a full disk wedges nothing: a snapshot that fails for want of space leaves the log writing") {
  crash_file_system fs;
  recovered_log found;
  test_log log = open_log(fs, found);
  log_model model;
  write(log, model.batch({"before"}));
  std::uint64_t used = 0;
  for (const auto& file : fs.image()) used += file.second.size();
  fs.space = used + 2000;
  test_store store = open_store(fs);
  for (int i = 0; i < 5; ++i) {
    const auto saved = save(store, sample_meta(1), {std::string(5000, 'a')});
    REQUIRE_FALSE(saved);
    CHECK(saved.error().code == make_error_code(errc::storage_failed));
    write(log, model.batch({"goes on"}));
  }
  fs.lose_power([] { return false; });
  (void)open_log(fs, found);
  CHECK(content_of(found) == model.now());
}
