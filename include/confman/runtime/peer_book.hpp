// Which connections a node keeps: they follow the members.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "confman/core/configuration.hpp"

namespace confman {

// Whoever was removed is told so before its connection goes: it is forgotten some ticks later.
class peer_book {
 public:
  // Connections that are there from the start.
  void begin_with(const std::vector<node_id>& ids) { known_.insert(ids.begin(), ids.end()); }

  // Calls add(id, address) for each member with an address.
  template <class Add>
  void follow(const configuration& members, Add&& add) {
    const std::vector<node_id> ids = members.ids();
    for (const node_id id : ids) {
      known_.erase(id);
      leaving_.erase(id);
      if (const member& m = *members.find_member(id); !m.address.empty()) add(id, m.address);
    }
    for (const node_id gone : known_) leaving_.emplace(gone, 0);
    known_ = {ids.begin(), ids.end()};
  }

  // A unit of time passed: calls remove(id) for those whose time has come.
  template <class Remove>
  void tick(Remove&& remove) {
    for (auto it = leaving_.begin(); it != leaving_.end();) {
      if (++it->second < ticks_before_parting) {
        ++it;
        continue;
      }
      remove(it->first);
      it = leaving_.erase(it);
    }
  }

 private:
  static constexpr int ticks_before_parting = 200;

  std::set<node_id> known_;         // members of the last configuration
  std::map<node_id, int> leaving_;  // removed members, and for how many ticks
};

}  // namespace confman
