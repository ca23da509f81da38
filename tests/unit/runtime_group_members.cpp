// Groups whose members and leaders change: who is told what became of it, joining, and a leader's slow disk.
#include <doctest/doctest.h>

#include <string>

#include "runtime_group.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

using action = cluster_operation::action;
using change_action = member_change::action;

member with_id(std::uint64_t id) {
  return {node_id(id), incarnation_id(id * 100 + 1), "host:" + std::to_string(id)};
}
struct asked_change final {
  explicit asked_change(change_action what, std::uint64_t id, std::uint64_t number = 0)
      : operation(action::change_members, number) {
    operation.changes.push_back({what, with_id(id)});
  }
  asked_change& then(change_action what, std::uint64_t id) {
    operation.changes.push_back({what, with_id(id)});
    return *this;
  }
  test_cluster_operation operation;
};
struct transfer final {
  explicit transfer(std::uint64_t to) : operation(action::transfer) { operation.target = node_id(to); }
  test_cluster_operation operation;
};
void asks(group_options& o, std::vector<std::uint64_t> contacts, bool as_learner = false) {
  for (const std::uint64_t id : contacts) o.join.contacts.push_back(node_id(id));
  o.join.request.address = "host:" + std::to_string(o.raft.self.value());
  o.join.request.as_learner = as_learner;
}
// What the leader's log ends with, for one that lacks the last entry.
append_request removal(driven& d) {
  const log_view& log = d->core().log();
  const log_index last = log.last_index();
  return {{log.at(last - 1).term, last - 1}, log.at(last - 1).hash, last, {log.at(last)}};
}
bool is_voter(driven& d, std::uint64_t id) {
  return d->core().members().is_voter(node_id(id));
}
bool is_member(driven& d, std::uint64_t id) {
  return d->core().members().contains(node_id(id));
}

}  // namespace

TEST_CASE("a change of one voter completes when it is committed, with its place in the log") {
  driven_cluster c(3);
  c.elect(1);
  asked_change remove(change_action::remove, 3);
  c[1]->submit(remove.operation);
  c[1]->pump();
  CHECK(remove.operation.waits());
  c.settle();
  CHECK(remove.operation.ended_with({}));
  CHECK(remove.operation.at.index == c[1]->core().members_at());
  CHECK(c[2].observer.members.incoming.size() == 2);
}

TEST_CASE("a change of several voters completes when the joint phase is over, not before") {
  driven_cluster c(3);
  c.elect(1);
  c.add(0);
  c.add(0);
  asked_change swap(change_action::remove, 3);
  swap.then(change_action::add_voter, 4).then(change_action::add_voter, 5);
  int joint_while_waiting = 0;
  c[1]->submit(swap.operation);
  for (int i = 0; i < 200 && swap.operation.waits(); ++i) {
    joint_while_waiting += c[1]->core().members().joint() ? 1 : 0;
    c.round();
  }
  c.tick(3);
  CHECK(joint_while_waiting > 0);
  CHECK(swap.operation.ended_with({}));
  CHECK_FALSE(c[1]->core().change_under_way());
  for (const std::uint64_t id : {1u, 2u, 4u, 5u}) CHECK(is_voter(c[1], id));
  CHECK_FALSE(is_member(c[1], 3));
}

TEST_CASE("a change whose entry another leader replaces is undone, certainly") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(3);
  c.lost = [](const message& m) { return touches(m, 1); };
  asked_change remove(change_action::remove, 3);
  c[1]->submit(remove.operation);
  c.settle();
  c.elect(2);
  test_write w("/a", "1");
  c[2]->submit(w);
  c.settle();
  CHECK(remove.operation.waits());
  c.lost = nullptr;
  c.tick(20);
  CHECK(remove.operation.ended_with(errc::change_undone));
  CHECK(is_voter(c[1], 3));
}

