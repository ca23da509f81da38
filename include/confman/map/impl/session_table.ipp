#pragma once

#include <algorithm>

#include "confman/map/content_hash.hpp"
#include "confman/map/limits.hpp"
#include "confman/map/session_table.hpp"

namespace confman::detail {

// A session's own fields, then each answer by itself: what changes costs what changed.
[[nodiscard]] inline std::uint64_t hash_head(const session& s) noexcept {
  return hash_numbers(3, s.id, s.time_to_live, s.used_at, s.used_by, s.acknowledged);
}
[[nodiscard]] inline std::uint64_t hash_answer(std::uint64_t session, const kept_answer& a) noexcept {
  return hash_numbers(4, session, a.sequence, a.at.term.value(), a.at.index.value(), a.previous_revision,
                      a.code);
}
[[nodiscard]] inline std::uint64_t hash_all(const session& s) noexcept {
  std::uint64_t sum = hash_head(s);
  for (const kept_answer& a : s) sum += hash_answer(s.id, a);
  return sum;
}

// Session, place and its entries in the indices, roughly.
inline constexpr std::size_t session_cost = sizeof(session) + 192;

inline constexpr std::size_t few_sessions = 64;

CONFMAN_DECL std::vector<const session*> session_image::sorted() const {
  std::vector<const session*> found;
  if (!all_) return found;
  for (const shared_piece<chunk>& c : *all_)
    if (c)
      for (const shared_piece<session>& s : *c)
        if (s) found.push_back(&*s);
  std::sort(found.begin(), found.end(), [](const session* a, const session* b) { return a->id < b->id; });
  return found;
}

CONFMAN_DECL const session& session_table::at(std::uint32_t slot) const noexcept {
  constexpr std::size_t n = session_image::fan_out;
  return *(*(*image_.all_)[slot / n])[slot % n];
}

CONFMAN_DECL session& session_table::own(std::uint32_t slot) {
  constexpr std::size_t n = session_image::fan_out;
  return image_.all_.own()[slot / n].own()[slot % n].own();
}

CONFMAN_DECL session_table::places::iterator session_table::find_alive(std::uint64_t id, std::int64_t now) {
  const auto found = by_id_.find(id);
  if (CONFMAN_MUTANT(session_outlives)) return found;
  return found != by_id_.end() && now > at(found->second.slot).deadline() ? by_id_.end() : found;
}

CONFMAN_DECL void session_table::expire(std::int64_t now, std::size_t most) {
  if (CONFMAN_MUTANT(session_outlives)) return;
  for (; most != 0 && !deadlines_.empty() && deadlines_.begin()->first < now; --most)
    remove(by_id_.find(deadlines_.begin()->second));
}

CONFMAN_DECL void session_table::open(std::uint64_t index, std::uint64_t time_to_live_ms, std::int64_t now) {
  while (by_id_.size() >= limit_)
    remove(by_id_.find(CONFMAN_MUTANT(evicts_newest) ? used_.back() : used_.front()));
  session s;
  s.id = s.used_by = index;
  s.used_at = now;
  s.time_to_live =
      static_cast<std::int64_t>(time_to_live_ms) * (CONFMAN_MUTANT(session_cut_short) ? 500 : 1000);
  add(s);
}

CONFMAN_DECL void session_table::add(const session& s) {
  // All of it at once, since growing it later would make one entry slow; but not for a few sessions.
  if (by_id_.size() == few_sessions) by_id_.reserve(max_sessions);
  std::uint32_t slot = slots_;
  if (free_.empty()) {
    ++slots_;
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  own(slot) = s;
  by_id_[s.id] = {slot, used_.insert(used_.end(), s.id)};
  deadlines_.emplace(s.deadline(), s.id);
  hash_ += hash_all(s);
  bytes_ += session_cost + s.size() * sizeof(kept_answer);
}

CONFMAN_DECL void session_table::remove(places::iterator found) {
  constexpr std::size_t n = session_image::fan_out;
  const std::uint32_t slot = found->second.slot;
  const session& s = at(slot);
  hash_ -= hash_all(s);
  bytes_ -= session_cost + s.size() * sizeof(kept_answer);
  deadlines_.erase({s.deadline(), s.id});
  used_.erase(found->second.used);
  by_id_.erase(found);
  free_.push_back(slot);
  image_.all_.own()[slot / n].own()[slot % n] = {};
}

CONFMAN_DECL bool session_table::close(std::uint64_t id, std::int64_t now) {
  const auto found = find_alive(id, now);
  if (found == by_id_.end()) return false;
  if (!CONFMAN_MUTANT(session_not_closed)) remove(found);
  return true;
}

CONFMAN_DECL session& session_table::touch(places::iterator found, std::uint64_t acknowledged,
                                           std::uint64_t index, std::int64_t now) {
  session& s = own(found->second.slot);
  hash_ -= hash_head(s);
  auto moved = deadlines_.extract({s.deadline(), s.id});
  if (!CONFMAN_MUTANT(session_not_renewed)) s.used_at = now;
  s.used_by = index;
  moved.value().first = s.deadline();
  deadlines_.insert(std::move(moved));
  used_.splice(used_.end(), used_, found->second.used);
  forget(s, acknowledged);
  hash_ += hash_head(s);
  return s;
}

CONFMAN_DECL void session_table::forget(session& s, std::uint64_t below) {
  if (below <= s.acknowledged) return;
  s.acknowledged = below;
  for (; s.size() != 0 && (s.begin()->sequence < below ||
                           (CONFMAN_MUTANT(answers_dropped_early) && s.begin()->sequence == below));
       ++s.forgotten) {
    hash_ -= hash_answer(s.id, *s.begin());
    bytes_ -= sizeof(kept_answer);
  }
  if (s.forgotten < 16 || s.forgotten < s.answers.size() / 2) return;
  s.answers.erase(s.answers.begin(), s.answers.begin() + static_cast<std::ptrdiff_t>(s.forgotten));
  s.forgotten = 0;
}

CONFMAN_DECL bool session_table::keep_alive(std::uint64_t id, std::uint64_t acknowledged, std::uint64_t index,
                                            std::int64_t now) {
  const auto found = find_alive(id, now);
  if (found == by_id_.end()) return false;
  if (!CONFMAN_MUTANT(keep_alive_ignored)) touch(found, acknowledged, index, now);
  return true;
}

[[nodiscard]] inline bool before(const kept_answer& a, std::uint64_t sequence) noexcept {
  return a.sequence < sequence;
}

CONFMAN_DECL session_table::use_result session_table::use(const command_view& write, std::uint64_t index,
                                                          std::int64_t now) {
  const auto found = find_alive(write.session, now);
  if (found == by_id_.end()) return {};
  const session& s = touch(found, write.acknowledged, index, now);
  if (write.sequence < s.acknowledged && !CONFMAN_MUTANT(acknowledged_again)) return {};
  const kept_answer* const known = std::lower_bound(s.begin(), s.end(), write.sequence, before);
  if (known != s.end() && known->sequence == write.sequence) return {verdict::replay, known};
  return {s.size() < max_kept_answers ? verdict::fresh : verdict::full, nullptr};
}

CONFMAN_DECL void session_table::remember(const command_view& write, const apply_result& answer) {
  session& s = own(by_id_.find(write.session)->second.slot);
  const kept_answer kept{write.sequence, answer.at, answer.previous_revision,
                         static_cast<std::uint16_t>(answer.code.value())};
  const auto offset = std::lower_bound(s.begin(), s.end(), write.sequence, before) - s.answers.data();
  s.answers.insert(s.answers.begin() + offset, kept);
  hash_ += hash_answer(s.id, kept);
  bytes_ += sizeof(kept_answer);
}

CONFMAN_DECL bool session_table::restore(const session& s) {
  if (by_id_.size() == limit_ || by_id_.contains(s.id)) return false;
  add(s);
  return true;
}

CONFMAN_DECL bool session_table::restored() {
  if (CONFMAN_MUTANT(session_order_not_loaded)) return true;
  const auto used_by = [this](std::uint64_t id) { return at(by_id_.find(id)->second.slot).used_by; };
  used_.sort([&](std::uint64_t a, std::uint64_t b) { return used_by(a) < used_by(b); });
  std::uint64_t last = 0;
  for (const std::uint64_t id : used_) {
    if (used_by(id) <= last) return false;
    last = used_by(id);
  }
  return true;
}

}  // namespace confman::detail
