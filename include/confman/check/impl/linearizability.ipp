#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "confman/check/linearizability.hpp"
#include "confman/check/writes.hpp"

namespace confman::check {
namespace detail {

// An operation on one key. Values are numbers: those that no read returned are all 0, which makes writes
// alike.
struct item {
  const operation* op = nullptr;
  std::size_t id = 0;  // in the history
  bool needed = true;  // false: outcome unknown
  std::int64_t called = 0;
  std::int64_t returned = never;
  std::uint32_t value = 0;
};

struct register_state {
  std::uint64_t last = 0;  // the place that nothing may come before any more
  std::uint64_t revision = 0;
  std::uint32_t value = 0;
  bool exists = false;
  bool open = false;  // of unknown revision, at least `last`
};

// Whether the state can be at `revision` (0: no key); settles a revision that wasn't known.
inline bool settle(register_state& s, std::uint64_t revision, register_model model) {
  if (!s.exists) return revision == 0;
  if (revision == 0) return false;
  if (model == register_model::value) return true;
  if (!s.open) return s.revision == revision;
  if (revision < s.last) return false;
  s.last = s.revision = revision;
  s.open = false;
  return true;
}

inline void write_value(register_state& s, const item& i, std::uint64_t revision) {
  s.exists = i.op->kind != operation_kind::erase;
  s.value = s.exists ? i.value : 0;
  s.revision = s.exists ? revision : 0;
  s.open = s.exists && revision == 0;
}

inline std::optional<register_state> apply_unknown(register_state s, const item& i, register_model model) {
  if (i.op->kind == operation_kind::erase && !s.exists) return std::nullopt;  // nothing would change
  if (i.op->kind == operation_kind::cas && !settle(s, i.op->expect, model)) return std::nullopt;
  if (model == register_model::revision) ++s.last;
  write_value(s, i, 0);
  if (model == register_model::value) s.open = false;
  return s;
}

inline std::optional<register_state> apply(register_state s, const item& i, register_model model) {
  const operation& op = *i.op;
  if (!i.needed) return apply_unknown(s, i, model);
  const bool changes = op.is_write() && !op.failed;
  if (!settle(s, changes ? op.previous_revision : op.revision, model)) return std::nullopt;
  if (op.kind == operation_kind::get && s.exists && s.value != i.value) return std::nullopt;
  if (op.kind == operation_kind::cas) {
    const bool same = model == register_model::value && op.expect != 0 && changes
                          ? s.exists
                          : op.expect == (changes ? op.previous_revision : op.revision);
    if (same != changes) return std::nullopt;
  }
  const std::uint64_t at = changes ? op.revision : op.version.index;
  if (model == register_model::revision) {
    if (op.is_write() ? at <= s.last : at < s.last) return std::nullopt;
    s.last = at;
  }
  if (changes) write_value(s, i, model == register_model::revision ? at : 0);
  if (model == register_model::value) s.open = false;
  return s;
}

// What was ordered, and the state it led to. The needed operations, in the order of their calls, are all
// ordered up to some word of bits, and none behind another, so the few words between tell the set.
class order_memo {
 public:
  order_memo(std::size_t needed, std::size_t unknown)
      : needed_(needed / 64 + 1), unknown_(unknown / 64 + 1) {}

  void set(bool needed, std::size_t at) {
    (needed ? needed_ : unknown_)[at / 64] |= std::uint64_t{1} << at % 64;
    if (!needed) return;
    high_ = std::max(high_, at / 64);
    while (low_ + 1 < needed_.size() && needed_[low_] == ~std::uint64_t{0}) ++low_;
  }
  void clear(bool needed, std::size_t at) {
    (needed ? needed_ : unknown_)[at / 64] &= ~(std::uint64_t{1} << at % 64);
    if (!needed) return;
    low_ = std::min(low_, at / 64);
    while (high_ > 0 && needed_[high_] == 0) --high_;
  }
  [[nodiscard]] bool has_unknown(std::size_t at) const { return (unknown_[at / 64] >> at % 64 & 1) != 0; }

  // False if it was there.
  [[nodiscard]] bool remember(const register_state& s) {
    std::string key;
    const auto add = [&key](std::uint64_t word) {
      key.append(reinterpret_cast<const char*>(&word), sizeof word);
    };
    add(s.last);
    add(s.revision);
    add(std::uint64_t{s.value} << 2 | std::uint64_t{s.exists} << 1 | std::uint64_t{s.open});
    add(low_);
    for (std::size_t w = low_; w <= high_; ++w) add(needed_[w]);
    add(0);
    for (const std::uint64_t word : unknown_) add(word);
    bytes_ += key.size() + 80;
    return seen_.insert(std::move(key)).second;
  }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::vector<std::uint64_t> needed_;
  std::vector<std::uint64_t> unknown_;
  std::size_t low_ = 0;
  std::size_t high_ = 0;
  std::size_t bytes_ = 0;
  std::unordered_set<std::string> seen_;
};

// One key. The items are sorted by their calls.
class register_search {
 public:
  register_search(const std::vector<item>& items, register_model model, const search_limits& limits)
      : items_(items), model_(model), limits_(limits), memo_(items.size(), items.size()) {
    build();
  }

