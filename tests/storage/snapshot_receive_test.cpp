#include <algorithm>
#include <string>
#include <vector>

#include "snapshot_samples.hpp"

using namespace confman_test;
namespace format = confman::snapshot_format;

namespace {

struct offered {
  snapshot_meta meta;
  std::uint64_t digest = 0;
  std::string bytes;
};

// What a peer has to send: read through the same calls that it will use.
offered offer(std::uint64_t index, const std::vector<std::string>& blocks,
              const snapshot_options& options = sample_options()) {
  crash_file_system fs;
  test_store store = open_store(fs, options);
  REQUIRE(save(store, sample_meta(index), blocks));
  result<test_reader> reader = store.read(store.newest()->meta.at);
  REQUIRE(reader);
  offered made{reader->meta(), reader->digest(), {}};
  char piece[777];
  while (made.bytes.size() < reader->size()) {
    const result<std::size_t> got = reader->read_raw(made.bytes.size(), piece);
    REQUIRE(got);
    made.bytes.append(piece, *got);
  }
  return made;
}

auto receive(test_store& store, const offered& from) {
  auto receiver = store.receive(from.meta.at, from.digest, from.bytes.size());
  REQUIRE_MESSAGE(receiver, receiver.error().what);
  return receiver;
}

// Sends the rest in pieces, up to `end`.
template <class Receiver>
failure send(Receiver&& receiver, const std::string& bytes, std::size_t piece = 500,
             std::size_t end = ~std::size_t{0}) {
  end = std::min(end, bytes.size());
  while (receiver.next() < end) {
    const std::size_t at = receiver.next();
    if (failure f = receiver.write(at, std::string_view(bytes).substr(at, std::min(piece, end - at))))
      return f;
  }
  return {};
}

}  // namespace

TEST_CASE("a snapshot sent in pieces of any size arrives byte for byte") {
  const offered from = offer(16, sample_blocks());
  for (const std::size_t piece : {1u, 15u, 64u, 1000u, 100000u}) {
    crash_file_system fs;
    test_store store = open_store(fs);
    auto receiver = receive(store, from);
    CHECK(receiver->next() == 0);
    CHECK(receiver->total() == from.bytes.size());
    REQUIRE_FALSE(send(*receiver, from.bytes, piece));
    const result<snapshot_info> done = receiver->finish();
    REQUIRE_MESSAGE(done, done.error().what);
    CHECK(done->meta == from.meta);
    CHECK(done->digest == from.digest);
    fs.lose_power([] { return false; });
    test_store again = open_store(fs);
    REQUIRE(again.newest() != nullptr);
    CHECK(fs.image() == disk_image{{again.newest()->path, from.bytes}});
    CHECK(*load_newest(again) == sample_blocks());
  }
}

TEST_CASE("receiving goes on where it was after a broken connection and after a restart of the receiver") {
  const offered from = offer(16, {std::string(1000, 'a'), std::string(1000, 'b'), std::string(1000, 'c')});
  crash_file_system fs;
  {
    test_store store = open_store(fs);
    { REQUIRE_FALSE(send(*receive(store, from), from.bytes, 300, 2500)); }
    auto next = receive(store, from);  // the connection was made anew
    CHECK(next->next() > 2000);        // two blocks and the header are there
    CHECK(next->next() <= 2500);
    REQUIRE_FALSE(send(*next, from.bytes, 300, 2600));
  }
  fs.kill();
  test_store store = open_store(fs);
  auto receiver = receive(store, from);
  CHECK(receiver->next() > 2000);
  REQUIRE_FALSE(send(*receiver, from.bytes));
  REQUIRE(receiver->finish());
  CHECK(fs.image().at(store.newest()->path) == from.bytes);
}

