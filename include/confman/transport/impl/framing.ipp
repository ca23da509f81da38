#pragma once

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "confman/transport/framing.hpp"
#include "confman/wire/archive.hpp"
#include "confman/wire/crc32c.hpp"
#include "confman/wire/message_codec.hpp"

namespace confman {

namespace detail {

inline constexpr std::uint32_t hello_magic = 0x4E4D4643;  // "CFMN" as bytes

// The reasons a refusal can carry, by their number on the wire (the index). Never reordered.
inline constexpr errc refusal_reasons[] = {errc::bad_frame,    errc::wrong_cluster,     errc::wrong_node,
                                           errc::unknown_peer, errc::protocol_mismatch, errc::busy};

// Appends a frame around what `write_body` appends, then fills in length and checksum.
template <class F>
void append_frame(frame_kind kind, gather_buffer& out, F write_body) {
  char head[frame_header_bytes] = {};
  const gather_buffer::mark start = out.here();
  out.append(head, sizeof head);
  const gather_buffer::mark body = out.here();
  const std::size_t before = out.size();
  write_body();
  store_integer(head, static_cast<std::uint32_t>(out.size() - before));
  head[4] = static_cast<char>(kind);
  std::uint32_t crc = crc32c(std::string_view(head, 5));
  out.for_each_piece(body, [&crc](std::string_view piece) { crc = crc32c(piece, crc); });
  store_integer(head + 5, crc);
  out.overwrite(start.small, std::string_view(head, sizeof head));
}

[[nodiscard]] inline std::string to_text(node_id id) {
  return std::to_string(id.value());
}

// Text from a peer, fit for a log line.
[[nodiscard]] inline std::string printable(std::string_view text) {
  std::string clean(text.substr(0, 512));
  for (char& c : clean)
    if (c < ' ' || c == '\x7F') c = '?';
  return clean;
}

}  // namespace detail

CONFMAN_DECL frame_reader::frame_reader(std::size_t max_body, std::size_t capacity)
    : max_body_(max_body), capacity_(std::max<std::size_t>(capacity, 512)), buffer_(new char[capacity_]) {}

CONFMAN_DECL void frame_reader::resize(std::size_t max_body, std::size_t capacity) {
  const std::size_t unread = end_ - begin_;
  const std::size_t wanted = std::max({capacity, unread, std::size_t{512}});
  std::unique_ptr<char[]> bigger(new char[wanted]);
  std::memcpy(bigger.get(), buffer_.get() + begin_, unread);
  buffer_ = std::move(bigger);
  capacity_ = wanted;
  max_body_ = max_body;
  begin_ = 0;
  end_ = unread;
}

CONFMAN_DECL std::array<std::span<char>, 2> frame_reader::prepare() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (capacity_ - end_ <
             capacity_ / 2) {  // what is left is part of one frame of at most half the buffer
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  const std::span<char> rest(buffer_.get() + end_, capacity_ - end_);
  if (!large_) return {rest, {}};
  return {std::span<char>(large_->block.data() + large_->filled, large_->block.size() - large_->filled),
          rest};
}

CONFMAN_DECL void frame_reader::commit(std::size_t size) {
  if (large_) {
    const std::size_t part = std::min(size, large_->block.size() - large_->filled);
    large_->crc = crc32c(std::string_view(large_->block.data() + large_->filled, part), large_->crc);
    large_->filled += part;
    size -= part;
  }
  CONFMAN_ASSERT(size <= capacity_ - end_, "more bytes were committed than prepared");
  end_ += size;
}

CONFMAN_DECL bool frame_reader::next(frame& out) {
  if (error_) return false;
  if (large_) return finish_large(out);
  header head;
  if (!parse_header(head)) return false;
  if (head.length > end_ - begin_ - frame_header_bytes) {
    if (head.length > capacity_ / 2 - frame_header_bytes) begin_large(head);
    return false;
  }
  const std::string_view body(buffer_.get() + begin_ + frame_header_bytes, head.length);
  if (!intact(head, crc32c(body, head.seed))) return false;
  begin_ += frame_header_bytes + head.length;
  out = {head.kind, body, {}};
  return true;
}

CONFMAN_DECL bool frame_reader::parse_header(header& head) {
  if (end_ - begin_ < frame_header_bytes) return false;
  const char* at = buffer_.get() + begin_;
  head.length = detail::load_integer<std::uint32_t>(at);
  const auto kind = static_cast<std::uint8_t>(at[4]);
  head.crc = detail::load_integer<std::uint32_t>(at + 5);
  head.seed = crc32c(std::string_view(at, 5));
  if (kind < static_cast<std::uint8_t>(frame_kind::hello) ||
      kind > static_cast<std::uint8_t>(frame_kind::message)) {
    error_ = failure(errc::bad_frame, "frame of unknown kind " + std::to_string(kind) +
                                          ": is the other side a confman member? check the address and port");
    return false;
  }
  head.kind = static_cast<frame_kind>(kind);
  if (head.length <= max_body_) return true;
  error_ = failure(errc::bad_frame, "frame of " + std::to_string(head.length) + " bytes, at most " +
                                        std::to_string(max_body_) +
                                        " are accepted here: give all members the same max_frame_bytes");
  return false;
}

// The rest of a large body is read where it will stay.
CONFMAN_DECL void frame_reader::begin_large(const header& head) {
  try {
    large_.emplace(large_body{head, shared_bytes::builder(head.length), 0, head.seed});
  } catch (const std::bad_alloc&) {
    error_ = failure(errc::bad_frame, "no memory for a frame of " + std::to_string(head.length) + " bytes");
    return;
  }
  begin_ += frame_header_bytes;
  const std::string_view here(buffer_.get() + begin_, end_ - begin_);
  std::memcpy(large_->block.data(), here.data(), here.size());
  large_->crc = crc32c(here, large_->crc);
  large_->filled = here.size();
  begin_ = end_ = 0;
}

CONFMAN_DECL bool frame_reader::finish_large(frame& out) {
  if (large_->filled < large_->block.size()) return false;
  if (!intact(large_->head, large_->crc)) return false;
  out.kind = large_->head.kind;
  out.block = std::move(large_->block).freeze();
  out.body = out.block.view();
  large_.reset();
  return true;
}

CONFMAN_DECL bool frame_reader::intact(const header& head, std::uint32_t crc) {
  if (crc == head.crc) return true;
  error_ =
      failure(errc::bad_frame, "frame of " + std::to_string(head.length) +
                                   " bytes was damaged on its way: its checksum differs; if this repeats, "
                                   "suspect the network hardware or memory of either side");
  return false;
}

CONFMAN_DECL void append_message_frame(const message& m, gather_buffer& out) {
  detail::append_frame(frame_kind::message, out, [&] { encode_message(m, out); });
}

CONFMAN_DECL void append_hello_frame(frame_kind kind, const hello& h, gather_buffer& out) {
  detail::append_frame(kind, out, [&] {
    basic_writer<gather_buffer> a(out);
    a(detail::hello_magic, h.newest_version,
      h.oldest_version);  // this prefix stays the same in every version
    a(h.cluster, h.group, h.from, h.to, h.incarnation, h.address, h.guest);
  });
}

CONFMAN_DECL void append_refusal_frame(const failure& why, gather_buffer& out) {
  std::uint8_t reason = 0;
  for (std::size_t i = 0; i < std::size(detail::refusal_reasons); ++i)
    if (why.code == make_error_code(detail::refusal_reasons[i])) reason = static_cast<std::uint8_t>(i);
  detail::append_frame(frame_kind::refusal, out, [&] {
    basic_writer<gather_buffer> a(out);
    a(reason, std::string_view(why.what).substr(0, 1024));
  });
}

CONFMAN_DECL result<hello> decode_hello(std::string_view body) {
  bounded_reader a(body);
  hello h;
  std::uint32_t magic = 0;
  a(magic, h.newest_version, h.oldest_version);
  if (!a.ok() || magic != detail::hello_magic)
    return failure(errc::bad_frame,
                   "no confman hello: check that the address and port are those of a member");
  if (h.oldest_version > protocol_version || h.newest_version < oldest_protocol_version) return h;
  a(h.cluster, h.group, h.from, h.to, h.incarnation, h.address, h.guest);
  if (!a.ok()) return a.error(errc::bad_frame, "hello");  // bytes that follow are a newer version's
  return h;
}

CONFMAN_DECL result<refusal> decode_refusal(std::string_view body) {
  bounded_reader a(body);
  std::uint8_t reason = 0;
  std::string_view text;
  a(reason, text);
  if (!a.ok()) return a.error(errc::bad_frame, "refusal");
  if (reason >= std::size(detail::refusal_reasons)) reason = 0;
  return refusal{make_error_code(detail::refusal_reasons[reason]), detail::printable(text)};
}

CONFMAN_DECL failure check_hello(const hello& theirs, const hello_expectation& ours) {
  using detail::to_text;
  const std::string where(ours.where);
  const std::string who = "node " + to_text(theirs.from) + " at " + where;
  if (theirs.oldest_version > protocol_version || theirs.newest_version < oldest_protocol_version)
    return {errc::protocol_mismatch,
            "the member at " + where + " speaks protocol versions " + std::to_string(theirs.oldest_version) +
                " to " + std::to_string(theirs.newest_version) + ", node " + to_text(ours.self) + " speaks " +
                std::to_string(oldest_protocol_version) + " to " + std::to_string(protocol_version) +
                ": upgrade the older one, one release at a time"};
  if (theirs.cluster != ours.cluster)
    return {errc::wrong_cluster,
            who + " belongs to cluster " + std::to_string(theirs.cluster.value()) + ", node " +
                to_text(ours.self) + " to cluster " + std::to_string(ours.cluster.value()) +
                ": give both the same options.cluster (or, where that is empty, the same "
                "options.members), or correct the address"};
  if (ours.peer && theirs.from != ours.peer)
    return {errc::wrong_node, "node " + to_text(theirs.from) + " answers at " + where + ", where node " +
                                  to_text(ours.peer) + " was expected: correct the members' addresses"};
  if (theirs.to != ours.self || theirs.from == ours.self || !theirs.from)
    return {errc::wrong_node, who + " wants to talk to node " + to_text(theirs.to) + ", but this is node " +
                                  to_text(ours.self) + ": correct the members' addresses or ids"};
  if (!ours.peer_known && !theirs.guest)
    return {errc::unknown_peer, who + " is not a member that node " + to_text(ours.self) +
                                    " knows: add it to the cluster first, or stop it"};
  return {};
}

}  // namespace confman
