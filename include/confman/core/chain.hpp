// The chain hash: h(i) = H(h(i-1), term, type, payload). Not cryptographic: it finds accidents, not
// attackers.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "confman/core/ids.hpp"

namespace confman {

namespace detail {

// 128-bit multiply folded to 64 bits: every input bit reaches every output bit in a few cycles.
[[nodiscard]] inline std::uint64_t fold_multiply(std::uint64_t a, std::uint64_t b) noexcept {
  __extension__ using uint128 = unsigned __int128;
  const uint128 product = static_cast<uint128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

[[nodiscard]] inline std::uint64_t load_little_endian(const char* bytes) noexcept {
  std::uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  return word;
}

}  // namespace detail

// The hash of a log whose last entry before this one hashes to `previous`. The empty log hashes to 0.
[[nodiscard]] inline chain_hash extend_chain(chain_hash previous, term_t term, std::uint8_t type,
                                             std::string_view payload) noexcept {
  constexpr std::uint64_t k0 = 0x9E3779B97F4A7C15u, k1 = 0xD1B54A32D192ED03u;
  std::uint64_t h = detail::fold_multiply(previous.value() ^ k0, (term.value() << 8 | type) ^ k1);
  const char* at = payload.data();
  std::size_t left = payload.size();
  for (; left >= 16; at += 16, left -= 16)
    h = detail::fold_multiply(detail::load_little_endian(at) ^ h ^ k0,
                              detail::load_little_endian(at + 8) ^ k1);
  char tail[16] = {};
  if (left != 0) std::memcpy(tail, at, left);
  h = detail::fold_multiply(detail::load_little_endian(tail) ^ h ^ k1,
                            detail::load_little_endian(tail + 8) ^ k0);
  return chain_hash(detail::fold_multiply(h ^ payload.size(), k0));
}

}  // namespace confman
