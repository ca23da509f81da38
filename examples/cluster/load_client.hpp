// A client of one confmand, and what the subcommands of confman_load share.
#pragma once

#include <httplib.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace demo {

// --name value pairs of the command line. Throws std::runtime_error on anything else.
class arguments {
 public:
  arguments(int argc, char** argv, int first);
  [[nodiscard]] const std::string& text(const std::string& name) const;  // throws if missing
  [[nodiscard]] std::string text(const std::string& name, const std::string& fallback) const;
  [[nodiscard]] std::uint64_t number(const std::string& name, std::uint64_t fallback) const;

 private:
  std::map<std::string, std::string> values_;
};

[[nodiscard]] std::vector<std::string> split(std::string_view text, char separator);

// TERM:INDEX as two numbers, in the order of versions.
struct token {
  std::uint64_t term = 0;
  std::uint64_t index = 0;
  friend auto operator<=>(const token&, const token&) = default;
};
[[nodiscard]] std::optional<token> to_token(std::string_view text);
[[nodiscard]] std::string to_string(token t);

enum class outcome { acknowledged, unknown, failed };

struct written {
  outcome what = outcome::failed;
  token at;           // acknowledged
  std::string error;  // else
};

// Not for use by several threads at once.
class load_client {
 public:
  explicit load_client(const std::string& address);  // host:port

  [[nodiscard]] written put(std::string_view key, const std::string& value);

  struct reading {
    int status = 0;    // 0: no answer
    std::string body;  // the value, or what went wrong
    std::uint64_t revision = 0;
  };
  // What this node has; with a token after it has that version.
  [[nodiscard]] reading get(std::string_view key, std::optional<token> at_least = std::nullopt);
  // The body of any other resource, if it answers 200.
  [[nodiscard]] std::optional<std::string> fetch(const std::string& target);

 private:
  std::unique_ptr<httplib::Client> http_;
};

// Calls work(thread, first, step) on `threads` threads: each does first, first + step, ... Rethrows what one
// throws.
void in_parallel(std::size_t threads, const std::function<void(std::size_t first, std::size_t step)>& work);

// Microseconds since the epoch: the shell can read the same clock.
[[nodiscard]] std::int64_t now_us();

// The subcommands, see confman_load.cpp. They return the exit status.
int run_ports(const arguments& args);
int run_scan(const arguments& args);
int run_load(const arguments& args);
int run_verify(const arguments& args);
int run_write_load(const arguments& args);
int run_check(const arguments& args);
int run_gap(const arguments& args);
int run_equal(const arguments& args);

}  // namespace demo
