// The check of sessions (invariant 16) can fail: one that ends before its time or lives on after it is found.
#include <doctest/doctest.h>

#include <string>

#include "confman/map/map_state.hpp"
#include "confman/sim/history.hpp"
#include "confman/sim/violation.hpp"

namespace {

using confman::apply_result;
using confman::errc;
using confman::log_index;
using confman::node_id;
using confman::term_t;
using namespace confman::sim;
using verdict = session_model::verdict;

const node_id one{1};

// A session opened by the first call, with five milliseconds to live; each call takes one of log time.
struct in_session {
  scenario plan;
  trace log;
  statistics counts;
  history calls;
  confman::map_state map;
  std::uint64_t session = 0;
  std::uint64_t sequence = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t index = 0;

  explicit in_session(std::size_t max_sessions = confman::max_sessions)
      : plan(with_limit(max_sessions)), calls(plan, log, counts), map({}, max_sessions) {
    open();
  }
  static scenario with_limit(std::size_t max_sessions) {
    scenario s;
    s.max_sessions = max_sessions;
    return s;
  }
  void open() {
    confman::command_view open;
    open.kind = confman::command_kind::session_open;
    open.time_to_live_ms = 5;
    open.author = one;
    open.timestamp = calls.stamp(calls.begin(one, call_kind::open_session, 0), one);
    const confman::entry e = entry_of(open);
    session = index;
    calls.on_applied(one, e, map.apply(e));
  }
  confman::entry entry_of(const confman::command_view& command) {
    return {term_t(1), log_index(++index), confman::entry_type::command, confman::encode(command), {}};
  }
  // A write of the session, after so many calls of others.
  confman::entry write(unsigned others) {
    for (unsigned i = 0; i < others; ++i) (void)calls.begin(one, call_kind::read_local, 0);
    const auto id = calls.begin(one, call_kind::put, 0);
    const std::string key = history::key_name(0), value = calls.value_of(id);
    confman::command_view command;
    command.key = key;
    command.value = value;
    command.session = session;
    command.sequence = ++sequence;
    command.acknowledged = acknowledged;
    command.author = one;
    command.timestamp = calls.stamp(id, one);
    return entry_of(command);
  }
  bool refuses(const confman::entry& e, const apply_result& result) {
    try {
      calls.on_applied(one, e, result);
    } catch (const violation& v) {
      CHECK(v.which() == invariant::exactly_once);
      return true;
    }
    return false;
  }
};

}  // namespace

TEST_CASE("a session lives as long as its time to live after each use, and no longer") {
  in_session s;
  for (const unsigned others : {0u, 4u, 4u, 0u}) {
    const confman::entry e = s.write(others);
    const apply_result result = s.map.apply(e);
    CHECK(!result.code);
    CHECK_FALSE(s.refuses(e, result));
  }
  for (const unsigned others : {5u, 0u}) {
    const confman::entry e = s.write(others);
    const apply_result result = s.map.apply(e);
    CHECK(result.code == errc::session_expired);
    CHECK_FALSE(s.refuses(e, result));
  }
}

TEST_CASE("a session that expires too early is found") {
  in_session s;
  const confman::entry e = s.write(4);
  apply_result early = s.map.apply(e);
  early.code = errc::session_expired;
  CHECK(s.refuses(e, early));
}

TEST_CASE("a session that lives on after its time is found") {
  in_session s;
  const confman::entry e = s.write(5);
  apply_result late = s.map.apply(e);
  late.code = {};
  CHECK(s.refuses(e, late));
}

TEST_CASE("a write that its client has an answer to is not taken again") {
  session_model model;
  model.open(1, 5);
  CHECK(model.use(1, 1, 1) == verdict::taken);
  model.remember(1, 1);
  CHECK(model.use(1, 1, 1) == verdict::again);
  CHECK(model.use(1, 2, 2) == verdict::taken);
  CHECK(model.use(1, 1, 1) == verdict::expired);
  CHECK(model.use(2, 1, 1) == verdict::expired);
}

