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
      tick_length_(world.plan.tick),
      settings_dice_(dice(world.plan.seed).fork(400 + id.value())),
      slow_(settings_dice_.chance(world.plan.slow_nodes)),
      memory_(id, settings_, world.log),
      transfers_(id, world.log) {
  choose_settings();
  const unsigned drift = world.plan.drift;
  tick_length_ = world.plan.tick * (1000 - drift + dice_.below(2 * drift + 1)) / 1000;
}

CONFMAN_DECL void node::choose_settings() {
  settings_ = draw_settings(world_.plan, settings_dice_);
  if (slow_) settings_ = slowed(settings_);
}

CONFMAN_DECL log_options node::options_of_log() const {
  log_options o;
  o.cluster = detail::simulated_cluster;
  o.node = id_;
  o.group = group_id(1);
  o.fresh_incarnation = incarnation();
  o.segment_bytes = settings_.segment_bytes;
  o.recycled_segments = settings_.recycled_segments;
  o.prepare_ahead = settings_.prepare_ahead;
  return o;
}

CONFMAN_DECL group_options node::options_of_group(const recovered_log& found) const {
  const scenario& plan = settings_;
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
  o.raft.max_uncommitted_bytes = plan.max_uncommitted_bytes;
  o.raft.max_window_bytes = plan.max_window_bytes;
  o.max_waiting = memory_check::max_waiting;
  o.raft.max_cached_bytes = plan.cached_bytes;
  o.raft.promotion_lag = plan.promotion_lag;
  o.raft.priority_check_ticks = plan.priority_check_ticks;
  o.snapshots.log_entries = plan.snapshot_entries == 0 ? ~std::uint64_t{0} : plan.snapshot_entries;
  o.snapshots.log_bytes = ~std::uint64_t{0};
  o.snapshots.tail_entries = plan.tail_entries;
  o.snapshots.tail_bytes = ~std::uint64_t{0};
  o.snapshots.transfer.piece_bytes = plan.piece_bytes;
  o.snapshots.transfer.window = plan.piece_window;
  o.snapshots.transfer.bytes_per_tick = plan.transfer_bytes_per_tick;
  o.snapshots.transfer.retry = plan.election_ticks;
  o.snapshots.transfer.give_up = 10 * plan.election_ticks;
  if (joins_) {
    o.join.contacts = contacts_;
    o.join.request.as_learner = as_learner_;
    o.join.request.priority = priority_;
  }
  return o;
}

CONFMAN_DECL snapshot_options node::options_of_snapshots() const {
  snapshot_options o;
  o.cluster = detail::simulated_cluster;
  o.group = group_id(1);
  o.sync_bytes = settings_.snapshot_sync_bytes;
  return o;
}

CONFMAN_DECL configuration node::bootstrap() const {
  configuration members;
  if (joins_) return members;
  for (unsigned i = 1; i <= settings_.nodes; ++i) members.incoming.push_back({node_id(i), {}});
  return members;
}

CONFMAN_DECL bool node::start() {
  ++run_;
  world_.log.note(step::start, id_, run_);
  errors_before_ = disk_.counted().errors;
  // Now and then it comes back with other settings.
  if (settings_.mixed && settings_dice_.chance(250)) choose_settings();
  recovered_log found;
  result<log<disk>> opened = log<disk>::open(disk_, detail::data_directory, options_of_log(), found);
  if (fuse_.blown()) return false;
  if (!opened) {
    failed_ = true;
    if (disk_.counted().errors != errors_before_ || damage_noticed(opened.error())) return false;
    world_.log.fail(invariant::harness,
                    "node " + std::to_string(id_.value()) +
                        " can't open its log after a loss of power: " + opened.error().what);
  }
  log_.emplace(std::move(*opened));
  if (std::exchange(tail_hurt_, false)) disk_.accept_damage();
  map_.emplace(history_limits{settings_.watch_history_changes, settings_.watch_history_bytes},
               settings_.max_sessions);
  std::optional<snapshot_file> newest;
  if (!open_snapshots(found, newest)) return false;
  world_.judge.on_recovered(id_, found, false, disk_.rotten());
  synced_state_ = found.state;
  tail_syncs_ = 0;
  published_ = executed_ = log_index{};
  was_member_ = false;
  snapshotting_ = false;
  snapshot_begun_ = log_index{};
  const group_options options = options_of_group(found);
  memory_.restart(options.raft, log_->segment_count(), log_->first_index(), log_->last_index());
  transfers_.restart(options.snapshots.transfer);
  group_.emplace(options, bootstrap(), std::move(found), transport_, storage_, *map_,
                 static_cast<group_observer&>(*this), newest);
  world_.judge.on_start(id_, core());
  world_.clients.restarted(id_);
  note_published();
  schedule(event_kind::tick, dice_.below(tick_length_) + 1);
  pump();
  return !dead();
}

