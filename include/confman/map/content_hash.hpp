// The hash of a value or key, at once or as its bytes arrive. Finds accidents, not attackers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "confman/core/chain.hpp"

namespace confman::detail {

// Two words per multiplication; the tail is read as the last 16 bytes again, which needs no copy. The bytes
// must stay where they are: each call gets the beginning of all of them. The result doesn't depend on the
// portions.
class content_hasher {
 public:
  content_hasher(std::uint64_t seed, std::size_t total) noexcept
      : hash_(fold_multiply(seed ^ k0, total ^ k1)), total_(total) {}

  // The first `filled` bytes are there.
  void update(const char* bytes, std::size_t filled) noexcept {
    for (; total_ - done_ > 16 && filled - done_ >= 16; done_ += 16) step(bytes + done_, k0);
  }
  // Of all that update() was given, the last few bytes included.
  [[nodiscard]] std::uint64_t so_far(const char* bytes, std::size_t filled) const noexcept {
    char padded[32] = {};
    if (filled > done_) std::memcpy(padded, bytes + done_, filled - done_);
    content_hasher rest(hash_, filled);
    rest.step(padded, k0);
    rest.step(padded + 16, k0);
    return rest.hash_;
  }
  // All are there. Precondition: update() was told so.
  [[nodiscard]] std::uint64_t finish(const char* bytes) const noexcept {
    content_hasher last = *this;
    if (total_ < 16) {
      char padded[16] = {};
      if (total_ != 0) std::memcpy(padded, bytes, total_);
      last.step(padded, k0);
    } else {
      last.step(bytes + total_ - 16, k0);
    }
    return last.hash_;
  }

 private:
  static constexpr std::uint64_t k0 = 0x9E3779B97F4A7C15u, k1 = 0xD1B54A32D192ED03u;

  void step(const char* at, std::uint64_t key) noexcept {
    hash_ = fold_multiply(load_little_endian(at) ^ hash_ ^ key, load_little_endian(at + 8) ^ k1);
  }

  std::uint64_t hash_;
  std::size_t total_;
  std::size_t done_ = 0;
};

[[nodiscard]] inline std::uint64_t hash_content(std::uint64_t seed, std::string_view bytes) noexcept {
  content_hasher hasher(seed, bytes.size());
  hasher.update(bytes.data(), bytes.size());
  return hasher.finish(bytes.data());
}

// A hash of a few numbers, for sums over the parts of a state.
template <class... Numbers>
[[nodiscard]] std::uint64_t hash_numbers(std::uint64_t seed, Numbers... numbers) noexcept {
  std::uint64_t h = seed ^ 0xA0761D6478BD642Fu;
  ((h = fold_multiply(h ^ static_cast<std::uint64_t>(numbers), h + 0xE7037ED1A0B428DBu)), ...);
  return h;
}

}  // namespace confman::detail
