// What clients asked, what they were answered, and whether one map, one operation after the other, could have
// answered so.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "confman/core/entry.hpp"
#include "confman/map/command.hpp"
#include "confman/map/map_view.hpp"
#include "confman/sim/dice.hpp"
#include "confman/sim/recorded_call.hpp"
#include "confman/sim/scenario.hpp"
#include "confman/sim/session_model.hpp"
#include "confman/sim/statistics.hpp"
#include "confman/sim/trace.hpp"
#include "confman/sim/upload_model.hpp"

namespace confman::sim {

enum class call_kind : std::uint8_t {
  put,
  erase,
  exchange,
  compare_erase,
  open_session,
  piece,   // of a large value
  upkeep,  // a session is kept alive, or closed
  application,
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
      : plan_(plan),
        trace_(log),
        counts_(counts),
        calls_(1),
        applied_(1),
        keys_(plan.keys),
        sessions_(plan.max_sessions) {
    for (std::size_t i = 0; i < clocks; ++i)
      skews_[i].push_back(
          static_cast<std::int64_t>(dice(plan.seed).fork(500 + i).below(2 * plan.skew_ms + 1)) -
          static_cast<std::int64_t>(plan.skew_ms));
  }
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

  // The timestamp of a call's command, which names the call. The author's clock may be far off, and jump: the
  // last three digits say whose it was, and after how many jumps.
  [[nodiscard]] std::int64_t stamp(call_id id, node_id author) const noexcept {
    const std::vector<std::int64_t>& skews = skews_[author.value() % clocks];
    return (static_cast<std::int64_t>(id) + skews.back()) * 1000 +
           static_cast<std::int64_t>(author.value() % clocks + clocks * (skews.size() - 1));
  }
  // A node's wall clock jumps by so many milliseconds. It does so a limited number of times.
  void jump(node_id author, std::int64_t by) {
    std::vector<std::int64_t>& skews = skews_[author.value() % clocks];
    if (skews.size() < 1000 / clocks) skews.push_back(skews.back() + by);
  }
  // A new process: what it shows may be older than what the one before it has shown.
  void restarted(node_id node) noexcept { shown_[node.value()] = 0; }
  // A client asks `at` for something. Returns the call's number. `token`: the revision that a read asks for.
  CONFMAN_DECL call_id begin(node_id at, call_kind kind, std::uint32_t key, std::uint64_t token = 0);
  [[nodiscard]] CONFMAN_DECL static std::string key_name(std::uint32_t key);
  // The value that a put or exchange writes: unique, and known from the number of the call.
  [[nodiscard]] CONFMAN_DECL std::string value_of(call_id id) const;
  // The revision of a key in the newest state that any node has applied, for comparing commands.
  [[nodiscard]] std::uint64_t revision_of(std::uint32_t key) const noexcept {
    return keys_[key].empty() || !keys_[key].back().exists ? 0 : keys_[key].back().index;
  }

  // From now on every call is also written there, at the place of its number. Before the first one.
  void record_calls(std::vector<recorded_call>& calls) {
    record_ = &calls;
    calls.assign(1, {});
  }
  // What a call sends; `value`: the whole one, also if it went in pieces.
  CONFMAN_DECL void on_sent(call_id id, const command_view& command, std::string_view value);

  // A node executes an entry.
  CONFMAN_DECL void on_applied(node_id node, const entry& e, const apply_result& result);
  // A write is answered. Codes other than success, compare_failed, outcome_unknown and timed_out mean:
  // certainly not applied.
  CONFMAN_DECL void on_write(node_id node, call_id id, std::error_code code, const apply_result& result);
  // A write fails, and its client may send it again. Unless it was sent again before, a code that says so
  // means: certainly not applied, and it won't be before it is sent again.
  CONFMAN_DECL void on_refused(node_id node, call_id id, std::error_code code);
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
  // Values that have arrived in part, as of applied().
  [[nodiscard]] std::size_t uploads() const noexcept { return uploads_.size(); }
  // Everything that was changed, in order.
  [[nodiscard]] const std::vector<key_change>& changes() const noexcept { return changes_; }

 private:
  enum class status : std::uint8_t { open, done, refused, unknown };
  struct call {
    call_kind kind = call_kind::put;
    status state = status::open;
    std::uint32_t key = 0;
    std::uint64_t floor = 0;        // it can't take effect at or before this index
    std::uint64_t applied = 0;      // the index at which it took effect
    std::uint64_t expired = 0;      // the index at which its session was gone
    unsigned sent_again = 0;        // by its client, or perhaps by the group
    unsigned times_sent_again = 0;  // by its client
    bool withdrawn = false;         // it is certainly not on its way
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
    std::uint64_t created = 0;  // the index that brought the key into being
    std::uint64_t writes = 0;   // since then
  };

  // Whose time stamps they are: a node's, or of the uploads of a client, which may share one with a node.
  static constexpr std::size_t clocks = 16;

  // 0: no call's.
  [[nodiscard]] call_id call_of(std::int64_t stamp) const noexcept {
    const std::int64_t digits = (stamp % 1000 + 1000) % 1000;
    const auto clock = static_cast<std::size_t>(digits) % clocks;
    const auto jumps = static_cast<std::size_t>(digits) / clocks;
    if (jumps >= skews_[clock].size()) return 0;
    return static_cast<call_id>((stamp - digits) / 1000 - skews_[clock][jumps]);
  }
  [[nodiscard]] call_id effect_at(log_index index) const noexcept {
    return index.value() < applied_.size() ? applied_[index.value()].by : 0;
  }
  [[nodiscard]] recorded_call* recorded(call_id id, recorded_call::ending end);
  void replay(node_id node, const entry& e, const apply_result& result);
  void replay_command(const command_view& command, call& c, effect& done);
  [[nodiscard]] bool replay_session(const command_view& command, call& c, effect& done,
                                    const apply_result& result);
  void replay_application(const command_view& command, effect& done);
  [[nodiscard]] const change* at(std::uint32_t key, std::uint64_t revision) const noexcept;
  [[nodiscard]] bool shows(const record& found, const change& expected) const;
  void check_scan(node_id node, const map_view& state, std::string_view prefix) const;

  const scenario& plan_;
  trace& trace_;
  statistics& counts_;
  std::deque<call> calls_;
  std::vector<effect> applied_;            // by index
  std::vector<std::vector<change>> keys_;  // by key, in order of index
  session_model sessions_;
  upload_model uploads_;
  std::vector<key_change> changes_;
  std::map<std::string, std::uint64_t, std::less<>> own_;  // the revisions of an application's keys
  bool application_writes_ = false;
  std::uint64_t floor_ = 0;
  std::array<std::uint64_t, clocks> shown_{};              // by node: the newest state that it showed
  std::array<std::vector<std::int64_t>, clocks> skews_{};  // by clock: milliseconds, after each jump
  std::vector<recorded_call>* record_ = nullptr;
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
