// Runs an application in many simulated worlds.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "confman/sim/application.hpp"
#include "confman/sim/scenario.hpp"

namespace confman::sim {

struct seed_range {
  std::uint64_t first = 1;
  std::uint64_t count = 500;
  bool trace = false;   // print everything that happens
  bool shrink = false;  // of the first seed, which fails: write the least that fails in the same way
  std::string script;   // a file that shrinking has written: run that, and no seeds

  // Takes "--seeds N", "--first S", "--trace", "--shrink S" and "--script FILE" out of the arguments of a
  // program. False: one of them lacks what belongs to it; those that it doesn't know stay.
  [[nodiscard]] CONFMAN_DECL bool take_arguments(std::vector<std::string>& arguments);
};

// Makes what a world runs: once for each world, so that nothing of one is left for the next. May change the
// scenario of a seed before; what it changes of a script's, or while shrinking, which has its changes
// already, counts for nothing.
using make_suite = std::function<application_suite(scenario& plan)>;

// Runs the worlds of these seeds until one breaks a promise, of confman or of the application. Prints what
// happened and, then, the commands that show it again and make it small: `command` with a seed. What
// shrinking finds is written to failure-SEED.txt in the working directory (shrink.hpp); it takes up to 100 s.
// Every 50th seed runs twice and must do the same both times. False: one failed, or the script can't be read.
// A world that ends the process, by an assertion or a wild pointer, or takes more than a minute of a
// processor is named in the same way; the process ends with status 1 then. For that it takes over these
// signals (last_words.hpp), so it belongs into a program of its own. One thread; several processes may share
// the seeds by their first ones.
[[nodiscard]] CONFMAN_DECL bool run_seeds(const seed_range& seeds, const make_suite& make,
                                          const std::string& command);

}  // namespace confman::sim

#if !defined(CONFMAN_COMPILED)
#include "confman/sim/impl/seeds.ipp"
#endif