// As the runtime does it: the newest snapshot is loaded, and what was released must be in it.
CONFMAN_DECL bool node::open_snapshots(recovered_log& found, std::optional<snapshot_file>& newest) {
  const auto refuse = [this](const failure& why) {
    if (fuse_.blown()) return false;
    failed_ = true;
    if (disk_.counted().errors != errors_before_ || damage_noticed(why)) return false;
    world_.log.fail(invariant::harness, "node " + std::to_string(id_.value()) +
                                            " can't open its snapshots after a loss of power: " + why.what);
  };
  const std::shared_ptr<disk> system(std::shared_ptr<void>(), &disk_);
  auto opened =
      snapshot_worker<disk>::open(system, detail::data_directory, options_of_snapshots(), never_cancelled_);
  if (!opened) return refuse(opened.error());
  worker_ = std::move(*opened);
  auto loaded = worker_->load_newest();
  if (!loaded) return refuse(loaded.error());
  if (*loaded) {
    found.snapshot = (*loaded)->meta;
    newest = (*loaded)->file;
    map_->adopt(std::move((*loaded)->map));
  } else if (found.base.index) {
    for (const failure& why : worker_->store().damaged()) return refuse(why);
  }
  if (const failure bad = check_recovered(found)) return refuse(bad);
  return !fuse_.blown();
}

CONFMAN_DECL void node::wipe(bool joins) {
  ++wipes_;
  forgetful_ = loss_noticed_ = tail_hurt_ = false;
  tail_syncs_ = 0;
  joins_ = joins;
  disk_.wipe();
  world_.log.note(step::wiped, id_, wipes_);
  world_.judge.on_wiped(id_);
}

CONFMAN_DECL void node::leave() {
  leaving_ = true;
  leaves_in_ = core().term();
  if (leads()) world_.counts.add(counted::leaders_stopped);
  group_->hand_over();
  hands_over_to_ = core().transferring_to();
  world_.log.note(step::leaves, id_, hands_over_to_.value());
  pump();
  go_on_leaving();
}

// At each tick, as the runtime does. A hand-over that nobody takes is given up after an election timeout.
CONFMAN_DECL void node::go_on_leaving() {
  if (dead() || group_->stopped() || group_->handing_over()) return;
  const bool handed_over = hands_over_to_ && !leads() && core().term() > leaves_in_ &&
                           (core().vote() == hands_over_to_ || core().leader() == hands_over_to_);
  world_.log.note(step::stopped, id_, handed_over);
  if (handed_over) world_.counts.add(counted::stops_handed_over);
  group_->stop();
}

CONFMAN_DECL void node::crash(survival mode, std::uint64_t seed) {
  world_.log.note(step::crash, id_, static_cast<std::uint64_t>(mode));
  if (left()) map_->watches().close();
  group_.reset();
  fetches_.clear();
  jobs_.clear();
  worker_.reset();
  map_.reset();
  log_.reset();
  disk_.power_off(mode, seed);
  fuse_.reset();
  ++run_;  // what was scheduled for the old process is void
  paused_ = failed_ = leaving_ = pump_scheduled_ = maintenance_scheduled_ = writing_now_ = false;
  stalled_until_ = frozen_ticks_ = 0;
  backlog_.clear();
  writing_ = {};
  write_failure_ = {};
}

