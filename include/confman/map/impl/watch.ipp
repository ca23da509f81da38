#pragma once

#include <algorithm>
#include <utility>

#include "confman/map/limits.hpp"
#include "confman/map/watch.hpp"

namespace confman {

CONFMAN_DECL result<watch_id> watch_hub::add(std::string_view prefix, std::optional<std::uint64_t> after,
                                             watch_limits limits, notify_function notify) {
  auto w = std::make_shared<watch>();
  w->prefix = prefix;
  w->limits = limits;
  w->notify = std::move(notify);
  const std::lock_guard lock(mutex_);
  if (closed_) return failure(errc::stopped, "the map is stopped: it takes no new watches");
  // A reader may have seen a revision that is published but not dispatched yet; it was announced before.
  const std::uint64_t known = std::max(current_, announced_.load(std::memory_order_acquire));
  w->through = after.value_or(current_);
  if (w->through > known)
    return failure(errc::revision_in_future, "watch of " + detail::quoted(prefix) + " after revision " +
                                                 std::to_string(w->through) +
                                                 ": this member is at revision " + std::to_string(known) +
                                                 ", wait until it has caught up");
  if (w->through < floor_)
    return failure(errc::compacted, "watch of " + detail::quoted(prefix) + " after revision " +
                                        std::to_string(w->through) +
                                        ": the history reaches back to revision " + std::to_string(floor_) +
                                        ", read the prefix and watch after its revision");
  replay(*w);
  ++last_id_;
  by_length_[w->prefix.size()][w->prefix].push_back(w);
  watches_.emplace(last_id_, std::move(w));
  return last_id_;
}

CONFMAN_DECL void watch_hub::replay(watch& w) const {
  auto at =
      std::upper_bound(history_.begin(), history_.end(), w.through, [](std::uint64_t after, const change& c) {
        return after < c.revision() + (CONFMAN_MUTANT(watch_after_included) ? 1u : 0u);
      });
  for (; at != history_.end(); ++at)
    if (at->key().substr(0, w.prefix.size()) == w.prefix) w.buffer.push_back(*at);
  w.replayed = w.buffer.size();
  w.armed = w.buffer.empty();
}

CONFMAN_DECL change_batch watch_hub::take(watch_id id, std::size_t max_changes) {
  change_batch batch;
  const std::lock_guard lock(mutex_);
  const auto found = watches_.find(id);
  if (found == watches_.end()) {
    batch.error = {errc::stopped, "watch " + std::to_string(id.value()) + " was removed"};
    return batch;
  }
  watch& w = *found->second;
  while (!w.buffer.empty() &&
         (batch.changes.size() < max_changes ||
          (!batch.changes.empty() && batch.changes.back().revision() == w.buffer.front().revision()))) {
    if (w.replayed != 0)
      --w.replayed;
    else
      w.live_bytes -= cost(w.buffer.front());
    batch.changes.push_back(std::move(w.buffer.front()));
    w.buffer.pop_front();
  }
  if (!batch.changes.empty()) {
    batch.first = batch.changes.front().revision();
    batch.last = w.through = batch.changes.back().revision();
  }
  batch.more = !w.buffer.empty();
  if (!batch.more) {
    if (w.ended) {
      batch.error = w.ended;
      batch.restart_at = w.restart_at;
      w.through = w.ended_through;
    } else {
      w.through = std::max(w.through, current_);
      w.armed = true;
    }
  }
  batch.through = w.through;
  return batch;
}

CONFMAN_DECL void watch_hub::remove(watch_id id) {
  watch_pointer dead;  // destroyed after the lock, because the callback may own anything
  const std::lock_guard lock(mutex_);
  const auto found = watches_.find(id);
  if (found == watches_.end()) return;
  dead = std::move(found->second);
  dead->removed.store(true, std::memory_order_release);
  watches_.erase(found);
  unlink(dead);
}

CONFMAN_DECL void watch_hub::unlink(const watch_pointer& w) {
  const auto length = by_length_.find(w->prefix.size());
  if (length == by_length_.end()) return;
  const auto group = length->second.find(w->prefix);
  if (group == length->second.end()) return;
  watch_list& list = group->second;
  list.erase(std::remove(list.begin(), list.end(), w), list.end());
  if (list.empty()) length->second.erase(group);
  if (length->second.empty()) by_length_.erase(length);
}

CONFMAN_DECL void watch_hub::close() {
  watch_list to_notify;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    closed_ = true;
    by_length_.clear();
    for (auto& [id, w] : watches_) {
      if (w->ended) continue;
      end(*w, {errc::stopped, "the map is stopped"}, std::max(w->through, current_));
      if (std::exchange(w->armed, false)) to_notify.push_back(w);
    }
  }
  notify(to_notify);
}

CONFMAN_DECL std::uint64_t watch_hub::floor() const {
  const std::lock_guard lock(mutex_);
  return floor_;
}

