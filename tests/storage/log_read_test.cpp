#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "crash_file_system.hpp"
#include "log_model.hpp"

using namespace confman_test;
using confman::recovered_log;
using test_log = confman::log<crash_file_system>;

namespace {

constexpr std::size_t no_limit = ~std::size_t{0};

test_log open_log(crash_file_system& fs) {
  recovered_log found;
  result<test_log> opened = test_log::open(fs, "data", small_options(), found);
  REQUIRE_MESSAGE(opened, (opened ? "" : opened.error().what));
  return std::move(*opened);
}

void write(test_log& log, const write_batch& batch) {
  const failure appended = log.append(batch);
  REQUIRE_MESSAGE(!appended, appended.what);
  const failure synced = log.sync();
  REQUIRE_MESSAGE(!synced, synced.what);
}

std::vector<entry> range(const content& all, std::uint64_t from, std::uint64_t last) {
  const std::uint64_t start = all.start.at.index.value();
  std::vector<entry> found;
  for (std::uint64_t i = from; i <= std::min(last, all.last()); ++i)
    found.push_back(all.entries[i - start - 1]);
  return found;
}

}  // namespace

TEST_CASE("entries are read back over segments, truncations, resets, releases and reopenings") {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    crash_file_system fs;
    log_model model;
    std::mt19937_64 random(seed);
    std::uint64_t released = 1;
    for (int life = 0; life < 4; ++life) {
      test_log log = open_log(fs);
      for (int step = 0; step < 40; ++step) {
        if (random() % 50 == 0) {
          released = model.now().last() + 8;
          write(log, model.reset({{term_t(3), log_index(released - 1)}, confman::chain_hash(random())}));
        }
        write(log, model.random_batch(random, 9000, released));
        if (random() % 20 == 0) {
          released = std::max(released, model.now().last() - std::min<std::uint64_t>(model.now().last(), 9));
          REQUIRE_FALSE(log.release_before(log_index(released)));
        }
        const std::uint64_t first = log.first_index().value(), last = log.last_index().value();
        if (first > last) continue;
        const std::uint64_t from = first + random() % (last - first + 1), to = from + random() % 12;
        const auto read = log.read(log_index(from), log_index(to), no_limit);
        REQUIRE_MESSAGE(read, "seed " << seed << ": " << read.error().what);
        REQUIRE(*read == range(model.now(), from, to));
      }
    }
  }
}

TEST_CASE("a read ends at its limit of bytes but gives at least one entry") {
  crash_file_system fs;
  log_model model;
  test_log log = open_log(fs);
  write(log, model.batch({std::string(200000, 'a'), "b", std::string(1000, 'c')}));
  write(log, model.batch({std::string(1000, 'd')}));
  const auto count = [&](std::uint64_t from, std::size_t max_bytes) {
    const auto read = log.read(log_index(from), log_index(100), max_bytes);
    REQUIRE(read);
    REQUIRE(*read == range(model.now(), from, from + read->size() - 1));
    return read->size();
  };
  CHECK(count(1, 0) == 1);
  CHECK(count(1, 1) == 1);
  CHECK(count(2, 1000) == 1);
  CHECK(count(2, 1200 + sizeof(entry)) == 2);
  CHECK(count(3, 2000 + 2 * sizeof(entry)) == 2);
  CHECK(count(3, 1999 + 2 * sizeof(entry)) == 1);
  CHECK(count(1, no_limit) == 4);
  const auto beyond = log.read(log_index(5), log_index(9), no_limit);
  REQUIRE(beyond);
  CHECK(beyond->empty());
}

TEST_CASE("what was appended and not synced yet is read back as well") {
  crash_file_system fs;
  log_model model;
  test_log log = open_log(fs);
  write(log, model.batch({"synced"}));
  REQUIRE(log.read(log_index(1), log_index(9), no_limit)->size() == 1);  // now a window of the file is known
  REQUIRE_FALSE(log.append(model.batch({"not synced"})));
  const auto read = log.read(log_index(1), log_index(9), no_limit);
  REQUIRE(read);
  CHECK(*read == model.now().entries);
}