CONFMAN_DECL void node::schedule(event_kind kind, micros delay) {
  world_.time.schedule(delay, {kind, static_cast<std::uint8_t>(id_.value()), run_, 0});
}

CONFMAN_DECL void node::tick() {
  schedule(event_kind::tick, tick_length_);
  if (frozen_ticks_ != 0) {
    --frozen_ticks_;
    return;
  }
  pass_tick();
  check_disk_watched();
  was_member_ = was_member_ || (core().members().contains(id_) && !core().change_under_way());
  after_input();
  if (leaving_) go_on_leaving();
}

CONFMAN_DECL void node::jump(std::uint64_t ticks) {
  world_.log.note(step::clock_jump, id_, ticks);
  for (std::uint64_t i = 0; i < ticks; ++i) pass_tick();
  after_input();
}

CONFMAN_DECL void node::cancel(std::uint64_t operation) {
  group_->cancel(operation, errc::timed_out);
  after_input();
}

CONFMAN_DECL void node::unreachable(node_id peer) {
  if (group_->stopped()) return;
  world_.log.note(step::unreachable, id_, peer.value());
  world_.counts.add(counted::unreachable_peers);
  group_->unreachable(peer);
  after_input();
}

CONFMAN_DECL void node::receive(message&& m) {
  if (group_->stopped()) return;
  const node_id from = m.from;
  const std::size_t type = m.body.index();
  world_.log.note(step::delivered, id_, from.value(), m.term.value() << 8 | type, digest(m));
  if (const auto* piece = std::get_if<snapshot_piece>(&m.body); piece && piece->at.index <= core().commit())
    world_.counts.add(counted::late_pieces);
  if (const auto* answer = std::get_if<snapshot_piece_response>(&m.body)) transfers_.on_answer(from, *answer);
  check_refusals(m);
  log_index told;  // what this node has acknowledged, says a leader
  if (const auto* beat = std::get_if<heartbeat>(&m.body)) told = beat->commit;
  if (const auto* notice = std::get_if<commit_notice>(&m.body)) told = notice->commit;
  const term_t term = m.term;
  const std::error_code error = group_->receive(std::move(m));
  if (!error && term == core().term()) check_told(from, told);
  // Who was removed or has lost its disk isn't listened to.
  const bool stranger = (error == errc::unknown_peer || error == errc::wrong_incarnation) &&
                        (settings_.churn_interval != 0 || (settings_.faults & fault::wipe) != 0);
  if (stranger) world_.counts.add(counted::strangers);
  if (error && error != errc::busy && !stranger && !dead())
    world_.log.fail(invariant::harness, "node " + std::to_string(id_.value()) + " refuses a " +
                                            message_name(type) + " of node " + std::to_string(from.value()) +
                                            ": " + error.message());
  if (!dead() && type == type_of<append_ok>) world_.judge.on_acknowledged(id_, from, core());
  after_input();
}

CONFMAN_DECL void node::submit(write_operation& operation) {
  if (leaving_) return operation.complete(errc::stopped, {});
  group_->submit(operation);
  after_input();
}

CONFMAN_DECL void node::submit(read_operation& operation) {
  if (leaving_) return operation.complete(errc::stopped);
  group_->submit(operation);
  after_input();
}

CONFMAN_DECL void node::submit(cluster_operation& operation) {
  if (leaving_) return operation.complete(failure(errc::stopped), {});
  group_->submit(operation);
  after_input();
}

// The runtime takes what is in its queue and then pumps once.
CONFMAN_DECL void node::after_input() {
  if (dead()) return;
  check_step();
  if (settings_.pump_delay == 0) return pump();
  if (pump_scheduled_) return;
  pump_scheduled_ = true;
  schedule(event_kind::pump, settings_.pump_delay);
}

