#pragma once

#include <cstring>
#include <initializer_list>
#include <string>

#include "confman/core/chain.hpp"
#include "confman/core/configuration_log.hpp"
#include "confman/core/joint_change.hpp"

namespace confman {

namespace detail {

constexpr char configuration_format = 1;
constexpr std::size_t member_head_bytes = 8 + 8 + 1 + 2;

inline void put_little_endian(std::string& out, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
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
  if (count > bytes.size() / member_head_bytes) return false;
  list.reserve(static_cast<std::size_t>(count));
  for (std::uint64_t i = 0; i < count; ++i) {
    if (bytes.size() < member_head_bytes) return false;
    member m;
    m.id = node_id(take_little_endian(bytes, 8));
    m.incarnation = incarnation_id(take_little_endian(bytes, 8));
    m.priority = static_cast<std::uint8_t>(take_little_endian(bytes, 1));
    const std::size_t length = static_cast<std::size_t>(take_little_endian(bytes, 2));
    if (length > bytes.size() || !m.id || (!list.empty() && !(list.back().id < m.id))) return false;
    m.address = bytes.substr(0, length);
    bytes.remove_prefix(length);
    list.push_back(std::move(m));
  }
  return true;
}

}  // namespace detail

CONFMAN_DECL shared_bytes encode_configuration(const configuration& members) {
  std::string bytes(1, detail::configuration_format);
  bytes.push_back(members.auto_leave ? 1 : 0);
  for (const auto* list : {&members.incoming, &members.outgoing, &members.learners, &members.learners_next}) {
    detail::put_little_endian(bytes, list->size(), 4);
    for (const member& m : *list) {
      CONFMAN_ASSERT(m.address.size() <= 0xffff, "a member's address has at most 65,535 bytes");
      detail::put_little_endian(bytes, m.id.value(), 8);
      detail::put_little_endian(bytes, m.incarnation.value(), 8);
      detail::put_little_endian(bytes, m.priority, 1);
      detail::put_little_endian(bytes, m.address.size(), 2);
      bytes += m.address;
    }
  }
  return shared_bytes::copy(bytes);
}

CONFMAN_DECL result<configuration> decode_configuration(std::string_view bytes) {
  const failure bad(errc::bad_command,
                    "configuration entry: malformed, or of a format this build doesn't know");
  if (bytes.size() < 2 || bytes.front() != detail::configuration_format) return bad;
  configuration members;
  const auto auto_leave = static_cast<unsigned char>(bytes[1]);
  members.auto_leave = auto_leave != 0;
  bytes.remove_prefix(2);
  for (auto* list : {&members.incoming, &members.outgoing, &members.learners, &members.learners_next})
    if (!detail::take_members(bytes, *list)) return bad;
  if (auto_leave > 1 || !bytes.empty() || check_configuration(members)) return bad;
  return members;
}

CONFMAN_DECL shared_bytes encode_snapshot_meta(const snapshot_meta& meta) {
  std::string bytes(1, detail::configuration_format);
  for (const std::uint64_t value :
       {meta.at.term.value(), meta.at.index.value(), meta.hash.value(), meta.members_at.value()})
    detail::put_little_endian(bytes, value, 8);
  bytes += encode_configuration(meta.members).view();
  return shared_bytes::copy(bytes);
}

CONFMAN_DECL result<snapshot_meta> decode_snapshot_meta(std::string_view bytes) {
  const failure bad(errc::snapshot_damaged,
                    "snapshot: its description is malformed, or of a format this build doesn't know");
  if (bytes.size() < 1 + 4 * 8 || bytes.front() != detail::configuration_format) return bad;
  bytes.remove_prefix(1);
  snapshot_meta meta;
  meta.at.term = term_t(detail::take_little_endian(bytes, 8));
  meta.at.index = log_index(detail::take_little_endian(bytes, 8));
  meta.hash = chain_hash(detail::take_little_endian(bytes, 8));
  meta.members_at = log_index(detail::take_little_endian(bytes, 8));
  result<configuration> members = decode_configuration(bytes);
  if (!members || !meta.at.index || meta.at.index > highest_index || meta.members_at > meta.at.index)
    return bad;
  meta.members = *std::move(members);
  return meta;
}

}  // namespace confman
