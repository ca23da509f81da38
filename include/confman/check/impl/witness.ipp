#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "confman/check/witness.hpp"
#include "confman/check/writes.hpp"

namespace confman::check {
namespace detail {

// What the operations say of one revision.
enum class claimed : std::uint8_t { put, erase, nothing };  // nothing: a place in the log that changed no key

struct claim {
  std::uint64_t revision = 0;
  const std::string* key = nullptr;
  claimed kind = claimed::put;
  const std::string* value = nullptr;  // null: not said
  std::size_t by = 0;                  // the operation
  bool wrote = false;                  // by the write itself
};

// A change of a key: all claims of one revision, as one.
struct effect {
  std::uint64_t revision = 0;
  bool erased = false;
  const std::string* value = nullptr;
  std::size_t by = 0;
  bool wrote = false;            // `by` wrote it; else it was seen by that operation
  std::uint64_t seen_until = 0;  // the last place at which the key was seen with it
  std::size_t seen_by = 0;
  std::uint64_t gone_by = 0;  // the first place at which the key was seen missing after it, 0: never
  std::size_t gone_seen_by = 0;
};

// A write of unknown outcome.
struct candidate {
  std::size_t operation = 0;
  std::uint64_t floor = 0;  // it can take effect behind this place only
  bool used = false;
};

using by_value = std::unordered_multimap<std::string_view, std::size_t>;

struct key_log {
  std::vector<effect> effects;  // by revision
  std::vector<candidate> unknown;
};

class witness {
 public:
  witness(const history& all, const history& final_state, const witness_options& options)
      : options_(options), all_(all), first_final_(all.size()) {
    all_.insert(all_.end(), final_state.begin(), final_state.end());
  }

  [[nodiscard]] report run();

 private:
  struct moment {
    std::int64_t at = 0;
    bool end = false;
    std::size_t operation = 0;
    std::size_t write = 0;  // index + 1
    friend bool operator<(const moment& a, const moment& b) {
      return std::tie(a.at, a.end) < std::tie(b.at, b.end);
    }
  };

  void find(const char* rule, std::string text, std::vector<std::size_t> operations) {
    if (report_.findings.size() < options_.max_findings)
      report_.findings.push_back({rule, std::move(text), std::move(operations)});
  }
  [[nodiscard]] bool is_final(std::size_t at) const noexcept { return at >= first_final_; }
  // The state that an answer shows is that after this place; a write's own, its place.
  [[nodiscard]] static std::uint64_t position(const operation& op) noexcept;

  void check_log();
  void check_times();
  void check_call(const moment& m, std::uint64_t floor, std::size_t by);
  void check_clients();
  void gather();
  static void claims_of(const operation& op, std::size_t at, std::vector<claim>& claims);
  void merge_one(const claim* first, const claim* last);
  void replay();
  void replay_write(std::size_t at);
  void replay_list(std::size_t at);
  void replay_watch(std::size_t at);
  void expect_state(key_log& log, const std::string& key, std::uint64_t place, std::uint64_t revision,
                    std::size_t by);
  [[nodiscard]] bool misses_acknowledged(const key_log& log, const std::string& key, std::uint64_t place,
                                         std::size_t by);
  void attribute(const std::string& key, key_log& log);
  void attribute_put(const std::string& key, key_log& log, std::size_t at, const by_value& values);
  [[nodiscard]] bool may_succeed(const key_log& log, std::size_t at, const operation& cas) const;
  void attribute_erases(const std::string& key, key_log& log);
  void blame(const std::string& key, const key_log& log, const effect& seen);
  [[nodiscard]] const char* state_rule(std::size_t by) const { return is_final(by) ? "lost_write" : "state"; }

