// One group, driven by hand: group commit, completion, bounds, deadlines, cancellation, failure and shutdown.
#include <doctest/doctest.h>

#include <array>

#include "runtime_group.hpp"

template class confman::group<confman::testing::fake_transport, confman::testing::fake_storage>;

using namespace confman;
using namespace confman::testing;

TEST_CASE("acknowledgement before sync on a single node: a write completes when it is durable, once") {
  const auto d = lone_leader();
  test_write w("/a", "1");
  d->g->submit(w);
  d->g->pump();
  CHECK(w.waits());
  CHECK(d->persist());
  CHECK(w.waits());
  d->g->pump();
  CHECK(w.ended_with({}));
  CHECK(w.result.at.index == d->g->core().log().last_index());
  CHECK(d->value("/a") == "1");
  d->tick(50);
  CHECK(w.completions == 1);
}

TEST_CASE("while a write is in flight, what arrives joins the next one") {
  const auto d = lone_leader();
  const std::size_t before = d->storage.count;
  std::array<test_write, 5> w;
  d->g->submit(w[0]);
  d->g->pump();
  for (std::size_t i = 1; i < w.size(); ++i) {
    d->g->submit(w[i]);
    d->g->pump();
  }
  CHECK(d->storage.count == before + 1);
  REQUIRE(d->storage.writes.size() == 1);
  CHECK(d->storage.writes.front().entries.size() == 1);
  CHECK(d->g->write_in_flight());
  d->persist();
  d->g->pump();
  CHECK(d->storage.count == before + 2);
  REQUIRE(d->storage.writes.size() == 1);
  CHECK(d->storage.writes.front().entries.size() == 4);
  CHECK(w[0].ended_with({}));
  d->settle();
  for (const test_write& each : w) CHECK(each.ended_with({}));
  CHECK_FALSE(d->g->write_in_flight());
}

TEST_CASE("what is submitted before one pump leaves as one write") {
  const auto d = lone_leader();
  const std::size_t before = d->storage.count;
  std::array<test_write, 8> w;
  for (test_write& each : w) d->g->submit(each);
  d->settle();
  CHECK(d->storage.count - before <= 2);  // and perhaps one for the commit hint
  for (const test_write& each : w) CHECK(each.ended_with({}));
}

TEST_CASE("who is told that a write is done reads it at once, and all that was applied with it") {
  const auto d = lone_leader();
  test_write first("/a", "1"), second("/b", "2");
  std::optional<std::string> a, b;
  first.on_complete = [&] {
    a = d->value("/a");
    b = d->value("/b");
    CHECK(d->map.revision() >= first.result.at.index.value());
  };
  d->g->submit(first);
  d->g->submit(second);
  d->settle();
  CHECK(a == "1");
  CHECK(b == "2");
}

TEST_CASE("a failed comparison completes with the current revision") {
  const auto d = lone_leader();
  test_write w("/a", "1");
  d->g->submit(w);
  d->settle();
  test_write compare;
  command_view c;
  c.kind = command_kind::compare_exchange;
  c.key = "/a";
  c.value = "2";
  c.expected_revision = 12345;
  compare.command = encode(c);
  d->g->submit(compare);
  d->settle();
  CHECK(compare.ended_with(errc::compare_failed));
  CHECK(compare.result.previous_revision == w.result.revision);
  CHECK(d->value("/a") == "1");
}

TEST_CASE("writes beyond the bound are busy at once, and room comes back") {
  const auto d = lone_leader([](group_options& o) { o.max_waiting = 2; });
  test_write a, b, c, later;
  d->g->submit(a);
  d->g->submit(b);
  d->g->submit(c);
  CHECK(c.ended_with(errc::busy));
  d->settle();
  CHECK(a.ended_with({}));
  CHECK(b.ended_with({}));
  d->g->submit(later);
  d->settle();
  CHECK(later.ended_with({}));
}

TEST_CASE("the bound counts writes that wait for a leader") {
  driven d(1, 3, [](group_options& o) { o.max_waiting = 2; });
  test_write a, b, c;
  d->submit(a);
  d->submit(b);
  d->submit(c);
  CHECK(a.waits());
  CHECK(b.waits());
  CHECK(c.ended_with(errc::busy));
  d->stop();
}

