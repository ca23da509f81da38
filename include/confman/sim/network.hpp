// A network that delays, reorders, loses, repeats and cuts.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "confman/core/message.hpp"
#include "confman/core/shared_bytes.hpp"
#include "confman/error.hpp"
#include "confman/sim/dice.hpp"
#include "confman/sim/event.hpp"
#include "confman/sim/scenario.hpp"
#include "confman/sim/statistics.hpp"
#include "confman/sim/timeline.hpp"
#include "confman/sim/trace.hpp"

namespace confman::sim {

// Draws each message's fate when it is sent, and schedules its delivery (event_kind::deliver, slot = message)
// for what arrives. With scenario::encode a message travels as the bytes of the real codec.
//
// Each link has a connection that breaks when a frame arrives damaged or cut off, or in a storm of
// reconnects: what is on its way then is lost, what is sent later travels on the next connection.
class network {
 public:
  static constexpr std::size_t max_nodes = most_nodes + 1;  // ids begin with 1

  network(const scenario& plan, timeline<event>& time, statistics& counts, trace& log)
      : plan_(plan), time_(time), counts_(counts), log_(log) {
    const dice all = dice(plan.seed).fork(2);
    for (std::size_t i = 0; i < max_nodes * max_nodes; ++i) dice_.push_back(dice(all).fork(i));
  }
  network(const network&) = delete;
  network& operator=(const network&) = delete;

  // Takes a message on its way, or loses it; what is lost is in the trace, with its reason.
  CONFMAN_DECL void send(message&& m);
  // Counts a message that doesn't arrive as `what`, and leaves it in the trace.
  CONFMAN_DECL void lose(node_id from, node_id to, loss why, counted what);
  // A process has ended: `node` learns of it as a transport does, by a connection that breaks.
  void peer_ended(node_id node, node_id ended) {
    if (!calm_ && connected(ended, node)) tell_unreachable(node, ended);
  }
  // The message that a deliver event brings; taken once. Nothing: it was lost with its connection.
  // errc::bad_frame when the codec can't read what it wrote, or reads what was damaged on the way.
  [[nodiscard]] CONFMAN_DECL std::optional<result<message>> take(std::uint32_t slot);
  // Whether a stream of these bytes gives its reader a frame.
  [[nodiscard]] CONFMAN_DECL static bool gives_frame(std::string_view bytes);

  // One direction of one link. What is on its way when a link is cut is lost.
  void cut(node_id from, node_id to) noexcept { cut_[from.value()][to.value()] = true; }
  void heal() noexcept { cut_ = {}; }
  [[nodiscard]] bool connected(node_id from, node_id to) const noexcept {
    return !cut_[from.value()][to.value()];
  }
  // Some of the old answers to this node come again soon: what a new leader, or a process that has just
  // begun, must not be impressed by. Only with scenario::replay.
  CONFMAN_DECL void haunt(node_id to);
  // No loss, no duplicates, short delays and order on each link from now on.
  CONFMAN_DECL void calm() noexcept;

 private:
  using in_flight = std::variant<std::monostate, message, shared_bytes>;

  enum class damage : std::uint8_t { none, flipped, cut_off };
  struct carried {
    in_flight m;
    node_id from;
    node_id to;
    std::uint32_t connection = 0;
    damage hurt = damage::none;
  };
  // One direction between two nodes.
  struct link_state {
    std::uint32_t connection = 0;  // counts them
    micros storm_until = 0;        // connections break all the time
    micros spike_until = 0;        // nothing arrives
  };

  CONFMAN_DECL void post(in_flight&& m, node_id from, node_id to, micros delay, damage hurt = damage::none);
  CONFMAN_DECL void send_shortened(const message& m, dice& own);
  CONFMAN_DECL void draw_troubles(node_id from, node_id to);
  CONFMAN_DECL void break_connection(node_id from, node_id to);
  CONFMAN_DECL void tell_unreachable(node_id from, node_id to);
  CONFMAN_DECL failure arrive_damaged(const carried& c);
  [[nodiscard]] CONFMAN_DECL micros draw_delay(node_id from, node_id to);
  [[nodiscard]] dice& link(node_id from, node_id to) noexcept {
    return dice_[from.value() * max_nodes + to.value()];
  }
  static constexpr std::size_t kept_answers = 64;
  struct old_message {
    in_flight m;
    node_id from;
    node_id to;
  };

  const scenario& plan_;
  timeline<event>& time_;
  statistics& counts_;
  trace& log_;
  std::vector<dice> dice_;  // one per link, so that more or less traffic on one changes nothing on another
  bool calm_ = false;
  std::array<std::array<bool, max_nodes>, max_nodes> cut_{};
  std::array<std::array<micros, max_nodes>, max_nodes> last_arrival_{};
  std::array<std::array<link_state, max_nodes>, max_nodes> links_{};
  std::vector<carried> slots_;
  std::vector<std::uint32_t> free_;
  std::vector<old_message> old_;      // what may be replayed
  std::vector<old_message> answers_;  // ... to a new leader
};

}  // namespace confman::sim

#if !defined(CONFMAN_COMPILED)
#include "confman/sim/impl/network.ipp"
#endif
