// The configurations of the search.
#include <type_traits>
#include <variant>

#include "confman/core/message.hpp"
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

template <class Body>
constexpr std::uint32_t kind() {
  std::uint32_t bit = 1;
  const auto find = [&]<class... Bodies>(std::variant<Bodies...>*) {
    bool found = false;
    ((found = found || std::is_same_v<Body, Bodies>, bit <<= found ? 0 : 1), ...);
  };
  find(static_cast<message_body*>(nullptr));
  return bit;
}
constexpr std::uint32_t pre_votes = kind<pre_vote_request>() | kind<pre_vote_response>();
constexpr std::uint32_t beats = kind<heartbeat>() | kind<heartbeat_response>() | kind<commit_notice>();

scope named(const char* name, const char* what) {
  scope s;
  s.name = name;
  s.what = what;
  return s;
}

// Pre-votes arrive at once, of each kind of message the newest is in flight: so less deep paths lead to the
// same protocol states, and a scope can be searched to its end.
scope narrow(const char* name, const char* what) {
  scope s = named(name, what);
  s.start = one_leads;
  s.at_once = pre_votes;
  s.newest_only = true;
  return s;
}

void add_elections_and_changes(std::vector<scope>& all) {
  const auto add = [&all](scope s, const auto& budgets) {
    budgets(s);
    all.push_back(std::move(s));
  };
  const auto everything = [](scope& s) {
    s.lost = beats;
    s.timeouts = 3, s.proposals = 2, s.crashes = 1, s.duplicates = 1, s.changes = 1;
    s.change = {{remove_voter(3)}};
    s.states = 12'000'000;
  };
  add(narrow("everything", "3 terms, 2 entries, 1 crash, 1 duplicate, 1 change"), everything);
  add(narrow("deep", "the same, but a write is durable at once"), [&everything](scope& s) {
    everything(s);
    s.stored_at_once = true;
  });
  add(narrow("deep-leaders", "three leaders, 1 entry, 1 crash; a write is durable at once"), [](scope& s) {
    s.lost = beats;
    s.stored_at_once = true;
    s.timeouts = 3, s.proposals = 1, s.crashes = 1;
  });
  add(named("plain", "from empty disks: 3 terms, 2 entries, everything in flight may still arrive"),
      [](scope& s) { s.timeouts = 3, s.proposals = 2; });
  add(named("first-start", "the first election, data directories not bound yet, a crash"), [](scope& s) {
    s.bound = false;
    s.terms = 2, s.timeouts = 2, s.proposals = 1, s.crashes = 1;
  });
  add(narrow("leaders", "three leaders one after the other, 1 entry"), [](scope& s) {
    s.lost = beats;
    s.timeouts = 4, s.proposals = 1;
  });
  add(narrow("crash", "leaders change, 1 entry, 1 crash"), [](scope& s) {
    s.lost = beats;
    s.timeouts = 2, s.proposals = 1, s.crashes = 1;
  });
  add(narrow("duplicate", "leaders change, 1 entry, 1 duplicate"), [](scope& s) {
    s.lost = beats;
    s.timeouts = 2, s.proposals = 1, s.duplicates = 1;
  });
  add(narrow("remove-leader", "leaders change while one removes itself, 1 entry, 1 crash"), [](scope& s) {
    s.lost = beats;
    s.timeouts = 2, s.proposals = 1, s.crashes = 1, s.changes = 1, s.change = {{remove_voter(1)}};
  });
  add(narrow("two-changes", "leaders change while two members are removed, 1 entry"), [](scope& s) {
    s.lost = beats;
    s.timeouts = 3, s.proposals = 1, s.changes = 2, s.change = {{remove_voter(3)}, {remove_voter(2)}};
  });
  add(narrow("replace", "a member is replaced through a joint configuration: four nodes, 1 entry"),
      [](scope& s) {
        s.lost = beats;
        s.nodes = 4, s.terms = 2;
        s.timeouts = 2, s.proposals = 1, s.changes = 1, s.change = {{add_voter(4), remove_voter(3)}};
      });
}