  witness_options options_;
  history all_;
  std::size_t first_final_;
  report report_;
  std::vector<logical_write> writes_;
  std::vector<std::uint64_t> floors_;  // of each write of writes_
  std::map<std::string, key_log, std::less<>> keys_;
  std::vector<std::size_t> watches_;  // that weren't compacted
};

inline std::uint64_t witness::position(const operation& op) noexcept {
  if (op.is_write()) return op.failed ? op.version.index : op.revision;
  if (op.kind != operation_kind::watch) return op.version.index;
  const std::uint64_t last = op.events.empty() ? 0 : op.events.back().revision;
  return op.compacted ? last : std::max(last, op.until);
}

inline void witness::check_log() {
  std::vector<std::pair<place, std::size_t>> places;
  for (std::size_t at = 0; at < all_.size(); ++at) {
    const operation& op = all_[at];
    if (op.end != outcome::answered || op.kind == operation_kind::watch) continue;
    if (op.is_write() && !op.failed && op.version.index != op.revision)
      find("log", "the revision of a write isn't the index of its version", {at});
    places.emplace_back(op.version, at);
  }
  std::sort(places.begin(), places.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first.index, a.first.term, a.second) < std::tie(b.first.index, b.first.term, b.second);
  });
  for (std::size_t i = 1; i < places.size(); ++i) {
    const auto& [a, first] = places[i - 1];
    const auto& [b, second] = places[i];
    if (a.index == b.index && a.term != b.term)
      find("log", fmt::format("index {} has two terms, {} and {}", a.index, a.term, b.term), {first, second});
    else if (a.term > b.term)
      find("log", fmt::format("the term goes back behind index {}", a.index), {first, second});
  }
}

inline void witness::check_call(const moment& m, std::uint64_t floor, std::size_t by) {
  const operation& op = all_[m.operation];
  if (m.write != 0) {
    floors_[m.write - 1] = floor;
    if (op.end == outcome::answered && position(op) <= floor)
      find("real_time",
           fmt::format("a write at {} was called after {} had been answered", position(op), floor),
           {by, m.operation});
    return;
  }
  if (op.kind == operation_kind::watch || op.end != outcome::answered) return;
  if (op.mode == read_mode::at_least && position(op) < op.at_least && !is_final(m.operation)) {
    find("stale_read", fmt::format("asked for a state of at least {}", op.at_least), {m.operation});
  } else if (op.mode == read_mode::linearizable && position(op) < floor) {
    find("stale_read", fmt::format("read at {}, called after {} had been answered", position(op), floor),
         {by, m.operation});
  }
}

// Whatever was answered before an operation is called has its place before it.
inline void witness::check_times() {
  std::vector<moment> moments;
  floors_.resize(writes_.size());
  for (std::size_t i = 0; i < writes_.size(); ++i) {
    const logical_write& w = writes_[i];
    if (w.end == outcome::refused) continue;
    moments.push_back({w.called, false, w.operation, i + 1});
    if (w.end == outcome::answered) moments.push_back({w.returned, true, w.operation, i + 1});
  }
  for (std::size_t at = 0; at < first_final_; ++at) {
    const operation& op = all_[at];
    if (op.is_write() || op.end != outcome::answered) continue;
    moments.push_back({op.called, false, at, 0});
    moments.push_back({op.returned, true, at, 0});
  }
  std::stable_sort(moments.begin(), moments.end());
  std::uint64_t floor = 0;
  std::size_t by = 0;
  for (const moment& m : moments) {
    if (!m.end) {
      check_call(m, floor, by);
    } else if (position(all_[m.operation]) > floor) {
      floor = position(all_[m.operation]);
      by = m.operation;
    }
  }
}

inline void witness::check_clients() {
  std::map<std::uint64_t, std::vector<moment>> clients;
  for (std::size_t at = 0; at < first_final_; ++at) {
    const operation& op = all_[at];
    if (op.end != outcome::answered || op.kind == operation_kind::watch || op.session != 0) continue;
    clients[op.client].push_back({op.called, false, at, 0});
    clients[op.client].push_back({op.returned, true, at, 0});
  }
  for (auto& [client, moments] : clients) {
    std::stable_sort(moments.begin(), moments.end());
    std::uint64_t floor = 0;
    std::size_t by = 0;
    for (const moment& m : moments) {
      const std::uint64_t at = position(all_[m.operation]);
      if (!m.end && at < floor) {
        find("monotonic", fmt::format("client {} went back from {} to {}", client, floor, at),
             {by, m.operation});
      } else if (m.end && at > floor) {
        floor = at;
        by = m.operation;
      }
    }
  }
}

