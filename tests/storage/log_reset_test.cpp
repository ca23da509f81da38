#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "confman/storage/memory_storage.hpp"
#include "crash_file_system.hpp"
#include "log_model.hpp"

using namespace confman_test;
using confman::chain_hash;
using confman::log_reset;
using confman::recovered_log;
using confman::version;
using test_log = confman::log<crash_file_system>;

namespace {

test_log open_log(crash_file_system& fs, recovered_log& found,
                  const confman::log_options& options = small_options()) {
  result<test_log> opened = test_log::open(fs, "data", options, found);
  REQUIRE_MESSAGE(opened, (opened ? "" : opened.error().what));
  return std::move(*opened);
}

void write(test_log& log, const write_batch& batch) {
  const failure appended = log.append(batch);
  REQUIRE_MESSAGE(!appended, appended.what);
  const failure synced = log.sync();
  REQUIRE_MESSAGE(!synced, synced.what);
}

log_reset place(std::uint64_t term, std::uint64_t index) {
  return {{term_t(term), log_index(index)}, chain_hash(term * 1000003 + index)};
}

std::size_t files(const crash_file_system& fs, const std::string& prefix) {
  std::size_t count = 0;
  for (const auto& file : fs.image()) count += file.first.rfind("data/" + prefix, 0) == 0 ? 1 : 0;
  return count;
}

bool begins_at(const recovered_log& found, const log_reset& at) {
  return log_reset{found.base, found.base_hash} == at;
}

}  // namespace

TEST_CASE("after a reset the log is empty, begins at its place, and its segments are freed for reuse") {
  for (const std::uint64_t index : {3u, 20u, 500u}) {  // inside the log, its end, beyond it
    crash_file_system fs;
    log_model model;
    recovered_log found;
    test_log log = open_log(fs, found);
    for (int i = 0; i < 20; ++i) write(log, model.batch({std::string(900, 'a')}));
    REQUIRE(log.segment_count() > 3);
    write(log, model.reset(place(4, index), {}, hard_state{term_t(4), node_id(2), log_index(index)}));
    CHECK(log.segment_count() == 1);
    CHECK(log.first_index() == log_index(index + 1));
    CHECK(log.last_index() == log_index(index));
    CHECK(files(fs, "log-") == 1);
    CHECK(files(fs, "spare-") >= 1);
    for (int i = 0; i < 12; ++i) write(log, model.batch({std::string(900, 'b')}));
    fs.lose_power([] { return false; });
    (void)open_log(fs, found);
    CHECK(content_of(found) == model.now());
    CHECK(begins_at(found, place(4, index)));
    CHECK(found.entries.front().index == log_index(index + 1));
  }
}

TEST_CASE("reset, entries and hard state of one batch are found together or not at all") {
  log_model model;
  const write_batch before =
      model.batch({"a", std::string(3000, 'b')}, {}, hard_state{term_t(1), node_id(1), {}});
  const write_batch batch = model.reset(place(7, 40), {"after", std::string(2000, 'c')},
                                        hard_state{term_t(7), node_id(3), log_index(40)});
  const auto life = [&](crash_file_system& fs) {
    recovered_log found;
    result<test_log> log = test_log::open(fs, "data", small_options(), found);
    if (!log || log->append(before) || log->sync()) return 0;
    return log->append(batch) || log->sync() ? 1 : 2;
  };
  crash_file_system whole;
  REQUIRE(life(whole) == 2);
  bool seen_old = false, seen_new = false;
  for (std::uint64_t dies_at = 1; dies_at <= whole.effects; ++dies_at)
    for (unsigned survivors = 0; survivors < 8; ++survivors) {
      crash_file_system fs;
      fs.dies_at = dies_at;
      const int done = life(fs);
      unsigned at = survivors;
      fs.lose_power([&] { return ((0x96u >> (at++ % 8)) & 1) == (survivors & 1) || survivors > 5; });
      recovered_log found;
      (void)open_log(fs, found);
      const content now = content_of(found);
      const bool is_new = now == model.history()[2] && begins_at(found, place(7, 40));
      const bool is_old = now == model.history()[1] && begins_at(found, {});
      seen_old = seen_old || is_old;
      seen_new = seen_new || is_new;
      if (done == 0)
        CHECK((is_old || now == content()));
      else
        CHECK((is_new || (done == 1 && is_old)));
      CHECK(files(fs, "log-") <= 3);
      if (is_new) CHECK(files(fs, "log-") == 1);  // what a crash had left unfreed is freed by the open
    }
  CHECK(seen_old);
  CHECK(seen_new);
}

