#pragma once

#include <algorithm>

#include "confman/sim/history.hpp"

namespace confman::sim {

CONFMAN_DECL history::call_id history::begin(node_id at, call_kind kind, std::uint32_t key,
                                             std::uint64_t token) {
  const call_id id = calls_.size();
  call c;
  c.kind = kind;
  c.key = key;
  c.floor = kind == call_kind::read_at_least ? token
            : kind == call_kind::read_local  ? shown_[at.value()]
                                             : floor_;
  calls_.push_back(c);
  if (record_) {
    recorded_call r;
    r.at = at;
    r.called = trace_.now();
    r.write = kind < call_kind::read_linearizable;
    using freshness = recorded_call::freshness;
    r.fresh = kind == call_kind::read_local      ? freshness::local
              : kind == call_kind::read_at_least ? freshness::at_least
                                                 : freshness::linearizable;
    r.at_least = token;
    if (!r.write) r.key = key_name(key);
    record_->push_back(std::move(r));
  }
  trace_.note(step::called, at, id, static_cast<std::uint64_t>(kind), key);
  return id;
}

CONFMAN_DECL void history::on_sent(call_id id, const command_view& command, std::string_view value) {
  if (!record_) return;
  recorded_call& r = (*record_)[id];
  r.sent = true;
  r.command = command.kind;
  r.key = command.key;
  r.value = value;
  r.expected_revision = command.expected_revision;
  r.session = command.session;
  r.sequence = command.sequence;
}

CONFMAN_DECL recorded_call* history::recorded(call_id id, recorded_call::ending end) {
  if (!record_) return nullptr;
  recorded_call& r = (*record_)[id];
  r.end = end;
  r.returned = trace_.now();
  return &r;
}

CONFMAN_DECL std::string history::key_name(std::uint32_t key) {
  // Some keys are prefixes of others.
  return "/k" + std::string(key % 3, '/') + std::to_string(key);
}

CONFMAN_DECL std::string history::value_of(call_id id) const {
  std::string value = std::to_string(id) + ' ';
  const std::size_t size = static_cast<std::size_t>(id * 2654435761u % (plan_.max_value_bytes + 1));
  while (value.size() < size) value += static_cast<char>('a' + (value.size() * 7 + id) % 26);
  return value;
}

CONFMAN_DECL void history::on_applied(node_id node, const entry& e, const apply_result& result) {
  const auto index = static_cast<std::size_t>(e.index.value());
  counts_.add(counted::applied);
  if (index == applied_.size()) replay(node, e, result);
  if (index >= applied_.size())
    trace_.fail(invariant::state_machine_safety, "node " + std::to_string(node.value()) + " applies " +
                                                     std::to_string(index) + " after " +
                                                     std::to_string(applied_.size() - 1));
  const effect& expected = applied_[index];
  if (result.code != expected.code || result.at != expected.at ||
      (expected.by != 0 && result.previous_revision != expected.previous))
    trace_.fail(invariant::state_machine_safety,
                "node " + std::to_string(node.value()) + " applies entry " + std::to_string(index) +
                    " with '" + result.code.message() + "', previous revision " +
                    std::to_string(result.previous_revision) + "; a replay gives '" +
                    expected.code.message() + "', " + std::to_string(expected.previous));
}

// The first node to execute an entry: what should happen, by a model that is much simpler than the map.
CONFMAN_DECL void history::replay(node_id node, const entry& e, const apply_result& result) {
  effect done;
  done.at = {e.term, e.index};
  done.term = e.term;
  const std::uint64_t index = e.index.value();
  const confman::result<command_view> command = e.type == entry_type::command ? decode(e.payload) : failure();
  if (command) {
    const call_id id = call_of(command->timestamp);
    if (id == 0 || id >= calls_.size())
      trace_.fail(invariant::exactly_once, "a command of nobody was applied at " + std::to_string(index));
    call& c = calls_[id];
    sessions_.pass(command->author.value(), command->timestamp);
    uploads_.expire(index, sessions_.now());
    const bool upkeep = c.kind == call_kind::upkeep;
    if (command->session != 0 && !upkeep && replay_session(*command, c, done, result))
      return applied_.push_back(done);
    if (c.applied != 0)
      trace_.fail(invariant::exactly_once, "write " + std::to_string(id) + " is applied at " +
                                               std::to_string(c.applied) + " and at " +
                                               std::to_string(index));
    if (c.state == status::refused || c.withdrawn)
      trace_.fail(invariant::exactly_once,
                  "write " + std::to_string(id) + " was refused as certainly not applied, node " +
                      std::to_string(node.value()) + " applies it at " + std::to_string(index));
    if (index <= c.floor)
      trace_.fail(invariant::linearizable, "write " + std::to_string(id) + " is applied at " +
                                               std::to_string(index) + ", before an operation at " +
                                               std::to_string(c.floor) + " that had ended when it began");
    c.applied = index;
    done.by = id;
    replay_command(*command, c, done);
    if (command->session != 0 && !upkeep && done.code != errc::upload_expired)
      sessions_.remember(command->session, command->sequence);
  } else if (e.type == entry_type::command) {
    done.code = errc::bad_command;
  }
  applied_.push_back(done);
}

namespace detail {

[[nodiscard]] inline bool erases(const command_view& c) noexcept {
  return c.kind == command_kind::erase || c.kind == command_kind::compare_erase;
}
[[nodiscard]] inline bool compares(const command_view& c) noexcept {
  return c.kind == command_kind::compare_exchange || c.kind == command_kind::compare_erase;
}

}  // namespace detail

// What a command does to the model.
CONFMAN_DECL void history::replay_command(const command_view& command, call& c, effect& done) {
  const std::uint64_t index = done.at.index.value();
  if (c.kind == call_kind::application) return replay_application(command, done);
  if (c.kind == call_kind::upkeep) {
    const bool closes = command.kind == command_kind::session_close;
    counts_.add(closes ? counted::sessions_closed : counted::sessions_kept_alive);
    const bool alive = closes ? sessions_.close(command.session)
                              : sessions_.keep_alive(command.session, command.acknowledged);
    if (!alive) done.code = errc::session_expired;
    return;
  }
  if (c.kind == call_kind::open_session || c.kind == call_kind::piece) {
    if (c.kind == call_kind::open_session)
      counts_.add(counted::sessions_evicted, sessions_.open(index, command.time_to_live_ms));
    if (c.kind == call_kind::piece && !uploads_.add(command, index, sessions_.now()))
      done.code = errc::upload_expired;
    return;
  }
  std::vector<change>& key = keys_[c.key];
  done.previous = key.empty() || !key.back().exists ? 0 : key.back().index;
  const bool there = command.upload == 0 || uploads_.complete(command, index, sessions_.now());
  if (command.upload != 0) counts_.add(there ? counted::uploads : counted::uploads_expired);
  if (!there)
    done.code = errc::upload_expired;
  else if (detail::compares(command) && command.expected_revision != done.previous)
    done.code = errc::compare_failed;
  else if (const bool exists = !detail::erases(command); exists || done.previous != 0) {
    if (command.upload != 0) uploads_.taken(command);
    const bool anew = done.previous == 0;
    changes_.push_back({index, done.term, c.key, exists, exists ? done.by : key.back().by});
    key.push_back(
        {index, exists, done.by, anew ? index : key.back().created, anew ? 1 : key.back().writes + 1});
  }
}

// The same for keys that aren't known beforehand.
CONFMAN_DECL void history::replay_application(const command_view& command, effect& done) {
  if (command.key.starts_with("/k"))
    trace_.fail(invariant::harness,
                "an application writes to a key of the world's clients: " + std::string(command.key));
  application_writes_ = true;
  const auto key = own_.find(command.key);
  done.previous = key == own_.end() ? 0 : key->second;
  if (detail::compares(command) && command.expected_revision != done.previous)
    done.code = errc::compare_failed;
  else if (!detail::erases(command))
    own_[std::string(command.key)] = done.at.index.value();
  else if (key != own_.end())
    own_.erase(key);
}

// One effect per session and sequence number: what comes again gets the first answer, or the session is gone
// for good: when log time says so, not before and not later. True: this entry has no effect.
CONFMAN_DECL bool history::replay_session(const command_view& command, call& c, effect& done,
                                          const apply_result& result) {
  const auto fail = [&](const char* why) {
    trace_.fail(invariant::exactly_once, "a write of a session, applied at " + std::to_string(c.applied) +
                                             " (0: not yet), comes again at " +
                                             std::to_string(done.at.index.value()) + " and " + why);
  };
  using verdict = session_model::verdict;
  const verdict what = sessions_.use(command.session, command.sequence, command.acknowledged);
  const bool expired = what == verdict::expired;
  if (!expired && result.code == errc::session_expired) fail("finds its session expired, before its time");
  if (expired && result.code != errc::session_expired) fail("finds its session, whose time is over");
  if ((what == verdict::full) != (result.code == errc::busy)) fail("finds its session full, or should have");
  if (what == verdict::full) {
    counts_.add(counted::sessions_full);
    done.code = errc::busy;
    return true;
  }
  if (result.code == errc::session_expired) {
    counts_.add(counted::sessions_expired);
    c.expired = done.at.index.value();
    done.code = errc::session_expired;
    return true;
  }
  if (c.expired != 0) fail("its session is there again");
  if (c.applied == 0) return false;
  const effect& first = applied_[c.applied];
  if (result.at != first.at || result.code != first.code || result.previous_revision != first.previous)
    fail("gets another answer than before, or has another effect");
  counts_.add(counted::session_replays);
  done.at = first.at;
  done.code = first.code;
  done.previous = first.previous;
  return true;
}

namespace detail {

[[nodiscard]] inline bool says_not_applied(std::error_code code) noexcept {
  return code == errc::not_leader || code == errc::no_leader || code == errc::busy || code == errc::stopped;
}

}  // namespace detail

CONFMAN_DECL void history::on_refused(node_id node, call_id id, std::error_code code) {
  call& c = calls_[id];
  if (c.times_sent_again != 0 || !detail::says_not_applied(code)) return;
  if (c.applied != 0)
    trace_.fail(invariant::exactly_once, "write " + std::to_string(id) + " is refused by node " +
                                             std::to_string(node.value()) + " ('" + code.message() +
                                             "') and was applied at " + std::to_string(c.applied));
  c.withdrawn = true;
}

CONFMAN_DECL void history::on_again(node_id node, call_id id) {
  calls_[id].withdrawn = false;
  ++calls_[id].times_sent_again;
  trace_.note(step::called, node, id, 100, calls_[id].key);
  ++calls_[id].sent_again;
  counts_.add(counted::session_retries);
}

CONFMAN_DECL void history::on_write(node_id node, call_id id, std::error_code code,
                                    const apply_result& result) {
  call& c = calls_[id];
  trace_.note(step::answered, node, id, static_cast<std::uint64_t>(code.value()), result.revision);
  if (c.state != status::open)
    trace_.fail(invariant::harness, "write " + std::to_string(id) + " was answered twice");
  if (code == errc::outcome_unknown || code == errc::timed_out || code == errc::storage_failed ||
      code == errc::log_diverged || code == errc::session_expired || code == errc::upload_expired ||
      (code && code != errc::compare_failed && c.sent_again != 0)) {
    if (code == errc::session_expired && c.applied != 0 && c.sent_again == 0 && c.kind != call_kind::upkeep)
      trace_.fail(invariant::exactly_once, "write " + std::to_string(id) + " was applied at " +
                                               std::to_string(c.applied) +
                                               " and is answered that its session had expired");
    c.state = status::unknown;
    (void)recorded(id, recorded_call::ending::unknown);
    return counts_.add(counted::unknown_writes);
  }
  if (code && code != errc::compare_failed) {
    c.state = status::refused;
    (void)recorded(id, recorded_call::ending::refused);
    counts_.add(code == errc::busy ? counted::busy : counted::refused_writes);
    if (c.applied != 0)
      trace_.fail(invariant::exactly_once, "write " + std::to_string(id) + " is refused ('" + code.message() +
                                               "') and was applied at " + std::to_string(c.applied));
    return;
  }
  c.state = status::done;
  c.answered = result.at;
  if (recorded_call* const r = recorded(id, recorded_call::ending::answered)) {
    r->code = code;
    r->place = result.at;
    r->previous_revision = result.previous_revision;
  }
  counts_.add(counted::acknowledged);
  if (code) counts_.add(counted::compare_failed);
  const std::uint64_t index = result.at.index.value();
  if (c.applied == 0 || c.applied != index || applied_[index].term != result.at.term)
    trace_.fail(invariant::no_lost_acknowledgement,
                "write " + std::to_string(id) + " is acknowledged at index " + std::to_string(index) +
                    ", it was applied at " + std::to_string(c.applied) + " (0: nowhere)");
  floor_ = std::max(floor_, index);
  const effect& e = applied_[index];
  if (c.kind == call_kind::open_session || c.kind == call_kind::piece) return;
  if (e.code != code || e.previous != result.previous_revision)
    trace_.fail(invariant::linearizable, "write " + std::to_string(id) + " is answered '" + code.message() +
                                             "', previous revision " +
                                             std::to_string(result.previous_revision) + "; a replay gives '" +
                                             e.code.message() + "', " + std::to_string(e.previous));
}

CONFMAN_DECL const history::change* history::at(std::uint32_t key, std::uint64_t revision) const noexcept {
  const std::vector<change>& all = keys_[key];
  const auto after = std::upper_bound(all.begin(), all.end(), revision,
                                      [](std::uint64_t r, const change& c) { return r < c.index; });
  return after == all.begin() || !std::prev(after)->exists ? nullptr : &*std::prev(after);
}

CONFMAN_DECL void history::on_read(node_id node, call_id id, const map_view& state) {
  call& c = calls_[id];
  const std::uint64_t revision = state.revision();
  trace_.note(step::answered, node, id, 0, revision);
  c.state = status::done;
  counts_.add(c.kind == call_kind::read_linearizable ? counted::linearizable_reads
              : c.kind == call_kind::read_at_least   ? counted::token_reads
                                                     : counted::local_reads);
  if (revision < c.floor)
    trace_.fail(
        c.kind == call_kind::read_linearizable ? invariant::linearizable : invariant::read_your_writes,
        "read " + std::to_string(id) + " on node " + std::to_string(node.value()) +
            " is answered from index " + std::to_string(revision) + "; index " + std::to_string(c.floor) +
            " was known to its client, or to somebody before it began");
  shown_[node.value()] = std::max(shown_[node.value()], revision);
  const change* expected = at(c.key, revision);
  const record* found = state.find(key_name(c.key));
  if (recorded_call* const r = recorded(id, recorded_call::ending::answered)) {
    r->place = {revision < applied_.size() ? applied_[revision].term : term_t{}, log_index(revision)};
    r->revision = found ? found->modify_revision() : 0;
    if (found) r->found = found->value();
  }
  const bool same = expected ? found && shows(*found, *expected) : !found;
  if (!same)
    trace_.fail(invariant::linearizable,
                "read " + std::to_string(id) + " on node " + std::to_string(node.value()) + " at index " +
                    std::to_string(revision) + " finds revision " +
                    std::to_string(found ? found->modify_revision() : 0) + " of its key; a " +
                    "replay gives " + std::to_string(expected ? expected->index : 0) + " (or another value)");
  check_scan(node, state, id % 2 == 0 ? "" : key_name(c.key));
  if (c.kind == call_kind::read_linearizable) floor_ = std::max(floor_, revision);
}

CONFMAN_DECL bool history::shows(const record& found, const change& expected) const {
  return found.modify_revision() == expected.index && found.create_revision() == expected.created &&
         found.key_version() == expected.writes && found.value() == value_of(expected.by);
}

// All keys that begin so, in order, and no other, except for an application's.
CONFMAN_DECL void history::check_scan(node_id node, const map_view& state, std::string_view prefix) const {
  const std::uint64_t revision = state.revision();
  std::map<std::string, const change*> expected;
  std::size_t keys = 0;
  for (std::uint32_t key = 0; key < plan_.keys; ++key) {
    const change* there = at(key, revision);
    std::string name = key_name(key);
    keys += there ? 1 : 0;
    if (there && name.starts_with(prefix)) expected.emplace(std::move(name), there);
  }
  auto next = expected.begin();
  bool good = application_writes_ || state.size() == keys;
  state.for_each_prefix(prefix, [&](const record& r) {
    if (!r.key().starts_with("/k") && application_writes_) return true;
    good = good && next != expected.end() && r.key() == next->first &&
           r.modify_revision() == next->second->index;
    if (good) ++next;
    return good;
  });
  if (!good || next != expected.end())
    trace_.fail(invariant::linearizable, "a scan of '" + std::string(prefix) + "' on node " +
                                             std::to_string(node.value()) + " at index " +
                                             std::to_string(revision) + " finds other keys than the " +
                                             std::to_string(expected.size()) + " that a replay gives");
}

CONFMAN_DECL void history::on_lost(node_id node, call_id id, std::error_code code) {
  call& c = calls_[id];
  if (c.state != status::open) return;
  trace_.note(step::answered, node, id, static_cast<std::uint64_t>(code.value()));
  c.state = status::unknown;
  (void)recorded(id, recorded_call::ending::unknown);
  counts_.add(c.kind < call_kind::read_linearizable ? counted::unknown_writes : counted::failed_reads);
}

}  // namespace confman::sim
