// Sessions: exactly once, and when a session ends.
#include <doctest/doctest.h>

#include <limits>
#include <string>

#include "unit/map_replicas.hpp"

using namespace map_test;

namespace {

constexpr std::int64_t second = 1'000'000;

// A write by an author whose clock shows `at`.
apply_result put_at(map_state& map, std::int64_t at, std::uint64_t author = 2) {
  command_view c = command(command_kind::put, "/clock", "tick");
  c.timestamp = at;
  c.author = node_id(author);
  return apply(map, c);
}

// Whether the session is there; doesn't count as using it if it isn't.
bool alive(map_state& map, std::uint64_t session, std::int64_t at = 1000) {
  command_view c = session_command(command_kind::session_keep_alive, session);
  c.timestamp = at;
  return !apply(map, c).code;
}

}  // namespace

TEST_CASE("retry duplicates: a write sent again has no second effect and gets identical bytes") {
  map_state map;
  const auto session = open_session(map);
  const auto first = put_in_session(map, session, 1, "/a", "1");
  CHECK_FALSE(first.code);
  CHECK_FALSE(first.replayed);
  put(map, "/a", "2");
  const auto again = put_in_session(map, session, 1, "/a", "1");
  CHECK(again.replayed);
  CHECK(encode(again) == encode(first));
  CHECK(again.revision == first.revision);
  map.publish();
  CHECK(value_of(map, "/a") == "2");
  CHECK(map.get("/a")->key_version() == 2);
}

TEST_CASE("retry duplicates: refusals and erases are replayed as well") {
  map_state map;
  const auto session = open_session(map);
  put(map, "/a", "1");
  const auto failed =
      apply(map, in_session(command(command_kind::compare_exchange, "/a", "x", 99), session, 1));
  CHECK(failed.code == errc::compare_failed);
  const auto erased = apply(map, in_session(command(command_kind::erase, "/a"), session, 2));
  CHECK(erased.existed);
  CHECK(encode(apply(map, in_session(command(command_kind::erase, "/a"), session, 2))) == encode(erased));
  CHECK(encode(apply(map, in_session(command(command_kind::compare_exchange, "/a", "x", 99), session, 1))) ==
        encode(failed));
}

TEST_CASE("writes of a session may overtake each other") {
  map_state map;
  const auto session = open_session(map);
  const auto third = put_in_session(map, session, 3, "/a", "3");
  const auto first = put_in_session(map, session, 1, "/a", "1");
  CHECK_FALSE(first.replayed);
  CHECK(encode(put_in_session(map, session, 3, "/a", "3")) == encode(third));
  CHECK(encode(put_in_session(map, session, 1, "/a", "1")) == encode(first));
  map.publish();
  CHECK(value_of(map, "/a") == "1");
}

TEST_CASE("a late duplicate of an acknowledged write has no effect, and its session lives on") {
  map_state map;
  const auto session = open_session(map);
  put_in_session(map, session, 1, "/a", "1");
  put_in_session(map, session, 2, "/a", "2", 2);
  CHECK(put_in_session(map, session, 1, "/a", "1").code == errc::session_expired);
  map.publish();
  CHECK(value_of(map, "/a") == "2");
  CHECK(put_in_session(map, session, 2, "/a", "2").replayed);
  CHECK_FALSE(put_in_session(map, session, 3, "/a", "3").code);
  // A keep-alive acknowledges as well.
  CHECK_FALSE(apply(map, session_command(command_kind::session_keep_alive, session, 4)).code);
  CHECK(put_in_session(map, session, 3, "/a", "3").code == errc::session_expired);
}

TEST_CASE("a session that never acknowledges is held up, and goes on when it does") {
  map_state map;
  const auto session = open_session(map);
  for (std::uint64_t i = 1; i <= max_kept_answers; ++i)
    REQUIRE_FALSE(put_in_session(map, session, i, "/a", "x").code);
  const std::uint64_t next = max_kept_answers + 1;
  CHECK(put_in_session(map, session, next, "/a", "y").code == errc::busy);
  map.publish();
  CHECK(value_of(map, "/a") == "x");
  CHECK(put_in_session(map, session, 1, "/a", "x").replayed);
  const auto taken = put_in_session(map, session, next, "/a", "y", 2);
  CHECK_FALSE(taken.code);
  CHECK_FALSE(taken.replayed);
}

TEST_CASE("register replay after eviction: a write of a session that is gone has no effect") {
  map_state map;
  const auto closed = open_session(map);
  put_in_session(map, closed, 1, "/a", "1");
  CHECK_FALSE(apply(map, session_command(command_kind::session_close, closed)).code);
  put(map, "/a", "2");
  CHECK(put_in_session(map, closed, 1, "/a", "1").code == errc::session_expired);
  CHECK(put_in_session(map, closed, 2, "/a", "1").code == errc::session_expired);
  CHECK(apply(map, session_command(command_kind::session_close, closed)).code == errc::session_expired);
  CHECK(put_in_session(map, 12345, 1, "/a", "1").code == errc::session_expired);
  map.publish();
  CHECK(value_of(map, "/a") == "2");
}

