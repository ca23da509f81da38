#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "crash_file_system.hpp"
#include "log_model.hpp"

using namespace confman_test;
using confman::recovered_log;
using test_log = confman::log<crash_file_system>;
namespace format = confman::log_format;

namespace {

constexpr const char* first_segment = "data/log-0000000000000001";

struct outcome {
  bool opened = false;
  content found;
  failure error;
  disk_image after;
};

outcome open_image(const disk_image& image) {
  crash_file_system fs(image);
  recovered_log found;
  outcome o;
  const result<test_log> opened = test_log::open(fs, "data", small_options(), found);
  o.opened = static_cast<bool>(opened);
  if (o.opened) o.found = content_of(found);
  if (!o.opened) o.error = opened.error();
  o.after = fs.image();
  return o;
}

// Appends and syncs each batch on a disk that begins as `image`, and returns the disk.
disk_image written(const disk_image& image, const std::vector<write_batch>& batches, bool noted = false) {
  crash_file_system fs(image);
  recovered_log found;
  result<test_log> log = test_log::open(fs, "data", small_options(), found);
  REQUIRE(log);
  for (const write_batch& b : batches) {
    REQUIRE_FALSE(log->append(b));
    REQUIRE_FALSE(log->sync());
  }
  if (noted) REQUIRE(log->maintain());
  return fs.image();
}

bool refused(const outcome& o, const disk_image& image) {
  return !o.opened && o.after == image &&
         (o.error.code == make_error_code(errc::log_damaged) ||
          o.error.code == make_error_code(errc::format_unsupported));
}

// The bytes in which two images of the same file differ: where the last batch was written.
std::pair<std::size_t, std::size_t> difference(const std::string& a, const std::string& b) {
  std::size_t from = 0, to = a.size();
  while (from < to && a[from] == b[from]) ++from;
  while (to > from && a[to - 1] == b[to - 1]) --to;
  return {from, to};
}

std::vector<std::string> damaged_forms(const std::string& bytes, std::size_t at) {
  std::vector<std::string> forms;
  for (const int mask : {1, 0x80, 0xFF}) {
    forms.push_back(bytes);
    forms.back()[at] = static_cast<char>(forms.back()[at] ^ mask);
  }
  if (bytes[at] != 0) {
    forms.push_back(bytes);
    forms.back()[at] = '\0';
  }
  forms.push_back(bytes.substr(0, at));  // the file is cut here
  return forms;
}

}  // namespace

TEST_CASE("a tail torn at any byte is cut to the batch before, and zeroed durably") {
  log_model model;
  const disk_image base =
      written({}, {model.batch({"a", std::string(700, 'b')}, {}, hard_state{term_t(1), node_id(1), {}})});
  // The boundaries of what may be torn come from a second log, opened so that nothing vouches for its last
  // batch.
  const disk_image whole =
      written(base, {model.batch({std::string(600, 'c'), "d"}, 2, hard_state{term_t(2), node_id(2), {}})});
  const disk_image before = written(base, {});
  const std::string& full = whole.at(first_segment);
  const auto [from, to] = difference(before.at(first_segment), full);
  REQUIRE(to - from > 600);
  for (std::size_t at = from; at < to; ++at) {
    std::vector<std::string> torn;
    torn.push_back(full.substr(0, at) + std::string(full.size() - at, '\0'));  // a prefix survived
    torn.push_back(full.substr(0, from) + std::string(at - from, '\0') + full.substr(at));  // a suffix did
    torn.push_back(full);
    torn.back()[at] = static_cast<char>(torn.back()[at] ^ 0x40);
    for (const std::string& bytes : torn) {
      if (bytes == full) continue;
      disk_image image = whole;
      image[first_segment] = bytes;
      const outcome o = open_image(image);
      REQUIRE_MESSAGE(o.opened, o.error.what);
      REQUIRE(o.found == model.history()[1]);
      REQUIRE(o.after.at(first_segment) == before.at(first_segment));
    }
  }
}

TEST_CASE("a crash at any sector of a term and vote leaves the old pair or the new pair") {
  log_model model;
  std::vector<write_batch> batches;
  for (std::uint64_t i = 1; i <= 60; ++i)  // crosses sectors at many alignments, and segments
    batches.push_back(
        model.batch({}, {}, hard_state{term_t(i * 0x0101010101010101u), node_id(~i), log_index(i)}));
  for (std::size_t i = 1; i < batches.size(); ++i) {
    const disk_image base = written({}, {batches.begin(), batches.begin() + static_cast<std::ptrdiff_t>(i)});
    for (unsigned survivors = 0; survivors < 8; ++survivors) {
      crash_file_system fs(base);
      recovered_log found;
      {
        result<test_log> log = test_log::open(fs, "data", small_options(), found);
        REQUIRE(log);
        REQUIRE_FALSE(log->append(batches[i]));
      }
      unsigned at = 0;
      fs.lose_power([&] { return (survivors >> (at++ % 3) & 1u) != 0; });
      REQUIRE(test_log::open(fs, "data", small_options(), found));
      REQUIRE((found.state == model.history()[i].state || found.state == model.history()[i + 1].state));
    }
  }
}

