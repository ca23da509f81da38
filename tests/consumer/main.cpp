// A user's program, built against an installed confman, a confman in a subdirectory, and the headers alone.
#if __has_include(<confman/confman.hpp>)
#include <confman/confman.hpp>
#endif
#include <confman/config.hpp>
#include <confman/core/ids.hpp>
#include <confman/core/shared_bytes.hpp>
#include <confman/error.hpp>

#include <cstdio>
#include <string>

int main() {
  const std::error_code code = confman::errc::not_leader;
  const confman::version seen{confman::term_t(1), confman::log_index(2)};
  const auto value = confman::shared_bytes::copy("250");
  const bool good = code.category().name() == std::string("confman") && !code.message().empty() &&
                    seen < confman::version{confman::term_t(2), confman::log_index(1)} &&
                    value.view() == "250";
  std::printf("confman %s: %s\n", CONFMAN_VERSION_STRING, good ? "ok" : "wrong");
  return good ? 0 : 1;
}