  [[nodiscard]] verdict run();
  [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }

 private:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  struct node {
    std::size_t item = 0;
    bool end = false;
    std::size_t other = none;  // of a call: its return
    std::size_t before = 0;
    std::size_t behind = 0;
  };

  void build();
  void unlink(std::size_t n) {
    list_[list_[n].before].behind = list_[n].behind;
    list_[list_[n].behind].before = list_[n].before;
  }
  void relink(std::size_t n) { list_[list_[n].before].behind = list_[list_[n].behind].before = n; }
  [[nodiscard]] bool try_call(std::size_t n);
  [[nodiscard]] std::size_t take_back();

  const std::vector<item>& items_;
  register_model model_;
  const search_limits& limits_;
  order_memo memo_;
  std::vector<node> list_;           // the first is the head of the ring
  std::vector<std::size_t> number_;  // of an item among the needed, or the unknown
  std::vector<std::size_t> twin_;    // of an unknown one: the like before it, which goes first
  std::vector<std::pair<std::size_t, register_state>> order_;
  register_state state_;
  std::size_t left_ = 0;
  std::uint64_t steps_ = 0;
};

inline void register_search::build() {
  list_.push_back({});
  std::map<std::tuple<operation_kind, std::uint32_t, std::uint64_t>, std::size_t> last_like;
  std::size_t unknown = 0;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    const item& it = items_[i];
    number_.push_back(it.needed ? left_++ : unknown++);
    twin_.push_back(none);
    list_.push_back({i, false, none, 0, 0});
    if (it.needed) {
      list_.push_back({i, true, none, 0, 0});
    } else {
      const auto [like, first] = last_like.try_emplace({it.op->kind, it.value, it.op->expect}, i);
      if (!first) twin_[i] = std::exchange(like->second, i);
    }
  }
  const auto time = [this](const node& n) { return n.end ? items_[n.item].returned : items_[n.item].called; };
  std::stable_sort(list_.begin() + 1, list_.end(), [&](const node& a, const node& b) {
    return std::pair{time(a), a.end} < std::pair{time(b), b.end};
  });
  std::vector<std::size_t> call_of(items_.size());
  for (std::size_t n = 0; n < list_.size(); ++n) {
    list_[n].before = n == 0 ? list_.size() - 1 : n - 1;
    list_[n].behind = n + 1 == list_.size() ? 0 : n + 1;
    if (n == 0) continue;
    if (list_[n].end)
      list_[call_of[list_[n].item]].other = n;
    else
      call_of[list_[n].item] = n;
  }
}

inline bool register_search::try_call(std::size_t n) {
  const std::size_t i = list_[n].item;
  if (twin_[i] != none && !memo_.has_unknown(number_[twin_[i]])) return false;
  const auto next = apply(state_, items_[i], model_);
  if (!next) return false;
  memo_.set(items_[i].needed, number_[i]);
  if (!memo_.remember(*next)) {
    memo_.clear(items_[i].needed, number_[i]);
    return false;
  }
  order_.emplace_back(n, state_);
  state_ = *next;
  unlink(n);
  if (list_[n].other != none) unlink(list_[n].other);
  if (items_[i].needed) --left_;
  return true;
}

// The call that was ordered last is so no more; returns it.
inline std::size_t register_search::take_back() {
  const auto [n, before] = order_.back();
  order_.pop_back();
  state_ = before;
  const std::size_t i = list_[n].item;
  memo_.clear(items_[i].needed, number_[i]);
  if (items_[i].needed) ++left_;
  if (list_[n].other != none) relink(list_[n].other);
  relink(n);
  return n;
}

inline verdict register_search::run() {
  std::size_t at = list_[0].behind;
  while (left_ > 0) {
    if (++steps_ > limits_.max_steps || memo_.bytes() > limits_.max_bytes) return verdict::undecided;
    if (at != 0 && !list_[at].end) {
      at = try_call(at) ? list_[0].behind : list_[at].behind;
    } else {
      if (order_.empty()) return verdict::violation;
      at = list_[take_back()].behind;
    }
  }
  return verdict::good;
}

// The items of a key as far as they count until `time`: what ended later had no answer yet.
inline std::vector<item> until(const std::vector<item>& items, std::int64_t time) {
  std::vector<item> early;
  for (item i : items) {
    if (i.called > time) continue;
    if (i.returned > time && i.needed) {
      if (!i.op->is_write()) continue;
      i.needed = false;
    }
    early.push_back(i);
  }
  return early;
}

// Forgets the answers of items [from, to): a read is gone, a write has an unknown outcome.
inline std::vector<item> weaker(const std::vector<item>& items, std::size_t from, std::size_t to) {
  std::vector<item> weak;
  for (std::size_t at = 0; at < items.size(); ++at) {
    item i = items[at];
    if (at >= from && at < to && i.needed) {
      if (!i.op->is_write() || i.op->failed) continue;
      i.needed = false;
    }
    weak.push_back(i);
  }
  return weak;
}

inline std::vector<item> smallest(std::vector<item> items, register_model model) {
  const search_limits few{200'000, std::size_t{64} << 20};
  const auto wrong = [&](const std::vector<item>& some) {
    return register_search(some, model, few).run() == verdict::violation;
  };
  std::vector<std::int64_t> ends;
  for (const item& i : items)
    if (i.needed) ends.push_back(i.returned);
  std::sort(ends.begin(), ends.end());
  std::size_t good = 0;  // the first `good` ends are not enough
  std::size_t bad = ends.size() - 1;
  while (good < bad) {
    const std::size_t middle = (good + bad) / 2;
    if (wrong(until(items, ends[middle])))
      bad = middle;
    else
      good = middle + 1;
  }
  if (std::vector<item> early = until(items, ends[bad]); wrong(early)) items = std::move(early);
  unsigned tries = 400;
  for (std::size_t size = (items.size() + 1) / 2; size > 0 && tries > 0; size /= 2) {
    for (std::size_t from = 0; from < items.size() && tries > 0; from += size) {
      std::vector<item> weak = weaker(items, from, from + size);
      --tries;
      if (wrong(weak)) items = std::move(weak);
    }
  }
  return items;
}

using items_by_key = std::map<std::string_view, std::vector<item>>;

inline items_by_key items_of(const history& all, report& end) {
  items_by_key keys;
  const auto add = [&](const operation& op, std::size_t id, bool needed, std::int64_t from, std::int64_t to) {
    keys[op.key].push_back({&op, id, needed, from, to, 0});
  };
  for (const logical_write& w : writes_of(all, end.findings)) {
    if (w.end != outcome::refused)
      add(all[w.operation], w.operation, w.end == outcome::answered, w.called, w.returned);
  }
  for (std::size_t at = 0; at < all.size(); ++at) {
    const operation& op = all[at];
    if (op.kind == operation_kind::get && op.mode == read_mode::linearizable && op.end == outcome::answered)
      add(op, at, true, op.called, op.returned);
  }
  return keys;
}

inline void number_values(std::vector<item>& items) {
  std::unordered_map<std::string_view, std::uint32_t> read;
  for (const item& i : items)
    if (!i.op->is_write() && i.op->revision != 0)
      read.try_emplace(i.op->found, static_cast<std::uint32_t>(read.size() + 1));
  for (item& i : items) {
    const auto found = read.find(i.op->is_write() ? i.op->value : i.op->found);
    i.value = found == read.end() ? 0 : found->second;
  }
  std::stable_sort(items.begin(), items.end(),
                   [](const item& a, const item& b) { return a.called < b.called; });
}

}  // namespace detail

CONFMAN_DECL report check_linearizability(const history& all, register_model model,
                                          const search_limits& limits) {
  report end;
  search_limits left = limits;
  detail::items_by_key keys = detail::items_of(all, end);
  for (auto& [key, items] : keys) {
    detail::number_values(items);
    detail::register_search search(items, model, left);
    const verdict found = search.run();
    end.checked += items.size();
    end.steps += search.steps();
    left.max_steps -= std::min(left.max_steps, search.steps());
    if (found == verdict::undecided)
      end.why = fmt::format("the search of {} reached a bound after {} steps", key, search.steps());
    if (found != verdict::violation) continue;
    finding why{
        "linearizability", fmt::format("no order of the operations on {} gives these answers", key), {}};
    for (const detail::item& i : detail::smallest(items, model))
      if (i.needed) why.operations.push_back(i.id);
    end.findings.push_back(std::move(why));
  }
  end.end = !end.findings.empty() ? verdict::violation : end.why.empty() ? verdict::good : verdict::undecided;
  return end;
}

}  // namespace confman::check
