#include <doctest/doctest.h>

#include "confman/core/log_view.hpp"
#include "confman/core/random.hpp"
#include "confman/core/write_window.hpp"
#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

log_view view_of(const std::vector<std::uint64_t>& terms) {
  log_view log;
  for (entry& e : log_of(terms)) log.append(std::move(e));
  return log;
}

std::vector<std::uint64_t> random_terms(random_source& random, std::uint64_t length, std::uint64_t top) {
  std::vector<std::uint64_t> terms;
  std::uint64_t term = 1 + random.below(2);
  for (std::uint64_t i = 0; i < length; ++i) {
    if (random.below(3) == 0) term = std::min(top, term + random.below(3));
    terms.push_back(term);
  }
  return terms;
}

entry next_entry(const log_view& log, std::uint64_t term) {
  return {term_t(term), log.last_index() + 1, entry_type::command, text("x"), {}};
}

}  // namespace

TEST_CASE("an empty log ends at 0:0 and knows nothing else") {
  const log_view log;
  CHECK(log.first_index() == log_index(1));
  CHECK(log.last() == version{});
  CHECK(log.last_hash() == chain_hash{});
  CHECK(log.matches({term_t(0), log_index(0)}));
  CHECK_FALSE(log.term_at(log_index(1)));
  CHECK_FALSE(log.matches({term_t(0), log_index(1)}));
}

TEST_CASE("a log that begins after a snapshot knows the term and hash at its base") {
  log_view log({term_t(3), log_index(10)}, chain_hash(99));
  CHECK(log.first_index() == log_index(11));
  CHECK(log.last() == version{term_t(3), log_index(10)});
  CHECK(log.term_at(log_index(10)) == term_t(3));
  CHECK(log.hash_at(log_index(10)) == chain_hash(99));
  CHECK_FALSE(log.term_at(log_index(9)));
  CHECK_FALSE(log.hash_at(log_index(9)));
  log.append(next_entry(log, 4));
  CHECK(log.at(log_index(11)).hash == extend_chain(chain_hash(99), term_t(4), 1, "x"));
  CHECK(log.last_agreeing({term_t(1), log_index(11)}) == version{term_t(3), log_index(10)});
}

TEST_CASE("the hash of an entry is computed on append, whatever the entry brought") {
  log_view log;
  entry e = next_entry(log, 1);
  e.hash = chain_hash(12345);
  log.append(std::move(e));
  CHECK(log.last_hash() == extend_chain({}, term_t(1), 1, "x"));
}

TEST_CASE("truncation removes the suffix and restores the hash before it") {
  log_view log = view_of({1, 1, 2, 3});
  log.truncate_from(log_index(3));
  CHECK(log.last() == version{term_t(1), log_index(2)});
  CHECK(log.last_hash() == hash_of({1, 1}));
  log.truncate_from(log_index(1));
  CHECK(log.last() == version{});
}

TEST_CASE("the conflict search finds what brute force finds, on random logs") {
  random_source random(1);
  for (int i = 0; i < 2000; ++i) {
    const auto terms = random_terms(random, random.below(20), 8);
    const log_view log = view_of(terms);
    const version limit{term_t(random.below(10)), log_index(random.below(25))};
    version expected;
    for (std::uint64_t at = 1; at <= std::min<std::uint64_t>(limit.index.value(), terms.size()); ++at)
      if (term_t(terms[at - 1]) <= limit.term) expected = {term_t(terms[at - 1]), log_index(at)};
    CHECK(log.last_agreeing(limit) == expected);
  }
}

TEST_CASE("hints from both sides never pass the true common prefix, and always make progress") {
  random_source random(2);
  for (int i = 0; i < 2000; ++i) {
    const auto a = random_terms(random, 1 + random.below(20), 8);
    auto b = a;
    b.resize(random.below(a.size() + 1));  // a common prefix, then another history
    const std::uint64_t common_at_least = b.size();
    for (std::uint64_t n = random.below(6); n > 0; --n)
      b.push_back((b.empty() ? 1 : b.back()) + random.below(3));
    const log_view leader = view_of(a), follower = view_of(b);
    std::uint64_t common = common_at_least;
    while (common < a.size() && common < b.size() && a[common] == b[common]) ++common;
    log_index previous = leader.last_index();
    int steps = 0;
    while (!follower.matches({*leader.term_at(previous), previous})) {
      const log_index limit = std::min(previous, follower.last_index());
      const version hint = follower.last_agreeing({*leader.term_at(previous), limit});
      const log_index next = std::min(leader.last_agreeing(hint).index + 1, previous);
      CHECK(next - 1 < previous);
      CHECK(next - 1 >= log_index(common_at_least));
      previous = next - 1;
      REQUIRE(++steps <= 20);
    }
  }
}

TEST_CASE("a clean window has nothing to write and no barrier") {
  const hard_state state{term_t(3), node_id(2), log_index(1)};
  const log_view log = view_of({1, 2});
  const write_window window(log_index(2), state);
  CHECK_FALSE(window.dirty(log, state));
  CHECK_FALSE(window.barrier(log, state));
  CHECK(window.stable() == log_index(2));
}

