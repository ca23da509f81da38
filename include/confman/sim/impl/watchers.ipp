#pragma once

#include <algorithm>
#include <optional>

#include "confman/sim/watchers.hpp"

namespace confman::sim {

// --- the account

CONFMAN_DECL void watch_account::skip_to(std::uint64_t revision) {
  const auto& all = committed_.changes();
  through_ = revision;
  next_ = static_cast<std::size_t>(
      std::upper_bound(all.begin(), all.end(), revision,
                       [](std::uint64_t r, const history::key_change& c) { return r < c.index; }) -
      all.begin());
}

CONFMAN_DECL const history::key_change* watch_account::next() {
  const auto& all = committed_.changes();
  while (next_ < all.size() && !history::key_name(all[next_].key).starts_with(prefix_)) ++next_;
  return next_ < all.size() ? &all[next_] : nullptr;
}

CONFMAN_DECL void watch_account::fail(node_id at, const std::string& what) const {
  trace_.fail(invariant::watches, "a watch of '" + prefix_ + "' on node " + std::to_string(at.value()) +
                                      ", so far complete up to revision " + std::to_string(through_) + ": " +
                                      what);
}

CONFMAN_DECL void watch_account::on_batch(node_id at, const change_batch& batch) {
  if (batch.through < through_)
    fail(at, "it now says that it is complete up to " + std::to_string(batch.through) + " only");
  for (const change& c : batch.changes) {
    const history::key_change* expected = next();
    const std::string given = std::string(c.kind == change_kind::put ? "put" : "erase") + " of " +
                              std::string(c.key()) + " at " + std::to_string(c.revision());
    if (!expected || expected->index != c.revision() || expected->exists != (c.kind == change_kind::put) ||
        history::key_name(expected->key) != c.key())
      fail(at, "it gives the " + given + ", but the next that was committed is " +
                   (expected ? std::string(expected->exists ? "a put of " : "an erase of ") +
                                   history::key_name(expected->key) + " at " + std::to_string(expected->index)
                             : std::string("not there")));
    if (c.entry.value() != committed_.value_of(expected->by) || c.at.term != expected->term)
      fail(at, "the " + given + " has another value or term than what was committed");
    ++next_;
  }
  const std::uint64_t first = batch.changes.empty() ? 0 : batch.changes.front().revision();
  const std::uint64_t last = batch.changes.empty() ? 0 : batch.changes.back().revision();
  if (batch.first != first || batch.last != last || batch.through < last)
    fail(at, "a batch of " + std::to_string(first) + " to " + std::to_string(last) + " says that it has " +
                 std::to_string(batch.first) + " to " + std::to_string(batch.last) + ", complete up to " +
                 std::to_string(batch.through));
  const history::key_change* left = next();
  if (left && left->index <= batch.through)
    fail(at, "it says that it is complete up to " + std::to_string(batch.through) +
                 ", but hasn't given the change of " + history::key_name(left->key) + " at " +
                 std::to_string(left->index));
  through_ = batch.through;
  const std::error_code why = batch.error.code;
  if (why && why != errc::compacted && why != errc::watch_lagged && why != errc::stopped)
    fail(at, "it ends with '" + why.message() + "'");
  if (why == errc::watch_lagged && (!left || left->index != batch.through + 1))
    fail(at, "it says that the change after " + std::to_string(batch.through) +
                 " found no room, but there is no change");
  if (why == errc::compacted && batch.restart_at <= batch.through)
    fail(at, "it says that changes are missing before " + std::to_string(batch.restart_at) +
                 ", but also that it is complete up to " + std::to_string(batch.through));
}

CONFMAN_DECL void watch_account::on_taken(node_id at, std::size_t changes, std::size_t most) const {
  if (changes > most)
    trace_.fail(invariant::bounded_memory,
                "a watch of '" + prefix_ + "' on node " + std::to_string(at.value()) + " has kept " +
                    std::to_string(changes) + " changes, the limit is " + std::to_string(most));
}

// --- the watchers

CONFMAN_DECL watchers::watchers(environment& world, const std::vector<std::unique_ptr<node>>& nodes)
    : world_(world), nodes_(nodes), all_(world.plan.watchers) {
  const dice seeds = dice(world.plan.seed).fork(5);
  for (std::size_t i = 0; i < all_.size(); ++i) {
    all_[i].own = dice(seeds).fork(i);
    all_[i].account = std::make_unique<watch_account>(world.clients, world.log);
  }
}

CONFMAN_DECL void watchers::start() {
  for (std::uint32_t i = 0; i < all_.size(); ++i)
    world_.time.schedule(1 + all_[i].own.below(2 * world_.plan.watch_interval),
                         {event_kind::watcher, 0, 0, i});
}

CONFMAN_DECL node* watchers::pick(watcher& w) const {
  const std::size_t first = w.own.below(nodes_.size());
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    node& n = *nodes_[(first + i) % nodes_.size()];
    if (n.up() && !n.paused() && !n.dead()) return &n;
  }
  return nullptr;
}

CONFMAN_DECL std::string watchers::draw_prefix(dice& own, unsigned keys) {
  const std::string key = history::key_name(static_cast<std::uint32_t>(own.below(keys)));
  const char* const all[] = {"", "/", "/k", "/k/", "/k//", "/other"};
  const std::uint64_t kind = own.below(8);
  return kind < 6 ? all[kind] : key;
}

