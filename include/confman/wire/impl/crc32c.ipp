#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>

#include "confman/wire/crc32c.hpp"

namespace confman {

namespace detail {

using crc32c_tables = std::array<std::array<std::uint32_t, 256>, 8>;

// tables[k][b]: what byte b contributes when k more bytes follow it in the same 8-byte step ("slicing by 8").
[[nodiscard]] constexpr crc32c_tables make_crc32c_tables() noexcept {
  crc32c_tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0x82F63B78u : 0u);
    tables[0][byte] = crc;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t byte = 0; byte < 256; ++byte)
      tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 0xFFu];
  return tables;
}

CONFMAN_DECL std::uint32_t crc32c_by_table(std::string_view bytes, std::uint32_t previous) noexcept {
  static constexpr crc32c_tables tables = make_crc32c_tables();
  std::uint32_t crc = ~previous;
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    const std::uint32_t low = crc ^ (std::uint32_t{at[0]} | std::uint32_t{at[1]} << 8 |
                                     std::uint32_t{at[2]} << 16 | std::uint32_t{at[3]} << 24);
    crc = tables[7][low & 0xFFu] ^ tables[6][(low >> 8) & 0xFFu] ^ tables[5][(low >> 16) & 0xFFu] ^
          tables[4][low >> 24] ^ tables[3][at[4]] ^ tables[2][at[5]] ^ tables[1][at[6]] ^ tables[0][at[7]];
  }
  for (; left != 0; ++at, --left) crc = (crc >> 8) ^ tables[0][(crc ^ *at) & 0xFFu];
  return ~crc;
}

#if defined(__x86_64__) && defined(__GNUC__)
#define CONFMAN_CRC32C_SSE42 1

// The checksum's register after `lane_bytes` zero bytes, for each value of each of its bytes. It is linear,
// so the register of a long input is put together from those of its parts.
inline constexpr std::size_t lane_bytes = 256;

[[nodiscard]] constexpr std::array<std::array<std::uint32_t, 256>, 4> make_lane_shift() noexcept {
  const crc32c_tables tables = make_crc32c_tables();
  std::array<std::array<std::uint32_t, 256>, 4> shift{};
  for (std::size_t bit = 0; bit < 32; ++bit) {
    std::uint32_t crc = 1u << bit;
    for (std::size_t i = 0; i < lane_bytes; ++i) crc = (crc >> 8) ^ tables[0][crc & 0xFFu];
    for (std::size_t byte = 0; byte < 256; ++byte)
      if ((byte >> (bit % 8) & 1u) != 0) shift[bit / 8][byte] ^= crc;
  }
  return shift;
}

[[nodiscard]] inline std::uint64_t shift_lane(std::uint64_t crc) noexcept {
  static constexpr auto shift = make_lane_shift();
  return shift[0][crc & 0xFFu] ^ shift[1][crc >> 8 & 0xFFu] ^ shift[2][crc >> 16 & 0xFFu] ^
         shift[3][crc >> 24 & 0xFFu];
}

[[nodiscard]] inline std::uint64_t load_word(const char* at) noexcept {
  std::uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// The instruction takes three cycles but one can start in each, so long inputs are summed in three lanes at
// once.
__attribute__((target("sse4.2"))) inline std::uint32_t crc32c_by_sse42(std::string_view bytes,
                                                                       std::uint32_t previous) noexcept {
  std::uint64_t crc = static_cast<std::uint32_t>(~previous);
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 3 * lane_bytes; at += 3 * lane_bytes, left -= 3 * lane_bytes) {
    std::uint64_t second = 0, third = 0;
    for (std::size_t i = 0; i < lane_bytes; i += 8) {
      crc = __builtin_ia32_crc32di(crc, load_word(at + i));
      second = __builtin_ia32_crc32di(second, load_word(at + lane_bytes + i));
      third = __builtin_ia32_crc32di(third, load_word(at + 2 * lane_bytes + i));
    }
    crc = shift_lane(shift_lane(crc) ^ second) ^ third;
  }
  for (; left >= 8; at += 8, left -= 8) crc = __builtin_ia32_crc32di(crc, load_word(at));
  auto narrow = static_cast<std::uint32_t>(crc);
  for (; left != 0; ++at, --left) narrow = __builtin_ia32_crc32qi(narrow, static_cast<unsigned char>(*at));
  return ~narrow;
}
#endif

}  // namespace detail

CONFMAN_DECL std::uint32_t crc32c(std::string_view bytes, std::uint32_t previous) noexcept {
#if defined(CONFMAN_CRC32C_SSE42)
  if (__builtin_cpu_supports("sse4.2")) return detail::crc32c_by_sse42(bytes, previous);
#endif
  return detail::crc32c_by_table(bytes, previous);
}

}  // namespace confman
