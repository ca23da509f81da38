// What a node must find again after a crash (paper, figure 2 "persistent state"), and how it gets to the
// disk.
#pragma once

#include <optional>
#include <vector>

#include "confman/core/entry.hpp"
#include "confman/core/ids.hpp"

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

// One step of the ordered write stream. Within a batch the order is: truncate, then entries, then hard state.
// Storage completes batches in order of `seq`; acknowledging a batch means everything up to it survives a
// crash.
struct write_batch {
  write_seq seq;
  std::optional<log_index> truncate_from;  // entries from this index on are void
  std::vector<entry> entries;              // consecutive indices
  std::optional<hard_state> state;

  [[nodiscard]] bool empty() const noexcept { return !truncate_from && entries.empty() && !state; }
};

// What storage found when it opened; the input of a restart.
struct recovered_log {
  hard_state state;
  std::vector<entry> entries;  // consecutive, from the first index kept; hashes verified
  // Counts the starts of this data directory, 1 at the first, made durable before open() returns: what a node
  // numbers with it never repeats.
  std::uint64_t boot = 0;
  incarnation_id incarnation;
  cluster_id cluster;
};

}  // namespace confman
