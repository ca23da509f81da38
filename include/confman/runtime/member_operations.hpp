// Operations on the cluster itself that somebody waits for: changes of members, transfers of leadership,
// snapshots.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "confman/core/joint_change.hpp"
#include "confman/runtime/operation.hpp"

namespace confman {

// An operation on the cluster. Same rules as write_operation.
class cluster_operation {
 public:
  enum class action : std::uint8_t {
    change_members,  // `changes`; done when the new configuration is committed, and a joint one left
    transfer,        // leadership to `target` (0: to the best other voter); done when somebody else leads
    snapshot,        // takes a snapshot of this node's state; done when it is durable
  };

  std::uint64_t id = 0;
  action what = action::snapshot;
  std::vector<member_change> changes;
  node_id target;
  tick_count deadline = 0;  // absolute; when it passes: outcome_unknown

  // change_members: change_undone (certainly not happened), outcome_unknown (it may, see the members),
  // not_leader, change_in_flight, and what raft_core::propose_change refuses. `at`: where the change stands
  // in the log. transfer: transfer_failed, not_leader, not_a_member. snapshot: snapshot_failed's reason;
  // `at`: what it contains.
  virtual void complete(const failure& error, version at) = 0;
  virtual void abandon() noexcept {}

 protected:
  ~cluster_operation() = default;
};

// Changes of members that wait for their entry to be decided and then for the joint phase to end.
class waiting_changes {
 public:
  void add(cluster_operation& operation, version at) { waiting_.push_back({&operation, at, false}); }
  [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return waiting_.size(); }

  // An entry was applied: it is the change's own, or it has taken its place.
  void applied(version place) {
    for (waiting& w : waiting_) {
      if (w.decided || w.at.index != place.index) continue;
      w.decided = true;
      w.undone = w.at != place;
    }
  }
  // The state jumped to `index` without the entries between.
  [[nodiscard]] std::vector<cluster_operation*> jumped(log_index index) {
    return take([index](const waiting& w) { return !w.decided && w.at.index <= index; });
  }

  struct ended {
    cluster_operation* operation;
    version at;
    bool undone;
  };
  // Those whose change is over: undone, or committed with no joint phase left (`settled`).
  [[nodiscard]] std::vector<ended> take_ended(bool settled) {
    std::vector<ended> over;
    std::erase_if(waiting_, [&](const waiting& w) {
      if (!w.decided || (!w.undone && !settled)) return false;
      over.push_back({w.operation, w.at, w.undone});
      return true;
    });
    return over;
  }

  template <class Pick>
  [[nodiscard]] std::vector<cluster_operation*> take_if(Pick&& pick) {
    return take([&pick](const waiting& w) { return pick(*w.operation); });
  }

 private:
  struct waiting {
    cluster_operation* operation;
    version at;
    bool decided;
    bool undone = false;
  };

  template <class Pick>
  std::vector<cluster_operation*> take(Pick&& pick) {
    std::vector<cluster_operation*> taken;
    std::erase_if(waiting_, [&](const waiting& w) {
      if (!pick(w)) return false;
      taken.push_back(w.operation);
      return true;
    });
    return taken;
  }

  std::vector<waiting> waiting_;
};

}  // namespace confman
