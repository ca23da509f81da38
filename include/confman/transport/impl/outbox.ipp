#pragma once

#include <algorithm>

#include "confman/transport/detail/outbox.hpp"
#include "confman/transport/framing.hpp"

namespace confman::detail {

CONFMAN_DECL std::size_t outbox::max_bytes(lane l) const noexcept {
  switch (l) {
    case lane::urgent:
      return options_->max_urgent_bytes;
    case lane::ordinary:
      return options_->max_queued_bytes;
    case lane::bulk:
      break;
  }
  return options_->max_bulk_bytes;
}

CONFMAN_DECL outbox::pushed outbox::push(const message& m, std::size_t size) {
  const lane l = lane_of(m.body);
  lane_queue& mine = lanes_[number(l)];
  const std::size_t limit = max_bytes(l);
  const std::size_t frame = frame_header_bytes + size;
  if (mine.messages >= options_->max_queued_messages || mine.bytes > limit || frame > limit - mine.bytes)
    return std::exchange(mine.full, true) ? pushed::still_full : pushed::full;
  batch& b = batch_for(l, frame);
  append_message_frame(m, b.bytes);
  ++b.messages;
  ++mine.messages;
  mine.bytes += frame;
  return pushed::queued;
}

// The batch to append a frame of `size` bytes to.
CONFMAN_DECL outbox::batch& outbox::batch_for(lane l, std::size_t size) {
  lane_queue& mine = lanes_[number(l)];
  if (!mine.queue.empty() && l != lane::bulk) {
    batch& last = *mine.queue.back();
    if (last.bytes.size() + size <= max_batch_bytes && last.bytes.pieces() < max_batch_pieces) return last;
  }
  mine.queue.push_back(mine.spare ? std::move(mine.spare) : std::make_unique<batch>());
  return *mine.queue.back();
}

CONFMAN_DECL std::unique_ptr<outbox::batch> outbox::pop(lane_queue& l) {
  if (l.queue.empty()) return nullptr;
  std::unique_ptr<batch> first = std::move(l.queue.front());
  l.queue.pop_front();
  return first;
}

CONFMAN_DECL outbox::portion outbox::take() {
  portion p;
  bool others_wait = false;
  std::size_t others = 0;
  for (const lane l : {lane::urgent, lane::ordinary}) {
    lane_queue& mine = lanes_[number(l)];
    p[number(l)] = pop(mine);
    if (p[number(l)]) others += p[number(l)]->bytes.size();
    others_wait = others_wait || !mine.queue.empty();
  }
  lane_queue& bulk = lanes_[number(lane::bulk)];
  if (bulk.queue.empty()) return p;
  passed_bulk_ += others;
  if (others_wait && passed_bulk_ < bulk_turn_bytes) return p;
  p[number(lane::bulk)] = pop(bulk);
  passed_bulk_ = 0;
  return p;
}

CONFMAN_DECL void outbox::give_back(portion&& written) {
  for (std::size_t i = 0; i < lane_count; ++i) {
    std::unique_ptr<batch> b = std::move(written[i]);
    if (!b) continue;
    lane_queue& mine = lanes_[i];
    mine.messages -= b->messages;
    mine.bytes -= b->bytes.size();
    b->bytes.clear();
    b->messages = 0;
    if (!mine.spare) mine.spare = std::move(b);
    if (mine.messages <= options_->max_queued_messages / 2 &&
        mine.bytes <= max_bytes(static_cast<lane>(i)) / 2)
      mine.full = false;
  }
}

CONFMAN_DECL void outbox::clear() {
  for (lane_queue& l : lanes_) {
    l.queue.clear();
    l.bytes = 0;
    l.messages = 0;
    l.full = false;
  }
  passed_bulk_ = 0;
}

}  // namespace confman::detail
