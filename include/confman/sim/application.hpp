// An application that runs in members of a cluster, written once for the real and for a simulated one.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "confman/core/ids.hpp"
#include "confman/map/map_view.hpp"
#include "confman/map/record.hpp"
#include "confman/map/watch.hpp"

namespace confman::sim {

// What an application has of the member that it runs in. The simulated world implements it, and a few lines
// over config_map do so for a real process (examples/simulation/config_map_host.hpp).
//
// Single-threaded: everything is called, and calls back, on the member's own thread or queue. Nothing calls
// back before the function that asked for it has returned, and nothing does once the application is
// destroyed. Keys and values are copied before a call returns. An exception out of the application's code
// leaves world::run(), and run_seeds() names its seed; in a real process it is the host's own.
class application_host {
 public:
  // No code: the write's revision. compare_failed: the key's current revision, 0 if there is no such key. Any
  // other code as config_map gives it; outcome_unknown and timed_out mean that the write may still happen.
  using write_handler = std::function<void(std::error_code code, std::uint64_t revision)>;
  using read_handler = std::function<void(std::error_code code)>;
  // A batch with an error is the last one of its watch.
  using watch_handler = std::function<void(const change_batch& batch)>;

  application_host() = default;
  application_host(const application_host&) = delete;
  application_host& operator=(const application_host&) = delete;
  virtual ~application_host() = default;

  // The member's id.
  [[nodiscard]] virtual node_id self() const = 0;

  // The member's own copy of the map, which may be behind.
  [[nodiscard]] virtual std::optional<map_entry> get(std::string_view key) const = 0;
  [[nodiscard]] virtual std::vector<map_entry> list(std::string_view prefix) const = 0;
  // Without an error the copy now has everything that was acknowledged anywhere before the call. Errors:
  // timed_out (in a simulation after 1 to 6 election timeouts' ticks, as for writes), busy, stopped; ask
  // again.
  virtual void read_barrier(read_handler done) = 0;

  // Writes: durable on a majority when `done` is called without a code; see write_handler for the others.
  virtual void put(std::string_view key, std::string_view value, write_handler done) = 0;
  virtual void erase(std::string_view key, write_handler done) = 0;
  // If the key's revision is the expected one; 0: if there is no such key.
  virtual void compare_exchange(std::string_view key, std::uint64_t expected_revision, std::string_view value,
                                write_handler done) = 0;
  virtual void compare_erase(std::string_view key, std::uint64_t expected_revision, write_handler done) = 0;

  // The changes under a prefix, from now on, in order, without gap, until the application is destroyed. If it
  // can't be (too many watches), or not any more (watch_lagged), the one batch with an error comes last: read
  // the prefix and watch again.
  virtual void watch(std::string_view prefix, watch_handler on_change) = 0;

  // Calls once, after this time of the member's clock.
  virtual void after(std::chrono::microseconds delay, std::function<void()> what) = 0;
  // For decisions that should differ between members; in a simulation they follow from the seed.
  [[nodiscard]] virtual std::uint64_t random() = 0;
};

// The user's code in one process. It begins its work in its constructor and has no other end than to be
// destroyed: a crash, or a loss of power, leaves what is in the map and nothing else. Its destructor must
// call nothing of the host but self().
class application {
 public:
  application() = default;
  application(const application&) = delete;
  application& operator=(const application&) = delete;
  virtual ~application() = default;
};

// What a simulated world runs in each of its members, and what must hold. Keys that begin with "/k" belong to
// the world's own clients.
struct application_suite {
  // A process of a member begins. The host outlives the application.
  std::function<std::unique_ptr<application>(application_host& host)> start;
  // After everything that an application was called for, and after each end of one: returns what is wrong, or
  // nothing. For what must be true at any time, such as that no two members hold the same thing. May be
  // empty.
  std::function<std::string()> always;
  // Once, when trouble is over and all members agree: the same, knowing the final map. Before that, when the
  // cluster is healed, all applications stand still: no timer fires and no answer arrives any more. May be
  // empty.
  std::function<std::string(const map_view& final_state)> at_end;
};

}  // namespace confman::sim
