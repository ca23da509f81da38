// Several groups: writes forwarded to the leader at most once, and what a lost leader means for who waits.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "runtime_group.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

// How many commands for this key are in a node's log.
int commands_for(driven& d, std::string_view key) {
  int count = 0;
  const log_view& log = d->core().log();
  for (log_index i = log.first_index(); i <= log.last_index(); ++i)
    if (const auto c = decode(log.at(i).payload); log.at(i).type == entry_type::command && c && c->key == key)
      ++count;
  return count;
}

}  // namespace

TEST_CASE("a write on a follower is forwarded to the leader, once, and answered with its version") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(3);
  int forwards = 0;
  c.lost = [&](const message& m) {
    forwards += is_forward(m) ? 1 : 0;
    return false;
  };
  test_write w("/f", "1");
  c[2]->submit(w);
  c.settle();
  CHECK(w.ended_with({}));
  CHECK(forwards == 1);
  CHECK(commands_for(c[1], "/f") == 1);
  c.tick(6);
  CHECK(forwards == 1);
  for (std::uint64_t n = 1; n <= 3; ++n) CHECK(c[n].value("/f") == "1");
  CHECK(w.result.at.index.value() == c[1].map.get("/f")->modify_revision());
}

TEST_CASE("a forwarded comparison that fails says so") {
  driven_cluster c(3);
  c.elect(1);
  test_write w("/f", "1"), compare;
  c[2]->submit(w);
  c.settle();
  command_view command;
  command.kind = command_kind::compare_exchange;
  command.key = "/f";
  command.expected_revision = 1;
  compare.command = encode(command);
  c[3]->submit(compare);
  c.settle();
  CHECK(compare.ended_with(errc::compare_failed));
  CHECK(compare.result.previous_revision == w.result.revision);
}

TEST_CASE("a forwarded write that the network repeats is applied once") {
  driven_cluster c(3);
  c.elect(1);
  c.repeated = is_forward;
  test_write w("/f", "1");
  c[2]->submit(w);
  c.settle();
  c.tick(4);
  CHECK(w.ended_with({}));
  CHECK(commands_for(c[1], "/f") == 1);
}

TEST_CASE("a repeated answer is ignored") {
  driven_cluster c(3);
  c.elect(1);
  c.repeated = is_answer;
  test_write w("/f", "1"), next("/g", "2");
  c[2]->submit(w);
  c.settle();
  c[2]->submit(next);
  c.settle();
  CHECK(w.ended_with({}));
  CHECK(next.ended_with({}));
}

TEST_CASE("a lost forward is never sent again: the outcome is unknown at the deadline") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(2);
  int forwards = 0;
  c.lost = [&](const message& m) {
    forwards += is_forward(m) ? 1 : 0;
    return is_forward(m);
  };
  test_write w("/f", "1");
  w.deadline = c[2]->now() + 20;
  c[2]->submit(w);
  c.tick(30);
  CHECK(w.ended_with(errc::outcome_unknown));
  CHECK(forwards == 1);
  CHECK(commands_for(c[1], "/f") == 0);
}

TEST_CASE("a lost answer is an unknown outcome, and the write is there") {
  driven_cluster c(3);
  c.elect(1);
  c.lost = is_answer;
  test_write w("/f", "1");
  w.deadline = c[2]->now() + 20;
  c[2]->submit(w);
  c.tick(30);
  CHECK(w.ended_with(errc::outcome_unknown));
  CHECK(c[2].value("/f") == "1");
}

TEST_CASE("a forward from another term gets no answer and changes nothing") {
  driven_cluster c(3);
  c.elect(1);
  c.settle();
  const std::uint64_t term = c[1]->core().term().value();
  command_view command;
  command.key = "/old";
  (void)c[1].receive(2, term - 1, forward_request{1, encode(command)});
  c[1].settle();
  CHECK(commands_for(c[1], "/old") == 0);
  CHECK(c[1].take<forward_response>(2).empty());
}

TEST_CASE("a forward to who doesn't lead gets no answer: only the sender knows what became of it") {
  driven_cluster c(3);
  c.elect(1);
  const std::uint64_t term = c[1]->core().term().value();
  command_view command;
  command.key = "/f";
  (void)c[2].receive(3, term, forward_request{1, encode(command)});
  c[2].settle();
  CHECK(c[2].take<forward_response>(3).empty());
  CHECK(commands_for(c[2], "/f") == 0);
}

TEST_CASE("a leader without room says that a forward is certainly not applied") {
  driven_cluster c(3, [](group_options& o) { o.max_waiting = 1; });
  c.elect(1);
  c.lost = [](const message& m) { return std::holds_alternative<append_request>(m.body); };
  test_write own("/own"), forwarded("/f");
  c[1]->submit(own);
  c[2]->submit(forwarded);
  c.settle();
  CHECK(own.waits());
  CHECK(forwarded.completions == 1);
  CHECK(forwarded.code == errc::busy);
  CHECK(commands_for(c[1], "/f") == 0);
  c.lost = {};
  c.tick(10);
  CHECK(own.ended_with({}));
}

