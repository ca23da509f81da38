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
  // Every member of the first configuration and the address it listens on for its peers, "host:port" or
  // "[ipv6]:port". The same on all. Once the cluster runs, its log says who the members are: changes go
  // through async_change_members(), and this may stay as it was. With `join`: this node, and members it may
  // ask.
  std::map<std::uint64_t, std::string> members;
  // Where this process accepts its peers, if not at its address in `members`: "0.0.0.0:7401" behind NAT or in
  // a container. Empty: that address.
  std::string listen;
  // Where this node keeps its log; created if missing. One directory belongs to one node of one cluster for
  // ever.
  std::string directory;
  // Keeps clusters apart: members refuse each other, and data directories, when it differs. Empty: derived
  // from `members`, which then must never change; name the cluster if addresses or members may.
  std::string cluster;
  // This node is new to a cluster that runs: it asks the others in `members` to take it in, first as a
  // learner, and as a voter when it has caught up. Needs `cluster`. Without effect once it is a voter.
  bool join = false;
  bool join_as_learner = false;  // ... and stays a learner
  // Who should lead: of the voters that have caught up, one with the highest priority. 0: that node stands
  // for election only when nobody else has for two election timeouts. By node id, 1 where nothing is said;
  // the same on all members. Part of the first configuration, or of the request to join; later see
  // async_change_members().
  std::map<std::uint64_t, std::uint8_t> priorities;
  // The first election of a new cluster needs every member to be up, so that a wiped directory can't pass for
  // a new one. True: a majority will do (see docs/guide/membership.md before you use it).
  bool first_election_by_majority = false;

  // A leader speaks at least this often. A follower that hears nothing for election_timeout to twice that
  // stands for election. election_timeout must be at least three heartbeats, and well above a round trip plus
  // a sync.
  std::chrono::milliseconds heartbeat_interval{50};
  std::chrono::milliseconds election_timeout{300};
  // How long a write or a linearizable read may take; then outcome_unknown, no_leader or timed_out.
  std::chrono::milliseconds request_timeout{5000};

  // Keys are paths of at most 512 bytes (map/limits.hpp).
  std::size_t max_value_bytes = std::size_t{128} << 20;  // at most that; above 255 KiB it travels in pieces
  // Writes and reads that may wait at once, each; then errc::busy.
  std::size_t max_pending_requests = 1 << 16;
  std::size_t max_uncommitted_bytes = 256 << 20;  // proposals not yet on a majority; then errc::busy
  std::size_t segment_bytes = 64 << 20;           // size of one preallocated file of the log
  // A snapshot is taken when this much of the log was applied since the last one; then the log is cut, except
  // for a tail for followers that are a little late. Those that are later get the snapshot.
  std::size_t snapshot_log_bytes = 256 << 20;
  std::size_t snapshot_log_entries = 1'000'000;
  std::size_t log_tail_bytes = 32 << 20;
  std::size_t log_tail_entries = 50'000;
  std::size_t log_cache_bytes =
      64 << 20;  // of applied entries kept in memory; what is older is read from disk
  std::size_t snapshot_send_bytes_per_second = 0;  // to all followers together; 0: no limit
  bool snapshot_on_stop = false;                   // take one in stop(): the next start has no log to replay
  bool compress_snapshots = false;  // with zstd, where this build has it; all members must then have it
  std::size_t watch_history_changes = 1 << 16;  // how far back a watch may begin, in changes ...
  std::size_t watch_history_bytes = 64 << 20;   // ... and in bytes
  std::size_t watch_buffer_changes = 1 << 14;   // what one watch may have waiting before it is told it lagged
  std::size_t watch_buffer_bytes = 64 << 20;

  // Called with what goes wrong and is worth a line in a log: options that can't be used, peers that can't be
  // reached, peers refused, this node refused by one, a snapshot or a message that failed, why the node
  // stopped. Connections and changes of leader that go well are no events: see status().
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
