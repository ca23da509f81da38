#pragma once

#include "confman/storage/compression.hpp"

#if defined(CONFMAN_HAS_ZSTD)
#include <zstd.h>
#endif

namespace confman {

#if defined(CONFMAN_HAS_ZSTD)

CONFMAN_DECL bool zstd_available() noexcept {
  return true;
}

CONFMAN_DECL bool compress_block(std::string_view bytes, std::string& into) {
  into.resize(ZSTD_compressBound(bytes.size()));
  const std::size_t size = ZSTD_compress(into.data(), into.size(), bytes.data(), bytes.size(), 1);
  if (ZSTD_isError(size) != 0 || size >= bytes.size()) return false;
  into.resize(size);
  return true;
}

CONFMAN_DECL bool decompress_block(std::string_view bytes, std::size_t size, std::string& into) {
  into.resize(size);
  return ZSTD_decompress(into.data(), size, bytes.data(), bytes.size()) == size;
}

#else

CONFMAN_DECL bool zstd_available() noexcept {
  return false;
}

CONFMAN_DECL bool compress_block(std::string_view, std::string&) {
  return false;
}

CONFMAN_DECL bool decompress_block(std::string_view, std::size_t, std::string&) {
  return false;
}

#endif

}  // namespace confman