TEST_CASE("change issued on the minority side: its outcome is unknown at the deadline, and nothing is left") {
  driven_cluster c(3);
  c.elect(1);
  c.lost = [](const message& m) { return touches(m, 1); };
  asked_change remove(change_action::remove, 3);
  remove.operation.deadline = c[1]->now() + 6;
  c[1]->submit(remove.operation);
  c[1].tick(20);
  CHECK(remove.operation.ended_with(errc::outcome_unknown));
  c.lost = nullptr;
  c.tick(60);
  CHECK(remove.operation.completions == 1);
}

TEST_CASE("changes that can't be are refused with their reason, and nothing changes") {
  driven_cluster c(3);
  c.elect(1);
  const configuration before = c[1]->core().members();
  const auto refused = [&](asked_change wrong, std::uint64_t node = 1) {
    c[node]->submit(wrong.operation);
    CHECK(wrong.operation.completions == 1);
    CHECK_FALSE(wrong.operation.error.what.empty());
    return wrong.operation.error.code;
  };
  CHECK(refused(asked_change(change_action::remove, 9)) == errc::not_a_member);
  CHECK(refused(asked_change(change_action::add_voter, 2)) == errc::already_a_member);
  CHECK(refused(asked_change(change_action::remove, 3), 2) == errc::not_leader);
  CHECK(refused(asked_change(change_action::add_voter, 4).then(change_action::add_voter, 4)) ==
        errc::bad_change);
  CHECK(refused(asked_change(change_action::remove, 1)
                    .then(change_action::remove, 2)
                    .then(change_action::remove, 3)) == errc::last_voter);
  CHECK(c[1]->core().members() == before);
  asked_change first(change_action::remove, 3);
  c[1]->submit(first.operation);
  CHECK(refused(asked_change(change_action::add_learner, 4)) == errc::change_in_flight);
  c.settle();
  CHECK(first.operation.ended_with({}));
}

TEST_CASE("a stopped or failed group ends what waits for changes: what was begun is unknown") {
  driven_cluster c(3);
  c.elect(1);
  c.lost = [](const message&) { return true; };
  asked_change remove(change_action::remove, 3);
  transfer to(2);
  c[1]->submit(remove.operation);
  c[1]->submit(to.operation);
  c[1]->stop();
  CHECK(remove.operation.ended_with(errc::outcome_unknown));
  CHECK(to.operation.ended_with(errc::stopped));
  asked_change after(change_action::remove, 3);
  c[1]->submit(after.operation);
  CHECK(after.operation.ended_with(errc::stopped));
}

TEST_CASE("operations on the cluster are cancelled by their id, and abandoned with the group") {
  asked_change remove(change_action::remove, 3, 17);
  transfer to(2);
  {
    driven_cluster c(3);
    c.elect(1);
    c.lost = [](const message&) { return true; };
    c[1]->submit(remove.operation);
    c[1]->submit(to.operation);
    c[1]->cancel(17, std::make_error_code(std::errc::operation_canceled));
    CHECK(remove.operation.ended_with(std::make_error_code(std::errc::operation_canceled)));
    CHECK(to.operation.waits());
  }
  CHECK(remove.operation.completions == 1);
  CHECK(to.operation.abandoned == 1);
}

TEST_CASE("the removed leader learns that its change is done, and another leads") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(3);
  asked_change self(change_action::remove, 1);
  c[1]->submit(self.operation);
  c.tick(30);
  CHECK(self.operation.ended_with({}));
  CHECK(c[1]->core().role() != role::leader);
  CHECK((c[2]->core().role() == role::leader) != (c[3]->core().role() == role::leader));
}

TEST_CASE("leadership is transferred to the one that was named, or to the best one") {
  for (const std::uint64_t target : {3u, 0u}) {
    driven_cluster c(3);
    c.elect(1);
    c.tick(3);
    transfer to(target);
    c[1]->submit(to.operation);
    c.tick(2);
    CHECK(to.operation.ended_with({}));
    CHECK(c[1]->core().role() != role::leader);
    if (target) CHECK(c[target]->core().role() == role::leader);
  }
}

