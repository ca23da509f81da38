#pragma once

#include "confman/map/limits.hpp"

namespace confman {

namespace detail {

CONFMAN_DECL bool is_valid_key(std::string_view key) noexcept {
  return !key.empty() && key.size() <= max_key_bytes && key.front() == '/' &&
         key.find('\0') == std::string_view::npos;
}

CONFMAN_DECL std::string quoted(std::string_view bytes) {
  constexpr std::size_t shown = 64;
  constexpr char digits[] = "0123456789abcdef";
  std::string text = "'";
  for (const char c : bytes.substr(0, shown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '\'' && c != '\\') {
      text += c;
    } else {
      text += "\\x";
      text += digits[byte >> 4];
      text += digits[byte & 15];
    }
  }
  text += bytes.size() > shown ? "'..." : "'";
  return text;
}

}  // namespace detail

CONFMAN_DECL failure validate_key(std::string_view key) {
  if (key.empty()) return {errc::key_empty, "the key is empty: keys are paths such as /billing/timeout_ms"};
  if (key.front() != '/')
    return {errc::key_not_a_path, "the key " + detail::quoted(key) +
                                      " does not start with '/': keys are paths such as /billing/timeout_ms"};
  if (key.size() > max_key_bytes)
    return {errc::key_too_long, "the key " + detail::quoted(key) + " has " + std::to_string(key.size()) +
                                    " bytes: at most " + std::to_string(max_key_bytes) + " are allowed"};
  if (const auto at = key.find('\0'); at != std::string_view::npos)
    return {errc::key_has_nul, "the key " + detail::quoted(key) + " has a NUL byte at offset " +
                                   std::to_string(at) + ": remove it"};
  return {};
}

CONFMAN_DECL failure validate_value(std::string_view key, std::size_t value_bytes, std::size_t limit_bytes) {
  if (value_bytes <= limit_bytes) return {};
  return {errc::value_too_large, "the value of " + detail::quoted(key) + " has " +
                                     std::to_string(value_bytes) + " bytes: at most " +
                                     std::to_string(limit_bytes) +
                                     " are allowed (options.max_value_bytes, the same on every member)"};
}

}  // namespace confman
