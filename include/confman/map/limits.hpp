// What a key and a value may be. Checked before a command is proposed, so that a refusal changes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "confman/config.hpp"
#include "confman/error.hpp"

namespace confman {

// Fixed, not an option: a chain of keys that are prefixes of each other makes a trie as deep as the key is
// long, and every walk keeps its path in an array of this many places.
inline constexpr std::size_t max_key_bytes = 512;

// What `options` starts with.
inline constexpr std::size_t default_max_value_bytes = std::size_t{1} << 20;

// The largest value there is, whatever the options say.
inline constexpr std::size_t max_large_value_bytes = std::size_t{128} << 20;

// The most that one piece of a large value carries: its log entry then stays below 256 KiB, so that
// heartbeats and small writes go between the pieces.
inline constexpr std::size_t max_piece_bytes = (std::size_t{256} << 10) - 1024;

// Uploads in progress: how many there may be and how large they may be together. A new one takes the place of
// those that were touched longest ago.
inline constexpr std::size_t max_uploads = 64;
inline constexpr std::uint64_t max_upload_bytes = std::uint64_t{1} << 30;
// An upload that no piece touched for longer than this is dropped: entries of the log, microseconds of its
// time.
inline constexpr std::uint64_t max_upload_idle_entries = 1'000'000;
inline constexpr std::int64_t max_upload_idle_time = 60'000'000;

// Opening one more closes the session that was used longest ago. A constant, since members that disagree
// about it would answer differently: only tests make maps with another one.
inline constexpr std::size_t max_sessions = 65'536;
// Answers that a session's client hasn't acknowledged; with that many, the session's next write gets
// errc::busy.
inline constexpr std::size_t max_kept_answers = 1024;
inline constexpr std::uint64_t max_session_ttl_ms = 7ull * 24 * 60 * 60 * 1000;

// A key is a path: it starts with '/', has 1 to max_key_bytes bytes and no NUL. Any other byte is allowed.
// Returns key_empty, key_not_a_path, key_too_long or key_has_nul, naming the key (shortened and made
// printable).
[[nodiscard]] CONFMAN_DECL failure validate_key(std::string_view key);

// Returns value_too_large, naming the key, if `value_bytes` exceeds `limit_bytes`.
[[nodiscard]] CONFMAN_DECL failure validate_value(std::string_view key, std::size_t value_bytes,
                                                  std::size_t limit_bytes = default_max_value_bytes);

namespace detail {

// The same rule without the message: what the trie relies on.
[[nodiscard]] CONFMAN_DECL bool is_valid_key(std::string_view key) noexcept;

// `bytes` in quotes for a message: at most 64 of them, unprintable ones as \xNN.
[[nodiscard]] CONFMAN_DECL std::string quoted(std::string_view bytes);

}  // namespace detail
}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/map/impl/limits.ipp"
#endif