inline void witness::merge_one(const claim* first, const claim* last) {
  const claim* best = first;
  for (const claim* c = first + 1; c != last; ++c) {
    if (c->wrote && first->wrote) {
      find("revision", fmt::format("two writes have revision {}", c->revision), {first->by, c->by});
    } else if (c->kind != first->kind || *c->key != *first->key ||
               (c->value && best->value && *c->value != *best->value)) {
      find("revision", fmt::format("two operations tell different things of revision {}", c->revision),
           {best->by, c->by});
    }
    if (!best->value && c->value) best = c;
  }
  key_log& log = keys_[*first->key];
  if (first->kind == claimed::nothing) return;
  effect e;
  e.revision = first->revision;
  e.erased = first->kind == claimed::erase;
  e.value = best->value;
  e.by = first->by;
  e.wrote = first->wrote;
  log.effects.push_back(e);
}

inline void witness::claims_of(const operation& op, std::size_t at, std::vector<claim>& claims) {
  if (op.kind == operation_kind::list) {
    for (const listed& e : op.entries) claims.push_back({e.revision, &e.key, claimed::put, &e.value, at});
  } else if (op.kind == operation_kind::watch) {
    for (const watched& e : op.events) {
      const auto kind = e.erased ? claimed::erase : claimed::put;
      claims.push_back({e.revision, &e.key, kind, e.erased ? nullptr : &e.value, at});
    }
  } else if (op.kind == operation_kind::get) {
    if (op.revision != 0) claims.push_back({op.revision, &op.key, claimed::put, &op.found, at});
  } else if (op.failed) {
    claims.push_back({op.version.index, &op.key, claimed::nothing, nullptr, at, true});
    if (op.revision != 0) claims.push_back({op.revision, &op.key, claimed::put, nullptr, at});
  } else {
    const bool erased = op.kind == operation_kind::erase;
    const auto kind = !erased ? claimed::put : op.previous_revision == 0 ? claimed::nothing : claimed::erase;
    claims.push_back({op.revision, &op.key, kind, erased ? nullptr : &op.value, at, true});
    if (op.previous_revision != 0)
      claims.push_back({op.previous_revision, &op.key, claimed::put, nullptr, at});
  }
}

// All that is said of revisions, put together by revision.
inline void witness::gather() {
  std::vector<claim> claims;
  for (std::size_t i = 0; i < writes_.size(); ++i) {
    const operation& op = all_[writes_[i].operation];
    if (op.end == outcome::answered) claims_of(op, writes_[i].operation, claims);
    if (op.end == outcome::unknown) keys_[op.key].unknown.push_back({writes_[i].operation, floors_[i]});
  }
  for (std::size_t at = 0; at < all_.size(); ++at) {
    const operation& op = all_[at];
    if (!op.is_write() && op.end == outcome::answered) claims_of(op, at, claims);
  }
  std::stable_sort(claims.begin(), claims.end(), [](const claim& a, const claim& b) {
    return a.revision != b.revision ? a.revision < b.revision : a.wrote && !b.wrote;
  });
  for (std::size_t from = 0, to = 0; from < claims.size(); from = to) {
    while (to < claims.size() && claims[to].revision == claims[from].revision) ++to;
    merge_one(claims.data() + from, claims.data() + to);
  }
}

inline effect* last_until(key_log& log, std::uint64_t place) {
  const auto behind = std::upper_bound(log.effects.begin(), log.effects.end(), place,
                                       [](std::uint64_t at, const effect& e) { return at < e.revision; });
  return behind == log.effects.begin() ? nullptr : &*(behind - 1);
}

inline std::vector<std::size_t> both(const effect* e, std::size_t by) {
  if (!e || e->by == by) return {by};
  return {e->by, by};
}

// A final state from before an acknowledged write is no older view of the map: that write is lost.
inline bool witness::misses_acknowledged(const key_log& log, const std::string& key, std::uint64_t place,
                                         std::size_t by) {
  const auto last =
      std::find_if(log.effects.rbegin(), log.effects.rend(), [](const effect& e) { return e.wrote; });
  if (last == log.effects.rend() || last->revision <= place) return false;
  find("lost_write",
       fmt::format("{} was acknowledged at {}, and the final state ends at {}", key, last->revision, place),
       {last->by, by});
  return true;
}

