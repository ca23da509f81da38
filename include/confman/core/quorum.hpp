// Majorities, over one set of voters or two (joint consensus, thesis 4.3). Pure functions.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "confman/core/configuration.hpp"
#include "confman/mutants.hpp"

namespace confman {

[[nodiscard]] constexpr std::size_t majority(std::size_t voters) noexcept {
  if (CONFMAN_MUTANT(quorum_half)) return std::max<std::size_t>(1, voters / 2);
  return voters / 2 + 1;
}

// The largest value that a majority of `voters` has reached; `reached(member)` tells how far one has come.
// Precondition: voters is not empty.
template <class Value, class Reached>
[[nodiscard]] Value majority_reached(const std::vector<member>& voters, Reached&& reached) {
  const auto select = [&](Value* values) {
    for (std::size_t i = 0; i < voters.size(); ++i) values[i] = reached(voters[i]);
    Value* const at = values + (voters.size() - majority(voters.size()));
    std::nth_element(values, at, values + voters.size());
    return *at;
  };
  // Called for every acknowledgement: no allocation for clusters of a usual size.
  std::array<Value, 16> few{};
  if (voters.size() <= few.size()) return select(few.data());
  std::vector<Value> many(voters.size());
  return select(many.data());
}

// The same for a configuration: while it is joint both majorities must have come that far.
template <class Value, class Reached>
[[nodiscard]] Value quorum_reached(const configuration& members, Reached&& reached) {
  if (members.incoming.empty()) return Value{};
  const Value incoming = majority_reached<Value>(members.incoming, reached);
  if (!members.joint() || CONFMAN_MUTANT(joint_new_only)) return incoming;
  return std::min(incoming, majority_reached<Value>(members.outgoing, reached));
}

enum class vote_result : std::uint8_t { pending, won, lost };

// `answer(member)` is a voter's answer, or nothing yet.
template <class Answer>
[[nodiscard]] vote_result count_votes(const std::vector<member>& voters, Answer&& answer) {
  std::size_t yes = 0, no = 0;
  for (const member& m : voters)
    if (const std::optional<bool> a = answer(m)) ++(*a ? yes : no);
  const std::size_t needed = majority(voters.size());
  if (yes >= needed) return vote_result::won;
  return voters.size() - no < needed ? vote_result::lost : vote_result::pending;
}

template <class Answer>
[[nodiscard]] vote_result count_votes(const configuration& members, Answer&& answer) {
  if (members.incoming.empty()) return vote_result::lost;
  const vote_result incoming = count_votes(members.incoming, answer);
  if (!members.joint() || CONFMAN_MUTANT(joint_new_only)) return incoming;
  const vote_result outgoing = count_votes(members.outgoing, answer);
  if (incoming == vote_result::lost || outgoing == vote_result::lost) return vote_result::lost;
  return incoming == outgoing ? incoming : vote_result::pending;
}

}  // namespace confman