TEST_CASE("a released entry can't be read, and the error says so") {
  crash_file_system fs;
  log_model model;
  test_log log = open_log(fs);
  for (int i = 0; i < 30; ++i) write(log, model.batch({std::string(900, 'a')}));
  REQUIRE(log.read(log_index(1), log_index(30), no_limit)->size() == 30);
  REQUIRE_FALSE(log.release_before(log_index(20)));
  const auto gone = log.read(log.first_index() - 1, log_index(30), no_limit);
  REQUIRE_FALSE(gone);
  CHECK(gone.error().code == make_error_code(errc::compacted));
  CHECK(log.read(log_index(0), log_index(30), no_limit).error().code == make_error_code(errc::compacted));
  const std::uint64_t first = log.first_index().value();
  const auto kept = log.read(log_index(first), log_index(30), no_limit);
  REQUIRE(kept);
  CHECK(*kept == range(model.now(), first, 30));
}

TEST_CASE(
    "a read of entries that rotted on the disk is refused with the file and the offset, and the log goes "
    "on") {
  log_model model;
  std::vector<write_batch> batches;
  for (int i = 0; i < 8; ++i) batches.push_back(model.batch({"small", std::string(700, 'a')}));
  crash_file_system whole;
  {
    test_log log = open_log(whole);
    for (const write_batch& b : batches) write(log, b);
  }
  const disk_image image = whole.image();
  const std::string second = "data/log-0000000000000002";
  REQUIRE(image.count(second) == 1);
  std::size_t refusals = 0;
  for (std::size_t at = 0; at < image.at(second).size(); at += 3) {
    crash_file_system fs(image);
    test_log log = open_log(fs);
    result<crash_file_system::file> f = fs.open_file(second, open_mode::existing);
    const std::string flipped(1, static_cast<char>(image.at(second)[at] ^ 0x10));
    const std::string_view piece = flipped;
    REQUIRE_FALSE(fs.write(*f, at, {&piece, 1}));
    const auto read = log.read(log_index(1), log_index(16), no_limit);
    if (read) {
      REQUIRE(*read == model.now().entries);  // padding, or bytes after the end
    } else {
      ++refusals;
      REQUIRE(read.error().code == make_error_code(errc::log_damaged));
      REQUIRE(read.error().what.find("data/log-") != std::string::npos);
      REQUIRE(read.error().what.find("at offset") != std::string::npos);
    }
    const write_batch& last = batches.back();
    REQUIRE_FALSE(log.append({.seq = {},
                              .truncate_from = last.entries.front().index,
                              .entries = last.entries,
                              .state = {},
                              .reset = {},
                              .release_before = {}}));
  }
  CHECK(refusals > 500);
}

TEST_CASE("a read that the disk refuses is an error of the disk, and the log goes on") {
  crash_file_system fs;
  log_model model;
  test_log log = open_log(fs);
  for (int i = 0; i < 10; ++i) write(log, model.batch({std::string(900, 'a')}));
  fs.unreadable = "data/log-0000000000000001";
  const auto read = log.read(log_index(1), log_index(2), no_limit);
  REQUIRE_FALSE(read);
  CHECK(read.error().code == make_error_code(errc::storage_failed));
  write(log, model.batch({"goes on"}));
  const auto newer = log.read(log_index(11), log_index(11), no_limit);
  REQUIRE(newer);
  CHECK(newer->front() == model.now().entries.back());
}

TEST_CASE("the index of places takes little memory, however small the batches are") {
  confman::frame_index places;
  for (std::uint64_t i = 0; i < 100000; ++i) places.add(log_index(i + 1), 1, 512 + 100 * i);
  CHECK(places.size() <= 100 * 100000 / confman::frame_index::spacing + 1);
  const confman::frame_place near = places.find(log_index(50000), {});
  CHECK(near.first <= log_index(50000));
  CHECK(log_index(50000) - near.first <= confman::frame_index::spacing / 100 + 1);
  places.truncate_from(near.first);
  CHECK(places.find(log_index(50000), {}).first < near.first);
  CHECK(places.find(log_index(0), {log_index(1), 77, 5}).sequence == 77);
}
