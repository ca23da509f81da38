// The answers to one campaign.
#pragma once

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

  [[nodiscard]] vote_result count(const configuration& members) const {
    return count_votes(members, [this](const member& m) -> std::optional<bool> {
      const answer* a = of(m.id);
      return a ? std::optional<bool>(a->granted) : std::nullopt;
    });
  }

 private:
  std::map<node_id, answer> answers_;
};

}  // namespace confman
