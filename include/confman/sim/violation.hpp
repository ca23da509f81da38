// What a simulated world throws when a promise was broken.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include "confman/sim/timeline.hpp"

namespace confman::sim {

// The invariants that a world checks. The numbers are public: failures and documents name them.
enum class invariant : int {
  harness = 0,                // what the simulated world itself relies on, for example that a log opens again
  one_leader = 1,             // at most one leader per term
  one_vote = 2,               // a node votes once per term, across restarts
  durable_first = 3,          // what is promised to others, or counted, is on the platter
  leader_appends_only = 4,    // a leader never truncates or changes its log
  log_matching = 5,           // equal (index, term): equal log up to there
  leader_completeness = 6,    // a leader has everything that was ever committed
  commit_soundness = 7,       // committed: of the leader's own term and durable on a quorum
  committed_immutable = 8,    // a committed entry never changes and is never truncated
  never_backwards = 9,        // term, commit and applied index of a running node
  bounds = 10,                // first <= snapshot <= applied <= commit <= last
  state_machine_safety = 11,  // every node has the same state at the same applied index
  snapshot_is_replay = 12,    // a snapshot, loaded, is the state at its place; save, load, save is the same
  configuration_safety = 13,  // one change at a time; majorities of consecutive configurations meet
  linearizable = 14,          // operations take effect between their call and their answer
  read_your_writes = 15,      // a read is as fresh as the version it was given
  exactly_once = 16,          // no write happens twice, none that was refused happens
  watches = 17,               // a watch gives every change of its prefix once, in order, or ends and says why
  // 18 and 19 come with leases and locks.
  no_lost_acknowledgement = 20,
  liveness = 21,        // a healed quorum elects, writes and reads; healed nodes converge
  bounded_memory = 22,  // queues, the log in memory and on disk, uploads and watches keep to their limits
  determinism = 23,     // the same seed gives the same run
  application = 100,    // what an application in the world says of itself
};

[[nodiscard]] constexpr const char* name_of(invariant i) noexcept {
  switch (i) {
    case invariant::harness:
      return "simulated world";
    case invariant::one_leader:
      return "one leader per term";
    case invariant::one_vote:
      return "one vote per term";
    case invariant::durable_first:
      return "durable before acknowledged";
    case invariant::leader_appends_only:
      return "a leader never truncates its log";
    case invariant::log_matching:
      return "log matching";
    case invariant::leader_completeness:
      return "leader completeness";
    case invariant::commit_soundness:
      return "commit soundness";
    case invariant::committed_immutable:
      return "committed is immutable";
    case invariant::never_backwards:
      return "term, commit and applied never go back";
    case invariant::bounds:
      return "first <= snapshot <= applied <= commit <= last";
    case invariant::state_machine_safety:
      return "state machine safety";
    case invariant::snapshot_is_replay:
      return "a snapshot equals the replay";
    case invariant::configuration_safety:
      return "configuration safety";
    case invariant::linearizable:
      return "linearizable operations";
    case invariant::read_your_writes:
      return "token reads";
    case invariant::exactly_once:
      return "exactly once";
    case invariant::watches:
      return "watches";
    case invariant::no_lost_acknowledgement:
      return "no lost acknowledgement";
    case invariant::liveness:
      return "liveness";
    case invariant::bounded_memory:
      return "bounded memory";
    case invariant::determinism:
      return "determinism";
    case invariant::application:
      return "application";
  }
  return "unknown";
}

class violation : public std::runtime_error {
 public:
  violation(invariant which, micros at, const std::string& what)
      : std::runtime_error("invariant " + std::to_string(static_cast<int>(which)) + " (" + name_of(which) +
                           "): " + what),
        which_(which),
        at_(at) {}

  [[nodiscard]] invariant which() const noexcept { return which_; }
  [[nodiscard]] micros at() const noexcept { return at_; }  // virtual time

 private:
  invariant which_;
  micros at_;
};

}  // namespace confman::sim
