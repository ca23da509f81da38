#pragma once

#include <limits>
#include <string>
#include <utility>
#include <variant>

#include "confman/wire/archive.hpp"
#include "confman/wire/message_codec.hpp"

namespace confman {

template <>
inline constexpr std::uint64_t last_enumerator<entry_type> =
    static_cast<std::uint64_t>(entry_type::configuration);
template <>
inline constexpr std::uint64_t last_enumerator<join_status> =
    static_cast<std::uint64_t>(join_status::refused);
template <>
inline constexpr std::uint64_t last_enumerator<forward_status> =
    static_cast<std::uint64_t>(forward_status::busy);

namespace detail {

// What a message is called on the wire. Numbers are never reused or changed, whatever the order of the
// variant; 0 isn't one, so that a type without a number doesn't compile.
template <class Body>
inline constexpr std::uint8_t wire_tag = 0;
template <>
inline constexpr std::uint8_t wire_tag<pre_vote_request> = 1;
template <>
inline constexpr std::uint8_t wire_tag<pre_vote_response> = 2;
template <>
inline constexpr std::uint8_t wire_tag<vote_request> = 3;
template <>
inline constexpr std::uint8_t wire_tag<vote_response> = 4;
template <>
inline constexpr std::uint8_t wire_tag<append_request> = 5;
template <>
inline constexpr std::uint8_t wire_tag<append_ok> = 6;
template <>
inline constexpr std::uint8_t wire_tag<append_reject> = 7;
template <>
inline constexpr std::uint8_t wire_tag<heartbeat> = 8;
template <>
inline constexpr std::uint8_t wire_tag<heartbeat_response> = 9;
template <>
inline constexpr std::uint8_t wire_tag<commit_notice> = 10;
template <>
inline constexpr std::uint8_t wire_tag<read_index_request> = 11;
template <>
inline constexpr std::uint8_t wire_tag<read_index_response> = 12;
template <>
inline constexpr std::uint8_t wire_tag<stale_term> = 13;
template <>
inline constexpr std::uint8_t wire_tag<refused> = 14;
template <>
inline constexpr std::uint8_t wire_tag<forward_request> = 15;
template <>
inline constexpr std::uint8_t wire_tag<forward_response> = 16;
template <>
inline constexpr std::uint8_t wire_tag<timeout_now> = 17;
template <>
inline constexpr std::uint8_t wire_tag<snapshot_piece> = 18;
template <>
inline constexpr std::uint8_t wire_tag<snapshot_piece_response> = 19;
template <>
inline constexpr std::uint8_t wire_tag<join_request> = 20;
template <>
inline constexpr std::uint8_t wire_tag<join_response> = 21;

// The fields of each message, in wire order; `M` is const when writing.
template <class A>
void wire_fields(A& a, pre_vote_request& m) {
  a(m.campaign_term, m.last);
}
template <class A>
void wire_fields(A& a, pre_vote_response& m) {
  a(m.campaign_term, m.granted);
}
template <class A>
void wire_fields(A& a, vote_request& m) {
  a(m.last, m.transfer);
}
template <class A>
void wire_fields(A& a, vote_response& m) {
  a(m.granted, m.candidate);
}
template <class A>
void wire_fields(A& a, append_ok& m) {
  a(m.match);
}
template <class A>
void wire_fields(A& a, append_reject& m) {
  a(m.rejected, m.hint);
}
template <class A>
void wire_fields(A& a, heartbeat& m) {
  a(m.commit, m.round);
}
template <class A>
void wire_fields(A& a, heartbeat_response& m) {
  a(m.round);
}
template <class A>
void wire_fields(A& a, commit_notice& m) {
  a(m.commit);
}
template <class A>
void wire_fields(A& a, read_index_request& m) {
  a(m.context);
}
template <class A>
void wire_fields(A& a, read_index_response& m) {
  a(m.context, m.index);
}
template <class A>
void wire_fields(A&, stale_term&) {}
template <class A>
void wire_fields(A& a, refused& m) {
  a(m.bound);
}
template <class A>
void wire_fields(A&, timeout_now&) {}
template <class Sink>
void wire_fields(basic_writer<Sink>& a, snapshot_piece& m) {
  a(m.at, m.digest, m.total, m.offset, m.bytes);
}
inline void wire_fields(bounded_reader& a, snapshot_piece& m) {
  a(m.at, m.digest, m.total, m.offset, m.bytes);
  if (m.bytes.size() > max_snapshot_piece_bytes) a.fail("a piece of a snapshot is too long");
  if (m.offset > m.total || m.bytes.size() > m.total - m.offset)
    a.fail("a piece of a snapshot reaches beyond its end");
}
template <class A>
void wire_fields(A& a, snapshot_piece_response& m) {
  a(m.at, m.digest, m.next, m.installed);
}
// Only a reader judges.
template <class A>
void check_address(A& a, const std::string& address) {
  if constexpr (std::is_same_v<A, bounded_reader>)
    if (address.size() > max_address_bytes) a.fail("an address is too long");
}
template <class A>
void wire_fields(A& a, join_request& m) {
  a(m.address, m.as_learner, m.priority);
  check_address(a, m.address);
}
template <class A>
void wire_fields(A& a, join_response& m) {
  a(m.status, m.code, m.leader, m.leader_address);
  check_address(a, m.leader_address);
}
template <class A>
void wire_fields(A& a, forward_request& m) {
  a(m.request, m.command);
}
template <class A>
void wire_fields(A& a, forward_response& m) {
  a(m.request, m.status, m.at, m.result);
}

// A table of (term, type, payload length), then all payloads: so the small bytes stay together and n large
// payloads make n + 1 pieces.
template <class Sink>
void wire_fields(basic_writer<Sink>& a, append_request& m) {
  a(m.previous, m.previous_hash, m.commit);
  a(m.entries.empty() ? m.previous_hash : m.entries.back().hash);
  a(static_cast<std::uint32_t>(m.entries.size()));
  for (const entry& e : m.entries) a(e.term, e.type, static_cast<std::uint32_t>(e.payload.size()));
  for (const entry& e : m.entries) a.raw(e.payload);
}

inline constexpr std::size_t entry_row_bytes = 8 + 1 + 4;

// The lengths in a table of entry rows that was checked to hold them.
class entry_lengths {
 public:
  explicit entry_lengths(std::string_view rows) noexcept : rows_(rows) {}
  [[nodiscard]] std::size_t count() const noexcept { return rows_.size() / entry_row_bytes; }
  [[nodiscard]] std::size_t operator[](std::size_t i) const noexcept {
    return load_integer<std::uint32_t>(rows_.data() + (i + 1) * entry_row_bytes - 4);
  }

