// A small seeded generator (SplitMix64, Steele et al. 2014): the core draws timeouts from it, nothing else.
#pragma once

#include <cstdint>

namespace confman {

class random_source {
 public:
  explicit constexpr random_source(std::uint64_t seed) noexcept : state_(seed) {}

  constexpr std::uint64_t next() noexcept {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  // A number in [0, bound). The bias of the remainder is below 2^-32 for the bounds used here.
  constexpr std::uint64_t below(std::uint64_t bound) noexcept { return bound == 0 ? 0 : next() % bound; }

  // See state_visitor.hpp.
  template <class Visitor>
  void visit_state(Visitor& visit) const {
    visit(state_);
  }

 private:
  std::uint64_t state_;
};

}  // namespace confman
