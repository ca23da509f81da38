#pragma once

#include "confman/map/limits.hpp"
#include "confman/sim/impl/members.ipp"
#include "confman/sim/world.hpp"

namespace confman::sim {

// A write of a client on its way; goes back to the pool when it is answered, or when its node is gone.
class world::write_call final : public write_operation {
 public:
  void begin(world& owner, node& at, std::uint32_t who, history::call_id number, call_kind kind,
             write_again what) {
    owner_ = &owner;
    at_ = &at;
    who_ = who;
    id_ = number;
    kind_ = kind;
    what_ = std::move(what);
  }
  [[nodiscard]] const node* at() const noexcept { return at_; }
  [[nodiscard]] history::call_id number() const noexcept { return id_; }

  void complete(std::error_code code, const apply_result& result) override {
    if (at_->dead()) return;  // nobody hears it any more
    if (!code) owner_->check_visible(*at_, result.at.index);
    client& c = owner_->clients_[who_];
    // Too many answers are kept for it; this client doesn't wait for the one that it lacks.
    const bool full = what_.session == c.session && !c.waiting.empty() &&
                      c.sequence - c.waiting.front() >= max_kept_answers;
    if (code == errc::busy && full) c.session = 0;
    const bool answered = !code || code == errc::compare_failed || code == errc::session_expired;
    if (!answered) owner_->shared_.clients.on_refused(at_->id(), id_, code);
    if (!answered && try_again()) return end();
    owner_->shared_.clients.on_write(at_->id(), id_, code, result);
    if (!code && kind_ == call_kind::open_session) {
      c.session = result.revision;
      c.sequence = 0;
      c.waiting.clear();
      owner_->shared_.counts.add(counted::sessions_opened);
    }
    if (code == errc::session_expired && c.session == what_.session) c.session = 0;
    if (what_.session == c.session) std::erase(c.waiting, what_.sequence);
    if (!code || code == errc::compare_failed) {
      ++owner_->acknowledged_;
      c.token = std::max(c.token, result.revision);
    }
    end();
  }
  void lose() {
    if (!try_again()) {
      owner_->shared_.clients.on_lost(at_->id(), id_, errc::outcome_unknown);
      client& c = owner_->clients_[who_];
      if (what_.session == c.session) std::erase(c.waiting, what_.sequence);
    }
    end();
  }

 private:
  // A write of a session may be sent until its outcome is known; some clients give up before.
  bool try_again() {
    if (what_.session == 0 || what_.attempts >= 6 || !owner_->clients_active_) return false;
    ++what_.attempts;
    owner_->clients_[who_].again.push_back(what_);
    return true;
  }
  void end() {
    --owner_->clients_[who_].open;
    at_ = nullptr;
    owner_->free_writes_.push_back(this);
  }

  world* owner_ = nullptr;
  node* at_ = nullptr;  // null: in the pool
  std::uint32_t who_ = 0;
  history::call_id id_ = 0;
  call_kind kind_ = call_kind::put;
  write_again what_;
};

class world::read_call final : public read_operation {
 public:
  void begin(world& owner, node& at, std::uint32_t who, history::call_id number) {
    owner_ = &owner;
    at_ = &at;
    who_ = who;
    id_ = number;
  }
  [[nodiscard]] const node* at() const noexcept { return at_; }
  [[nodiscard]] history::call_id number() const noexcept { return id_; }

  void complete(std::error_code code) override {
    if (at_->dead()) return;
    if (code) return lose(code);
    const read_guard state = at_->map().read();
    owner_->shared_.clients.on_read(at_->id(), id_, state);
    client& c = owner_->clients_[who_];
    c.token = std::max(c.token, state.revision());
    if (mode == read_mode::read_index) ++owner_->fresh_reads_;
    end();
  }
  void lose(std::error_code code) {
    owner_->shared_.clients.on_lost(at_->id(), id_, code);
    end();
  }

 private:
  void end() {
    --owner_->clients_[who_].open;
    at_ = nullptr;
    owner_->free_reads_.push_back(this);
  }

