#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "confman/sim/applications.hpp"

namespace confman::sim {

// A running member, as its application sees it.
class applications::process final : public application_host {
 public:
  process(applications& all, node& at)
      : all_(all),
        at_(at),
        id_(at.id()),
        run_(at.run()),
        own_(dice(dice(all.world_.plan.seed).fork(6)).fork(at.id().value() * 1'000'000 + at.run())) {
    later(0, [this] { application_ = all_.suite_.start(*this); });
  }

  [[nodiscard]] node& at() const noexcept { return at_; }
  [[nodiscard]] dice& own() noexcept { return own_; }

  // As an event of this process: it waits while that is paused, and is lost when it ends.
  void later(micros delay, std::function<void()> what) {
    const std::uint32_t slot = next_++;
    waiting_.emplace(slot, std::move(what));
    all_.world_.time.schedule(
        delay, {event_kind::application, static_cast<std::uint8_t>(at_.id().value()), run_, slot});
  }
  void call_back(std::uint32_t slot) {
    const auto found = waiting_.find(slot);
    const std::function<void()> what = std::move(found->second);
    waiting_.erase(found);
    what();
  }

  // Nothing is to be told any more.
  void unwatch() {
    for (const auto& [number, watched] : watches_) at_.watches().remove(watched.first);
  }

  [[nodiscard]] node_id self() const override { return id_; }
  [[nodiscard]] std::optional<map_entry> get(std::string_view key) const override {
    return at_.map().read().get(key);
  }
  [[nodiscard]] std::vector<map_entry> list(std::string_view prefix) const override {
    std::vector<map_entry> found;
    const read_guard state = at_.map().read();
    state.for_each_prefix(prefix, [&found](const record& r) {
      found.emplace_back(r);
      return true;
    });
    return found;
  }
  void read_barrier(read_handler done) override { all_.submit(*this, std::move(done)); }
  void put(std::string_view key, std::string_view value, write_handler done) override {
    write(command_kind::put, key, value, 0, std::move(done));
  }
  void erase(std::string_view key, write_handler done) override {
    write(command_kind::erase, key, {}, 0, std::move(done));
  }
  void compare_exchange(std::string_view key, std::uint64_t expected_revision, std::string_view value,
                        write_handler done) override {
    write(command_kind::compare_exchange, key, value, expected_revision, std::move(done));
  }
  void compare_erase(std::string_view key, std::uint64_t expected_revision, write_handler done) override {
    write(command_kind::compare_erase, key, {}, expected_revision, std::move(done));
  }

  void watch(std::string_view prefix, watch_handler on_change) override {
    const std::uint64_t number = ++watch_count_;
    const auto added = at_.watches().add(prefix, std::nullopt, {}, [this, number] {
      later(1 + own_.below(1000), [this, number] { take(number); });
    });
    if (!added) {
      later(1, [tell = std::move(on_change), why = added.error()] {
        change_batch end;
        end.error = why;
        tell(end);
      });
      return;
    }
    watches_.emplace(number, std::pair(*added, std::move(on_change)));
  }
  void after(std::chrono::microseconds delay, std::function<void()> what) override {
    // The clocks of members differ, see node::tick_length().
    const auto asked = static_cast<micros>(std::max<std::chrono::microseconds::rep>(1, delay.count()));
    later(asked * at_.tick_length() / all_.world_.plan.tick, std::move(what));
  }
  [[nodiscard]] std::uint64_t random() override { return own_.next(); }

 private:
  void write(command_kind kind, std::string_view key, std::string_view value, std::uint64_t expected,
             write_handler done) {
    command_view command;
    command.kind = kind;
    command.key = key;
    command.value = value;
    command.expected_revision = expected;
    all_.submit(*this, command, std::move(done));
  }
  void take(std::uint64_t number) {
    for (bool more = true; more;) {
      const auto found = watches_.find(number);
      if (found == watches_.end()) return;
      const change_batch batch = at_.watches().take(found->second.first);
      more = batch.more && !batch.error;
      const watch_handler tell = found->second.second;
      if (batch.error) {
        at_.watches().remove(found->second.first);
        watches_.erase(found);
      }
      if (!batch.changes.empty() || batch.error) tell(batch);
    }
  }

  applications& all_;
  node& at_;
  const node_id id_;  // at the end of the world the node goes first
  std::uint32_t run_;
  dice own_;
  std::uint32_t next_ = 0;
  std::uint64_t watch_count_ = 0;
  std::map<std::uint32_t, std::function<void()>> waiting_;
  std::map<std::uint64_t, std::pair<watch_id, watch_handler>> watches_;
  std::unique_ptr<application> application_;  // the first to go
};

class applications::write_call final : public write_operation {
 public:
  void begin(applications& all, process& from, history::call_id number,
             application_host::write_handler done) {
    all_ = &all;
    from_ = &from;
    number_ = number;
    done_ = std::move(done);
  }
  [[nodiscard]] const process* from() const noexcept { return from_; }

