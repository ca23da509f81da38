#pragma once

#include <bit>
#include <cstring>
#include <string>
#include <utility>

#include "confman/map/command.hpp"
#include "confman/map/limits.hpp"

namespace confman {

namespace detail::command_codec {

inline constexpr std::uint8_t command_format = 1;
inline constexpr std::size_t command_header_bytes = 32;
inline constexpr std::uint8_t answer_format = 1;
inline constexpr std::size_t answer_bytes = 28;

template <class Unsigned>
[[nodiscard]] Unsigned to_little_endian(Unsigned value) noexcept {
  if constexpr (std::endian::native == std::endian::big) {
    Unsigned swapped = 0;
    for (std::size_t i = 0; i < sizeof value; ++i)
      swapped = static_cast<Unsigned>(swapped | ((value >> (8 * i)) & 0xff) << (8 * (sizeof value - 1 - i)));
    return swapped;
  }
  return value;
}

template <class Unsigned>
void store(char* at, Unsigned value) noexcept {
  value = to_little_endian(value);
  std::memcpy(at, &value, sizeof value);
}

template <class Unsigned>
[[nodiscard]] Unsigned load(const char* at) noexcept {
  Unsigned value;
  std::memcpy(&value, at, sizeof value);
  return to_little_endian(value);
}

inline constexpr std::uint8_t session_flag = 0x80;
inline constexpr std::uint8_t upload_flag = 0x40;
inline constexpr std::uint8_t kind_mask = 0x3f;
inline constexpr std::size_t session_bytes = 24;
inline constexpr std::size_t upload_bytes = 8;
inline constexpr std::size_t piece_bytes = 16;

// What lies between the header and the key. `tagged`: the byte of kind and flags.
[[nodiscard]] inline std::size_t section_bytes(std::uint8_t tagged) noexcept {
  return ((tagged & session_flag) != 0 ? session_bytes : 0) +
         ((tagged & upload_flag) != 0 ? upload_bytes : 0) +
         ((tagged & kind_mask) == static_cast<std::uint8_t>(command_kind::upload_piece) ? piece_bytes : 0);
}

[[nodiscard]] inline bool compares(command_kind kind) noexcept {
  return kind == command_kind::compare_exchange || kind == command_kind::compare_erase;
}

[[nodiscard]] inline bool carries_value(command_kind kind) noexcept {
  return kind == command_kind::put || kind == command_kind::compare_exchange;
}

[[nodiscard]] inline bool writes_key(command_kind kind) noexcept {
  return kind <= command_kind::compare_erase;
}

[[nodiscard]] inline failure bad_command(std::string why) {
  return {errc::bad_command, "not a command of this map: " + std::move(why)};
}

// What the sections say, and whether everything fits the kind; nullptr if it does.
[[nodiscard]] CONFMAN_DECL const char* read_sections(const char* at, std::uint8_t tagged,
                                                     std::uint64_t argument, command_view& command) noexcept {
  const command_kind kind = command.kind;
  const bool in_session = (tagged & session_flag) != 0, from_upload = (tagged & upload_flag) != 0;
  if (in_session) {
    command.session = load<std::uint64_t>(at);
    command.sequence = load<std::uint64_t>(at + 8);
    command.acknowledged = load<std::uint64_t>(at + 16);
    at += session_bytes;
    if (command.session == 0) return "session 0";
  }
  if (from_upload) {
    command.upload = load<std::uint64_t>(at);
    at += upload_bytes;
    if (command.upload == 0) return "upload 0";
  }
  if (writes_key(kind)) {
    if (in_session && (command.sequence == 0 || command.acknowledged > command.sequence))
      return "a sequence of 0, or below what it acknowledges";
    if (from_upload && (!carries_value(kind) || !command.value.empty()))
      return "an upload where none can be, or besides a value";
    return nullptr;
  }
  if (kind == command_kind::upload_piece) {
    command.total_bytes = load<std::uint64_t>(at);
    command.offset = load<std::uint64_t>(at + 8);
    if (in_session || !from_upload || argument != 0) return "a piece with a session or without an upload";
    if (command.value.empty() || command.value.size() > max_piece_bytes ||
        command.total_bytes > max_large_value_bytes || command.offset > command.total_bytes ||
        command.value.size() > command.total_bytes - command.offset)
      return "a piece that is empty, too large or not inside its value";
    return nullptr;
  }
  if (from_upload || !command.key.empty() || !command.value.empty())
    return "a session command with a key, a value or an upload";
  if (kind == command_kind::session_open) {
    command.time_to_live_ms = argument;
    return in_session                                       ? "opening a session inside of one"
           : argument == 0 || argument > max_session_ttl_ms ? "a time to live out of bounds"
                                                            : nullptr;
  }
  return !in_session || command.sequence != 0 || argument != 0 ? "a session command without its session"
                                                               : nullptr;
}

}  // namespace detail::command_codec

CONFMAN_DECL shared_bytes encode(const command_view& command) {
  namespace codec = detail::command_codec;
  const bool piece = command.kind == command_kind::upload_piece;
  CONFMAN_ASSERT(
      codec::writes_key(command.kind) || piece ? detail::is_valid_key(command.key) : command.key.empty(),
      "a key must be validated before it is encoded");
  CONFMAN_ASSERT(command.value.size() <= max_large_value_bytes,
                 "a value must be validated before it is encoded");
  const auto tagged = static_cast<std::uint8_t>(static_cast<unsigned>(command.kind) |
                                                (command.session != 0 ? codec::session_flag : 0u) |
                                                (command.upload != 0 ? codec::upload_flag : 0u));
  shared_bytes::builder bytes(codec::command_header_bytes + codec::section_bytes(tagged) +
                              command.key.size() + command.value.size());
  char* at = bytes.data();
  codec::store(at, codec::command_format);
  codec::store(at + 1, tagged);
  codec::store(at + 2, static_cast<std::uint16_t>(command.key.size()));
  codec::store(at + 4, static_cast<std::uint32_t>(command.value.size()));
  codec::store(at + 8, command.kind == command_kind::session_open ? command.time_to_live_ms
                                                                  : command.expected_revision);
  codec::store(at + 16, static_cast<std::uint64_t>(command.timestamp));
  codec::store(at + 24, command.author.value());
  at += codec::command_header_bytes;
  const auto append = [&at](std::uint64_t word) {
    codec::store(at, word);
    at += sizeof word;
  };
  if (command.session != 0) append(command.session), append(command.sequence), append(command.acknowledged);
  if (command.upload != 0) append(command.upload);
  if (piece) append(command.total_bytes), append(command.offset);
  if (!command.key.empty()) std::memcpy(at, command.key.data(), command.key.size());
  if (!command.value.empty())
    std::memcpy(at + command.key.size(), command.value.data(), command.value.size());
  return std::move(bytes).freeze();
}

CONFMAN_DECL result<command_view> decode(const shared_bytes& bytes) {
  namespace codec = detail::command_codec;
  if (bytes.size() < codec::command_header_bytes)
    return codec::bad_command(std::to_string(bytes.size()) + " bytes, the header alone has " +
                              std::to_string(codec::command_header_bytes));
  const char* const at = bytes.data();
  if (const auto format = codec::load<std::uint8_t>(at); format != codec::command_format)
    return codec::bad_command("format " + std::to_string(format) + ", this build reads format " +
                              std::to_string(codec::command_format));
  const auto tagged = codec::load<std::uint8_t>(at + 1);
  const unsigned kind = tagged & codec::kind_mask;
  if (kind < 1 || kind > 8) return codec::bad_command("unknown kind " + std::to_string(kind));
  const std::size_t key_bytes = codec::load<std::uint16_t>(at + 2);
  const std::size_t value_bytes = codec::load<std::uint32_t>(at + 4);
  const std::size_t before_key = codec::command_header_bytes + codec::section_bytes(tagged);
  if (bytes.size() != before_key + key_bytes + value_bytes)
    return codec::bad_command(std::to_string(bytes.size()) + " bytes, but the header asks for a key of " +
                              std::to_string(key_bytes) + " and a value of " + std::to_string(value_bytes));
  if (value_bytes > max_large_value_bytes)
    return codec::bad_command("a value of " + std::to_string(value_bytes) + " bytes");
  command_view command;
  command.kind = static_cast<command_kind>(kind);
  command.key = {at + before_key, key_bytes};
  command.value = {at + before_key + key_bytes, value_bytes};
  const auto argument = codec::load<std::uint64_t>(at + 8);
  command.timestamp = static_cast<std::int64_t>(codec::load<std::uint64_t>(at + 16));
  command.author = node_id(codec::load<std::uint64_t>(at + 24));
  const bool writes_key = codec::writes_key(command.kind);
  if (before_key != codec::command_header_bytes || !writes_key)
    if (const char* const wrong =
            codec::read_sections(at + codec::command_header_bytes, tagged, argument, command))
      return codec::bad_command(wrong);
  if ((writes_key || command.kind == command_kind::upload_piece) && !detail::is_valid_key(command.key))
    return codec::bad_command("the key " + detail::quoted(command.key) + " breaks the rules for keys");
  if (!writes_key) return command;
  command.expected_revision = argument;
  if (value_bytes != 0 && !codec::carries_value(command.kind))
    return codec::bad_command("an erase that carries a value");
  if (command.expected_revision != 0 && !codec::compares(command.kind))
    return codec::bad_command("an expected revision in a command that does not compare");
  return command;
}

CONFMAN_DECL shared_bytes encode(const apply_result& answer) {
  namespace codec = detail::command_codec;
  shared_bytes::builder bytes(codec::answer_bytes);
  char* const at = bytes.data();
  codec::store(at, codec::answer_format);
  codec::store(at + 1, std::uint8_t{0});
  codec::store(at + 2, static_cast<std::uint16_t>(answer.code.value()));
  codec::store(at + 4, answer.at.term.value());
  codec::store(at + 12, answer.at.index.value());
  codec::store(at + 20, answer.previous_revision);
  return std::move(bytes).freeze();
}

CONFMAN_DECL result<apply_result> decode_apply_result(const shared_bytes& bytes) {
  namespace codec = detail::command_codec;
  if (bytes.size() != codec::answer_bytes)
    return failure(errc::bad_command, "not an answer of this map: " + std::to_string(bytes.size()) +
                                          " bytes instead of " + std::to_string(codec::answer_bytes));
  const char* const at = bytes.data();
  if (codec::load<std::uint8_t>(at) != codec::answer_format || codec::load<std::uint8_t>(at + 1) != 0)
    return failure(errc::bad_command, "not an answer of this map: unknown format " +
                                          std::to_string(codec::load<std::uint8_t>(at)));
  apply_result answer;
  if (const auto code = codec::load<std::uint16_t>(at + 2); code != 0)
    answer.code = make_error_code(static_cast<errc>(code));
  answer.at = {term_t(codec::load<std::uint64_t>(at + 4)), log_index(codec::load<std::uint64_t>(at + 12))};
  answer.revision = answer.at.index.value();
  answer.previous_revision = codec::load<std::uint64_t>(at + 20);
  answer.existed = answer.previous_revision != 0;
  return answer;
}

}  // namespace confman
