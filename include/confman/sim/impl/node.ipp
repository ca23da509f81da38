#pragma once

#include <algorithm>

#include "confman/sim/node.hpp"

namespace confman::sim {

namespace detail {

inline constexpr cluster_id simulated_cluster{0xC0FFEE};
inline constexpr const char* data_directory = "data";

}  // namespace detail

CONFMAN_DECL node::node(environment& world, node_id id)
    : world_(world),
      id_(id),
      dice_(dice(world.plan.seed).fork(100 + id.value())),
      disk_(dice(world.plan.seed).fork(200 + id.value()).next(), fuse_),
      tick_length_(world.plan.tick) {
  const unsigned drift = world.plan.drift;
  tick_length_ = world.plan.tick * (1000 - drift + dice_.below(2 * drift + 1)) / 1000;
}

CONFMAN_DECL log_options node::options_of_log() const {
  log_options o;
  o.cluster = detail::simulated_cluster;
  o.node = id_;
  o.group = group_id(1);
  o.fresh_incarnation = incarnation_id(0xA000 + id_.value());
  o.segment_bytes = world_.plan.segment_bytes;
  o.recycled_segments = world_.plan.recycled_segments;
  o.prepare_ahead = world_.plan.prepare_ahead;
  return o;
}

CONFMAN_DECL group_options node::options_of_group(const recovered_log& found) const {
  const scenario& plan = world_.plan;
  group_options o;
  o.raft.cluster = detail::simulated_cluster;
  o.raft.group = group_id(1);
  o.raft.self = id_;
  o.raft.incarnation = found.incarnation;
  o.raft.boot = found.boot;
  o.raft.seed = dice(plan.seed).fork(300 + id_.value() * 1000 + run_).next();
  o.raft.heartbeat_ticks = plan.heartbeat_ticks;
  o.raft.election_ticks = plan.election_ticks;
  o.raft.max_append_entries = plan.max_append_entries;
  o.raft.max_append_bytes = plan.max_append_bytes;
  o.raft.max_window_appends = plan.max_window_appends;
  o.raft.max_apply_entries = plan.max_apply_entries;
  o.raft.max_uncommitted_entries = plan.max_uncommitted_entries;
  o.max_waiting = 64;
  return o;
}

CONFMAN_DECL configuration node::bootstrap() const {
  configuration members;
  for (unsigned i = 1; i <= world_.plan.nodes; ++i) members.incoming.push_back({node_id(i), {}});
  return members;
}

CONFMAN_DECL bool node::start() {
  ++run_;
  world_.log.note(step::start, id_, run_);
  errors_before_ = disk_.counted().errors;
  recovered_log found;
  result<log<disk>> opened = log<disk>::open(disk_, detail::data_directory, options_of_log(), found);
  if (fuse_.blown()) return false;
  if (!opened) {
    failed_ = true;
    if (disk_.counted().errors != errors_before_ || disk_.rotten()) return false;
    world_.log.fail(invariant::harness,
                    "node " + std::to_string(id_.value()) +
                        " can't open its log after a loss of power: " + opened.error().what);
  }
  world_.judge.on_recovered(id_, found, false);
  log_.emplace(std::move(*opened));
  map_.emplace(history_limits{});
  published_ = log_index{};
  const group_options options = options_of_group(found);
  group_.emplace(options, bootstrap(), std::move(found), transport_, storage_, *map_,
                 static_cast<group_observer&>(*this));
  world_.judge.on_start(id_, core());
  schedule(event_kind::tick, dice_.below(tick_length_) + 1);
  pump();
  return !dead();
}

CONFMAN_DECL void node::stop() {
  world_.log.note(step::stopped, id_);
  group_->stop();
}

CONFMAN_DECL void node::crash(survival mode) {
  world_.log.note(step::crash, id_, static_cast<std::uint64_t>(mode));
  group_.reset();
  map_.reset();
  log_.reset();
  disk_.power_off(mode);
  fuse_.reset();
  ++run_;  // what was scheduled for the old process is void
  paused_ = failed_ = pump_scheduled_ = maintenance_scheduled_ = writing_now_ = false;
  stalled_until_ = 0;
  backlog_.clear();
  writing_ = {};
  write_failure_ = {};
}

CONFMAN_DECL void node::schedule(event_kind kind, micros delay) {
  world_.time.schedule(delay, {kind, static_cast<std::uint8_t>(id_.value()), run_, 0});
}

CONFMAN_DECL void node::tick() {
  schedule(event_kind::tick, tick_length_);
  group_->tick();
  after_input();
}

CONFMAN_DECL void node::jump(std::uint64_t ticks) {
  world_.log.note(step::clock_jump, id_, ticks);
  for (std::uint64_t i = 0; i < ticks; ++i) group_->tick();
  after_input();
}

CONFMAN_DECL void node::cancel(std::uint64_t operation) {
  group_->cancel(operation, errc::timed_out);
  after_input();
}

CONFMAN_DECL void node::receive(message&& m) {
  const node_id from = m.from;
  const std::size_t type = m.body.index();
  world_.log.note(step::delivered, id_, from.value(), m.term.value() << 8 | type, digest(m));
  const std::error_code error = group_->receive(std::move(m));
  if (error && error != errc::busy && !dead())
    world_.log.fail(invariant::harness, "node " + std::to_string(id_.value()) + " refuses a " +
                                            message_name(type) + " of node " + std::to_string(from.value()) +
                                            ": " + error.message());
  if (!dead() && type == type_of<append_ok>) world_.judge.on_acknowledged(id_, from, core());
  after_input();
}

CONFMAN_DECL void node::submit(write_operation& operation) {
  group_->submit(operation);
  after_input();
}

CONFMAN_DECL void node::submit(read_operation& operation) {
  group_->submit(operation);
  after_input();
}

// The runtime takes what is in its queue and then pumps once.
CONFMAN_DECL void node::after_input() {
  if (dead()) return;
  world_.judge.on_step(id_, core());
  if (world_.plan.pump_delay == 0) return pump();
  if (pump_scheduled_) return;
  pump_scheduled_ = true;
  schedule(event_kind::pump, world_.plan.pump_delay);
}

CONFMAN_DECL void node::pump() {
  pump_scheduled_ = false;
  const bool more = group_->pump();
  if (dead()) return;
  world_.judge.on_step(id_, core());
  if (core().applied() != published_) {
    published_ = core().applied();
    const read_guard state = map_->read();
    if (state.revision() != published_.value())
      world_.log.fail(invariant::state_machine_safety,
                      "node " + std::to_string(id_.value()) + " has published " +
                          std::to_string(state.revision()) + " and applied " +
                          std::to_string(published_.value()));
    world_.judge.on_published(id_, published_, state.state_hash());
  }
  if (!more) return;
  pump_scheduled_ = true;
  schedule(event_kind::pump, 1);
}

// --- effects

CONFMAN_DECL void node::send(message&& m) {
  const effect_fuse::spark spark = fuse_.burn();
  if (spark == effect_fuse::spark::before || failed_) return;
  world_.judge.on_send(id_, m, core());
  if (std::holds_alternative<forward_request>(m.body)) world_.counts.add(counted::forwards);
  world_.net.send(std::move(m));
}

CONFMAN_DECL void node::write(write_batch&& batch) {
  if (dead()) return;
  if (writing_now_)
    world_.log.fail(invariant::harness, "the group hands out a write while another is in flight");
  world_.log.note(step::write, id_, batch.truncate_from ? batch.truncate_from->value() : 0,
                  batch.entries.size(), batch.entries.empty() ? 0 : batch.entries.back().index.value());
  world_.judge.on_write(id_, batch, core());
  writing_ = std::move(batch);
  writing_now_ = true;
  schedule(event_kind::append, world_.plan.append_time + dice_.below(world_.plan.append_time + 1));
}

CONFMAN_DECL void node::on_applied(const entry& e, const apply_result& result) {
  const effect_fuse::spark spark = fuse_.burn();
  if (spark == effect_fuse::spark::before || failed_) return;
  world_.clients.on_applied(id_, e, result);
}

CONFMAN_DECL void node::disk_event(event_kind kind) {
  if (world_.time.now() < stalled_until_) {
    // Looked at again now and then, so that a stall can be ended early.
    const micros left = stalled_until_ - world_.time.now();
    return schedule(kind, std::min(left, world_.plan.tick * world_.plan.election_ticks / 4 + 1));
  }
  const std::size_t segments = log_->segment_count();
  switch (kind) {
    case event_kind::append: {
      world_.judge.on_append(id_, writing_);
      if (const failure f = log_->append(writing_)) return disk_failed(f);
      world_.log.note(step::appended, id_, log_->last_index().value());
      schedule(event_kind::sync, world_.plan.sync_time / 2 + dice_.below(world_.plan.sync_time + 1));
      break;
    }
    case event_kind::sync: {
      if (const failure f = log_->sync()) return disk_failed(f);
      world_.judge.on_synced(id_);
      if (dice_.chance(15)) check_shadow();
      schedule(event_kind::persisted, dice_.below(50));
      break;
    }
    case event_kind::persisted: {
      writing_now_ = false;
      group_->persisted(writing_.seq, write_failure_);
      if (world_.plan.maintain && !maintenance_scheduled_ && !dead()) {
        maintenance_scheduled_ = true;
        schedule(event_kind::maintain, 1000);
      }
      after_input();
      break;
    }
    default: {
      maintenance_scheduled_ = false;
      if (writing_now_ || write_failure_) break;
      const result<bool> more = log_->maintain();
      if (!more && !fuse_.blown() && disk_.counted().errors == errors_before_) disk_failed(more.error());
      if (more && *more) {
        maintenance_scheduled_ = true;
        schedule(event_kind::maintain, 200);
      }
      break;
    }
  }
  if (log_ && log_->segment_count() > segments)
    world_.counts.add(counted::segment_changes, log_->segment_count() - segments);
}

CONFMAN_DECL void node::disk_failed(const failure& f) {
  if (fuse_.blown()) return;
  if (disk_.counted().errors == errors_before_)
    world_.log.fail(invariant::harness,
                    "node " + std::to_string(id_.value()) + ": its log fails on a good disk: " + f.what);
  write_failure_ = f;
  schedule(event_kind::persisted, dice_.below(50));
}

// The platter as it is, read by the real recovery: what was synced must be there, and nothing else.
CONFMAN_DECL void node::check_shadow() {
  effect_fuse fuse;
  disk copy(1, fuse);
  disk_.copy_durable_to(copy);
  recovered_log found;
  world_.counts.add(counted::shadow_recoveries);
  const result<log<disk>> opened = log<disk>::open(copy, detail::data_directory, options_of_log(), found);
  if (!opened)
    world_.log.fail(invariant::durable_first,
                    "node " + std::to_string(id_.value()) +
                        ": its platter after a sync is no log: " + opened.error().what);
  world_.judge.on_recovered(id_, found, true);
}

// --- reports

CONFMAN_DECL void node::on_role(role r, term_t term, node_id leader) {
  if (!dead()) world_.log.note(step::role, id_, static_cast<std::uint64_t>(r), term.value(), leader.value());
}

CONFMAN_DECL void node::on_failed(const failure& why) {
  if (fuse_.blown()) return;
  failed_ = true;
  world_.log.note(step::failed, id_, static_cast<std::uint64_t>(why.code.value()));
  if (disk_.counted().errors == errors_before_)
    world_.log.fail(invariant::harness, "node " + std::to_string(id_.value()) + " has failed: " + why.what);
}

CONFMAN_DECL void node::on_refused(node_id by) {
  if (!dead())
    world_.log.fail(invariant::harness, "node " + std::to_string(id_.value()) + " is refused by node " +
                                            std::to_string(by.value()) + ", with its own disk");
}

}  // namespace confman::sim
