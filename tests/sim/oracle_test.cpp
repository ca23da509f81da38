// The simulator can fail: votes, acknowledgements and histories (invariants 2, 3, 5, 11, 14 to 16, 20, 23)
// that are broken by hand are refused. Leaders, members and disks: oracle_leader_test.cpp,
// oracle_members_test.cpp, oracle_disk_test.cpp; sessions, watches and limits: session_test.cpp,
// watch_test.cpp, memory_test.cpp.
#include "confman/sim/oracle.hpp"

#include <doctest/doctest.h>

#include "confman/sim/world.hpp"
#include "report.hpp"

namespace {

using confman::log_index;
using confman::node_id;
using confman::term_t;
using namespace confman::sim;

const node_id one{1}, two{2}, three{3};

template <class Action>
invariant broken_by(Action&& action) {
  try {
    action();
  } catch (const violation& v) {
    CHECK(std::string(v.what()).find(name_of(v.which())) != std::string::npos);
    return v.which();
  }
  return invariant::harness;
}

struct judged {
  trace log;
  statistics counts;
  oracle judge{3, log, counts};

  static confman::raft_core core(confman::recovered_log found = {}) {
    confman::raft_options options;
    options.cluster = confman::cluster_id(1);
    options.self = one;
    options.incarnation = confman::incarnation_id(1);
    confman::configuration members;
    members.incoming = {{one, {}}, {two, {}}, {three, {}}};
    return {options, members, std::move(found)};
  }
  static confman::message from_one(confman::message_body body, std::uint64_t term, node_id to = two) {
    return {confman::cluster_id(1), {}, one, to, confman::incarnation_id(1), term_t(term), std::move(body)};
  }
  static confman::write_batch vote_for(node_id candidate, std::uint64_t term) {
    confman::write_batch batch;
    batch.state = confman::hard_state{term_t(term), candidate, {}};
    return batch;
  }
  void sync(const confman::write_batch& batch) {
    judge.on_append(one, batch);
    judge.on_synced(one);
  }
  static confman::entry entry_at(std::uint64_t term, std::uint64_t index, std::uint64_t hash) {
    return {term_t(term), log_index(index), confman::entry_type::noop, {}, confman::chain_hash(hash)};
  }
};

scenario quiet() {
  scenario plan;
  plan.safety = 2'000'000;
  return plan;
}

}  // namespace

TEST_CASE("a vote is refused by the oracle until it is on the platter") {
  judged j;
  const auto core = judged::core();
  const auto vote = judged::from_one(confman::vote_response{true}, 3);
  SUBCASE("not written") {
    CHECK(broken_by([&] { j.judge.on_send(one, vote, core); }) == invariant::durable_first);
  }
  SUBCASE("written, not synced") {
    j.judge.on_append(one, judged::vote_for(two, 3));
    CHECK(broken_by([&] { j.judge.on_send(one, vote, core); }) == invariant::durable_first);
  }
  SUBCASE("synced") {
    j.sync(judged::vote_for(two, 3));
    CHECK_NOTHROW(j.judge.on_send(one, vote, core));
  }
}

TEST_CASE("a second vote in a term is found, also after a restart") {
  judged j;
  const auto core = judged::core();
  j.sync(judged::vote_for(two, 3));
  j.judge.on_send(one, judged::from_one(confman::vote_response{true}, 3), core);
  j.sync(judged::vote_for(three, 3));
  CHECK(broken_by([&] {
          j.judge.on_send(one, judged::from_one(confman::vote_response{true}, 3, three), core);
        }) == invariant::one_vote);
}

TEST_CASE("an acknowledgement of what is not on the platter is found") {
  judged j;
  auto found = confman::recovered_log{};
  found.state.term = term_t(1);
  found.entries.push_back(judged::entry_at(1, 1, 0));
  const auto core = judged::core(found);
  confman::write_batch batch = judged::vote_for({}, 1);
  const auto ok = judged::from_one(confman::append_ok{log_index(1)}, 1);
  j.sync(batch);
  CHECK(broken_by([&] { j.judge.on_send(one, ok, core); }) == invariant::durable_first);
  batch.entries.push_back(core.log().at(log_index(1)));
  j.sync(batch);
  CHECK_NOTHROW(j.judge.on_send(one, ok, core));
}

