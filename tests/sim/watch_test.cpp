// The check of watches (invariant 17) can fail: whatever is missing, doubled, out of order or not of the
// prefix is refused, and so is an end that says something untrue.
#include <doctest/doctest.h>

#include <initializer_list>
#include <string>
#include <utility>

#include "confman/map/map_state.hpp"
#include "confman/sim/watchers.hpp"
#include "confman/sim/world.hpp"

namespace {

using confman::change_batch;
using confman::errc;
using confman::log_index;
using confman::term_t;
using namespace confman::sim;

const confman::node_id one{1};

// Four changes: /k0 at 1, /k/1 at 2, /k0 at 3, and /k0 is erased at 4; and a watch of all of them.
struct watched {
  scenario plan;
  trace log;
  statistics counts;
  history calls{plan, log, counts};
  confman::map_state map;
  confman::watch_id id;
  watch_account account{calls, log};

  watched() {
    id = *map.watches().add("", std::nullopt, {}, {});
    write(0, 1);
    write(1, 2);
    write(0, 3);
    write(0, 4, true);
    map.publish();
    account.begin("", 0);
  }
  void write(std::uint32_t key, std::uint64_t index, bool erase = false) {
    const auto call = calls.begin(one, erase ? call_kind::erase : call_kind::put, key);
    confman::command_view command;
    const std::string name = history::key_name(key), value = erase ? "" : calls.value_of(call);
    command.kind = erase ? confman::command_kind::erase : confman::command_kind::put;
    command.key = name;
    command.value = value;
    command.timestamp = calls.stamp(call, one);
    const confman::entry e{
        term_t(1), log_index(index), confman::entry_type::command, confman::encode(command), {}};
    calls.on_applied(one, e, map.apply(e));
  }
  change_batch batch() { return map.watches().take(id); }
  // What a batch of these of its changes would be.
  static change_batch only(const change_batch& all, std::initializer_list<std::size_t> which) {
    change_batch some = all;
    some.changes.clear();
    for (const std::size_t i : which) some.changes.push_back(all.changes[i]);
    some.first = some.changes.front().revision();
    some.last = some.changes.back().revision();
    return some;
  }
  bool refuses(const change_batch& b) {
    try {
      account.on_batch(one, b);
    } catch (const violation& v) {
      CHECK(v.which() == invariant::watches);
      return true;
    }
    return false;
  }
};

}  // namespace

TEST_CASE("a watch that gives every change once and in order is right, in one batch or in two") {
  watched w;
  const change_batch all = w.batch();
  REQUIRE(all.changes.size() == 4);
  SUBCASE("one") {
    CHECK_FALSE(w.refuses(all));
  }
  SUBCASE("two") {
    change_batch first = watched::only(all, {0, 1});
    first.through = 2;
    CHECK_FALSE(w.refuses(first));
    CHECK_FALSE(w.refuses(watched::only(all, {2, 3})));
    CHECK(w.account.through() == 4);
  }
  SUBCASE("of a prefix") {
    w.account.begin("/k/", 0);
    CHECK_FALSE(w.refuses(watched::only(all, {1})));
  }
}

TEST_CASE("a change that a watch misses, doubles, reorders or makes up is found") {
  watched w;
  const change_batch all = w.batch();
  REQUIRE(all.changes.size() == 4);
  SUBCASE("missed at the front") {
    CHECK(w.refuses(watched::only(all, {1, 2, 3})));
  }
  SUBCASE("missed in the middle") {
    CHECK(w.refuses(watched::only(all, {0, 2, 3})));
  }
  SUBCASE("missed at the end") {
    CHECK(w.refuses(watched::only(all, {0, 1, 2})));
  }
  SUBCASE("doubled") {
    CHECK(w.refuses(watched::only(all, {0, 1, 1, 2, 3})));
  }
  SUBCASE("reordered") {
    CHECK(w.refuses(watched::only(all, {0, 2, 1, 3})));
  }
  SUBCASE("given again by the next batch") {
    CHECK_FALSE(w.refuses(all));
    CHECK(w.refuses(watched::only(all, {3})));
  }
  SUBCASE("of another prefix") {
    w.account.begin("/k/", 0);
    CHECK(w.refuses(all));
  }
  SUBCASE("never committed") {
    change_batch foreign = all;
    foreign.changes.push_back(all.changes.back());
    foreign.changes.back().at.index = log_index(5);
    foreign.last = foreign.through = 5;
    CHECK(w.refuses(foreign));
  }
  SUBCASE("another kind") {
    change_batch other = all;
    other.changes[3].kind = confman::change_kind::put;
    CHECK(w.refuses(other));
  }
  SUBCASE("another value") {
    change_batch other = all;
    other.changes[2].entry = all.changes[0].entry;
    CHECK(w.refuses(other));
  }
}

TEST_CASE("a watch that says something untrue of itself is found") {
  watched w;
  change_batch b = w.batch();
  SUBCASE("complete up to less than before") {
    CHECK_FALSE(w.refuses(b));
    change_batch back;
    back.through = 3;
    CHECK(w.refuses(back));
  }
  SUBCASE("first") {
    b.first = 2;
    CHECK(w.refuses(b));
  }
  SUBCASE("lagged, and nothing came") {
    b.error = {errc::watch_lagged, ""};
    CHECK(w.refuses(b));
  }
  SUBCASE("compacted, and nothing is missing") {
    b.error = {errc::compacted, ""};
    b.restart_at = 4;
    CHECK(w.refuses(b));
  }
  SUBCASE("another error") {
    b.error = {errc::storage_failed, ""};
    CHECK(w.refuses(b));
  }
  SUBCASE("lagged, where a change follows") {
    b = watched::only(b, {0, 1});
    b.through = 2;
    b.error = {errc::watch_lagged, ""};
    CHECK_FALSE(w.refuses(b));
  }
}

TEST_CASE("watchers in a quiet world see its changes and resume elsewhere") {
  scenario plan;
  plan.seed = 5;
  plan.watchers = 4;
  plan.watch_interval = 300'000;
  plan.watch_buffer_changes = 1;
  plan.safety = 5'000'000;
  world quiet(plan);
  const outcome end = quiet.run();
  CHECK(end.counts[counted::watches] > 4);
  CHECK(end.counts[counted::watched_changes] > 10);
  CHECK(end.counts[counted::watches_resumed] > 0);
}

TEST_CASE("a watch that has kept more than its buffer holds is found (22)") {
  watched w;
  CHECK_NOTHROW(w.account.on_taken(one, 4, 4));
  try {
    w.account.on_taken(one, 5, 4);
    CHECK(false);
  } catch (const violation& v) {
    CHECK(v.which() == invariant::bounded_memory);
  }
}