TEST_CASE(
    "damage in the middle or in the acknowledged tail is never cut: any byte changed is refused, or does no "
    "harm, or hits only the last batch") {
  log_model model;
  std::vector<write_batch> batches;
  for (std::size_t i = 0; i < 14; ++i)
    batches.push_back(model.batch({std::string(90 * (i % 9), static_cast<char>('a' + i)), "x"},
                                  i == 9 ? std::optional<std::uint64_t>(4) : std::nullopt,
                                  hard_state{term_t(i + 1), node_id(i % 3), log_index(i)}));
  const disk_image image = written({}, batches);
  const content& all = model.now();
  const content& but_last = model.history()[batches.size() - 1];
  std::size_t refusals = 0, harmless = 0, cuts = 0;
  for (const auto& [path, bytes] : image) {
    if (path == "data/LOCK" || path.rfind("data/spare", 0) == 0) continue;
    for (std::size_t at = 0; at < bytes.size(); ++at)
      for (const std::string& bad : damaged_forms(bytes, at)) {
        disk_image damaged = image;
        damaged[path] = bad;
        const outcome o = open_image(damaged);
        if (!o.opened) {
          ++refusals;
          REQUIRE(refused(o, damaged));
          REQUIRE(o.error.what.find(path) != std::string::npos);
          REQUIRE(o.error.what.find("Nothing was changed") != std::string::npos);
        } else if (o.found == all) {
          ++harmless;
        } else {
          ++cuts;
          REQUIRE(o.found == but_last);
        }
      }
  }
  CHECK(refusals > 15000);
  CHECK(harmless > 1000);  // unused bytes
  CHECK(cuts > 100);       // the last batch: nothing on disk says that it was synced
  CHECK(cuts < 5 * 600);
}

TEST_CASE("damage to the last batch too is refused once an idle log has noted that it was synced") {
  log_model model;
  const std::vector<write_batch> batches = {model.batch({"first"}), model.batch({std::string(300, 'z')})};
  const disk_image before = written({}, {batches[0]});
  const disk_image plain = written({}, batches);
  const disk_image noted = written({}, batches, true);
  const auto [from, to] = difference(before.at(first_segment), plain.at(first_segment));
  for (std::size_t at = from; at < to; ++at) {
    disk_image damaged = noted;
    damaged[first_segment][at] = static_cast<char>(damaged[first_segment][at] ^ 0x10);
    REQUIRE(refused(open_image(damaged), damaged));
    damaged = plain;
    damaged[first_segment][at] = static_cast<char>(damaged[first_segment][at] ^ 0x10);
    const outcome o = open_image(damaged);
    REQUIRE(o.opened);
    REQUIRE(o.found == model.history()[1]);
  }
}

TEST_CASE("everything found by an open is acknowledged: losing it afterwards is damage, even as zeros") {
  log_model model;
  disk_image image = written({}, {model.batch({"first"}), model.batch({"second"})});
  image = written(image, {});  // opened once more
  std::string& bytes = image[first_segment];
  std::fill(bytes.begin() + format::segment_header_bytes, bytes.end(), '\0');
  CHECK(refused(open_image(image), image));
}

TEST_CASE("segments that an unfinished first open left are gone after the next one, whatever their number") {
  disk_image image = written({}, {});
  format::identity who;
  std::uint32_t version = 0;
  REQUIRE(format::decode(image.at("data/identity"), who, version) == format::decoded::good);
  who.first_segment = 0;  // no open has succeeded
  image["data/identity"] = format::encode(who);
  image["data/log-ffffffffffffffff"] = image["data/log-0000000000000009"] = image.at(first_segment);
  const outcome o = open_image(image);
  REQUIRE(o.opened);
  CHECK(o.after.count("data/log-ffffffffffffffff") + o.after.count("data/log-0000000000000009") == 0);
  CHECK(open_image(o.after).opened);
}

TEST_CASE("a missing segment is refused, be it the first, one in the middle or the last") {
  log_model model;
  std::vector<write_batch> batches;
  for (int i = 0; i < 30; ++i) batches.push_back(model.batch({std::string(500, 'a')}));
  const disk_image image = written({}, batches);
  std::vector<std::string> segments;
  for (const auto& entry : image)
    if (entry.first.rfind("data/log-", 0) == 0) segments.push_back(entry.first);
  REQUIRE(segments.size() >= 4);
  for (const std::string& gone : segments) {
    disk_image damaged = image;
    damaged.erase(gone);
    const outcome o = open_image(damaged);
    CHECK_MESSAGE(refused(o, damaged), gone);
  }
  disk_image swapped = image;
  std::swap(swapped[segments[1]], swapped[segments[2]]);
  CHECK(refused(open_image(swapped), swapped));
}

