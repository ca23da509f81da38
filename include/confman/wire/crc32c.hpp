// CRC32C (Castagnoli, RFC 3720 appendix B.4), as used by frames, log records and snapshot files.
#pragma once

#include <cstdint>
#include <string_view>

#include "confman/config.hpp"

namespace confman {

// The checksum of everything summed up in `previous` followed by `bytes`: crc32c(b, crc32c(a)) == crc32c(a +
// b). 0 stands for nothing yet. Uses SSE4.2 where the processor has it, else a table. Any thread.
[[nodiscard]] CONFMAN_DECL std::uint32_t crc32c(std::string_view bytes, std::uint32_t previous = 0) noexcept;

namespace detail {

// The table form, whatever the processor: what tests compare with.
[[nodiscard]] CONFMAN_DECL std::uint32_t crc32c_by_table(std::string_view bytes,
                                                         std::uint32_t previous) noexcept;

}  // namespace detail
}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/wire/impl/crc32c.ipp"
#endif