TEST_CASE("a transfer to whom nothing reaches fails after an election timeout, and the leader leads on") {
  driven_cluster c(3);
  c.elect(1);
  c.lost = [](const message& m) { return std::holds_alternative<timeout_now>(m.body); };
  transfer to(3);
  c[1]->submit(to.operation);
  c.settle();
  CHECK(c[1]->handing_over());
  CHECK(to.operation.waits());
  c.tick(12);
  CHECK(to.operation.ended_with(errc::transfer_failed));
  CHECK(c[1]->core().role() == role::leader);
  CHECK_FALSE(c[1]->handing_over());
}

TEST_CASE("transfers that can't be are refused at once") {
  driven_cluster c(3);
  c.elect(1);
  transfer stranger(9), not_ours(3), self(1);
  c[1]->submit(stranger.operation);
  CHECK(stranger.operation.ended_with(errc::not_a_member));
  c[2]->submit(not_ours.operation);
  CHECK(not_ours.operation.ended_with(errc::not_leader));
  c[1]->submit(self.operation);
  CHECK(self.operation.ended_with({}));
}

TEST_CASE("a transfer whose leader is deposed meanwhile ends by who leads then") {
  driven_cluster c(3);
  c.elect(1);
  c.lost = [](const message& m) { return touches(m, 1); };
  transfer to(2);
  c[1]->submit(to.operation);
  c.settle();
  c.elect(3);
  REQUIRE(c[3]->core().role() == role::leader);
  c.lost = nullptr;
  c.tick(4);
  CHECK(to.operation.ended_with(errc::transfer_failed));
}

TEST_CASE("while leadership is handed over writes are kept back, and none is lost") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(3);
  bool hold = true;
  c.lost = [&](const message& m) { return hold && std::holds_alternative<timeout_now>(m.body); };
  c[1]->hand_over();
  CHECK(c[1]->handing_over());
  test_write w("/a", "1");
  c[1]->submit(w);
  c.settle();
  CHECK(w.waits());
  hold = false;
  c.tick(6);
  CHECK_FALSE(c[1]->handing_over());
  CHECK(c[1]->core().role() != role::leader);
  CHECK(w.ended_with({}));
  c[1]->hand_over();  // a follower: nothing to do
  CHECK_FALSE(c[1]->handing_over());
}

TEST_CASE("a write kept back for a hand-over that fails goes into the same leader's log") {
  driven_cluster c(3);
  c.elect(1);
  c.lost = [](const message& m) { return std::holds_alternative<timeout_now>(m.body); };
  c[1]->hand_over();
  test_write w("/a", "1");
  c[1]->submit(w);
  c.tick(12);
  CHECK(c[1]->core().role() == role::leader);
  CHECK(w.ended_with({}));
}

TEST_CASE("a forward that comes while leadership is handed over waits, and goes into the log if that fails") {
  driven_cluster c(3);
  c.elect(1);
  c.lost = [](const message& m) { return std::holds_alternative<timeout_now>(m.body); };
  c[1]->hand_over();
  test_write w("/a", "1");
  c[2]->submit(w);
  c.settle();
  CHECK(w.waits());  // neither busy nor lost
  c.tick(12);
  CHECK(c[1]->core().role() == role::leader);
  CHECK(w.ended_with({}));
  CHECK(c[3].value("/a") == "1");
}

TEST_CASE("a forward that came while leadership was handed over is certainly not applied by who led") {
  driven_cluster c(3);
  c.elect(1);
  bool hold = true;
  c.lost = [&](const message& m) { return hold && std::holds_alternative<timeout_now>(m.body); };
  c[1]->hand_over();
  test_write w("/a", "1");
  c[2]->submit(w);
  c.settle();
  CHECK(w.waits());
  hold = false;
  std::vector<forward_response> answers;
  c.lost = [&](const message& m) {
    if (const auto* answer = std::get_if<forward_response>(&m.body)) answers.push_back(*answer);
    return false;
  };
  c.tick(8);
  CHECK(c[1]->core().role() != role::leader);
  CHECK_FALSE(w.waits());
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].status == forward_status::not_applied);
  CHECK_FALSE(c[1].value("/a"));
}

