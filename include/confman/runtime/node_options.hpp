// What the node needs to know, checked and translated from the user's options.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "confman/error.hpp"
#include "confman/runtime/group.hpp"
#include "confman/storage/log_options.hpp"
#include "confman/storage/snapshot_store.hpp"

namespace confman {

struct node_options {
  failure invalid;      // why these options can't be used; reported when the node is run
  group_options group;  // raft.cluster, group and self are set; incarnation and boot come from storage
  configuration members;
  std::string directory;
  log_options log;
  snapshot_options snapshots;
  bool snapshot_on_stop = false;
  std::chrono::milliseconds tick{10};
  std::chrono::milliseconds request_timeout{5000};
  history_limits history;
  watch_limits watch;
  std::size_t mailbox_capacity = 1 << 16;
  std::function<void(const failure&)> on_event;
};

// A moment of a node's life, for people and health checks. Fields may be of slightly different moments.
struct node_status {
  node_id id;
  confman::role role = confman::role::follower;
  node_id leader;  // 0: none known
  term_t term;
  log_index last;    // of the log
  log_index stable;  // durable here
  log_index commit;
  log_index applied;
  bool running = false;
  log_index first;        // the oldest entry that the log in memory holds
  log_index snapshot;     // what the newest durable snapshot contains; 0: there is none
  configuration members;  // the effective one
  bool change_under_way = false;
  node_id
      refused_by;  // a member that refuses this data directory, because this id is bound to another; 0: none

  // What the core says now; `members` is not touched.
  void show(const raft_core& core) {
    role = core.role();
    leader = core.leader();
    term = core.term();
    last = core.log().last_index();
    stable = core.stable();
    commit = core.commit();
    applied = core.applied();
    first = core.log().first_index();
    snapshot = core.snapshot() ? core.snapshot()->at.index : log_index{};
    change_under_way = core.change_under_way();
    refused_by = core.refused_by();
  }
};

}  // namespace confman
