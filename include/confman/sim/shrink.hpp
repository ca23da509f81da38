// Makes a failure small: fewer decisions, then a plainer scenario, as long as the same thing still breaks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "confman/config.hpp"
#include "confman/sim/script.hpp"
#include "confman/sim/world.hpp"

namespace confman::sim::shrink {

// How a run in a process of its own ended.
struct verdict {
  static constexpr int passed = -1;
  static constexpr int lost = -2;       // the process is gone without a word
  static constexpr int exception = -3;  // another one than sim::violation
  static constexpr int signal = 1000;   // ... plus the signal's number: a broken assertion, an endless loop
  int broken = passed;                  // else the number of the invariant
  std::string what;
  std::vector<decision> decisions;  // carried out until then
  statistics counts;                // until then
};

struct settings {
  // What is done with a world, in a process of its own: host an application, run it, throw when something is
  // wrong.
  std::function<void(world&)> run = [](world& w) { w.run(); };
  long run_seconds = 5;  // of processor time that a run may take; more is an endless loop
  double seconds = 100;  // of the clock on the wall, for all of it
  std::size_t runs = static_cast<std::size_t>(-1);  // at most so many
};

struct outcome {
  verdict first;  // of the seed's own run
  script small;
  verdict last;             // of `small`: what `first` broke is broken
  bool reproduced = false;  // the decisions alone break the same; else `small` is all of them
  std::size_t runs = 0;
};

// Runs the scenario; if that fails, looks for the least that fails in the same way. One run at a time, each
// in a process of its own (fork). Call it in a process with one thread.
[[nodiscard]] CONFMAN_DECL outcome smallest(const scenario& plan, const settings& how = {});

// The same, printed: writes the script to this file and says how `command` runs it: with "--script FILE
// --trace". False: the scenario fails, or the file can't be written.
[[nodiscard]] CONFMAN_DECL bool to_file(const scenario& plan, const settings& how, const std::string& path,
                                        const std::string& command);

}  // namespace confman::sim::shrink

#if !defined(CONFMAN_COMPILED)
#include "confman/sim/impl/shrink.ipp"
#endif
