// How a node that is no member becomes one: it asks a member it knows, again and again, until the log says
// that it is.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "confman/core/joint_change.hpp"
#include "confman/core/raft_core.hpp"
#include "confman/error.hpp"
#include "confman/mutants.hpp"
#include "confman/runtime/operation.hpp"
#include "confman/transport/address.hpp"

namespace confman {

struct join_plan {
  std::vector<node_id> contacts;  // members, or some of them; empty: this node doesn't ask
  join_request request;
};

// The newcomer's side.
class joining {
 public:
  joining(join_plan plan, const raft_core& core)
      : plan_(std::move(plan)),
        pace_(std::max<tick_count>(core.options().election_ticks, 1)),
        began_empty_(!core.log().last_index()) {}

  // Whom to ask now, if there is a reason and it is time; 0: nobody. Call it at every tick.
  [[nodiscard]] node_id ask(tick_count now, const raft_core& core) {
    if (plan_.contacts.empty() || !has_reason(core) || now < next_) return node_id{};
    next_ = now + pace_;
    if (leader_) return std::exchange(leader_, node_id{});
    return plan_.contacts[turn_++ % plan_.contacts.size()];
  }
  [[nodiscard]] const join_request& request() const noexcept { return plan_.request; }

  // A member's answer. A failure: it refuses, for a reason that asking again won't change; told once.
  [[nodiscard]] failure answered(node_id from, node_id self, const join_response& answer) {
    leader_ = answer.status == join_status::accepted ? from : answer.leader;
    if (leader_ == self) leader_ = node_id{};
    if (answer.status != join_status::refused) return {};
    const std::error_code code = make_error_code(static_cast<errc>(answer.code));
    if (std::exchange(refused_, code) == code) return {};
    return {code, "node " + std::to_string(from.value()) +
                      " refuses to take this node into the cluster: " + code.message()};
  }

 private:
  // Who was a member and is none any more was removed: it doesn't ask to be one again. That an entry of the
  // log names us means nothing until it is committed: another leader may not have it.
  [[nodiscard]] bool has_reason(const raft_core& core) {
    const node_id self = core.options().self;
    const bool settled = !core.change_under_way();
    const bool is_member = core.members().contains(self);
    if (is_member && settled) was_member_ = true;
    if (is_member) return !core.members().is_voter(self) && !(plan_.request.as_learner && settled);
    return began_empty_ && (!was_member_ || CONFMAN_MUTANT(removed_joins_again));
  }

  join_plan plan_;
  tick_count pace_;
  bool began_empty_;
  bool was_member_ = false;
  tick_count next_ = 0;
  std::size_t turn_ = 0;
  node_id leader_;  // said to lead; asked once, then another contact is tried
  std::error_code refused_;
};

// The leader's side: answers a request to join by what the members are now, and proposes the next step on the
// way: a learner first, a voter when it has caught up. Nothing is remembered: the newcomer asks again.
[[nodiscard]] inline join_response answer_join(raft_core& core, node_id from, incarnation_id incarnation,
                                               const join_request& request) {
  join_response answer;
  answer.leader = core.leader();
  if (core.role() != role::leader) {
    answer.status = join_status::not_leader;
    if (const member* leader = core.members().find_member(core.leader()))
      answer.leader_address = leader->address;
    return answer;
  }
  answer.status = join_status::accepted;
  const member* known = core.members().find_member(from);
  const auto refuse = [&answer](std::error_code code) {
    answer.status = join_status::refused;
    answer.code = static_cast<std::uint16_t>(code.value());
  };
  if (known && known->incarnation && known->incarnation != incarnation) {
    refuse(errc::already_a_member);
    return answer;
  }
  if (known && (request.as_learner || core.members().is_voter(from))) return answer;
  if (!known && !request.address.empty() && check_member_address(from.value(), request.address)) {
    refuse(errc::bad_address);
    return answer;
  }
  member_change change;
  change.what = known ? member_change::action::add_voter : member_change::action::add_learner;
  change.who = known ? *known : member{from, incarnation, request.address, request.priority};
  const failure error = core.propose_change({&change, 1}).error;
  // What ends by waiting is no refusal: the newcomer asks again.
  if (error && error.code != errc::change_in_flight && error.code != errc::learner_behind &&
      error.code != errc::busy && error.code != errc::not_leader)
    refuse(error.code);
  return answer;
}

}  // namespace confman