TEST_CASE("one session too many closes the one that was used longest ago") {
  map_state map;
  const auto first = open_session(map), second_one = open_session(map);
  put_in_session(map, first, 1, "/a", "1");
  for (std::size_t i = 2; i < max_sessions; ++i) open_session(map);
  CHECK(map.memory().sessions == max_sessions);
  open_session(map);
  CHECK(map.memory().sessions == max_sessions);
  CHECK_FALSE(alive(map, second_one));
  CHECK(put_in_session(map, first, 1, "/a", "1").replayed);
  map.publish();
  // A capture doesn't depend on how many there are, and what changes later isn't in it.
  snapshot_encoder encoder(map.capture());
  CHECK_FALSE(put_in_session(map, first, 2, "/a", "2").code);
  apply(map, session_command(command_kind::session_close, first));
  map.publish();
  snapshot_loader loader;
  for (std::string block; encoder.next(block);) REQUIRE_FALSE(loader.feed(block));
  auto loaded = loader.finish();
  REQUIRE(loaded);
  map_state other;
  other.adopt(std::move(*loaded));
  CHECK(other.memory().sessions == max_sessions);
  CHECK(put_in_session(other, first, 1, "/a", "1").replayed);
}

TEST_CASE("which session was used longest ago is the same after a snapshot") {
  map_state map({}, 3), other({}, 3);
  const auto first = open_session(map), second_one = open_session(map), third = open_session(map);
  put_in_session(map, first, 1, "/a", "1");
  put_in_session(map, third, 1, "/a", "2");
  map.publish();
  adopt(other, save(map));
  for (map_state* const each : {&map, &other}) {
    open_session(*each);
    CHECK(each->memory().sessions == 3);
    CHECK_FALSE(alive(*each, second_one));
    open_session(*each);
    CHECK_FALSE(alive(*each, first));
    CHECK(put_in_session(*each, third, 1, "/a", "2").replayed);
    each->publish();
  }
  CHECK(map.read().replica_hash() == other.read().replica_hash());
}

TEST_CASE("a session ends when the time of the log passes its last use by its time to live") {
  map_state map;
  put_at(map, 0);
  const auto session = open_session(map, 5000), longer = open_session(map, 60'000);
  CHECK_FALSE(put_at(map, 4 * second).code);
  CHECK(alive(map, session, 5 * second));
  put_at(map, 9 * second);
  CHECK(map.memory().sessions == 2);
  put_at(map, 10 * second + 1);
  CHECK(map.memory().sessions == 1);
  CHECK_FALSE(alive(map, session, 10 * second + 1));
  CHECK(alive(map, longer, 11 * second));
}

TEST_CASE("expiry happens in bounded portions, but an expired session is refused at once") {
  map_state map;
  put_at(map, 0);
  std::uint64_t last = 0;
  for (int i = 0; i < 100; ++i) last = open_session(map, 1000);
  command_view late = in_session(command(command_kind::put, "/a", "1"), last, 1);
  late.timestamp = 9 * second;
  CHECK(apply(map, late).code == errc::session_expired);
  CHECK(map.memory().sessions >= 80);
  for (int i = 0; i < 20; ++i) put_at(map, 9 * second);
  CHECK(map.memory().sessions == 0);
}

TEST_CASE("one crazy clock does not expire everybody") {
  map_state map;
  put_at(map, 1'700'000'000 * second, 1), put_at(map, 1'700'000'000 * second, 2);
  const auto session = open_session(map, 30'000);
  for (int i = 0; i < 50; ++i) put_at(map, std::numeric_limits<std::int64_t>::max() - i, 3);
  put_at(map, 1'900'000'000 * second, 1);
  put_at(map, 1'700'000'001 * second, 2);
  CHECK(alive(map, session, 1'700'000'001 * second));
  // The clock that jumped moves the time on from where it is.
  put_at(map, 1'900'000'009 * second, 1), put_at(map, 1'900'000'018 * second, 1);
  CHECK(alive(map, session, 1'700'000'001 * second));
  for (int i = 3; i < 8; ++i) put_at(map, (1'900'000'000 + 9 * i) * second, 1);
  CHECK_FALSE(alive(map, session, 1'700'000'001 * second));
}

TEST_CASE("a clock that went back far is believed again, a late write moves nothing") {
  map_state map;
  put_at(map, 100'000 * second);
  const auto session = open_session(map, 20'000);
  put_at(map, 0);  // more than an hour back
  put_at(map, 9 * second);
  CHECK(alive(map, session, 9 * second));
  put_at(map, 1 * second), put_at(map, 9 * second), put_at(map, 1 * second), put_at(map, 9 * second);
  put_at(map, 18 * second), put_at(map, 27 * second);
  CHECK(alive(map, session, 29 * second));
  put_at(map, 38 * second), put_at(map, 47 * second), put_at(map, 50 * second);
  CHECK_FALSE(alive(map, session, 50 * second));
}

TEST_CASE("more authors than the clock remembers") {
  map_state map, other;
  for (std::uint64_t i = 1; i <= 200; ++i) {
    put_at(map, static_cast<std::int64_t>(i), i % 150), put_at(other, static_cast<std::int64_t>(i), i % 150);
    if (i % 50 != 0) continue;
    map.publish(), other.publish();
    adopt(other, save(map));
    CHECK(other.read().replica_hash() == map.read().replica_hash());
  }
}