TEST_CASE("a write that must not be forwarded is refused on a follower") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(3);
  test_write w;
  w.may_forward = false;
  c[2]->submit(w);
  CHECK(w.ended_with(errc::not_leader));
}

TEST_CASE("writes that wait for a leader are passed on as soon as there is one, in order") {
  driven_cluster c(3);
  test_write first("/f", "1"), second("/f", "2");
  c[2]->submit(first);
  c[2]->submit(second);
  CHECK(first.waits());
  c.elect(1);
  c.tick(4);
  CHECK(first.ended_with({}));
  CHECK(second.ended_with({}));
  CHECK(first.result.at < second.result.at);
  CHECK(c[3].value("/f") == "2");
}

TEST_CASE("a write that waits at a node that becomes leader is proposed there") {
  driven_cluster c(3);
  test_write w("/f", "1");
  c[2]->submit(w);
  c.elect(2);
  CHECK(w.ended_with({}));
}

TEST_CASE("a change of leader leaves forwarded writes unknown") {
  driven_cluster c(3);
  c.elect(1);
  c.lost = [](const message& m) { return is_forward(m); };
  test_write w("/f", "1");
  c[2]->submit(w);
  c.settle();
  CHECK(w.waits());
  c.elect(3);
  CHECK(w.ended_with(errc::outcome_unknown));
}

TEST_CASE("losing the connection to the leader leaves forwarded writes unknown, others stay") {
  driven_cluster c(3);
  c.elect(1);
  c.lost = [](const message& m) { return is_forward(m); };
  test_write w("/f", "1");
  c[2]->submit(w);
  c.settle();
  c[2]->unreachable(node_id(3));
  CHECK(w.waits());
  c[2]->unreachable(node_id(1));
  CHECK(w.ended_with(errc::outcome_unknown));
}

TEST_CASE("a write sent to a new leader is not mistaken for one that the old leader has") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(3);
  const std::uint64_t term = c[2]->core().term().value();
  // The news of another leader and a write come together, before one pump.
  CHECK_FALSE(c[2].receive(3, term + 1, heartbeat{}));
  test_write w("/f", "1");
  c[2]->submit(w);
  c[2].settle();
  CHECK(w.waits());
  CHECK(c[2].take<forward_request>(3).size() == 1);
  CHECK(c[2].take<forward_request>(1).empty());
  c[2]->stop();
}

TEST_CASE("a proposal whose place another leader's entry takes is certainly not applied") {
  driven_cluster c(3);
  c.elect(1);
  c.lost = [](const message& m) { return m.from == node_id(1) || m.to == node_id(1); };
  test_write w("/lost", "1");
  c[1]->submit(w);
  c.settle();
  CHECK(w.waits());
  c.elect(2);
  test_write other("/kept", "2");
  c[2]->submit(other);
  c.settle();
  CHECK(other.ended_with({}));
  CHECK(w.waits());  // still open: the old leader could have had it accepted
  c.lost = {};
  c.tick(10);
  CHECK(w.ended_with(errc::not_leader));
  for (std::uint64_t n = 1; n <= 3; ++n) {
    CHECK_FALSE(c[n].value("/lost"));
    CHECK(c[n].value("/kept") == "2");
  }
}

TEST_CASE("a proposal that survives under another leader completes as done") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(3);
  // The entry reaches the others, but no acknowledgement comes back.
  c.lost = [](const message& m) { return std::holds_alternative<append_ok>(m.body); };
  test_write w("/kept", "1");
  c[1]->submit(w);
  c.settle();
  CHECK(w.waits());
  c.lost = [](const message& m) { return m.from == node_id(1) || m.to == node_id(1); };
  c.elect(2);
  c.lost = {};
  c.tick(10);
  CHECK(w.ended_with({}));
  CHECK(c[3].value("/kept") == "1");
  CHECK(commands_for(c[2], "/kept") == 1);
}

TEST_CASE("a forwarded write whose leader was replaced in time is unknown, whatever became of it") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(3);
  c.lost = [](const message& m) { return is_answer(m); };
  test_write w("/f", "1");
  c[2]->submit(w);
  c.settle();
  CHECK(w.waits());
  c.elect(3);
  CHECK(w.ended_with(errc::outcome_unknown));
  CHECK(c[2].value("/f") == "1");
}

