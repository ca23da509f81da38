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

[[nodiscard]] inline bool compares(command_kind kind) noexcept {
  return kind == command_kind::compare_exchange || kind == command_kind::compare_erase;
}

[[nodiscard]] inline bool carries_value(command_kind kind) noexcept {
  return kind == command_kind::put || kind == command_kind::compare_exchange;
}

[[nodiscard]] inline failure bad_command(std::string why) {
  return {errc::bad_command, "not a command of this map: " + std::move(why)};
}

}  // namespace detail::command_codec

CONFMAN_DECL shared_bytes encode(const command_view& command) {
  namespace codec = detail::command_codec;
  CONFMAN_ASSERT(detail::is_valid_key(command.key), "a key must be validated before it is encoded");
  CONFMAN_ASSERT(command.value.size() <= 0xffffffffu, "a value must be validated before it is encoded");
  shared_bytes::builder bytes(codec::command_header_bytes + command.key.size() + command.value.size());
  char* const at = bytes.data();
  codec::store(at, codec::command_format);
  codec::store(at + 1, static_cast<std::uint8_t>(command.kind));
  codec::store(at + 2, static_cast<std::uint16_t>(command.key.size()));
  codec::store(at + 4, static_cast<std::uint32_t>(command.value.size()));
  codec::store(at + 8, command.expected_revision);
  codec::store(at + 16, static_cast<std::uint64_t>(command.timestamp));
  codec::store(at + 24, command.author.value());
  std::memcpy(at + codec::command_header_bytes, command.key.data(), command.key.size());
  if (!command.value.empty())
    std::memcpy(at + codec::command_header_bytes + command.key.size(), command.value.data(),
                command.value.size());
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
  const auto kind = codec::load<std::uint8_t>(at + 1);
  if (kind < 1 || kind > 4) return codec::bad_command("unknown kind " + std::to_string(kind));
  const std::size_t key_bytes = codec::load<std::uint16_t>(at + 2);
  const std::size_t value_bytes = codec::load<std::uint32_t>(at + 4);
  if (bytes.size() - codec::command_header_bytes != key_bytes + value_bytes)
    return codec::bad_command(std::to_string(bytes.size()) + " bytes, but the header asks for a key of " +
                              std::to_string(key_bytes) + " and a value of " + std::to_string(value_bytes));
  command_view command;
  command.kind = static_cast<command_kind>(kind);
  command.key = {at + codec::command_header_bytes, key_bytes};
  command.value = {at + codec::command_header_bytes + key_bytes, value_bytes};
  command.expected_revision = codec::load<std::uint64_t>(at + 8);
  command.timestamp = static_cast<std::int64_t>(codec::load<std::uint64_t>(at + 16));
  command.author = node_id(codec::load<std::uint64_t>(at + 24));
  if (!detail::is_valid_key(command.key))
    return codec::bad_command("the key " + detail::quoted(command.key) + " breaks the rules for keys");
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
