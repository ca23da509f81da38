// Snapshot files on their way between two members: windows, resumption, loss, limits, hostile pieces.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "confman/core/random.hpp"
#include "confman/runtime/snapshot_transfer.hpp"

using namespace confman;

namespace {

const node_id leader(1), follower(2);

snapshot_file file_of(std::uint64_t index, std::uint64_t bytes) {
  return {{term_t(1), log_index(index)}, index * 31, bytes};
}
std::string content(const snapshot_file& file) {
  std::string bytes;
  for (std::uint64_t i = 0; i < file.bytes; ++i)
    bytes += static_cast<char>('a' + (i * 7 + file.at.index.value()) % 26);
  return bytes;
}
snapshot_piece piece_of(const snapshot_file& file, std::uint64_t offset, std::size_t bytes) {
  return {file.at, file.digest, file.bytes, offset, shared_bytes::copy(content(file).substr(offset, bytes))};
}
snapshot_piece_response answer(const snapshot_file& file, std::uint64_t next, bool installed = false) {
  return {file.at, file.digest, next, installed};
}
snapshot_transfer_options small() {
  snapshot_transfer_options o;
  o.piece_bytes = 10;
  o.window = 4;
  return o;
}
std::vector<std::uint64_t> offsets(const std::vector<snapshot_read>& reads) {
  std::vector<std::uint64_t> found;
  for (const snapshot_read& r : reads) found.push_back(r.offset);
  return found;
}
using places = std::vector<std::uint64_t>;
// The offsets that it reads now; the disk answers at once.
places read_all(outgoing_snapshots& out) {
  const auto reads = out.reads();
  for (const snapshot_read& r : reads) (void)out.read(r, shared_bytes::copy(std::string(r.bytes, 'x')));
  return offsets(reads);
}
// A transfer that has asked, and whose follower has said at tick 1 where it stands.
outgoing_snapshots begun(const snapshot_file& file, std::uint64_t next) {
  outgoing_snapshots out(small());
  out.start(follower, file, 0);
  (void)read_all(out);
  (void)out.answered(follower, answer(file, next), 1);
  return out;
}

// The follower: the class under test and a disk that keeps a part over a restart.
struct receiving_end {
  incoming_snapshot in;
  std::string part;
  snapshot_file part_of;
  std::deque<snapshot_write> disk;
  std::optional<snapshot_file> installed;
  std::size_t writes = 0;
  bool slow_end = false;  // the last piece's work doesn't end

  [[nodiscard]] log_index held() const { return installed ? installed->at.index : log_index{}; }

  std::optional<snapshot_piece_response> take(incoming_snapshot::step&& s) {
    if (s.write) disk.push_back(*std::move(s.write));
    REQUIRE(disk.size() <= 1);
    return s.answer;
  }
  std::optional<snapshot_piece_response> receive(snapshot_piece&& p) {
    return take(in.accept(leader, std::move(p), held()));
  }
  std::optional<snapshot_piece_response> write() {
    if (disk.empty()) return std::nullopt;
    if (slow_end && disk.front().offset + disk.front().bytes.size() == disk.front().file.bytes)
      return std::nullopt;
    const snapshot_write w = std::move(disk.front());
    disk.pop_front();
    ++writes;
    if (part_of != w.file) part.clear();
    part_of = w.file;
    if (w.offset == part.size()) part += w.bytes.view();
    const bool complete = part.size() == w.file.bytes;
    const auto answered = take(in.written({w.file, part.size(), complete}));
    if (!complete) return answered;
    CHECK(part == content(w.file));
    installed = w.file;
    return in.installed();
  }
  void restart() {
    in = incoming_snapshot();
    disk.clear();
    part.resize(part.size() / 2);  // the crash took the rest
  }
};

// Both ends and a wire of pieces and answers between them.
struct two_ends {
  explicit two_ends(const snapshot_transfer_options& o = small()) : options(o), out(o) {}

