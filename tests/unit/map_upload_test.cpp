// Large values that arrive in pieces.
#include <doctest/doctest.h>

#include <string>
#include <thread>

#include "unit/map_replicas.hpp"

using namespace map_test;

namespace {

const std::string& three_pieces() {
  static const std::string value = pattern(3 * max_piece_bytes - 100);
  return value;
}

}  // namespace

TEST_CASE("a value in pieces is the same as one put at once") {
  for (const std::size_t size : {1u, 15u, 16u, 17u, 31u, 32u, 33u, 255u, 256u, 1000u, 4099u}) {
    const std::string whole = pattern(size);
    for (const std::size_t step : {1u, 7u, 16u, 1000u, 5000u}) {
      map_state at_once, in_pieces;
      REQUIRE(upload(in_pieces, 7, "/big", whole, step));
      const auto done = apply(in_pieces, put_upload(7, "/big"));
      REQUIRE_FALSE(done.code);
      auto e = make_entry(done.revision, command(command_kind::put, "/big", whole));
      at_once.apply(e);
      at_once.publish(), in_pieces.publish();
      REQUIRE(value_of(in_pieces, "/big") == whole);
      REQUIRE(in_pieces.get("/big")->create_revision() == done.revision);
      REQUIRE(at_once.read().state_hash() == in_pieces.read().state_hash());
    }
  }
}

TEST_CASE("an unfinished upload is invisible, and the final write makes it the value without a copy") {
  map_state map;
  const auto watch = map.watches().add("/", std::nullopt, {}, nullptr);
  REQUIRE(watch);
  put(map, "/big", "old");
  REQUIRE(upload(map, 1, "/big", three_pieces()));
  map.publish();
  CHECK(value_of(map, "/big") == "old");
  CHECK(map.memory().uploads == 1);
  CHECK(map.memory().upload_bytes >= three_pieces().size());
  CHECK(map.read().approximate_bytes() >= three_pieces().size());
  const auto done = apply(map, put_upload(1, "/big"));
  CHECK(done.existed);
  map.publish();
  CHECK(map.memory().uploads == 0);
  CHECK(value_of(map, "/big") == three_pieces());
  CHECK(map.get("/big")->key_version() == 2);
  // The event shares the record.
  const auto batch = map.watches().take(*watch);
  REQUIRE(batch.changes.size() == 2);
  CHECK(batch.changes[1].entry.value().data() == map.get("/big")->value().data());
}

TEST_CASE("a large value reaches a watch whose buffer is smaller, and one that starts from the history") {
  map_state map;
  watch_limits limits;
  limits.max_bytes = 1000;
  const auto watch = map.watches().add("/", std::nullopt, limits, nullptr);
  const std::string huge = pattern(20u << 20);
  put(map, "/a"), map.publish();
  CHECK(map.watches().take(*watch).changes.size() == 1);
  REQUIRE(upload(map, 1, "/big", huge));
  apply(map, put_upload(1, "/big")), map.publish();
  const auto batch = map.watches().take(*watch);
  CHECK_FALSE(batch.error);
  REQUIRE(batch.changes.size() == 1);
  CHECK(batch.changes[0].entry.value() == huge);
  const auto late = map.watches().add("/", map.watches().floor(), limits, nullptr);
  REQUIRE(late);
  CHECK(map.watches().take(*late).changes.size() == 1);
  put(map, "/a"), map.publish();  // the history can let go of it now
  CHECK(map.watches().floor() == map.applied().index.value() - 1);
}

TEST_CASE("a piece again changes nothing; one at a wrong place, or of another value, is refused") {
  map_state map;
  const std::string whole = pattern(1000);
  REQUIRE_FALSE(apply(map, piece(5, "/k", whole, 0, 400)).code);
  CHECK_FALSE(apply(map, piece(5, "/k", whole, 0, 400)).code);
  CHECK_FALSE(apply(map, piece(5, "/k", whole, 100, 200)).code);
  CHECK(apply(map, piece(5, "/k", whole, 500, 100)).code == errc::upload_expired);
  CHECK(apply(map, piece(5, "/k", whole, 300, 200)).code == errc::upload_expired);
  CHECK(apply(map, piece(6, "/k", whole, 400, 100)).code == errc::upload_expired);
  CHECK(apply(map, piece(5, "/other", whole, 400, 100)).code == errc::upload_expired);
  CHECK(apply(map, piece(5, "/k", pattern(999), 400, 100)).code == errc::upload_expired);
  CHECK(apply(map, put_upload(5, "/k")).code == errc::upload_expired);
  command_view other_author = piece(5, "/k", whole, 400, 600);
  other_author.author = node_id(9);
  CHECK(apply(map, other_author).code == errc::upload_expired);
  CHECK_FALSE(apply(map, piece(5, "/k", whole, 400, 600)).code);
  CHECK(apply(map, put_upload(5, "/other")).code == errc::upload_expired);
  CHECK_FALSE(apply(map, put_upload(5, "/k")).code);
  CHECK(apply(map, put_upload(5, "/k")).code == errc::upload_expired);
  map.publish();
  CHECK(value_of(map, "/k") == whole);
}