TEST_CASE("operations on the cluster beyond the bound are busy at once, and room comes back") {
  transfer first(3), second(3), third(3), again(3);  // the last one still waits at the end
  driven_cluster c(3, [](group_options& o) { o.max_waiting = 2; });
  c.elect(1);
  c.lost = [](const message& m) { return std::holds_alternative<timeout_now>(m.body); };
  for (transfer* t : {&first, &second, &third}) c[1]->submit(t->operation);
  CHECK(first.operation.waits());
  CHECK(third.operation.ended_with(errc::busy));
  c.tick(12);
  CHECK(first.operation.ended_with(errc::transfer_failed));
  c[1]->submit(again.operation);
  CHECK(again.operation.waits());
}

TEST_CASE("a new node joins through a member that doesn't lead, and becomes a voter when it has caught up") {
  driven_cluster c(3);
  c.elect(1);
  test_write w("/a", "1");
  c[1]->submit(w);
  driven& fresh = c.add(0, [](group_options& o) { asks(o, {3, 2}); });
  c.tick(2);
  REQUIRE(fresh.observer.contacts.empty());  // bootstrap members have no address in this configuration
  bool learner_first = false;
  for (int i = 0; i < 60 && !is_voter(c[1], 4); ++i) {
    c.tick();
    learner_first |= is_member(c[1], 4) && !is_voter(c[1], 4);
  }
  c.tick(3);
  CHECK(learner_first);
  CHECK(is_voter(c[1], 4));
  CHECK(is_voter(fresh, 4));
  CHECK(c[1]->core().members().find_member(node_id(4))->address == "host:4");
  CHECK(c[1]->core().members().find_member(node_id(4))->incarnation == incarnation_id(401));
  CHECK(fresh.value("/a") == "1");
  CHECK(fresh.observer.events.empty());
  fresh.transport.sent.clear();
  fresh.tick(40);
  for (const message& m : fresh.transport.sent) CHECK_FALSE(std::holds_alternative<join_request>(m.body));
}

TEST_CASE("who is asked and doesn't lead names the leader and its address") {
  driven_cluster c(3);
  c.elect(1);
  test_cluster_operation moved(action::change_members);
  moved.changes.push_back({change_action::update, with_id(1)});
  c[1]->submit(moved);
  c.tick(2);
  REQUIRE(moved.ended_with({}));
  driven& fresh = c.add(0, [](group_options& o) { asks(o, {3}); });
  c.tick(2);
  REQUIRE(fresh.observer.contacts.size() == 1);
  CHECK(fresh.observer.contacts[0] == std::pair<node_id, std::string>{node_id(1), "host:1"});
}

TEST_CASE("a node that asks to be a learner stays one") {
  driven_cluster c(3);
  c.elect(1);
  driven& fresh = c.add(0, [](group_options& o) { asks(o, {1}, true); });
  c.tick(60);
  CHECK(is_member(c[1], 4));
  CHECK_FALSE(is_voter(c[1], 4));
  CHECK(is_member(fresh, 4));
  fresh.transport.sent.clear();
  fresh.tick(40);
  for (const message& m : fresh.transport.sent) CHECK_FALSE(std::holds_alternative<join_request>(m.body));
}