TEST_CASE("going on with a part can be given up while it is read; the part stays") {
  const offered from = offer(16, {std::string(1000, 'a'), std::string(1000, 'b'), std::string(1000, 'c')});
  crash_file_system fs;
  test_store store = open_store(fs);
  { REQUIRE_FALSE(send(*receive(store, from), from.bytes, 300, 2500)); }
  const disk_image before = fs.image();
  int asked = 0;
  const auto given_up = store.receive(from.meta.at, from.digest, from.bytes.size(), [&asked] {
    return ++asked == 2 ? failure(errc::stopped, "the node stops") : failure();
  });
  REQUIRE_FALSE(given_up);
  CHECK(given_up.error().code == errc::stopped);
  CHECK(fs.image() == before);
  CHECK(receive(store, from)->next() > 2000);
}

TEST_CASE("after a loss of power only what is sound counts, whatever sectors are lost") {
  std::vector<std::string> blocks;
  for (int i = 0; i < 12; ++i) blocks.push_back(std::string(900, static_cast<char>('a' + i)));
  const offered from = offer(16, blocks);
  snapshot_options options = sample_options();
  options.sync_bytes = 3000;
  bool lost_some = false;
  for (unsigned seed = 0; seed < 64; ++seed) {
    crash_file_system fs;
    {
      test_store store = open_store(fs, options);
      REQUIRE_FALSE(send(*receive(store, from), from.bytes, 700, 8000));
      REQUIRE_FALSE(fs.sync_directory("data"));
    }
    std::uint32_t state = seed;
    fs.lose_power([&] { return seed != 0 && ((state = state * 1664525u + 1013904223u) >> 29) > seed % 8; });
    test_store store = open_store(fs, options);
    auto receiver = receive(store, from);
    CHECK(receiver->next() > 5000);  // synced: at most sync_bytes, a piece and a block are lost
    lost_some = lost_some || receiver->next() < 7000;
    REQUIRE_FALSE(send(*receiver, from.bytes));
    const auto done = receiver->finish();
    REQUIRE_MESSAGE(done, done.error().what);
    REQUIRE(fs.image().at(store.newest()->path) == from.bytes);
  }
  CHECK(lost_some);
}

TEST_CASE("any byte changed on the way is refused by finish, and nothing of it stays") {
  const offered from = offer(16, {"one", "two", std::string(300, 'z')});
  for (std::size_t at = 0; at < from.bytes.size(); ++at) {
    crash_file_system fs;
    test_store store = open_store(fs);
    REQUIRE(save(store, sample_meta(8), {"old"}));
    const disk_image before = fs.image();
    auto receiver = receive(store, from);
    std::string bad = from.bytes;
    bad[at] = static_cast<char>(bad[at] ^ 0x20);
    failure f = send(*receiver, bad, 100);  // a damaged header is noticed at once
    if (!f) f = receiver->finish().error();
    REQUIRE(f.code == make_error_code(errc::snapshot_damaged));
    REQUIRE(mentions(f, "at offset"));
    REQUIRE(fs.image() == before);
    REQUIRE(receiver->write(receiver->next(), "x").code == make_error_code(errc::snapshot_damaged));
    REQUIRE(*load_newest(store) == std::vector<std::string>{"old"});
  }
}

TEST_CASE("another snapshot than the one that was offered is refused") {
  const offered a = offer(16, {"aaaa"}), b = offer(16, {"bbbb"}), c = offer(17, {"cccc"});
  REQUIRE(a.bytes.size() == b.bytes.size());
  const auto refused = [](offered claimed, const offered& sent) {
    claimed.bytes = sent.bytes;
    crash_file_system fs;
    test_store store = open_store(fs);
    auto receiver = receive(store, claimed);
    REQUIRE_FALSE(send(*receiver, claimed.bytes));
    const auto done = receiver->finish();
    CHECK(fs.image().empty() == !done);
    return !done && done.error().code == make_error_code(errc::snapshot_damaged);
  };
  CHECK_FALSE(refused(a, a));
  CHECK(refused(a, b));
  CHECK(refused(a, c));
}

TEST_CASE("a snapshot of another cluster is refused as soon as its header is there") {
  snapshot_options theirs = sample_options();
  theirs.cluster = confman::cluster_id(8);
  const offered from = offer(16, {std::string(200000, 'a')}, theirs);
  crash_file_system fs;
  test_store store = open_store(fs);
  auto receiver = receive(store, from);
  const failure f = send(*receiver, from.bytes, 200);
  CHECK(f.code == make_error_code(errc::wrong_cluster));
  CHECK(receiver->next() < 1000);
  CHECK(fs.image().empty());
}

