#pragma once

#include <chrono>
#include <random>

#include "confman/config_map.hpp"

namespace confman::detail {

// Rounded up, so that a tick never makes a timeout shorter than asked.
inline std::uint32_t ticks(std::chrono::milliseconds time, std::chrono::milliseconds tick) {
  return static_cast<std::uint32_t>((time + tick - std::chrono::milliseconds(1)) / tick);
}

CONFMAN_DECL node_options translate(const options& o) {
  node_options n;
  n.on_event = o.on_event;  // first: that the options are bad is an event too
  n.invalid = validate(o);
  if (n.invalid) return n;
  for (const auto& [id, address] : o.members) {
    const auto found = o.priorities.find(id);
    const std::uint8_t priority = found == o.priorities.end() ? std::uint8_t{1} : found->second;
    if (!o.join)
      n.members.incoming.push_back({node_id(id), incarnation_id{}, address, priority});
    else if (id == o.self)
      n.group.join.request = {address, o.join_as_learner, priority};
    else
      n.group.join.contacts.push_back(node_id(id));
  }
  // Five ticks to a heartbeat: fine enough for random election timeouts, coarse enough to sleep in between.
  n.tick = std::max(o.heartbeat_interval / 5, std::chrono::milliseconds(1));
  raft_options& r = n.group.raft;
  r.cluster = identify_cluster(o);
  r.group = group_id(1);
  r.self = node_id(o.self);
  r.heartbeat_ticks = ticks(o.heartbeat_interval, n.tick);
  r.election_ticks = ticks(o.election_timeout, n.tick);
  r.max_uncommitted_bytes = o.max_uncommitted_bytes;
  r.max_uncommitted_entries = o.max_pending_requests;
  r.max_pending_reads = o.max_pending_requests;
  r.max_cached_bytes = o.log_cache_bytes;
  r.first_election_by_majority = o.first_election_by_majority;
  snapshot_policy& s = n.group.snapshots;
  s.log_bytes = o.snapshot_log_bytes;
  s.log_entries = o.snapshot_log_entries;
  s.tail_bytes = o.log_tail_bytes;
  s.tail_entries = o.log_tail_entries;
  s.transfer.retry = r.election_ticks;
  s.transfer.give_up = 20 * r.election_ticks;
  if (o.snapshot_send_bytes_per_second != 0)
    s.transfer.bytes_per_tick = std::max<std::size_t>(
        o.snapshot_send_bytes_per_second * static_cast<std::size_t>(n.tick.count()) / 1000, 1);
  n.snapshots.cluster = r.cluster;
  n.snapshots.group = r.group;
  n.snapshots.compress = o.compress_snapshots;
  n.snapshot_on_stop = o.snapshot_on_stop;
  n.group.max_waiting = o.max_pending_requests;
  n.mailbox_capacity = o.max_pending_requests;
  n.request_timeout = o.request_timeout;
  n.directory = o.directory;
  std::random_device device;
  n.log.cluster = r.cluster;
  n.log.node = r.self;
  n.log.group = r.group;
  n.log.fresh_incarnation = incarnation_id((std::uint64_t{device()} << 32 | device()) | 1);
  n.log.segment_bytes = o.segment_bytes;
  n.history = {o.watch_history_changes, o.watch_history_bytes};
  n.watch = {o.watch_buffer_changes, o.watch_buffer_bytes};
  return n;
}

CONFMAN_DECL tcp_options translate_tcp(const options& o) {
  tcp_options t;
  t.self = node_id(o.self);
  for (const auto& [id, address] : o.members) {
    if (id == o.self) {
      t.listen = o.listen.empty() ? address : o.listen;
      t.advertise = address;
    } else {
      t.peers.emplace(node_id(id), address);
    }
  }
  t.seed = std::random_device{}();
  return t;
}

inline command_view command_by(const options& o, command_kind kind) {
  command_view command;
  command.kind = kind;
  command.author = node_id(o.self);
  command.timestamp = std::chrono::duration_cast<std::chrono::microseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count();
  return command;
}

CONFMAN_DECL result<prepared_write> prepare(const options& o, command_kind kind, std::string_view key,
                                            std::string_view value, std::uint64_t expected_revision,
                                            const once& token) {
  if (failure error = validate_key(key)) return error;
  if (failure error = validate_value(key, value.size(), o.max_value_bytes)) return error;
  if (token.session == 0 ? token.sequence != 0 : token.sequence == 0 || token.acknowledged > token.sequence)
    return failure(errc::bad_option,
                   "once{} needs a session, a sequence from 1 on, and acknowledged of at most that");
  prepared_write write;
  command_view command = command_by(o, kind);
  command.expected_revision = expected_revision;
  command.session = token.session;
  command.sequence = token.sequence;
  command.acknowledged = token.acknowledged;
  write.repeatable = token.session != 0;
  if (value.size() > max_piece_bytes) {
    write.last = command;
    write.key = key;
    write.value = shared_bytes::copy(value);
    return write;
  }
  command.key = key;
  command.value = value;
  write.command = encode(command);
  return write;
}

CONFMAN_DECL result<prepared_write> prepare_session(const options& o, command_kind kind,
                                                    std::uint64_t session,
                                                    std::chrono::milliseconds time_to_live) {
  command_view command = command_by(o, kind);
  if (kind == command_kind::session_open) {
    const auto limit = static_cast<std::int64_t>(max_session_ttl_ms);
    if (time_to_live.count() < 1 || time_to_live.count() > limit)
      return failure(errc::bad_option, "a session's time to live is " + std::to_string(time_to_live.count()) +
                                           " ms: choose 1 to " + std::to_string(limit) + " ms (7 days)");
    command.time_to_live_ms = static_cast<std::uint64_t>(time_to_live.count());
  } else if (session == 0) {
    return failure(errc::bad_option, "session 0 is none: open one with async_open_session()");
  }
  command.session = session;
  prepared_write write;
  write.command = encode(command);
  write.repeatable = kind == command_kind::session_keep_alive;
  return write;
}

[[noreturn]] CONFMAN_DECL void throw_failure(const failure& error) {
  throw failure_exception(error);
}

}  // namespace confman::detail
