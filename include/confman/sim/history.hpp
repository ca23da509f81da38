// What clients asked, what they were answered, and whether one map, one operation after the other, could have
// answered so.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "confman/core/entry.hpp"
#include "confman/map/command.hpp"
#include "confman/map/map_view.hpp"
#include "confman/sim/dice.hpp"
#include "confman/sim/scenario.hpp"
#include "confman/sim/session_model.hpp"
#include "confman/sim/statistics.hpp"
#include "confman/sim/trace.hpp"

namespace confman::sim {

enum class call_kind : std::uint8_t {
  put,
  erase,
  exchange,
  open_session,
  piece,  // of a large value
  read_linearizable,
  read_at_least,
  read_local
};

// Every answer carries a place in the log (a write its own, a read that of the state it saw), so the order of
// operations is known and needs no search: replay the committed commands in that order, and check
//   - that every answer is what the replay gives at its place;
//   - that the order agrees with real time: what ended before another began comes first, also for writes
//     whose outcome the client never learnt, if they were applied at all;
//   - that nothing is applied twice, and that nothing is applied that was refused.
// Together these are linearizability (invariants 14, 15, 16 and 20), checked as the answers come.
class history {
 public:
  using call_id = std::uint64_t;

  history(const scenario& plan, trace& log, statistics& counts)
      : plan_(plan), trace_(log), counts_(counts), calls_(1), applied_(1), keys_(plan.keys) {}
  history(const history&) = delete;
  history& operator=(const history&) = delete;

  // What a command changed: what it wrote, or what there was before it was erased.
  struct key_change {
    std::uint64_t index = 0;
    term_t term;
    std::uint32_t key = 0;
    bool exists = false;
    call_id by = 0;  // whose value it is
  };

  // A client begins. Returns the call's number; it travels in the command as its timestamp, see stamp().
  // The author's clock may be far off: the last three digits say whose it was.
  [[nodiscard]] std::int64_t stamp(call_id id, node_id author) const noexcept {
    return (static_cast<std::int64_t>(id) + skew(author.value())) * 1000 +
           static_cast<std::int64_t>(author.value());
  }
  CONFMAN_DECL call_id begin(node_id at, call_kind kind, std::uint32_t key, std::uint64_t token = 0);
  [[nodiscard]] CONFMAN_DECL static std::string key_name(std::uint32_t key);
  // The value that a put or exchange writes: unique, and known from the number of the call.
  [[nodiscard]] CONFMAN_DECL std::string value_of(call_id id) const;
  // The revision of a key in the newest state that any node has applied, for comparing commands.
  [[nodiscard]] std::uint64_t revision_of(std::uint32_t key) const noexcept {
    return keys_[key].empty() || !keys_[key].back().exists ? 0 : keys_[key].back().index;
  }

  // A node executes an entry.
  CONFMAN_DECL void on_applied(node_id node, const entry& e, const apply_result& result);
  // A write is answered. Codes other than success, compare_failed, outcome_unknown and timed_out mean:
  // certainly not applied.
  CONFMAN_DECL void on_write(node_id node, call_id id, std::error_code code, const apply_result& result);
  // A write of a session whose outcome isn't known is sent again.
  CONFMAN_DECL void on_again(node_id node, call_id id);
  // The group may send it again by itself, until it knows the outcome.
  void may_repeat(call_id id) { calls_[id].sent_again = std::max(calls_[id].sent_again, 1u); }
  // A read may be answered from this state.
  CONFMAN_DECL void on_read(node_id node, call_id id, const map_view& state);
  // A read failed, or nobody is left who could answer the call.
  CONFMAN_DECL void on_lost(node_id node, call_id id, std::error_code code);

  // The end of the world: `term_at(index)` is the term of an entry of the converged log.
  template <class TermAt>
  void finish(const TermAt& term_at);

  // The place that a linearizable call beginning now must not come before.
  [[nodiscard]] std::uint64_t floor() const noexcept { return floor_; }
  [[nodiscard]] std::uint64_t applied() const noexcept { return applied_.size() - 1; }
  // Everything that was changed, in order.
  [[nodiscard]] const std::vector<key_change>& changes() const noexcept { return changes_; }

 private:
  enum class status : std::uint8_t { open, done, refused, unknown };
  struct call {
    call_kind kind = call_kind::put;
    status state = status::open;
    std::uint32_t key = 0;
    std::uint64_t floor = 0;    // it can't take effect at or before this index
    std::uint64_t applied = 0;  // the index at which it took effect
    std::uint64_t expired = 0;  // the index at which its session was gone
    unsigned sent_again = 0;
    version answered;
  };
  // What the command at an index did.
  struct effect {
    term_t term;
    call_id by = 0;  // 0: not a client's
    std::error_code code;
    std::uint64_t previous = 0;
    version at;  // as the answer says: of a write that was sent again, the first one's
  };
  struct change {
    std::uint64_t index = 0;
    bool exists = false;
    call_id by = 0;
  };

  // Milliseconds; one value per author.
  [[nodiscard]] std::int64_t skew(std::uint64_t author) const noexcept {
    return static_cast<std::int64_t>(dice(plan_.seed).fork(500 + author).below(2 * plan_.skew_ms + 1)) -
           static_cast<std::int64_t>(plan_.skew_ms);
  }
  [[nodiscard]] call_id call_of(std::int64_t stamp) const noexcept {
    const std::int64_t author = (stamp % 1000 + 1000) % 1000;
    return static_cast<call_id>((stamp - author) / 1000 - skew(static_cast<std::uint64_t>(author)));
  }
  [[nodiscard]] call_id effect_at(log_index index) const noexcept {
    return index.value() < applied_.size() ? applied_[index.value()].by : 0;
  }
  void replay(node_id node, const entry& e, const apply_result& result);
  void replay_command(const command_view& command, call& c, effect& done, const apply_result& result);
  [[nodiscard]] bool replay_session(const command_view& command, call& c, effect& done,
                                    const apply_result& result);
  [[nodiscard]] const change* at(std::uint32_t key, std::uint64_t revision) const noexcept;

  const scenario& plan_;
  trace& trace_;
  statistics& counts_;
  std::deque<call> calls_;
  std::vector<effect> applied_;            // by index
  std::vector<std::vector<change>> keys_;  // by key, in order of index
  std::vector<key_change> changes_;
  session_model sessions_;
  std::uint64_t floor_ = 0;
};

template <class TermAt>
void history::finish(const TermAt& term_at) {
  for (call_id id = 1; id < calls_.size(); ++id) {
    const call& c = calls_[id];
    if (c.state != status::done || c.kind >= call_kind::read_linearizable) continue;
    const term_t term = term_at(c.answered.index);
    if (term != c.answered.term || effect_at(c.answered.index) != id)
      trace_.fail(
          invariant::no_lost_acknowledgement,
          "write " + std::to_string(id) + " was acknowledged at " + std::to_string(c.answered.term.value()) +
              ":" + std::to_string(c.answered.index.value()) +
              ", where the log now holds another entry, of " + "term " + std::to_string(term.value()));
  }
}

}  // namespace confman::sim

#if !defined(CONFMAN_COMPILED)
#include "confman/sim/impl/history.ipp"
#endif
