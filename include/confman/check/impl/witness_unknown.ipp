#pragma once

#include "confman/check/impl/witness.ipp"

namespace confman::check {
namespace detail {

// What was seen and no answered write wrote must be the work of a write of unknown outcome, one for each.

// Whether a cas of unknown outcome may have written effect `at`. What it expects may be the work of others
// whom nobody saw.
inline bool witness::may_succeed(const key_log& log, std::size_t at, const operation& cas) const {
  const effect* const before = at == 0 ? nullptr : &log.effects[at - 1];
  const bool there = before && !before->erased;
  if (cas.expect == (there ? before->revision : 0)) return true;
  const operation_kind needed = cas.expect == 0 ? operation_kind::erase : operation_kind::put;
  if (cas.expect != 0 &&
      (cas.expect >= log.effects[at].revision || (before && cas.expect < before->revision)))
    return false;
  return std::any_of(log.unknown.begin(), log.unknown.end(), [&](const candidate& c) {
    const operation& other = all_[c.operation];
    return &other != &cas && (other.kind == needed || (cas.expect != 0 && other.kind == operation_kind::cas));
  });
}

// Names who wrote such a value, if that doesn't explain it.
inline void witness::blame(const std::string& key, const key_log& log, const effect& seen) {
  std::vector<std::size_t> involved;
  const char* rule = "nowhere";
  std::string why = "nobody wrote it";
  for (std::size_t at = 0; at < all_.size(); ++at) {
    const operation& op = all_[at];
    const bool same = op.is_write() && op.key == key && (op.kind == operation_kind::erase) == seen.erased &&
                      (seen.erased || (seen.value && op.value == *seen.value));
    if (!same) continue;
    involved.push_back(at);
    why =
        op.end == outcome::refused ? "its write was refused" : "its write has its effect elsewhere, or twice";
  }
  for (const candidate& c : log.unknown) {
    const operation& op = all_[c.operation];
    if (c.used || c.floor < seen.revision || op.kind == operation_kind::erase) continue;
    if (!seen.value || *seen.value != op.value) continue;
    rule = "before_call";
    why = "its write was called after a later state had been seen";
    involved = {c.operation};
  }
  if (involved.size() > 3) involved.resize(3);
  involved.push_back(seen.by);
  find(rule, fmt::format("{} at revision {}: {}", key, seen.revision, why), std::move(involved));
}

inline void witness::attribute_put(const std::string& key, key_log& log, std::size_t at,
                                   const by_value& values) {
  const effect& seen = log.effects[at];
  candidate* best = nullptr;
  const auto consider = [&](candidate& c) {
    const operation& op = all_[c.operation];
    if (c.used || op.kind == operation_kind::erase || c.floor >= seen.revision) return;
    const bool is_cas = op.kind == operation_kind::cas;
    if (is_cas && !may_succeed(log, at, op)) return;
    // A cas can have written little else; among puts the latest leaves most to the others.
    const bool best_is_cas = best && all_[best->operation].kind == operation_kind::cas;
    if (!best || (is_cas && !best_is_cas) || (is_cas == best_is_cas && c.floor > best->floor)) best = &c;
  };
  if (seen.value) {
    const auto [first, last] = values.equal_range(*seen.value);
    for (auto c = first; c != last; ++c) consider(log.unknown[c->second]);
  } else {
    for (candidate& c : log.unknown) consider(c);
  }
  if (!best) return blame(key, log, seen);
  best->used = true;
}

// Erases that were seen by a watch, and such that show only in that the key was gone.
inline void witness::attribute_erases(const std::string& key, key_log& log) {
  struct need {
    std::uint64_t until;  // the place at which it has happened
    const effect* seen;
  };
  std::vector<need> needs;
  for (const effect& e : log.effects) {
    if (e.erased && !e.wrote) needs.push_back({e.revision, &e});
    if (e.gone_by == 0) continue;
    const std::uint64_t from = std::max(e.revision, e.seen_until);
    if (e.gone_by <= from) {
      find(state_rule(e.gone_seen_by), key + " is gone, and there again without a write",
           {e.gone_seen_by, e.seen_by});
      continue;
    }
    needs.push_back({e.gone_by, &e});
    for (const std::size_t watch : watches_) {
      const operation& w = all_[watch];
      if (key.starts_with(w.key) && w.after <= from && w.until >= e.gone_by)
        find("watch_gap", key + " was erased, and the watch doesn't tell", {e.gone_seen_by, watch});
    }
  }
  std::vector<candidate*> erases;
  for (candidate& c : log.unknown)
    if (all_[c.operation].kind == operation_kind::erase) erases.push_back(&c);
  std::sort(needs.begin(), needs.end(), [](const need& a, const need& b) { return a.until < b.until; });
  std::sort(erases.begin(), erases.end(), [](const auto* a, const auto* b) { return a->floor < b->floor; });
  for (std::size_t i = 0; i < needs.size(); ++i) {
    if (i < erases.size() && erases[i]->floor < needs[i].until) continue;
    const effect& e = *needs[i].seen;
    const std::size_t by = e.erased ? e.by : e.gone_seen_by;
    if (i < erases.size())
      find("before_call", key + " is gone before its erase was called", {erases[i]->operation, by});
    else
      find("nowhere", key + " is gone, and nobody erased it", both(e.erased ? nullptr : &e, by));
  }
}

inline void witness::attribute(const std::string& key, key_log& log) {
  by_value values;
  for (std::size_t i = 0; i < log.unknown.size(); ++i)
    values.emplace(all_[log.unknown[i].operation].value, i);
  for (const bool with_value : {true, false}) {
    for (std::size_t at = 0; at < log.effects.size(); ++at) {
      const effect& e = log.effects[at];
      if (!e.wrote && !e.erased && (e.value != nullptr) == with_value) attribute_put(key, log, at, values);
    }
  }
  attribute_erases(key, log);
}

inline report witness::run() {
  writes_ = writes_of(all_, report_.findings);
  check_log();
  check_times();
  if (options_.monotonic_clients) check_clients();
  gather();
  replay();
  for (auto& [key, log] : keys_) attribute(key, log);
  report_.checked = all_.size();
  report_.steps = all_.size();
  if (!report_.findings.empty()) report_.end = verdict::violation;
  return std::move(report_);
}

}  // namespace detail

CONFMAN_DECL report check_witness(const history& all, const history& final_state,
                                  const witness_options& options) {
  return detail::witness(all, final_state, options).run();
}

}  // namespace confman::check
