#pragma once

#include "confman/storage/log_format.hpp"

namespace confman::log_format {

namespace detail {

inline constexpr std::string_view identity_magic{"cfm-dir\n", 8};
inline constexpr std::string_view segment_magic{"cfm-log\n", 8};
inline constexpr std::uint32_t frame_magic = 0x6D724643u;  // "CFrm"

// Reads or writes one field after the other.
class writer {
 public:
  explicit writer(char* at) noexcept : at_(at) {}
  template <class T>
  writer& operator()(T value) noexcept {
    put(at_, value);
    at_ += sizeof value;
    return *this;
  }
  template <class Tag>
  writer& operator()(tagged<Tag> value) noexcept {
    return (*this)(value.value());
  }

 private:
  char* at_;
};

class reader {
 public:
  explicit reader(const char* at) noexcept : at_(at) {}
  template <class T>
  reader& operator()(T& value) noexcept {
    value = get<T>(at_);
    at_ += sizeof value;
    return *this;
  }
  template <class Tag>
  reader& operator()(tagged<Tag>& value) noexcept {
    std::uint64_t raw;
    (*this)(raw);
    value = tagged<Tag>(raw);
    return *this;
  }

 private:
  const char* at_;
};

// A block is: 8 bytes of magic, version, size, fields, zeros, and a checksum of all that in the last 4 bytes.
// Every version keeps that frame, so that a newer format and damage can be told apart.
inline std::string begin_block(std::string_view magic, std::size_t bytes) {
  std::string block(bytes, '\0');
  std::memcpy(block.data(), magic.data(), magic.size());
  writer(block.data() + 8)(version)(static_cast<std::uint32_t>(bytes));
  return block;
}

inline std::uint32_t end_block(std::string& block) {
  const std::uint32_t checksum = crc32c(std::string_view(block).substr(0, block.size() - 4));
  put(block.data() + block.size() - 4, checksum);
  return checksum;
}

inline decoded check_block(std::string_view block, std::string_view magic, std::uint32_t& found_version) {
  if (block.size() < 20 || block.substr(0, 8) != magic) return decoded::damaged;
  if (get<std::uint32_t>(block.data() + 12) != block.size()) return decoded::damaged;
  if (crc32c(block.substr(0, block.size() - 4)) != get<std::uint32_t>(block.data() + block.size() - 4))
    return decoded::damaged;
  found_version = get<std::uint32_t>(block.data() + 8);
  return found_version == version ? decoded::good : decoded::other_version;
}

template <class Archive, class Identity>
void identity_fields(Archive&& archive, Identity& who) {
  archive(who.cluster)(who.node)(who.group)(who.incarnation)(who.boot)(who.first_segment)(who.known_frame);
}

template <class Archive, class Header>
void segment_fields(Archive&& archive, Header& h) {
  archive(h.cluster)(h.node)(h.group)(h.incarnation)(h.sequence)(h.capacity)(h.first_frame)(h.state.term)(
      h.state.vote)(h.state.commit)(h.base.index)(h.base.term)(h.base.hash)(h.start.index)(h.start.term)(
      h.start.hash)(h.previous);
}

template <class Archive, class Header>
void frame_fields(Archive&& archive, Header& h) {
  archive(h.number)(h.synced)(h.body_bytes)(h.previous)(h.body_checksum)(h.flags)(h.records);
}

}  // namespace detail

CONFMAN_DECL place::place(incarnation_id incarnation, std::uint64_t sequence) noexcept {
  char bytes[16];
  detail::writer{bytes}(incarnation)(sequence);
  state_ = crc32c(std::string_view{bytes, sizeof bytes});
}

CONFMAN_DECL std::uint32_t place::seed(std::uint64_t offset) const noexcept {
  char bytes[8];
  put(bytes, offset);
  return crc32c(std::string_view{bytes, sizeof bytes}, state_);
}

CONFMAN_DECL std::string encode(const identity& who) {
  std::string block = detail::begin_block(detail::identity_magic, identity_bytes);
  detail::identity_fields(detail::writer(block.data() + 16), who);
  detail::end_block(block);
  return block;
}

CONFMAN_DECL decoded decode(std::string_view bytes, identity& who, std::uint32_t& found_version) {
  const decoded outcome = detail::check_block(bytes, detail::identity_magic, found_version);
  if (outcome != decoded::good) return outcome;
  if (bytes.size() != identity_bytes) return decoded::damaged;
  detail::identity_fields(detail::reader(bytes.data() + 16), who);
  return decoded::good;
}

CONFMAN_DECL std::string encode(segment_header& header) {
  std::string block = detail::begin_block(detail::segment_magic, segment_header_bytes);
  detail::segment_fields(detail::writer(block.data() + 16), header);
  header.checksum = detail::end_block(block);
  return block;
}

CONFMAN_DECL decoded decode(std::string_view bytes, segment_header& header, std::uint32_t& found_version) {
  const decoded outcome = detail::check_block(bytes, detail::segment_magic, found_version);
  if (outcome != decoded::good) return outcome;
  detail::segment_fields(detail::reader(bytes.data() + 16), header);
  header.checksum = get<std::uint32_t>(bytes.data() + bytes.size() - 4);
  return decoded::good;
}

CONFMAN_DECL void encode(char* at, frame_header& header, std::uint32_t seed) noexcept {
  detail::frame_fields(detail::writer(at + 8), header);
  header.checksum = crc32c(std::string_view{at + 8, frame_header_bytes - 8}, seed);
  detail::writer{at}(detail::frame_magic)(header.checksum);
}

CONFMAN_DECL bool decode(const char* at, frame_header& header, std::uint32_t seed) noexcept {
  if (get<std::uint32_t>(at) != detail::frame_magic) return false;
  header.checksum = get<std::uint32_t>(at + 4);
  if (crc32c(std::string_view{at + 8, frame_header_bytes - 8}, seed) != header.checksum) return false;
  detail::frame_fields(detail::reader(at + 8), header);
  return true;
}

namespace detail {
inline writer record_head(char* at, std::size_t length, record_kind kind, std::uint8_t sub) noexcept {
  writer w(at);
  w(static_cast<std::uint32_t>(length))(static_cast<std::uint8_t>(kind))(sub)(std::uint16_t{0});
  return w;
}
}  // namespace detail

CONFMAN_DECL void put_entry(char* at, const entry& e) noexcept {
  detail::record_head(at, entry_head_bytes - record_head_bytes + e.payload.size(), record_kind::entry,
                      static_cast<std::uint8_t>(e.type))(e.term)(e.index)(e.hash);
}

CONFMAN_DECL void put_truncate(char* at, log_index from) noexcept {
  detail::record_head(at, truncate_bytes - record_head_bytes, record_kind::truncate, 0)(from);
}

CONFMAN_DECL void put_state(char* at, const hard_state& state) noexcept {
  detail::record_head(at, state_bytes - record_head_bytes, record_kind::state,
                      0)(state.term)(state.vote)(state.commit);
}

CONFMAN_DECL void put_reset(char* at, const log_reset& reset) noexcept {
  detail::record_head(at, reset_bytes - record_head_bytes, record_kind::reset,
                      0)(reset.at.index)(reset.at.term)(reset.hash);
}

CONFMAN_DECL std::string numbered_name(std::string_view prefix, std::uint64_t number) {
  std::string name(prefix);
  for (int shift = 60; shift >= 0; shift -= 4) name += "0123456789abcdef"[(number >> shift) & 15];
  return name;
}

CONFMAN_DECL std::optional<std::uint64_t> parse_name(std::string_view prefix, std::string_view name) {
  if (name.size() != prefix.size() + 16 || name.substr(0, prefix.size()) != prefix) return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : name.substr(prefix.size())) {
    if (c >= '0' && c <= '9')
      number = number << 4 | static_cast<std::uint64_t>(c - '0');
    else if (c >= 'a' && c <= 'f')
      number = number << 4 | static_cast<std::uint64_t>(c - 'a' + 10);
    else
      return std::nullopt;
  }
  return number;
}

}  // namespace confman::log_format