void add_reads_snapshots_and_writes(std::vector<scope>& all) {
  const auto add = [&all](scope s, const auto& budgets) {
    budgets(s);
    all.push_back(std::move(s));
  };
  add(narrow("reads", "2 reads at any node while leaders change, 1 entry"),
      [](scope& s) { s.terms = 2, s.timeouts = 2, s.proposals = 1, s.reads = 2; });
  add(narrow("snapshots", "a node without log needs a snapshot, 1 entry, 1 crash"), [](scope& s) {
    s.lost = beats;
    s.start = "t1 *12 !";
    s.terms = 2, s.timeouts = 2, s.beats = 1, s.proposals = 1, s.snapshots = 1, s.crashes = 1;
  });
  add(narrow("conflict", "a node gets a snapshot in place of a suffix that was never committed"),
      [](scope& s) {
        s.lost = beats;
        s.start = "t3 *123 p3 ! t2 t1 *12 !";
        s.timeouts = 2, s.beats = 1, s.snapshots = 1, s.crashes = 1;
      });
  add(narrow("snapshot-change", "snapshots while a member is removed, 1 entry"), [](scope& s) {
    s.lost = beats;
    s.terms = 2, s.timeouts = 2, s.beats = 1, s.proposals = 1, s.snapshots = 1, s.changes = 1;
    s.change = {{remove_voter(3)}};
  });
  add(narrow("pipelined", "two writes on their way to each disk, 2 entries, 1 crash"), [](scope& s) {
    s.lost = beats;
    s.writes = 2;
    s.terms = 2, s.timeouts = 2, s.proposals = 2, s.crashes = 1;
  });
  add(named("late-answers", "an acknowledgement of a deposed leader's entries is still in flight"),
      [](scope& s) {
        s.start = "t1 *123 p1 p1 >12 w2 w2 c1.0 t3 *13 t3 t3";
        s.at_once = pre_votes, s.lost = beats, s.keep_ignored = true;
        s.timeouts = 2, s.proposals = 1;
      });
}

std::vector<scope> make_scopes() {
  std::vector<scope> all;
  add_elections_and_changes(all);
  add_reads_snapshots_and_writes(all);
  return all;
}

scope broken_rule(const char* name, broken rule, const char* expected) {
  scope s = named(name, "");
  s.rule = rule;
  s.expected = expected;
  s.at_once = pre_votes;
  s.states = 5'000'000;
  return s;
}

void add_broken_rules(std::vector<scope>& all) {
  {
    scope s = broken_rule("a write counts before it is stored", broken::store_claims, "durable first");
    s.timeouts = 1;
    all.push_back(s);
  }
  {
    scope s = broken_rule("a restart forgets the vote", broken::vote_forgotten, "one vote");
    s.terms = 1, s.timeouts = 2, s.crashes = 1;
    all.push_back(s);
  }
  {
    scope s = broken_rule("a refusal counts as a grant", broken::refusal_grants, "one leader");
    s.terms = 1, s.timeouts = 2;
    all.push_back(s);
  }
  {
    scope s = broken_rule("a crash takes a stored entry", broken::store_loses, "leader completeness");
    s.start = "t1 *12 !";
    s.terms = 2, s.timeouts = 2, s.crashes = 1;
    all.push_back(s);
  }
  {
    scope s = broken_rule("an acknowledgement of an old term counts", broken::old_append_ok, "commit");
    s.start = "t1 *123 p1 p1 >12 w2 w2 c1.0 t3 *13 t3 t3";
    s.timeouts = 1, s.lost = beats;
    all.push_back(s);
  }
  {
    scope s = broken_rule("a heartbeat's answer is made up", broken::echoed_beat, "read");
    s.start = one_leads;
    s.terms = 2, s.timeouts = 2, s.reads = 1;
    all.push_back(s);
  }
  {
    scope s = broken_rule("a write is acknowledged twice", broken::stored_twice, "assertion");
    s.timeouts = 1;
    all.push_back(s);
  }
}

void add_broken_messages_and_searches(std::vector<scope>& all) {
  {
    scope s = broken_rule("an entry is tampered with", broken::entry_tampered, "log matching");
    s.start = one_leads;
    s.proposals = 1;
    all.push_back(s);
    s.name = "an entry is tampered with, and committed";
    s.expected = "committed is immutable";
    s.beats = 1;
    all.push_back(s);
  }
  {
    scope s = broken_rule("a change is tampered with", broken::members_jump, "majorities that don't meet");
    s.start = one_leads;
    s.changes = 1, s.change = {{remove_voter(2)}};
    all.push_back(s);
  }
  {
    scope s =
        broken_rule("a node behaves by what its hash doesn't show", broken::hidden_state, "hidden state");
    s.timeouts = 1, s.proposals = 1;
    all.push_back(s);
  }
  {
    scope s =
        broken_rule("a message that matters is dropped as ignored", broken::alive_is_dead, "not ignored");
    s.start = one_leads;
    s.timeouts = 2, s.proposals = 1;
    all.push_back(s);
  }
}

std::vector<scope> make_broken() {
  std::vector<scope> all;
  add_broken_rules(all);
  add_broken_messages_and_searches(all);
  return all;
}

}  // namespace

const std::vector<scope>& all_scopes() {
  static const std::vector<scope> all = make_scopes();
  return all;
}

const std::vector<scope>& broken_scopes() {
  static const std::vector<scope> all = make_broken();
  return all;
}

}  // namespace confman::exhaustive