  void start(const snapshot_file& f) { out.start(follower, f, now); }
  // One tick: reads, sends, writes. The wire does what `chance` says: loses, repeats, holds back.
  void tick() {
    ++now;
    for (const node_id silent : out.tick(now)) {
      CHECK(silent == follower);
      ++given_up;
    }
    for (int i = 0; i < 8; ++i) {
      for (const snapshot_read& r : out.reads()) {
        auto p = out.read(r, shared_bytes::copy(content(r.file).substr(r.offset, r.bytes)));
        if (p) put(pieces, *std::move(p));
      }
      while (auto p = get(pieces)) reply(to.receive(*std::move(p)));
      reply(to.write());
      while (auto a = get(answers)) ended |= out.answered(follower, *a, now);
    }
  }
  void reply(const std::optional<snapshot_piece_response>& a) {
    if (a) put(answers, *a);
  }
  template <class T>
  void put(std::deque<T>& wire, T m) {
    ++sent;
    if (lossy && dice.below(5) == 0) return;
    if (lossy && dice.below(5) == 0) wire.push_back(m);
    if (lossy && dice.below(4) == 0)
      wire.push_front(std::move(m));
    else
      wire.push_back(std::move(m));
  }
  template <class T>
  std::optional<T> get(std::deque<T>& wire) {
    if (wire.empty() || (lossy && dice.below(4) == 0)) return std::nullopt;
    T m = std::move(wire.front());
    wire.pop_front();
    return m;
  }

  snapshot_transfer_options options;
  outgoing_snapshots out;
  receiving_end to;
  std::deque<snapshot_piece> pieces;
  std::deque<snapshot_piece_response> answers;
  tick_count now = 0;
  int given_up = 0;
  bool ended = false;
  bool lossy = false;
  std::size_t sent = 0;
  random_source dice{1};
};

}  // namespace

TEST_CASE("snapshot transfer: one piece asks where the follower stands, then the window opens") {
  outgoing_snapshots out(small());
  const snapshot_file file = file_of(5, 95);
  out.start(follower, file, 0);
  CHECK(read_all(out) == places{0});
  CHECK(out.reads().empty());
  CHECK_FALSE(out.answered(follower, answer(file, 10), 1));
  CHECK(read_all(out) == places{10, 20, 30, 40});
  CHECK_FALSE(out.answered(follower, answer(file, 20), 1));
  CHECK(read_all(out) == places{50});
  CHECK_FALSE(out.answered(follower, answer(file, 60), 1));
  const auto last = out.reads();
  CHECK(offsets(last) == places{60, 70, 80, 90});
  CHECK(last.back().bytes == 5);
  CHECK(out.answered(follower, answer(file, 95, true), 2));
  CHECK(out.empty());
}

TEST_CASE("snapshot transfer: goes on from whatever offset the follower names") {
  for (std::uint64_t has = 0; has <= 95; ++has) {
    outgoing_snapshots out(small());
    const snapshot_file file = file_of(5, 95);
    out.start(follower, file, 0);
    CHECK(read_all(out).size() == 1);
    CHECK_FALSE(out.answered(follower, answer(file, has), 1));
    const auto next = out.reads();
    CHECK(next.size() == std::min<std::size_t>(4, (95 - has + 9) / 10));
    if (!next.empty()) CHECK(next.front().offset == has);
  }
}

TEST_CASE("snapshot transfer: who is named again while it is served isn't started again") {
  const snapshot_file file = file_of(5, 95), newer = file_of(9, 200);
  outgoing_snapshots out = begun(file, 50);
  out.start(follower, file, 2);
  out.start(follower, newer, 2);
  CHECK(out.sending(follower, file));
  CHECK(read_all(out) == places{50, 60, 70, 80});
  CHECK(out.oldest() == log_index(5));
  out.stop(follower);
  out.start(follower, newer, 3);
  CHECK(out.oldest() == log_index(9));
}

TEST_CASE("snapshot transfer: who still waits for the first piece is sent the newer file instead") {
  const snapshot_file file = file_of(5, 95), newer = file_of(9, 200);
  outgoing_snapshots out = begun(file, 50);
  out.start(node_id(3), file, 2);
  out.renew(newer);
  CHECK(out.files() == std::vector<snapshot_file>{file, newer});
  CHECK(out.oldest() == log_index(5));
  (void)read_all(out);
  out.renew(file_of(12, 300));
  CHECK(out.files() == std::vector<snapshot_file>{file, newer});
}

