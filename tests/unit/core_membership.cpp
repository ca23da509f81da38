// Changes of members (thesis, chapter 4): what is refused, what is effective when, and who leads meanwhile.
#include <doctest/doctest.h>

#include <array>

#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

[[nodiscard]] std::vector<std::uint64_t> ids_of(const std::vector<member>& list) {
  std::vector<std::uint64_t> ids;
  for (const member& m : list) ids.push_back(m.id.value());
  return ids;
}
[[nodiscard]] std::vector<std::uint64_t> voters_of(const test_node& node) {
  return ids_of(node->members().incoming);
}
using ids = std::vector<std::uint64_t>;

[[nodiscard]] member_change unbound_voter(std::uint64_t id) {
  return {member_change::action::add_voter, {node_id(id), {}}};
}

}  // namespace

TEST_CASE("change: one voter is added directly, effective when appended, and takes part") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  REQUIRE(cluster.join() == 4);
  const std::vector<member_change> changes{add_voter(4)};
  const raft_core::change_proposed begun = cluster[1]->propose_change(changes);
  CHECK_FALSE(begun.error);
  CHECK(begun.at == cluster[1]->log().last());
  CHECK(cluster[1]->members_at() == begun.at.index);
  CHECK(cluster[1]->change_under_way());
  CHECK_FALSE(cluster[1]->members().joint());
  CHECK(voters_of(cluster[1]) == ids{1, 2, 3, 4});
  CHECK(cluster.tick_all(5));
  CHECK_FALSE(cluster[1]->change_under_way());
  CHECK(voters_of(cluster[4]) == ids{1, 2, 3, 4});
  CHECK(cluster[4]->commit() == cluster[1]->commit());
  cluster[1].crash();
  CHECK(cluster.tick_all(60));
  CHECK(cluster.leader() > 1);
  cluster[cluster.leader()].crash();  // two of four are no majority
  CHECK(cluster.tick_all(100));
  CHECK(cluster.leader() == 0);
}

TEST_CASE("change: several voters go through a joint configuration, which is left by itself") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  REQUIRE(cluster.join() == 4);
  REQUIRE(cluster.join() == 5);
  CHECK_FALSE(change(cluster[1].core(), {add_voter(4), add_voter(5), remove_member(2), remove_member(3)}));
  CHECK(cluster[1]->members().joint());
  CHECK(voters_of(cluster[1]) == ids{1, 4, 5});
  CHECK(ids_of(cluster[1]->members().outgoing) == ids{1, 2, 3});
  CHECK(cluster.tick_all(10));
  CHECK_FALSE(cluster[1]->change_under_way());
  for (const std::uint64_t i : {1u, 4u, 5u}) CHECK(voters_of(cluster[i]) == ids{1, 4, 5});
}

TEST_CASE("change: a joint configuration commits and elects by both majorities only") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  REQUIRE(cluster.join() == 4);
  REQUIRE(cluster.join() == 5);
  CHECK(cluster.tick_all(5));
  cluster[2].crash();
  cluster[3].crash();
  const log_index before = cluster[1]->commit();
  CHECK_FALSE(change(cluster[1].core(), {add_voter(4), add_voter(5)}));
  CHECK(cluster.tick_all(8));
  CHECK(cluster[1]->commit() == before);  // 1, 4, 5 are a majority of the new one, 1 isn't of the old one
  CHECK(cluster.tick_all(100));
  CHECK(cluster.leader() == 0);  // nor does it keep a leader, or elect one
  cluster[2].restart();
  CHECK(cluster.tick_all(100));
  REQUIRE(cluster.leader() != 0);
  CHECK_FALSE(cluster[cluster.leader()]->change_under_way());
  CHECK(voters_of(cluster[cluster.leader()]) == ids{1, 2, 3, 4, 5});
}

