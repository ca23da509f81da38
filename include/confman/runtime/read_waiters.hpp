// Reads that wait: first for a read index, if they need one, then for the state to have come that far.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "confman/runtime/operation.hpp"

namespace confman {

class read_waiters {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return asked_.size() + until_applied_.size(); }

  // Waits for an answer of the core.
  read_id ask(read_operation& operation) {
    ++last_;
    asked_.emplace_hint(asked_.end(), last_, &operation);
    return last_;
  }
  void forget(read_id id) { asked_.erase(id); }
  // The core answered; null if nobody waits any more.
  [[nodiscard]] read_operation* answered(read_id id) {
    const auto it = asked_.find(id);
    if (it == asked_.end()) return nullptr;
    read_operation* operation = it->second;
    asked_.erase(it);
    return operation;
  }

  void wait_until_applied(log_index index, read_operation& operation) {
    until_applied_.emplace(index, &operation);
  }
  [[nodiscard]] std::vector<read_operation*> applied(log_index index) {
    std::vector<read_operation*> done;
    while (!until_applied_.empty() && until_applied_.begin()->first <= index) {
      done.push_back(until_applied_.begin()->second);
      until_applied_.erase(until_applied_.begin());
    }
    return done;
  }

  struct taken_reads {
    std::vector<read_operation*> operations;
    std::vector<read_id> asked;  // of those, what the core was asked and need not answer any more; sorted
  };
  template <class Pick>
  [[nodiscard]] taken_reads take_if(Pick&& pick) {
    taken_reads taken;
    take_from(asked_, pick, [&](const auto& waiting) {
      taken.operations.push_back(waiting.second);
      taken.asked.push_back(waiting.first);
    });
    take_from(until_applied_, pick, [&](const auto& waiting) { taken.operations.push_back(waiting.second); });
    return taken;
  }

 private:
  template <class Map, class Pick, class Take>
  static void take_from(Map& map, Pick& pick, Take&& take) {
    for (auto it = map.begin(); it != map.end();) {
      if (!pick(*it->second)) {
        ++it;
        continue;
      }
      take(*it);
      it = map.erase(it);
    }
  }

  read_id last_;
  std::map<read_id, read_operation*> asked_;
  std::multimap<log_index, read_operation*> until_applied_;
};

}  // namespace confman
