// A right map that writes down what it was asked, for tests of the checkers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "confman/check/operation.hpp"

namespace confman_test {

using namespace confman::check;  // tests only: half of its names are used here

using dice = std::mt19937_64;

struct held {
  std::uint64_t revision = 0;
  std::string value;
};
using state = std::map<std::string, held>;

// A right map, that writes down what it was asked. Every third index of its log is never used.
class recorded_map {
 public:
  // Calls begin and end up to `spread` before and after they take effect, one every 10; twice `leaves` keys.
  recorded_map(dice& d, std::int64_t spread, bool unknown, unsigned leaves = 3)
      : dice_(d), spread_(spread), unknown_(unknown), leaves_(leaves) {}

  history record(std::size_t count) {
    for (std::size_t k = 1; k <= count; ++k) {
      now_ = static_cast<std::int64_t>(k) * 10;
      switch (dice_() % 8) {
        case 0:
        case 1:
          write(operation_kind::put);
          break;
        case 2:
          write(operation_kind::erase);
          break;
        case 3:
          write(operation_kind::cas);
          break;
        case 4:
          read(operation_kind::list);
          break;
        case 5:
          watch();
          break;
        case 6:
          retried_put();
          break;
        default:
          read(operation_kind::get);
      }
    }
    for (std::size_t at = 0; at < all_.size(); ++at) all_[at].line = at + 1;
    return std::move(all_);
  }

 private:
  [[nodiscard]] std::int64_t some_time() {
    return static_cast<std::int64_t>(dice_() % static_cast<std::uint64_t>(spread_));
  }
  [[nodiscard]] std::string some_key() {
    return std::string("/") + "ab"[dice_() % 2] + "/" + "xyz"[dice_() % leaves_];
  }

  operation asked(operation_kind kind, std::string key) {
    operation op;
    op.client = dice_() % 5;
    op.kind = kind;
    op.key = std::move(key);
    op.called = now_ - some_time();
    return op;
  }

  operation answered(operation op) {
    op.end = outcome::answered;
    op.returned = now_ + 1 + some_time();
    return op;
  }

  [[nodiscard]] state at(std::uint64_t index) const {
    state s;
    for (const watched& c : changes_) {
      if (c.revision > index) break;
      if (c.erased)
        s.erase(c.key);
      else
        s[c.key] = {c.revision, c.value};
    }
    return s;
  }

  void execute(operation& op) {
    index_ += index_ % 3 == 1 ? 2 : 1;
    const state before = at(index_);
    const auto found = before.find(op.key);
    const std::uint64_t revision = found == before.end() ? 0 : found->second.revision;
    op.version = {1 + index_ / 50, index_};
    op.failed = op.kind == operation_kind::cas && op.expect != revision;
    op.revision = op.failed ? revision : index_;
    if (op.failed) return;
    op.previous_revision = revision;
    const bool erased = op.kind == operation_kind::erase;
    if (!erased || revision != 0) changes_.push_back({erased, op.key, index_, op.value});
  }

  void write(operation_kind kind) {
    operation op = asked(kind, some_key());
    if (kind != operation_kind::erase) op.value = "v" + std::to_string(now_);
    if (kind == operation_kind::cas && dice_() % 4 != 0) op.expect = at(index_)[op.key].revision;
    if (kind == operation_kind::cas && op.expect == 0 && dice_() % 2 == 0) op.expect = 2;
    if (!unknown_ || dice_() % 5 != 0) {
      execute(op);
      all_.push_back(answered(op));
      return;
    }
    operation lost = op;
    if (dice_() % 2 == 0) execute(op);
    all_.push_back(lost);
  }

  // It takes effect by one of the lines; the client asks until it is answered, and once again.
  void retried_put() {
    operation op = asked(operation_kind::put, some_key());
    op.session = 1 + op.client;
    op.sequence = ++sequence_;
    op.value = "v" + std::to_string(now_);
    const operation first = op;
    execute(op);
    if (unknown_) all_.push_back(first);
    all_.push_back(answered(op));
    op.called = all_.back().called + 1;
    all_.push_back(answered(op));
  }

  void read(operation_kind kind) {
    operation op =
        asked(kind, kind == operation_kind::get ? some_key() : std::string("/") + "ab"[dice_() % 2]);
    op.mode = static_cast<read_mode>(dice_() % 3);
    std::uint64_t place = index_;
    if (op.mode != read_mode::linearizable) place -= dice_() % (1 + std::min<std::uint64_t>(index_ - 1, 8));
    if (op.mode == read_mode::at_least)
      op.at_least = place - dice_() % (1 + std::min<std::uint64_t>(place, 3));
    op.version = {1 + place / 50, place};
    state seen = at(place);
    if (kind == operation_kind::get) {
      op.revision = seen[op.key].revision;
      op.found = seen[op.key].value;
    } else {
      for (auto& [key, value] : seen)
        if (key.starts_with(op.key)) op.entries.push_back({key, value.revision, value.value});
    }
    all_.push_back(answered(op));
  }

  void watch() {
    operation op = asked(operation_kind::watch, dice_() % 2 == 0 ? "/" : "/a");
    op.after = index_ - dice_() % (1 + std::min<std::uint64_t>(index_, 12));
    op.until = index_;
    for (const watched& c : changes_)
      if (c.revision > op.after && c.key.starts_with(op.key)) op.events.push_back(c);
    for (watched& e : op.events)
      if (e.erased) e.value.clear();
    if (op.events.size() > 3 && dice_() % 4 == 0) {
      op.events.erase(op.events.begin(), op.events.begin() + 2);
      op.compacted = true;
    }
    all_.push_back(answered(op));
  }

  dice& dice_;
  std::int64_t spread_;
  bool unknown_;
  unsigned leaves_;
  std::int64_t now_ = 0;
  std::uint64_t index_ = 3;
  std::uint64_t sequence_ = 0;
  std::vector<watched> changes_;
  history all_;
};

}  // namespace confman_test
