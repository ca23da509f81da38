// What a key and a value may be. Checked before a command is proposed, so that a refusal changes nothing.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "confman/config.hpp"
#include "confman/error.hpp"

namespace confman {

// Fixed, not an option: a chain of keys that are prefixes of each other makes a trie as deep as the key is
// long, and every walk keeps its path in an array of this many places.
inline constexpr std::size_t max_key_bytes = 512;

// What `options` starts with; the format itself allows 4 GiB - 1.
inline constexpr std::size_t default_max_value_bytes = std::size_t{1} << 20;

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
