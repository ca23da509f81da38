// What a log entry asks of the map, and what the map answered: both as bytes of a fixed little-endian layout.
#pragma once

#include <cstdint>
#include <string_view>
#include <system_error>

#include "confman/config.hpp"
#include "confman/core/ids.hpp"
#include "confman/core/shared_bytes.hpp"
#include "confman/error.hpp"

namespace confman {

enum class command_kind : std::uint8_t {
  put = 1,
  erase = 2,
  compare_exchange = 3,  // put, if the key's modify revision is the expected one
  compare_erase = 4,     // erase, if the key's modify revision is the expected one
};

// A command whose bytes belong to someone else: the caller of encode(), or the payload given to decode().
struct command_view {
  command_kind kind = command_kind::put;
  std::string_view key;
  std::string_view value;               // empty for the erasing kinds
  std::uint64_t expected_revision = 0;  // comparing kinds only; 0 = "the key must not exist"
  std::int64_t timestamp = 0;           // microseconds since the epoch, by the proposer's clock
  node_id author;                       // who proposed it

  friend bool operator==(const command_view&, const command_view&) = default;
};

// What applying an entry did. Every replica computes the same answer.
struct apply_result {
  std::error_code code;                 // none, compare_failed or bad_command
  version at;                           // the entry's place in the log
  std::uint64_t revision = 0;           // at.index, as a plain number
  std::uint64_t previous_revision = 0;  // the key's modify revision before this entry; 0: it did not exist
  bool existed = false;                 // previous_revision != 0

  friend bool operator==(const apply_result&, const apply_result&) = default;
};

// Format 1, little-endian: u8 format, u8 kind, u16 key bytes, u32 value bytes, u64 expected revision,
// i64 timestamp, u64 author, key, value. One allocation of exactly that size.
// Precondition: validate_key(key) passed and the value is smaller than 4 GiB; throws std::bad_alloc.
[[nodiscard]] CONFMAN_DECL shared_bytes encode(const command_view& command);

// The views point into `bytes`, which must outlive them. Any bytes give a command or errc::bad_command: the
// size must match exactly and the key must be valid, so what decodes can be applied.
[[nodiscard]] CONFMAN_DECL result<command_view> decode(const shared_bytes& bytes);

// Format 1, little-endian: u8 format, u8 zero, u16 errc (0 = none), u64 term, u64 index, u64 previous
// revision.
[[nodiscard]] CONFMAN_DECL shared_bytes encode(const apply_result& answer);

// Any bytes give an answer or errc::bad_command.
[[nodiscard]] CONFMAN_DECL result<apply_result> decode_apply_result(const shared_bytes& bytes);

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/map/impl/command.ipp"
#endif
