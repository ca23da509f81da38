// One node of the cluster under search: the shipped core, its disk, and the writes in between.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "confman/core/raft_core.hpp"
#include "exhaustive/scope.hpp"
#include "lib/state_hash.hpp"

namespace confman::exhaustive {

using testing::hash128;

// The entries of a log as far as properties need them: (term, chain hash) by index, from base on.
struct log_image {
  std::uint8_t base = 0;  // what is before isn't known here: a snapshot holds it
  std::uint8_t last = 0;
  std::array<std::uint8_t, most_entries + 1> terms{};
  std::array<std::uint64_t, most_entries + 1> hashes{};

  [[nodiscard]] bool knows(unsigned i) const noexcept { return i >= base && i <= last; }
  friend bool operator==(const log_image&, const log_image&) = default;
};

// The voters of a configuration as sets of ids (bit 1 << id).
struct voter_sets {
  std::uint8_t incoming = 0, outgoing = 0;
  // Whether a majority of each is in `nodes`. The search's own arithmetic, on purpose not the core's.
  [[nodiscard]] bool decided_by(unsigned nodes) const noexcept;
  friend bool operator==(const voter_sets&, const voter_sets&) = default;
};

// What others may have to know of a node: everything that properties of the whole cluster compare.
struct facts {
  role as = role::follower;
  std::uint8_t term = 0, commit = 0, applied = 0, snapshot = 0;
  std::uint8_t durable_term = 0;
  std::uint64_t snapshot_hash = 0;
  node_id leader;
  voter_sets voters;
  std::uint8_t open_changes = 0;  // configurations with other voters that aren't known to be committed
  bool members_differ = false;    // from what the log says
  bool members_apart = false;     // a majority of a configuration in the log misses one of the next
  std::uint8_t writing = 0;
  std::uint8_t partial = 0;  // bit k: write k in flight has entries and a state, so half of it may survive
  log_image log;
  log_image disk;
};

// What one input made a node do.
struct output {
  std::vector<message> messages;
  std::vector<read_answer> reads;
  std::string wrong;  // a property of this node alone that doesn't hold; empty: all is well
};

class node {
 public:
  node(const scope& s, unsigned id);

  // Takes one input and does what the core wants done. Precondition: the step is possible.
  [[nodiscard]] output take(const scope& s, const action& a, const message* m);

  [[nodiscard]] facts describe() const;
  [[nodiscard]] hash128 hash() const;
  [[nodiscard]] const raft_core& core() const noexcept { return core_; }

 private:
  void input(const scope& s, const action& a, const message* m, output& out);
  void deliver(const scope& s, message m, output& out);
  void store(const scope& s);
  void restart(const scope& s, unsigned survives, output& out);
  void take_snapshot(output& out);
  // The voters after the changes in the log up to there. Precondition: `last` is in the log.
  [[nodiscard]] voter_sets voters_in_log(log_index last) const;
  void install(const snapshot_piece& piece);
  void pump(const scope& s, output& out);
  void write(const write_batch& batch, bool state_too);
  [[nodiscard]] std::string check_promise(const message& m) const;

  recovered_log disk_;
  std::vector<write_batch> writing_;  // handed out, oldest first
  voter_sets voters_at_start_;
  raft_core core_;
  unsigned taken_ = 0;  // how many steps; for broken::hidden_state alone
};

// What must hold for a node alone; before and after a step.
[[nodiscard]] std::string check_step(const facts& before, const facts& after, const action& a);

// Whether each majority of one meets each of the other.
[[nodiscard]] bool majorities_meet(const voter_sets& a, const voter_sets& b) noexcept;

// A snapshot on its way travels as this one message.
[[nodiscard]] std::string to_text(const message& m);

}  // namespace confman::exhaustive
