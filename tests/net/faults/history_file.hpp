// What clients asked and were answered, one JSON object per line (docs/format/history.md).
#pragma once

#include <cstdint>
#include <ctime>
#include <fstream>
#include <mutex>
#include <stdexcept>
#include <string>

namespace faults {

// CLOCK_MONOTONIC, the same for all processes of a machine.
[[nodiscard]] inline std::int64_t now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

// Thread-safe. Every line reaches the file as a whole.
class history_file {
 public:
  explicit history_file(const std::string& path) : out_(path) {
    if (!out_) throw std::runtime_error("can't write " + path);
  }

  enum class result { yes, no, unknown };

  // `out` is JSON, used if the answer is yes; `more` are further members, each with its comma in front.
  void add(std::uint64_t client, const std::string& op, const std::string& key, const std::string& in,
           const std::string& out, result ok, std::int64_t call_ns, const std::string& more = {}) {
    const std::int64_t returned = now_ns();
    std::string line = "{\"client\":" + std::to_string(client) + ",\"op\":\"" + op + "\",\"key\":\"" + key +
                       "\",\"in\":" + in + ",\"out\":" + (ok == result::yes ? out : "null") + ",\"ok\":";
    line += ok == result::yes ? "true" : ok == result::no ? "false" : "null";
    line += ",\"call_ns\":" + std::to_string(call_ns) + ",\"return_ns\":";
    line += ok == result::unknown ? "null" : std::to_string(returned);
    line += more + "}\n";
    const std::lock_guard lock(mutex_);
    out_ << line;
  }

  [[nodiscard]] bool finish() { return static_cast<bool>(out_.flush()); }

 private:
  std::mutex mutex_;
  std::ofstream out_;
};

}  // namespace faults
