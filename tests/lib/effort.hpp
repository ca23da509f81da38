// How much a test does where a sanitizer makes each step several times slower.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CONFMAN_TESTS_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CONFMAN_TESTS_SANITIZED 1
#endif

namespace confman_test {

#if defined(CONFMAN_TESTS_SANITIZED)
inline constexpr unsigned every_nth = 10;
#else
inline constexpr unsigned every_nth = 1;
#endif

// The number of seeds or rounds of a random test: all, or a tenth of them under a sanitizer.
template <class Number>
[[nodiscard]] constexpr Number effort(Number all) noexcept {
  const auto part = static_cast<Number>(all / every_nth);
  return part == 0 ? Number{1} : part;
}

}  // namespace confman_test
