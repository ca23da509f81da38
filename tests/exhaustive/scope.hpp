// What one search covers, and the steps of which its paths are made.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "confman/core/joint_change.hpp"

namespace confman::exhaustive {

inline constexpr unsigned most_nodes = 4;
inline constexpr unsigned most_terms = 5;
inline constexpr unsigned most_entries = 15;

// A rule that is broken on purpose outside of the core, to show that the search notices.
enum class broken : std::uint8_t {
  nothing,
  store_claims,    // a write counts as durable when it is handed out
  store_loses,     // a crash takes the last durable entry with it
  vote_forgotten,  // a restart finds the term, but not the vote
  refusal_grants,  // a refused vote arrives as a grant, too
  old_append_ok,   // an acknowledgement of an old term is delivered as one of the receiver's term
  echoed_beat,     // the answer to a heartbeat is made up as soon as the heartbeat leaves
  stored_twice,    // a write is acknowledged twice: the core's own assertion must end the run
  entry_tampered,  // a command arrives with another payload, too
  members_jump,    // a change of members arrives as another one, too, that leaves one voter alone
  hidden_state,    // a node behaves according to something that its hash doesn't show
  alive_is_dead,   // appends of an earlier term are taken for messages that are ignored
};

struct scope {
  std::string name;
  std::string what;        // in one line
  unsigned nodes = 3;      // ids 1 to nodes
  unsigned voters = 3;     // ids 1 to voters are the members at the start
  bool bound = true;       // their data directories are bound at the start
  unsigned terms = 3;      // nobody campaigns beyond
  unsigned timeouts = 0;   // of nodes that don't lead
  unsigned beats = 0;      // ticks of leaders: heartbeats, check-quorum
  unsigned proposals = 0;  // and so on: how often in one run
  unsigned crashes = 0;
  unsigned duplicates = 0;
  unsigned changes = 0;
  unsigned reads = 0;
  unsigned snapshots = 0;
  // Kinds of messages, as bits 1 << message_body::index(): those that arrive as soon as they are sent, and
  // those that are always lost.
  std::uint32_t at_once = 0;
  std::uint32_t lost = 0;
  // A message that hasn't arrived is lost when another of its kind follows from the same node to the same.
  bool newest_only = false;
  // What is written is durable as soon as it is handed out: half as many steps for the same, no crash
  // between.
  bool stored_at_once = false;
  // Messages that their receivers certainly ignore stay in flight: for rules broken inside of the core.
  bool keep_ignored = false;
  unsigned writes = 1;                               // handed out and not durable yet, per node
  std::vector<std::vector<member_change>> change{};  // the first, the second and so on
  std::string start{};  // what happens before the search begins, see search::prepare()
  std::uint64_t states = 4'000'000;
  broken rule = broken::nothing;
  std::string expected{};  // broken on purpose: part of what the search must say, and all that it looks for

  [[nodiscard]] bool looks_for(const std::string& wrong) const {
    return wrong.find(expected) != std::string::npos;
  }
};

enum class step : std::uint8_t {
  tick,
  propose,
  store,  // the oldest write becomes durable
  crash,
  change,
  read,
  snapshot,
  deliver,
  duplicate,  // delivered, and still in flight
};
inline constexpr const char* step_letters = "tpwcmrsdD";
inline constexpr unsigned steps_without_message = 7;

// One step: what, and to which node with which detail, or for messages which.
struct action {
  step what = step::tick;
  std::uint32_t node = 0;
  std::uint32_t detail = 0;  // crash: how much of the writes in flight survives; messages: number of it

  [[nodiscard]] bool of_message() const noexcept { return what >= step::deliver; }
  [[nodiscard]] std::uint32_t code() const noexcept {
    return static_cast<std::uint32_t>(what) << 28 | (of_message() ? detail : node << 8 | detail);
  }
  [[nodiscard]] static action from(std::uint32_t code) noexcept {
    action a{static_cast<step>(code >> 28)};
    const std::uint32_t rest = code & 0xfffffffu;
    if (a.of_message())
      a.detail = rest;
    else
      a.node = rest >> 8, a.detail = rest & 0xff;
    return a;
  }
};

// How often each step with a budget was taken: 4 bits each.
class spent {
 public:
  enum what : unsigned { timeouts, beats, proposals, crashes, duplicates, changes, reads, snapshots };

  spent() = default;
  explicit spent(std::uint32_t packed) : packed_(packed) {}
  [[nodiscard]] std::uint32_t packed() const noexcept { return packed_; }
  [[nodiscard]] unsigned of(what w) const noexcept { return packed_ >> (4 * w) & 15u; }
  void one(what w) noexcept { packed_ += 1u << (4 * w); }

 private:
  std::uint32_t packed_ = 0;
};

// The configurations that the program knows, by name.
[[nodiscard]] const std::vector<scope>& all_scopes();
// Rules that are broken on purpose, each in a scope in which that is found fast.
[[nodiscard]] const std::vector<scope>& broken_scopes();

}  // namespace confman::exhaustive