TEST_CASE("another data directory under a used id is refused, and that is said once") {
  driven_cluster c(3);
  c.elect(1);
  driven other(3, 0, [](group_options& o) {
    o.raft.incarnation = incarnation_id(999);
    asks(o, {1});
  });
  for (int i = 0; i < 40; ++i) {
    other.tick();
    for (message& m : std::exchange(other.transport.sent, {})) (void)c[1]->receive(std::move(m));
    for (message& m : std::exchange(c[1].transport.sent, {}))
      if (m.to == node_id(3)) (void)other->receive(std::move(m));
  }
  REQUIRE(other.observer.events.size() == 1);
  CHECK(other.observer.events[0].code == errc::already_a_member);
  CHECK(other.observer.events[0].what.find("node 1") != std::string::npos);
  CHECK(c[1]->core().members().find_member(node_id(3))->incarnation == incarnation_id(301));
}

TEST_CASE("requests to join of another cluster, or of nobody, are not answered") {
  driven_cluster c(3);
  c.elect(1);
  c[1].transport.sent.clear();
  const raft_options& o = c[1]->core().options();
  const join_request r{"host:9", false, 1};
  CHECK(c[1]->receive({cluster_id(8), o.group, node_id(9), o.self, incarnation_id(5), term_t(1), r}) ==
        errc::wrong_cluster);
  CHECK(c[1]->receive({o.cluster, group_id(2), node_id(9), o.self, incarnation_id(5), term_t(1), r}) ==
        errc::wrong_cluster);
  CHECK(c[1].receive(0, 1, r) == errc::unknown_peer);
  CHECK(c[1].receive(1, 1, r) == errc::unknown_peer);
  CHECK(c[1].transport.sent.empty());
}

TEST_CASE("a request with an impossible address is refused, not taken into the log") {
  driven_cluster c(3);
  c.elect(1);
  const log_index last = c[1]->core().log().last_index();
  for (const std::string& address :
       {std::string(70'000, 'x'), std::string(513, 'x') + ":1", std::string("host"), std::string("host:0"),
        std::string("host:7x"), std::string("::1:7")}) {
    CHECK(c[1].receive(9, 1, join_request{address, false, 1}) == std::error_code{});
    const auto answers = c[1].take<join_response>(9);
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].status == join_status::refused);
    CHECK(answers[0].code == static_cast<std::uint16_t>(errc::bad_address));
  }
  CHECK(c[1]->core().log().last_index() == last);
}

TEST_CASE("a change of members with an impossible address is refused before anything is proposed") {
  driven_cluster c(3);
  c.elect(1);
  const log_index last = c[1]->core().log().last_index();
  for (const change_action what : {change_action::add_voter, change_action::add_learner}) {
    asked_change change(what, 4);
    for (const std::string& address :
         {std::string(513, 'x') + ":1", std::string("host"), std::string("host:0")}) {
      test_cluster_operation o(cluster_operation::action::change_members);
      o.changes = change.operation.changes;
      o.changes.back().who.address = address;
      c[1]->submit(o);
      CHECK(o.ended_with(errc::bad_address));
      CHECK(o.error.what.find("node 4") != std::string::npos);
    }
  }
  CHECK(c[1]->core().log().last_index() == last);
}

TEST_CASE("a member that was removed doesn't ask to be one again, before a restart or after it") {
  driven_cluster c(3);
  c.elect(1);
  c.add(0, [](group_options& o) { asks(o, {1}); });
  c.tick(60);
  REQUIRE(is_voter(c[4], 4));
  asked_change remove(change_action::remove, 4);
  c[1]->submit(remove.operation);
  c.tick(3);
  REQUIRE(remove.operation.ended_with({}));
  // The leader sends it nothing any more, so it hears of it from whom it asks for a vote, or not at all.
  CHECK_FALSE(is_member(c[1], 4));
  const term_t term = c[1]->core().term();
  CHECK(c[4].receive(1, term.value(), removal(c[1])) == std::error_code{});
  c[4].settle();
  REQUIRE_FALSE(is_member(c[4], 4));
  for (const bool restarted : {false, true}) {
    if (restarted) c[4].restart();
    c[4].transport.sent.clear();
    c[4].tick(40);
    for (const message& m : c[4].transport.sent) CHECK_FALSE(std::holds_alternative<join_request>(m.body));
  }
}