TEST_CASE("a segment of another directory is refused even where ids and places agree") {
  log_model model;
  const disk_image ours = written({}, {model.batch({"ours"})});
  crash_file_system fs;
  recovered_log found;
  confman::log_options options = small_options();
  options.fresh_incarnation = confman::incarnation_id(99);
  REQUIRE(test_log::open(fs, "data", options, found));
  disk_image mixed = ours;
  mixed[first_segment] = fs.image().at(first_segment);
  CHECK(refused(open_image(mixed), mixed));
}

TEST_CASE("a newer format is refused with both versions, in the identity and in a segment") {
  const disk_image image = written({}, {});
  for (const char* path : {"data/identity", first_segment}) {
    disk_image newer = image;
    std::string& bytes = newer[path];
    const std::size_t block =
        path == std::string(first_segment) ? format::segment_header_bytes : bytes.size();
    format::put<std::uint32_t>(bytes.data() + 8, 2);
    format::put(bytes.data() + block - 4, confman::crc32c(std::string_view(bytes).substr(0, block - 4)));
    const outcome o = open_image(newer);
    CHECK_FALSE(o.opened);
    CHECK(o.error.code == make_error_code(errc::format_unsupported));
    CHECK(o.error.what.find(path) != std::string::npos);
    CHECK(o.error.what.find("version 2, this build reads version 1") != std::string::npos);
    CHECK(o.after == newer);
  }
}

namespace {

// Puts a frame with a right checksum and this body at the start of an empty log.
outcome open_with_body(std::string body, std::uint32_t records) {
  disk_image image = written({}, {});
  std::string& bytes = image[first_segment];
  body.resize(format::align(body.size()));
  const std::uint64_t at = format::segment_header_bytes;
  const std::uint32_t seed = format::place(small_options().fresh_incarnation, 1).seed(at);
  format::frame_header header;
  header.number = 1;
  header.body_bytes = body.size();
  header.previous = format::get<std::uint32_t>(bytes.data() + at - 4);
  header.records = records;
  header.body_checksum = confman::crc32c(body, seed);
  format::encode(bytes.data() + at, header, seed);
  bytes.replace(at + format::frame_header_bytes, body.size(), body);
  outcome o = open_image(image);
  CHECK((o.opened || o.after == image));
  return o;
}

std::string entry_body(std::uint64_t index, std::uint8_t type, bool right_hash) {
  entry e;
  e.term = term_t(1);
  e.index = log_index(index);
  e.type = static_cast<confman::entry_type>(type);
  e.hash = right_hash ? extend_chain({}, e.term, type, "") : confman::chain_hash(5);
  std::string body(format::entry_head_bytes, '\0');
  format::put_entry(body.data(), e);
  return body;
}

}  // namespace

TEST_CASE("undecodable record refused at start, though its checksum is right") {
  CHECK(open_with_body(entry_body(1, 1, true), 1).opened);  // the harness itself works
  const auto code = [](const std::string& body, std::uint32_t records) {
    return open_with_body(body, records).error.code;
  };
  const std::error_code newer = make_error_code(errc::format_unsupported);
  const std::error_code damaged = make_error_code(errc::log_damaged);
  CHECK(code(entry_body(1, 77, true), 1) == newer);    // unknown entry type
  CHECK(code(entry_body(2, 1, true), 1) == damaged);   // a gap
  CHECK(code(entry_body(1, 1, false), 1) == damaged);  // breaks the hash chain
  std::string unknown(16, '\0');
  format::put<std::uint32_t>(unknown.data(), 8);
  unknown[4] = 9;
  CHECK(code(unknown, 1) == newer);
  std::string truncation(16, '\0');
  format::put_truncate(truncation.data(), log_index(5));
  CHECK(code(truncation, 1) == damaged);  // beyond the end
  format::put_truncate(truncation.data(), log_index(0));
  CHECK(code(truncation, 1) == damaged);
  std::string endless(16, '\0');
  format::put<std::uint32_t>(endless.data(), 0xFFFFFFFFu);
  CHECK(code(endless, 1) == damaged);                 // longer than its batch
  CHECK(code(entry_body(1, 1, true), 2) == damaged);  // fewer records than said
  CHECK(code(entry_body(1, 1, true), 0) == damaged);  // more
}

