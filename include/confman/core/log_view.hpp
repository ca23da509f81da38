// The part of the log that is in memory, with what the consistency check needs to know about it.
#pragma once

#include <algorithm>
#include <deque>
#include <iterator>
#include <optional>
#include <vector>

#include "confman/config.hpp"
#include "confman/core/entry.hpp"

namespace confman {

// A place in the log and the chain hash of all up to it: what a consistency check compares.
struct log_place {
  version at;
  chain_hash hash;

  friend bool operator==(const log_place&, const log_place&) = default;
};

//   floor                     base                          last
//     | only where terms begin  |  entries, in memory           |
//
// Between floor and base the entries are on disk only; that their terms stay known lets a leader find where a
// follower's log departs from its own without reading.
//
// Invariants:
//   1. entry i of the window has index base.index + 1 + i;
//   2. terms never decrease along the log (paper, 5.4);
//   3. each entry's hash extends the hash of the entry before it;
//   4. floor <= base.
class log_view {
 public:
  log_view() : log_view(version{}, chain_hash{}) {}
  // A log that begins after `base`, whose chain hash is `base_hash` (a snapshot's end; 0:0 for a whole log).
  log_view(version base, chain_hash base_hash) : base_(base), base_hash_(base_hash), terms_{base} {}

  // The last place before the entries in memory.
  [[nodiscard]] version base() const noexcept { return base_; }
  // The first place whose term is known.
  [[nodiscard]] version floor() const noexcept { return terms_.front(); }
  // What the entries in memory cost, see cost().
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
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
  // The term at i, for i in [floor, last]; nothing where this log can't know it.
  [[nodiscard]] std::optional<term_t> term_at(log_index i) const noexcept {
    if (i < floor().index || i > last_index()) return std::nullopt;
    if (i > base_.index) return at(i).term;
    const auto after = std::partition_point(terms_.begin(), terms_.end(),
                                            [i](const version& begin) { return begin.index <= i; });
    return std::prev(after)->term;
  }
  // The hash at i, for i in [base, last].
  [[nodiscard]] std::optional<chain_hash> hash_at(log_index i) const noexcept {
    if (i == base_.index) return base_hash_;
    if (i < base_.index || i > last_index()) return std::nullopt;
    return at(i).hash;
  }
  [[nodiscard]] std::optional<log_place> place_at(log_index i) const noexcept {
    const std::optional<chain_hash> hash = hash_at(i);
    if (!hash) return std::nullopt;
    return log_place{{*term_at(i), i}, *hash};
  }
  [[nodiscard]] bool matches(version place) const noexcept { return term_at(place.index) == place.term; }

  // The last place not after `limit.index` whose term is not above `limit.term`: where a log of that shape
  // may still agree with this one. Skips whole terms instead of single entries (paper, 5.3, end). The floor
  // if there is none after it.
  [[nodiscard]] version last_agreeing(version limit) const noexcept {
    const log_index end = std::min(limit.index, last_index());
    if (end > base_.index && entries_.front().term <= limit.term) {
      // Terms never decrease: a far follower's hint costs log n steps, not n.
      const auto first = entries_.begin();
      const auto after = std::partition_point(first, first + static_cast<std::ptrdiff_t>(end - base_.index),
                                              [&](const entry& e) { return e.term <= limit.term; });
      return {std::prev(after)->term, std::prev(after)->index};
    }
    log_index last_of_term = base_.index;
    for (auto begin = terms_.rbegin(); begin != terms_.rend(); ++begin) {
      if (begin->index <= end && begin->term <= limit.term) return {begin->term, std::min(end, last_of_term)};
      last_of_term = begin->index - 1;
    }
    return floor();
  }

  // Fills in the chain hash. Precondition: e is the next index and its term is not below the last one.
  void append(entry e) {
    CONFMAN_ASSERT(e.index == last_index() + 1, "entries are appended without gaps");
    CONFMAN_ASSERT(e.term >= last().term, "terms never decrease along the log");
    e.hash = extend_chain(last_hash(), e.term, static_cast<std::uint8_t>(e.type), e.payload.view());
    bytes_ += cost(e);
    entries_.push_back(std::move(e));
  }
  // Removes i and everything after it.
  void truncate_from(log_index i) {
    CONFMAN_ASSERT(i >= first_index(), "truncation before the window");
    while (last_index() >= i) {
      bytes_ -= cost(entries_.back());
      entries_.pop_back();
    }
  }
  // Drops the entries up to i from memory; where they are elsewhere is the caller's business.
  void compact_to(log_index i) {
    CONFMAN_ASSERT(i <= last_index(), "compaction beyond the log");
    while (base_.index < i) {
      const entry& e = entries_.front();
      if (e.term != terms_.back().term) terms_.push_back({e.term, e.index});
      base_ = {e.term, e.index};
      base_hash_ = e.hash;
      bytes_ -= cost(e);
      entries_.pop_front();
    }
  }
  // What is before i is gone everywhere: the floor moves up to it, at most to the base.
  void raise_floor(log_index i) {
    i = std::min(i, base_.index);
    if (i <= floor().index) return;
    const auto after = std::partition_point(terms_.begin(), terms_.end(),
                                            [i](const version& begin) { return begin.index <= i; });
    terms_.erase(terms_.begin(), std::prev(after));
    terms_.front().index = i;
  }
  // Begins anew after a snapshot's end.
  void reset(const log_place& end) { *this = log_view(end.at, end.hash); }

  // See state_visitor.hpp.
  template <class Visitor>
  void visit_state(Visitor& visit) const {
    visit(base_, base_hash_, terms_, entries_, bytes_);
  }

 private:
  version base_;
  chain_hash base_hash_;
  std::vector<version> terms_;  // where each term begins in [floor, base]; never empty
  std::deque<entry> entries_;
  std::size_t bytes_ = 0;
};

}  // namespace confman
