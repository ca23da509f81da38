// What waits in the runtime: proposals, forwarded writes, the filter for repeated requests, reads.
#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "confman/runtime/forwarding.hpp"
#include "confman/runtime/proposals.hpp"
#include "confman/runtime/read_waiters.hpp"

using namespace confman;

namespace {

struct some_write final : write_operation {
  void complete(std::error_code, const apply_result&) override {}
};
struct some_read final : read_operation {
  void complete(std::error_code) override {}
};

version at(std::uint64_t term, std::uint64_t index) {
  return {term_t(term), log_index(index)};
}

// What an applied entry decides: (the operation, whether it is the proposal's own entry).
using decisions = std::vector<std::pair<write_operation*, bool>>;
decisions decide(proposals& p, version place) {
  decisions made;
  p.applied(place, [&](const proposal& d, bool applied) { made.emplace_back(d.local, applied); });
  return made;
}

}  // namespace

TEST_CASE("a proposal is decided when its index is applied, by an entry of its term") {
  proposals p;
  some_write a, b;
  p.add({at(2, 5), &a, {}, 0});
  p.add({at(2, 6), &b, {}, 0});
  CHECK(p.size() == 2);
  CHECK(decide(p, at(2, 4)).empty());
  CHECK(decide(p, at(2, 5)) == decisions{{&a, true}});
  CHECK(decide(p, at(2, 6)) == decisions{{&b, true}});
  CHECK(p.size() == 0);
}

TEST_CASE("an entry of another term at its place voids a proposal for ever") {
  proposals p;
  some_write a;
  p.add({at(2, 5), &a, {}, 0});
  CHECK(decide(p, at(3, 5)) == decisions{{&a, false}});
  CHECK(decide(p, at(2, 5)).empty());
}

// Seed 26505 of the simulation: a leader whose log had been cut was full of writes that others had forwarded
// to it in its earlier term. It refused every other write as busy, so that no entry ever decided them.
TEST_CASE("an entry of a later term voids the proposals behind it, whose places may never be applied") {
  proposals p;
  some_write a, b, c, d;
  p.add({at(2, 8), &a, {}, 0});
  p.add({at(3, 9), &b, {}, 0});
  p.add({at(5, 6), &c, {}, 0});
  p.add({at(5, 7), &d, {}, 0});
  CHECK(decide(p, at(2, 5)).empty());
  CHECK(decide(p, at(5, 6)) == decisions{{&c, true}, {&a, false}, {&b, false}});
  CHECK(decide(p, at(5, 7)) == decisions{{&d, true}});
  p.add({at(5, 8), &a, {}, 0});
  p.add({at(5, 9), &b, {}, 0});
  CHECK(decide(p, at(7, 8)) == decisions{{&a, false}, {&b, false}});
  CHECK(p.size() == 0);
}

TEST_CASE("a jump of the state leaves open what is behind it") {
  proposals p;
  some_write a, b;
  p.add({at(2, 5), &a, {}, 0});
  p.add({at(2, 6), &b, {}, 0});
  std::vector<write_operation*> lost;
  p.jumped(log_index(5), [&](const proposal& q) { lost.push_back(q.local); });
  CHECK(lost == std::vector<write_operation*>{&a});
  CHECK(decide(p, at(2, 6)) == decisions{{&b, true}});
}

TEST_CASE("proposals of an earlier leadership stay open while new ones are made, at the same index too") {
  proposals p;
  some_write first, second, third;
  p.add({at(2, 5), &first, {}, 0});
  p.add({at(2, 6), &second, {}, 0});
  p.add({at(4, 6), &third, {}, 0});
  CHECK(p.size() == 3);
  CHECK(decide(p, at(2, 5)) == decisions{{&first, true}});
  CHECK(decide(p, at(4, 6)) == decisions{{&third, true}, {&second, false}});
  CHECK(p.size() == 0);
}

TEST_CASE("three leaderships of one node keep their proposals apart") {
  proposals p;
  some_write a, b, c;
  p.add({at(1, 3), &a, {}, 0});
  p.add({at(3, 3), &b, {}, 0});
  p.add({at(5, 4), &c, {}, 0});
  const decisions made = decide(p, at(3, 3));
  CHECK(made == decisions{{&a, false}, {&b, true}});
  CHECK(decide(p, at(5, 4)) == decisions{{&c, true}});
}

