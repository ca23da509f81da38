// The search: is there any order of the operations on each key that a map could have answered so?
#pragma once

#include <cstddef>
#include <cstdint>

#include "confman/check/operation.hpp"
#include "confman/config.hpp"

namespace confman::check {

enum class register_model : std::uint8_t {
  // A key has a value or is missing. Revisions count only as zero or not, so that this doesn't trust them; a
  // cas
  // that expects a revision therefore counts as a write of a key that exists.
  value,
  // A key has a revision and a value; revisions and the places of answers only grow.
  revision
};

struct search_limits {
  std::uint64_t max_steps = 50'000'000;          // for all keys
  std::size_t max_bytes = std::size_t{1} << 30;  // of the memo of one key
};

// The algorithm of Wing and Gong (1993) with the improvements of Lowe (2017): a linked list of calls and
// returns, from which an operation is lifted when it is put into the order, and a memo of what was ordered
// and the state that it led to; each key is searched alone (Herlihy and Wing's locality). Judges put, erase,
// cas and linearizable get; writes of unknown outcome have no end and needn't take effect. Lists, watches and
// older reads are left to check_witness(). A violation names the operations of the shortest prefix of the
// history that can't be ordered, without those that don't matter. Undecided if a bound was reached and no key
// was wrong.
[[nodiscard]] CONFMAN_DECL report check_linearizability(const history& all, register_model model,
                                                        const search_limits& limits = {});

}  // namespace confman::check

#if !defined(CONFMAN_COMPILED)
#include "confman/check/impl/linearizability.ipp"
#endif
