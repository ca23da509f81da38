#pragma once

#include <array>

#include "confman/core/chain.hpp"
#include "confman/core/configuration_log.hpp"
#include "confman/storage/compression.hpp"
#include "confman/storage/snapshot_format.hpp"

namespace confman::snapshot_format {

namespace detail {

inline constexpr std::string_view header_magic{"cfm-snp\n", 8};
inline constexpr std::string_view footer_magic{"cfm-end\n", 8};
inline constexpr std::size_t header_fields = 24;  // cluster, group, compression, size of the description
inline constexpr std::string_view file_suffix = ".snap", temporary_suffix = ".tmp", partial_suffix = ".part";

inline std::uint32_t block_checksum(const block_head& head, std::uint64_t number,
                                    std::string_view stored) noexcept {
  char bytes[16];
  log_format::put(bytes, number);
  log_format::put(bytes + 8, head.raw_bytes);
  log_format::put(bytes + 12, head.stored_bytes);
  return crc32c(stored, crc32c(std::string_view{bytes, sizeof bytes}));
}

// The numbers of a name made of the prefix, `count` numbers separated by '-', and the suffix.
template <std::size_t Count>
std::optional<std::array<std::uint64_t, Count>> parse_numbers(std::string_view name,
                                                              std::string_view suffix) {
  const std::string_view prefix = log_format::snapshot_prefix;
  if (name.size() != prefix.size() + 17 * Count - 1 + suffix.size() || !name.starts_with(prefix) ||
      !name.ends_with(suffix))
    return std::nullopt;
  name.remove_prefix(prefix.size());
  std::array<std::uint64_t, Count> numbers{};
  for (std::size_t i = 0; i < Count; ++i, name.remove_prefix(17)) {
    const auto number = log_format::parse_name("", name.substr(0, 16));
    if (!number || (i + 1 < Count && name[16] != '-')) return std::nullopt;
    numbers[i] = *number;
    if (i + 1 == Count) break;
  }
  return numbers;
}

inline std::string name_of(std::initializer_list<std::uint64_t> numbers, std::string_view suffix) {
  std::string name(log_format::snapshot_prefix);
  for (const std::uint64_t number : numbers) (name = log_format::numbered_name(name, number)) += '-';
  name.pop_back();
  return name += suffix;
}

}  // namespace detail

CONFMAN_DECL void content_digest::add(std::string_view bytes) noexcept {
  state_ = extend_chain(state_, term_t(++parts_), 0, bytes);
}

CONFMAN_DECL failure damage(const std::string& path, std::uint64_t offset, const std::string& why) {
  return {errc::snapshot_damaged,
          "snapshot damaged: " + path + " at offset " + std::to_string(offset) + ": " + why +
              ". Check the disk (dmesg, smartctl). A member gets another one from its peers when this file "
              "and the log are removed and it joins again; a backup has to be replaced by another copy"};
}

CONFMAN_DECL result<std::string> encode(const header& head) {
  const shared_bytes meta = encode_snapshot_meta(head.meta);
  if (!decode_snapshot_meta(meta.view()))
    return failure(errc::bad_option,
                   "the description of the snapshot makes no sense: it needs a place after 0 and members "
                   "that form a configuration");
  const std::size_t size = log_format::align(preamble_bytes + detail::header_fields + meta.size() + 4);
  if (size > max_header_bytes)
    return failure(errc::value_too_large, "the description of the snapshot has " + std::to_string(size) +
                                              " bytes, at most " + std::to_string(max_header_bytes) +
                                              " are possible: the members' addresses are too long");
  std::string block(size, '\0');
  std::copy(detail::header_magic.begin(), detail::header_magic.end(), block.begin());
  log_format::detail::writer(block.data() + detail::header_magic.size())(version)(
      static_cast<std::uint32_t>(size))(head.cluster)(head.group)(
      static_cast<std::uint32_t>(head.compressed))(static_cast<std::uint32_t>(meta.size()));
  std::copy(meta.view().begin(), meta.view().end(),
            block.begin() + static_cast<std::ptrdiff_t>(preamble_bytes + detail::header_fields));
  log_format::detail::end_block(block);
  return block;
}

CONFMAN_DECL std::optional<std::size_t> header_size(std::string_view preamble) noexcept {
  if (preamble.size() < preamble_bytes || !preamble.starts_with(detail::header_magic)) return std::nullopt;
  const std::size_t size = log_format::get<std::uint32_t>(preamble.data() + 12);
  if (size < preamble_bytes + detail::header_fields + 4 || size > max_header_bytes) return std::nullopt;
  return size;
}

CONFMAN_DECL result<header> decode_header(std::string_view bytes, const std::string& path) {
  if (header_size(bytes) != bytes.size() ||
      crc32c(bytes.substr(0, bytes.size() - 4)) !=
          log_format::get<std::uint32_t>(bytes.data() + bytes.size() - 4))
    return damage(path, 0, "the header is unreadable");
  const auto unsupported = [&path](const std::string& why) {
    return failure(errc::format_unsupported, path + " " + why + ". Nothing was changed");
  };
  const auto found = log_format::get<std::uint32_t>(bytes.data() + 8);
  if (found != version)
    return unsupported("has format version " + std::to_string(found) + ", this build reads version " +
                       std::to_string(version) + ": start the confman that wrote it");
  header head;
  std::uint32_t compressed = 0, length = 0;
  log_format::detail::reader(bytes.data() + preamble_bytes)(head.cluster)(head.group)(compressed)(length);
  if (compressed > static_cast<std::uint32_t>(compression::zstd))
    return unsupported("is compressed in a way (" + std::to_string(compressed) +
                       ") that this build does not know: start the confman that wrote it");
  head.compressed = static_cast<compression>(compressed);
  if (head.compressed == compression::zstd && !zstd_available())
    return unsupported(
        "is compressed with zstd, and this build is without it: build confman with "
        "-DCONFMAN_ZSTD=ON (Debian: libzstd-dev), or have the others write snapshots uncompressed");
  if (length > bytes.size() - preamble_bytes - detail::header_fields - 4)
    return damage(path, 0, "the header has a valid checksum and impossible numbers");
  result<snapshot_meta> meta =
      decode_snapshot_meta(bytes.substr(preamble_bytes + detail::header_fields, length));
  if (!meta) return damage(path, preamble_bytes + detail::header_fields, meta.error().what);
  head.meta = *std::move(meta);
  return head;
}

CONFMAN_DECL void encode(char* at, block_head& head, std::uint64_t number, std::string_view stored) noexcept {
  head.checksum = detail::block_checksum(head, number, stored);
  log_format::detail::writer{at}(head.raw_bytes)(head.stored_bytes)(head.checksum)(std::uint32_t{0});
}

CONFMAN_DECL bool decode(const char* at, block_head& head) noexcept {
  std::uint32_t zero = 0;
  log_format::detail::reader{at}(head.raw_bytes)(head.stored_bytes)(head.checksum)(zero);
  return zero == 0 && head.stored_bytes != 0 && head.stored_bytes <= head.raw_bytes &&
         head.raw_bytes <= max_block_bytes;
}

CONFMAN_DECL bool matches(const block_head& head, std::uint64_t number, std::string_view stored) noexcept {
  return stored.size() == head.stored_bytes && detail::block_checksum(head, number, stored) == head.checksum;
}

CONFMAN_DECL std::string encode(const footer& foot) {
  std::string block(footer_bytes, '\0');
  std::copy(detail::footer_magic.begin(), detail::footer_magic.end(), block.begin());
  log_format::detail::writer(block.data() + detail::footer_magic.size())(version)(
      static_cast<std::uint32_t>(footer_bytes))(foot.blocks)(foot.raw_bytes)(foot.digest);
  log_format::detail::end_block(block);
  return block;
}

CONFMAN_DECL bool decode(std::string_view bytes, footer& foot) noexcept {
  if (bytes.size() != footer_bytes || !bytes.starts_with(detail::footer_magic) ||
      log_format::get<std::uint32_t>(bytes.data() + 8) != version ||
      log_format::get<std::uint32_t>(bytes.data() + 12) != footer_bytes ||
      crc32c(bytes.substr(0, footer_bytes - 4)) !=
          log_format::get<std::uint32_t>(bytes.data() + footer_bytes - 4))
    return false;
  log_format::detail::reader(bytes.data() + preamble_bytes)(foot.blocks)(foot.raw_bytes)(foot.digest);
  return true;
}

CONFMAN_DECL std::string file_name(confman::version at) {
  return detail::name_of({at.index.value(), at.term.value()}, detail::file_suffix);
}

CONFMAN_DECL std::string temporary_name(std::uint64_t number) {
  return detail::name_of({number}, detail::temporary_suffix);
}

CONFMAN_DECL std::string partial_name(const partial_key& key) {
  return detail::name_of({key.at.index.value(), key.at.term.value(), key.digest, key.bytes},
                         detail::partial_suffix);
}

CONFMAN_DECL std::optional<confman::version> parse_file_name(std::string_view name) {
  const auto numbers = detail::parse_numbers<2>(name, detail::file_suffix);
  if (!numbers) return std::nullopt;
  return confman::version{term_t((*numbers)[1]), log_index((*numbers)[0])};
}

CONFMAN_DECL bool is_temporary_name(std::string_view name) noexcept {
  return name.starts_with(log_format::snapshot_prefix) && name.ends_with(detail::temporary_suffix);
}

CONFMAN_DECL std::optional<partial_key> parse_partial_name(std::string_view name) {
  const auto numbers = detail::parse_numbers<4>(name, detail::partial_suffix);
  if (!numbers) return std::nullopt;
  return partial_key{{term_t((*numbers)[1]), log_index((*numbers)[0])}, (*numbers)[2], (*numbers)[3]};
}

}  // namespace confman::snapshot_format
