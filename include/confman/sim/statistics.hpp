// What happened in a world, counted: a run in which nothing happened proves nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace confman::sim {

enum class counted : std::uint8_t {
  events,
  virtual_ms,
  nodes,
  // faults
  crashes,
  effect_crashes,
  recovery_crashes,
  power_losses,
  stops,
  pauses,
  clock_jumps,
  stalls,
  disk_errors,
  rotten_disks,
  refused_disks,
  symmetric_partitions,
  one_way_partitions,
  isolations,
  bridges,
  rings,
  leader_cuts,
  messages,
  lost_messages,
  cut_messages,
  duplicates,
  shortened_appends,
  replays,
  encoded_messages,
  sectors_lost,
  sectors_torn,
  names_lost,
  tails_lost,
  tails_kept,
  // what the cluster did
  elections,
  truncations,
  writes_to_disk,
  shadow_recoveries,
  segment_changes,
  committed,
  applied,
  puts,
  erases,
  exchanges,
  compare_failed,
  forwards,
  acknowledged,
  refused_writes,
  unknown_writes,
  linearizable_reads,
  token_reads,
  local_reads,
  failed_reads,
  busy,
  cancellations,
  snapshots_taken,
  snapshots_failed,
  snapshot_pieces,
  snapshots_installed,
  transfers_resumed,
  round_trips,
  fetches,
  releases,
  voter_changes,
  joint_changes,
  changes_done,
  changes_undone,
  changes_unknown,
  changes_refused,
  snapshots_asked,
  transfers,
  transfers_failed,
  joins,
  retirements,
  wiped_disks,
  strangers,
  sessions_opened,
  session_retries,
  session_replays,
  sessions_expired,
  uploads,
  uploads_expired,
  watches_ended,
  count_,
};

namespace detail {

// tidy: long-function one line per counter
inline constexpr const char* names_of_counted[] = {
    "events",
    "virtual_ms",
    "nodes",
    "crashes",
    "effect_crashes",
    "recovery_crashes",
    "power_losses",
    "stops",
    "pauses",
    "clock_jumps",
    "stalls",
    "disk_errors",
    "rotten_disks",
    "refused_disks",
    "symmetric_partitions",
    "one_way_partitions",
    "isolations",
    "bridges",
    "rings",
    "leader_cuts",
    "messages",
    "lost_messages",
    "cut_messages",
    "duplicates",
    "shortened_appends",
    "replays",
    "encoded_messages",
    "sectors_lost",
    "sectors_torn",
    "names_lost",
    "tails_lost",
    "tails_kept",
    "elections",
    "truncations",
    "writes_to_disk",
    "shadow_recoveries",
    "segment_changes",
    "committed",
    "applied",
    "puts",
    "erases",
    "exchanges",
    "compare_failed",
    "forwards",
    "acknowledged",
    "refused_writes",
    "unknown_writes",
    "linearizable_reads",
    "token_reads",
    "local_reads",
    "failed_reads",
    "busy",
    "cancellations",
    "snapshots_taken",
    "snapshots_failed",
    "snapshot_pieces",
    "snapshots_installed",
    "transfers_resumed",
    "round_trips",
    "fetches",
    "releases",
    "voter_changes",
    "joint_changes",
    "changes_done",
    "changes_undone",
    "changes_unknown",
    "changes_refused",
    "snapshots_asked",
    "transfers",
    "transfers_failed",
    "joins",
    "retirements",
    "wiped_disks",
    "strangers",
    "sessions_opened",
    "session_retries",
    "session_replays",
    "sessions_expired",
    "uploads",
    "uploads_expired",
    "watches_ended",
};

static_assert(std::size(names_of_counted) == static_cast<std::size_t>(counted::count_));

}  // namespace detail

class statistics {
 public:
  void add(counted what, std::uint64_t n = 1) noexcept { values_[static_cast<std::size_t>(what)] += n; }
  [[nodiscard]] std::uint64_t operator[](counted what) const noexcept {
    return values_[static_cast<std::size_t>(what)];
  }
  statistics& operator+=(const statistics& other) noexcept {
    for (std::size_t i = 0; i < values_.size(); ++i) values_[i] += other.values_[i];
    return *this;
  }

  static constexpr std::size_t size = static_cast<std::size_t>(counted::count_);
  // In the order of `counted`.
  [[nodiscard]] static constexpr const char* name(std::size_t i) noexcept {
    return detail::names_of_counted[i];
  }
  [[nodiscard]] std::uint64_t value(std::size_t i) const noexcept { return values_[i]; }

 private:
  std::array<std::uint64_t, size> values_{};
};

}  // namespace confman::sim