TEST_CASE("pieces at another place or beyond the end do nothing, and receiving goes on") {
  const offered from = offer(16, {"one", "two"});
  crash_file_system fs;
  test_store store = open_store(fs);
  auto receiver = receive(store, from);
  const std::string_view bytes = from.bytes;
  REQUIRE_FALSE(receiver->write(0, bytes.substr(0, 100)));
  for (const std::uint64_t offset :
       {std::uint64_t{0}, std::uint64_t{99}, std::uint64_t{101}, ~std::uint64_t{0}})
    CHECK(receiver->write(offset, "x").code == make_error_code(errc::bad_frame));
  CHECK(receiver->write(100, from.bytes).code == make_error_code(errc::bad_frame));
  CHECK(receiver->finish().error().code == make_error_code(errc::bad_frame));
  CHECK(receiver->next() == 100);
  REQUIRE_FALSE(receiver->write(100, bytes.substr(100)));
  REQUIRE(receiver->finish());
}

TEST_CASE("a size that a peer claims takes no memory or disk, and impossible ones are refused") {
  crash_file_system fs;
  snapshot_options options = sample_options();
  test_store store = open_store(fs, options);
  CHECK(store.receive(sample_meta(16).at, 1, 79).error().code == make_error_code(errc::bad_frame));
  auto endless = store.receive(sample_meta(16).at, 1, ~std::uint64_t{0});
  REQUIRE(endless);
  REQUIRE(fs.image().begin()->second.empty());
  // Nor does what a header claims to be long.
  std::string head = "cfm-snp\n";
  head += std::string("\1\0\0\0\0\0\0\1", 8);  // 16 MiB
  REQUIRE_FALSE(endless->write(0, head));
  CHECK(fs.image().begin()->second.size() == 16);
  options.max_receive_bytes = 1000;
  test_store small = open_store(fs, options);
  CHECK(small.receive(sample_meta(17).at, 1, 1001).error().code == make_error_code(errc::value_too_large));
  CHECK(small.receive(sample_meta(17).at, 1, 1000));
}

TEST_CASE("only one part is kept, and none that is older than the newest snapshot") {
  const offered a = offer(16, sample_blocks()), b = offer(32, sample_blocks());
  crash_file_system fs;
  test_store store = open_store(fs);
  { REQUIRE_FALSE(send(*receive(store, a), a.bytes, 500, 1000)); }
  { REQUIRE_FALSE(send(*receive(store, b), b.bytes, 500, 1000)); }
  CHECK(names_with(fs, ".part").size() == 1);
  {
    test_store next = open_store(fs);
    CHECK(names_with(fs, ".part").size() == 1);
    REQUIRE(save(next, sample_meta(48), {"newer"}));
  }
  test_store last = open_store(fs);
  CHECK(names_with(fs, ".part").empty());
}

TEST_CASE("a full disk or a failed sync ends the receiving, frees the space, and the old snapshot stays") {
  const offered from = offer(16, sample_blocks());
  snapshot_options options = sample_options();
  options.sync_bytes = 2000;
  for (const bool full : {true, false})
    for (std::uint64_t at = 1; at <= 4; ++at) {
      crash_file_system fs;
      test_store store = open_store(fs, options);
      REQUIRE(save(store, sample_meta(8), {"old"}));
      const disk_image before = fs.image();
      auto receiver = receive(store, from);
      if (full)
        fs.space = before.begin()->second.size() + at * 1200;
      else
        fs.failing_sync = at;
      failure f = send(*receiver, from.bytes);
      if (!f) f = receiver->finish().error();
      CHECK(f.code == make_error_code(errc::storage_failed));
      CHECK(fs.image() == before);
      CHECK(load_newest(store));
      fs.space = ~std::uint64_t{0};
      auto again = receive(store, from);
      REQUIRE_FALSE(send(*again, from.bytes));
      CHECK(again->finish());
    }
}
