// What a log should hold, kept beside it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "confman/storage/log.hpp"

namespace confman_test {

using confman::entry;
using confman::hard_state;
using confman::log_index;
using confman::node_id;
using confman::term_t;
using confman::write_batch;

struct content {
  std::vector<entry> entries;
  hard_state state;
  confman::log_reset start{};  // the place before the first entry

  // Two contents are the same also if one of them has released what the other still has the start of.
  friend bool operator==(const content& a, const content& b) {
    return a.entries == b.entries && a.state == b.state;
  }
  [[nodiscard]] std::uint64_t last() const { return start.at.index.value() + entries.size(); }
};

inline content content_of(const confman::recovered_log& found) {
  return {found.entries, found.state, {found.base, found.base_hash}};
}

// Builds batches that continue what was built before, and remembers the content after each.
class log_model {
 public:
  log_model() : history_(1) {}

  [[nodiscard]] const content& now() const { return history_.back(); }
  [[nodiscard]] const std::vector<content>& history() const { return history_; }  // [i]: after i batches
  [[nodiscard]] std::size_t batches() const { return history_.size() - 1; }
  void restart(content c) { history_.assign(1, std::move(c)); }

  // A batch of these payloads after an optional truncation, with an optional hard state.
  write_batch batch(const std::vector<std::string>& payloads, std::optional<std::uint64_t> truncate_from = {},
                    std::optional<hard_state> state = {}) {
    content next = now();
    write_batch b;
    b.seq = confman::write_seq(++sequence_);
    if (truncate_from) {
      b.truncate_from = log_index(*truncate_from);
      next.entries.resize(*truncate_from - 1 - next.start.at.index.value());
    }
    add(b, next, payloads, state);
    history_.push_back(std::move(next));
    return b;
  }

  // A batch that voids everything and goes on after `at`.
  write_batch reset(const confman::log_reset& at, const std::vector<std::string>& payloads = {},
                    std::optional<hard_state> state = {}) {
    content next = now();
    write_batch b;
    b.seq = confman::write_seq(++sequence_);
    b.reset = at;
    next.entries.clear();
    next.start = at;
    add(b, next, payloads, state);
    history_.push_back(std::move(next));
    return b;
  }

  template <class Random>
  write_batch random_batch(Random& random, std::size_t largest, std::uint64_t lowest = 1) {
    const auto below = [&random](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    std::vector<std::string> payloads(below(4));
    for (std::string& p : payloads)
      p.assign(below(8) == 0 ? below(largest + 1) : below(100), static_cast<char>(random()));
    std::optional<std::uint64_t> truncate;
    const std::uint64_t last = now().last(), first = now().start.at.index.value() + 1;
    if (below(6) == 0)
      truncate =
          std::max({lowest, first, below(4) == 0 ? 1 : last + 1 - below(std::min<std::size_t>(last + 1, 5))});
    std::optional<hard_state> state;
    if (payloads.empty() || below(3) == 0)
      state = hard_state{now().state.term + below(2), node_id(below(4)), log_index(below(9))};
    return batch(payloads, truncate, state);
  }

 private:
  static void add(write_batch& b, content& next, const std::vector<std::string>& payloads,
                  const std::optional<hard_state>& state) {
    for (const std::string& payload : payloads) {
      entry e;
      e.term = state ? state->term : next.state.term;
      e.index = log_index(next.last() + 1);
      e.type = confman::entry_type::command;
      e.payload = confman::shared_bytes::copy(payload);
      const confman::chain_hash before = next.entries.empty() ? next.start.hash : next.entries.back().hash;
      e.hash = extend_chain(before, e.term, static_cast<std::uint8_t>(e.type), payload);
      next.entries.push_back(e);
      b.entries.push_back(e);
    }
    if (state) next.state = *state;
    b.state = state;
  }

  std::vector<content> history_;
  std::uint64_t sequence_ = 0;
};

inline confman::log_options small_options() {
  confman::log_options options;
  options.cluster = confman::cluster_id(7);
  options.node = confman::node_id(1);
  options.group = confman::group_id(3);
  options.fresh_incarnation = confman::incarnation_id(0x1234567890ABCDEFu);
  options.segment_bytes = 4096;
  return options;
}

}  // namespace confman_test
