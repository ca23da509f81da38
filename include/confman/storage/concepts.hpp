// What a node asks of its storage.
#pragma once

#include <concepts>
#include <cstddef>
#include <vector>

#include "confman/core/hard_state.hpp"
#include "confman/error.hpp"

namespace confman {

// A synchronous, ordered write stream, used by one thread at a time.
//   append(batch): takes the batch into the stream; says nothing about durability. The batch may be destroyed
//   after. read(from, last, max_bytes): what was appended, back again, for followers that lag behind what is
//   kept in memory; errc::compacted when `from` was released. A failure of a read is not one of the stream.
//   sync(): when it returns success, every batch appended before survives a crash.
// After a failure of append or sync, every later call fails with errc::storage_failed: the node has to stop.
template <class S>
concept storage = requires(S& s, const write_batch& batch, log_index index, std::size_t bytes) {
  { s.append(batch) } -> std::same_as<failure>;
  { s.sync() } -> std::same_as<failure>;
  { s.read(index, index, bytes) } -> std::same_as<result<std::vector<entry>>>;
};

}  // namespace confman
