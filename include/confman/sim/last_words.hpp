// Names the seed when the simulated code ends its process, or never ends.
#pragma once

#include <csignal>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "confman/config.hpp"

namespace confman::sim {

class world;

// While it lives, the signals of a failed assertion (SIGABRT), of a wild pointer and the like, and of a world
// that takes more than a minute of a processor (SIGVTALRM; ten under a sanitizer, which also keeps those of
// pointers, as it says more about them) print the seed, the scenario, what happened last and the commands
// that show it again, and end the process with status 1 (or, where printing all of that fails, with SIGALRM
// after five seconds; the seed is printed first). The handlers that were there before come back
// afterwards. At most one at a time in a process, used by the thread that runs the worlds.
class last_words {
 public:
  // `replay` returns what shows a seed again, in whole lines.
  CONFMAN_DECL explicit last_words(std::function<std::string(std::uint64_t seed)> replay);
  last_words(const last_words&) = delete;
  last_words& operator=(const last_words&) = delete;
  CONFMAN_DECL ~last_words();

  // The world that runs from now on; its time begins. 0: it has no seed.
  CONFMAN_DECL void begin(std::uint64_t seed, const world& simulated);
  // It is over.
  CONFMAN_DECL void end();

 private:
  struct handler {
    int signal;
    struct sigaction before;
  };

  CONFMAN_DECL static void on_signal(int signal);

  inline static last_words* only_ = nullptr;
  std::function<std::string(std::uint64_t seed)> replay_;
  std::vector<handler> taken_;
  std::uint64_t seed_ = 0;
  const world* world_ = nullptr;
};

}  // namespace confman::sim

#if !defined(CONFMAN_COMPILED)
#include "confman/sim/impl/last_words.ipp"
#endif
