#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "confman/storage/memory_storage.hpp"
#include "crash_file_system.hpp"
#include "log_model.hpp"

using namespace confman_test;
using confman::log_options;
using confman::recovered_log;
using test_log = confman::log<crash_file_system>;

namespace {

// Opens and expects success.
test_log open_log(crash_file_system& fs, recovered_log& found, const log_options& options = small_options()) {
  result<test_log> opened = test_log::open(fs, "data", options, found);
  REQUIRE_MESSAGE(opened, (opened ? "" : opened.error().what));
  return std::move(*opened);
}

// Opens and expects this refusal.
failure refusal(crash_file_system& fs, errc expected, const log_options& options = small_options()) {
  recovered_log found;
  result<test_log> opened = test_log::open(fs, "data", options, found);
  REQUIRE_FALSE(opened);
  CHECK_MESSAGE(opened.error().code == make_error_code(expected), opened.error().what);
  return opened.error();
}

void write(test_log& log, const write_batch& batch) {
  const failure appended = log.append(batch);
  REQUIRE_MESSAGE(!appended, appended.what);
  const failure synced = log.sync();
  REQUIRE_MESSAGE(!synced, synced.what);
}

bool mentions(const failure& f, std::string_view text) {
  return f.what.find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("a new directory opens as an empty log of the first boot") {
  crash_file_system fs;
  recovered_log found;
  const test_log log = open_log(fs, found);
  CHECK(found.entries.empty());
  CHECK(found.state == hard_state{});
  CHECK(found.boot == 1);
  CHECK(found.incarnation == small_options().fresh_incarnation);
  CHECK(found.cluster == small_options().cluster);
}

TEST_CASE("what was synced is found again, and each open counts a boot and keeps the incarnation") {
  crash_file_system fs;
  log_model model;
  for (std::uint64_t boot = 1; boot <= 5; ++boot) {
    recovered_log found;
    log_options options = small_options();
    options.fresh_incarnation = confman::incarnation_id(small_options().fresh_incarnation.value() + boot - 1);
    test_log log = open_log(fs, found, options);
    CHECK(found.boot == boot);
    CHECK(found.incarnation == small_options().fresh_incarnation);
    CHECK(content_of(found) == model.now());
    write(log, model.batch({"a", std::string(700, 'b'), ""}, {},
                           hard_state{term_t(boot), node_id(2), log_index(1)}));
    write(log, model.batch({}, {}, hard_state{term_t(boot), node_id(3), log_index(2)}));
  }
}

TEST_CASE("an empty batch writes nothing, and a sync with nothing to sync does nothing") {
  crash_file_system fs;
  recovered_log found;
  test_log log = open_log(fs, found);
  const std::uint64_t before = fs.effects;
  CHECK_FALSE(log.append(write_batch{}));
  CHECK_FALSE(log.sync());
  CHECK(fs.effects == before);
}

TEST_CASE("a batch costs one write and one sync, whatever is in it") {
  crash_file_system fs;
  recovered_log found;
  log_options options = small_options();
  options.segment_bytes = std::uint64_t{1} << 20;
  options.prepare_ahead = false;
  test_log log = open_log(fs, found, options);
  log_model model;
  const std::uint64_t writes = fs.writes, syncs = fs.syncs;
  std::vector<std::string> payloads(100, std::string(300, 'x'));
  payloads.insert(payloads.end(), 20, std::string(5000, 'y'));
  write(log, model.batch(payloads, {}, hard_state{term_t(1), node_id(1), log_index(0)}));
  CHECK(fs.writes == writes + 1);
  CHECK(fs.syncs == syncs + 1);
}

TEST_CASE("a log of many segments is found again, also by a node with another segment size") {
  crash_file_system fs;
  log_model model;
  {
    recovered_log found;
    test_log log = open_log(fs, found);
    for (int i = 0; i < 300; ++i) write(log, model.batch({std::string(static_cast<std::size_t>(i), 'p')}));
    CHECK(log.segment_count() > 10);
    CHECK(log.last_index() == log_index(300));
  }
  log_options options = small_options();
  options.segment_bytes = 64 * 1024;
  recovered_log found;
  test_log log = open_log(fs, found, options);
  CHECK(content_of(found) == model.now());
  write(log, model.batch({std::string(30000, 'q')}));
}

TEST_CASE("entries larger than a segment get a segment of their own and survive") {
  crash_file_system fs;
  log_model model;
  for (const std::size_t size : {3400u, 3456u, 3457u, 4096u, 5000u, 100000u, 10u}) {
    recovered_log found;
    test_log log = open_log(fs, found);
    CHECK(content_of(found) == model.now());
    write(log, model.batch({std::string(size, 'L')}));
    write(log, model.batch({"small", std::string(size, 'M')}));
  }
  recovered_log found;
  (void)open_log(fs, found);
  CHECK(content_of(found) == model.now());
}

TEST_CASE("an entry above the limit is refused before anything happens, and the log goes on") {
  crash_file_system fs;
  log_options options = small_options();
  options.max_entry_bytes = 1000;
  recovered_log found;
  test_log log = open_log(fs, found, options);
  log_model model, other;
  const failure f = log.append(other.batch({std::string(1001, 'x')}));
  CHECK(f.code == make_error_code(errc::value_too_large));
  write(log, model.batch({std::string(1000, 'x')}));
}

TEST_CASE("a truncation voids entries, within a segment, across segments and wholly") {
  crash_file_system fs;
  log_model model;
  const auto reopened = [&fs] {
    recovered_log found;
    (void)open_log(fs, found);
    return content_of(found);
  };
  const auto append = [&](const write_batch& batch) {
    recovered_log found;
    test_log log = open_log(fs, found);
    write(log, batch);
  };
  for (int i = 0; i < 40; ++i) append(model.batch({std::string(400, 'a')}));
  append(model.batch({"new"}, 39));
  CHECK(reopened() == model.now());
  append(model.batch({"newer", "newest"}, 5, hard_state{term_t(9), node_id(1), log_index(4)}));
  CHECK(reopened() == model.now());
  append(model.batch({}, 7));  // just after the last entry: voids nothing
  CHECK(reopened() == model.now());
  append(model.batch({"first"}, 1));
  CHECK(reopened() == model.now());
  append(model.batch({}, 1));
  CHECK(reopened() == model.now());
  CHECK(reopened().entries.empty());
}

TEST_CASE("voiding the whole log frees its segments for reuse, and old bytes in them are never found again") {
  crash_file_system fs;
  log_model model;
  for (int round = 0; round < 6; ++round) {
    recovered_log found;
    test_log log = open_log(fs, found);
    CHECK(content_of(found) == model.now());
    for (int again = 0; again < 2; ++again) {
      for (int i = 0; i < 30; ++i) write(log, model.batch({std::string(400, 'a')}));
      CHECK(log.segment_count() > 3);
      write(log, model.batch({"one"}, 1));
      CHECK(log.segment_count() == 1);
    }
  }
  std::size_t spares = 0, segments = 0;
  for (const auto& [path, bytes] : fs.image()) {
    spares += path.rfind("data/spare-", 0) == 0 ? 1u : 0u;
    segments += path.rfind("data/log-", 0) == 0 ? 1u : 0u;
  }
  CHECK(segments == 1);
  CHECK(spares >= 1);
  CHECK(spares <= small_options().recycled_segments + 1);  // and one that is being prepared
}

TEST_CASE("entries before a place can be released; what is kept is found again and can be continued") {
  crash_file_system fs;
  log_model model;
  {
    recovered_log found;
    test_log log = open_log(fs, found);
    for (int i = 0; i < 50; ++i)
      write(log, model.batch({std::string(200, 'a')}, {}, hard_state{term_t(3), node_id(2), log_index(1)}));
    const std::size_t before = log.segment_count();
    CHECK_FALSE(log.release_before(log_index(30)));
    CHECK(log.segment_count() < before);
    CHECK(log.first_index() > log_index(15));
    CHECK(log.first_index() <= log_index(30));
    write(log, model.batch({"x"}, 40));
  }
  for (int round = 0; round < 2; ++round) {
    recovered_log found;
    test_log log = open_log(fs, found);
    REQUIRE_FALSE(found.entries.empty());
    const std::uint64_t skipped = log.first_index().value() - 1;
    CHECK(found.entries.front().index == log.first_index());
    CHECK(found.state == model.now().state);
    content expected = model.now();
    expected.entries.erase(expected.entries.begin(),
                           expected.entries.begin() + static_cast<std::ptrdiff_t>(skipped));
    CHECK(content_of(found) == expected);
    write(log, model.batch({"y"}));
  }
}

TEST_CASE("the next segment is prepared ahead, so that a change of segment fills nothing") {
  crash_file_system fs;
  recovered_log found;
  test_log log = open_log(fs, found);
  log_model model;
  for (;;) {
    const result<bool> more = log.maintain();
    REQUIRE(more);
    if (!*more) break;
  }
  CHECK(fs.image().count("data/spare-0000000000000002") == 1);
  for (int i = 0; i < 12; ++i) write(log, model.batch({std::string(200, 'a')}));
  CHECK(log.segment_count() == 1);
  write(log, model.batch({std::string(800, 'a')}));
  CHECK(log.segment_count() == 2);
}

TEST_CASE("a batch that does not continue the log is refused and stops it") {
  log_model model;
  const auto refused = [](const write_batch& bad) {
    crash_file_system fs;
    recovered_log found;
    log_model good;
    test_log log = open_log(fs, found);
    write(log, good.batch({"a", "b"}));
    const failure f = log.append(bad);
    CHECK(f.code == make_error_code(errc::storage_failed));
    CHECK(log.append(good.batch({"c"})).code == make_error_code(errc::storage_failed));
    recovered_log again;
    fs.kill();
    (void)open_log(fs, again);
    return again.entries.size() == 2;
  };
  write_batch gap = model.batch({"a", "b", "c", "d"});
  gap.entries.erase(gap.entries.begin(), gap.entries.begin() + 3);
  CHECK(refused(gap));
  log_model third;
  (void)third.batch({"a", "b"});
  write_batch hash = third.batch({"c"});
  hash.entries.front().hash = confman::chain_hash(1);
  CHECK(refused(hash));
  write_batch far;
  far.truncate_from = log_index(4);
  CHECK(refused(far));
  far.truncate_from = log_index(0);
  CHECK(refused(far));
}

TEST_CASE("fsync failure then success: a failed sync stops the log for good, nothing is written again") {
  crash_file_system fs;
  recovered_log found;
  test_log log = open_log(fs, found);
  log_model model;
  write(log, model.batch({"kept"}));
  CHECK_FALSE(log.append(model.batch({"lost?"})));
  fs.failing_sync = 1;
  const failure f = log.sync();
  CHECK(f.code == make_error_code(errc::storage_failed));
  CHECK(mentions(f, "Input/output error"));
  const std::uint64_t effects = fs.effects;
  CHECK(log.sync().code == make_error_code(errc::storage_failed));
  CHECK(log.append(model.batch({"never"})).code == make_error_code(errc::storage_failed));
  CHECK(log.release_before(log_index(1)).code == make_error_code(errc::storage_failed));
  CHECK_FALSE(log.maintain());
  CHECK(fs.effects == effects);
}

TEST_CASE("what a failed sync left in the page cache only is durable once a restart has found it") {
  crash_file_system fs;
  log_model model;
  {
    recovered_log found;
    test_log log = open_log(fs, found);
    write(log, model.batch({"kept"}));
    CHECK_FALSE(log.append(model.batch({std::string(1500, 'c')})));
    fs.failing_sync = 1;
    CHECK(log.sync());
  }
  recovered_log found;
  (void)open_log(fs, found);
  CHECK(content_of(found) == model.now());
  fs.lose_power([] { return false; });
  recovered_log again;
  (void)open_log(fs, again);
  CHECK(content_of(again) == model.now());
}

TEST_CASE("what a killed process had not synced is durable once a restart has found it") {
  crash_file_system fs;
  log_model model;
  {
    recovered_log found;
    test_log log = open_log(fs, found);
    CHECK_FALSE(log.append(model.batch({"never synced"})));
  }
  fs.kill();
  recovered_log found;
  (void)open_log(fs, found);
  CHECK(content_of(found) == model.now());
  fs.lose_power([] { return false; });
  recovered_log again;
  (void)open_log(fs, again);
  CHECK(content_of(again) == model.now());
}

TEST_CASE("a full disk stops the log at the change of segment, and a restart with space goes on") {
  crash_file_system fs;
  log_model model;
  {
    recovered_log found;
    test_log log = open_log(fs, found);
    fs.space = 10000;
    failure f;
    while (!f) {
      f = log.append(model.batch({std::string(500, 'a')}));
      if (!f) f = log.sync();
    }
    CHECK(f.code == make_error_code(errc::storage_failed));
    CHECK(mentions(f, "No space left"));
    CHECK(mentions(f, "free space"));
    CHECK(model.batches() > 10);  // both segments were used up: preparing ahead didn't stop it earlier
  }
  const content acknowledged = model.history()[model.batches() - 1];
  fs.space = ~std::uint64_t{0};
  fs.lose_power([] { return false; });
  recovered_log found;
  test_log log = open_log(fs, found);
  CHECK(content_of(found) == acknowledged);
  model.restart(acknowledged);
  write(log, model.batch({"goes on"}));
}

TEST_CASE("a directory of another cluster, group or node is refused, and nothing in it changes") {
  crash_file_system fs;
  {
    recovered_log found;
    (void)open_log(fs, found);
  }
  disk_image before = fs.image();
  before.erase("data/LOCK");
  fs = crash_file_system(before);
  log_options options = small_options();
  options.cluster = confman::cluster_id(8);
  failure f = refusal(fs, errc::wrong_cluster, options);
  CHECK(mentions(f, "data belongs to cluster 7, this node is set up as cluster 8"));
  options = small_options();
  options.group = confman::group_id(4);
  f = refusal(fs, errc::wrong_cluster, options);
  CHECK(mentions(f, "group 3"));
  options = small_options();
  options.node = confman::node_id(2);
  f = refusal(fs, errc::wrong_node, options);
  CHECK(mentions(f, "node 1"));
  CHECK(mentions(f, "node 2"));
  CHECK(fs.image() == before);
}

TEST_CASE("a directory with other files is refused, and nothing in it changes") {
  const disk_image foreign = {{"data/holiday.jpg", "bytes"}};
  crash_file_system fs(foreign);
  CHECK(mentions(refusal(fs, errc::bad_option), "holiday.jpg"));
  CHECK(fs.image() == foreign);
  const disk_image orphan = {{"data/log-0000000000000001", "bytes"}};
  fs = crash_file_system(orphan);
  (void)refusal(fs, errc::log_damaged);
  CHECK(fs.image() == orphan);
}

TEST_CASE("a directory that another log has open is refused until that one is gone") {
  crash_file_system fs;
  recovered_log found;
  {
    const test_log first = open_log(fs, found);
    (void)refusal(fs, errc::directory_in_use);
  }
  (void)open_log(fs, found);
  CHECK(found.boot == 2);
}

TEST_CASE("impossible options are refused") {
  crash_file_system fs;
  const auto with = [&fs](auto change) {
    log_options options = small_options();
    change(options);
    (void)refusal(fs, errc::bad_option, options);
  };
  with([](log_options& o) { o.cluster = {}; });
  with([](log_options& o) { o.node = {}; });
  with([](log_options& o) { o.fresh_incarnation = {}; });
  with([](log_options& o) { o.segment_bytes = 1000; });
  with([](log_options& o) { o.segment_bytes = 4097; });
  with([](log_options& o) { o.segment_bytes = std::uint64_t{1} << 31; });
  with([](log_options& o) { o.max_entry_bytes = std::uint64_t{4} << 30; });
}

TEST_CASE("memory storage keeps what a log would keep") {
  confman::memory_storage memory;
  log_model model;
  std::mt19937 random(5);
  for (int i = 0; i < 100; ++i) CHECK_FALSE(memory.append(model.random_batch(random, 300)));
  CHECK_FALSE(memory.sync());
  const recovered_log found = memory.recover(confman::cluster_id(1), confman::incarnation_id(2));
  CHECK(content_of(found) == model.now());
  CHECK(found.boot == 1);
  write_batch bad;
  bad.truncate_from = log_index(1000);
  CHECK(memory.append(bad).code == make_error_code(errc::storage_failed));
}
