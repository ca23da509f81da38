// The command line of confmand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "confman/error.hpp"
#include "confman/options.hpp"

namespace demo {

struct settings {
  confman::options map;
  std::string http_host;
  int http_port = 0;
  std::map<std::uint64_t, std::string> http_peers;  // where ?redirect=1 sends to
  std::size_t http_threads = 64;                    // each open connection occupies one
  std::size_t max_watches = 16;                     // of those; more get 503
  std::string backup_directory;                     // POST /v1/backup writes here; empty: it is refused
  std::string restore;                              // before the start: make the directory of this backup
  std::string recover_from;                         // before the start: make the directory of this one
  bool may_lose_writes = false;                     // which recover_from needs to be told
  bool help = false;
};

[[nodiscard]] confman::result<settings> parse_command_line(int argc, const char* const* argv);

[[nodiscard]] const char* usage() noexcept;

}  // namespace demo
