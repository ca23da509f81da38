// What a snapshot of the state machine says about the log it replaces (paper, figure 13).
#pragma once

#include "confman/core/configuration.hpp"
#include "confman/core/ids.hpp"

namespace confman {

// Invariant: `members` is the committed configuration in force at `at`, never one that is only appended
// (thesis, 5.1.1).
struct snapshot_meta {
  version at;       // the last entry that the state contains
  chain_hash hash;  // of the log up to it
  configuration members;
  log_index members_at;  // where that configuration stands in the log; 0: the bootstrap one

  friend bool operator==(const snapshot_meta&, const snapshot_meta&) = default;
};

}  // namespace confman