TEST_CASE("recovery may keep un-synced batches in order, and nothing synced may be missing") {
  judged j;
  confman::recovered_log found;
  found.boot = 1;
  confman::write_batch first = judged::vote_for(two, 1), second;
  first.entries.push_back(judged::entry_at(1, 1, 11));
  second.entries.push_back(judged::entry_at(1, 2, 22));
  j.sync(first);
  j.judge.on_append(one, second);
  SUBCASE("synced only") {
    found.state = *first.state;
    found.entries = first.entries;
    CHECK_NOTHROW(j.judge.on_recovered(one, found, false));
  }
  SUBCASE("with the batch after it") {
    found.state = *first.state;
    found.entries = {first.entries[0], second.entries[0]};
    CHECK_NOTHROW(j.judge.on_recovered(one, found, false));
  }
  SUBCASE("too little") {
    CHECK(broken_by([&] { j.judge.on_recovered(one, found, false); }) == invariant::durable_first);
  }
  SUBCASE("something else") {
    found.state = *first.state;
    found.entries = {judged::entry_at(1, 1, 12)};
    CHECK(broken_by([&] { j.judge.on_recovered(one, found, false); }) == invariant::durable_first);
  }
}

TEST_CASE("one place and term with two histories breaks log matching") {
  judged j;
  const auto core = judged::core();
  confman::write_batch batch;
  batch.entries.push_back(judged::entry_at(1, 1, 11));
  j.judge.on_write(one, batch, core);
  CHECK_NOTHROW(j.judge.on_write(two, batch, core));
  batch.entries[0].hash = confman::chain_hash(12);
  CHECK(broken_by([&] { j.judge.on_write(three, batch, core); }) == invariant::log_matching);
}

TEST_CASE("two states at one applied index are found") {
  judged j;
  j.judge.on_published(one, log_index(4), 77);
  CHECK_NOTHROW(j.judge.on_published(two, log_index(4), 77));
  CHECK(broken_by([&] { j.judge.on_published(three, log_index(4), 78); }) == invariant::state_machine_safety);
}

TEST_CASE("a stale read, a lost write, a write twice and a refused write are found") {
  const scenario plan;
  trace log;
  statistics counts;
  history calls(plan, log, counts);
  const auto write = [&](history::call_id id, std::uint64_t index) {
    confman::command_view command;
    const std::string key = history::key_name(0), value = calls.value_of(id);
    command.key = key;
    command.value = value;
    command.timestamp = calls.stamp(id, one);
    return confman::entry{
        term_t(1), log_index(index), confman::entry_type::command, confman::encode(command), {}};
  };
  confman::map_state map;
  const auto apply = [&](const confman::entry& e) {
    const confman::apply_result result = map.apply(e);
    calls.on_applied(one, e, result);
    return result;
  };
  const auto first = calls.begin(one, call_kind::put, 0);
  const auto second = calls.begin(one, call_kind::put, 0);
  const auto result = apply(write(first, 1));

  SUBCASE("stale read") {
    calls.on_write(one, first, {}, result);
    const auto read = calls.begin(two, call_kind::read_linearizable, 0);
    const confman::map_state behind;
    CHECK(broken_by([&] { calls.on_read(two, read, behind.read()); }) == invariant::linearizable);
  }
  SUBCASE("fresh read") {
    calls.on_write(one, first, {}, result);
    const auto read = calls.begin(two, call_kind::read_linearizable, 0);
    map.publish();
    CHECK_NOTHROW(calls.on_read(two, read, map.read()));
  }
  SUBCASE("acknowledged and not applied") {
    CHECK(broken_by([&] { calls.on_write(one, second, {}, result); }) == invariant::no_lost_acknowledgement);
  }
  SUBCASE("applied twice") {
    CHECK(broken_by([&] { apply(write(first, 2)); }) == invariant::exactly_once);
  }
  SUBCASE("refused and applied") {
    calls.on_write(one, second, confman::errc::not_leader, {});
    CHECK(broken_by([&] { apply(write(second, 2)); }) == invariant::exactly_once);
  }
  SUBCASE("out of real-time order") {
    calls.on_write(one, first, {}, result);
    apply(write(second, 2));
    calls.on_write(one, second, {}, {{}, {term_t(1), log_index(2)}, 2, 1, true});
    const auto third = calls.begin(two, call_kind::read_linearizable, 0);
    const confman::map_state behind;
    CHECK(broken_by([&] { calls.on_read(two, third, behind.read()); }) == invariant::linearizable);
  }
  SUBCASE("lost at the end") {
    calls.on_write(one, first, {}, result);
    CHECK(broken_by([&] { calls.finish([](log_index) { return term_t(2); }); }) ==
          invariant::no_lost_acknowledgement);
  }
}