TEST_CASE("change: refused by who doesn't lead, for no reason, and while another is in flight") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  CHECK(change(cluster[2].core(), {add_voter(4)}) == errc::not_leader);
  CHECK(change(cluster[1].core(), {}) == errc::bad_change);
  CHECK(change(cluster[1].core(), {add_voter(2)}) == errc::already_a_member);
  CHECK(change(cluster[1].core(), {remove_member(9)}) == errc::not_a_member);
  CHECK(change(cluster[1].core(), {remove_member(1), remove_member(2), remove_member(3)}) ==
        errc::last_voter);
  const log_index last = cluster[1]->log().last_index();
  CHECK_FALSE(cluster[1]->change_under_way());
  CHECK_FALSE(change(cluster[1].core(), {remove_member(3)}));
  CHECK(cluster[1]->log().last_index() == last + 1);
  CHECK(change(cluster[1].core(), {remove_member(2)}) == errc::change_in_flight);
  CHECK(cluster.settle());
  CHECK_FALSE(change(cluster[1].core(), {add_voter(4), remove_member(2)}));
  CHECK(cluster[1]->members().joint());
  CHECK(change(cluster[1].core(), {add_voter(5)}) == errc::change_in_flight);
  const std::vector<member_change> none;
  CHECK_FALSE(cluster[2]->propose_change(none).error.what.empty());
}

TEST_CASE("trap: no change before a commit in the leader's own term") {
  test_node node(1, bound_voters(3), {}, disk_of(4, {1, 1}, 0, 2));
  lead(node);
  REQUIRE(node->role() == role::leader);
  CHECK(change(node.core(), {add_voter(4)}) == errc::change_in_flight);
  CHECK_FALSE(node.receive(2, 5, append_ok{log_index(2)}));
  CHECK(change(node.core(), {add_voter(4)}) == errc::change_in_flight);
  CHECK_FALSE(node.receive(2, 5, append_ok{log_index(3)}));
  CHECK_FALSE(change(node.core(), {add_voter(4)}));
}

TEST_CASE("trap: configuration follows truncation, also the leader's own change on the minority side") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  REQUIRE(cluster.join() == 4);
  cluster.isolate(1);
  CHECK_FALSE(change(cluster[1].core(), {add_voter(4), remove_member(2)}));
  CHECK(cluster[1]->members().joint());
  CHECK(cluster.tick_all(100));
  CHECK(cluster[1]->role() != role::leader);
  REQUIRE(cluster.leader() != 0);
  CHECK(cluster[1]->change_under_way());
  CHECK_FALSE(change(cluster[cluster.leader()].core(), {remove_member(1)}));
  CHECK(cluster.settle());
  cluster.heal();
  CHECK(cluster.tick_all(100));
  CHECK(cluster.leader() > 1);
  CHECK(voters_of(cluster[cluster.leader()]) == ids{2, 3});
  // 1 was removed while it was away: it is not told, but its own change never happened.
  CHECK(cluster[1]->role() != role::leader);
  CHECK(voters_of(cluster[4]).empty());
}

TEST_CASE("trap: a change issued on the minority side is taken back when the log is") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  cluster.isolate(1);
  const log_index committed = cluster[1]->members_at();
  CHECK_FALSE(change(cluster[1].core(), {remove_member(2)}));
  CHECK(voters_of(cluster[1]) == ids{1, 3});
  CHECK(cluster.tick_all(100));
  cluster.heal();
  CHECK(cluster.tick_all(60));
  REQUIRE(cluster.leader() > 1);
  CHECK(voters_of(cluster[1]) == ids{1, 2, 3});
  CHECK(cluster[1]->members_at() == committed);
  CHECK_FALSE(cluster[1]->change_under_way());
}

