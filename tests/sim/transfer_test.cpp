// The check of snapshots on their way (invariant 22) can fail: pieces beyond the window, or faster than
// allowed, are found.
#include <doctest/doctest.h>

#include "confman/sim/transfer_check.hpp"
#include "confman/sim/violation.hpp"

namespace {

using confman::log_index;
using confman::node_id;
using confman::term_t;
using namespace confman::sim;

// A node that sends a file of 1,000 bytes in pieces of 100, two of them at a time.
struct sending {
  trace log;
  transfer_check check{node_id(1), log};
  confman::snapshot_file file{{term_t(1), log_index(5)}, 77, 1000};

  explicit sending(std::size_t bytes_per_tick = 0) {
    confman::snapshot_transfer_options limits;
    limits.piece_bytes = 100;
    limits.window = 2;
    limits.bytes_per_tick = bytes_per_tick;
    check.restart(limits);
  }
  bool refuses(std::uint64_t to, std::uint64_t offset, confman::tick_count now = 0) {
    try {
      check.on_read({node_id(to), file, offset, 100}, now);
    } catch (const violation& v) {
      CHECK(v.which() == invariant::bounded_memory);
      return true;
    }
    return false;
  }
  void answer(std::uint64_t from, std::uint64_t next, std::uint64_t digest = 77) {
    check.on_answer(node_id(from), {file.at, digest, next, false});
  }
};

}  // namespace

TEST_CASE("pieces of a snapshot beyond the window are found (22)") {
  sending s;
  CHECK_FALSE(s.refuses(2, 0));
  CHECK_FALSE(s.refuses(2, 100));
  CHECK(s.refuses(2, 200));
  s.answer(2, 100);
  CHECK_FALSE(s.refuses(2, 200));
  s.answer(2, 0);  // a late one
  CHECK_FALSE(s.refuses(2, 200));
  CHECK(s.refuses(2, 300));
  SUBCASE("of another file") {
    s.answer(2, 900, 78);
    CHECK(s.refuses(2, 300));
  }
  SUBCASE("of another follower") {
    s.answer(3, 900);
    CHECK(s.refuses(2, 300));
  }
}

TEST_CASE("pieces of a snapshot that are sent too fast are found (22)") {
  sending s(50);
  CHECK(s.refuses(2, 0, 1));
  CHECK_FALSE(s.refuses(2, 0, 2));
  CHECK(s.refuses(3, 0, 3));
  CHECK_FALSE(s.refuses(3, 0, 4));
  // Of a long silence only ten ticks and a piece are left.
  for (std::uint64_t to = 4; to < 10; ++to) CHECK_FALSE(s.refuses(to, 0, 1000));
  CHECK(s.refuses(10, 0, 1000));
}