  void complete(std::error_code code, const apply_result& result) override {
    const node& at = from_->at();
    if (at.dead()) return;  // nobody hears it any more
    all_->world_.clients.on_write(at.id(), number_, code, result);
    const std::uint64_t revision = code == errc::compare_failed ? result.previous_revision : result.revision;
    from_->later(1 + from_->own().below(50),
                 [tell = std::move(done_), code, revision] { tell(code, revision); });
    end();
  }
  void lose() {
    all_->world_.clients.on_lost(from_->at().id(), number_, errc::outcome_unknown);
    end();
  }

 private:
  void end() {
    from_ = nullptr;
    done_ = nullptr;
    all_->free_writes_.push_back(this);
  }

  applications* all_ = nullptr;
  process* from_ = nullptr;  // null: in the pool
  history::call_id number_ = 0;
  application_host::write_handler done_;
};

class applications::read_call final : public read_operation {
 public:
  void begin(applications& all, process& from, history::call_id number, application_host::read_handler done) {
    all_ = &all;
    from_ = &from;
    number_ = number;
    done_ = std::move(done);
  }
  [[nodiscard]] const process* from() const noexcept { return from_; }

  void complete(std::error_code code) override {
    const node& at = from_->at();
    if (at.dead()) return;
    if (code)
      all_->world_.clients.on_lost(at.id(), number_, code);
    else
      all_->world_.clients.on_read(at.id(), number_, at.map().read());
    from_->later(1 + from_->own().below(50), [tell = std::move(done_), code] { tell(code); });
    end();
  }
  void lose() {
    all_->world_.clients.on_lost(from_->at().id(), number_, errc::stopped);
    end();
  }

 private:
  void end() {
    from_ = nullptr;
    done_ = nullptr;
    all_->free_reads_.push_back(this);
  }

  applications* all_ = nullptr;
  process* from_ = nullptr;  // null: in the pool
  history::call_id number_ = 0;
  application_host::read_handler done_;
};

CONFMAN_DECL applications::applications(environment& world)
    : world_(world), processes_(world.plan.nodes + world.plan.spares + 1) {}

CONFMAN_DECL applications::~applications() = default;

CONFMAN_DECL void applications::started(node& n) {
  if (used()) processes_[n.id().value()] = std::make_unique<process>(*this, n);
}

CONFMAN_DECL void applications::crashed(const node& n) {
  std::unique_ptr<process> gone = std::move(processes_[n.id().value()]);
  if (!gone) return;
  gone->unwatch();
  for (write_call& w : writes_)
    if (w.from() == gone.get()) w.lose();
  for (read_call& r : reads_)
    if (r.from() == gone.get()) r.lose();
  gone.reset();
  check();
}

CONFMAN_DECL void applications::call_back(const event& e) {
  if (stopped_) return;
  processes_[e.node]->call_back(e.slot);
  check();
}

CONFMAN_DECL void applications::check() const {
  if (!suite_.always) return;
  if (const std::string wrong = suite_.always(); !wrong.empty())
    world_.log.fail(invariant::application, wrong);
}

CONFMAN_DECL void applications::finish(const map_view& final_state) const {
  if (!suite_.at_end) return;
  if (const std::string wrong = suite_.at_end(final_state); !wrong.empty())
    world_.log.fail(invariant::application, wrong);
}

CONFMAN_DECL void applications::submit(process& from, command_view command,
                                       application_host::write_handler done) {
  node& at = from.at();
  if (at.dead()) return;  // in the middle of what it did its power went
  if (free_writes_.empty()) {
    writes_.emplace_back();
    free_writes_.push_back(&writes_.back());
  }
  write_call& call = *free_writes_.back();
  free_writes_.pop_back();
  const history::call_id number = world_.clients.begin(at.id(), call_kind::application, 0);
  command.author = at.id();
  command.timestamp = world_.clients.stamp(number, at.id());
  world_.clients.on_sent(number, command, command.value);
  call.command = encode(command);
  call.begin(*this, from, number, std::move(done));
  call.id = number;
  call.deadline = at.now() + from.own().between(1, 6) * world_.plan.election_ticks;
  at.submit(static_cast<write_operation&>(call));
}

CONFMAN_DECL void applications::submit(process& from, application_host::read_handler done) {
  node& at = from.at();
  if (at.dead()) return;
  if (free_reads_.empty()) {
    reads_.emplace_back();
    free_reads_.push_back(&reads_.back());
  }
  read_call& call = *free_reads_.back();
  free_reads_.pop_back();
  const history::call_id number = world_.clients.begin(at.id(), call_kind::read_linearizable, 0);
  call.begin(*this, from, number, std::move(done));
  call.id = number;
  call.mode = read_mode::read_index;
  call.deadline = at.now() + from.own().between(1, 6) * world_.plan.election_ticks;
  at.submit(static_cast<read_operation&>(call));
}

}  // namespace confman::sim
