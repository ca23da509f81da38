// A network that delays, reorders, loses, repeats and cuts.
#pragma once

#include <array>
#include <cstdint>
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

namespace confman::sim {

// Draws each message's fate when it is sent, and schedules its delivery (event_kind::deliver, slot = message)
// for what arrives. With scenario::encode a message travels as the bytes of the real codec.
class network {
 public:
  static constexpr std::size_t max_nodes = 16;  // ids 1 to 15

  network(const scenario& plan, timeline<event>& time, statistics& counts)
      : plan_(plan), time_(time), counts_(counts), dice_(dice(plan.seed).fork(2)) {}
  network(const network&) = delete;
  network& operator=(const network&) = delete;

  CONFMAN_DECL void send(message&& m);
  // The message that a deliver event brings; taken once. errc::bad_frame when the codec can't read what it
  // wrote.
  [[nodiscard]] CONFMAN_DECL result<message> take(std::uint32_t slot);

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
  void calm() noexcept { calm_ = true; }

 private:
  using in_flight = std::variant<std::monostate, message, shared_bytes>;

  CONFMAN_DECL void send_shortened(const message& m);
  CONFMAN_DECL void post(in_flight&& m, node_id from, node_id to, micros delay);
  [[nodiscard]] CONFMAN_DECL micros draw_delay(node_id from, node_id to);
  static constexpr std::size_t kept_answers = 64;
  struct old_message {
    in_flight m;
    node_id from;
    node_id to;
  };

  const scenario& plan_;
  timeline<event>& time_;
  statistics& counts_;
  dice dice_;
  bool calm_ = false;
  std::array<std::array<bool, max_nodes>, max_nodes> cut_{};
  std::array<std::array<micros, max_nodes>, max_nodes> last_arrival_{};
  std::vector<in_flight> slots_;
  std::vector<std::uint32_t> free_;
  std::vector<old_message> old_;      // what may be replayed
  std::vector<old_message> answers_;  // ... to a new leader
};

}  // namespace confman::sim

#if !defined(CONFMAN_COMPILED)
#include "confman/sim/impl/network.ipp"
#endif
