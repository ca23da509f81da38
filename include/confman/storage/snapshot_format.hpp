// The bytes of a snapshot file: docs/format/snapshot.md in code. Pure functions, no I/O.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "confman/core/snapshot_meta.hpp"
#include "confman/error.hpp"
#include "confman/storage/log_format.hpp"

namespace confman::snapshot_format {

inline constexpr std::uint32_t version = 1;
inline constexpr std::size_t block_head_bytes = 16;
inline constexpr std::size_t max_block_bytes = std::size_t{256} << 10;  // of a block's content
inline constexpr std::size_t preamble_bytes = 16;                       // magic, version, size
inline constexpr std::size_t max_header_bytes = std::size_t{16} << 20;
inline constexpr std::size_t footer_bytes = 64;

enum class compression : std::uint32_t { none = 0, zstd = 1 };

// The first bytes of the file. Nothing in it names a node: members send each other the same bytes.
struct header {
  cluster_id cluster;
  group_id group;
  compression compressed = compression::none;
  snapshot_meta meta;
};

// Before each block.
struct block_head {
  std::uint32_t raw_bytes = 0;     // 1 to max_block_bytes
  std::uint32_t stored_bytes = 0;  // 1 to raw_bytes; less than raw_bytes: compressed
  std::uint32_t checksum = 0;      // of the block's number, these two, and the stored bytes
};

// The last bytes of the file.
struct footer {
  std::uint64_t blocks = 0;
  std::uint64_t raw_bytes = 0;  // of all blocks
  std::uint64_t digest = 0;     // see content_digest
};

// Names what a file contains: a hash over the header and each block's stored bytes, in order. Not
// cryptographic: it finds accidents, not attackers.
class content_digest {
 public:
  CONFMAN_DECL void add(std::string_view bytes) noexcept;
  [[nodiscard]] std::uint64_t value() const noexcept { return state_.value(); }

 private:
  chain_hash state_;
  std::uint64_t parts_ = 0;
};

// errc::bad_option when the description could not be read back; errc::value_too_large when the description
// has more than max_header_bytes.
[[nodiscard]] CONFMAN_DECL result<std::string> encode(const header& head);
// The size of the header that begins with these preamble_bytes bytes; nothing when it can't be one.
[[nodiscard]] CONFMAN_DECL std::optional<std::size_t> header_size(std::string_view preamble) noexcept;
// `bytes` is the whole header. Errors: snapshot_damaged, format_unsupported; `path` is for the text.
[[nodiscard]] CONFMAN_DECL result<header> decode_header(std::string_view bytes, const std::string& path);

// Writes block_head_bytes bytes at `at` and sets head.checksum.
CONFMAN_DECL void encode(char* at, block_head& head, std::uint64_t number, std::string_view stored) noexcept;
// False when these can't be the first bytes of a block. Precondition: block_head_bytes bytes at `at`.
[[nodiscard]] CONFMAN_DECL bool decode(const char* at, block_head& head) noexcept;
[[nodiscard]] CONFMAN_DECL bool matches(const block_head& head, std::uint64_t number,
                                        std::string_view stored) noexcept;

[[nodiscard]] CONFMAN_DECL std::string encode(const footer& foot);
[[nodiscard]] CONFMAN_DECL bool decode(std::string_view bytes, footer& foot) noexcept;

// The failures for a file that can't be trusted, and for one that this build can't read.
[[nodiscard]] CONFMAN_DECL failure damage(const std::string& path, std::uint64_t offset,
                                          const std::string& why);

// Names of files: "snapshot-<index>-<term>.snap", "snapshot-<number>.tmp" while it is written, and
// "snapshot-<index>-<term>-<digest>-<bytes>.part" while it is received; 16 hexadecimal digits each.
struct partial_key {
  confman::version at;
  std::uint64_t digest = 0;
  std::uint64_t bytes = 0;

  friend bool operator==(const partial_key&, const partial_key&) = default;
};
[[nodiscard]] CONFMAN_DECL std::string file_name(confman::version at);
[[nodiscard]] CONFMAN_DECL std::string temporary_name(std::uint64_t number);
[[nodiscard]] CONFMAN_DECL std::string partial_name(const partial_key& key);
[[nodiscard]] CONFMAN_DECL std::optional<confman::version> parse_file_name(std::string_view name);
[[nodiscard]] CONFMAN_DECL bool is_temporary_name(std::string_view name) noexcept;
[[nodiscard]] CONFMAN_DECL std::optional<partial_key> parse_partial_name(std::string_view name);

}  // namespace confman::snapshot_format

#if !defined(CONFMAN_COMPILED)
#include "confman/storage/impl/snapshot_format.ipp"
#endif