CONFMAN_DECL void watchers::turn(std::uint32_t who) {
  watcher& w = all_[who];
  world_.time.schedule(1 + w.own.below(2 * world_.plan.watch_interval), {event_kind::watcher, 0, 0, who});
  if (attached(w)) {
    if (w.at->paused() || w.at->dead() || w.own.chance(600)) return;
    w.at->watches().remove(w.id);
  }
  w.at = nullptr;
  if (node* n = pick(w)) connect(who, *n);
}

CONFMAN_DECL void watchers::connect(std::uint32_t who, node& at) {
  watcher& w = all_[who];
  std::optional<std::uint64_t> after;
  if (!w.begun || w.own.chance(250)) {
    if (w.own.coin()) after = w.own.below(world_.clients.applied() + 1);
    w.account->begin(draw_prefix(w.own, world_.plan.keys), after ? *after : at.map().revision());
  } else {
    after = w.account->through();
    world_.counts.add(counted::watches_resumed);
  }
  w.begun = true;
  w.at = &at;
  w.run = at.run();
  w.notified = false;
  const std::uint64_t number = ++w.number;
  const watch_limits limits{world_.plan.watch_buffer_changes, world_.plan.watch_buffer_bytes};
  const auto added =
      at.watches().add(w.account->prefix(), after, limits, [this, who, number] { on_notified(who, number); });
  world_.log.note(step::watch_begun, at.id(), who, w.account->through(),
                  added ? 0 : static_cast<std::uint64_t>(added.error().code.value()));
  if (!added) return refused(w, at, added.error());
  world_.counts.add(counted::watches);
  w.id = *added;
  take(who, at.settings().watch_history_changes);  // what comes from the history isn't announced
}

CONFMAN_DECL void watchers::refused(watcher& w, node& at, const failure& why) {
  w.at = nullptr;
  const std::uint64_t revision = at.map().revision(), after = w.account->through();
  if (why.code == errc::revision_in_future && after > revision)
    return world_.counts.add(counted::watches_ahead);
  if (why.code != errc::compacted || after >= at.watches().floor())
    world_.log.fail(invariant::watches, "node " + std::to_string(at.id().value()) + " at revision " +
                                            std::to_string(revision) + " refuses a watch after revision " +
                                            std::to_string(after) + ": " + why.what);
  // As its answer asks: the prefix is read, and the next watch goes on after that.
  world_.counts.add(counted::watches_compacted);
  w.account->skip_to(revision);
}

// On the writer's thread, in the middle of publishing.
CONFMAN_DECL void watchers::on_notified(std::uint32_t who, std::uint64_t number) {
  watcher& w = all_[who];
  if (w.number != number || !w.at || w.at->dead()) return;
  w.notified = true;
  if (w.own.chance(200)) return take(who);
  world_.time.schedule(w.own.skewed(1, world_.plan.watch_delay),
                       {event_kind::watched, static_cast<std::uint8_t>(w.at->id().value()), w.run, who});
}

CONFMAN_DECL void watchers::look(std::uint32_t who) {
  if (const watcher& w = all_[who]; attached(w) && !w.at->dead()) take(who);
}

CONFMAN_DECL void watchers::take(std::uint32_t who, std::size_t history) {
  watcher& w = all_[who];
  w.notified = false;
  std::size_t taken = 0;
  for (bool more = true; more;) {
    const change_batch batch = w.at->watches().take(w.id, w.own.pick<std::size_t>(1, 3, 1000));
    w.account->on_batch(w.at->id(), batch);
    world_.counts.add(counted::watched_changes, batch.changes.size());
    world_.log.note(step::watch_taken, w.at->id(), who, batch.through,
                    batch.changes.size() << 16 | static_cast<std::uint64_t>(batch.error.code.value()));
    more = batch.more;
    taken += batch.changes.size();
    if (!more) w.account->on_taken(w.at->id(), taken, world_.plan.watch_buffer_changes + history);
    if (batch.error) return ended(w, batch);
  }
  if (const std::uint64_t revision = w.at->map().revision(); w.account->through() != revision)
    world_.log.fail(invariant::watches, "a watch on node " + std::to_string(w.at->id().value()) +
                                            " has nothing more to give and is complete up to " +
                                            std::to_string(w.account->through()) + ", the map is at " +
                                            std::to_string(revision));
}

CONFMAN_DECL void watchers::ended(watcher& w, const change_batch& batch) {
  node& at = *w.at;
  w.at = nullptr;
  at.watches().remove(w.id);
  if (batch.error.code == errc::watch_lagged) return world_.counts.add(counted::watches_lagged);
  if (batch.error.code == errc::stopped) return world_.counts.add(counted::watches_stopped);
  world_.counts.add(counted::watches_compacted);
  const std::uint64_t revision = at.map().revision();
  if (revision < batch.restart_at)
    world_.log.fail(invariant::watches,
                    "a watch on node " + std::to_string(at.id().value()) + " asks for a read at revision " +
                        std::to_string(batch.restart_at) + ", the map is at " + std::to_string(revision));
  w.account->skip_to(revision);
}

CONFMAN_DECL void watchers::finish() {
  for (std::uint32_t i = 0; i < all_.size(); ++i) {
    watcher& w = all_[i];
    if (!attached(w) || w.at->dead()) continue;
    const std::uint64_t before = world_.counts[counted::watched_changes];
    const bool notified = w.notified;
    take(i);
    if (!notified && (world_.counts[counted::watched_changes] != before || !w.at))
      world_.log.fail(invariant::watches,
                      "watcher " + std::to_string(i) + " had something to take and was never told");
  }
}

}  // namespace confman::sim
