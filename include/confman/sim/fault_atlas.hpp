// Which damage a cluster must survive: knows where the good copies are.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "confman/sim/node.hpp"

namespace confman::sim {

// Damage is drawn only where it can be survived, so that what is lost all the same is the product's fault.
// Looked at only when damage is drawn; what it costs doesn't matter.
class fault_atlas {
 public:
  // Both must outlive it.
  fault_atlas(const oracle& judge, const std::vector<std::unique_ptr<node>>& nodes)
      : judge_(judge), nodes_(nodes) {}

  // Whether the node's platter holds every committed record, and nothing on it was damaged.
  [[nodiscard]] bool whole(const node& n) const {
    return !n.platter().rotten() && judge_.holds_committed(n.id());
  }
  // Damage that is noticed takes a node out of service until its directory is restored: one whole copy of
  // every committed record must be left elsewhere.
  [[nodiscard]] bool may_rot(const node& victim) const {
    for (const auto& n : nodes_)
      if (n.get() != &victim && whole(*n)) return true;
    return false;
  }
  // Damage at the very end of a log passes for a write that the loss of power has torn, and the node goes on
  // without it: it has forgotten what it acknowledged. That must not matter: what it forgets is entries only,
  // all committed; and of the voters of each configuration that is or may come into force, a majority that
  // has forgotten nothing holds them, so that nobody without them can be elected.
  // `decides(configuration, counts)`: the nodes for which counts(node) is true make up such a majority.
  template <class Decides>
  [[nodiscard]] bool may_rot_tail(const node& victim, Decides&& decides) const {
    const log_index last = judge_.durable_last(victim.id());
    return last <= judge_.committed() && judge_.for_possible_members([&](const configuration& c) {
      return decides(c, [&](const node& n) { return &n != &victim && judge_.holds_committed(n.id(), last); });
    });
  }

 private:
  const oracle& judge_;
  const std::vector<std::unique_ptr<node>>& nodes_;
};

}  // namespace confman::sim