TEST_CASE("a linearizable read on a follower sees a write that completed before, elsewhere") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(3);
  c.lost = [](const message& m) {  // node 3 learns of nothing
    return m.to == node_id(3) && !std::holds_alternative<read_index_response>(m.body) &&
           !std::holds_alternative<heartbeat>(m.body);
  };
  test_write w("/r", "1");
  c[1]->submit(w);
  c.settle();
  CHECK(w.ended_with({}));
  CHECK_FALSE(c[3].value("/r"));
  test_read r;
  c[3]->submit(r);
  c.settle();
  CHECK(r.waits());  // the index is known, the state isn't that far
  c.lost = {};
  c.tick(10);
  CHECK(r.ended_with({}));
  CHECK(c[3].value("/r") == "1");
}

TEST_CASE("a read for a version waits until that version is applied here") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(3);
  c.lost = [](const message& m) { return m.to == node_id(3); };
  test_write w("/r", "1");
  c[1]->submit(w);
  c.settle();
  REQUIRE(w.ended_with({}));
  test_read there(read_mode::applied_version, w.result.at), here(read_mode::applied_version, w.result.at);
  c[1]->submit(here);
  CHECK(here.ended_with({}));
  c[3]->submit(there);
  c.settle();
  CHECK(there.waits());
  c.lost = {};
  c.tick(10);
  CHECK(there.ended_with({}));
  CHECK(c[3].value("/r") == "1");
}

TEST_CASE("reads asked at a leader that is cut off are answered by the next one") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(3);
  c.lost = [](const message& m) { return m.from == node_id(1) || m.to == node_id(1); };
  test_read r;
  c[1]->submit(r);
  c.settle();
  CHECK(r.waits());
  c.elect(2);
  test_write w("/r", "1");
  c[2]->submit(w);
  c.settle();
  CHECK(r.waits());
  c.lost = {};
  c.tick(20);
  CHECK(r.ended_with({}));
  CHECK(c[1].value("/r") == "1");
}

TEST_CASE(
    "a follower sends no more than its bound at once, keeps the rest back, and loses none and no order") {
  driven_cluster c(3, [](group_options& o) { o.max_forwarded = 4; });
  c.elect(1);
  c.tick(3);
  std::vector<std::unique_ptr<test_write>> writes;
  for (int i = 0; i < 30; ++i) {
    writes.push_back(std::make_unique<test_write>("/k", std::to_string(i)));
    c[2]->submit(*writes.back());
  }
  c[2]->pump();
  std::size_t in_flight = 0, most = 0;
  c.lost = [&](const message& m) {
    in_flight += is_forward(m) ? 1 : 0;
    in_flight -= is_answer(m) ? 1 : 0;
    most = std::max(most, in_flight);
    return false;
  };
  c.settle();
  CHECK(most == 4);
  for (std::size_t i = 0; i < writes.size(); ++i) {
    CHECK(writes[i]->ended_with({}));
    if (i > 0) CHECK(writes[i - 1]->result.at < writes[i]->result.at);
  }
  CHECK(c[3].value("/k") == "29");
}

TEST_CASE("the bound on forwarded bytes keeps large writes back, but a single one always goes") {
  driven_cluster c(3, [](group_options& o) { o.max_forwarded_bytes = 1000; });
  c.elect(1);
  c.tick(3);
  test_write a("/a", std::string(5000, 'x')), b("/b", std::string(5000, 'x')), small("/c", "1");
  for (test_write* w : {&a, &b, &small}) c[2]->submit(*w);
  c[2]->pump();
  CHECK(c[2].transport.sent.size() == 1);
  c.settle();
  for (test_write* w : {&a, &b, &small}) CHECK(w->ended_with({}));
}

TEST_CASE("what a follower keeps back is certainly not applied when its time is over") {
  driven_cluster c(3, [](group_options& o) { o.max_forwarded = 1; });
  c.elect(1);
  c.tick(3);
  c.lost = is_forward;
  test_write sent("/sent"), kept("/kept");
  sent.deadline = kept.deadline = c[2]->now() + 8;
  c[2]->submit(sent);
  c[2]->submit(kept);
  c.tick(20);
  CHECK(sent.ended_with(errc::outcome_unknown));
  CHECK(kept.completions == 1);
  CHECK((kept.code == errc::no_leader || kept.code == errc::outcome_unknown));
}

TEST_CASE("writes kept back go to the next leader, or are proposed here when this node becomes it") {
  driven_cluster c(3, [](group_options& o) { o.max_forwarded = 1; });
  c.elect(1);
  c.tick(3);
  c.lost = is_forward;
  test_write sent("/sent"), kept("/kept", "1");
  c[2]->submit(sent);
  c[2]->submit(kept);
  c.settle();
  CHECK(kept.waits());
  c.elect(2);
  CHECK(sent.ended_with(errc::outcome_unknown));
  CHECK(kept.ended_with({}));
  CHECK(c[3].value("/kept") == "1");
}
