// The layout of the snapshot stream (docs/format/map_snapshot.md): what encoder and loader share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "confman/map/limits.hpp"

namespace confman {

// No block of a snapshot stream is larger.
inline constexpr std::size_t max_snapshot_block_bytes = std::size_t{256} << 10;

namespace detail::snapshot_format {

inline constexpr std::uint32_t version = 1;

// A block: u32 CRC32C of all that follows, u32 number from 0, then items.
inline constexpr std::size_t block_header_bytes = 8;

// The first byte of an item. Items of a lower section come before those of a higher one; `more` follows
// whatever isn't complete. 16 to 47 are kept for further sections.
enum class tag : std::uint8_t {
  header = 1,
  clock = 2,
  session = 3,  // followed by its answers
  answer = 4,
  upload = 5,
  entry = 48,
  more = 62,  // further bytes of the value before
  end = 63,
};

// Tag and fields, without key and value.
inline constexpr std::size_t header_bytes = 1 + 4 + 6 * 8 + 3 * 4;
inline constexpr std::size_t clock_bytes = 1 + 3 * 8;
inline constexpr std::size_t session_bytes = 1 + 5 * 8 + 4;
inline constexpr std::size_t answer_bytes = 1 + 4 * 8 + 2;
inline constexpr std::size_t upload_bytes = 1 + 6 * 8 + 2;
inline constexpr std::size_t entry_bytes = 1 + 6 * 8 + 2 + 4;
inline constexpr std::size_t more_bytes = 1 + 4;
inline constexpr std::size_t end_bytes = 1 + 8;

// An item begins in a block only if that much is left, so that its fields and key are never split.
inline constexpr std::size_t least_room = 1024;
static_assert(entry_bytes + max_key_bytes < least_room);

}  // namespace detail::snapshot_format
}  // namespace confman
