#pragma once

#include <algorithm>
#include <utility>

#include "confman/sim/network.hpp"
#include "confman/sim/trace.hpp"
#include "confman/wire/message_codec.hpp"

namespace confman::sim {

CONFMAN_DECL micros network::draw_delay(node_id from, node_id to) {
  const micros jitter = calm_ ? std::min<micros>(plan_.jitter, 2000) : plan_.jitter;
  const micros latency = calm_ ? std::min<micros>(plan_.latency, 2000) : plan_.latency;
  micros delay = latency + dice_.below(jitter + 1);
  if (!plan_.in_order && !calm_) return delay;
  micros& last = last_arrival_[from.value()][to.value()];
  const micros arrival = std::max(time_.now() + delay, last);
  last = arrival;
  return arrival - time_.now();
}

CONFMAN_DECL void network::post(in_flight&& m, node_id from, node_id to, micros delay) {
  std::uint32_t slot;
  if (free_.empty()) {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.push_back(std::move(m));
  } else {
    slot = free_.back();
    free_.pop_back();
    slots_[slot] = std::move(m);
  }
  time_.schedule(delay, {event_kind::deliver, static_cast<std::uint8_t>(to.value()),
                         static_cast<std::uint32_t>(from.value()), slot});
}

CONFMAN_DECL void network::haunt(node_id to) {
  if (calm_ || plan_.replay == 0) return;
  for (const old_message& old : answers_) {
    if (old.to != to || dice_.coin()) continue;
    counts_.add(counted::replays);
    post(in_flight(old.m), old.from, to, dice_.skewed(0, plan_.election_timeout()));
  }
}

// Any leader might as well have sent fewer entries at a time: a follower can't rely on ours sending all that
// there are.
CONFMAN_DECL void network::send_shortened(const message& m) {
  const auto* append = std::get_if<append_request>(&m.body);
  if (!append || append->entries.empty() || calm_ || !dice_.chance(2 * plan_.duplication)) return;
  message shorter = m;
  auto& entries = std::get<append_request>(shorter.body).entries;
  entries.resize(dice_.below(entries.size()));
  counts_.add(counted::shortened_appends);
  post(in_flight(std::move(shorter)), m.from, m.to, draw_delay(m.from, m.to));
}

CONFMAN_DECL void network::send(message&& m) {
  counts_.add(counted::messages);
  const node_id from = m.from;
  const node_id to = m.to;
  if (!connected(from, to)) return counts_.add(counted::cut_messages);
  if (!calm_ && dice_.chance(plan_.loss)) return counts_.add(counted::lost_messages);
  send_shortened(m);
  const bool answer = m.body.index() == type_of<append_ok> || m.body.index() == type_of<vote_response> ||
                      m.body.index() == type_of<read_index_response>;
  in_flight travelling;
  if (plan_.encode) {
    counts_.add(counted::encoded_messages);
    gather_buffer bytes;
    encode_message(m, bytes);
    travelling = shared_bytes::copy(bytes.str());
  } else {
    travelling = std::move(m);
  }
  if (!calm_ && plan_.replay != 0) {
    if (old_.size() < 16)
      old_.push_back({travelling, from, to});
    else if (dice_.chance(50))
      old_[dice_.below(old_.size())] = {travelling, from, to};
    if (answer && answers_.size() < kept_answers)
      answers_.push_back({travelling, from, to});
    else if (answer && dice_.chance(300))
      answers_[dice_.below(answers_.size())] = {travelling, from, to};
    if (dice_.chance(plan_.replay)) {
      const old_message& again = old_[dice_.below(old_.size())];
      counts_.add(counted::replays);
      post(in_flight(again.m), again.from, again.to, dice_.skewed(0, 10 * plan_.election_timeout()));
    }
  }
  if (!calm_ && dice_.chance(plan_.duplication)) {
    counts_.add(counted::duplicates);
    post(in_flight(travelling), from, to, draw_delay(from, to));
  }
  post(std::move(travelling), from, to, draw_delay(from, to));
}

CONFMAN_DECL result<message> network::take(std::uint32_t slot) {
  in_flight taken = std::exchange(slots_[slot], std::monostate{});
  free_.push_back(slot);
  if (message* m = std::get_if<message>(&taken)) return std::move(*m);
  return decode_message(std::get<shared_bytes>(taken));
}

}  // namespace confman::sim
