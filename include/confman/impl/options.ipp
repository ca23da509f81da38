#pragma once

#include <fmt/format.h>

#include "confman/core/chain.hpp"
#include "confman/map/limits.hpp"
#include "confman/options.hpp"
#include "confman/storage/compression.hpp"
#include "confman/transport/address.hpp"

namespace confman {

namespace detail {

inline failure bad_option(std::string what) {
  return {errc::bad_option, std::move(what)};
}

inline failure validate_address(std::uint64_t id, const std::string& address) {
  failure bad = check_member_address(id, address);
  if (bad) bad.what = "options.members: " + bad.what;
  return bad;
}

inline failure validate_priorities(const options& o) {
  if (o.join) return {};  // then `members` are not all
  bool leads = false;
  for (const auto& [id, priority] : o.priorities)
    if (!o.members.count(id))
      return bad_option(fmt::format("options.priorities names node {}, which is not in options.members", id));
  for (const auto& [id, address] : o.members) {
    const auto found = o.priorities.find(id);
    leads = leads || found == o.priorities.end() || found->second != 0;
  }
  if (!leads)
    return bad_option(
        "options.priorities gives every member 0: nobody would ever lead; give at least one a higher one");
  return {};
}

inline failure validate_members(const options& o) {
  if (o.members.empty())
    return bad_option("options.members is empty: list every member of the cluster with its address");
  std::map<std::string, std::uint64_t> seen;
  for (const auto& [id, address] : o.members) {
    if (id == 0) return bad_option("options.members: node id 0 is reserved, number the nodes from 1");
    if (failure error = validate_address(id, address)) return error;
    if (const auto [at, added] = seen.emplace(address, id); !added)
      return bad_option(
          fmt::format("options.members: nodes {} and {} have the same address {}", at->second, id, address));
  }
  if (o.join && o.cluster.empty())
    return bad_option("options.join is set, but options.cluster is empty: name the cluster to join");
  if (o.join && o.members.size() < 2)
    return bad_option(
        "options.join is set, but options.members names no member to ask: add one, and its address");
  if (o.join_as_learner && !o.join)
    return bad_option("options.join_as_learner is set, but options.join is not: set both");
  if (o.compress_snapshots && !zstd_available())
    return bad_option(
        "options.compress_snapshots is set, but this build of confman has no zstd: build it with libzstd");
  if (!o.members.count(o.self))
    return bad_option(
        fmt::format("options.self is {}, which is not in options.members: set it to this node's id", o.self));
  if (!o.listen.empty()) {
    const result<host_port> parsed = parse_address(o.listen);
    if (!parsed || parsed->port == 0)
      return {
          errc::bad_address,
          fmt::format("options.listen is '{}'; write host:port with a port from 1 to 65535, such as "
                      "0.0.0.0:7401, or leave it empty to listen at this node's address in options.members",
                      o.listen)};
  }
  return validate_priorities(o);
}

inline failure validate_times(const options& o) {
  using std::chrono::milliseconds;
  if (o.heartbeat_interval < milliseconds(1) || o.heartbeat_interval > milliseconds(10'000))
    return bad_option(fmt::format("options.heartbeat_interval is {} ms: choose 1 to 10000 ms",
                                  o.heartbeat_interval.count()));
  if (o.election_timeout < 3 * o.heartbeat_interval || o.election_timeout > milliseconds(100'000))
    return bad_option(
        fmt::format("options.election_timeout is {} ms: choose at least three heartbeat intervals ({} ms) "
                    "and at most 100000 ms",
                    o.election_timeout.count(), 3 * o.heartbeat_interval.count()));
  if (o.request_timeout < milliseconds(1) || o.request_timeout > milliseconds(86'400'000))
    return bad_option(fmt::format("options.request_timeout is {} ms: choose 1 to 86400000 ms (a day)",
                                  o.request_timeout.count()));
  return {};
}

struct size_limit {
  const char* name;
  std::size_t value, least, most;
};

inline failure validate_sizes(const options& o) {
  const size_limit limits[] = {
      {"max_value_bytes", o.max_value_bytes, 0, max_large_value_bytes},
      {"max_pending_requests", o.max_pending_requests, 1, 1 << 24},
      {"max_uncommitted_bytes", o.max_uncommitted_bytes, 1 << 10, std::size_t{1} << 40},
      {"segment_bytes", o.segment_bytes, 1 << 16, std::size_t{1} << 30},
      {"snapshot_log_bytes", o.snapshot_log_bytes, 1 << 10, std::size_t{1} << 40},
      {"snapshot_log_entries", o.snapshot_log_entries, 1, std::size_t{1} << 40},
      {"log_tail_bytes", o.log_tail_bytes, 0, std::size_t{1} << 40},
      {"log_tail_entries", o.log_tail_entries, 0, std::size_t{1} << 40},
      {"snapshot_send_bytes_per_second", o.snapshot_send_bytes_per_second, 0, std::size_t{1} << 40},
      {"log_cache_bytes", o.log_cache_bytes, 1 << 10, std::size_t{1} << 40},
      {"watch_history_changes", o.watch_history_changes, 0, 1 << 26},
      {"watch_history_bytes", o.watch_history_bytes, 0, std::size_t{1} << 40},
      {"watch_buffer_changes", o.watch_buffer_changes, 1, 1 << 26},
      {"watch_buffer_bytes", o.watch_buffer_bytes, 1, std::size_t{1} << 40},
  };
  for (const size_limit& l : limits)
    if (l.value < l.least || l.value > l.most)
      return bad_option(fmt::format("options.{} is {}: choose {} to {}", l.name, l.value, l.least, l.most));
  if (o.segment_bytes % 8 != 0)
    return bad_option(fmt::format("options.segment_bytes is {}: choose a multiple of 8", o.segment_bytes));
  return {};
}

}  // namespace detail

CONFMAN_DECL failure validate(const options& o) {
  if (failure error = detail::validate_members(o)) return error;
  if (o.directory.empty())
    return detail::bad_option(
        "options.directory is empty: name the directory in which this node keeps its log");
  if (o.directory.find('\0') != std::string::npos)
    return detail::bad_option("options.directory contains a NUL byte: remove it");
  if (failure error = detail::validate_times(o)) return error;
  return detail::validate_sizes(o);
}

CONFMAN_DECL cluster_id identify_cluster(const options& o) {
  std::string text = o.cluster;
  if (text.empty())
    for (const auto& [id, address] : o.members) text += fmt::format("{}@{};", id, address);
  const chain_hash hash = extend_chain(chain_hash(0), term_t(o.cluster.empty() ? 1 : 2), 0, text);
  return cluster_id(hash.value() == 0 ? 1 : hash.value());
}

}  // namespace confman
