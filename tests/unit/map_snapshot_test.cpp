// The snapshot stream: capture, encode, load, adopt.
#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "confman/wire/crc32c.hpp"
#include "lib/effort.hpp"
#include "unit/map_replicas.hpp"

using namespace map_test;

namespace {

constexpr int hostile_rounds = confman_test::effort(20'000);

// Something of everything, spread over several blocks.
void fill(map_state& map) {
  const auto session = open_session(map), other = open_session(map, 1000);
  for (std::uint64_t i = 1; i <= 20; ++i)
    put_in_session(map, session, i, "/s/" + std::to_string(i), "v" + std::to_string(i), i > 5 ? i - 5 : 0);
  apply(map, session_command(command_kind::session_keep_alive, other));
  for (int i = 0; i < 300; ++i)
    put(map, "/k/" + std::to_string(i * 7919 % 1000), pattern(static_cast<std::size_t>(i % 50)));
  put(map, "/large", pattern(600'000));
  put(map, "/empty", "");
  upload(map, 3, "/up", pattern(1000), 300);
  apply(map, piece(4, "/up/2", pattern(900'000), 0, max_piece_bytes));
  apply(map, piece(4, "/up/2", pattern(900'000), max_piece_bytes, max_piece_bytes));
  erase(map, "/k/0");
  map.publish();
}

std::map<std::string, std::string> listing(const map_state& map) {
  std::map<std::string, std::string> all;
  map.read().for_each_prefix("", [&](const record& r) {
    all.emplace(r.key(), std::string(r.value()) + "|" + std::to_string(r.create_revision()) + "|" +
                             std::to_string(r.modify_revision()) + "|" + std::to_string(r.key_version()) +
                             "|" + std::to_string(r.timestamp()) + "|" + std::to_string(r.author().value()) +
                             "|" + std::to_string(r.at().term.value()));
    return true;
  });
  return all;
}

void free_all(map_state& map) {
  while (map.collect(1000) != 0 || !map.take_discarded().empty()) {
  }
}

}  // namespace

TEST_CASE("save, load, save is byte-identical") {
  map_state map;
  fill(map);
  const blocks first = save(map);
  CHECK(first.size() > 3);
  for (const std::string& block : first) CHECK(block.size() <= max_snapshot_block_bytes);
  map_state other;
  adopt(other, first);
  CHECK(other.applied() == map.applied());
  CHECK(other.read().replica_hash() == map.read().replica_hash());
  CHECK(other.read().state_hash() == map.read().state_hash());
  CHECK(other.read().size() == map.read().size());
  CHECK(listing(other) == listing(map));
  CHECK(save(other) == first);
  CHECK(save(map) == first);
  // What was replicated goes on where it was.
  CHECK_FALSE(apply(other, piece(4, "/up/2", pattern(900'000), 2 * max_piece_bytes, max_piece_bytes)).code);
  CHECK(put_in_session(other, 1, 20, "/s/20", "again").replayed);
}

TEST_CASE("an empty state has a snapshot as well") {
  map_state map, other;
  const blocks all = save(map);
  CHECK(all.size() == 1);
  adopt(other, all);
  CHECK(other.read().size() == 0);
  put(map, "/a"), put(other, "/a");
  map.publish(), other.publish();
  CHECK(save(map) == save(other));
}

TEST_CASE("the same state by another history gives the same bytes") {
  map_state one, two;
  for (int i = 0; i < 1000; ++i) put(one, "/k" + std::to_string(i * 37 % 500), std::to_string(i));
  one.publish();
  // The other one was somewhere else before, and took over a snapshot half way.
  for (int i = 0; i < 300; ++i) {
    put(two, "/elsewhere" + std::to_string(i), "x");
    if (i % 7 == 0) two.publish();
  }
  two.publish();
  map_state half;
  for (int i = 0; i < 500; ++i) put(half, "/k" + std::to_string(i * 37 % 500), std::to_string(i));
  half.publish();
  adopt(two, save(half));
  for (int i = 500; i < 1000; ++i) put(two, "/k" + std::to_string(i * 37 % 500), std::to_string(i));
  two.publish();
  CHECK(save(one) == save(two));
}

TEST_CASE("a capture doesn't change while the map does, and outlives it") {
  blocks expected, later;
  {
    map_state map;
    fill(map);
    expected = save(map);
    snapshot_encoder encoder(map.capture());
    for (int i = 0; i < 300; ++i) erase(map, "/k/" + std::to_string(i)), map.publish();
    put_in_session(map, 1, 21, "/s/21", "x", 21);
    apply(map, piece(4, "/up/2", pattern(900'000), 2 * max_piece_bytes, max_piece_bytes));
    apply(map, piece(4, "/up/2", pattern(900'000), 3 * max_piece_bytes, max_piece_bytes));
    CHECK_FALSE(apply(map, put_upload(4, "/up/2")).code);
    apply(map, session_command(command_kind::session_close, 2));
    map.publish();
    free_all(map);
    for (std::string block; encoder.next(block);) later.push_back(block);
  }
  CHECK(later == expected);
  blocks after;
  std::optional<snapshot_encoder> orphan;
  {
    map_state map;
    fill(map);
    orphan.emplace(map.capture());
  }
  for (std::string block; orphan->next(block);) after.push_back(block);
  CHECK(after == expected);
}

TEST_CASE("every prefix and every flipped bit of a stream is refused") {
  map_state map;
  const auto session = open_session(map);
  put_in_session(map, session, 1, "/a", "value");
  put(map, "/b", pattern(400'000));
  upload(map, 1, "/c", pattern(500), 300);
  map.publish();
  const blocks good = save(map);
  REQUIRE(good.size() == 2);
  for (std::size_t b = 0; b < good.size(); ++b) {
    blocks cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(b));
    const auto short_of_blocks = load(cut);
    REQUIRE_FALSE(short_of_blocks);
    CHECK(short_of_blocks.error().code == errc::snapshot_damaged);
    for (std::size_t size = 0; size < good[b].size(); size += size < 700 ? 1 : 4999) {
      blocks damaged = good;
      damaged[b].resize(size);
      const auto refused = load(damaged);
      REQUIRE_FALSE(refused);
      REQUIRE(refused.error().code == errc::snapshot_damaged);
    }
    for (std::size_t at = 0; at < good[b].size(); at += at < 700 ? 1 : 4999) {
      blocks damaged = good;
      damaged[b][at] = static_cast<char>(damaged[b][at] ^ (1 << (at % 8)));
      const auto refused = load(damaged);
      REQUIRE_FALSE(refused);
      REQUIRE(refused.error().code == errc::snapshot_damaged);
    }
  }
  CHECK_FALSE(load({good[1], good[0]}));
  CHECK_FALSE(load({good[0], good[1], good[1]}));
  CHECK_FALSE(load({good[0], good[0], good[1]}));
  CHECK(load(good));
}

// With the right checksum: what only the checks of the content can find.
TEST_CASE("hostile items behind a right checksum are refused or give an intact state") {
  map_state map;
  const auto session = open_session(map);
  put_in_session(map, session, 1, "/a", "value"), put_in_session(map, session, 2, "/b", "value");
  put(map, "/c", pattern(300)), upload(map, 1, "/d", pattern(500), 300);
  map.publish();
  const blocks good = save(map);
  REQUIRE(good.size() == 1);
  std::mt19937_64 random(7);
  for (int round = 0; round < hostile_rounds; ++round) {
    std::string block = good[0];
    const auto changes = 1 + random() % 3;
    for (std::uint64_t i = 0; i < changes; ++i) {
      const std::size_t at = 8 + random() % (block.size() - 8);
      if (random() % 8 == 0)
        block.erase(at, 1 + random() % 40);
      else
        block[at] = static_cast<char>(random() % 4 == 0 ? 0xff : random());
      if (block.size() < 16) break;
    }
    if (block == good[0]) continue;
    const std::uint32_t sum = crc32c(std::string_view(block).substr(4));
    for (std::size_t i = 0; i < 4; ++i) block[i] = static_cast<char>(sum >> (8 * i));
    auto loaded = load({block});
    if (!loaded) {
      const auto code = loaded.error().code;
      REQUIRE((code == errc::snapshot_damaged || code == errc::format_unsupported));
      continue;
    }
    // Only the version isn't part of the hash: the storage layer compares it with its own record.
    map_state other;
    other.adopt(std::move(*loaded));
    put(other, "/after"), other.publish();
    REQUIRE(other.read().size() == 4);
  }
}

TEST_CASE("guards, snapshots and entries of the old state stay valid when another one is adopted") {
  map_state from, map;
  fill(from);
  for (int i = 0; i < 200; ++i) put(map, "/old/" + std::to_string(i), "old"), map.publish();
  const map_snapshot held = map.snapshot();
  const auto entry = *map.get("/old/5");
  put(map, "/old/5", "newer"), map.publish();
  {
    const auto guard = map.read();
    adopt(map, save(from));
    for (int i = 0; i < 50; ++i) map.collect(100);
    CHECK(guard.size() == 200);
    CHECK(guard.find("/old/5")->value() == "newer");
    CHECK(map.read().size() == from.read().size());
  }
  CHECK(listing(map) == listing(from));
  for (int i = 0; i < 100; ++i) map.collect(100);
  CHECK(held.size() == 200);
  CHECK(held.find("/old/5")->value() == "old");
  CHECK(entry.value() == "old");
  CHECK(map.memory().live_records > map.read().size());
}

TEST_CASE("the replaced state is freed in portions, and nothing of it stays") {
  map_state from, map;
  fill(from);
  for (int i = 0; i < 5000; ++i) put(map, "/old/" + std::to_string(i), "old"), put(from, "/x", "y");
  map.publish(), from.publish();
  map_state fresh(history_limits{0, 0});
  adopt(fresh, save(from));
  free_all(fresh);
  const auto expected = fresh.memory();
  for (int round = 0; round < 5; ++round) {
    const map_snapshot held = map.snapshot();
    adopt(map, save(from));
    for (int i = 0; i < 3; ++i) map.collect(1000);
    if (round == 0) CHECK(map.memory().backlog >= 5000);
    put(map, "/x", "z"), map.publish(), put(from, "/x", "z"), from.publish();
    CHECK(held.find("/nothing") == nullptr);
  }
  adopt(map, save(from));
  CHECK(map.collect(100) <= 110);
  free_all(map);
  CHECK(map.memory().backlog == 0);
  CHECK(map.memory().live_records == expected.live_records);
  CHECK(map.memory().live_nodes == expected.live_nodes);
  CHECK(map.memory().node_bytes == expected.node_bytes);
}

TEST_CASE("watch across snapshot install: one that is behind ends, nothing is lost silently or told twice") {
  map_state from, map;
  put(map, "/a", "1"), map.publish();
  put(from, "/a", "1"), put(from, "/a", "2"), put(from, "/b", "3"), from.publish();
  int notified = 0;
  const auto behind = map.watches().add("/", 0, {}, [&] { ++notified; });
  const auto idle = map.watches().add("/", std::nullopt, {}, [&] { ++notified; });
  REQUIRE(behind);
  REQUIRE(idle);
  adopt(map, save(from));
  CHECK(notified == 1);  // the other has something to take already
  auto batch = map.watches().take(*behind, 1);
  REQUIRE(batch.changes.size() == 1);
  CHECK(batch.changes[0].revision() == 1);
  CHECK(batch.error.code == errc::compacted);
  CHECK(batch.restart_at == 3);
  CHECK(batch.through == 1);
  batch = map.watches().take(*idle);
  CHECK(batch.changes.empty());
  CHECK(batch.error.code == errc::compacted);
  CHECK(batch.restart_at == 3);
  // From there it goes on, forwards.
  CHECK(map.watches().add("/", 2, {}, nullptr).error().code == errc::compacted);
  const auto again = map.watches().add("/", batch.restart_at, {}, nullptr);
  REQUIRE(again);
  put(map, "/a", "4"), map.publish();
  batch = map.watches().take(*again);
  REQUIRE(batch.changes.size() == 1);
  CHECK(batch.first == 4);
  CHECK(map.watches().take(*idle).changes.empty());
}

TEST_CASE("watch across snapshot install: one that is exactly there goes on") {
  map_state from, map;
  for (auto* m : {&from, &map}) put(*m, "/a", "1"), put(*m, "/a", "2"), m->publish();
  const auto watch = map.watches().add("/", 1, {}, nullptr);
  REQUIRE(watch);
  adopt(map, save(from));
  put(map, "/a", "3"), map.publish();
  const auto batch = map.watches().take(*watch);
  CHECK_FALSE(batch.error);
  REQUIRE(batch.changes.size() == 2);
  CHECK(batch.first == 2);
  CHECK(batch.last == 3);
}

TEST_CASE("watch against compaction: after a snapshot the history begins at its revision") {
  map_state from, map;
  for (int i = 0; i < 10; ++i) put(from, "/a", "x");
  from.publish();
  put(map, "/a"), map.publish();
  adopt(map, save(from));
  CHECK(map.watches().floor() == 10);
  for (std::uint64_t after = 0; after < 10; ++after)
    CHECK(map.watches().add("/", after, {}, nullptr).error().code == errc::compacted);
  CHECK(map.watches().add("/", 10, {}, nullptr));
  CHECK(map.watches().add("/", 11, {}, nullptr).error().code == errc::revision_in_future);
}

namespace {

// A random command with everything: sessions that retry and acknowledge, uploads in and out of order.
class random_commands {
 public:
  explicit random_commands(std::uint64_t seed) : random_(seed) {}

  // Whether the last one was a write whose value is an upload.
  [[nodiscard]] bool ended_upload() const { return ended_upload_; }

  // The views are valid until the next call.
  command_view next(std::uint64_t index) {
    command_view c;
    ended_upload_ = false;
    time_ += static_cast<std::int64_t>(below(40) == 0 ? below(8'000'000) : below(1000));
    if (below(200) == 0) time_ -= 5'000'000'000;
    c.author = node_id(1 + below(4));
    c.timestamp = time_ + static_cast<std::int64_t>(c.author.value() * 1000);
    const auto what = below(20);
    if (what == 0) {
      c.kind = command_kind::session_open;
      c.time_to_live_ms = 1 + below(20'000);
      sessions_[below(sessions)] = {index, 1};
    } else if (what == 1) {
      c.kind = below(3) == 0 ? command_kind::session_close : command_kind::session_keep_alive;
      c.session = sessions_[below(sessions)].id;
      c.acknowledged = below(3) == 0 ? below(20) : 0;
    } else if (what < 7) {
      next_piece(c);
    } else {
      next_write(c);
    }
    if (c.session == 0 &&
        (c.kind == command_kind::session_close || c.kind == command_kind::session_keep_alive))
      c.session = 1;
    return c;
  }

 private:
  struct client {
    std::uint64_t id = 0, sequence = 1;
  };
  static constexpr std::size_t sessions = 6;

  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  void next_piece(command_view& c) {
    c.kind = command_kind::upload_piece;
    c.upload = 1 + below(5);
    value_ = pattern(40 + c.upload * 13, static_cast<unsigned>(c.upload));
    c.total_bytes = value_.size();
    const std::size_t part = below(3);
    c.offset = part * 20;
    key_ = "/up" + std::to_string(c.upload % 3);
    c.key = key_;
    c.value = std::string_view(value_).substr(c.offset, part == 2 ? std::string::npos : 20);
    c.author = node_id(1 + below(2));
  }
  void next_write(command_view& c) {
    c.kind = static_cast<command_kind>(1 + below(4));
    key_ =
        (below(4) == 0 ? "/up" : "/k") + std::to_string(below(c.author.value() * 10) % (below(2) ? 3 : 40));
    c.key = key_;
    const bool carries = c.kind == command_kind::put || c.kind == command_kind::compare_exchange;
    if (carries && below(4) == 0) {
      ended_upload_ = true;
      c.upload = 1 + below(5);
      key_ = "/up" + std::to_string(c.upload % 3);
      c.key = key_;
      c.author = node_id(1 + below(2));
    } else if (carries) {
      value_ = pattern(below(30), static_cast<unsigned>(below(1000)));
      c.value = value_;
    }
    if (c.kind == command_kind::compare_exchange || c.kind == command_kind::compare_erase)
      c.expected_revision = below(2) ? 0 : below(300);
    client& from = sessions_[below(sessions)];
    if (from.id == 0 || below(3) == 0) return;
    c.session = from.id;
    c.sequence = below(4) == 0 ? 1 + below(from.sequence) : from.sequence++;
    c.acknowledged = below(5) == 0 ? below(c.sequence + 1) : 0;
  }

  std::mt19937_64 random_;
  std::int64_t time_ = 1'700'000'000'000'000;
  std::string key_, value_;
  bool ended_upload_ = false;
  client sessions_[sessions];
};

}  // namespace

TEST_CASE("a replica that keeps taking over snapshots of another can't be told from it") {
  int replayed = 0, expired = 0, uploaded = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    random_commands commands(seed);
    std::mt19937_64 random(seed * 1000);
    map_state one, two;
    for (std::uint64_t index = 1; index <= 400; ++index) {
      const entry e = make_entry(index, commands.next(index));
      const apply_result a = one.apply(e), b = two.apply(e);
      REQUIRE(a.code != errc::bad_command);
      REQUIRE(a == b);
      replayed += a.replayed ? 1 : 0;
      expired += a.code == errc::session_expired ? 1 : 0;
      uploaded += !a.code && commands.ended_upload() ? 1 : 0;
      one.publish(), two.publish();
      REQUIRE(one.read().replica_hash() == two.read().replica_hash());
      if (random() % 10 != 0) continue;
      const blocks all = save(one);
      REQUIRE(all == save(two));
      if (random() % 3 == 0) continue;
      adopt(two, all);
      REQUIRE(one.read().replica_hash() == two.read().replica_hash());
      REQUIRE(listing(one) == listing(two));
      if (random() % 2 == 0) two.collect(random() % 200);
    }
    free_all(two);
    CHECK(two.memory().live_records >= two.read().size());
  }
  // The commands reach what they are for.
  CHECK(replayed > 100);
  CHECK(expired > 100);
  CHECK(uploaded > 100);
}

TEST_CASE("readers beside adopt always see one whole state, and captures are encoded elsewhere") {
  constexpr int keys = 50;
  constexpr int rounds = confman_test::effort(300);
  map_state leader, map;
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0}, read{0};
  const auto write = [&](map_state& to, int round) {
    for (int i = 0; i < keys; ++i) put(to, "/k" + std::to_string(i), std::to_string(round));
    to.publish();
  };
  write(leader, 0), write(map, 0);
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r)
    readers.emplace_back([&, r] {
      std::uint64_t last = 0;
      const auto check = [&](const auto& view) {
        std::string value;
        view.for_each_prefix("", [&](const record& found) {
          if (value.empty()) value = found.value();
          if (found.value() != value) ++wrong;
          return true;
        });
        if (view.size() != keys || view.revision() < last) ++wrong;
        last = view.revision();
      };
      while (!done.load(std::memory_order_relaxed)) {
        if (r == 0)
          check(map.read());
        else
          check(map.snapshot());
        ++read;
      }
    });
  for (int round = 1; round < rounds || read.load() < 100; ++round) {
    write(leader, round);
    if (round % 3 != 0) {
      write(map, round);
      continue;
    }
    blocks all;
    std::thread([&, capture = leader.capture()]() mutable {
      snapshot_encoder encoder(std::move(capture));
      for (std::string block; encoder.next(block);) all.push_back(block);
    }).join();
    adopt(map, all);
    map.collect();
  }
  done = true;
  for (auto& t : readers) t.join();
  CHECK(wrong == 0);
  free_all(map);
  CHECK(map.memory().live_records == keys);
}
