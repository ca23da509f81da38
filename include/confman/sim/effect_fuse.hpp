// Cuts a node's power at an exact effect: the k-th write, sync, rename, send or apply from now.
#pragma once

#include <cstdint>

namespace confman::sim {

// Every effect of a node burns the fuse once. Armed, it blows at a chosen effect; from then on nothing that
// the node does reaches the world any more, until the world has taken it down and fits a new fuse.
class effect_fuse {
 public:
  enum class spark : std::uint8_t {
    none,    // go on
    before,  // power is gone: this effect doesn't happen
    after,   // this effect happens, and then the power goes
  };

  // Blows at the effect after `effects` more; with `performed` that effect still happens.
  void arm(std::uint64_t effects, bool performed) noexcept {
    left_ = effects;
    performed_ = performed;
    armed_ = true;
  }
  void disarm() noexcept { armed_ = false; }
  void reset() noexcept { armed_ = blown_ = false; }

  [[nodiscard]] bool armed() const noexcept { return armed_; }
  [[nodiscard]] bool blown() const noexcept { return blown_; }

  spark burn() noexcept {
    if (blown_) return spark::before;
    if (!armed_) return spark::none;
    if (left_-- != 0) return spark::none;
    blown_ = true;
    armed_ = false;
    return performed_ ? spark::after : spark::before;
  }

 private:
  std::uint64_t left_ = 0;
  bool performed_ = false;
  bool armed_ = false;
  bool blown_ = false;
};

}  // namespace confman::sim
