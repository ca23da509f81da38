// The configurations of the search.
#include "exhaustive/scope.hpp"

namespace confman::exhaustive {

namespace {

constexpr const char* one_leads = "t1 *123";  // node 1 is elected by all, its first entry is committed

member_change remove_voter(std::uint64_t id) {
  return {member_change::action::remove, {node_id(id), {}}};
}
member_change add_voter(std::uint64_t id) {
  return {member_change::action::add_voter, {node_id(id), incarnation_id(1000 + id)}};
}

scope named(const char* name, const char* what) {
  scope s;
  s.name = name;
  s.what = what;
  return s;
}

std::vector<scope> make_scopes() {
  std::vector<scope> all;
  {
    scope s = named("plain", "from empty disks: 3 election timeouts, 2 entries");
    s.timeouts = 3, s.proposals = 2;
    all.push_back(s);
  }
  {
    scope s = named("first-start", "the first election, data directories not bound yet; a crash");
    s.bound = false;
    s.terms = 2, s.timeouts = 2, s.proposals = 1, s.crashes = 1;
    all.push_back(s);
  }
  {
    scope s = named("everything", "2 entries, 1 crash, 1 duplicate, 1 change, at most 3 messages in flight");
    s.start = one_leads;
    s.timeouts = 2, s.beats = 1, s.proposals = 2, s.crashes = 1, s.duplicates = 1, s.changes = 1;
    s.change = {remove_voter(3)};
    s.in_flight = 3;
    all.push_back(s);
  }
  {
    scope s = named("crash", "a leader, then two elections, a crash, a duplicate");
    s.start = one_leads;
    s.timeouts = 2, s.proposals = 1, s.crashes = 1, s.duplicates = 1;
    all.push_back(s);
  }
  {
    scope s = named("change", "the leader removes a member, itself or another, and crashes may come");
    s.start = one_leads;
    s.timeouts = 2, s.changes = 1, s.crashes = 1, s.change = {remove_voter(1)};
    all.push_back(s);
  }
  {
    scope s = named("reads", "reads at any node while leaders change");
    s.start = one_leads;
    s.timeouts = 1, s.beats = 1, s.proposals = 1, s.reads = 1;
    all.push_back(s);
  }
  {
    scope s = named("snapshots", "a follower that needs a snapshot, crashes while it comes");
    s.start = one_leads;
    s.timeouts = 1, s.beats = 1, s.proposals = 1, s.snapshots = 1, s.crashes = 1;
    all.push_back(s);
  }
  {
    scope s = named("replace", "a member is replaced through a joint configuration, four nodes");
    s.start = one_leads;
    s.nodes = 4, s.terms = 2;
    s.timeouts = 1, s.beats = 1, s.changes = 1, s.crashes = 1;
    s.change = {add_voter(4), remove_voter(3)};
    all.push_back(s);
  }
  return all;
}

}  // namespace

const std::vector<scope>& all_scopes() {
  static const std::vector<scope> all = make_scopes();
  return all;
}

const std::vector<scope>& broken_scopes() {
  static const std::vector<scope> all;
  return all;
}

}  // namespace confman::exhaustive
