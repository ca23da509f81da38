// What the runtime waits for on behalf of somebody: a write's outcome, or a read's permission.
#pragma once

#include <cstdint>
#include <system_error>

#include "confman/core/ids.hpp"
#include "confman/core/shared_bytes.hpp"
#include "confman/map/command.hpp"

namespace confman {

// Time, for the runtime, is the number of ticks since the group was made.
using tick_count = std::uint64_t;

// A write under way. The group that it was submitted to calls complete() exactly once and forgets the object
// before it does, so complete() may destroy it. The object must outlive that call and be submitted once.
class write_operation {
 public:
  std::uint64_t id = 0;     // the submitter's name for it, for cancel(); unique while it waits
  shared_bytes command;     // encoded; taken by the group
  tick_count deadline = 0;  // absolute; when it passes: outcome_unknown, or no_leader if it was never sent
  bool may_forward = true;  // false: errc::not_leader on a follower
  // The command carries a session and a sequence number: it has one effect however often it is proposed, so
  // it is passed on again, until the deadline, where others would end with not_leader or outcome_unknown.
  bool repeatable = false;
  // The group's: an earlier try may be applied, so that no later failure means "certainly not applied".
  bool in_doubt = false;

  // code: nothing, compare_failed (result.previous_revision is the current one), or why there is no result.
  virtual void complete(std::error_code code, const apply_result& result) = 0;
  // The group is destroyed while this waits: nobody is left to call back.
  virtual void abandon() noexcept {}

 protected:
  ~write_operation() = default;
};

enum class read_mode : std::uint8_t {
  read_index,  // linearizable: after everything acknowledged anywhere before the read began (thesis, 6.4)
  applied_version,  // after everything up to a version the caller holds: read your writes, on any member
};

// A read that waits until this node's state is fresh enough. Same rules as write_operation.
class read_operation {
 public:
  std::uint64_t id = 0;  // as above
  read_mode mode = read_mode::read_index;
  version token;            // applied_version
  tick_count deadline = 0;  // absolute; when it passes: timed_out

  // Without an error the local state may now be read.
  virtual void complete(std::error_code code) = 0;
  virtual void abandon() noexcept {}

 protected:
  ~read_operation() = default;
};

}  // namespace confman