TEST_CASE("the core's bound on uncommitted bytes is busy, certainly not applied") {
  const auto d = lone_leader([](group_options& o) { o.raft.max_uncommitted_bytes = 2000; });
  test_write large("/large", std::string(3000, 'x')), next("/next");
  d->g->submit(large);
  d->g->submit(next);
  CHECK(next.ended_with(errc::busy));
  d->settle();
  CHECK(large.ended_with({}));
  CHECK_FALSE(d->value("/next"));
}

TEST_CASE("reads beyond the bound are busy at once") {
  driven d(1, 3, [](group_options& o) { o.max_waiting = 1; });
  test_read a(read_mode::applied_version, {term_t(1), log_index(9)}), b(read_mode::applied_version, a.token);
  d->submit(a);
  d->submit(b);
  CHECK(a.waits());
  CHECK(b.ended_with(errc::busy));
  d->stop();
}

TEST_CASE("a deadline without a leader is no_leader: the write was never sent") {
  driven d(1, 3);
  test_write w;
  w.deadline = 8;
  d->submit(w);
  for (int i = 0; i < 7; ++i) d->tick();
  CHECK(w.waits());
  for (int i = 0; i < 5; ++i) d->tick();
  CHECK(w.ended_with(errc::no_leader));
}

TEST_CASE("a deadline of a write in the leader's log is outcome_unknown, and it may be applied later") {
  const auto d = lone_leader();
  test_write w("/late", "1");
  w.deadline = d->g->now() + 4;
  d->g->submit(w);
  d->g->pump();
  d->tick(12);  // the disk doesn't answer
  CHECK(w.ended_with(errc::outcome_unknown));
  d->settle();
  CHECK(w.completions == 1);
  CHECK(d->value("/late") == "1");
}

TEST_CASE("a read that waits for its version times out") {
  const auto d = lone_leader();
  test_read r(read_mode::applied_version, {term_t(1), log_index(1000)});
  r.deadline = d->g->now() + 4;
  d->g->submit(r);
  d->tick(12);
  CHECK(r.ended_with(errc::timed_out));
}

TEST_CASE("a linearizable read without a leader times out") {
  driven d(1, 3);
  test_read r;
  r.deadline = 4;
  d->submit(r);
  for (int i = 0; i < 12; ++i) d->tick();
  CHECK(r.ended_with(errc::timed_out));
}

TEST_CASE("a leader alone answers linearizable reads after what it had committed") {
  const auto d = lone_leader();
  test_write w("/a", "1");
  test_read r;
  d->g->submit(w);
  d->settle();
  d->g->submit(r);
  d->settle();
  CHECK(r.ended_with({}));
}

TEST_CASE("cancelling ends the wait of that operation alone, while its write goes on") {
  const auto d = lone_leader();
  test_write a("/a", "1", 11), b("/b", "2", 12);
  d->g->submit(a);
  d->g->submit(b);
  d->g->pump();
  d->g->cancel(11, std::make_error_code(std::errc::operation_canceled));
  d->g->cancel(99, std::make_error_code(std::errc::operation_canceled));
  CHECK(a.ended_with(std::make_error_code(std::errc::operation_canceled)));
  CHECK(b.waits());
  d->settle();
  CHECK(b.ended_with({}));
  CHECK(a.completions == 1);
  CHECK(d->value("/a") == "1");
}

TEST_CASE("a write cancelled before there was a leader is never applied") {
  driven_cluster c(3);
  test_write w("/never", "1", 5);
  c[1]->submit(w);
  c[1]->cancel(5, std::make_error_code(std::errc::operation_canceled));
  CHECK(w.completions == 1);
  c.elect(2);
  c.tick(5);
  CHECK_FALSE(c[1].value("/never"));
  CHECK_FALSE(c[2].value("/never"));
}

TEST_CASE("cancelling works on reads, wherever they wait") {
  driven d(1, 3);
  test_read asked(read_mode::read_index, {}, 1),
      waiting(read_mode::applied_version, {term_t(1), log_index(5)}, 2);
  d->submit(asked);
  d->submit(waiting);
  d->cancel(1, errc::stopped);
  d->cancel(2, errc::stopped);
  CHECK(asked.ended_with(errc::stopped));
  CHECK(waiting.ended_with(errc::stopped));
}

