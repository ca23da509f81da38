// Changes of members, tried from every configuration of up to five ids.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "confman/core/joint_change.hpp"
#include "confman/core/quorum.hpp"
#include "lib/effort.hpp"

using namespace confman;

namespace {

using action = member_change::action;

enum class role { absent, voter, learner };

constexpr std::size_t most_ids = 5;
using roles = std::array<role, most_ids>;                   // of ids 1 to 5
using asked = std::array<std::optional<action>, most_ids>;  // at most one change for each id
constexpr unsigned all_roles = 243, all_asked = 3125;       // 3^5, 5^5
constexpr unsigned masks = 1u << most_ids;

// What a member has while it is one, and what a change brings.
member present(std::size_t i) {
  return {node_id(i + 1), incarnation_id(100 + i), "old", static_cast<std::uint8_t>(10 + i)};
}

member given(std::size_t i) {
  return {node_id(i + 1), incarnation_id(200 + i), "new", static_cast<std::uint8_t>(20 + i)};
}

member updated(std::size_t i) {
  return {node_id(i + 1), incarnation_id(100 + i), "new", static_cast<std::uint8_t>(20 + i)};
}

roles roles_from(unsigned code) {
  roles r{};
  for (role& one : r) one = static_cast<role>(code % 3), code /= 3;
  return r;
}

asked asked_from(unsigned code) {
  asked a;
  for (auto& one : a) {
    if (code % 5 > 0) one = static_cast<action>(code % 5 - 1);
    code /= 5;
  }
  return a;
}

unsigned voters_of(const roles& r) {
  unsigned mask = 0;
  for (std::size_t i = 0; i < most_ids; ++i) mask |= r[i] == role::voter ? 1u << i : 0u;
  return mask;
}

configuration configuration_of(const roles& r) {
  configuration c;
  for (std::size_t i = 0; i < most_ids; ++i) {
    if (r[i] == role::voter) c.incoming.push_back(present(i));
    if (r[i] == role::learner) c.learners.push_back(present(i));
  }
  return c;
}

std::vector<member_change> changes_of(const asked& a) {
  std::vector<member_change> changes;
  for (std::size_t i = 0; i < most_ids; ++i)
    if (a[i]) changes.push_back({*a[i], given(i)});
  return changes;
}

roles after(roles r, const asked& a) {
  for (std::size_t i = 0; i < most_ids; ++i) {
    if (a[i] == action::add_voter) r[i] = role::voter;
    if (a[i] == action::add_learner) r[i] = role::learner;
    if (a[i] == action::remove) r[i] = role::absent;
  }
  return r;
}

// Every error that applies.
std::set<errc> errors_of(const roles& r, const asked& a) {
  std::set<errc> errors;
  for (std::size_t i = 0; i < most_ids; ++i) {
    if ((a[i] == action::add_voter && r[i] == role::voter) ||
        (a[i] == action::add_learner && r[i] == role::learner))
      errors.insert(errc::already_a_member);
    if ((a[i] == action::remove || a[i] == action::update) && r[i] == role::absent)
      errors.insert(errc::not_a_member);
  }
  if (std::none_of(a.begin(), a.end(), [](const auto& one) { return one.has_value(); }))
    errors.insert(errc::bad_change);
  if (voters_of(after(r, a)) == 0) errors.insert(errc::last_voter);
  return errors;
}

member member_after(std::size_t i, const roles& before, const asked& a) {
  if (before[i] == role::absent) return given(i);
  return a[i] == action::update ? updated(i) : present(i);
}

configuration plain_after(const roles& before, const asked& a) {
  const roles then = after(before, a);
  configuration c;
  for (std::size_t i = 0; i < most_ids; ++i) {
    if (then[i] == role::voter) c.incoming.push_back(member_after(i, before, a));
    if (then[i] == role::learner) c.learners.push_back(member_after(i, before, a));
  }
  return c;
}

configuration joint_after(const roles& before, const asked& a, bool auto_leave) {
  const roles then = after(before, a);
  configuration c;
  c.auto_leave = auto_leave;
  for (std::size_t i = 0; i < most_ids; ++i) {
    const member m = member_after(i, before, a);
    if (before[i] == role::voter) c.outgoing.push_back(m);
    if (then[i] == role::voter) c.incoming.push_back(m);
    if (then[i] == role::learner) (before[i] == role::voter ? c.learners_next : c.learners).push_back(m);
  }
  return c;
}

template <class Visit>
void for_each_change(Visit&& visit) {
  std::vector<asked> every;
  for (unsigned code = 0; code < all_asked; ++code) every.push_back(asked_from(code));
  for (unsigned code = 0; code < all_roles; code += confman_test::every_nth) {
    const roles before = roles_from(code);
    if (voters_of(before) == 0) continue;
    for (const asked& a : every) visit(before, a);
  }
}

bool decides(const configuration& c, unsigned who) {
  const auto answer = [who](const member& m) { return std::optional((who >> (m.id.value() - 1) & 1u) != 0); };
  return count_votes(c, answer) == vote_result::won;
}

bool quorums_meet(const configuration& a, const configuration& b) {
  for (unsigned one = 0; one < masks; ++one) {
    if (!decides(a, one)) continue;
    for (unsigned other = 0; other < masks; ++other)
      if ((one & other) == 0 && decides(b, other)) return false;
  }
  return true;
}

// Quorums depend on the voters alone, so that each pair of voter sets is looked at once.
class pairs_seen {
 public:
  bool first(unsigned a, unsigned b) {
    bool& seen = seen_[a][b];
    return !std::exchange(seen, true);
  }

