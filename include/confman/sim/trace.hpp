// What happened, in a fixed-size form: hashed for comparison, the last of it kept for whoever reads a
// failure.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "confman/config.hpp"
#include "confman/core/chain.hpp"
#include "confman/core/message.hpp"
#include "confman/sim/timeline.hpp"
#include "confman/sim/violation.hpp"

namespace confman::sim {

enum class step : std::uint8_t {
  start,
  recovered,
  crash,
  leaves,
  stopped,
  clock_jump,
  rot,
  paused,
  resumed,
  power_loss,
  fuse,
  disk_error,
  stall,
  partition,
  heal,
  phase,
  sent,
  dropped,
  unreachable,
  delivered,
  write,
  appended,
  synced,
  role,
  committed,
  applied,
  called,
  answered,
  failed,
  snapshot_begun,
  snapshot_taken,
  piece,
  installed,
  fetched,
  members,
  change,
  change_ended,
  event,
  wiped,
  refused,
  watch_begun,
  watch_taken,
};

// Why a message was dropped: the link is cut, the dice say so, its connection broke, it arrived damaged, or
// nobody was there.
enum class loss : std::uint8_t { cut, drawn, connection, damaged, nobody };

// One thing that happened at a node. What a, b and c mean depends on the step; see describe().
struct trace_record {
  micros at = 0;
  step what = step::start;
  std::uint8_t node = 0;  // 0: the world
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  std::uint64_t c = 0;
};

[[nodiscard]] CONFMAN_DECL std::string describe(const trace_record& r);
// The index of a type of message in message_body.
template <class Body>
inline constexpr std::size_t type_of = std::size_t{message_body(Body{}).index()};
// The type of a message as an index into message_body, in words.
[[nodiscard]] CONFMAN_DECL const char* message_name(std::size_t index) noexcept;
// What is worth noting of a message: the previous index and count of an append, the match of an answer, and
// so on.
[[nodiscard]] CONFMAN_DECL std::uint64_t digest(const message& m) noexcept;

class trace {
 public:
  static constexpr std::size_t kept = 64;

  // `echo`: print every record as it comes.
  explicit trace(bool echo = false) : echo_(echo) {}

  // Virtual time, as the world knows it.
  void at(micros now) noexcept { now_ = now; }
  [[nodiscard]] micros now() const noexcept { return now_; }

  void note(step what, node_id node, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0) {
    trace_record& r = ring_[count_++ % kept];
    r = {now_, what, static_cast<std::uint8_t>(node.value()), a, b, c};
    const std::uint64_t head = now_ << 16 | static_cast<std::uint64_t>(what) << 8 | r.node;
    hash_ = confman::detail::fold_multiply(hash_ ^ head ^ 0x9E3779B97F4A7C15u, a ^ 0xD1B54A32D192ED03u) ^ b;
    hash_ = confman::detail::fold_multiply(hash_ ^ 0x8EBC6AF09C88C6E3u, c ^ 0x589965CC75374CC3u ^ hash_ << 1);
    if (echo_) print(r);
  }

  // Two runs with the same hash and count did the same.
  [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

  // The last records in order, one per line.
  [[nodiscard]] CONFMAN_DECL std::string tail() const;

  [[noreturn]] void fail(invariant which, const std::string& what) const {
    throw violation(which, now_, what);
  }

 private:
  CONFMAN_DECL static void print(const trace_record& r);

  std::array<trace_record, kept> ring_{};
  std::uint64_t count_ = 0;
  std::uint64_t hash_ = 0;
  micros now_ = 0;
  bool echo_;
};

}  // namespace confman::sim

#if !defined(CONFMAN_COMPILED)
#include "confman/sim/impl/trace.ipp"
#endif
