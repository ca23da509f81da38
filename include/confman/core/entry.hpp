// One entry of the replicated log.
#pragma once

#include <cstdint>

#include "confman/core/chain.hpp"
#include "confman/core/ids.hpp"
#include "confman/core/shared_bytes.hpp"

namespace confman {

enum class entry_type : std::uint8_t {
  noop = 0,           // a new leader's first entry (paper, 8: a leader commits one of its own term first)
  command = 1,        // bytes for the state machine
  configuration = 2,  // an encoded configuration, effective as soon as it is appended (thesis, 4.1)
};

// Invariant: hash == extend_chain(hash of the entry before, term, type, payload). Equal (index, term)
// therefore means equal hash on every replica (log matching, paper 5.3), which is cheap to check and is
// checked.
struct entry {
  term_t term;
  log_index index;
  entry_type type = entry_type::noop;
  shared_bytes payload;
  chain_hash hash;

  friend bool operator==(const entry&, const entry&) = default;
};

// What an entry counts for in every limit given in bytes: its payload and what carries it.
[[nodiscard]] inline std::size_t cost(const entry& e) noexcept {
  return e.payload.size() + sizeof(entry);
}

}  // namespace confman
