// What a node asks of its storage.
#pragma once

#include <concepts>

#include "confman/core/hard_state.hpp"
#include "confman/error.hpp"

namespace confman {

// A synchronous, ordered write stream, used by one thread at a time.
//   append(batch): takes the batch into the stream; says nothing about durability. The batch may be destroyed
//   after. sync(): when it returns success, every batch appended before survives a crash.
// After a failure of either, every later call fails with errc::storage_failed: the node has to stop.
template <class S>
concept storage = requires(S& s, const write_batch& batch) {
  { s.append(batch) } -> std::same_as<failure>;
  { s.sync() } -> std::same_as<failure>;
};

}  // namespace confman