TEST_CASE("a session lives as long as its time to live after its last use, and no longer") {
  const scenario plan;
  trace log;
  statistics counts;
  history calls(plan, log, counts);
  std::uint64_t index = 0;
  std::uint64_t session = 0;
  // Each call takes a millisecond of log time; the session may be idle for three.
  const auto next = [&](confman::command_kind kind) {
    const auto id = calls.begin(one, call_kind::put, 0);
    confman::command_view command;
    const std::string key = history::key_name(0), value = calls.value_of(id);
    command.kind = kind;
    if (kind == confman::command_kind::put) {
      command.key = key;
      command.value = value;
      command.session = session;
      command.sequence = id;
    } else {
      command.time_to_live_ms = 3;
    }
    command.author = one;
    command.timestamp = calls.stamp(id, one);
    return confman::entry{
        term_t(1), log_index(++index), confman::entry_type::command, confman::encode(command), {}};
  };
  const auto answer = [&](std::error_code code) {
    return confman::apply_result{code, {term_t(1), log_index(index)}, index, 0, false, false};
  };
  const auto open = next(confman::command_kind::session_open);
  calls.on_applied(one, open, answer({}));
  session = index;
  for (int i = 0; i < 3; ++i) calls.begin(one, call_kind::put, 0);
  SUBCASE("too late, and taken all the same") {
    const auto write = next(confman::command_kind::put);
    CHECK(broken_by([&] { calls.on_applied(one, write, answer({})); }) == invariant::exactly_once);
  }
  SUBCASE("too late, and refused") {
    const auto write = next(confman::command_kind::put);
    CHECK_NOTHROW(calls.on_applied(one, write, answer(confman::errc::session_expired)));
  }
}

TEST_CASE("a read whose state has a key too few for a scan is found") {
  const scenario plan;
  trace log;
  statistics counts;
  history calls(plan, log, counts);
  confman::map_state whole, lacking;
  for (std::uint32_t key = 0; key < 2; ++key) {
    const auto id = calls.begin(one, call_kind::put, key);
    confman::command_view command;
    const std::string name = history::key_name(key), value = calls.value_of(id);
    command.key = name;
    command.value = value;
    command.author = one;
    command.timestamp = calls.stamp(id, one);
    const confman::entry e{
        term_t(1), log_index(key + 1), confman::entry_type::command, confman::encode(command), {}};
    calls.on_applied(one, e, whole.apply(e));
    if (key != 0) lacking.apply(e);
  }
  whole.publish();
  lacking.publish();
  const auto good = calls.begin(one, call_kind::read_local, 1);
  CHECK_NOTHROW(calls.on_read(one, good, whole.read()));
  const auto bad = calls.begin(one, call_kind::read_local, 1);
  CHECK(broken_by([&] { calls.on_read(one, bad, lacking.read()); }) == invariant::linearizable);
}

