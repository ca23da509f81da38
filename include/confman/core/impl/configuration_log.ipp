#pragma once

#include <cstring>

#include "confman/core/chain.hpp"
#include "confman/core/configuration_log.hpp"

namespace confman {

namespace detail {

constexpr char configuration_format = 1;
constexpr std::size_t member_bytes = 16;

inline void store_little_endian(char*& at, std::uint64_t value, std::size_t bytes) noexcept {
  for (std::size_t i = 0; i < bytes; ++i) *at++ = static_cast<char>(value >> (8 * i) & 0xff);
}

inline std::uint64_t take_little_endian(std::string_view& bytes, std::size_t size) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i)
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  bytes.remove_prefix(size);
  return value;
}

inline bool take_members(std::string_view& bytes, std::vector<member>& list) {
  if (bytes.size() < 4) return false;
  const std::uint64_t count = take_little_endian(bytes, 4);
  if (count > bytes.size() / member_bytes) return false;
  list.reserve(static_cast<std::size_t>(count));
  for (std::uint64_t i = 0; i < count; ++i) {
    const node_id id(take_little_endian(bytes, 8));
    if (!id || (!list.empty() && !(list.back().id < id))) return false;
    list.push_back({id, incarnation_id(take_little_endian(bytes, 8))});
  }
  return true;
}

}  // namespace detail

CONFMAN_DECL shared_bytes encode_configuration(const configuration& members) {
  const std::size_t count = members.incoming.size() + members.outgoing.size() + members.learners.size();
  shared_bytes::builder bytes(1 + 3 * 4 + count * detail::member_bytes);
  char* at = bytes.data();
  *at++ = detail::configuration_format;
  for (const auto* list : {&members.incoming, &members.outgoing, &members.learners}) {
    detail::store_little_endian(at, list->size(), 4);
    for (const member& m : *list) {
      detail::store_little_endian(at, m.id.value(), 8);
      detail::store_little_endian(at, m.incarnation.value(), 8);
    }
  }
  return std::move(bytes).freeze();
}

CONFMAN_DECL result<configuration> decode_configuration(std::string_view bytes) {
  const failure bad(errc::bad_command,
                    "configuration entry: malformed, or of a format this build doesn't know");
  if (bytes.empty() || bytes.front() != detail::configuration_format) return bad;
  bytes.remove_prefix(1);
  configuration members;
  for (auto* list : {&members.incoming, &members.outgoing, &members.learners})
    if (!detail::take_members(bytes, *list)) return bad;
  if (!bytes.empty() || members.incoming.empty()) return bad;
  for (const member& m : members.learners)
    if (members.is_voter(m.id)) return bad;
  for (const member& m : members.outgoing)
    if (*members.find_member(m.id) != m) return bad;  // one incarnation wherever it appears
  return members;
}

}  // namespace confman