CONFMAN_DECL void node::pump() {
  pump_scheduled_ = false;
  const bool more = group_->pump();
  if (dead()) return;
  check_step();
  memory_.on_pumped(core());
  note_published();
  if (!more) return;
  pump_scheduled_ = true;
  schedule(event_kind::pump, 1);
}

CONFMAN_DECL void node::note_published() {
  if (core().applied() == published_) return;
  published_ = core().applied();
  const read_guard state = map_->read();
  if (state.revision() != published_.value())
    world_.log.fail(invariant::state_machine_safety, "node " + std::to_string(id_.value()) +
                                                         " has published " +
                                                         std::to_string(state.revision()) + " and applied " +
                                                         std::to_string(published_.value()));
  world_.judge.on_published(id_, published_, state.replica_hash());
  if (published_.value() != world_.clients.applied()) return;
  if (const std::size_t kept = map_->memory().uploads; kept != world_.clients.uploads())
    world_.log.fail(invariant::bounded_memory, "node " + std::to_string(id_.value()) + " keeps " +
                                                   std::to_string(kept) + " values in pieces at " +
                                                   std::to_string(published_.value()) + ", of which " +
                                                   std::to_string(world_.clients.uploads()) + " are needed");
}

// --- effects

CONFMAN_DECL void node::send(message&& m) {
  const effect_fuse::spark spark = fuse_.burn();
  if (spark == effect_fuse::spark::before || failed_) return;
  check_sent(m);
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
  write_began_ = now();
  schedule(event_kind::append, settings_.append_time + dice_.below(settings_.append_time + 1));
}

CONFMAN_DECL void node::on_applied(const entry& e, const apply_result& result) {
  const effect_fuse::spark spark = fuse_.burn();
  if (spark == effect_fuse::spark::before || failed_) return;
  executed_ = e.index;
  world_.clients.on_applied(id_, e, result);
}

CONFMAN_DECL void node::on_role(role r, term_t term, node_id leader) {
  if (!dead()) world_.log.note(step::role, id_, static_cast<std::uint64_t>(r), term.value(), leader.value());
}

CONFMAN_DECL void node::on_failed(const failure& why) {
  if (fuse_.blown()) return;
  failed_ = true;
  world_.log.note(step::failed, id_, static_cast<std::uint64_t>(why.code.value()));
  // An emptied directory that was filled a little by those who didn't know, or one that has forgotten its
  // end.
  const bool emptied = (wipes_ != 0 || forgetful_) && why.code == errc::log_damaged;
  if (emptied && forgetful_) {
    loss_noticed_ = true;
    world_.counts.add(counted::forgetful_stopped);
  }
  if (disk_.counted().errors == errors_before_ && !emptied)
    world_.log.fail(invariant::harness, "node " + std::to_string(id_.value()) + " has failed: " + why.what);
}

CONFMAN_DECL void node::on_members(const configuration& members) {
  if (dead()) return;
  const auto bits = [](const std::vector<member>& list) {
    std::uint64_t all = 0;
    for (const member& m : list) all |= std::uint64_t{1} << m.id.value();
    return all;
  };
  world_.log.note(step::members, id_, core().members_at().value(), bits(members.incoming),
                  bits(members.outgoing));
}

CONFMAN_DECL void node::on_installed(const snapshot_meta& meta) {
  if (dead()) return;
  world_.counts.add(counted::snapshots_installed);
  world_.log.note(step::installed, id_, meta.at.index.value(), meta.at.term.value());
}

CONFMAN_DECL void node::on_event(const failure& event) {
  if (!dead()) world_.log.note(step::event, id_, static_cast<std::uint64_t>(event.code.value()));
}

CONFMAN_DECL void node::on_refused(node_id by) {
  if (dead()) return;
  world_.log.note(step::refused, id_, by.value());
  if (wipes_ == 0)
    world_.log.fail(invariant::harness, "node " + std::to_string(id_.value()) + " is refused by node " +
                                            std::to_string(by.value()) + ", with its own disk");
}

}  // namespace confman::sim