TEST_CASE("an erase that compares is found when it erases what it should not, or leaves what it should") {
  const scenario plan;
  trace log;
  statistics counts;
  history calls(plan, log, counts);
  confman::map_state map;
  const auto next = [&](std::uint64_t index, call_kind kind, std::uint64_t expected) {
    const auto id = calls.begin(one, kind, 0);
    confman::command_view command;
    const bool puts = kind == call_kind::put;
    const std::string key = history::key_name(0), value = puts ? calls.value_of(id) : "";
    command.kind = puts ? confman::command_kind::put : confman::command_kind::compare_erase;
    command.key = key;
    command.value = value;
    command.expected_revision = expected;
    command.author = one;
    command.timestamp = calls.stamp(id, one);
    return confman::entry{
        term_t(1), log_index(index), confman::entry_type::command, confman::encode(command), {}};
  };
  const auto put = next(1, call_kind::put, 0);
  calls.on_applied(one, put, map.apply(put));
  SUBCASE("at another revision") {
    const auto erase = next(2, call_kind::compare_erase, 0);
    confman::apply_result result = map.apply(erase);
    CHECK(result.code == confman::errc::compare_failed);
    result.code = {};
    CHECK(broken_by([&] { calls.on_applied(one, erase, result); }) == invariant::state_machine_safety);
  }
  SUBCASE("at this revision") {
    const auto erase = next(2, call_kind::compare_erase, 1);
    const confman::apply_result result = map.apply(erase);
    map.publish();
    CHECK(!result.code);
    CHECK_NOTHROW(calls.on_applied(one, erase, result));
    const auto read = calls.begin(one, call_kind::read_local, 0);
    CHECK_NOTHROW(calls.on_read(one, read, map.read()));
    confman::map_state kept;
    kept.apply(put);
    kept.apply(next(2, call_kind::put, 0));
    kept.publish();
    const auto again = calls.begin(one, call_kind::read_local, 0);
    CHECK(broken_by([&] { calls.on_read(one, again, kept.read()); }) == invariant::linearizable);
  }
}

TEST_CASE("a read at a version that is answered from an older state is found") {
  const scenario plan;
  trace log;
  statistics counts;
  history calls(plan, log, counts);
  confman::map_state map;
  const auto id = calls.begin(one, call_kind::put, 0);
  confman::command_view command;
  const std::string key = history::key_name(0), value = calls.value_of(id);
  command.key = key;
  command.value = value;
  command.author = one;
  command.timestamp = calls.stamp(id, one);
  const confman::entry e{term_t(1), log_index(1), confman::entry_type::command, confman::encode(command), {}};
  const auto behind = map.read();
  calls.on_applied(one, e, map.apply(e));
  map.publish();
  const auto read = calls.begin(two, call_kind::read_at_least, 0, 1);
  SUBCASE("older") {
    CHECK(broken_by([&] { calls.on_read(two, read, behind); }) == invariant::read_your_writes);
  }
  SUBCASE("as new") {
    CHECK_NOTHROW(calls.on_read(two, read, map.read()));
  }
  SUBCASE("older, and nothing else was asked") {
    const auto any = calls.begin(two, call_kind::read_at_least, 0, 0);
    CHECK_NOTHROW(calls.on_read(two, any, behind));
  }
}

TEST_CASE("a quiet world elects, writes, reads and converges, and does so again to the last event") {
  world first(quiet()), second(quiet());
  const outcome a = first.run(), b = second.run();
  CHECK(a.counts[counted::acknowledged] > 10);
  CHECK(a.counts[counted::elections] == 1);
  CHECK(a.counts[counted::crashes] == 0);
  CHECK_NOTHROW(report::must_agree(first.log(), a, b));
  scenario other = quiet();
  other.seed = 2;
  world third(other);
  const outcome c = third.run();
  CHECK(broken_by([&] { report::must_agree(first.log(), a, c); }) == invariant::determinism);
}

TEST_CASE("a scenario is drawn from its seed alone") {
  CHECK(scenario::draw(17).describe() == scenario::draw(17).describe());
  CHECK(scenario::draw(17).describe() != scenario::draw(18).describe());
}
