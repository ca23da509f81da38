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
  session_open = 5,      // the answer's revision is the new session's id
  session_close = 6,
  session_keep_alive = 7,
  upload_piece = 8,  // part of a large value, to be named by a later put or compare_exchange
};

// A command whose bytes belong to someone else: the caller of encode(), or the payload given to decode().
struct command_view {
  command_kind kind = command_kind::put;
  std::string_view key;
  std::string_view value;               // empty for the erasing kinds
  std::uint64_t expected_revision = 0;  // comparing kinds only; 0 = "the key must not exist"
  std::int64_t timestamp = 0;           // microseconds since the epoch, by the proposer's clock
  node_id author;                       // who proposed it

  // Writes to keys, session_close and session_keep_alive (the latter two without a sequence); 0 = no session.
  std::uint64_t session = 0;
  // From 1, one per write of the session. A write that is sent again has the same; no other ever has.
  std::uint64_t sequence = 0;
  // The client has the answers to all sequences below this one, which must not exceed its own.
  std::uint64_t acknowledged = 0;
  // session_open: idle for longer than this, the session is closed. 1 to max_session_ttl_ms.
  std::uint64_t time_to_live_ms = 0;

  // With the author: which upload. Not 0 in upload_piece; in put and compare_exchange it stands for the
  // value, which is empty then. A number is never used twice by an author, also not after a restart.
  std::uint64_t upload = 0;
  std::uint64_t total_bytes = 0;  // upload_piece: of the whole value
  std::uint64_t offset = 0;       // upload_piece: of this piece, which is `value`

  friend bool operator==(const command_view&, const command_view&) = default;
};

// What applying an entry did. Every replica computes the same answer.
struct apply_result {
  std::error_code code;        // none, compare_failed, bad_command, session_expired, busy or upload_expired
  version at;                  // the place in the log of the entry that had the effect
  std::uint64_t revision = 0;  // at.index, as a plain number
  std::uint64_t previous_revision = 0;  // the key's modify revision before this entry; 0: it did not exist
  bool existed = false;                 // previous_revision != 0
  bool replayed = false;                // the session had this answer already; not part of the encoded answer

  friend bool operator==(const apply_result&, const apply_result&) = default;
};

// Format 1, little-endian: u8 format, u8 kind and flags, u16 key bytes, u32 value bytes, u64 argument,
// i64 timestamp, u64 author, sections by flag and kind, key, value (docs/format/command.md). One allocation
// of exactly that size. Precondition: validate_key(key) passed (session commands have no key) and the value
// has at most max_large_value_bytes; throws std::bad_alloc.
[[nodiscard]] CONFMAN_DECL shared_bytes encode(const command_view& command);

// The views point into `bytes`, which must outlive them. Any bytes give a command or errc::bad_command: the
// size must match exactly, the key must be valid and every field within its bounds, so what decodes can be
// applied.
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