  world* owner_ = nullptr;
  node* at_ = nullptr;
  std::uint32_t who_ = 0;
  history::call_id id_ = 0;
};

// Who is answered by the node that executed the write may read there at once.
CONFMAN_DECL void world::check_visible(const node& at, log_index written) const {
  if (at.executed() < written || at.map().revision() >= written.value()) return;
  shared_.log.fail(invariant::read_your_writes,
                   "node " + std::to_string(at.id().value()) + " answers the write at " +
                       std::to_string(written.value()) + ", readers there see the map at " +
                       std::to_string(at.map().revision()));
}

// Nothing waits longer than its caller does. Deadlines are looked at every few ticks.
CONFMAN_DECL void world::check_deadlines() const {
  constexpr tick_count late = 8;
  const auto check = [&](const char* what, const auto& call) {
    if (!call.at() || !call.at()->up() || call.at()->dead() || call.at()->now() <= call.deadline + late)
      return;
    shared_.log.fail(invariant::liveness,
                     std::string(what) + " waits on node " + std::to_string(call.at()->id().value()) +
                         " since its deadline, " + std::to_string(call.at()->now() - call.deadline) +
                         " ticks ago");
  };
  for (const write_call& w : writes_) check("a write", w);
  for (const read_call& r : reads_) check("a read", r);
  for (const change_call& c : changes_) check("a change of members", c);
}

CONFMAN_DECL void world::lose_calls(const node& n) {
  for (write_call& w : writes_)
    if (w.at() == &n) w.lose();
  for (read_call& r : reads_)
    if (r.at() == &n) r.lose(errc::stopped);
  for (change_call& c : changes_)
    if (c.at() == &n) c.lose();
}

// A client loses its patience. What it asked may happen all the same.
CONFMAN_DECL void world::cancel_one(dice& own) {
  const std::size_t count = writes_.size() + reads_.size();
  if (count == 0) return;
  const std::size_t i = own.below(count);
  const bool write = i < writes_.size();
  const node* at = write ? writes_[i].at() : reads_[i - writes_.size()].at();
  if (!at) return;
  node& n = *nodes_[at->id().value() - 1];
  if (n.paused() || n.dead()) return;
  shared_.counts.add(counted::cancellations);
  n.cancel(write ? writes_[i].number() : reads_[i - writes_.size()].number());
  after(n);
}

CONFMAN_DECL node* world::pick_running(dice& own) {
  const std::size_t first = own.below(nodes_.size());
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    node& n = *nodes_[(first + i) % nodes_.size()];
    if (n.up() && !n.paused() && !n.dead() && (is_member(n) || own.chance(100))) return &n;
  }
  return nullptr;
}

CONFMAN_DECL void world::client_turn(std::uint32_t who) {
  if (!clients_active_) return;
  send_again(who);
  const std::uint64_t calls = clients_[who].own.between(1, shared_.plan.burst);
  for (std::uint64_t i = 0; i < calls && clients_[who].open < shared_.plan.burst + 2; ++i) issue(who);
  if (clients_[who].own.chance(shared_.plan.cancellations)) cancel_one(clients_[who].own);
  shared_.time.schedule(1 + clients_[who].own.below(2 * shared_.plan.think_time),
                        {event_kind::client, 0, 0, who});
}

CONFMAN_DECL void world::issue(std::uint32_t who) {
  node* at = pick_running(clients_[who].own);
  if (!at) return;
  const auto key = static_cast<std::uint32_t>(clients_[who].own.below(shared_.plan.keys));
  if (clients_[who].own.chance(shared_.plan.reads)) {
    const auto kind = clients_[who].own.pick(call_kind::read_linearizable, call_kind::read_linearizable,
                                             call_kind::read_at_least, call_kind::read_local);
    issue_read(who, *at, kind, key);
  } else {
    const auto kind = clients_[who].own.pick(call_kind::put, call_kind::put, call_kind::put, call_kind::put,
                                             call_kind::exchange, call_kind::exchange, call_kind::erase,
                                             call_kind::compare_erase);
    if (clients_[who].own.chance(shared_.plan.uploads))
      upload(who, *at, key);
    else
      issue_write(who, *at, kind, key);
  }
  after(*at);
}

// Whatever it may have been told before: through any node.
CONFMAN_DECL void world::send_again(std::uint32_t who) {
  client& c = clients_[who];
  if (c.again.empty() || clients_[who].own.coin()) return;
  node* at = pick_running(clients_[who].own);
  if (!at) return;
  write_again what = std::move(c.again.front());
  c.again.pop_front();
  const auto call = what.call;
  shared_.clients.on_again(at->id(), call);
  submit_write(who, *at, call_kind::put, call, std::move(what));
  after(*at);
}

// A value in pieces, each by itself; what comes out of order is refused, and then the whole.
CONFMAN_DECL void world::upload(std::uint32_t who, node& at, std::uint32_t key) {
  history& calls = shared_.clients;
  const history::call_id id = calls.begin(at.id(), call_kind::put, key);
  const std::string name = history::key_name(key);
  const std::string value = calls.value_of(id);
  const std::size_t pieces = std::min<std::size_t>(value.size(), clients_[who].own.between(1, 4));
  command_view command;
  command.key = name;
  command.author = node_id(100 + who);
  command.upload = id;
  command.kind = command_kind::upload_piece;
  command.total_bytes = value.size();
  for (std::size_t i = 0, begin = 0, end = 0; i < pieces && !at.dead(); ++i, begin = end) {
    const std::size_t left = pieces - 1 - i;
    end = left == 0 ? value.size() : begin + clients_[who].own.between(1, value.size() - begin - left);
    const history::call_id piece = calls.begin(at.id(), call_kind::piece, key);
    command.offset = begin;
    command.value = std::string_view(value).substr(begin, end - begin);
    command.timestamp = calls.stamp(piece, command.author);
    submit_write(who, at, call_kind::piece, piece, {piece, 0, 0, encode(command), 0});
  }
  if (at.dead()) return calls.on_lost(at.id(), id, errc::stopped);
  command.kind = command_kind::put;
  command.value = {};
  command.total_bytes = command.offset = 0;
  command.timestamp = calls.stamp(id, command.author);
  calls.on_sent(id, command, value);
  submit_write(who, at, call_kind::put, id, {id, 0, 0, encode(command), 0});
}