TEST_CASE("snapshot transfer: a file that can't be read ends all transfers of it, no other") {
  const snapshot_file file = file_of(5, 95), newer = file_of(9, 200);
  outgoing_snapshots out = begun(file, 50);
  out.start(node_id(3), file, 2);
  out.start(node_id(4), newer, 2);
  CHECK(out.stop_all(file) == std::vector<node_id>{follower, node_id(3)});
  CHECK(out.files() == std::vector<snapshot_file>{newer});
}

TEST_CASE("snapshot transfer: without a loss the wire is never idle and nothing is sent twice") {
  two_ends t;
  t.start(file_of(3, 1000));
  int ticks = 0;
  for (; !t.ended && ticks < 100; ++ticks) t.tick();
  CHECK(t.to.installed == file_of(3, 1000));
  CHECK(t.to.writes == 100);
  CHECK(t.sent == 200);
  CHECK(ticks < 25);  // eight pieces a tick go through the disk; no wait for `retry`
}

TEST_CASE("snapshot transfer: a piece that got lost is sent again as soon as that shows, once") {
  const snapshot_file file = file_of(5, 500);
  outgoing_snapshots out = begun(file, 10);
  CHECK(read_all(out) == places{10, 20, 30, 40});
  (void)out.answered(follower, answer(file, 10), 1);  // 10 got lost, 20 arrived
  CHECK(read_all(out) == places{10, 20, 30, 40});
  (void)out.answered(follower, answer(file, 10), 1);  // so did 30 and 40
  (void)out.answered(follower, answer(file, 10), 1);
  CHECK(out.reads().empty());
  (void)out.answered(follower, answer(file, 20), 2);
  CHECK(read_all(out) == places{50});
}

// Seed 11390 of the simulation: two answers that overtook each other had the window read again for each of
// them, whose pieces brought more such answers: 16,000 reads waited for the disk.
TEST_CASE("snapshot transfer: an answer that comes late has nothing sent again") {
  const snapshot_file file = file_of(5, 500);
  outgoing_snapshots out = begun(file, 10);
  CHECK(read_all(out) == places{10, 20, 30, 40});
  (void)out.answered(follower, answer(file, 30), 1);
  CHECK(read_all(out) == places{50, 60});
  for (int i = 0; i < 10; ++i) {
    (void)out.answered(follower, answer(file, 20), 1);
    CHECK(read_all(out).empty());
  }
  (void)out.answered(follower, answer(file, 70), 1);
  CHECK(read_all(out) == places{70, 80, 90, 100});
}

TEST_CASE("snapshot transfer: a follower that has lost what it had is asked again when it is silent") {
  const snapshot_file file = file_of(5, 500);
  outgoing_snapshots out = begun(file, 100);
  CHECK(read_all(out) == places{100, 110, 120, 130});
  for (int i = 0; i < 4; ++i) (void)out.answered(follower, answer(file, 0), 2);
  CHECK(read_all(out).empty());
  CHECK(out.tick(51).empty());
  CHECK(read_all(out).empty());
  CHECK(out.tick(52).empty());
  CHECK(read_all(out) == places{100});
  (void)out.answered(follower, answer(file, 0), 53);
  CHECK(read_all(out) == places{0, 10, 20, 30});
}

TEST_CASE("snapshot transfer: a follower that has all of it and doesn't say installed is asked again") {
  const snapshot_file file = file_of(5, 95);
  outgoing_snapshots out = begun(file, 95);
  CHECK(read_all(out).empty());
  CHECK(out.tick(51).empty());
  CHECK(read_all(out) == places{0});
  CHECK(out.answered(follower, answer(file, 95, true), 52));
}

TEST_CASE("snapshot transfer: a slow disk is asked for no more than a window at a time") {
  outgoing_snapshots out(small());
  const snapshot_file file = file_of(5, 5000);
  out.start(follower, file, 0);
  std::vector<snapshot_read> waiting = out.reads();
  REQUIRE(waiting.size() == 1);
  for (tick_count now = 1; now <= 900; ++now) {
    (void)out.tick(now);
    if (now % 2 == 0) (void)out.answered(follower, answer(file, now / 100 * 10), now);
    for (const snapshot_read& r : out.reads()) waiting.push_back(r);
    REQUIRE(waiting.size() <= 4);
  }
  CHECK(waiting.size() == 4);
  CHECK(out.read(waiting[0], shared_bytes::copy("0123456789")));
  CHECK(out.reads().size() == 1);
}

