// One member of the measured cluster: a process with a map, told by lines on its standard input what to do.
#pragma once

#include <cstdint>
#include <string>

namespace bench {

struct member_settings {
  std::uint64_t id = 0;
  std::uint16_t first_port = 0;  // members listen on first_port + id
  std::string directory;         // empty: memory storage, not durable
};

// Commands: "status", "write CLIENTS SECONDS", "pipeline IN_FLIGHT SECONDS", "read_linearizable READERS
// SECONDS", "read_local READERS SECONDS", "fill KEYS", "quit". One line of answer each. Returns the exit
// code.
int run_member(const member_settings& settings);

}  // namespace bench
