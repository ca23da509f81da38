// What waits to be sent to one peer, in lanes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "confman/config.hpp"
#include "confman/core/message.hpp"
#include "confman/transport/lane.hpp"
#include "confman/transport/tcp_options.hpp"
#include "confman/wire/gather_buffer.hpp"

namespace confman::detail {

// Frames in three queues, given out in portions of one gather write each. A portion holds, in this order, at
// most one batch of urgent frames, one of ordinary frames and one bulk frame; so an urgent frame waits for at
// most the portion under way, and an ordinary one for at most one bulk frame between two ordinary batches.
// Free of I/O. Not thread-safe.
//
// Invariants:
//   1. each lane's counts are those of its queue and of the portions taken but not given back.
//   2. a lane's counts stay within its bounds.
//   3. a batch is larger than max_batch_bytes only if it is a single frame; one of the bulk lane always is.
class outbox {
 public:
  static constexpr std::size_t max_batch_bytes = std::size_t{256} << 10;
  static constexpr std::size_t max_batch_pieces = 64;  // what one writev of Asio's takes
  // While the other lanes never run dry, the bulk lane gets one frame after this many bytes of theirs.
  static constexpr std::size_t bulk_turn_bytes = std::size_t{1} << 20;

  struct batch {
    gather_buffer bytes;
    std::size_t messages = 0;
  };
  using portion = per_lane<std::unique_ptr<batch>>;

  // The options must outlive this object.
  explicit outbox(const tcp_options& options) : options_(&options) {}

  enum class pushed {
    queued,
    full,        // dropped: the lane is full
    still_full,  // dropped, and nothing has changed much since that was last said
  };
  // `size`: encoded_message_size(m).
  [[nodiscard]] CONFMAN_DECL pushed push(const message& m, std::size_t size);

  [[nodiscard]] bool empty() const noexcept {
    for (const auto& l : lanes_)
      if (!l.queue.empty()) return false;
    return true;
  }
  // What to write next. Precondition: not empty().
  [[nodiscard]] CONFMAN_DECL portion take();
  // That portion was written: its bytes don't count any more.
  CONFMAN_DECL void give_back(portion&& written);
  // Drops everything; portions still out must not be given back.
  CONFMAN_DECL void clear();

  // Frame bytes and messages that count against the lane's bounds.
  [[nodiscard]] std::size_t bytes(lane l) const noexcept { return lanes_[number(l)].bytes; }
  [[nodiscard]] std::size_t messages(lane l) const noexcept { return lanes_[number(l)].messages; }
  [[nodiscard]] std::size_t bulk_room() const noexcept {
    const std::size_t limit = max_bytes(lane::bulk);
    return limit - std::min(limit, bytes(lane::bulk));
  }

 private:
  struct lane_queue {
    std::deque<std::unique_ptr<batch>> queue;
    std::unique_ptr<batch> spare;
    std::size_t bytes = 0;
    std::size_t messages = 0;
    bool full = false;  // said so; until it is half empty
  };

  [[nodiscard]] CONFMAN_DECL std::size_t max_bytes(lane l) const noexcept;
  [[nodiscard]] batch& batch_for(lane l, std::size_t size);
  [[nodiscard]] static std::unique_ptr<batch> pop(lane_queue& l);

  const tcp_options* options_;
  per_lane<lane_queue> lanes_;
  std::size_t passed_bulk_ = 0;  // bytes that other lanes sent since a bulk frame had its turn
};

}  // namespace confman::detail

#if !defined(CONFMAN_COMPILED)
#include "confman/transport/impl/outbox.ipp"
#endif
