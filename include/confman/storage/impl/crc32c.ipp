#pragma once

#include <array>
#include <bit>
#include <cstring>

#include "confman/storage/crc32c.hpp"

#if defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

namespace confman {

namespace detail {

// Eight tables: table[k][b] is the checksum of byte b followed by k zero bytes ("slicing by 8").
using crc32c_tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr crc32c_tables make_crc32c_tables() {
  crc32c_tables tables{};
  for (std::uint32_t b = 0; b < 256; ++b) {
    std::uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0x82F63B78u : 0u);
    tables[0][b] = crc;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t b = 0; b < 256; ++b)
      tables[k][b] = (tables[k - 1][b] >> 8) ^ tables[0][tables[k - 1][b] & 0xFFu];
  return tables;
}

inline constexpr crc32c_tables crc32c_table = make_crc32c_tables();

CONFMAN_DECL std::uint32_t crc32c_portable(std::uint32_t crc, std::string_view bytes) noexcept {
  const crc32c_tables& t = crc32c_table;
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t left = bytes.size();
  crc = ~crc;
  for (; left >= 8; at += 8, left -= 8) {
    const std::uint32_t low =
        crc ^ (static_cast<std::uint32_t>(at[0]) | static_cast<std::uint32_t>(at[1]) << 8 |
               static_cast<std::uint32_t>(at[2]) << 16 | static_cast<std::uint32_t>(at[3]) << 24);
    crc = t[7][low & 0xFFu] ^ t[6][(low >> 8) & 0xFFu] ^ t[5][(low >> 16) & 0xFFu] ^ t[4][low >> 24] ^
          t[3][at[4]] ^ t[2][at[5]] ^ t[1][at[6]] ^ t[0][at[7]];
  }
  for (; left != 0; ++at, --left) crc = (crc >> 8) ^ t[0][(crc ^ *at) & 0xFFu];
  return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) inline std::uint32_t crc32c_sse42(std::uint32_t crc,
                                                                    std::string_view bytes) noexcept {
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  std::uint64_t state = ~crc;
  for (; left >= 8; at += 8, left -= 8) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    state = __builtin_ia32_crc32di(state, word);
  }
  auto narrow = static_cast<std::uint32_t>(state);
  for (; left != 0; ++at, --left) narrow = __builtin_ia32_crc32qi(narrow, static_cast<unsigned char>(*at));
  return ~narrow;
}

#elif defined(__ARM_FEATURE_CRC32)

inline std::uint32_t crc32c_arm(std::uint32_t crc, std::string_view bytes) noexcept {
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  crc = ~crc;
  for (; left >= 8; at += 8, left -= 8) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    crc = __crc32cd(crc, word);
  }
  for (; left != 0; ++at, --left) crc = __crc32cb(crc, static_cast<std::uint8_t>(*at));
  return ~crc;
}

#endif

}  // namespace detail

CONFMAN_DECL std::uint32_t crc32c(std::uint32_t crc, std::string_view bytes) noexcept {
#if defined(__x86_64__)
  static const bool in_hardware = __builtin_cpu_supports("sse4.2") != 0;
  return in_hardware ? detail::crc32c_sse42(crc, bytes) : detail::crc32c_portable(crc, bytes);
#elif defined(__ARM_FEATURE_CRC32)
  return detail::crc32c_arm(crc, bytes);
#else
  return detail::crc32c_portable(crc, bytes);
#endif
}

}  // namespace confman
