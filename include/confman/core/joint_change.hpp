// How the members may change. Pure functions: they take a configuration and return the next one, or say why
// there is none. Two ways lead from one configuration to another (thesis, chapter 4):
//   - change_one: at most one voter differs, so every majority of the old voters meets every majority of the
//     new ones (4.1);
//   - enter_joint, then leave_joint: any change; in between both majorities decide (4.3).
// enter_joint and change_one are strict about what was asked, since a change that does nothing is a mistake
// of whoever asked for it. The lenient forms below them carry out the same changes with the same safety, but
// take a repetition as done already.
#pragma once

#include <cstdint>
#include <span>

#include "confman/core/configuration.hpp"
#include "confman/error.hpp"
#include "confman/mutants.hpp"

namespace confman {

struct member_change {
  enum class action : std::uint8_t {
    add_voter,    // a new member, or a learner that is promoted
    add_learner,  // a new member, or a voter that is demoted
    remove,
    update,  // address and priority of a member, as `who` has them; its role and incarnation stay
  };

  action what = action::add_voter;
  // A new member becomes what stands here (incarnation 0: not bound to a data directory yet), whatever the
  // same id was before it was removed. Promotion and demotion use the id alone: the member keeps the rest.
  member who;

  friend bool operator==(const member_change&, const member_change&) = default;
};

// The joint configuration through which `changes` come into force: incoming is what was asked for, outgoing
// are the voters of `current`. A voter that becomes a learner waits in learners_next until it is left.
// Errors, each with a text that names the id and says what to do:
//   bad_change        current is joint already; no change, an id twice, id 0, an address of over
//                     max_address_bytes; every voter would have priority 0
//   already_a_member  to be added as a voter, and is a voter; as a learner, and is a learner
//   not_a_member      to be removed or updated, and is none
//   last_voter        no voter would be left
[[nodiscard]] CONFMAN_DECL result<configuration> enter_joint(const configuration& current,
                                                             std::span<const member_change> changes,
                                                             bool auto_leave);

// What is in force after the joint phase: the incoming voters decide alone, and those who wait to become
// learners are. bad_change if `joint` isn't joint.
[[nodiscard]] CONFMAN_DECL result<configuration> leave_joint(const configuration& joint);

// The configuration after `changes`, without a joint phase. Errors: as enter_joint, and bad_change if more
// than one voter would change.
[[nodiscard]] CONFMAN_DECL result<configuration> change_one(const configuration& current,
                                                            std::span<const member_change> changes);

// The invariants of configuration.hpp; bad_change with the number of the first that is broken, and the id.
[[nodiscard]] CONFMAN_DECL failure check_configuration(const configuration& c);

// What makes enter_joint and change_one strict: the errors above, judged against what `current` becomes.
[[nodiscard]] CONFMAN_DECL failure check_changes(const configuration& current,
                                                 std::span<const member_change> changes);

// Carries out the changes in order on the incoming voters and the learners; never refuses. Adding what is
// there, removing or updating what isn't, and id 0 do nothing. A voter of `base.outgoing` remains a voter
// until the joint phase is left: demoted, it goes to learners_next. May leave no voter.
[[nodiscard]] CONFMAN_DECL configuration apply_changes(configuration base,
                                                       std::span<const member_change> changes);

// enter_joint without check_changes. Errors: bad_change if current is joint or has no voter, last_voter.
[[nodiscard]] CONFMAN_DECL result<configuration> enter_joint_leniently(const configuration& current,
                                                                       std::span<const member_change> changes,
                                                                       bool auto_leave);

// change_one without check_changes; current may be without voters, as before a cluster's first member is
// added. Errors: bad_change if current is joint or more than one voter would change, last_voter.
[[nodiscard]] CONFMAN_DECL result<configuration> change_one_leniently(const configuration& current,
                                                                      std::span<const member_change> changes);

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/core/impl/joint_change.ipp"
#endif
