// One version of the whole map, immutable: what readers load as a single pointer.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "confman/core/ids.hpp"
#include "confman/map/trie_node.hpp"

namespace confman::detail {

// Root and revision must be one pointer: as two words a reader could pair a root with the revision of
// another.
struct published_state {
  trie_ref root;
  version at;                                  // the last entry applied; its index is the revision
  std::uint64_t count = 0;                     // keys
  std::uint64_t state_hash = 0;                // sum of the content hashes of all records
  std::uint64_t replica_hash = 0;              // the same with sessions, uploads and log time
  std::uint64_t bytes = 0;                     // memory of records and nodes, approximately
  std::uint64_t epoch = 0;                     // in which it was published: the edit id of its youngest nodes
  std::uint64_t generation = 0;                // of the tree: how often the whole state was replaced before
  mutable std::atomic<std::uint64_t> pins{0};  // snapshots that hold it

  [[nodiscard]] std::uint64_t revision() const noexcept { return at.index.value(); }
};

}  // namespace confman::detail