TEST_CASE("snapshot transfer: arrives whole over a wire that loses, repeats and reorders both ways") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    two_ends t;
    t.dice = random_source(seed);
    t.lossy = true;
    t.start(file_of(3, 400 + seed));
    for (int i = 0; !t.ended && i < 20'000; ++i) t.tick();
    CHECK(t.ended);
    CHECK(t.given_up == 0);
    CHECK(t.to.installed == file_of(3, 400 + seed));
  }
}

TEST_CASE("snapshot transfer: goes on after restarts of either side in the middle") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    two_ends t;
    t.dice = random_source(seed);
    t.lossy = seed % 2 == 0;
    const snapshot_file file = file_of(3, 2000);
    t.start(file);
    for (int restarts = 0, i = 0; !t.ended && i < 20'000; ++i) {
      t.tick();
      if (t.ended || restarts == 4 || t.dice.below(6) != 0) continue;
      ++restarts;
      t.pieces.clear();
      t.answers.clear();
      if (t.dice.below(2) == 0) {
        t.to.restart();
      } else {
        t.out = outgoing_snapshots(t.options);
        t.start(file);
      }
    }
    CHECK(t.to.installed == file);
    CHECK(t.ended);
  }
}

TEST_CASE("snapshot transfer: after a restart of the leader only what is missing is sent") {
  two_ends t;
  const snapshot_file file = file_of(3, 1000);
  t.start(file);
  while (t.to.part.size() < 500) t.tick();
  const std::size_t there = t.to.part.size();
  t.out = outgoing_snapshots(t.options);
  t.pieces.clear();
  t.answers.clear();
  t.sent = 0;
  t.start(file);
  for (int i = 0; !t.ended && i < 100; ++i) t.tick();
  CHECK(t.ended);
  CHECK(t.sent <= 2 * (1000 - there) / 10 + 10);
}

TEST_CASE("snapshot transfer: another file in the middle replaces the one that was begun") {
  two_ends t;
  t.start(file_of(3, 1000));
  for (int i = 0; i < 3; ++i) t.tick();
  REQUIRE_FALSE(t.ended);
  t.out.stop(follower);
  t.start(file_of(8, 300));
  for (int i = 0; !t.ended && i < 500; ++i) t.tick();
  CHECK(t.to.installed == file_of(8, 300));
}

TEST_CASE("snapshot transfer: a silent follower is offered it again, then given up") {
  outgoing_snapshots out = begun(file_of(5, 95), 30);
  CHECK(read_all(out) == places{30, 40, 50, 60});
  CHECK(out.tick(50).empty());
  CHECK(out.reads().empty());
  CHECK(out.tick(51).empty());
  CHECK(read_all(out) == places{30});
  for (tick_count now = 52; now < 1001; ++now) {
    CHECK(out.tick(now).empty());
    CHECK(read_all(out) == (now % 50 == 1 ? places{30} : places{}));
  }
  CHECK(out.tick(1001) == std::vector<node_id>{follower});
  CHECK(out.empty());
  CHECK_FALSE(out.answered(follower, answer(file_of(5, 95), 40), 1002));
}