TEST_CASE(
    "a reset to a place so high that sums of places would overflow is refused, found or to be written") {
  const auto open_with_reset = [](std::uint64_t index) {
    std::string body(format::reset_bytes, '\0');
    format::put_reset(body.data(), {{term_t(1), log_index(index)}, confman::chain_hash(1)});
    return open_with_body(body, 1);
  };
  const std::uint64_t highest = confman::highest_index.value();
  CHECK(open_with_reset(highest).opened);
  for (const std::uint64_t index : {highest + 1, ~std::uint64_t{0} - 1, ~std::uint64_t{0}}) {
    CHECK(open_with_reset(index).error.code == make_error_code(errc::log_damaged));
    crash_file_system fs;
    recovered_log found;
    const confman::log_reset reset{{term_t(1), log_index(index)}, {}};
    confman::log_options options = small_options();
    options.begin_at = reset;
    CHECK(test_log::open(fs, "data", options, found).error().code == make_error_code(errc::bad_option));
    auto log = test_log::open(fs, "data", small_options(), found);
    REQUIRE(log);
    log_model model;
    CHECK(log->append(model.reset(reset)).code == make_error_code(errc::storage_failed));
  }
}

TEST_CASE("a disk that can't be read is an error of the disk, not damage, and nothing changes") {
  log_model model;
  const disk_image image = written({}, {model.batch({"a"})});
  for (const char* path : {"data/identity", first_segment}) {
    crash_file_system fs(image);
    fs.unreadable = path;
    recovered_log found;
    const result<test_log> opened = test_log::open(fs, "data", small_options(), found);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == make_error_code(errc::storage_failed));
    CHECK(fs.image() == image);
  }
}

TEST_CASE("a frame is valid at its own place only, and never in a recycled segment") {
  using confman::incarnation_id;
  std::string bytes(format::frame_header_bytes, '\0');
  format::frame_header written;
  written.number = 9;
  written.synced = 8;
  format::encode(bytes.data(), written, format::place(incarnation_id(1), 5).seed(512));
  format::frame_header read;
  const auto valid = [&](std::uint64_t incarnation, std::uint64_t sequence, std::uint64_t offset) {
    return format::decode(bytes.data(), read,
                          format::place(incarnation_id(incarnation), sequence).seed(offset));
  };
  CHECK(valid(1, 5, 512));
  CHECK(read.number == 9);
  CHECK_FALSE(valid(2, 5, 512));
  CHECK_FALSE(valid(1, 5, 520));
  for (std::uint64_t sequence = 6; sequence < 20000; ++sequence) REQUIRE_FALSE(valid(1, sequence, 512));
}

TEST_CASE("a frame that follows another one than it was written after is cut, not taken") {
  const auto state = [](std::uint64_t n) { return hard_state{term_t(n), node_id(n), log_index(n)}; };
  log_model ours, theirs;
  const disk_image one = written({}, {ours.batch({}, {}, state(1)), ours.batch({}, {}, state(2))});
  const disk_image two = written({}, {theirs.batch({}, {}, state(3)), theirs.batch({}, {}, state(4))});
  // Both frames of a batch are of the same size: the second one of `one` behind the first one of `two`, as if
  // a tail had been cut without zeroing it. The second frame says that the first was synced, but not this
  // first.
  const std::size_t first = format::segment_header_bytes,
                    size = format::frame_header_bytes + format::state_bytes;
  disk_image mixed = one;
  mixed[first_segment].replace(first, size, two.at(first_segment).substr(first, size));
  const outcome o = open_image(mixed);
  REQUIRE(o.opened);
  CHECK(o.found == theirs.history()[1]);
}

TEST_CASE("a segment header with a valid checksum and impossible numbers is refused") {
  const disk_image image = written({}, {});
  const auto refused_with = [&image](auto change) {
    disk_image bad = image;
    std::string& bytes = bad[first_segment];
    format::segment_header header;
    std::uint32_t version = 0;
    REQUIRE(format::decode(bytes.substr(0, format::segment_header_bytes), header, version) ==
            format::decoded::good);
    change(header);
    bytes.replace(0, format::segment_header_bytes, format::encode(header));
    return refused(open_image(bad), bad);
  };
  CHECK(refused_with([](format::segment_header& h) { h.capacity = 100; }));
  CHECK(refused_with([](format::segment_header& h) { h.capacity = ~std::uint64_t{0}; }));
  CHECK(refused_with([](format::segment_header& h) { h.capacity -= 1; }));  // no room for the seal
  CHECK(refused_with([](format::segment_header& h) { h.first_frame = 0; }));
  CHECK(refused_with([](format::segment_header& h) { h.first_frame = ~std::uint64_t{0}; }));
  CHECK(refused_with([](format::segment_header& h) { h.base.index = log_index(~std::uint64_t{0}); }));
  CHECK(refused_with([](format::segment_header& h) { h.start.index = log_index(~std::uint64_t{0}); }));
  CHECK(refused_with([](format::segment_header& h) { h.sequence = 2; }));
}