CONFMAN_DECL std::size_t watch_hub::size() const {
  const std::lock_guard lock(mutex_);
  return watches_.size();
}

CONFMAN_DECL void watch_hub::dispatch() {
  watch_list to_notify, lagging;
  {
    const std::lock_guard lock(mutex_);
    for (change& c : staged_) {
      for (auto& [length, group] : by_length_) {
        if (length > c.key().size()) break;
        if (const auto found = group.find(c.key().substr(0, length)); found != group.end())
          for (const watch_pointer& w : found->second) offer(w, c, to_notify, lagging);
      }
      history_bytes_ += cost(c);
      history_.push_back(std::move(c));
    }
    // A large batch doesn't leave its room behind.
    constexpr std::size_t kept_capacity = 64;
    if (staged_.capacity() > kept_capacity)
      std::vector<change>().swap(staged_);
    else
      staged_.clear();
    current_ = announced_.load(std::memory_order_relaxed);
    for (const watch_pointer& w : lagging) unlink(w);
    trim_history();
  }
  notify(to_notify);
}

CONFMAN_DECL void watch_hub::restart(std::uint64_t revision) {
  CONFMAN_ASSERT(staged_.empty(), "a state is replaced between batches");
  watch_list to_notify;
  {
    const std::lock_guard lock(mutex_);
    for (change& c : history_) forgotten_.push_back(std::move(c.entry));
    history_.clear();
    history_bytes_ = 0;
    for (auto& [id, w] : watches_) {
      // Everything up to current_ was offered; a later `through` was asked for by who has seen that revision.
      if (w->ended || std::max(current_, w->through) >= revision) continue;
      if (CONFMAN_MUTANT(watch_silent_resume)) continue;
      end(*w,
          {errc::compacted, "the watch of " + detail::quoted(w->prefix) +
                                " ended: this member took over a snapshot at revision " +
                                std::to_string(revision) + ", the changes after revision " +
                                std::to_string(current_) +
                                " are not known one by one; read the prefix and watch after its revision"},
          std::max(current_, w->through));
      w->restart_at = revision;
      unlink(w);
      if (std::exchange(w->armed, false)) to_notify.push_back(w);
    }
    current_ = floor_ = revision;
  }
  notify(to_notify);
}

CONFMAN_DECL void watch_hub::offer(const watch_pointer& w, const change& c, watch_list& to_notify,
                                   watch_list& lagging) {
  if (w->ended || c.revision() <= w->through) return;
  const std::size_t live = w->buffer.size() - w->replayed;
  const bool full = live >= w->limits.max_changes ||
                    (w->live_bytes + cost(c) > w->limits.max_bytes && !(live == 0 && is_large(c)));
  if (full && !CONFMAN_MUTANT(watch_buffer_unbounded)) {
    // All of a revision or nothing.
    for (; !w->buffer.empty() && w->buffer.back().revision() == c.revision(); w->buffer.pop_back())
      w->live_bytes -= cost(w->buffer.back());
    end(*w,
        {errc::watch_lagged, "the watch of " + detail::quoted(w->prefix) + " fell behind: revision " +
                                 std::to_string(c.revision()) + " no longer fits its buffer of " +
                                 std::to_string(w->limits.max_changes) + " changes and " +
                                 std::to_string(w->limits.max_bytes) +
                                 " bytes; take faster, raise the limits, or watch again after revision " +
                                 std::to_string(c.revision() - 1)},
        c.revision() - 1);
    lagging.push_back(w);
  } else {
    w->live_bytes += cost(c);
    w->buffer.push_back(c);
  }
  if (std::exchange(w->armed, false)) to_notify.push_back(w);
}

CONFMAN_DECL void watch_hub::trim_history() {
  if (CONFMAN_MUTANT(watch_history_unbounded)) return;
  const auto only_large = [this] {
    return history_.front().revision() == history_.back().revision() && is_large(history_.back());
  };
  while (history_.size() > limits_.max_changes || (history_bytes_ > limits_.max_bytes && !only_large())) {
    const std::uint64_t gone = history_.front().revision();
    if (!CONFMAN_MUTANT(history_gap)) floor_ = gone;
    while (!history_.empty() && history_.front().revision() == gone) {
      history_bytes_ -= cost(history_.front());
      forgotten_.push_back(std::move(history_.front().entry));
      history_.pop_front();
    }
  }
}

CONFMAN_DECL void watch_hub::end(watch& w, failure why, std::uint64_t through) noexcept {
  w.ended = std::move(why);
  w.ended_through = through;
}

CONFMAN_DECL void watch_hub::notify(const watch_list& watches) {
  for (const watch_pointer& w : watches)
    if (w->notify && !w->removed.load(std::memory_order_acquire)) w->notify();
}

}  // namespace confman
