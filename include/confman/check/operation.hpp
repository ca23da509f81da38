// A history: what clients asked of a map and were answered, as values (docs/format/history.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "confman/config.hpp"

namespace confman::check {

enum class operation_kind : std::uint8_t { put, erase, cas, get, list, watch };
enum class read_mode : std::uint8_t { linearizable, at_least, local };
enum class outcome : std::uint8_t {
  answered,
  refused,  // certainly not executed
  unknown   // it may have been executed, or be executed at any time after its call
};

// A place in the log, as answers carry it.
struct place {
  std::uint64_t term = 0;
  std::uint64_t index = 0;
  friend bool operator==(const place&, const place&) = default;
};

struct listed {
  std::string key;
  std::uint64_t revision = 0;
  std::string value;
};

struct watched {
  bool erased = false;
  std::string key;
  std::uint64_t revision = 0;
  std::string value;  // empty if erased
};

inline constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

// One line of a history. Fields that the kind of operation or its outcome doesn't have are as they are here.
struct operation {
  std::size_t line = 0;  // of the file it was read from, from 1; or any number that a reader can find it by
  std::uint64_t client = 0;
  operation_kind kind = operation_kind::get;
  std::string key;  // of list and watch: the prefix
  std::uint64_t session = 0;
  std::uint64_t sequence = 0;
  // What was asked.
  std::string value;         // put, cas
  std::uint64_t expect = 0;  // cas: a revision, 0: no key
  read_mode mode = read_mode::linearizable;
  std::uint64_t at_least = 0;  // an index, for that mode
  std::uint64_t after = 0;     // watch
  // What was answered.
  outcome end = outcome::unknown;
  bool failed = false;         // cas: the key's revision was another
  std::uint64_t revision = 0;  // cas that failed: the key's current one; get: 0 if there is no key
  std::uint64_t previous_revision = 0;
  std::string found;  // get: the value, if revision isn't 0
  place version;
  std::vector<listed> entries;  // list
  std::vector<watched> events;  // watch, as delivered
  std::uint64_t until = 0;      // watch: no change up to here is missing, unless compacted
  bool compacted = false;
  // Nanoseconds of one monotonic clock.
  std::int64_t called = 0;
  std::int64_t returned = never;  // never: outcome unknown

  [[nodiscard]] bool is_write() const noexcept { return kind <= operation_kind::cas; }
};

using history = std::vector<operation>;

// One line for a person: where, who, what, when, and what came back.
[[nodiscard]] CONFMAN_DECL std::string describe(const operation& op);
[[nodiscard]] CONFMAN_DECL const char* name_of(operation_kind kind) noexcept;

enum class verdict : std::uint8_t { good, violation, undecided };

// Why a history is wrong: a name of the rule, what it says of this case, and the operations that break it
// (indices in the history), as few as the checker can tell.
struct finding {
  std::string rule;
  std::string text;
  std::vector<std::size_t> operations;
};

struct report {
  verdict end = verdict::good;
  std::vector<finding> findings;  // of a violation: at least one
  std::string why;                // undecided: which bound was reached
  std::size_t checked = 0;        // operations that were judged
  std::uint64_t steps = 0;
};

}  // namespace confman::check

#if !defined(CONFMAN_COMPILED)
#include "confman/check/impl/operation.ipp"
#endif
