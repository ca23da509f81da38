// What a group reports to whoever runs it.
#pragma once

#include <string>

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
  // The effective configuration changed, by an append, a truncation or a snapshot.
  virtual void on_members(const configuration&) {}
  // A member that this node isn't configured with is at this address.
  virtual void on_contact(node_id, const std::string& /*address*/) {}
  // The state was replaced by a snapshot; before readers are told.
  virtual void on_installed(const snapshot_meta&) {}
  // Something a person may have to know; the group goes on.
  virtual void on_event(const failure&) {}

 protected:
  ~group_observer() = default;
};

}  // namespace confman
