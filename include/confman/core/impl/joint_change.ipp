#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "confman/core/joint_change.hpp"

namespace confman {

namespace detail {

inline std::string member_name(node_id id) {
  return "member " + std::to_string(id.value());
}

// Where `id` is in a list sorted by id, or would be.
template <class List>
auto place_of(List& list, node_id id) {
  return std::lower_bound(list.begin(), list.end(), id,
                          [](const member& m, node_id wanted) { return m.id < wanted; });
}

inline bool in_list(const std::vector<member>& list, node_id id) {
  const auto at = place_of(list, id);
  return at != list.end() && at->id == id;
}

inline void put_member(std::vector<member>& list, const member& m) {
  const auto at = place_of(list, m.id);
  if (at == list.end() || at->id != m.id) list.insert(at, m);
}

inline void drop_member(std::vector<member>& list, node_id id) {
  const auto at = place_of(list, id);
  if (at != list.end() && at->id == id) list.erase(at);
}

inline void apply_change(configuration& c, const member_change& change) {
  const node_id id = change.who.id;
  if (!id) return;
  if (change.what == member_change::action::update) {
    for (auto* list : {&c.incoming, &c.outgoing, &c.learners, &c.learners_next}) {
      const auto at = place_of(*list, id);
      if (at == list->end() || at->id != id) continue;
      at->address = change.who.address;
      if (!CONFMAN_MUTANT(priority_not_updated)) at->priority = change.who.priority;
    }
    return;
  }
  const member* known = c.find_member(id);
  const member who = known ? *known : change.who;
  for (auto* list : {&c.incoming, &c.learners, &c.learners_next}) drop_member(*list, id);
  if (change.what == member_change::action::add_voter) put_member(c.incoming, who);
  if (change.what == member_change::action::add_learner)
    put_member(in_list(c.outgoing, id) && !CONFMAN_MUTANT(demoted_at_once) ? c.learners_next : c.learners,
               who);
}

// How many ids vote on one side only.
inline std::size_t voters_that_differ(const configuration& a, const configuration& b) {
  const auto missing = [](const std::vector<member>& from, const std::vector<member>& in) {
    return static_cast<std::size_t>(
        std::count_if(from.begin(), from.end(), [&](const member& m) { return !in_list(in, m.id); }));
  };
  return missing(a.incoming, b.incoming) + missing(b.incoming, a.incoming);
}

inline failure no_voter_left() {
  return {errc::last_voter,
          "change of members: no voter would be left; add another voter before the last one goes, or in the "
          "same change"};
}

inline failure change_while_joint() {
  return {errc::bad_change,
          "change of members: another one is in its joint phase; leave that first, then ask again"};
}

// The lowest id with more than one change, or 0.
inline node_id named_twice(std::span<const member_change> changes) {
  std::vector<node_id> ids;
  for (const member_change& change : changes) ids.push_back(change.who.id);
  std::sort(ids.begin(), ids.end());
  const auto at = std::adjacent_find(ids.begin(), ids.end());
  return at == ids.end() ? node_id{} : *at;
}

// One change by itself, against the members there are.
inline failure check_change(const configuration& current, const member_change& change) {
  using action = member_change::action;
  const node_id id = change.who.id;
  if (!id) return {errc::bad_change, "change of members: 0 is no member's id; ids start at 1"};
  if (change.who.address.size() > max_address_bytes)
    return {errc::bad_change, "change of members: the address of " + member_name(id) + " has " +
                                  std::to_string(change.who.address.size()) + " bytes; " +
                                  std::to_string(max_address_bytes) + " is the most, give host:port"};
  if (change.what == action::add_voter && in_list(current.incoming, id))
    return {errc::already_a_member,
            "add voter: " + member_name(id) +
                " is a voter already; give another id, or update its address and priority"};
  if (change.what == action::add_learner && in_list(current.learners, id))
    return {errc::already_a_member,
            "add learner: " + member_name(id) +
                " is a learner already; give another id, or update its address and priority"};
  if (change.what == action::remove && !current.contains(id))
    return {errc::not_a_member, "remove: there is no " + member_name(id) + "; see the list of members"};
  if (change.what == action::update && !current.contains(id))
    return {errc::not_a_member, "update: there is no " + member_name(id) + "; add it first"};
  return {};
}

inline failure broken(int invariant, node_id id, const char* what) {
  return {errc::bad_change, "configuration: invariant " + std::to_string(invariant) +
                                " is broken: " + (id ? member_name(id) + " " : std::string()) + what};
}

// Invariant 1: order, and no id twice.
inline failure check_list(const std::vector<member>& list) {
  node_id last;
  for (const member& m : list) {
    if (!m.id) return broken(1, {}, "a member's id is 0");
    if (!(last < m.id)) return broken(1, m.id, "stands twice in one list, or the list isn't sorted by id");
    last = m.id;
  }
  return {};
}

}  // namespace detail

CONFMAN_DECL failure check_configuration(const configuration& c) {
  if (c.incoming.empty()) return detail::broken(1, {}, "there is no voter");
  for (const auto* list : {&c.incoming, &c.outgoing, &c.learners, &c.learners_next})
    if (failure bad = detail::check_list(*list)) return bad;
  if (!c.joint() && c.auto_leave) return detail::broken(2, {}, "auto_leave is set, but it isn't joint");
  for (const member& m : c.learners)
    if (c.is_voter(m.id)) return detail::broken(3, m.id, "is both a learner and a voter");
  for (const auto* list : {&c.outgoing, &c.learners_next})
    for (const member& m : *list)
      if (const member* first = c.find_member(m.id); first && *first != m)
        return detail::broken(3, m.id, "has two incarnations, addresses or priorities");
  for (const member& m : c.learners_next) {
    if (!detail::in_list(c.outgoing, m.id))
      return detail::broken(4, m.id, "waits to become a learner, but is not an outgoing voter");
    if (detail::in_list(c.incoming, m.id))
      return detail::broken(4, m.id, "waits to become a learner, but is an incoming voter");
  }
  return {};
}

CONFMAN_DECL failure check_changes(const configuration& current, std::span<const member_change> changes) {
  if (current.joint()) return detail::change_while_joint();
  if (changes.empty())
    return {errc::bad_change, "change of members: it is empty; name at least one member to change"};
  if (const node_id twice = detail::named_twice(changes))
    return {errc::bad_change,
            "change of members: " + detail::member_name(twice) +
                " is named twice; give one change for each id: what it shall be in the end"};
  for (const member_change& change : changes)
    if (failure bad = detail::check_change(current, change)) return bad;
  const configuration after = apply_changes(current, changes);
  if (after.incoming.empty()) return detail::no_voter_left();
  if (std::all_of(after.incoming.begin(), after.incoming.end(),
                  [](const member& m) { return m.priority == 0; }))
    return {errc::bad_change,
            "change of members: every voter would have priority 0, so none would ever stand for election; "
            "give " +
                detail::member_name(after.incoming.front().id) + " or another voter a higher one"};
  return {};
}

CONFMAN_DECL configuration apply_changes(configuration base, std::span<const member_change> changes) {
  for (const member_change& change : changes) detail::apply_change(base, change);
  return base;
}

CONFMAN_DECL result<configuration> enter_joint_leniently(const configuration& current,
                                                         std::span<const member_change> changes,
                                                         bool auto_leave) {
  if (current.joint()) return detail::change_while_joint();
  if (current.incoming.empty())
    return failure(errc::bad_change,
                   "change of members: a configuration without voters can't be joint; add its first voter by "
                   "itself");
  configuration next = current;
  next.outgoing = current.incoming;
  next.auto_leave = auto_leave;
  next = apply_changes(std::move(next), changes);
  if (next.incoming.empty()) return detail::no_voter_left();
  return next;
}

CONFMAN_DECL result<configuration> change_one_leniently(const configuration& current,
                                                        std::span<const member_change> changes) {
  if (current.joint()) return detail::change_while_joint();
  configuration next = apply_changes(current, changes);
  if (next.incoming.empty()) return detail::no_voter_left();
  if (const std::size_t differ = detail::voters_that_differ(current, next);
      differ > (CONFMAN_MUTANT(two_voters_at_once) ? 2u : 1u))
    return failure(errc::bad_change, "change of members: " + std::to_string(differ) +
                                         " voters would change at once, which needs a joint phase; enter a "
                                         "joint configuration, or change one voter at a time");
  return next;
}

CONFMAN_DECL result<configuration> enter_joint(const configuration& current,
                                               std::span<const member_change> changes, bool auto_leave) {
  if (failure bad = check_changes(current, changes)) return bad;
  return enter_joint_leniently(current, changes, auto_leave);
}

CONFMAN_DECL result<configuration> change_one(const configuration& current,
                                              std::span<const member_change> changes) {
  if (failure bad = check_changes(current, changes)) return bad;
  return change_one_leniently(current, changes);
}

CONFMAN_DECL result<configuration> leave_joint(const configuration& joint) {
  if (!joint.joint())
    return failure(errc::bad_change, "leave joint: the configuration isn't joint; there is nothing to leave");
  configuration next = joint;
  if (!CONFMAN_MUTANT(demoted_lost))
    for (const member& m : joint.learners_next) detail::put_member(next.learners, m);
  next.outgoing.clear();
  next.learners_next.clear();
  next.auto_leave = false;
  return next;
}

}  // namespace confman