TEST_CASE("a newcomer whose entry was lost with the leader that made it asks again") {
  driven_cluster c(3);
  c.elect(1);
  test_write w("/a", "1");
  c[1]->submit(w);
  c.settle();
  c.add(0, [](group_options& o) { asks(o, {1, 2, 3}); });
  // Leader 1 takes node 4 in and sends it the log, all of which the other members don't hear.
  c.lost = [](const message& m) { return touches(m, 2) || touches(m, 3); };
  for (int i = 0; i < 8; ++i) {
    c[4].tick();
    c.settle();
  }
  REQUIRE(is_member(c[1], 4));
  REQUIRE(c[4]->core().log().last_index() > log_index{});
  c.lost = [](const message& m) { return touches(m, 1); };
  c.elect(2);
  REQUIRE_FALSE(is_member(c[2], 4));
  for (int i = 0; i < 120 && !is_voter(c[2], 4); ++i) {
    for (const std::uint64_t id : {2u, 3u, 4u}) c[id].tick();
    c.settle();
  }
  CHECK(is_voter(c[2], 4));
}

TEST_CASE("leader's disk stalls while heartbeats go on: after an election timeout it resigns, not before") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(3);
  test_write w("/a", "1");
  c[1]->submit(w);
  c[1]->pump();
  REQUIRE(c[1]->write_in_flight());
  // The others commit it without this disk.
  for (int i = 0; i < 9; ++i) {
    c[1].tick();
    for (message& m : std::exchange(c[1].transport.sent, {})) (void)c[m.to.value()]->receive(std::move(m));
    for (const std::uint64_t id : {2u, 3u}) {
      c[id].settle();
      for (message& m : std::exchange(c[id].transport.sent, {}))
        if (m.to == node_id(1)) (void)c[1]->receive(std::move(m));
    }
  }
  c[1]->pump();
  CHECK(c[1]->core().role() == role::leader);
  CHECK(w.ended_with({}));
  CHECK(c[1].observer.events.empty());
  c[1].tick(2);
  CHECK(c[1]->core().role() == role::follower);
  REQUIRE(c[1].observer.events.size() == 1);
  CHECK(c[1].observer.events[0].code == errc::storage_failed);
  c[1].tick(5);
  CHECK(c[1].observer.events.size() == 1);
  CHECK_FALSE(c[1]->failed());
  c.elect(2);
  test_write next("/b", "2");
  c[1]->submit(next);
  c.tick(3);
  CHECK(next.ended_with({}));
}

TEST_CASE("a leader whose disk is slow but ends each write in time leads on") {
  driven_cluster c(3);
  c.elect(1);
  const term_t term = c[1]->core().term();
  for (int round = 0; round < 20; ++round) {
    test_write w("/a", std::to_string(round));
    c[1]->submit(w);
    c[1].tick(8);
    c.settle();
    CHECK(w.ended_with({}));
  }
  CHECK(c[1]->core().role() == role::leader);
  CHECK(c[1]->core().term() == term);
  CHECK(c[1].observer.events.empty());
}

TEST_CASE("a follower's disk that stalls makes nobody resign, and a lone leader has nobody to resign to") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(3);
  test_write w("/a", "1");
  c[1]->submit(w);
  c[1].settle();
  for (message& m : std::exchange(c[1].transport.sent, {}))
    if (m.to == node_id(2)) (void)c[2]->receive(std::move(m));
  c[2].tick(8);
  CHECK(c[2]->write_in_flight());
  CHECK(c[2].observer.events.empty());
  CHECK(c[1]->core().role() == role::leader);
  c.tick(6);
  CHECK(w.ended_with({}));
  const auto lone = lone_leader();
  test_write slow("/a", "1");
  lone->g->submit(slow);
  lone->tick(30);
  CHECK(lone->g->core().role() == role::leader);
  lone->settle();
  CHECK(slow.ended_with({}));
}