TEST_CASE("taking proposals by choice keeps the others decidable") {
  proposals p;
  some_write old, a, b, c;
  p.add({at(1, 9), &old, {}, 0});
  p.add({at(2, 5), &a, {}, 0});
  p.add({at(2, 6), &b, {}, 0});
  p.add({at(2, 7), &c, {}, 0});
  const auto middle = p.take_if([&](const proposal& q) { return q.local == &b; });
  REQUIRE(middle.size() == 1);
  CHECK(middle[0].local == &b);
  CHECK(middle[0].at == at(2, 6));
  CHECK(p.take_if([&](const proposal& q) { return q.local == &b; }).empty());
  CHECK(p.take_if([&](const proposal& q) { return q.local == &old; }).size() == 1);
  CHECK(decide(p, at(2, 5)) == decisions{{&a, true}});
  decisions rest = decide(p, at(2, 6));
  for (const auto& d : decide(p, at(2, 7))) rest.push_back(d);
  CHECK(rest.back() == std::pair<write_operation*, bool>{&c, true});
  for (const auto& d : rest) CHECK((d.first == nullptr || d.first == &c));
  CHECK(p.size() == 0);
}

TEST_CASE("a proposal that was taken is not told again when its term is retired") {
  proposals p;
  some_write a, b;
  p.add({at(2, 5), &a, {}, 0});
  p.add({at(2, 6), &b, {}, 0});
  CHECK(p.take_if([&](const proposal& q) { return q.local == &b; }).size() == 1);
  some_write c;
  p.add({at(3, 8), &c, {}, 0});
  CHECK(p.size() == 2);
  CHECK(decide(p, at(3, 6)) == decisions{{&a, false}});
}

TEST_CASE("a forwarded write is found once by its request number") {
  forwarded_writes f(7);
  some_write a, b;
  const std::uint64_t first = f.add(a), second = f.add(b);
  CHECK(first > (std::uint64_t{7} << 32));
  CHECK(second > first);
  CHECK(f.size() == 2);
  CHECK(f.take(first) == &a);
  CHECK(f.take(first) == nullptr);
  CHECK(f.take(99) == nullptr);
  CHECK(f.take_if([](const write_operation&) { return true; }) == std::vector<write_operation*>{&b});
  CHECK(f.size() == 0);
}

TEST_CASE("forwarded writes are counted in number and bytes until they are taken, however") {
  forwarded_writes f(1);
  some_write a, b;
  a.command = shared_bytes::copy(std::string(100, 'a'));
  b.command = shared_bytes::copy(std::string(50, 'b'));
  CHECK_FALSE(f.full(1, 1));
  const std::uint64_t first = f.add(a);
  a.command = {};
  CHECK(f.full(1, 1000));
  CHECK_FALSE(f.full(2, 101));
  (void)f.add(b);
  CHECK(f.full(2, 1000));
  CHECK(f.full(9, 150));
  (void)f.take(first);
  CHECK(f.full(9, 50));
  CHECK_FALSE(f.full(9, 51));
  CHECK(f.take_if([](const write_operation&) { return true; }).size() == 1);
  CHECK_FALSE(f.full(1, 1));
}

TEST_CASE("request numbers of a later start are larger than all of an earlier one") {
  forwarded_writes before(3), after(4);
  some_write a;
  std::uint64_t last = 0;
  for (int i = 0; i < 1000; ++i) last = before.add(a);
  CHECK(after.add(a) > last);
}

TEST_CASE("a filter lets each request pass once, in any order within its window") {
  forward_filter f;
  const node_id n(2);
  const term_t t(5);
  for (const std::uint64_t request : {10u, 12u, 11u, 13u, 9u, 74u}) CHECK(f.accept(t, n, request));
  for (const std::uint64_t request : {10u, 12u, 11u, 13u, 74u}) CHECK_FALSE(f.accept(t, n, request));
  CHECK(f.accept(t, n, 73));
  CHECK_FALSE(f.accept(t, n, 73));
  CHECK(f.accept(t, n, 14));
  CHECK_FALSE(f.accept(t, n, 14));
}

