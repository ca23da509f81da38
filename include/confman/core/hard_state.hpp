// What a node must find again after a crash (paper, figure 2 "persistent state"), and how it gets to the
// disk.
#pragma once

#include <optional>
#include <vector>

#include "confman/core/entry.hpp"
#include "confman/core/ids.hpp"
#include "confman/core/snapshot_meta.hpp"

namespace confman {

// term and vote are saved together in one record: after a crash either the old pair or the new pair is found.
// commit is a hint that rides along (never worth a sync of its own): it lets a restarted node serve local
// reads.
struct hard_state {
  term_t term;
  node_id vote;
  log_index commit;

  friend bool operator==(const hard_state&, const hard_state&) = default;
};

// The log begins anew: nothing of it is kept, the next entry is `at.index + 1`. A durable snapshot stands for
// what came before.
struct log_reset {
  version at;
  chain_hash hash;

  friend bool operator==(const log_reset&, const log_reset&) = default;
};

// One step of the ordered write stream. Within a batch the order is: reset, truncate, entries, hard state.
// Storage completes batches in order of `seq`; acknowledging a batch means everything up to it survives a
// crash.
struct write_batch {
  write_seq seq;
  std::optional<log_index> truncate_from;  // entries from this index on are void
  std::vector<entry> entries;              // consecutive indices
  std::optional<hard_state> state;
  std::optional<log_reset> reset;
  // Entries before this index are no longer needed (a durable snapshot holds them): storage may free what it
  // likes of them, whenever it likes.
  std::optional<log_index> release_before;

  [[nodiscard]] bool empty() const noexcept {
    return !reset && !truncate_from && entries.empty() && !state && !release_before;
  }
};

// What storage found when it opened; the input of a restart.
struct recovered_log {
  hard_state state;
  std::vector<entry> entries;  // consecutive, from base.index + 1 on; hashes verified
  // Counts the starts of this data directory, 1 at the first, made durable before open() returns: what a node
  // numbers with it never repeats.
  std::uint64_t boot = 0;
  incarnation_id incarnation;
  cluster_id cluster;
  // Just before the first entry: 0:0 as long as nothing was released.
  version base;
  chain_hash base_hash;
  // The newest durable snapshot. Needed when base isn't 0:0. A crash may leave it ahead of the log
  // (installed, log not reset yet) or the log far ahead of it.
  std::optional<snapshot_meta> snapshot;
};

}  // namespace confman