TEST_CASE("a session whose client acknowledges nothing takes no more at some point, and then goes on") {
  in_session s;
  for (std::uint64_t i = 0; i < confman::max_kept_answers; ++i) {
    const confman::entry e = s.write(0);
    REQUIRE_FALSE(s.refuses(e, s.map.apply(e)));
  }
  const confman::entry e = s.write(0);
  apply_result full = s.map.apply(e);
  CHECK(full.code == errc::busy);
  SUBCASE("as it should") {
    CHECK_FALSE(s.refuses(e, full));
    s.acknowledged = 2;
    const confman::entry next = s.write(0);
    CHECK_FALSE(s.refuses(next, s.map.apply(next)));
  }
  SUBCASE("but it takes it") {
    full.code = {};
    CHECK(s.refuses(e, full));
  }
}

TEST_CASE("a clock that jumps moves the time of the log by ten seconds at most") {
  session_model model;
  model.pass(1, 1'000'000'000'000);
  model.open(1, 10'000);
  model.pass(1, 2'000'000'000'000);
  CHECK(model.use(1, 1, 1) == verdict::taken);
  model.pass(2, 0);
  model.pass(2, 20'000'000);
  CHECK(model.use(1, 2, 1) == verdict::taken);
  model.pass(2, 29'999'999);
  model.pass(2, 30'000'001);
  CHECK(model.use(1, 3, 1) == verdict::expired);
}

TEST_CASE("one session too many ends the one that was used longest ago, whatever the order of opening") {
  session_model model(2);
  CHECK(model.open(1, 10'000) == 0);
  CHECK(model.open(2, 10'000) == 0);
  CHECK(model.use(1, 1, 1) == verdict::taken);
  CHECK(model.open(3, 10'000) == 1);
  CHECK(model.use(2, 1, 1) == verdict::expired);
  CHECK(model.use(1, 2, 1) == verdict::taken);
  CHECK(model.use(3, 1, 1) == verdict::taken);
}

TEST_CASE("a session whose time is over makes room, and no other one has to") {
  session_model model(2);
  model.pass(1, 0);
  model.open(1, 5);
  model.open(2, 10'000);
  model.pass(1, 6000);
  CHECK(model.open(3, 10'000) == 0);
  CHECK(model.use(1, 1, 1) == verdict::expired);
  CHECK(model.use(2, 1, 1) == verdict::taken);
}

TEST_CASE("a session that should have made room for another, and one that should not, are found") {
  in_session s(2);
  const std::uint64_t first = s.session;
  s.open();
  CHECK(s.counts[counted::sessions_evicted] == 0);
  s.open();
  CHECK(s.counts[counted::sessions_evicted] == 1);
  const std::uint64_t last = s.session;
  s.session = first;
  const confman::entry gone = s.write(0);
  apply_result result = s.map.apply(gone);
  CHECK(result.code == errc::session_expired);
  SUBCASE("as it should") {
    CHECK_FALSE(s.refuses(gone, result));
  }
  SUBCASE("the one that was used longest ago goes on") {
    result.code = {};
    CHECK(s.refuses(gone, result));
  }
  SUBCASE("the newest one has to go") {
    REQUIRE_FALSE(s.refuses(gone, result));
    s.session = last;
    const confman::entry e = s.write(0);
    result = s.map.apply(e);
    CHECK(!result.code);
    result.code = errc::session_expired;
    CHECK(s.refuses(e, result));
  }
}

TEST_CASE("a session that is kept alive or closed is so in the model, too") {
  session_model model;
  model.open(1, 5);
  model.pass(1, 0);
  model.pass(1, 4000);
  CHECK(model.keep_alive(1, 2));
  model.pass(1, 9000);
  CHECK(model.use(1, 1, 1) == verdict::expired);  // acknowledged
  CHECK(model.use(1, 2, 2) == verdict::taken);
  CHECK(model.close(1));
  CHECK_FALSE(model.close(1));
  CHECK_FALSE(model.keep_alive(1, 2));
  CHECK(model.use(1, 3, 2) == verdict::expired);
}

TEST_CASE("a session that lives on after it was closed is found (11)") {
  in_session s;
  confman::command_view close;
  close.kind = confman::command_kind::session_close;
  close.session = s.session;
  close.author = one;
  close.timestamp = s.calls.stamp(s.calls.begin(one, call_kind::upkeep, 0), one);
  const confman::entry closing = s.entry_of(close);
  REQUIRE_FALSE(s.refuses(closing, s.map.apply(closing)));
  const confman::entry e = s.write(0);
  apply_result late = s.map.apply(e);
  CHECK(late.code == errc::session_expired);
  late.code = {};
  CHECK(s.refuses(e, late));
}
