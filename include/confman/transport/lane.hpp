// Which messages may pass which others on their way to one peer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <variant>

#include "confman/core/message.hpp"

namespace confman {

// Between two nodes messages of one lane keep their order; a message of a lane above passes those below.
enum class lane : std::uint8_t {
  urgent = 0,    // small, and elections, reads or writers wait for it
  ordinary = 1,  // the log and what is bound for it
  bulk = 2,  // pieces of snapshots: they take what the others leave, and a small share when that's nothing
};
inline constexpr std::size_t lane_count = 3;

template <class T>
using per_lane = std::array<T, lane_count>;

[[nodiscard]] constexpr std::size_t number(lane l) noexcept {
  return static_cast<std::size_t>(l);
}

// What a sender may have queued in the bulk lane to one peer unless an option says otherwise, in bytes.
inline constexpr std::size_t default_max_bulk_bytes = std::size_t{8} << 20;

// Raft stands any order (paper, 5.5), so this is about waiting only. Appends of any size are one lane: a
// small one that passed a large one would be rejected and sent again. A commit notice says nothing before
// the entries it speaks of are there. An answer to a forwarded write is urgent unless it is large itself.
[[nodiscard]] inline lane lane_of(const message_body& body) noexcept {
  constexpr std::size_t large_answer = 16 * 1024;
  if (std::holds_alternative<snapshot_piece>(body)) return lane::bulk;
  if (std::holds_alternative<append_request>(body) || std::holds_alternative<forward_request>(body) ||
      std::holds_alternative<commit_notice>(body))
    return lane::ordinary;
  if (const auto* answer = std::get_if<forward_response>(&body);
      answer && answer->result.size() > large_answer)
    return lane::ordinary;
  return lane::urgent;
}

}  // namespace confman
