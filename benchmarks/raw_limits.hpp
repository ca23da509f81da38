// What the machine itself can do: the yardstick for every other figure of the same run.
#pragma once

#include <string>

#include "samples.hpp"

namespace bench {

// Appends of `bytes` bytes, each followed by fdatasync, in a growing or a zero-filled file in `directory`.
samples sync_appends(const std::string& directory, std::size_t bytes, bool zero_filled, double seconds);

// The same in a zero-filled file while two others do it to the same disk, as the members of a cluster on one
// machine do.
samples sync_appends_beside_others(const std::string& directory, std::size_t bytes, double seconds);

// Round trips of `bytes` bytes over TCP on loopback to another process that echoes them.
samples tcp_round_trips(std::size_t bytes, double seconds);

}  // namespace bench
