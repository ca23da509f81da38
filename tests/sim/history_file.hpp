// Histories of simulated runs for the checkers, which know nothing of the simulator.
#pragma once

#include <string>
#include <vector>

#include "confman/check/operation.hpp"
#include "confman/sim/recorded_call.hpp"

namespace history_file {

// Gets, puts, erases and compare-exchanges; virtual microseconds become nanoseconds. The members stand for
// clients, since any client may ask any member.
[[nodiscard]] confman::check::history operations_of(const std::vector<confman::sim::recorded_call>& calls);

// As JSON lines. False: the file can't be written.
[[nodiscard]] bool write(const std::string& path, const confman::check::history& all);

}  // namespace history_file
