// The answers to one campaign.
#pragma once

#include <algorithm>
#include <map>
#include <optional>

#include "confman/core/quorum.hpp"

namespace confman {

class votes {
 public:
  struct answer {
    bool granted = false;
    incarnation_id incarnation;  // of the data directory that gave it
  };

  // The first answer of a node stands: a duplicate, or a second data directory under its id, changes nothing.
  void record(node_id from, incarnation_id incarnation, bool granted) {
    answers_.emplace(from, answer{granted, incarnation});
  }

  [[nodiscard]] const answer* of(node_id id) const noexcept {
    const auto it = answers_.find(id);
    return it == answers_.end() ? nullptr : &it->second;
  }

  // What the answers amount to. A grant for an id that isn't bound to a data directory yet may come from one
  // that was wiped and has forgotten what it promised. It counts only when every voter grants, so that
  // whoever holds a committed entry is asked, or when `trusting` (docs/adr/0002).
  [[nodiscard]] vote_result count(const configuration& members, bool trusting) const {
    if (unanimous(members)) return vote_result::won;
    const bool refused = std::any_of(answers_.begin(), answers_.end(), [&](const auto& a) {
      return members.is_voter(a.first) && !a.second.granted;
    });
    return count_votes(members, [&](const member& m) -> std::optional<bool> {
      const answer* a = of(m.id);
      if (!a) return std::nullopt;
      if (!a->granted) return false;
      if (CONFMAN_MUTANT(no_incarnation) || (!m.incarnation && CONFMAN_MUTANT(unbound_votes))) return true;
      if (m.incarnation) return m.incarnation == a->incarnation;
      return trusting ? std::optional<bool>(true) : refused ? std::optional<bool>(false) : std::nullopt;
    });
  }

  // Every voter granted, each by the data directory it is bound to, if it is bound.
  [[nodiscard]] bool unanimous(const configuration& members) const {
    const auto granted = [this](const member& m) {
      const answer* a = of(m.id);
      return a && a->granted && (!m.incarnation || m.incarnation == a->incarnation);
    };
    return !members.incoming.empty() &&
           std::all_of(members.incoming.begin(), members.incoming.end(), granted) &&
           std::all_of(members.outgoing.begin(), members.outgoing.end(), granted);
  }

  // See state_visitor.hpp.
  template <class Visitor>
  void visit_state(Visitor& visit) const {
    visit(answers_.size());
    for (const auto& [id, given] : answers_) visit(id, given.granted, given.incarnation);
  }

 private:
  std::map<node_id, answer> answers_;
};

}  // namespace confman
