// What one client asked and was answered, as a value, for whoever writes or judges the history of a run.
#pragma once

#include <cstdint>
#include <string>
#include <system_error>

#include "confman/core/ids.hpp"
#include "confman/map/command.hpp"
#include "confman/sim/timeline.hpp"

namespace confman::sim {

struct recorded_call {
  enum class ending : std::uint8_t { open, answered, refused, unknown };

  node_id at;  // through which member it was asked
  micros called = 0;
  micros returned = 0;  // if it was answered or refused

  // A write: `command`, or nothing if it wasn't sent at all. Of a large value in pieces this is the put that
  // ends it, with the whole value.
  bool write = false;
  bool sent = false;
  command_kind command = command_kind::put;
  std::string key;
  std::string value;
  std::uint64_t expected_revision = 0;
  std::uint64_t session = 0;
  std::uint64_t sequence = 0;
  // A read of the key.
  enum class freshness : std::uint8_t { linearizable, at_least, local };
  freshness fresh = freshness::linearizable;
  std::uint64_t at_least = 0;  // a revision

  ending end = ending::open;
  std::error_code code;        // of an answered write: nothing or compare_failed
  version place;               // the write's own; the state that a read saw
  std::uint64_t revision = 0;  // a read's: of what it found, 0: no such key
  std::uint64_t previous_revision = 0;
  std::string found;
};

}  // namespace confman::sim
