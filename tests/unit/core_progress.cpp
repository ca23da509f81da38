#include <doctest/doctest.h>

#include "confman/core/progress.hpp"
#include "confman/core/read_index.hpp"
#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

TEST_CASE("a replication window counts what is on its way, and an acknowledgement frees all before it") {
  replication_window window;
  window.sent(log_index(3), 100);
  window.sent(log_index(5), 50);
  window.sent(log_index(9), 7);
  CHECK(window.count() == 3);
  CHECK(window.bytes() == 157);
  window.acknowledged(log_index(4));
  CHECK(window.count() == 2);
  CHECK(window.bytes() == 57);
  window.acknowledged(log_index(9));
  CHECK(window.count() == 0);
  CHECK(window.bytes() == 0);
  window.sent(log_index(10), 1);
  window.clear();
  CHECK(window.count() == 0);
  CHECK(window.bytes() == 0);
}

TEST_CASE("probing never goes back to or below what is known to match") {
  progress peer;
  peer.match = log_index(5);
  peer.become_replicate();
  CHECK(peer.next == log_index(6));
  peer.become_probe(log_index(3));
  CHECK(peer.next == log_index(6));
  CHECK(peer.state == progress_state::probe);
  peer.become_probe(log_index(8));
  CHECK(peer.next == log_index(8));
}

TEST_CASE("read rounds: a batch is answered once its round, or a later one, is confirmed") {
  read_rounds rounds;
  CHECK(rounds.begin(log_index(5), {read_id(1), read_id(2)}, {}) == 1);
  CHECK(rounds.begin(log_index(7), {}, {{node_id(2), 44}}) == 2);
  CHECK(rounds.begin(log_index(8), {read_id(3)}, {}) == 3);
  std::vector<std::uint64_t> seen;
  const auto visit = [&](const read_rounds::batch& b) { seen.push_back(b.index.value()); };
  rounds.confirmed(0, visit);
  CHECK(seen.empty());
  rounds.confirmed(2, visit);
  CHECK(seen == std::vector<std::uint64_t>{5, 7});
  CHECK(rounds.waiting());
  CHECK(rounds.release() == std::vector<read_id>{read_id(3)});
  CHECK_FALSE(rounds.waiting());
  CHECK(rounds.latest() == 3);
}

TEST_CASE("read rounds count what waits in them") {
  read_rounds rounds;
  CHECK(rounds.size() == 0);
  rounds.begin(log_index(5), {read_id(1), read_id(2)}, {{node_id(2), 44}});
  rounds.begin(log_index(6), {read_id(3)}, {});
  CHECK(rounds.size() == 4);
  rounds.confirmed(1, [](const read_rounds::batch&) {});
  CHECK(rounds.size() == 1);
  (void)rounds.release();
  CHECK(rounds.size() == 0);
}

TEST_CASE("a follower's read contexts never repeat, not even in the next run of the same directory") {
  follower_reads first(1), second(2);
  const std::uint64_t a = first.ask({read_id(1)});
  const std::uint64_t b = first.ask({read_id(2)});
  const std::uint64_t c = second.ask({read_id(1)});
  CHECK(a != b);
  CHECK(b < c);
  CHECK(second.answered(a).empty());
  CHECK(second.answered(c) == std::vector<read_id>{read_id(1)});
  CHECK(second.answered(c).empty());
}

TEST_CASE("an answer to a later question answers the earlier ones too; one to an earlier leaves the later") {
  follower_reads reads(1);
  const std::uint64_t a = reads.ask({read_id(1)});
  const std::uint64_t b = reads.ask({read_id(2), read_id(3)});
  const std::uint64_t c = reads.ask({read_id(4)});
  CHECK(reads.size() == 4);
  CHECK(reads.answered(b) == std::vector<read_id>{read_id(1), read_id(2), read_id(3)});
  CHECK(reads.size() == 1);
  CHECK(reads.answered(a).empty());
  CHECK(reads.latest() == c);
  CHECK(reads.release() == std::vector<read_id>{read_id(4)});
  CHECK(reads.size() == 0);
  CHECK_FALSE(reads.waiting());
  CHECK(reads.answered(c).empty());
}