TEST_CASE("a log can be reset again and again, also when empty, and truncated back to its base") {
  crash_file_system fs;
  log_model model;
  for (std::uint64_t round = 0; round < 12; ++round) {
    recovered_log found;
    test_log log = open_log(fs, found);
    CHECK(content_of(found) == model.now());
    CHECK(begins_at(found, model.now().start));
    write(log, model.reset(place(round + 1, round * 10)));
    if (round % 3 == 1) write(log, model.reset(place(round + 1, round * 10 + 5), {"x"}));
    for (int i = 0; i < 7; ++i) write(log, model.batch({std::string(900, 'a')}));
    write(log, model.batch({"instead"}, model.now().start.at.index.value() + 1 + round % 2));
  }
}

TEST_CASE("a batch that does not fit its reset is refused") {
  const auto refused = [](auto change) {
    crash_file_system fs;
    recovered_log found;
    test_log log = open_log(fs, found);
    log_model model;
    write(log, model.batch({"a", "b", "c"}));
    write_batch batch = model.reset(place(2, 2), {"d"});
    change(batch);
    return log.append(batch).code == make_error_code(errc::storage_failed);
  };
  CHECK_FALSE(refused([](write_batch&) {}));
  CHECK(refused([](write_batch& b) { b.entries.front().index = log_index(4); }));
  CHECK(refused([](write_batch& b) { b.reset->hash = chain_hash(9); }));
  CHECK(refused([](write_batch& b) { b.truncate_from = log_index(2); }));
}

TEST_CASE("a release in a batch comes after the sync, never before the batch is durable") {
  crash_file_system fs;
  log_model model;
  recovered_log found;
  test_log log = open_log(fs, found);
  for (int i = 0; i < 20; ++i) write(log, model.batch({std::string(900, 'a')}));
  const std::size_t segments = log.segment_count();
  write_batch batch = model.batch({"newest"});
  batch.release_before = log_index(15);
  REQUIRE_FALSE(log.append(batch));
  REQUIRE_FALSE(log.release_before(log_index(18)));  // waits as well
  CHECK(log.segment_count() == segments);
  CHECK(log.first_index() == log_index(1));
  REQUIRE_FALSE(log.sync());
  CHECK(log.segment_count() < segments);
  CHECK(log.first_index() > log_index(9));
  CHECK(log.first_index() <= log_index(18));
  const std::uint64_t syncs = fs.syncs;
  write_batch hint;  // nothing else: nothing is written for it
  hint.release_before = log_index(20);
  REQUIRE_FALSE(log.append(hint));
  REQUIRE_FALSE(log.sync());
  CHECK(fs.syncs <= syncs + 1);  // the identity file
  const log_index first = log.first_index();
  fs.lose_power([] { return false; });
  (void)open_log(fs, found);
  CHECK(found.base.index + 1 == first);
  const entry& gone = model.now().entries[found.base.index.value() - 1];
  CHECK(begins_at(found, {{gone.term, gone.index}, gone.hash}));
}

TEST_CASE("a new directory can begin after a snapshot, and an old one is not touched by that") {
  crash_file_system fs(disk_image{{"data/snapshot-0000000000000005-0000000000000002.snap", "s"}});
  recovered_log found;
  const result<test_log> refused = test_log::open(fs, "data", small_options(), found);
  REQUIRE_FALSE(refused);  // without saying so: these may be the remains of something else
  CHECK(refused.error().code == make_error_code(errc::bad_option));
  confman::log_options options = small_options();
  options.begin_at = place(2, 5);
  log_model model;
  model.restart({{}, {}, place(2, 5)});
  {
    test_log log = open_log(fs, found, options);
    CHECK(begins_at(found, place(2, 5)));
    CHECK(found.entries.empty());
    write(log, model.batch({"six"}));
  }
  options.begin_at = place(3, 50);
  (void)open_log(fs, found, options);
  CHECK(begins_at(found, place(2, 5)));
  CHECK(content_of(found) == model.now());
}

TEST_CASE("memory storage resets, releases and reads like a log") {
  confman::memory_storage memory;
  log_model model;
  REQUIRE_FALSE(memory.append(model.batch({"a", "b"})));
  REQUIRE_FALSE(memory.append(model.reset(place(3, 10), {"c", "d", "e"})));
  recovered_log found = memory.recover(confman::cluster_id(1), confman::incarnation_id(2));
  CHECK(content_of(found) == model.now());
  CHECK(begins_at(found, place(3, 10)));
  write_batch release;
  release.release_before = log_index(13);
  REQUIRE_FALSE(memory.append(release));
  found = memory.recover(confman::cluster_id(1), confman::incarnation_id(2));
  CHECK(found.base.index == log_index(12));
  CHECK(found.base_hash == model.now().entries[1].hash);
  CHECK(memory.read(log_index(12), log_index(13), 1).error().code == make_error_code(errc::compacted));
  const result<std::vector<entry>> read = memory.read(log_index(13), log_index(99), 1);
  REQUIRE(read);
  CHECK(*read == std::vector<entry>{model.now().entries[2]});
}
