#pragma once

#include <algorithm>
#include <utility>

#include "confman/sim/network.hpp"
#include "confman/sim/trace.hpp"
#include "confman/transport/framing.hpp"
#include "confman/wire/message_codec.hpp"

namespace confman::sim {

CONFMAN_DECL micros network::draw_delay(node_id from, node_id to) {
  const micros jitter = calm_ ? std::min<micros>(plan_.jitter, 2000) : plan_.jitter;
  const micros latency = calm_ ? std::min<micros>(plan_.latency, 2000) : plan_.latency;
  micros delay = latency + link(from, to).below(jitter + 1);
  if (const micros spike = links_[from.value()][to.value()].spike_until; time_.now() < spike)
    delay += spike - time_.now();
  if (!plan_.in_order && !calm_) return delay;
  micros& last = last_arrival_[from.value()][to.value()];
  const micros arrival = std::max(time_.now() + delay, last);
  last = arrival;
  return arrival - time_.now();
}

CONFMAN_DECL void network::post(in_flight&& m, node_id from, node_id to, micros delay, damage hurt) {
  std::uint32_t slot;
  if (free_.empty()) {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  slots_[slot] = {std::move(m), from, to, links_[from.value()][to.value()].connection, hurt};
  time_.schedule(delay, {event_kind::deliver, static_cast<std::uint8_t>(to.value()),
                         static_cast<std::uint32_t>(from.value()), slot});
}

// Nothing that a spike has held up comes later: its connection is given up.
CONFMAN_DECL void network::calm() noexcept {
  calm_ = true;
  for (std::uint64_t from = 1; from < max_nodes; ++from) {
    for (std::uint64_t to = 1; to < max_nodes; ++to) {
      link_state& state = links_[from][to];
      const bool held_up = last_arrival_[from][to] > time_.now() + plan_.latency + plan_.jitter;
      if (state.spike_until > time_.now() || held_up) break_connection(node_id(from), node_id(to));
      state.spike_until = state.storm_until = 0;
    }
  }
}

CONFMAN_DECL void network::break_connection(node_id from, node_id to) {
  ++links_[from.value()][to.value()].connection;
  last_arrival_[from.value()][to.value()] = 0;
  counts_.add(counted::broken_connections);
  tell_unreachable(from, to);
}

// A transport notices sooner or later, or not at all before the next connection stands.
CONFMAN_DECL void network::tell_unreachable(node_id from, node_id to) {
  dice& own = link(from, to);
  if (own.chance(200)) return;
  time_.schedule(own.skewed(0, plan_.election_timeout()),
                 {event_kind::unreachable, static_cast<std::uint8_t>(from.value()), 0,
                  static_cast<std::uint32_t>(to.value())});
}

CONFMAN_DECL void network::lose(node_id from, node_id to, loss why, counted what) {
  counts_.add(what);
  log_.note(step::dropped, from, to.value(), static_cast<std::uint64_t>(why));
}

CONFMAN_DECL void network::draw_troubles(node_id from, node_id to) {
  dice& own = link(from, to);
  link_state& state = links_[from.value()][to.value()];
  if (plan_.spikes != 0 && own.chance(plan_.spikes)) {
    counts_.add(counted::delay_spikes);
    state.spike_until = time_.now() + own.skewed(1000, 4 * plan_.election_timeout());
  }
  if (plan_.storms != 0 && own.chance(plan_.storms)) {
    counts_.add(counted::reconnect_storms);
    state.storm_until = time_.now() + own.skewed(1000, 4 * plan_.election_timeout());
  }
  if (time_.now() < state.storm_until && own.chance(300)) break_connection(from, to);
}

CONFMAN_DECL bool network::gives_frame(std::string_view bytes) {
  frame_reader reader(std::size_t{1} << 24, std::size_t{1} << 12);
  frame found;
  while (!bytes.empty()) {
    std::size_t read = 0;
    for (const std::span<char> room : reader.prepare()) {
      const std::size_t part = std::min(room.size(), bytes.size());
      std::copy_n(bytes.begin(), part, room.begin());
      bytes.remove_prefix(part);
      read += part;
    }
    reader.commit(read);
    if (reader.next(found)) return true;
    if (reader.error()) return false;
  }
  return false;
}

// With the bytes of a real frame: no reader may take it for one, and the connection ends there.
CONFMAN_DECL failure network::arrive_damaged(const carried& c) {
  dice& own = link(c.from, c.to);
  const result<message> whole = decode_message(std::get<shared_bytes>(c.m));
  if (!whole) return whole.error();
  gather_buffer out;
  append_message_frame(*whole, out);
  std::string bytes = out.str();
  if (c.hurt == damage::cut_off) {
    bytes.resize(own.below(bytes.size()));
  } else {
    char& hurt = bytes[own.below(bytes.size())];
    hurt = static_cast<char>(hurt ^ 1 << own.below(8));
  }
  counts_.add(c.hurt == damage::cut_off ? counted::cut_frames : counted::flipped_frames);
  break_connection(c.from, c.to);
  if (gives_frame(bytes)) return {errc::bad_frame, "a frame that was damaged on its way is taken for good"};
  return {};
}

CONFMAN_DECL void network::haunt(node_id to) {
  if (calm_ || plan_.replay == 0) return;
  dice& own = link(node_id{}, to);
  for (const old_message& old : answers_) {
    if (old.to != to || own.coin()) continue;
    counts_.add(counted::replays);
    post(in_flight(old.m), old.from, to, own.skewed(0, plan_.election_timeout()));
  }
}

// Any leader might as well have sent fewer entries at a time: a follower can't rely on ours sending all that
// there are.
CONFMAN_DECL void network::send_shortened(const message& m, dice& own) {
  const auto* append = std::get_if<append_request>(&m.body);
  if (!append || append->entries.empty() || calm_ || !own.chance(2 * plan_.duplication)) return;
  message shorter = m;
  auto& entries = std::get<append_request>(shorter.body).entries;
  entries.resize(own.below(entries.size()));
  counts_.add(counted::shortened_appends);
  post(in_flight(std::move(shorter)), m.from, m.to, draw_delay(m.from, m.to));
}

CONFMAN_DECL void network::send(message&& m) {
  counts_.add(counted::messages);
  const node_id from = m.from;
  const node_id to = m.to;
  if (!connected(from, to)) return lose(from, to, loss::cut, counted::cut_messages);
  dice& own = link(from, to);
  if (!calm_ && own.chance(plan_.loss)) return lose(from, to, loss::drawn, counted::lost_messages);
  send_shortened(m, own);
  if (!calm_) draw_troubles(from, to);
  const bool answer = m.body.index() == type_of<append_ok> || m.body.index() == type_of<vote_response> ||
                      m.body.index() == type_of<read_index_response>;
  const bool asks_to_stand = m.body.index() == type_of<timeout_now>;
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
    else if (own.chance(50))
      old_[own.below(old_.size())] = {travelling, from, to};
    if (answer && answers_.size() < kept_answers)
      answers_.push_back({travelling, from, to});
    else if (answer && own.chance(300))
      answers_[own.below(answers_.size())] = {travelling, from, to};
    if (own.chance(plan_.replay)) {
      const old_message& again = old_[own.below(old_.size())];
      counts_.add(counted::replays);
      post(in_flight(again.m), again.from, again.to, own.skewed(0, 10 * plan_.election_timeout()));
    }
    // For whom it makes stand, the moment is what counts: in the middle of the election, or of the next life.
    for (int i = 0; asks_to_stand && i < 3; ++i)
      post(in_flight(travelling), from, to,
           own.skewed(0, 4 * (plan_.latency + plan_.jitter + plan_.sync_time)));
  }
  if (!calm_ && own.chance(plan_.duplication)) {
    counts_.add(counted::duplicates);
    post(in_flight(travelling), from, to, draw_delay(from, to));
  }
  damage hurt = damage::none;
  if (!calm_ && plan_.encode && plan_.flips != 0 && own.chance(plan_.flips)) hurt = damage::flipped;
  if (!calm_ && plan_.encode && plan_.cut_frames != 0 && own.chance(plan_.cut_frames)) hurt = damage::cut_off;
  post(std::move(travelling), from, to, draw_delay(from, to), hurt);
}

CONFMAN_DECL std::optional<result<message>> network::take(std::uint32_t slot) {
  carried taken = std::exchange(slots_[slot], carried{});
  free_.push_back(slot);
  if (taken.connection != links_[taken.from.value()][taken.to.value()].connection) {
    lose(taken.from, taken.to, loss::connection, counted::lost_in_flight);
    return {};
  }
  if (taken.hurt != damage::none) {
    log_.note(step::dropped, taken.from, taken.to.value(), static_cast<std::uint64_t>(loss::damaged));
    if (failure bad = arrive_damaged(taken)) return bad;
    return {};
  }
  if (message* m = std::get_if<message>(&taken.m)) return std::move(*m);
  return decode_message(std::get<shared_bytes>(taken.m));
}

}  // namespace confman::sim