TEST_CASE("snapshot transfer: the rate limit holds over all followers, who take turns") {
  snapshot_transfer_options o = small();
  o.bytes_per_tick = 15;
  o.window = 100;
  outgoing_snapshots out(o);
  const node_id other(3);
  const snapshot_file file = file_of(5, 100'000);
  out.start(follower, file, 0);
  out.start(other, file, 0);
  CHECK(out.reads().empty());
  std::size_t total = 0, to_other = 0;
  for (tick_count now = 1; now <= 100; ++now) {
    CHECK(out.tick(now).empty());
    for (const snapshot_read& r : out.reads()) {
      (void)out.read(r, shared_bytes::copy(std::string(r.bytes, 'x')));
      total += r.bytes;
      if (r.to == other) to_other += r.bytes;
      (void)out.answered(r.to, answer(file, r.offset + r.bytes), now);
    }
    CHECK(total <= now * 15);
  }
  CHECK(total >= 1400);
  CHECK(to_other >= total / 2 - 10);
  CHECK(to_other <= total / 2 + 10);
}

// Seed 5771 of the simulation: five followers, each of whose turns came once in five seconds, were given up
// in between.
TEST_CASE("snapshot transfer: a follower that waits for its turn under the rate limit isn't given up") {
  snapshot_transfer_options o = small();
  o.piece_bytes = 1000;
  o.bytes_per_tick = 10;
  o.retry = 15;
  o.give_up = 150;
  outgoing_snapshots out(o);
  const snapshot_file file = file_of(5, 2500);
  const std::vector<node_id> all{node_id(2), node_id(3), node_id(4), node_id(5), node_id(6)};
  for (const node_id id : all) out.start(id, file, 0);
  tick_count now = 1;
  for (; !out.empty() && now < 5000; ++now) {
    CHECK(out.tick(now).empty());
    for (const snapshot_read& r : out.reads()) {
      (void)out.read(r, shared_bytes::copy(std::string(r.bytes, 'x')));
      const std::uint64_t next = r.offset + r.bytes;
      (void)out.answered(r.to, answer(file, next, next == file.bytes), now);
    }
  }
  CHECK(out.empty());
  CHECK(now <= 5 * 2500 / 10 + 10);
}

TEST_CASE("snapshot transfer: time in which nothing is sent isn't saved up without limit") {
  snapshot_transfer_options o = small();
  o.bytes_per_tick = 10;
  o.window = 1000;
  outgoing_snapshots out(o);
  for (tick_count now = 1; now <= 1000; ++now) (void)out.tick(now);
  out.start(follower, file_of(5, 100'000), 1000);
  (void)read_all(out);
  (void)out.answered(follower, answer(file_of(5, 100'000), 10), 1000);
  CHECK(out.reads().size() <= 11);
}

TEST_CASE("snapshot transfer: answers that are hostile or of another file change nothing") {
  const snapshot_file file = file_of(5, 95);
  outgoing_snapshots out = begun(file, 20);
  (void)read_all(out);
  CHECK_FALSE(out.answered(follower, answer(file, 96), 2));
  CHECK_FALSE(out.answered(follower, answer(file, ~std::uint64_t{0}), 2));
  CHECK_FALSE(out.answered(follower, answer(file_of(6, 95), 95, true), 2));
  CHECK_FALSE(out.answered(follower, {file.at, file.digest + 1, 95, true}, 2));
  CHECK_FALSE(out.answered(node_id(9), answer(file, 95, true), 2));
  CHECK(out.reads().empty());
  CHECK(out.sending(follower, file));
}

TEST_CASE("snapshot transfer: what was read for a transfer that has ended or changed isn't sent") {
  outgoing_snapshots out(small());
  out.start(follower, file_of(5, 95), 0);
  const auto reads = out.reads();
  REQUIRE(reads.size() == 1);
  out.stop(follower);
  CHECK_FALSE(out.read(reads[0], shared_bytes::copy("0123456789")));
  out.start(follower, file_of(6, 95), 0);
  CHECK_FALSE(out.read(reads[0], shared_bytes::copy("0123456789")));
}

TEST_CASE("receiving a snapshot: pieces that follow each other wait for the disk in order") {
  receiving_end r;
  const snapshot_file file = file_of(5, 95);
  CHECK_FALSE(r.receive(piece_of(file, 0, 10)));
  CHECK(r.in.busy());
  CHECK_FALSE(r.receive(piece_of(file, 10, 10)));  // how far the file goes isn't known yet
  CHECK(r.write()->next == 10);
  CHECK_FALSE(r.receive(piece_of(file, 10, 10)));
  CHECK_FALSE(r.receive(piece_of(file, 20, 10)));
  CHECK_FALSE(r.receive(piece_of(file, 30, 10)));
  CHECK_FALSE(r.receive(piece_of(file, 20, 10)));
  CHECK_FALSE(r.receive(piece_of(file, 60, 10)));
  CHECK(r.write()->next == 20);
  CHECK(r.write()->next == 30);
  CHECK(r.write()->next == 40);
  CHECK_FALSE(r.in.busy());
  CHECK(r.part == content(file).substr(0, 40));
  CHECK(r.receive(piece_of(file, 60, 10))->next == 40);
  CHECK(r.receive(piece_of(file, 0, 10))->next == 40);
}

TEST_CASE(
    "receiving a snapshot: while the whole file is verified a piece is answered, and nothing is sent again") {
  receiving_end r;
  const snapshot_file file = file_of(5, 35);
  CHECK_FALSE(r.receive(piece_of(file, 0, 10)));
  CHECK(r.write()->next == 10);
  for (const std::uint64_t at : {10, 20, 30}) CHECK_FALSE(r.receive(piece_of(file, at, 10)));
  CHECK_FALSE(r.receive(piece_of(file, 10, 10)));  // the disk answers soon
  CHECK(r.write()->next == 20);
  CHECK(r.write()->next == 30);
  for (const std::uint64_t at : {30, 0}) {
    const auto busy = r.receive(piece_of(file, at, 5));
    REQUIRE(busy);
    CHECK(busy->next == 35);
    CHECK_FALSE(busy->installed);
  }
  REQUIRE(r.disk.size() == 1);
  CHECK(r.write()->installed);
  CHECK(r.part == content(file));
}

TEST_CASE("snapshot transfer: a follower that takes long to verify what it has isn't given up") {
  two_ends t;
  const snapshot_file file = file_of(5, 395);
  t.start(file);
  t.to.slow_end = true;
  while (t.to.part.size() < 390) t.tick();
  t.sent = 0;
  for (tick_count i = 0; i < 4 * small().give_up; ++i) t.tick();
  CHECK(t.given_up == 0);
  CHECK(t.out.sending(follower, file));
  CHECK(t.sent <= 2 * 4 * small().give_up / small().retry + 2);  // a question and its answer
  CHECK(t.to.disk.size() == 1);
  t.to.slow_end = false;
  for (tick_count i = 0; i <= small().retry; ++i) t.tick();
  CHECK(t.ended);
  CHECK(t.to.installed == file);
}

TEST_CASE("receiving a snapshot: no more pieces wait than agreed") {
  receiving_end r;
  const snapshot_file file = file_of(5, 950);
  (void)r.receive(piece_of(file, 0, 10));
  (void)r.write();
  for (std::uint64_t at = 10; at < 900; at += 10) (void)r.receive(piece_of(file, at, 10));
  std::uint64_t last = 0;
  while (const auto a = r.write()) last = a->next;
  CHECK(last == 180);  // one in the disk's hands and 16 that waited
}

TEST_CASE("receiving a snapshot: what is contained already is answered as installed, unwritten") {
  receiving_end r;
  const snapshot_file file = file_of(5, 95);
  const auto s = r.in.accept(leader, piece_of(file, 0, 10), log_index(5));
  CHECK_FALSE(s.write);
  REQUIRE(s.answer);
  CHECK(s.answer->installed);
  CHECK(s.answer->at == file.at);
  CHECK_FALSE(r.in.busy());
}

TEST_CASE("receiving a snapshot: pieces that lie about their place are dropped") {
  receiving_end r;
  const snapshot_file file = file_of(5, 95);
  snapshot_piece beyond = piece_of(file, 0, 10);
  beyond.offset = 90;
  snapshot_piece overflow = piece_of(file, 0, 10);
  overflow.offset = ~std::uint64_t{0} - 3;
  snapshot_piece outside = piece_of(file, 0, 10);
  outside.offset = 96;
  outside.bytes = {};
  for (snapshot_piece* p : {&beyond, &overflow, &outside}) {
    CHECK_FALSE(r.receive(std::move(*p)));
    CHECK(r.disk.empty());
  }
  CHECK_FALSE(r.in.busy());
}

TEST_CASE("receiving a snapshot: after a failure the next offer begins anew") {
  receiving_end r;
  const snapshot_file file = file_of(5, 95);
  (void)r.receive(piece_of(file, 0, 10));
  (void)r.write();
  (void)r.receive(piece_of(file, 10, 10));
  r.disk.clear();
  r.in.failed();
  CHECK_FALSE(r.in.busy());
  r.part.clear();
  CHECK_FALSE(r.receive(piece_of(file, 40, 10)));
  CHECK(r.write()->next == 0);
}

TEST_CASE("receiving a snapshot: another file waits until the write under way is done") {
  receiving_end r;
  (void)r.receive(piece_of(file_of(5, 95), 0, 10));
  CHECK_FALSE(r.receive(piece_of(file_of(9, 95), 0, 10)));
  CHECK(r.write()->at.index == log_index(5));
  CHECK_FALSE(r.receive(piece_of(file_of(9, 95), 0, 10)));
  CHECK(r.write()->at.index == log_index(9));
}