TEST_CASE("trap: a new leader inside a joint configuration leaves it after committing in its own term") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  REQUIRE(cluster.join() == 4);
  REQUIRE(cluster.join() == 5);
  CHECK(cluster.tick_all(5));
  CHECK_FALSE(change(cluster[1].core(), {add_voter(4), add_voter(5)}));
  // The joint configuration reaches everybody, and then its leader is gone before it can commit it.
  cluster.collect();
  for (std::uint64_t i = 1; i <= 5; ++i) cluster[i].persist();
  cluster.deliver_all();
  cluster[1].crash();
  cluster.wire.clear();
  for (const std::uint64_t i : {2u, 3u}) REQUIRE(cluster[i]->members().joint());
  CHECK(cluster.tick_all(100));
  REQUIRE(cluster.leader() > 1);
  const test_node& leader = cluster[cluster.leader()];
  CHECK_FALSE(leader->change_under_way());
  CHECK(leader->log().at(leader->members_at()).term == leader->term());
  CHECK(voters_of(leader) == ids{1, 2, 3, 4, 5});
}

TEST_CASE("trap: a removed leader does not count itself, leads until its removal commits, then hands over") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  cluster.cut_one_way(2, 1);
  cluster.cut_one_way(3, 1);
  CHECK_FALSE(change(cluster[1].core(), {remove_member(1)}));
  const log_index removal = cluster[1]->members_at();
  cluster[1].work();
  // On the disks of 1 and of 2: two of three, but one of two.
  const std::uint64_t term = cluster[1]->term().value();
  CHECK_FALSE(cluster[1].receive(2, term, append_ok{removal}));
  CHECK(cluster[1]->commit() < removal);
  CHECK(cluster[1]->role() == role::leader);
  CHECK_FALSE(cluster[1]->propose(text("x")).code);  // it goes on serving
  CHECK(cluster[1]->progress_of(node_id(1)) != nullptr);
  CHECK_FALSE(cluster[1].receive(3, term, append_ok{removal}));
  CHECK(cluster[1]->commit() == removal);
  CHECK(cluster[1]->transferring_to() != node_id(0));
  cluster.heal();
  CHECK(cluster.tick_all(8));
  CHECK(cluster.leader() > 1);
  CHECK(cluster[1]->role() == role::follower);
  CHECK(cluster.tick_all(100));
  CHECK(cluster[1]->role() == role::follower);  // and never campaigns again
}

TEST_CASE("a removed leader with nobody to hand over to steps down all the same") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  CHECK_FALSE(change(cluster[1].core(), {remove_member(1)}));
  const log_index removal = cluster[1]->members_at();
  cluster[1].work();
  const std::uint64_t term = cluster[1]->term().value();
  for (const std::uint64_t peer : {2u, 3u}) CHECK_FALSE(cluster[1].receive(peer, term, append_ok{removal}));
  cluster[1].tick(cluster[1].options.election_ticks);  // the target never takes over
  CHECK(cluster[1]->role() == role::follower);
  CHECK(cluster[1]->term() == term_t(term));
}

TEST_CASE("a demoted leader becomes a learner of the next one") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  CHECK_FALSE(change(cluster[1].core(), {add_learner(1)}));
  CHECK(cluster.tick_all(20));
  REQUIRE(cluster.leader() > 1);
  const raft_core::proposed next = cluster[cluster.leader()]->propose(text("x"));
  CHECK(cluster.tick_all(5));
  CHECK(cluster[1]->commit() == next.at.index);
  CHECK(ids_of(cluster[1]->members().learners) == ids{1});
}

TEST_CASE("who is struck off only by an entry of its own may be needed to win, and campaigns") {
  // {1,2} -> {2}: the entry is on 1's disk alone. 2 can't win, its log is shorter; 1 must (thesis, 4.2.2).
  test_cluster_of cluster(2);
  REQUIRE(cluster.elect(1));
  CHECK_FALSE(change(cluster[1].core(), {remove_member(1)}));
  cluster[1].pump();
  cluster[1].sent.clear();
  cluster[1].crash(1);
  cluster[1].restart();
  REQUIRE_FALSE(cluster[1]->members().contains(node_id(1)));
  CHECK(cluster.tick_all(100));
  CHECK(cluster.leader() == 2);
  CHECK(voters_of(cluster[2]) == ids{2});
  CHECK_FALSE(cluster[2]->change_under_way());
}

