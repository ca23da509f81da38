// How much of a log may be on the disk: an account of what was written and what was released (invariant 22).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

#include "confman/core/hard_state.hpp"
#include "confman/core/ids.hpp"
#include "confman/storage/log_format.hpp"

namespace confman::sim {

// Knows the log's format and rules (docs/format/log.md), but nothing of what the log does: it sees the
// batches that the log is given and when they were synced. O(1) amortised.
class log_account {
 public:
  // The log was opened: with so many segments, the entries from `first` to `last`, and new segments of so
  // many bytes. What these segments hold isn't known; they may stay until the log has gone on behind them.
  void restart(std::size_t segments, log_index first, log_index last, std::uint64_t segment_bytes) {
    frames_.assign(1, {last, 0, segments});
    pins_.assign(1, {log_index{1}, last, 0, false});
    bytes_ = 0;
    found_ = segments;
    released_ = wanted_ = first;
    last_ = last;
    segment_bytes_ = segment_bytes;
    largest_ = std::max(largest_, segment_bytes);
    reset_frames_ = 0;
    asked_ = false;
  }

  // Before it is written.
  void on_append(const write_batch& batch) {
    const std::uint64_t least = least_bytes(batch), bytes = least + most_besides;
    largest_ = std::max(largest_, bytes + log_format::segment_header_bytes);
    for (pin& p : pins_) {
      if (p.rolled) continue;
      p.highest = std::max(p.highest, last_);
      p.rolled = (p.bytes += least) >= largest_;
    }
    if (batch.reset) {
      reset_frames_ = frames_.size();
      pins_.clear();
      last_ = batch.reset->at.index;
      wanted_ = last_ + 1;
    }
    if (batch.truncate_from) {
      last_ = *batch.truncate_from - 1;
      pins_.push_back({*batch.truncate_from, last_, 0, false});
    }
    if (!batch.entries.empty()) last_ = batch.entries.back().index;
    if (batch.release_before) {
      wanted_ = std::max(wanted_, *batch.release_before);
      asked_ = true;
    }
    frames_.push_back({last_, bytes, 0});
    bytes_ += bytes;
  }

  // All that was appended. What isn't needed any more is gone then.
  void on_synced() {
    for (; reset_frames_ != 0; --reset_frames_) drop();
    released_ = wanted_;
    if (!std::exchange(asked_, false)) return;
    while (!pins_.empty() && pins_.front().rolled && pins_.front().highest < released_) pins_.pop_front();
    log_index needed = released_;
    for (const pin& p : pins_) needed = std::min(needed, p.from - 1);
    while (!frames_.empty() && frames_.front().last < needed) drop();
  }

  // The first entry that has to be kept.
  [[nodiscard]] log_index released() const noexcept { return released_; }

  // A segment is left when a frame doesn't fit, so two that follow each other hold more than one has room
  // for. Besides, one may hold the end of what was released, a reset begins a segment early, and one is
  // active.
  [[nodiscard]] std::size_t most_segments() const noexcept {
    const std::uint64_t overhead = log_format::segment_header_bytes + 2 * log_format::frame_header_bytes;
    const std::uint64_t room = std::max(segment_bytes_ - std::min(segment_bytes_, overhead), overhead);
    return found_ + static_cast<std::size_t>(2 * bytes_ / room) + 4;
  }

 private:
  struct frame {
    log_index last;        // of the log, when it was written
    std::uint64_t bytes;   // with the empty frame that may follow it
    std::size_t segments;  // that it stands for
  };
  // A segment whose first entries were truncated later can't be the first one of a log, nor can those
  // between: until the log has gone on in another segment and releases what was before that.
  struct pin {
    log_index from;
    log_index highest;    // the last entry that another segment may have begun after
    std::uint64_t bytes;  // written since, at least
    bool rolled;          // another segment has begun for sure
  };

  // What a batch may take beside its entries: all other records, and an empty frame that follows it.
  static constexpr std::uint64_t most_besides = log_format::reset_bytes + log_format::truncate_bytes +
                                                log_format::state_bytes + log_format::alignment +
                                                log_format::frame_header_bytes;

  [[nodiscard]] static std::uint64_t least_bytes(const write_batch& batch) {
    std::uint64_t bytes = log_format::frame_header_bytes;
    for (const entry& e : batch.entries) bytes += log_format::entry_head_bytes + e.payload.size();
    return bytes;
  }

  void drop() {
    bytes_ -= frames_.front().bytes;
    found_ -= frames_.front().segments;
    frames_.pop_front();
  }

  std::deque<frame> frames_;
  std::deque<pin> pins_;
  std::uint64_t bytes_ = 0;       // of all frames
  std::size_t found_ = 0;         // segments that no frame here is known of
  bool asked_ = false;            // the next sync releases something
  std::size_t reset_frames_ = 0;  // those that the next sync frees
  log_index released_, wanted_, last_;
  std::uint64_t segment_bytes_ = 0;
  std::uint64_t largest_ = 0;  // capacity of any segment
};

}  // namespace confman::sim
