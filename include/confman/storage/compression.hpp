// Optional compression of snapshot blocks: zstd (RFC 8878) where the library was there at build time.
#pragma once

#include <string>
#include <string_view>

#include "confman/error.hpp"

namespace confman {

// Whether this build can compress and decompress (CMake: CONFMAN_ZSTD, which defines CONFMAN_HAS_ZSTD).
[[nodiscard]] CONFMAN_DECL bool zstd_available() noexcept;

// Replaces `into` by the compressed form of `bytes`, at zstd's level 1: it keeps up with a disk. False when
// that isn't smaller, or this build has no zstd. The same bytes give the same result with the same version of
// the library. Any thread.
[[nodiscard]] CONFMAN_DECL bool compress_block(std::string_view bytes, std::string& into);

// Replaces `into` by the `size` bytes that `bytes` were made from; takes no more memory than that, whatever
// `bytes` say. False when they don't give exactly `size` bytes, or this build has no zstd. Any thread.
[[nodiscard]] CONFMAN_DECL bool decompress_block(std::string_view bytes, std::size_t size, std::string& into);

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/storage/impl/compression.ipp"
#endif
