// What a client is told when something fails: RFC 9457 problem details.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace demo {

// Thrown by the handlers, written by http_api.
struct problem {
  int status = 500;
  std::string code;    // stable, for programs; also the end of the type's URN
  std::string title;   // the same for every problem of that code
  std::string detail;  // what happened this time and what to do
  int retry_after_seconds = 0;
  std::uint64_t leader = 0;                       // who could do it; 0: nobody else is known to
  std::optional<std::uint64_t> current_revision;  // of a failed comparison; 0: there is no such key
};

// The library's error as an HTTP answer. `detail` is added to what the code says.
[[nodiscard]] problem problem_of(std::error_code error, std::string_view detail = {});

// One that this program finds itself.
[[nodiscard]] problem bad_request(std::string detail);
// What httplib answers on its own account: 400, 413, 414, 416, ...
[[nodiscard]] problem problem_of_status(int status, std::string detail);

[[nodiscard]] std::string to_json(const problem& p, std::string_view instance);

// The name of a code of confman::errc, such as "no_leader".
[[nodiscard]] std::string_view code_name(std::error_code error) noexcept;

}  // namespace demo
