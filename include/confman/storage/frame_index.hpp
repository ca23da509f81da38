// Where the entries of a log are on disk, roughly: a place to start reading from, for each index.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "confman/core/ids.hpp"

namespace confman {

struct frame_place {
  log_index first;  // the first entry in it
  std::uint64_t sequence = 0;
  std::uint64_t offset = 0;
};

// Sparse: at least `spacing` bytes lie between two places of a segment, so that it takes 24 bytes of memory
// per 16 KiB of log, whatever the size of entries. Not thread-safe.
class frame_index {
 public:
  static constexpr std::uint64_t spacing = std::uint64_t{16} << 10;

  // A frame whose first entry is `first` was written. Frames come in the order of the log.
  void add(log_index first, std::uint64_t sequence, std::uint64_t offset) {
    if (!places_.empty() && places_.back().sequence == sequence && offset - places_.back().offset < spacing)
      return;
    places_.push_back({first, sequence, offset});
  }
  // Entries from this one on are void.
  void truncate_from(log_index from) {
    while (!places_.empty() && places_.back().first >= from) places_.pop_back();
  }
  // Segments before this one are gone.
  void release_before(std::uint64_t sequence) {
    places_.erase(places_.begin(), std::find_if(places_.begin(), places_.end(), [sequence](const auto& p) {
                    return p.sequence >= sequence;
                  }));
  }
  void clear() noexcept { places_.clear(); }

  // Reading forward from here meets entry `index`, if it is in the log at all. `otherwise` is where the
  // oldest segment begins.
  [[nodiscard]] frame_place find(log_index index, frame_place otherwise) const {
    const auto after = std::upper_bound(places_.begin(), places_.end(), index,
                                        [](log_index i, const frame_place& p) { return i < p.first; });
    return after == places_.begin() ? otherwise : *std::prev(after);
  }
  [[nodiscard]] std::size_t size() const noexcept { return places_.size(); }

 private:
  std::vector<frame_place> places_;  // ascending in all three
};

// The terms of entries as runs: a log has few terms.
class term_runs {
 public:
  void add(log_index index, term_t term) {
    if (runs_.empty() || runs_.back().second != term) runs_.emplace_back(index, term);
  }
  void truncate_from(log_index from) {
    while (!runs_.empty() && runs_.back().first >= from) runs_.pop_back();
  }
  // Entries up to this one are gone.
  void release_to(log_index last) {
    const auto keep = std::upper_bound(runs_.begin(), runs_.end(), last,
                                       [](log_index i, const auto& run) { return i < run.first; });
    if (keep != runs_.begin()) runs_.erase(runs_.begin(), std::prev(keep));
  }
  void clear() noexcept { runs_.clear(); }

  // Precondition: an entry of this index was added.
  [[nodiscard]] term_t at(log_index index) const {
    const auto after = std::upper_bound(runs_.begin(), runs_.end(), index,
                                        [](log_index i, const auto& run) { return i < run.first; });
    return std::prev(after)->second;
  }

 private:
  std::vector<std::pair<log_index, term_t>> runs_;  // the first entry of each run, and its term
};

}  // namespace confman
