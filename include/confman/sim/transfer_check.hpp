// Whether snapshots are sent within the window and at the rate that a node was given (invariant 22).
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "confman/runtime/snapshot_transfer.hpp"
#include "confman/sim/trace.hpp"

namespace confman::sim {

// One process's account of the pieces that it reads for others. A limit that is broken throws sim::violation.
class transfer_check {
 public:
  transfer_check(node_id id, trace& log) : id_(id), trace_(log) {}

  // A new process with these limits; its clock begins anew.
  void restart(const snapshot_transfer_options& limits) {
    limits_ = limits;
    confirmed_.clear();
    allowance_ = 0;
    refilled_ = 0;
  }
  // A follower says how far it has a file, maybe not for the first time.
  void on_answer(node_id from, const snapshot_piece_response& answer) {
    std::uint64_t& next = confirmed_[{from, answer.digest}];
    next = std::max(next, answer.next);
  }
  void on_read(const snapshot_read& what, tick_count now) {
    const auto known = confirmed_.find({what.to, what.file.digest});
    const std::uint64_t confirmed = known == confirmed_.end() ? 0 : known->second;
    if (what.offset >= confirmed + limits_.window * limits_.piece_bytes)
      fail(what, "of which only " + std::to_string(confirmed) + " have arrived, beyond the window");
    if (limits_.bytes_per_tick == 0) return;
    // What is not used within ten ticks is lost, but for the bytes of one piece.
    allowance_ = std::min<std::uint64_t>(allowance_ + (now - refilled_) * limits_.bytes_per_tick,
                                         10 * limits_.bytes_per_tick + limits_.piece_bytes);
    refilled_ = now;
    if (what.bytes > allowance_) fail(what, "faster than it may");
    allowance_ -= what.bytes;
  }

 private:
  void fail(const snapshot_read& what, const std::string& how) const {
    trace_.fail(invariant::bounded_memory,
                "node " + std::to_string(id_.value()) + " reads bytes " + std::to_string(what.offset) +
                    " to " + std::to_string(what.offset + what.bytes) + " of a snapshot for node " +
                    std::to_string(what.to.value()) + ", " + how);
  }

  node_id id_;
  trace& trace_;
  snapshot_transfer_options limits_;
  std::map<std::pair<node_id, std::uint64_t>, std::uint64_t> confirmed_;  // by follower and digest
  std::uint64_t allowance_ = 0;
  tick_count refilled_ = 0;
};

}  // namespace confman::sim