 private:
  std::array<std::array<bool, masks>, masks> seen_{};
};

}  // namespace

TEST_CASE("exhaustive: entering and leaving joint gives what was asked, or the error that applies") {
  std::size_t wrong = 0, entered = 0, refused = 0;
  for_each_change([&](const roles& before, const asked& a) {
    const configuration current = configuration_of(before);
    const bool auto_leave = (voters_of(before) & 1u) != 0;
    const auto joint = enter_joint(current, changes_of(a), auto_leave);
    const std::set<errc> errors = errors_of(before, a);
    if (!joint) {
      ++refused;
      wrong += errors.count(static_cast<errc>(joint.error().code.value())) == 1 ? 0u : 1u;
      return;
    }
    ++entered;
    const auto left = leave_joint(*joint);
    const bool good = errors.empty() && *joint == joint_after(before, a, auto_leave) && left &&
                      *left == plain_after(before, a);
    wrong += good ? 0u : 1u;
  });
  CHECK(wrong == 0);
  CHECK(entered > confman_test::effort(100'000u));
  CHECK(refused > confman_test::effort(100'000u));
}

TEST_CASE("exhaustive: the invariants hold before and after, and quorums meet across each step") {
  std::size_t broken = 0, apart = 0;
  pairs_seen seen;
  for_each_change([&](const roles& before, const asked& a) {
    const configuration current = configuration_of(before);
    const auto joint = enter_joint_leniently(current, changes_of(a), true);
    if (!joint) return;
    const auto left = leave_joint(*joint);
    broken +=
        check_configuration(current) || check_configuration(*joint) || !left || check_configuration(*left)
            ? 1u
            : 0u;
    if (!left || !seen.first(voters_of(before), voters_of(after(before, a)))) return;
    apart += quorums_meet(current, *joint) && quorums_meet(*joint, *joint) && quorums_meet(*joint, *left)
                 ? 0u
                 : 1u;
  });
  CHECK(broken == 0);
  CHECK(apart == 0);
}

TEST_CASE("exhaustive: without a joint phase one voter may change, and then quorums meet") {
  std::size_t wrong = 0, apart = 0, changed = 0;
  pairs_seen seen;
  for_each_change([&](const roles& before, const asked& a) {
    const configuration current = configuration_of(before);
    const unsigned old_voters = voters_of(before), new_voters = voters_of(after(before, a));
    std::set<errc> errors = errors_of(before, a);
    if (std::popcount(old_voters ^ new_voters) > 1) errors.insert(errc::bad_change);
    const auto next = change_one(current, changes_of(a));
    if (!next) {
      wrong += errors.count(static_cast<errc>(next.error().code.value())) == 1 ? 0u : 1u;
      return;
    }
    ++changed;
    wrong += errors.empty() && *next == plain_after(before, a) && !check_configuration(*next) ? 0u : 1u;
    if (seen.first(old_voters, new_voters)) apart += quorums_meet(current, *next) ? 0u : 1u;
  });
  CHECK(wrong == 0);
  CHECK(apart == 0);
  CHECK(changed > confman_test::effort(10'000u));
}

TEST_CASE("a joint phase is needed: two voters that change at once can split the cluster") {
  configuration from, to;
  for (std::size_t i = 0; i < 3; ++i) from.incoming.push_back(present(i));
  for (std::size_t i = 2; i < 5; ++i) to.incoming.push_back(present(i));
  CHECK_FALSE(quorums_meet(from, to));  // so quorums_meet can fail
}

namespace {

// The lenient rules again, one id at a time: its role, and whether the outgoing voters keep it.
struct place {
  role now = role::absent;
  bool outgoing = false;
  bool waits = false;  // to become a learner
  bool from_change = false;
  bool changed = false;  // address and priority

  void apply(action what) {
    const bool known = now != role::absent || outgoing;
    if (what == action::update) {
      changed = changed || known;
    } else if (what == action::remove) {
      now = role::absent, waits = false;
      if (!outgoing) from_change = changed = false;
    } else {
      if (!known) from_change = true;
      now = what == action::add_voter ? role::voter : outgoing ? role::absent : role::learner;
      waits = what == action::add_learner && outgoing;
    }
  }
};

constexpr std::size_t few_ids = 3;
using places = std::array<place, few_ids>;

configuration configuration_of(const places& all) {
  configuration c;
  for (std::size_t i = 0; i < few_ids; ++i) {
    const place& p = all[i];
    const member m = p.from_change ? given(i) : p.changed ? updated(i) : present(i);
    if (p.now == role::voter) c.incoming.push_back(m);
    if (p.outgoing) c.outgoing.push_back(m);
    if (p.now == role::learner) c.learners.push_back(m);
    if (p.waits) c.learners_next.push_back(m);
  }
  return c;
}

// Every sequence of up to three changes of three ids and of id 0, with all repetitions.
template <class Visit>
void for_each_sequence(Visit&& visit) {
  constexpr unsigned single = 4 * (few_ids + 1), none = single;
  for (unsigned code = 0; code < (single + 1) * (single + 1) * (single + 1); ++code) {
    std::vector<std::pair<action, std::size_t>> sequence;  // the place of id 0 is few_ids
    for (unsigned rest = code, i = 0; i < 3; ++i, rest /= single + 1)
      if (const unsigned one = rest % (single + 1); one != none)
        sequence.emplace_back(static_cast<action>(one % 4), one / 4);
    visit(sequence);
  }
}

}  // namespace

TEST_CASE("exhaustive: the lenient rules take any sequence, with repetitions, joint or not") {
  std::size_t wrong = 0, cases = 0;
  for_each_sequence([&](const auto& sequence) {
    std::vector<member_change> changes;
    for (const auto& [what, i] : sequence) {
      changes.push_back({what, given(i)});
      if (i == few_ids) changes.back().who.id = node_id(0);
    }
    for (unsigned code = 0; code < 54; ++code) {  // the roles of three ids, and whether it is joint
      const bool joint = code >= 27;
      places all;
      for (unsigned rest = code % 27, i = 0; i < few_ids; ++i, rest /= 3) {
        all[i].now = static_cast<role>(rest % 3);
        all[i].outgoing = joint && all[i].now == role::voter;
      }
      const configuration base = configuration_of(all);
      for (const auto& [what, i] : sequence)
        if (i < few_ids) all[i].apply(what);
      const configuration found = apply_changes(base, changes);
      const configuration expected = configuration_of(all);
      wrong += found == expected ? 0u : 1u;
      wrong += !found.incoming.empty() && check_configuration(found) ? 1u : 0u;
      ++cases;
    }
  });
  CHECK(wrong == 0);
  CHECK(cases == 17 * 17 * 17 * 54);
}

TEST_CASE("a joint configuration can be left and nothing else; a plain one can't be left") {
  std::size_t wrong = 0;
  const std::vector<member_change> grow = {{action::add_learner, {node_id(9), {}}}};
  for (unsigned code = 0; code < all_roles; code += confman_test::every_nth) {
    const configuration plain = configuration_of(roles_from(code));
    if (plain.incoming.empty()) continue;
    const auto bad = [&](const result<configuration>& r) { return !r && r.error().code == errc::bad_change; };
    wrong += bad(leave_joint(plain)) ? 0u : 1u;
    const auto joint = enter_joint_leniently(plain, {}, true);
    wrong += joint && joint->joint() && joint->auto_leave ? 0u : 1u;
    if (!joint) continue;
    wrong +=
        bad(enter_joint(*joint, grow, true)) && bad(enter_joint_leniently(*joint, grow, false)) ? 0u : 1u;
    wrong += bad(change_one(*joint, grow)) && bad(change_one_leniently(*joint, grow)) ? 0u : 1u;
    const auto left = leave_joint(*joint);
    wrong += left && *left == plain ? 0u : 1u;
  }
  CHECK(wrong == 0);
}

TEST_CASE("remove and add again under one id: nothing is kept, not even the incarnation") {
  roles r{};
  r[0] = r[1] = role::voter;
  const std::vector<member_change> removal = {{action::remove, {node_id(2), {}}}};
  const std::vector<member_change> addition = {{action::add_voter, {node_id(2), {}, "host-9:7402", 7}}};
  const auto without = change_one(configuration_of(r), removal);
  REQUIRE(without);
  CHECK_FALSE(without->contains(node_id(2)));
  const auto again = change_one(*without, addition);
  REQUIRE(again);
  CHECK(*again->find_member(node_id(2)) == addition.front().who);  // unbound: incarnation 0
}

TEST_CASE("promotion and demotion keep what a member is; only an update changes its address and priority") {
  roles r{};
  r[0] = role::voter, r[1] = role::learner;
  const auto promoted =
      change_one(configuration_of(r), std::vector<member_change>{{action::add_voter, given(1)}});
  REQUIRE(promoted);
  CHECK(promoted->incoming == std::vector{present(0), present(1)});
  const auto demoted = change_one(*promoted, std::vector<member_change>{{action::add_learner, given(0)}});
  REQUIRE(demoted);
  CHECK(demoted->learners == std::vector{present(0)});
  const auto moved = change_one(*demoted, std::vector<member_change>{{action::update, given(0)}});
  REQUIRE(moved);
  CHECK(moved->learners == std::vector{updated(0)});
}

TEST_CASE("what makes no sense is refused with a text that names the member and says what to do") {
  roles r{};
  r[0] = role::voter, r[1] = role::learner;
  const configuration current = configuration_of(r);
  member long_address{node_id(7), {}};
  long_address.address.assign(max_address_bytes + 1, 'a');
  const member idle{node_id(1), {}, "old", 0};
  const member one{node_id(1), {}}, two{node_id(2), {}}, five{node_id(5), {}};
  struct refused {
    std::vector<member_change> changes;
    errc code;
    std::vector<std::string> says;
  };
  const std::vector<refused> table = {
      {{{action::add_voter, one}}, errc::already_a_member, {"member 1", "voter", "another id"}},
      {{{action::add_learner, two}}, errc::already_a_member, {"member 2", "learner", "another id"}},
      {{{action::remove, five}}, errc::not_a_member, {"member 5", "list of members"}},
      {{{action::update, five}}, errc::not_a_member, {"member 5", "add it first"}},
      {{{action::remove, one}}, errc::last_voter, {"no voter", "add another voter"}},
      {{{action::add_learner, one}}, errc::last_voter, {"no voter", "add another voter"}},
      {{}, errc::bad_change, {"empty", "name at least one"}},
      {{{action::add_voter, {}}}, errc::bad_change, {"0", "start at 1"}},
      {{{action::add_voter, five}, {action::remove, five}}, errc::bad_change, {"member 5", "twice"}},
      {{{action::add_voter, long_address}}, errc::bad_change, {"member 7", "513", "512"}},
      {{{action::update, idle}}, errc::bad_change, {"priority 0", "member 1"}},
  };
  for (const refused& row : table) {
    const auto joint = enter_joint(current, row.changes, true);
    const auto plain = change_one(current, row.changes);
    REQUIRE_FALSE(joint);
    REQUIRE_FALSE(plain);
    CHECK(joint.error().code == row.code);
    CHECK(plain.error().code == row.code);
    for (const std::string& part : row.says) {
      CAPTURE(joint.error().what);
      CHECK(joint.error().what.find(part) != std::string::npos);
      CHECK(plain.error().what == joint.error().what);
    }
  }
  const auto two_at_once =
      change_one(current, std::vector<member_change>{{action::add_voter, two}, {action::add_voter, five}});
  REQUIRE_FALSE(two_at_once);
  CHECK(two_at_once.error().what.find("2 voters") != std::string::npos);
  CHECK(two_at_once.error().what.find("joint") != std::string::npos);
}

TEST_CASE("a configuration without voters gets its first one by a lenient change; it is never joint") {
  const std::vector<member_change> first = {{action::add_voter, {node_id(1), {}}},
                                            {action::add_learner, {node_id(2), {}}}};
  const auto next = change_one_leniently({}, first);
  REQUIRE(next);
  CHECK(next->incoming.size() == 1);
  CHECK(next->learners.size() == 1);
  const auto joint = enter_joint_leniently({}, first, true);
  REQUIRE_FALSE(joint);
  CHECK(joint.error().code == errc::bad_change);
}