CONFMAN_DECL void world::issue_write(std::uint32_t who, node& at, call_kind kind, std::uint32_t key) {
  history& calls = shared_.clients;
  client& c = clients_[who];
  const bool in_session = clients_[who].own.chance(shared_.plan.sessions);
  if (in_session && c.session == 0) kind = call_kind::open_session;
  if (in_session && c.session != 0 && c.own.chance(60)) kind = call_kind::upkeep;
  const history::call_id id = calls.begin(at.id(), kind, key);
  if (kind == call_kind::open_session) {
    command_view open;
    open.kind = command_kind::session_open;
    open.time_to_live_ms = shared_.plan.session_ttl_ms;
    open.timestamp = calls.stamp(id, at.id());
    open.author = at.id();
    return submit_write(who, at, kind, id, {id, 0, 0, encode(open), 0});
  }
  if (kind == call_kind::upkeep) {
    command_view upkeep;
    // In half of the worlds none is closed: some must live until they are full.
    const bool closes = id % 4 == 0 && shared_.plan.seed % 2 == 0;
    upkeep.kind = closes ? command_kind::session_close : command_kind::session_keep_alive;
    upkeep.session = c.session;
    upkeep.acknowledged = c.waiting.empty() ? c.sequence + 1 : c.waiting.front();
    upkeep.timestamp = calls.stamp(id, at.id());
    upkeep.author = at.id();
    return submit_write(who, at, kind, id, {id, 0, 0, encode(upkeep), 0});
  }
  const std::string name = history::key_name(key);
  const bool erases = kind == call_kind::erase || kind == call_kind::compare_erase;
  const std::string value = erases ? std::string() : calls.value_of(id);
  command_view command;
  command.kind = kind == call_kind::put             ? command_kind::put
                 : kind == call_kind::erase         ? command_kind::erase
                 : kind == call_kind::compare_erase ? command_kind::compare_erase
                                                    : command_kind::compare_exchange;
  command.key = name;
  command.value = value;
  command.timestamp = calls.stamp(id, at.id());
  if (in_session) {
    command.session = c.session;
    command.sequence = ++c.sequence;
    c.waiting.push_back(command.sequence);
    command.acknowledged = c.waiting.front();
  }
  command.author = at.id();
  if (kind == call_kind::exchange || kind == call_kind::compare_erase) {
    // Mostly what is there, sometimes what isn't.
    command.expected_revision = calls.revision_of(key);
    if (clients_[who].own.chance(200))
      command.expected_revision = clients_[who].own.below(calls.applied() + 2);
    shared_.counts.add(erases ? counted::compare_erases : counted::exchanges);
  } else {
    shared_.counts.add(kind == call_kind::put ? counted::puts : counted::erases);
  }
  calls.on_sent(id, command, value);
  submit_write(who, at, kind, id, {id, command.session, command.sequence, encode(command), 0});
}

CONFMAN_DECL void world::submit_write(std::uint32_t who, node& at, call_kind kind, std::uint64_t id,
                                      write_again what) {
  if (free_writes_.empty()) {
    writes_.emplace_back();
    free_writes_.push_back(&writes_.back());
  }
  write_call& call = *free_writes_.back();
  free_writes_.pop_back();
  call.command = what.command;
  call.repeatable = what.session != 0 && clients_[who].own.coin();
  if (call.repeatable) shared_.clients.may_repeat(id);
  call.begin(*this, at, who, id, kind, std::move(what));
  call.id = id;
  call.deadline = at.now() + clients_[who].own.between(1, 6) * shared_.plan.election_ticks;
  call.may_forward = clients_[who].own.chance(800);
  ++clients_[who].open;
  at.submit(static_cast<write_operation&>(call));
}

CONFMAN_DECL void world::issue_read(std::uint32_t who, node& at, call_kind kind, std::uint32_t key) {
  const std::uint64_t token = clients_[who].token;
  const history::call_id id = shared_.clients.begin(at.id(), kind, key, token);
  if (kind == call_kind::read_local) {
    const read_guard state = at.map().read();
    return shared_.clients.on_read(at.id(), id, state);
  }
  if (free_reads_.empty()) {
    reads_.emplace_back();
    free_reads_.push_back(&reads_.back());
  }
  read_call& call = *free_reads_.back();
  free_reads_.pop_back();
  call.begin(*this, at, who, id);
  call.id = id;
  call.mode = kind == call_kind::read_linearizable ? read_mode::read_index : read_mode::applied_version;
  call.token = {term_t{}, log_index(token)};
  call.deadline = at.now() + clients_[who].own.between(1, 6) * shared_.plan.election_ticks;
  ++clients_[who].open;
  at.submit(static_cast<read_operation&>(call));
}

}  // namespace confman::sim
