// Who is a member. A value type; the rules for changing it are pure functions (joint_change, later).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "confman/core/ids.hpp"

namespace confman {

// Bytes of a member's address at most, in the log and in messages.
inline constexpr std::size_t max_address_bytes = 512;

struct member {
  node_id id;
  // Which data directory speaks for this id. 0 until a leader has bound it: then messages of any other
  // incarnation are refused, so a wiped disk under an old id is not trusted to remember votes or entries.
  incarnation_id incarnation;
  // Where its peers reach it; opaque to the core. Empty: as the transport was told when it was made.
  std::string address{};
  // Who should lead: among the voters that have caught up, the one with the highest. 0: stands for election
  // only when nobody else has for two election timeouts.
  std::uint8_t priority = 1;

  friend bool operator==(const member&, const member&) = default;
};

// Invariants:
//   1. `incoming` is not empty once a cluster runs; each list is sorted by id, without duplicates.
//   2. `outgoing` is empty unless the configuration is joint (thesis, 4.3): then a majority of both decides.
//      `auto_leave` is false unless joint.
//   3. a learner is in neither voter list; an id has one incarnation, address and priority wherever it
//   appears.
//   4. `learners_next` holds only ids in `outgoing`, and is empty unless joint: voters that become learners
//   when
//      the joint configuration is left. None of them is in `incoming`.
// check_configuration (joint_change.hpp) checks them.
struct configuration {
  std::vector<member> incoming;
  std::vector<member> outgoing;
  std::vector<member> learners;
  std::vector<member> learners_next;
  bool auto_leave = false;  // joint: the leader proposes the way out as soon as this one is committed

  [[nodiscard]] bool joint() const noexcept { return !outgoing.empty(); }
  [[nodiscard]] bool is_voter(node_id id) const noexcept { return find(incoming, id) || find(outgoing, id); }
  [[nodiscard]] bool contains(node_id id) const noexcept { return find_member(id) != nullptr; }
  [[nodiscard]] const member* find_member(node_id id) const noexcept {
    if (const member* m = find(incoming, id)) return m;
    if (const member* m = find(outgoing, id)) return m;
    return find(learners, id);
  }

  // Every member once, sorted by id.
  [[nodiscard]] std::vector<node_id> ids() const {
    std::vector<node_id> all;
    for (const auto* list : {&incoming, &outgoing, &learners})
      for (const member& m : *list) all.push_back(m.id);
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
  }

  // The member of one of these lists, or null.
  [[nodiscard]] static const member* find(const std::vector<member>& list, node_id id) noexcept {
    const auto it = std::find_if(list.begin(), list.end(), [id](const member& m) { return m.id == id; });
    return it == list.end() ? nullptr : &*it;
  }

  friend bool operator==(const configuration&, const configuration&) = default;
};

}  // namespace confman
