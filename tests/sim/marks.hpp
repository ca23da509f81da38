// The marks of confman/core/marks.hpp, summed over the processes of a run.
#pragma once

#include <cstddef>
#include <cstdint>

#include "confman/core/marks.hpp"

namespace marks {

struct counts {
  std::uint64_t hits[confman::mark_count] = {};
};

// This process begins anew.
void reset();
// What this process has come by so far.
void copy_to(counts& all);

// With `print` a line for each mark. False, after naming it, if one was never reached in as many seeds as it
// asks for.
[[nodiscard]] bool covered(const counts& all, std::uint64_t seeds, bool print);

}  // namespace marks
