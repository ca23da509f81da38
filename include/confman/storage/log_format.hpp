// The bytes of the log on disk: docs/format/log.md in code. Pure functions, no I/O.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "confman/core/hard_state.hpp"
#include "confman/wire/crc32c.hpp"

namespace confman::log_format {

inline constexpr std::uint32_t version = 1;
inline constexpr std::size_t identity_bytes = 128;
inline constexpr std::size_t identity_limit = 4096;  // no version's identity file is larger
inline constexpr std::size_t segment_header_bytes = 512;
inline constexpr std::size_t frame_header_bytes = 48;
inline constexpr std::size_t record_head_bytes = 8;
inline constexpr std::size_t entry_head_bytes = record_head_bytes + 24;
inline constexpr std::size_t truncate_bytes = record_head_bytes + 8;
inline constexpr std::size_t state_bytes = record_head_bytes + 24;
inline constexpr std::size_t reset_bytes = record_head_bytes + 24;
inline constexpr std::size_t alignment = 8;  // of frames

inline constexpr const char* identity_name = "identity";
inline constexpr const char* new_identity_name = "identity.new";
inline constexpr const char* lock_name = "LOCK";
// Files of a snapshot_store in the same directory begin so; the log leaves them alone.
inline constexpr std::string_view snapshot_prefix = "snapshot-";

[[nodiscard]] constexpr std::uint64_t align(std::uint64_t bytes) noexcept {
  return (bytes + (alignment - 1)) / alignment * alignment;
}

// Little-endian integers at any address.
template <class T>
void put(char* at, T value) noexcept {
  if constexpr (std::endian::native == std::endian::big && sizeof(T) > 1)
    value = static_cast<T>(sizeof(T) == 8   ? __builtin_bswap64(value)
                           : sizeof(T) == 4 ? __builtin_bswap32(static_cast<std::uint32_t>(value))
                                            : __builtin_bswap16(static_cast<std::uint16_t>(value)));
  std::memcpy(at, &value, sizeof value);
}
template <class T>
[[nodiscard]] T get(const char* at) noexcept {
  T value;
  std::memcpy(&value, at, sizeof value);
  if constexpr (std::endian::native == std::endian::big && sizeof(T) > 1) {
    T swapped;
    put(reinterpret_cast<char*>(&swapped), value);
    return swapped;
  }
  return value;
}

// A place in the log, the term of the entry there, and the hash of everything up to it.
struct anchor {
  log_index index;
  term_t term;
  chain_hash hash;

  friend bool operator==(const anchor&, const anchor&) = default;
};

// The file that says whose directory this is. Rewritten (aside, synced, renamed) at each open and each
// release.
struct identity {
  cluster_id cluster;
  node_id node;
  group_id group;
  incarnation_id incarnation;
  std::uint64_t boot = 0;           // how often the log was opened
  std::uint64_t first_segment = 0;  // the oldest segment that counts; 0 until the first one exists
  std::uint64_t known_frame = 0;    // frames up to this one are known to be durable
};

// The first 512 bytes of a segment; durable before the file gets its name.
struct segment_header {
  cluster_id cluster;
  node_id node;
  group_id group;
  incarnation_id incarnation;
  std::uint64_t sequence = 0;  // also in the file's name; never used twice
  std::uint64_t capacity = 0;  // bytes of the file
  std::uint64_t first_frame =
      1;  // number of the first frame here; the one before it is the seal of the last segment
  std::uint32_t previous = 0;  // checksum of the last frame before that seal
  std::uint32_t checksum = 0;  // set by encode and decode
  hard_state state;            // everything a replay needs to begin here:
  anchor base;                 // ... the last entry before this segment
  anchor start;                // ... the place just before the oldest entry kept when the segment was begun

  // Frames up to this one were synced before this header was written.
  [[nodiscard]] std::uint64_t synced() const noexcept { return first_frame < 2 ? 0 : first_frame - 2; }
};

// One batch, all or nothing.
struct frame_header {
  std::uint64_t number = 0;      // counts frames, from 1, without gaps over all segments
  std::uint64_t synced = 0;      // frames up to this one were synced before this one was written
  std::uint64_t body_bytes = 0;  // a multiple of 8
  std::uint32_t previous = 0;    // checksum of the frame before, or of the segment header
  std::uint32_t body_checksum = 0;
  std::uint32_t flags = 0;
  std::uint32_t records = 0;
  std::uint32_t checksum = 0;  // set by encode and decode

  static constexpr std::uint32_t seal = 1;  // the last frame of its segment: the log goes on in the next one
};

enum class record_kind : std::uint8_t { entry = 1, truncate = 2, state = 3, reset = 4 };

// Where a frame is. Part of every checksum, so that bytes left over from a recycled segment, moved, or copied
// from another directory are never taken for a frame.
class place {
 public:
  CONFMAN_DECL place(incarnation_id incarnation, std::uint64_t sequence) noexcept;
  // What the checksums of a frame at `offset` begin with.
  [[nodiscard]] CONFMAN_DECL std::uint32_t seed(std::uint64_t offset) const noexcept;

 private:
  std::uint32_t state_;
};

enum class decoded { good, damaged, other_version };

[[nodiscard]] CONFMAN_DECL std::string encode(const identity& who);
// `bytes` is the whole file. `found_version` is set unless damaged.
[[nodiscard]] CONFMAN_DECL decoded decode(std::string_view bytes, identity& who,
                                          std::uint32_t& found_version);

// Returns segment_header_bytes bytes and sets header.checksum.
[[nodiscard]] CONFMAN_DECL std::string encode(segment_header& header);
[[nodiscard]] CONFMAN_DECL decoded decode(std::string_view bytes, segment_header& header,
                                          std::uint32_t& found_version);

// Writes frame_header_bytes bytes and sets header.checksum.
CONFMAN_DECL void encode(char* at, frame_header& header, std::uint32_t seed) noexcept;
// False when these bytes are no frame header of this place. Precondition: frame_header_bytes bytes at `at`.
[[nodiscard]] CONFMAN_DECL bool decode(const char* at, frame_header& header, std::uint32_t seed) noexcept;

CONFMAN_DECL void put_entry(char* at, const entry& e) noexcept;  // the head; the payload follows it
CONFMAN_DECL void put_truncate(char* at, log_index from) noexcept;
CONFMAN_DECL void put_state(char* at, const hard_state& state) noexcept;
CONFMAN_DECL void put_reset(char* at, const log_reset& reset) noexcept;

// "log-" or "spare-" and 16 hexadecimal digits.
[[nodiscard]] CONFMAN_DECL std::string numbered_name(std::string_view prefix, std::uint64_t number);
[[nodiscard]] CONFMAN_DECL std::optional<std::uint64_t> parse_name(std::string_view prefix,
                                                                   std::string_view name);

}  // namespace confman::log_format

#if !defined(CONFMAN_COMPILED)
#include "confman/storage/impl/log_format.ipp"
#endif
