// Latencies of one run, and the one line that each figure becomes.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

namespace bench {

using clock = std::chrono::steady_clock;

inline double microseconds_since(clock::time_point start) {
  return std::chrono::duration<double, std::micro>(clock::now() - start).count();
}

struct samples {
  std::vector<double> values;  // microseconds

  void merge(const samples& other) { values.insert(values.end(), other.values.begin(), other.values.end()); }
  // Sorts. 0 when there is nothing.
  [[nodiscard]] double percentile(double p) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    return values[std::min(values.size() - 1,
                           static_cast<std::size_t>(p * static_cast<double>(values.size())))];
  }
};

inline void figure(std::string_view name, double value, std::string_view unit) {
  fmt::print("{:<58} {:>14.2f} {}\n", name, value, unit);
  std::fflush(stdout);
}

// A ratio with the bound it is expected to keep; says so when it doesn't, and returns whether it does.
inline bool ratio(std::string_view name, double value, double bound, bool at_most) {
  const bool kept = at_most ? value <= bound : value >= bound;
  fmt::print("{:<58} {:>14.2f} {} {}{}\n", name, value, at_most ? "<=" : ">=", bound,
             kept ? "" : "   NOT KEPT");
  std::fflush(stdout);
  return kept;
}

}  // namespace bench