TEST_CASE("what is further behind than the window counts as seen") {
  forward_filter f;
  const node_id n(2);
  CHECK(f.accept(term_t(1), n, 100));
  CHECK(f.accept(term_t(1), n, 36));  // 64 behind: the last that is remembered
  CHECK_FALSE(f.accept(term_t(1), n, 36));
  CHECK_FALSE(f.accept(term_t(1), n, 35));  // 65 behind
  CHECK(f.accept(term_t(1), n, 164));       // exactly 64 further: 100 is the last in the window
  CHECK_FALSE(f.accept(term_t(1), n, 100));
  CHECK(f.accept(term_t(1), n, 101));
  CHECK(f.accept(term_t(1), n, 1000));  // the whole window moves on
  CHECK_FALSE(f.accept(term_t(1), n, 164));
  CHECK(f.accept(term_t(1), n, 999));
}

TEST_CASE("a filter agrees with a set of everything seen, for many orders") {
  std::uint64_t state = 1;
  const auto random = [&state](std::uint64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
  };
  forward_filter f;
  std::vector<bool> seen(4000, false);
  std::uint64_t newest = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t base = 200 + static_cast<std::uint64_t>(i) / 8;
    const std::uint64_t request = base + random(100);
    const bool too_old = newest > request + 64;
    const bool expected = !too_old && !seen[request];
    CHECK_UNARY(f.accept(term_t(1), node_id(1), request) == expected);
    if (expected) seen[request] = true;
    newest = std::max(newest, request);
  }
}

TEST_CASE("senders are told apart, and a restarted one with larger numbers is heard") {
  forward_filter f;
  forwarded_writes before(1), after(2);
  some_write a;
  const std::uint64_t old_request = before.add(a), new_request = after.add(a);
  CHECK(f.accept(term_t(1), node_id(2), old_request));
  CHECK(f.accept(term_t(1), node_id(3), old_request));
  CHECK(f.accept(term_t(1), node_id(2), new_request));
  CHECK_FALSE(f.accept(term_t(1), node_id(2), old_request));
  CHECK_FALSE(f.accept(term_t(1), node_id(2), new_request));
}

TEST_CASE("another term forgets what was seen, since no request is valid in two terms") {
  forward_filter f;
  CHECK(f.accept(term_t(1), node_id(2), 5));
  CHECK(f.accept(term_t(2), node_id(2), 5));
  CHECK_FALSE(f.accept(term_t(2), node_id(2), 5));
}

TEST_CASE("a read waits for its answer once, then for its index") {
  read_waiters w;
  some_read a, b, c;
  const read_id first = w.ask(a), second = w.ask(b), third = w.ask(c);
  CHECK(first != second);
  CHECK(w.size() == 3);
  w.forget(third);
  CHECK(w.answered(third) == nullptr);
  CHECK(w.answered(first) == &a);
  CHECK(w.answered(first) == nullptr);
  w.wait_until_applied(log_index(7), a);
  CHECK(w.size() == 2);
  CHECK(w.applied(log_index(6)).empty());
  CHECK(w.applied(log_index(7)) == std::vector<read_operation*>{&a});
  CHECK(w.answered(second) == &b);
  CHECK(w.size() == 0);
}

TEST_CASE("reads that wait for an index are let go in order of it, equal ones in order of arrival") {
  read_waiters w;
  some_read a, b, c, d;
  w.wait_until_applied(log_index(9), a);
  w.wait_until_applied(log_index(3), b);
  w.wait_until_applied(log_index(3), c);
  w.wait_until_applied(log_index(10), d);
  CHECK(w.applied(log_index(9)) == std::vector<read_operation*>{&b, &c, &a});
  CHECK(w.size() == 1);
}

TEST_CASE("reads are taken by choice wherever they wait") {
  read_waiters w;
  some_read a, b, c;
  a.id = 1;
  b.id = 2;
  c.id = 3;
  (void)w.ask(a);
  w.wait_until_applied(log_index(4), b);
  w.wait_until_applied(log_index(4), c);
  const auto taken = w.take_if([](const read_operation& r) { return r.id < 3; });
  CHECK(taken.operations == std::vector<read_operation*>{&a, &b});
  CHECK(taken.asked == std::vector<read_id>{read_id(1)});
  CHECK(w.applied(log_index(4)) == std::vector<read_operation*>{&c});
}
