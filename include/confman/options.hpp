// Everything a user can set. The defaults suit three to five members in one data centre.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <string>

#include "confman/core/ids.hpp"
#include "confman/error.hpp"

namespace confman {

struct options {
  // This process. Must be one of `members`.
  std::uint64_t self = 0;
  // Every member and the address it listens on for its peers, "host:port" or "[ipv6]:port". The same on all.
  std::map<std::uint64_t, std::string> members;
  // Where this process accepts its peers, if not at its address in `members`: "0.0.0.0:7401" behind NAT or in
  // a container. Empty: that address.
  std::string listen;
  // Where this node keeps its log; created if missing. One directory belongs to one node of one cluster for
  // ever.
  std::string directory;
  // Keeps clusters apart: members refuse each other, and data directories, when it differs. Empty: derived
  // from `members`, which then must never change; name the cluster if addresses may.
  std::string cluster;

  // A leader speaks at least this often. A follower that hears nothing for election_timeout to twice that
  // stands for election. election_timeout must be at least three heartbeats, and well above a round trip plus
  // a sync.
  std::chrono::milliseconds heartbeat_interval{50};
  std::chrono::milliseconds election_timeout{300};
  // How long a write or a linearizable read may take; then outcome_unknown, no_leader or timed_out.
  std::chrono::milliseconds request_timeout{5000};

  // Keys are paths of at most 512 bytes (map/limits.hpp).
  std::size_t max_value_bytes = 1 << 20;  // 1 MiB; at most 16 MiB in this version
  // Writes and reads that may wait at once, each; then errc::busy.
  std::size_t max_pending_requests = 1 << 16;
  std::size_t max_uncommitted_bytes = 256 << 20;  // proposals not yet on a majority; then errc::busy
  std::size_t segment_bytes = 64 << 20;           // size of one preallocated file of the log
  std::size_t watch_history_changes = 1 << 16;    // how far back a watch may begin, in changes ...
  std::size_t watch_history_bytes = 64 << 20;     // ... and in bytes
  std::size_t watch_buffer_changes = 1 << 14;  // what one watch may have waiting before it is told it lagged
  std::size_t watch_buffer_bytes = 64 << 20;

  // Called with everything worth a line in a log: peers that come and go, refusals, why the node stopped.
  // Runs on the map's queue: must be quick, must not call the map. Never called after the map's destructor
  // returned.
  std::function<void(const failure&)> on_event;
};

// Says which option is wrong, what it is and what it may be. Changes nothing, touches nothing.
[[nodiscard]] CONFMAN_DECL failure validate(const options& o);

// The id that members and data directories of this cluster carry.
[[nodiscard]] CONFMAN_DECL cluster_id identify_cluster(const options& o);

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/impl/options.ipp"
#endif
