// How a log is set up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "confman/core/hard_state.hpp"
#include "confman/core/ids.hpp"

namespace confman {

struct log_options {
  // Who the log belongs to; none may be 0 except the group. An existing directory must agree with all three.
  cluster_id cluster;
  node_id node;
  group_id group;
  // The incarnation of a directory that doesn't exist yet: draw it at random. An existing one keeps its own.
  incarnation_id fresh_incarnation;
  // A directory that doesn't exist yet begins after this place, for which a snapshot stands that lies in it
  // already (import_snapshot()). An existing log is not touched by it.
  std::optional<log_reset> begin_at{};
  // Bytes of a segment file, 1 KiB to 1 GiB. A batch that doesn't fit gets a segment of its own, as large as
  // needed.
  std::uint64_t segment_bytes = std::uint64_t{16} << 20;
  // The largest payload that append() takes, in bytes; at most 4 GiB - 1 KiB. What is already on disk is
  // always read.
  std::uint64_t max_entry_bytes = std::uint64_t{128} << 20;
  // How many freed segments are kept for reuse, so that the log goes on into blocks that are already
  // allocated.
  std::size_t recycled_segments = 2;
  // Fill the next segment with zeros while the current one is written, so that the change costs little.
  bool prepare_ahead = true;
};

}  // namespace confman
