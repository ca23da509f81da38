// The time of the log: what the time stamps of its commands say about how much time has passed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "confman/config.hpp"
#include "confman/core/ids.hpp"
#include "confman/mutants.hpp"

namespace confman::detail {

// Every replica computes the same time from the same commands. It starts at 0 with the first command, never
// goes back, and isn't the time of day: of each author only the progress of its clock counts, and the author
// that has seen the most moves the time.
//
// A command moves it by at most `max_step`, and a larger jump of a clock is then forgotten: a broken clock
// can hurry by one step per jump, but not expire everything at once. For the same reason time in which nobody
// writes counts as one step at most; who wants idle time to count proposes something once per step.
class log_clock {
 public:
  static constexpr std::int64_t max_step = 10'000'000;  // microseconds
  // An author whose clock went back holds still until the clock is where it was; if that's further than this,
  // it starts anew. Not at once, because a write that was held up carries an old time stamp.
  static constexpr std::int64_t went_back = 3'600'000'000;
  static constexpr std::size_t max_authors = 64;  // more: the one silent for longest is forgotten

  struct author_clock {
    std::uint64_t author = 0;
    std::int64_t offset = 0;    // log time = its time stamp + offset
    std::uint64_t used_by = 0;  // index of its last command
  };

  // A command is applied. Returns now().
  std::int64_t advance(node_id author, std::int64_t timestamp, std::uint64_t index) noexcept {
    const std::int64_t stamp = timestamp > limit ? limit : timestamp < -limit ? -limit : timestamp;
    if (recent_ >= count_ || authors_[recent_].author != author.value()) find(author.value(), stamp);
    author_clock& a = authors_[recent_];
    a.used_by = index;
    const std::int64_t ahead = stamp + a.offset - now_;
    if (ahead > 0) {
      now_ += ahead < max_step || CONFMAN_MUTANT(log_time_leaps) ? ahead : max_step;
      if (now_ > limit) now_ = limit;
    }
    if (ahead > max_step || (ahead < -went_back && !CONFMAN_MUTANT(author_stays_behind)))
      a.offset = now_ - stamp;
    return now_;
  }

  // Microseconds.
  [[nodiscard]] std::int64_t now() const noexcept { return now_; }
  // Sorted by author.
  [[nodiscard]] const author_clock* begin() const noexcept { return authors_.data(); }
  [[nodiscard]] const author_clock* end() const noexcept { return authors_.data() + count_; }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  // 0 before the first command.
  [[nodiscard]] CONFMAN_DECL std::uint64_t hash() const noexcept;

  // For loading: authors come in order. False, and no change, if this can't be the state of a log clock.
  [[nodiscard]] CONFMAN_DECL bool restore_time(std::int64_t now) noexcept;
  [[nodiscard]] CONFMAN_DECL bool restore_author(const author_clock& a) noexcept;

 private:
  // Far beyond every date, far from overflow in the sum of three.
  static constexpr std::int64_t limit = std::int64_t{1} << 60;

  CONFMAN_DECL void find(std::uint64_t author, std::int64_t stamp) noexcept;

  std::int64_t now_ = 0;
  std::size_t count_ = 0;
  std::size_t recent_ = 0;  // place of the last command's author
  std::array<author_clock, max_authors> authors_{};
};

}  // namespace confman::detail

#if !defined(CONFMAN_COMPILED)
#include "confman/map/impl/log_clock.ipp"
#endif