TEST_CASE("trap: a removed server that keeps campaigning disturbs nobody") {
  test_cluster_of cluster(4);
  REQUIRE(cluster.elect(1));
  cluster.isolate(4);
  CHECK_FALSE(change(cluster[1].core(), {remove_member(4)}));
  CHECK(cluster.settle());
  cluster.heal();
  const term_t term = cluster[1]->term();
  CHECK(cluster.tick_all(300));
  CHECK(cluster.leader() == 1);
  CHECK(cluster[1]->term() == term);
  // Even with a higher term, and without asking first.
  for (const std::uint64_t voter : {1u, 2u, 3u})
    CHECK_FALSE(cluster[voter].receive(4, 99, vote_request{{term_t(98), log_index(99)}}));
  CHECK(cluster.settle());
  CHECK(cluster.leader() == 1);
  CHECK(cluster[1]->term() == term);
}

TEST_CASE("a candidate that we don't know yet may have our vote: its configuration is newer than ours") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  REQUIRE(cluster.join() == 4);
  // 3 misses that 4 was added; 2 misses the entry after that. With 1 gone, only 4 can win, by 2's and 3's
  // votes.
  cluster.isolate(3);
  CHECK_FALSE(change(cluster[1].core(), {add_voter(4)}));
  CHECK(cluster.tick_all(3));
  REQUIRE(voters_of(cluster[4]) == ids{1, 2, 3, 4});
  cluster.isolate(2);
  CHECK_FALSE(cluster[1]->propose(text("x")).code);
  CHECK(cluster.settle());
  cluster[1].crash();
  cluster.heal();
  REQUIRE_FALSE(cluster[3]->members().contains(node_id(4)));
  CHECK(cluster.tick_all(200));
  CHECK(cluster.leader() == 4);
}

TEST_CASE("learners never count: not for commit, not for check-quorum, not for reads") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  for (int i = 0; i < 3; ++i) (void)cluster.join();
  CHECK_FALSE(change(cluster[1].core(), {add_learner(4), add_learner(5), add_learner(6)}));
  CHECK_FALSE(cluster[1]->members().joint());
  CHECK(cluster.tick_all(8));
  CHECK(cluster[6]->commit() == cluster[1]->commit());
  const log_index before = cluster[1]->commit();
  cluster[2].crash();
  cluster[3].crash();
  CHECK_FALSE(cluster[1]->propose(text("x")).code);
  CHECK_FALSE(cluster[1]->read(read_id(1)));
  CHECK(cluster.tick_all(5));
  CHECK(cluster[1]->commit() == before);
  CHECK(cluster[1].answers.empty());
  CHECK(cluster.tick_all(30));
  CHECK(cluster.leader() == 0);
  for (const std::uint64_t i : {4u, 5u, 6u}) CHECK(cluster[i]->role() == role::follower);
}

TEST_CASE("a learner is promoted only when it answers and is close behind") {
  test_cluster_of cluster(3, [](raft_options& o) { o.promotion_lag = 5; });
  REQUIRE(cluster.elect(1));
  (void)cluster.join();
  CHECK_FALSE(change(cluster[1].core(), {add_learner(4)}));
  cluster[4].crash();
  CHECK(cluster.tick_all(25));
  CHECK(change(cluster[1].core(), {add_voter(4)}) == errc::learner_behind);  // silent
  cluster[4].restart();
  CHECK(cluster.tick_all(10));
  cluster.cut(1, 4);
  for (int i = 0; i < 6; ++i) CHECK_FALSE(cluster[1]->propose(text("x")).code);
  CHECK(cluster.settle());
  const raft_core::change_proposed refused = cluster[1]->propose_change(std::array{add_voter(4)});
  CHECK(refused.error.code == errc::learner_behind);
  CHECK(refused.error.what ==
        "change of members: learner 4 is 6 entries behind, more than 5; promote it when it has caught up");
  CHECK(voters_of(cluster[1]) == ids{1, 2, 3});
  cluster.heal();
  CHECK(cluster.tick_all(10));
  CHECK_FALSE(change(cluster[1].core(), {add_voter(4)}));
  CHECK(cluster.tick_all(5));
  CHECK(voters_of(cluster[4]) == ids{1, 2, 3, 4});
}

