// CRC32C (Castagnoli), the checksum of everything on disk and in frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "confman/config.hpp"

namespace confman {

// Extends `crc` (0 to begin with) by `bytes`: crc32c(crc32c(0, a), b) is the checksum of a followed by b.
// Uses the processor's instruction where there is one, chosen once at run time. Any thread; never fails.
[[nodiscard]] CONFMAN_DECL std::uint32_t crc32c(std::uint32_t crc, std::string_view bytes) noexcept;

namespace detail {
// The table-driven form, for processors without the instruction; exposed so that tests compare the two.
[[nodiscard]] CONFMAN_DECL std::uint32_t crc32c_portable(std::uint32_t crc, std::string_view bytes) noexcept;
}  // namespace detail

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/storage/impl/crc32c.ipp"
#endif