TEST_CASE("a moved commit index alone is not worth a write, but rides along with the next") {
  hard_state state{term_t(3), node_id(2), log_index(0)};
  log_view log = view_of({1, 2});
  write_window window(log_index(2), state);
  state.commit = log_index(2);
  CHECK_FALSE(window.dirty(log, state));
  log.append(next_entry(log, 3));
  CHECK(window.dirty(log, state));
  const write_batch batch = window.take(log, state);
  REQUIRE(batch.state);
  CHECK(*batch.state == state);
  CHECK(batch.entries.size() == 1);
}

TEST_CASE("term or vote alone is written, and the barrier is that write") {
  hard_state state;
  log_view log;
  write_window window(log_index(0), state);
  state.term = term_t(1);
  state.vote = node_id(1);
  CHECK(window.barrier(log, state) == write_seq(1));
  const write_batch batch = window.take(log, state);
  CHECK(batch.seq == write_seq(1));
  CHECK(batch.entries.empty());
  CHECK(window.barrier(log, state) == write_seq(1));  // handed out, not durable
  window.persisted(write_seq(1));
  CHECK_FALSE(window.barrier(log, state));
  CHECK(window.durable() == write_seq(1));
}

TEST_CASE("writes complete in order, and one acknowledgement covers all before it") {
  const hard_state state;
  log_view log;
  write_window window(log_index(0), state);
  for (int i = 0; i < 3; ++i) {
    log.append(next_entry(log, 1));
    CHECK(window.take(log, state).seq == write_seq(static_cast<std::uint64_t>(i) + 1));
  }
  CHECK(window.stable() == log_index(0));
  window.persisted(write_seq(2));
  CHECK(window.stable() == log_index(2));
  CHECK(window.durable() == write_seq(2));
  window.persisted(write_seq(3));
  CHECK(window.stable() == log_index(3));
}

TEST_CASE("trap: the late completion of an old write never marks overwritten entries stable") {
  const hard_state state{term_t(3), node_id{}, log_index{}};
  log_view log = view_of({2, 2, 2, 2, 2});
  write_window window(log_index(2), state);
  CHECK(window.take(log, state).entries.size() == 3);  // write 1: entries 3..5 of term 2
  log.truncate_from(log_index(4));
  window.truncated(log_index(4));
  log.append(next_entry(log, 3));
  log.append(next_entry(log, 3));
  window.persisted(write_seq(1));
  CHECK(window.stable() == log_index(3));
  const write_batch second = window.take(log, state);
  CHECK(second.truncate_from == log_index(4));
  CHECK(second.entries.size() == 2);
  CHECK(window.stable() == log_index(3));
  window.persisted(second.seq);
  CHECK(window.stable() == log_index(5));
}

TEST_CASE("two truncations before a write become the earlier one; entries never handed out need none") {
  const hard_state state;
  log_view log = view_of({1, 1, 1, 1});
  write_window window(log_index(4), state);
  for (const std::uint64_t from : {4u, 2u, 3u}) {
    log.truncate_from(std::min(log_index(from), log.last_index() + 1));
    window.truncated(std::min(log_index(from), log.last_index() + 1));
    while (log.last_index() < log_index(4)) log.append(next_entry(log, 5));
  }
  CHECK(window.stable() == log_index(1));
  const write_batch batch = window.take(log, state);
  CHECK(batch.truncate_from == log_index(2));
  CHECK(batch.entries.size() == 3);

  log_view fresh;
  write_window other(log_index(0), state);
  fresh.append(next_entry(fresh, 1));
  fresh.truncate_from(log_index(1));
  other.truncated(log_index(1));
  CHECK_FALSE(other.dirty(fresh, state));
}

TEST_CASE("whatever the order of appends, truncations, writes and completions, stable means on the disk") {
  random_source random(3);
  for (int run = 0; run < 300; ++run) {
    hard_state state;
    log_view log;
    write_window window(log_index(0), state);
    std::vector<entry> disk;
    std::deque<write_batch> in_flight;
    for (int step = 0; step < 60; ++step) {
      const std::uint64_t what = random.below(5);
      if (what <= 1) log.append({state.term, log.last_index() + 1, entry_type::command, text("x"), {}});
      if (what == 2 && log.last_index() > log_index(0)) {
        ++state.term;
        const log_index from = log_index(1 + random.below(log.last_index().value()));
        log.truncate_from(from);
        window.truncated(from);
      }
      if (what == 3 && window.dirty(log, state)) in_flight.push_back(window.take(log, state));
      if (what == 4 && !in_flight.empty()) {
        const write_batch batch = std::move(in_flight.front());
        in_flight.pop_front();
        if (batch.truncate_from) disk.resize(static_cast<std::size_t>(batch.truncate_from->value() - 1));
        disk.insert(disk.end(), batch.entries.begin(), batch.entries.end());
        window.persisted(batch.seq);
      }
      REQUIRE(window.stable().value() <= disk.size());
      for (log_index i(1); i <= window.stable(); ++i) REQUIRE(disk[i.value() - 1] == log.at(i));
    }
  }
}
