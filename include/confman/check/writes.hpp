// The writes of a history, each once, however often its client sent it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "confman/check/operation.hpp"
#include "confman/config.hpp"

namespace confman::check {

// A write without a session is one line. In a session all lines of one sequence are one write: it can take
// effect from the first call on that wasn't refused, and has done so when the first answer is there.
struct logical_write {
  std::size_t operation = 0;       // the first line of the write that was answered, else the first
  std::vector<std::size_t> lines;  // all of them
  outcome end = outcome::unknown;
  std::int64_t called = 0;
  std::int64_t returned = never;
};

// Appends to `findings` where the lines of one sequence ask, or are answered, different things (rule
// "session"; thesis, 6.3). Indices are those of `all`.
[[nodiscard]] CONFMAN_DECL std::vector<logical_write> writes_of(const history& all,
                                                                std::vector<finding>& findings);

}  // namespace confman::check

#if !defined(CONFMAN_COMPILED)
#include "confman/check/impl/writes.ipp"
#endif