TEST_CASE("a learner is sent what is committed, and no more") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  (void)cluster.join();
  CHECK_FALSE(change(cluster[1].core(), {add_learner(4)}));
  CHECK(cluster.tick_all(5));
  CHECK(cluster[4]->log().last_index() == cluster[1]->log().last_index());
  cluster.cut(1, 2), cluster.cut(1, 3);
  CHECK_FALSE(cluster[1]->propose(text("x")).code);
  CHECK(cluster.tick_all(3));
  CHECK(cluster[4]->log().last_index() + 1 == cluster[1]->log().last_index());
  cluster.heal();
  CHECK(cluster.tick_all(3));
  CHECK(cluster[4]->log().last_index() == cluster[1]->log().last_index());
  CHECK(cluster[4]->commit() == cluster[1]->commit());
}

// Seed 501858 of the simulation. The one that has appended the promotion of a learner needs three of four
// votes, and one voter is lost. The learner knows nothing of it; a later leader that was lost had sent it an
// entry that nobody else had: it refused its vote as the better one, and didn't stand itself.
TEST_CASE("a learner that was about to be promoted doesn't stand in the way of an election") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  (void)cluster.join();
  CHECK_FALSE(change(cluster[1].core(), {add_learner(4)}));
  CHECK(cluster.tick_all(10));
  cluster.isolate(1);
  CHECK_FALSE(change(cluster[1].core(), {add_voter(4)}));
  CHECK(cluster.settle());
  REQUIRE(voters_of(cluster[1]) == ids{1, 2, 3, 4});
  // 2 is elected by 3, and its first entry doesn't reach that any more.
  cluster[3].tick(cluster[3].options.election_ticks);
  cluster[3].pump();
  cluster[3].sent.clear();
  cluster[2].time_out();
  for (int rounds = 0; cluster[2]->role() != role::leader; ++rounds) {
    REQUIRE(rounds < 100);
    cluster.collect();
    cluster[2].persist(), cluster[3].persist();
    cluster.deliver_all();
  }
  cluster.cut(2, 3);
  CHECK(cluster.settle());
  REQUIRE(cluster[3]->log().last_index() < cluster[1]->log().last_index());
  cluster[2].crash();
  cluster.heal();
  CHECK(cluster.tick_all(200));
  REQUIRE(cluster.leader() != 0);
  CHECK(cluster[cluster.leader()]->commit() == cluster[1]->log().last_index());
}

// Seed 52845 of the simulation: a new leader takes everybody for alive, and its whole log was shorter than
// what a learner may be behind.
TEST_CASE("a learner that has acknowledged nothing to this leader isn't promoted, however short the log") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  (void)cluster.join();
  CHECK_FALSE(change(cluster[1].core(), {add_learner(4)}));
  CHECK(cluster.tick_all(8));
  cluster[4].crash();
  cluster[1].crash();
  REQUIRE(cluster.elect(2));
  REQUIRE(cluster[2]->log().last_index().value() < cluster[2]->options().promotion_lag);
  CHECK(change(cluster[2].core(), {add_voter(4)}) == errc::learner_behind);
  cluster[4].restart();
  CHECK(cluster.tick_all(10));
  CHECK_FALSE(change(cluster[2].core(), {add_voter(4)}));
}