TEST_CASE("a failed write stops the group for good and fails who waits") {
  const auto d = lone_leader();
  test_write in_flight, joined;
  test_read r(read_mode::applied_version, {term_t(1), log_index(1000)});
  d->g->submit(in_flight);
  d->g->pump();
  d->g->submit(joined);
  d->g->submit(r);
  d->persist({errc::storage_failed, "the disk is on fire"});
  CHECK(in_flight.ended_with(errc::outcome_unknown));
  CHECK(joined.ended_with(errc::outcome_unknown));
  CHECK(r.ended_with(errc::storage_failed));
  REQUIRE(d->observer.failures.size() == 1);
  CHECK(d->observer.failures[0].what == "the disk is on fire");
  CHECK(d->g->failed().code == errc::storage_failed);
  const std::size_t writes = d->storage.count;
  const std::size_t sent = d->transport.sent.size();
  test_write after;
  test_read read_after;
  d->g->submit(after);
  d->g->submit(read_after);
  d->tick(50);
  CHECK(after.ended_with(errc::stopped));
  CHECK(read_after.ended_with(errc::stopped));
  CHECK(d->storage.count == writes);
  CHECK(d->transport.sent.size() == sent);
  CHECK(d->observer.failures.size() == 1);
  CHECK(d->receive(2, 9, heartbeat{}) == errc::stopped);
}

TEST_CASE("stop refuses new work, fails what waits, and still takes the end of the write in flight") {
  const auto d = lone_leader();
  test_write sent("/sent"), late;
  test_read r(read_mode::applied_version, {term_t(1), log_index(1000)});
  d->g->submit(sent);
  d->g->pump();
  d->g->submit(r);
  d->g->stop();
  CHECK(sent.ended_with(errc::outcome_unknown));
  CHECK(r.ended_with(errc::stopped));
  CHECK(d->g->stopped());
  d->g->submit(late);
  CHECK(late.ended_with(errc::stopped));
  CHECK(d->g->write_in_flight());
  CHECK(d->persist());
  CHECK_FALSE(d->g->write_in_flight());
  d->g->stop();
  d->tick(10);
  CHECK(sent.completions == 1);
}

TEST_CASE("stop tells writes that never had a leader that they are certainly not applied") {
  driven d(1, 3);
  test_write w;
  d->submit(w);
  d->stop();
  CHECK(w.ended_with(errc::stopped));
}

TEST_CASE("destroying a group abandons what waits, and completes nothing") {
  test_write applied_never("/a"), unsent("/b");
  test_read asked, waiting(read_mode::applied_version, {term_t(1), log_index(1000)});
  {
    const auto d = lone_leader();
    d->g->submit(applied_never);
    d->g->pump();
    d->g->submit(waiting);
    driven lost(1, 3);
    lost->submit(unsent);
    lost->submit(asked);
  }
  for (const test_write* w : {&applied_never, &unsent}) {
    CHECK(w->abandoned == 1);
    CHECK(w->completions == 0);
  }
  for (const test_read* r : {&asked, &waiting}) {
    CHECK(r->abandoned == 1);
    CHECK(r->completions == 0);
  }
}

TEST_CASE("a long replay is cut into pieces, so that a node that catches up still answers") {
  recovered_log disk;
  const auto source = lone_leader();
  for (int i = 0; i < 300; ++i) {
    test_write w("/k/" + std::to_string(i), "v");
    source->g->submit(w);
    source->settle();
  }
  disk.state = {source->g->core().term(), node_id(1), source->g->core().commit()};
  for (log_index i(1); i <= source->g->core().log().last_index(); ++i)
    disk.entries.push_back(source->g->core().log().at(i));
  const std::size_t total = disk.entries.size();
  group_options o;
  o.raft = source->g->core().options();
  o.raft.max_apply_entries = 4;
  fake_transport t;
  fake_storage s;
  map_state map;
  recording_observer observer;
  configuration members;
  members.incoming.push_back({node_id(1), incarnation_id(101)});
  group<fake_transport, fake_storage> g(o, members, std::move(disk), t, s, map, observer);
  std::size_t pieces = 1;
  while (g.pump()) ++pieces;
  CHECK(observer.applied.size() == total);
  CHECK(pieces >= total / 4 / 16);
  CHECK(pieces > 1);
  CHECK(map.get("/k/299"));
}
