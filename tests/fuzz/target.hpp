// What a fuzz target is: one function that takes any bytes, and stops the process when something is wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace fuzz {

struct target {
  const char* name;
  void (*run)(std::string_view bytes);
};

// Every target that is linked into this program.
[[nodiscard]] inline std::vector<target>& targets() {
  static std::vector<target> all;
  return all;
}

struct registration {
  registration(const char* name, void (*run)(std::string_view)) { targets().push_back({name, run}); }
};

// An oracle: stops the process, so that libFuzzer and the replay both see a crash.
inline void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: broken expectation: %s\n", what);
  std::fflush(stderr);
  std::abort();
}

// Takes an input apart. When it is used up everything is 0, so every input means something.
class input {
 public:
  explicit input(std::string_view bytes) noexcept : rest_(bytes) {}

  [[nodiscard]] bool empty() const noexcept { return rest_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return rest_.size(); }
  [[nodiscard]] std::uint8_t byte() noexcept {
    if (rest_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  // 0 to n - 1, of one byte or two.
  [[nodiscard]] std::size_t below(std::size_t n) noexcept {
    const std::size_t value = n <= 256 ? byte() : byte() | static_cast<std::size_t>(byte()) << 8;
    return value % n;
  }
  [[nodiscard]] bool flip() noexcept { return (byte() & 1) != 0; }
  [[nodiscard]] std::uint64_t word() noexcept {
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value |= std::uint64_t{byte()} << (8 * i);
    return value;
  }
  // Mostly close to `near`, now and then any number: what is interesting lies at both.
  [[nodiscard]] std::uint64_t number(std::uint64_t near) noexcept {
    const std::uint8_t how = byte();
    if (how < 240) return near + how % 5 - (near < 2 ? near : 2);
    if (how < 244) return 0;
    if (how < 248) return ~std::uint64_t{0} - how % 2;
    return word();
  }
  [[nodiscard]] std::string_view take(std::size_t size) noexcept {
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  // A run of bytes whose length comes first.
  [[nodiscard]] std::string_view bytes(std::size_t most = 255) noexcept { return take(below(most + 1)); }
  [[nodiscard]] std::string_view rest() noexcept { return take(rest_.size()); }

 private:
  std::string_view rest_;
};

}  // namespace fuzz

// Defines the target NAME; the body follows and sees its input as `bytes`.
#define FUZZ_TARGET(NAME)                                                   \
  static void fuzz_##NAME(std::string_view bytes);                          \
  static const ::fuzz::registration registered_##NAME(#NAME, &fuzz_##NAME); \
  static void fuzz_##NAME(std::string_view bytes)
