// Build configuration shared by every layer. Includes nothing of confman.
#pragma once

#include <cstdio>
#include <cstdlib>

#define CONFMAN_VERSION_MAJOR 0
#define CONFMAN_VERSION_MINOR 1
#define CONFMAN_VERSION_PATCH 0
#define CONFMAN_VERSION_STRING "0.1.0"

// The library is header-only unless CONFMAN_COMPILED is defined (the CMake target confman::confman defines
// it): then the bodies in impl/*.ipp are compiled once, in src/.
#if defined(CONFMAN_COMPILED)
#define CONFMAN_DECL
#else
#define CONFMAN_DECL inline
#endif

namespace confman::detail {

// A broken invariant: going on could turn one bug into lost data on a majority, so the process stops here.
[[noreturn]] inline void assertion_failed(const char* expression, const char* file, int line,
                                          const char* why) {
  std::fprintf(
      stderr,
      "confman: broken invariant '%s' at %s:%d: %s\n"
      "confman: this is a bug in confman, not in your program or your data; please report this line.\n",
      expression, file, line, why);
  std::fflush(stderr);
  std::abort();
}

}  // namespace confman::detail

// Stays on in release builds: checks of internal invariants only, never of input, peers or disks.
#define CONFMAN_ASSERT(expression, why) \
  ((expression) ? (void)0 : ::confman::detail::assertion_failed(#expression, __FILE__, __LINE__, why))
