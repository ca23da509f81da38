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
  bool help = false;
};

[[nodiscard]] confman::result<settings> parse_command_line(int argc, const char* const* argv);

[[nodiscard]] const char* usage() noexcept;

}  // namespace demo