 private:
  std::string_view rows_;
};

// Takes the payloads, which follow each other: as slices where decode_message() says so, else as copies.
inline void take_payloads(bounded_reader& a, const entry_lengths& lengths, std::vector<entry>& entries) {
  const auto thrifty = [&](std::size_t i) { return a.slice_is_thrifty(lengths[i], shared_block_bytes); };
  const auto small = [&](std::size_t i) { return lengths[i] <= shared_block_bytes / 4 && !thrifty(i); };
  for (std::size_t i = 0; i < entries.size() && a.ok();) {
    if (!small(i)) {
      entries[i].payload = thrifty(i) ? a.take_shared(lengths[i]) : a.take_copy(lengths[i]);
      ++i;
      continue;
    }
    std::size_t end = i, size = 0;
    while (end < entries.size() && small(end) && size + lengths[end] <= shared_block_bytes)
      size += lengths[end++];
    const shared_bytes block = shared_bytes::copy(a.take(size));
    if (!a.ok()) return;
    for (std::size_t at = 0; i < end; at += lengths[i], ++i) entries[i].payload = block.slice(at, lengths[i]);
  }
}

inline void wire_fields(bounded_reader& a, append_request& m) {
  chain_hash last_hash;
  a(m.previous, m.previous_hash, m.commit, last_hash);
  const std::size_t count = a.take_count(entry_row_bytes);
  if (m.previous.index.value() > std::numeric_limits<std::uint64_t>::max() - count)
    a.fail("the log index overflows");
  if (!a.ok()) return;
  const std::string_view table = a.take(count * entry_row_bytes);
  m.entries.resize(count);
  take_payloads(a, entry_lengths(table), m.entries);
  bounded_reader rows(table);
  log_index index = m.previous.index;
  chain_hash hash = m.previous_hash;
  for (entry& e : m.entries) {
    std::uint32_t length = 0;
    rows(e.term, e.type, length);
    if (!rows.ok()) a.fail("an entry has an unknown type");
    if (e.term.value() >> 56 != 0)
      a.fail("an entry's term is 2^56 or more");  // the chain hash takes 56 bits of it
    if (!a.ok()) return;
    e.index = ++index;
    e.hash = hash = extend_chain(hash, e.term, static_cast<std::uint8_t>(e.type), e.payload.view());
  }
  if (hash != last_hash) a.fail("the chain hash of the last entry differs from the one sent");
}

template <std::size_t... I>
constexpr bool wire_tags_are_distinct(std::index_sequence<I...>) {
  constexpr std::uint8_t tags[] = {wire_tag<std::variant_alternative_t<I, message_body>>...};
  for (std::size_t i = 0; i < sizeof...(I); ++i) {
    if (tags[i] == 0) return false;
    for (std::size_t j = 0; j < i; ++j)
      if (tags[i] == tags[j]) return false;
  }
  return true;
}

using message_indices = std::make_index_sequence<std::variant_size_v<message_body>>;
static_assert(wire_tags_are_distinct(message_indices{}), "each message needs a wire_tag of its own");

template <class Sink>
void write_message(Sink& sink, const message& m) {
  basic_writer<Sink> a(sink);
  std::visit(
      [&](const auto& body) {
        using body_type = std::decay_t<decltype(body)>;
        a(wire_tag<body_type>, m.cluster, m.group, m.from, m.to, m.incarnation, m.term);
        wire_fields(a, const_cast<body_type&>(body));  // fields are described once, for both directions
      },
      m.body);
}

template <std::size_t... I>
void read_body(bounded_reader& a, std::uint8_t tag, message_body& body, std::index_sequence<I...>) {
  const bool known = ((tag == wire_tag<std::variant_alternative_t<I, message_body>> &&
                       (wire_fields(a, body.template emplace<I>()), true)) ||
                      ...);
  if (!known) a.fail("the message type is unknown");
}

// Whether a message of this type may carry payloads, which must then outlive the buffer it was read into.
[[nodiscard]] constexpr bool carries_payload(std::uint8_t tag) noexcept {
  return tag == wire_tag<append_request> || tag == wire_tag<forward_request> ||
         tag == wire_tag<forward_response> || tag == wire_tag<snapshot_piece>;
}

[[nodiscard]] inline result<message> read_message(bounded_reader& a) {
  std::uint8_t tag = 0;
  message m;
  a(tag, m.cluster, m.group, m.from, m.to, m.incarnation, m.term);
  if (a.ok()) read_body(a, tag, m.body, message_indices{});
  if (!a.complete()) return a.error(errc::bad_frame, "message of type " + std::to_string(tag));
  return m;
}

}  // namespace detail

CONFMAN_DECL std::size_t encoded_message_size(const message& m) {
  byte_counter counter;
  detail::write_message(counter, m);
  return counter.size();
}

CONFMAN_DECL void encode_message(const message& m, gather_buffer& out) {
  detail::write_message(out, m);
}

CONFMAN_DECL result<message> decode_message(const shared_bytes& body) {
  bounded_reader a(body);
  return detail::read_message(a);
}

CONFMAN_DECL result<message> decode_message(std::string_view body) {
  // Up to this size all payloads may share the copy; above it they are copied one by one.
  if (!body.empty() && body.size() <= shared_block_bytes &&
      detail::carries_payload(static_cast<std::uint8_t>(body.front())))
    return decode_message(shared_bytes::copy(body));
  bounded_reader a(body);
  return detail::read_message(a);
}

}  // namespace confman