TEST_CASE("a leader's progress follows the configuration") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  CHECK(cluster[1]->progress_of(node_id(4)) == nullptr);
  CHECK_FALSE(change(cluster[1].core(), {add_learner(4)}));
  const progress* added = cluster[1]->progress_of(node_id(4));
  REQUIRE(added != nullptr);
  CHECK(added->state == progress_state::probe);
  CHECK(added->next == cluster[1]->commit() + 1);
  CHECK(added->match == log_index(0));
  CHECK(cluster.settle());
  const log_index match = cluster[1]->progress_of(node_id(2))->match;
  CHECK_FALSE(change(cluster[1].core(), {remove_member(4)}));
  CHECK(cluster[1]->progress_of(node_id(4)) == nullptr);
  CHECK(cluster[1]->progress_of(node_id(2))->match == match);
}

TEST_CASE("an unbound voter that joins is bound by its first acknowledgement") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  (void)cluster.join();
  CHECK_FALSE(change(cluster[1].core(), {unbound_voter(4)}));
  CHECK(cluster.tick_all(10));
  for (std::uint64_t i = 1; i <= 4; ++i)
    CHECK(cluster[i]->members().find_member(node_id(4))->incarnation == incarnation_of(4));
  CHECK_FALSE(cluster[1]->change_under_way());
}

TEST_CASE("a single node and a voter that joins unbound get over a restart in between") {
  test_cluster_of cluster(1);
  REQUIRE(cluster.elect(1));
  (void)cluster.join();
  CHECK_FALSE(change(cluster[1].core(), {unbound_voter(2)}));
  cluster[1].pump();
  cluster[1].persist();
  cluster[1].crash();
  cluster[1].restart();
  REQUIRE(voters_of(cluster[1]) == ids{1, 2});
  CHECK(cluster.tick_all(100));
  CHECK(cluster.leader() == 1);
  CHECK(cluster[2]->members().find_member(node_id(2))->incarnation == incarnation_of(2));
}

TEST_CASE("binding: waits for a commit of the leader's term, and for one directory at a time") {
  configuration members = bound_voters(3);
  members.incoming.push_back({node_id(4), {}});
  test_node node(
      1, members, [](raft_options& o) { o.first_election_by_majority = false; }, disk_of(4, {1}));
  lead(node, 2);
  REQUIRE(node->role() == role::leader);
  const log_index own = node->log().last_index();
  CHECK_FALSE(node.receive(4, 5, append_ok{own}, incarnation_id(77)));
  CHECK_FALSE(node->members().find_member(node_id(4))->incarnation);
  CHECK(node->progress_of(node_id(4))->match == own);
  // Another directory under the id: what the first one held says nothing about it.
  CHECK_FALSE(node.receive(4, 5, append_ok{log_index(1)}, incarnation_id(78)));
  CHECK(node->progress_of(node_id(4))->match == log_index(1));
  for (const std::uint64_t peer : {2u, 3u}) CHECK_FALSE(node.receive(peer, 5, append_ok{own}));
  CHECK(node->commit() == own);
  CHECK(node->members().find_member(node_id(4))->incarnation == incarnation_id(78));
  CHECK(node->log().last_index() == own + 1);
}

TEST_CASE("trap: same id with an empty disk: refused, and welcome again after remove and add") {
  test_cluster_of cluster(3);
  REQUIRE(cluster.elect(1));
  CHECK_FALSE(cluster[1]->propose(text("x")).code);
  CHECK(cluster.tick_all(5));
  const auto renewed = [](raft_options& o) { o.incarnation = incarnation_id(5); };
  cluster.replace(3, std::make_unique<test_node>(3, configuration{}, renewed));
  CHECK(cluster.tick_all(20));
  CHECK(cluster[3]->refused_by() == node_id(1));
  CHECK_FALSE(change(cluster[1].core(), {remove_member(3)}));
  CHECK(cluster.settle());
  CHECK_FALSE(
      change(cluster[1].core(), {{member_change::action::add_voter, {node_id(3), incarnation_id(5)}}}));
  CHECK(cluster.tick_all(10));
  CHECK_FALSE(cluster[1]->change_under_way());
  CHECK(cluster[3]->commit() == cluster[1]->commit());
  cluster[1].crash();
  CHECK(cluster.tick_all(100));
  CHECK(cluster.leader() > 1);
}