// The key is at `revision` in the state after `place`; 0: there is none.
inline void witness::expect_state(key_log& log, const std::string& key, std::uint64_t place,
                                  std::uint64_t revision, std::size_t by) {
  if (is_final(by) && misses_acknowledged(log, key, place, by)) return;
  effect* const last = last_until(log, place);
  const bool there = last && !last->erased;
  if (revision != 0) {
    if (!there || last->revision != revision) {
      find(state_rule(by),
           fmt::format("{} is said to be at revision {} at {}, where it is {}", key, revision, place,
                       !last          ? std::string("not written yet")
                       : last->erased ? fmt::format("erased by {}", last->revision)
                                      : fmt::format("at {}", last->revision)),
           both(last, by));
    } else if (place >= last->seen_until) {
      last->seen_until = place;
      last->seen_by = by;
    }
    return;
  }
  if (!there) return;
  const bool erasable = std::any_of(log.unknown.begin(), log.unknown.end(), [this](const candidate& c) {
    return all_[c.operation].kind == operation_kind::erase;
  });
  if (!erasable) {
    find(state_rule(by),
         fmt::format("{} is said not to be there at {}, but is, since {}", key, place, last->revision),
         both(last, by));
  } else if (last->gone_by == 0 || place < last->gone_by) {
    last->gone_by = place;
    last->gone_seen_by = by;
  }
}

inline void witness::replay_write(std::size_t at) {
  const operation& op = all_[at];
  if (op.failed) {
    if (op.revision == op.expect) find("cas", "it failed although the revision was as expected", {at});
    expect_state(keys_[op.key], op.key, op.version.index, op.revision, at);
    return;
  }
  if (op.kind == operation_kind::cas && op.previous_revision != op.expect)
    find("cas", "it succeeded although the revision was another", {at});
  if (op.revision == 0) return find("revision", "a write has revision 0", {at});
  expect_state(keys_[op.key], op.key, op.revision - 1, op.previous_revision, at);
}

inline void witness::replay_list(std::size_t at) {
  const operation& op = all_[at];
  std::map<std::string_view, std::uint64_t> listed_at;
  for (const listed& e : op.entries) {
    const bool added = listed_at.emplace(e.key, e.revision).second;
    if (!added || e.revision == 0 || e.key.compare(0, op.key.size(), op.key) != 0)
      find("list", "lists " + e.key + " twice, at revision 0, or without its prefix", {at});
  }
  for (auto k = keys_.lower_bound(op.key); k != keys_.end() && k->first.starts_with(op.key); ++k) {
    const auto found = listed_at.find(k->first);
    expect_state(k->second, k->first, op.version.index, found == listed_at.end() ? 0 : found->second, at);
  }
}

inline void witness::replay_watch(std::size_t at) {
  const operation& op = all_[at];
  std::uint64_t last = op.after;
  std::vector<std::uint64_t> seen;
  for (const watched& e : op.events) {
    if (e.revision <= last || !e.key.starts_with(op.key)) {
      find("watch",
           fmt::format("{} at {} comes after {}: again, out of order or without the prefix", e.key,
                       e.revision, last),
           {at});
      return;
    }
    last = e.revision;
    seen.push_back(last);
  }
  if (op.compacted) return;
  watches_.push_back(at);
  for (auto k = keys_.lower_bound(op.key); k != keys_.end() && k->first.starts_with(op.key); ++k) {
    const auto& effects = k->second.effects;
    auto e = std::upper_bound(effects.begin(), effects.end(), op.after,
                              [](std::uint64_t place, const effect& x) { return place < x.revision; });
    for (; e != effects.end() && e->revision <= op.until; ++e) {
      if (!std::binary_search(seen.begin(), seen.end(), e->revision))
        find("watch_gap", fmt::format("revision {} of {} wasn't delivered", e->revision, k->first),
             {e->by, at});
    }
  }
}

inline void witness::replay() {
  for (const logical_write& w : writes_)
    if (w.end == outcome::answered) replay_write(w.operation);
  for (std::size_t at = 0; at < all_.size(); ++at) {
    const operation& op = all_[at];
    if (op.end != outcome::answered) continue;
    if (op.kind == operation_kind::get)
      expect_state(keys_[op.key], op.key, op.version.index, op.revision, at);
    if (op.kind == operation_kind::list) replay_list(at);
    if (op.kind == operation_kind::watch) replay_watch(at);
  }
}

}  // namespace detail
}  // namespace confman::check
