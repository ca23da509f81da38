// Every byte of a log's files turned, zeroed, or the last one that is left: what an open makes of it is known
// in advance.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "lib/effort.hpp"
#include "storage/log_image.hpp"

using namespace confman_test;
using confman::errc;
using confman::failure;
using confman::recovered_log;
using test_log = confman::log<image_file_system>;
namespace format = confman::log_format;

namespace {

struct frame_span {
  std::string path;
  std::size_t from = 0, to = 0;
  std::size_t batch = 0;  // the number of batches up to this frame, itself included
  std::uint64_t number = 0;
  bool vouched = false;
};

// Where the frames of a sound image are, and which of them something else on the disk vouches for: found
// without the code that recovers.
class map_of_image {
 public:
  explicit map_of_image(const log_image& image) : image_(image) {
    const std::string& identity = *image.files.at("data/identity");
    format::identity who;
    std::uint32_t version = 0;
    REQUIRE(format::decode(identity, who, version) == format::decoded::good);
    vouched_ = who.known_frame;
    std::size_t batches = 0;
    for (const auto& [path, bytes] : image.files)
      if (path.starts_with("data/log-")) walk(path, *bytes, batches);
    const std::size_t released = image.history.size() - 1 - batches;
    for (frame_span& f : frames_) {
      f.batch += released;
      f.vouched = f.number <= vouched_;
    }
  }

  // What damage here comes to: refused is nothing, else the number of batches that are found.
  [[nodiscard]] std::optional<std::size_t> outcome(const std::string& path, std::size_t at, bool cut) const {
    const std::size_t all = image_.history.size() - 1;
    if (path == "data/identity") return std::nullopt;
    if (!path.starts_with("data/log-")) return all;
    if (cut || at < format::segment_header_bytes) return std::nullopt;
    for (const frame_span& f : frames_) {
      if (f.path != path || at < f.from || at >= f.to) continue;
      if (f.vouched) return std::nullopt;
      return f.batch - 1;
    }
    return all;  // unused
  }
  [[nodiscard]] const std::vector<frame_span>& frames() const { return frames_; }

 private:
  void walk(const std::string& path, std::string_view bytes, std::size_t& batches) {
    format::segment_header header;
    std::uint32_t version = 0;
    REQUIRE(format::decode(bytes.substr(0, format::segment_header_bytes), header, version) ==
            format::decoded::good);
    vouched_ = std::max(vouched_, header.synced());
    const format::place where(header.incarnation, header.sequence);
    format::frame_header frame;
    for (std::size_t at = format::segment_header_bytes;
         at + format::frame_header_bytes <= bytes.size() &&
         format::decode(bytes.data() + at, frame, where.seed(at));) {
      const std::size_t end = at + format::frame_header_bytes + static_cast<std::size_t>(frame.body_bytes);
      batches += frame.records != 0 ? 1 : 0;
      frames_.push_back({path, at, end, batches, frame.number, false});
      vouched_ = std::max(vouched_, frame.synced);
      at = end;
    }
  }

  const log_image& image_;
  std::vector<frame_span> frames_;
  std::uint64_t vouched_ = 0;  // frames up to this one something later vouches for
};

struct counts {
  std::size_t cases = 0, refused = 0, whole = 0, shorter = 0;
};

bool holds(const recovered_log& found, const content& expected) {
  return found.entries == expected.entries && found.state == expected.state &&
         found.base == expected.start.at && found.base_hash == expected.start.hash;
}

void open_damaged(const log_image& image, const std::string& path, shared_bytes_of_file bytes,
                  const std::optional<std::size_t>& expected, counts& seen) {
  image_file_system fs(image.files);
  fs.put(path, std::move(bytes));
  recovered_log found;
  const auto opened = test_log::open(fs, "data", image.options, found);
  ++seen.cases;
  if (!expected) {
    REQUIRE_FALSE(opened);
    REQUIRE(opened.error().code == make_error_code(errc::log_damaged));
    REQUIRE(opened.error().what.find(path) != std::string::npos);
    REQUIRE(fs.changes == 0);
    ++seen.refused;
    return;
  }
  REQUIRE_MESSAGE(opened, opened.error().what);
  REQUIRE(holds(found, image.history.at(*expected)));
  const std::size_t all = image.history.size() - 1;
  ++(*expected == all ? seen.whole : seen.shorter);
}

// The byte at `at` turned, zeroed, or the file cut before it.
void damage_byte(const log_image& image, const map_of_image& known, const std::string& path, std::size_t at,
                 std::string& scratch, counts& seen) {
  CAPTURE(path);
  CAPTURE(at);
  const auto unowned = [](std::string& bytes) { return shared_bytes_of_file(&bytes, [](const auto*) {}); };
  const auto expected = known.outcome(path, at, false);
  const char was = scratch[at];
  scratch[at] = static_cast<char>(was ^ (1 << at % 8));
  open_damaged(image, path, unowned(scratch), expected, seen);
  if (was != '\0') {
    scratch[at] = '\0';
    open_damaged(image, path, unowned(scratch), expected, seen);
  }
  scratch[at] = was;
  std::string cut = scratch.substr(0, at);
  open_damaged(image, path, unowned(cut), known.outcome(path, at, true), seen);
}

void damage_all(const log_image& image) {
  const map_of_image known(image);
  counts seen;
  std::size_t bytes_of_log = 0;
  // Odd, so that all bits are turned. The files that don't matter need no byte by byte.
  constexpr std::size_t step = every_nth == 1 ? 1 : 8 * every_nth + 1, step_of_others = 97 * step;
  for (const auto& [path, bytes] : image.files) {
    const bool matters = path == "data/identity" || path.starts_with("data/log-");
    bytes_of_log += matters ? bytes->size() : 0;
    std::string scratch = *bytes;
    for (std::size_t at = 0; at < bytes->size(); at += matters ? step : step_of_others)
      damage_byte(image, known, path, at, scratch, seen);
    REQUIRE(scratch == *bytes);
  }
  CHECK(bytes_of_log >= 64 * 1024);
  // Bytes that aren't zero make three cases, the others two.
  CHECK(seen.cases > 2 * bytes_of_log / step);
  CHECK(seen.refused > seen.cases / 2);
  CHECK(seen.whole > 100 / every_nth);
  CHECK(seen.shorter > 100 / every_nth);
  MESSAGE(bytes_of_log << " bytes, " << known.frames().size() << " frames: " << seen.cases << " cases, "
                       << seen.refused << " refused, " << seen.shorter << " cut to what was acknowledged, "
                       << seen.whole << " harmless");
}

}  // namespace

TEST_CASE("damage to any byte of a log of 64 KiB gives the acknowledged prefix or a refusal") {
  const log_image image = log_image_writer(16384, voided::freed).image();
  const map_of_image known(image);
  for (const frame_span& f : known.frames()) REQUIRE(f.vouched == (f.batch <= image.acknowledged));
  damage_all(image);
}

TEST_CASE("so does damage while segments that a reset has voided are still there") {
  const log_image image = log_image_writer(12288, voided::there).image();
  const map_of_image known(image);
  for (const frame_span& f : known.frames()) REQUIRE(f.vouched == (f.batch <= image.acknowledged));
  damage_all(image);
}