TEST_CASE("the final write in a session is told apart from its retry") {
  map_state map;
  const auto session = open_session(map);
  REQUIRE(upload(map, 1, "/big", three_pieces()));
  const auto done = apply(map, in_session(put_upload(1, "/big"), session, 1));
  CHECK_FALSE(done.code);
  const auto again = apply(map, in_session(put_upload(1, "/big"), session, 1));
  CHECK(again.replayed);
  CHECK(encode(again) == encode(done));
}

TEST_CASE("a refusal for want of its upload is no answer to keep: the same token works once it is there") {
  map_state map;
  const auto session = open_session(map);
  const command_view last = in_session(put_upload(5, "/k"), session, 1);
  CHECK(apply(map, last).code == errc::upload_expired);
  const auto again = apply(map, last);
  CHECK(again.code == errc::upload_expired);
  CHECK_FALSE(again.replayed);
  REQUIRE(upload(map, 5, "/k", "value", 5));
  const auto done = apply(map, last);
  CHECK_FALSE(done.code);
  CHECK(apply(map, last).replayed);
  map.publish();
  CHECK(value_of(map, "/k") == "value");
}

TEST_CASE("a comparison that fails leaves the upload for the next try") {
  map_state map;
  put(map, "/big", "old");
  REQUIRE(upload(map, 1, "/big", three_pieces()));
  command_view exchange = command(command_kind::compare_exchange, "/big", {}, 77);
  exchange.upload = 1;
  const auto failed = apply(map, exchange);
  CHECK(failed.code == errc::compare_failed);
  exchange.expected_revision = failed.previous_revision;
  CHECK_FALSE(apply(map, exchange).code);
}

TEST_CASE("uploads are bounded: the one idle for longest goes first") {
  map_state map;
  const std::string whole = pattern(100);
  for (std::uint64_t i = 1; i <= max_uploads; ++i) apply(map, piece(i, "/k", whole, 0, 10));
  CHECK_FALSE(apply(map, piece(1, "/k", whole, 10, 10)).code);
  CHECK_FALSE(apply(map, piece(100, "/k", whole, 0, 10)).code);
  CHECK(map.memory().uploads == max_uploads);
  CHECK(apply(map, piece(2, "/k", whole, 10, 10)).code == errc::upload_expired);
  CHECK_FALSE(apply(map, piece(1, "/k", whole, 20, 10)).code);

  map_state wide;
  for (std::uint64_t i = 1; i <= 9; ++i) {
    command_view first = piece(i, "/k", whole, 0, 10);
    first.total_bytes = max_large_value_bytes;
    CHECK_FALSE(apply(wide, first).code);
  }
  CHECK(wide.memory().uploads == max_upload_bytes / max_large_value_bytes);
}

TEST_CASE("an upload that nobody goes on with is dropped, by the time of the log or by its length") {
  const std::string whole = pattern(100);
  map_state map;
  apply(map, piece(1, "/k", whole, 0, 10));
  for (int i = 1; i <= 7; ++i) {
    command_view c = command(command_kind::put, "/a", "x");
    c.timestamp = 1000 + i * 9'000'000;
    apply(map, c);
    CHECK(map.memory().uploads == (i < 7 ? 1 : 0));
  }
  map_state busy;
  apply(busy, piece(1, "/k", whole, 0, 10));
  busy.apply(make_entry(max_upload_idle_entries + 1, command(command_kind::put, "/a", "x")));
  CHECK(busy.memory().uploads == 1);
  busy.apply(make_entry(max_upload_idle_entries + 2, command(command_kind::put, "/a", "x")));
  CHECK(busy.memory().uploads == 0);
}

TEST_CASE("large memory is left for another thread, or for collect") {
  map_state map(history_limits{0, 0});
  for (std::uint64_t i = 1; i <= 4; ++i) {
    REQUIRE(upload(map, i, "/big", three_pieces()));
    apply(map, put_upload(i, "/big")), map.publish();
  }
  while (map.collect() != 0) {
  }
  put(map, "/big", "small"), map.publish();
  CHECK(map.collect() != 0);
  const auto before = map.memory().discarded;
  CHECK(before != 0);
  map.collect();
  CHECK(map.memory().discarded == before - 1);
  static_cast<void>(map.take_discarded());
  upload(map, 9, "/big", three_pieces());
  apply(map, put_upload(9, "/big")), put(map, "/big", "small"), map.publish();
  CHECK(map.memory().discarded != 0);
  auto gone = map.take_discarded();
  CHECK_FALSE(gone.empty());
  CHECK(map.memory().discarded == 0);
  std::thread([&] { discarded_memory there = std::move(gone); }).join();
  CHECK(map.take_discarded().empty());
}
