// The part of the log that is in memory, with what the consistency check needs to know about it.
#pragma once

#include <algorithm>
#include <deque>
#include <iterator>
#include <optional>

#include "confman/config.hpp"
#include "confman/core/entry.hpp"

namespace confman {

// Invariants:
//   1. entry i of the window has index base.index + 1 + i;
//   2. terms never decrease along the log (paper, 5.4);
//   3. each entry's hash extends the hash of the entry before it.
class log_view {
 public:
  log_view() = default;
  // A log that begins after `base`, whose chain hash is `base_hash` (a snapshot's end; 0:0 for a whole log).
  log_view(version base, chain_hash base_hash) : base_(base), base_hash_(base_hash) {}

  [[nodiscard]] log_index first_index() const noexcept { return base_.index + 1; }
  [[nodiscard]] log_index last_index() const noexcept { return base_.index + entries_.size(); }
  [[nodiscard]] version last() const noexcept {
    return entries_.empty() ? base_ : version{entries_.back().term, entries_.back().index};
  }
  [[nodiscard]] chain_hash last_hash() const noexcept {
    return entries_.empty() ? base_hash_ : entries_.back().hash;
  }

  // Precondition: first_index() <= i <= last_index().
  [[nodiscard]] const entry& at(log_index i) const noexcept {
    CONFMAN_ASSERT(i >= first_index() && i <= last_index(), "log position outside the window");
    return entries_[static_cast<std::size_t>(i - first_index())];
  }
  // The term at i, for i in [base, last]; nothing where this log can't know it.
  [[nodiscard]] std::optional<term_t> term_at(log_index i) const noexcept {
    if (i == base_.index) return base_.term;
    if (i < base_.index || i > last_index()) return std::nullopt;
    return at(i).term;
  }
  [[nodiscard]] std::optional<chain_hash> hash_at(log_index i) const noexcept {
    if (i == base_.index) return base_hash_;
    if (i < base_.index || i > last_index()) return std::nullopt;
    return at(i).hash;
  }
  [[nodiscard]] bool matches(version place) const noexcept { return term_at(place.index) == place.term; }

  // The last place not after `limit.index` whose term is not above `limit.term`: where a log of that shape
  // may still agree with this one. Skips whole terms instead of single entries (paper, 5.3, end).
  [[nodiscard]] version last_agreeing(version limit) const noexcept {
    const log_index end = std::min(limit.index, last_index());
    if (end <= base_.index) return base_;
    // Terms never decrease: a far follower's hint costs log n steps, not n.
    const auto first = entries_.begin();
    const auto after = std::partition_point(first, first + static_cast<std::ptrdiff_t>(end - base_.index),
                                            [&](const entry& e) { return e.term <= limit.term; });
    return after == first ? base_ : version{std::prev(after)->term, std::prev(after)->index};
  }

  // Fills in the chain hash. Precondition: e is the next index and its term is not below the last one.
  void append(entry e) {
    CONFMAN_ASSERT(e.index == last_index() + 1, "entries are appended without gaps");
    CONFMAN_ASSERT(e.term >= last().term, "terms never decrease along the log");
    e.hash = extend_chain(last_hash(), e.term, static_cast<std::uint8_t>(e.type), e.payload.view());
    entries_.push_back(std::move(e));
  }
  // Removes i and everything after it.
  void truncate_from(log_index i) {
    CONFMAN_ASSERT(i >= first_index(), "truncation before the window");
    while (last_index() >= i) entries_.pop_back();
  }

 private:
  version base_;
  chain_hash base_hash_;
  std::deque<entry> entries_;
};

}  // namespace confman
