// What a group reports to whoever runs it.
#pragma once

#include "confman/core/ready.hpp"
#include "confman/error.hpp"
#include "confman/map/command.hpp"

namespace confman {

// Called on the group's queue, inside its inputs; must not call into the group. All default to nothing.
class group_observer {
 public:
  virtual void on_role(role, term_t, node_id /*leader, 0 for none*/) {}
  // An entry was executed; before readers can see it.
  virtual void on_applied(const entry&, const apply_result&) {}
  // The group has stopped for good: its storage failed or its log diverged.
  virtual void on_failed(const failure&) {}
  // A member refuses this node: another data directory is bound to its id.
  virtual void on_refused(node_id /*by*/) {}

 protected:
  ~group_observer() = default;
};

}  // namespace confman
