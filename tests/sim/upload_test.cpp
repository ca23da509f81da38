// The model of values in pieces (invariant 11): what the map must take and what it must refuse.
#include <doctest/doctest.h>

#include <string>

#include "confman/sim/upload_model.hpp"

namespace {

using confman::node_id;
using namespace confman::sim;

struct uploading {
  upload_model model;
  std::uint64_t index = 0;
  std::int64_t now = 0;

  static confman::command_view piece(std::uint64_t number, std::uint64_t offset, std::string_view value,
                                     std::string_view key = "/k") {
    confman::command_view c;
    c.kind = confman::command_kind::upload_piece;
    c.key = key;
    c.author = node_id(1);
    c.upload = number;
    c.total_bytes = 4;
    c.offset = offset;
    c.value = value;
    return c;
  }
  bool add(const confman::command_view& c) {
    model.expire(++index, now);
    return model.add(c, index, now);
  }
  bool complete(std::uint64_t number, std::string_view key = "/k") {
    model.expire(++index, now);
    return model.complete(piece(number, 0, {}, key), index, now);
  }
};

}  // namespace

TEST_CASE("pieces come in order, and may come again") {
  uploading u;
  CHECK_FALSE(u.add(u.piece(1, 2, "cd")));
  CHECK(u.add(u.piece(1, 0, "ab")));
  CHECK(u.add(u.piece(1, 0, "ab")));
  CHECK_FALSE(u.add(u.piece(1, 3, "d")));
  CHECK_FALSE(u.add(u.piece(1, 2, "cd", "/other")));
  CHECK_FALSE(u.complete(1));
  CHECK(u.add(u.piece(1, 2, "cd")));
  CHECK_FALSE(u.complete(1, "/other"));
  CHECK_FALSE(u.complete(2));
  CHECK(u.complete(1));
  u.model.taken(u.piece(1, 0, {}));
  CHECK_FALSE(u.complete(1));
}

TEST_CASE("what is not used for too long is gone") {
  uploading u;
  REQUIRE(u.add(u.piece(1, 0, "abcd")));
  u.now += confman::max_upload_idle_time;
  CHECK(u.complete(1));
  CHECK(u.model.size() == 1);
  u.now += confman::max_upload_idle_time + 1;
  CHECK_FALSE(u.complete(1));
  CHECK(u.model.size() == 0);
  REQUIRE(u.add(u.piece(2, 0, "abcd")));
  u.index += confman::max_upload_idle_entries;
  CHECK_FALSE(u.complete(2));
}

TEST_CASE("one too many takes the place of the longest unused") {
  uploading u;
  for (std::uint64_t i = 1; i <= confman::max_uploads; ++i) REQUIRE(u.add(u.piece(i, 0, "abcd")));
  REQUIRE(u.complete(1));
  REQUIRE(u.add(u.piece(1000, 0, "ab")));
  CHECK(u.complete(1));
  CHECK_FALSE(u.complete(2));
  CHECK(u.complete(3));
}
