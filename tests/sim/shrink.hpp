// Makes a failure small: fewer decisions, then a plainer scenario, as long as the same thing still breaks.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "confman/sim/script.hpp"
#include "confman/sim/world.hpp"

namespace shrink {

// How a run in a process of its own ended.
struct verdict {
  static constexpr int passed = -1;
  static constexpr int lost = -2;      // the process is gone without a word
  static constexpr int signal = 1000;  // ... plus the signal's number: a broken assertion, an endless loop
  int broken = passed;                 // else the number of the invariant
  std::string what;
  std::vector<confman::sim::decision> decisions;  // carried out until then
  confman::sim::statistics counts;                // until then
};

// What is done with a world; throws confman::sim::violation.
using body = std::function<void(confman::sim::world&)>;

struct settings {
  body run = [](confman::sim::world& w) { w.run(); };
  long run_seconds = 5;  // of processor time that a run may take; more is an endless loop
  double seconds = 100;  // of the clock on the wall, for all of it
  std::size_t runs = static_cast<std::size_t>(-1);  // at most so many
};

struct outcome {
  verdict first;  // of the seed's own run
  confman::sim::script small;
  verdict last;             // of `small`: what `first` broke is broken
  bool reproduced = false;  // the decisions alone break the same; else `small` is all of them
  std::size_t runs = 0;
};

// Runs the scenario; if that fails, looks for the least that fails in the same way. One run at a time, each
// in a process of its own.
[[nodiscard]] outcome smallest(const confman::sim::scenario& plan, const settings& how = {});

// Shrinks a seed's failure, writes the script to build/sim/failure-SEED.txt and says what to do with it.
// False: the seed fails, or the file can't be written.
[[nodiscard]] bool shrink_seed(std::uint64_t seed);

}  // namespace shrink
