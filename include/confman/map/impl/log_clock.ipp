#pragma once

#include <algorithm>

#include "confman/map/content_hash.hpp"
#include "confman/map/log_clock.hpp"

namespace confman::detail {

CONFMAN_DECL void log_clock::find(std::uint64_t author, std::int64_t stamp) noexcept {
  const auto by_author = [](const author_clock& a, std::uint64_t id) { return a.author < id; };
  auto* const first = authors_.data();
  auto* at = std::lower_bound(first, first + count_, author, by_author);
  if (at == first + count_ || at->author != author) {
    if (count_ == max_authors) {
      auto* const silent = std::min_element(
          first, first + count_,
          [](const author_clock& a, const author_clock& b) { return a.used_by < b.used_by; });
      std::copy(silent + 1, first + count_, silent);
      --count_;
      if (silent < at) --at;
    }
    std::copy_backward(at, first + count_, first + count_ + 1);
    ++count_;
    *at = {author, now_ - stamp, 0};
  }
  recent_ = static_cast<std::size_t>(at - first);
}

CONFMAN_DECL std::uint64_t log_clock::hash() const noexcept {
  if (count_ == 0) return 0;
  std::uint64_t sum = hash_numbers(1, now_);
  for (const author_clock& a : *this) sum += hash_numbers(2, a.author, a.offset, a.used_by);
  return sum;
}

CONFMAN_DECL bool log_clock::restore_time(std::int64_t now) noexcept {
  if (now < 0 || now > limit) return false;
  now_ = now;
  return true;
}

CONFMAN_DECL bool log_clock::restore_author(const author_clock& a) noexcept {
  if (count_ == max_authors || (count_ != 0 && authors_[count_ - 1].author >= a.author)) return false;
  if (a.offset > 2 * limit || a.offset < -2 * limit) return false;
  authors_[count_++] = a;
  return true;
}

}  // namespace confman::detail
