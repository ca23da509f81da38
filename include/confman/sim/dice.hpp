// Everything random in a simulated world comes from here, and so from its seed.
#pragma once

#include <cstdint>

#include "confman/core/random.hpp"

namespace confman::sim {

// A seeded source of decisions. Two dice with the same seed decide alike, for ever and on every machine.
class dice {
 public:
  explicit constexpr dice(std::uint64_t seed) noexcept : source_(seed) {}

  constexpr std::uint64_t next() noexcept { return source_.next(); }
  // A number in [0, bound); 0 when bound is 0.
  constexpr std::uint64_t below(std::uint64_t bound) noexcept { return source_.below(bound); }
  // A number in [low, high]. Precondition: low <= high.
  constexpr std::uint64_t between(std::uint64_t low, std::uint64_t high) noexcept {
    return low + below(high - low + 1);
  }
  // True in `per_mille` of 1,000 cases.
  constexpr bool chance(std::uint64_t per_mille) noexcept { return below(1000) < per_mille; }
  constexpr bool coin() noexcept { return (next() >> 63) != 0; }
  // Mostly small, sometimes up to `high`: a number in [low, high] whose order of magnitude is uniform.
  constexpr std::uint64_t skewed(std::uint64_t low, std::uint64_t high) noexcept {
    std::uint64_t range = high - low + 1;
    const std::uint64_t halvings = below(8);
    for (std::uint64_t i = 0; i < halvings && range > 1; ++i) range /= 2;
    return low + below(range);
  }
  // One of the arguments.
  template <class First, class... Rest>
  constexpr First pick(First first, Rest... rest) noexcept {
    const First all[] = {first, static_cast<First>(rest)...};
    return all[below(1 + sizeof...(rest))];
  }
  // Dice of their own for one part of the world, so that one more decision here changes nothing there.
  [[nodiscard]] constexpr dice fork(std::uint64_t tag) noexcept {
    return dice(next() ^ (tag * 0xD1B54A32D192ED03u));
  }

 private:
  random_source source_;
};

}  // namespace confman::sim
