// What a node's disk does: entries read back, snapshots taken, sent and received, the log's upkeep.
#pragma once

#include <optional>
#include <utility>
#include <variant>

#include "confman/sim/node.hpp"

namespace confman::sim {

CONFMAN_DECL void node::fetch(const entry_fetch& what) {
  if (dead()) return;
  fetches_.push_back({what, {}});
  schedule(event_kind::fetch, settings_.append_time + dice_.below(settings_.append_time + 1));
}

CONFMAN_DECL void node::do_fetch() {
  for (fetch_job& f : fetches_) {
    if (f.outcome) continue;
    f.outcome.emplace(log_->read(f.what.from, f.what.last, f.what.max_bytes));
    if (!fuse_.blown()) check_fetched(f);
    break;
  }
  schedule(event_kind::fetched, dice_.below(50));
}

CONFMAN_DECL void node::finish_fetch() {
  fetch_job done = std::move(fetches_.front());
  fetches_.pop_front();
  world_.log.note(step::fetched, id_, done.what.peer.value(), done.what.from.value(),
                  *done.outcome ? (*done.outcome)->size() : 0);
  world_.counts.add(counted::fetches);
  group_->fetched(done.what, std::move(*done.outcome));
  after_input();
}

CONFMAN_DECL void node::take_snapshot(map_capture&& state, const snapshot_meta& meta) {
  if (dead()) return;
  world_.log.note(step::snapshot_begun, id_, meta.at.index.value());
  world_.judge.on_captured(id_, meta, state.replica_hash());
  if (dice_.chance(settings_.round_trips)) check_round_trip(state);
  snapshotting_ = true;
  snapshot_begun_ = meta.at.index;
  add_job(take_job{std::move(state), meta, {}});
}

CONFMAN_DECL void node::add_job(job&& what) {
  if (dead()) return;
  jobs_.push_back(std::move(what));
  if (jobs_.size() == 1)
    schedule(event_kind::work, settings_.append_time + dice_.below(settings_.sync_time + 1));
}

// The platter is compared only while nothing is written: a write that fails may have reached it (seed
// 1711661).
CONFMAN_DECL void node::do_job() {
  if (auto* take = std::get_if<take_job>(&jobs_.front())) {
    take->outcome.emplace(worker_->take(std::move(take->state), take->meta));
    if (*take->outcome && !fuse_.blown()) {
      world_.judge.on_snapshot_durable(id_, take->meta);
      if (dice_.chance(30) && !writing_now_) check_shadow();
    }
  } else if (auto* read = std::get_if<read_job>(&jobs_.front())) {
    const std::uint64_t before = disk_.counted().damaged_reads;
    read->outcome.emplace(worker_->read(read->what));
    check_read(*read, before);
  } else if (const auto* settle = std::get_if<settle_job>(&jobs_.front())) {
    const failure f = worker_->settle(settle->file, settle->good, settle->sent);
    if (!fuse_.blown()) group_->snapshot_settled(f);
  } else {
    auto& receive = std::get<receive_job>(jobs_.front());
    receive.outcome.emplace(worker_->receive(receive.piece));
    const auto& outcome = *receive.outcome;
    if (outcome && outcome->written.next > receive.piece.offset + receive.piece.bytes.size())
      world_.counts.add(counted::transfers_resumed);
    if (outcome && outcome->loaded && !fuse_.blown()) {
      world_.judge.on_snapshot_durable(id_, outcome->loaded->meta);
      if (dice_.chance(200) && !writing_now_) check_shadow();
    }
  }
  schedule(event_kind::worked, dice_.below(settings_.append_time + 1));
}

CONFMAN_DECL void node::finish_job() {
  job done = std::move(jobs_.front());
  jobs_.pop_front();
  if (!jobs_.empty()) schedule(event_kind::work, settings_.append_time);
  if (auto* take = std::get_if<take_job>(&done)) {
    const std::error_code code = *take->outcome ? std::error_code() : take->outcome->error().code;
    world_.log.note(step::snapshot_taken, id_, take->meta.at.index.value(),
                    static_cast<std::uint64_t>(code.value()));
    world_.counts.add(code ? counted::snapshots_failed : counted::snapshots_taken);
    snapshotting_ = false;
    group_->snapshot_taken(*take->outcome);
  } else if (auto* read = std::get_if<read_job>(&done)) {
    group_->snapshot_read_done(read->what, std::move(*read->outcome));
  } else if (std::holds_alternative<receive_job>(done)) {
    auto& receive = std::get<receive_job>(done);
    const auto& outcome = *receive.outcome;
    world_.log.note(step::piece, id_, receive.piece.file.at.index.value(),
                    outcome ? outcome->written.next : 0,
                    outcome ? 0 : static_cast<std::uint64_t>(outcome.error().code.value()));
    world_.counts.add(counted::snapshot_pieces);
    if (outcome && outcome->loaded) note_arrived(outcome->loaded->meta.at);
    group_->snapshot_received(receive.piece.from, std::move(*receive.outcome));
  }
  after_input();
}

// What installing it must get right: it may come too late, or find another history at its place.
CONFMAN_DECL void node::note_arrived(version snapshot) {
  const log_view& log = core().log();
  if (snapshot.index <= core().commit())
    world_.counts.add(counted::late_snapshots);
  else if (snapshot.index <= log.last_index() && log.term_at(snapshot.index) != snapshot.term)
    world_.counts.add(counted::conflicting_snapshots);
}

// The disk has nothing to do.
CONFMAN_DECL void node::maintain_log() {
  maintenance_scheduled_ = false;
  if (writing_now_ || write_failure_) return;
  const result<bool> more = log_->maintain();
  if (!more && !fuse_.blown() && disk_.counted().errors == errors_before_) disk_failed(more.error());
  if (more && *more) {
    maintenance_scheduled_ = true;
    schedule(event_kind::maintain, 200);
  }
}

CONFMAN_DECL void node::disk_event(event_kind kind) {
  if (world_.time.now() < stalled_until_) {
    // Looked at again now and then, so that a stall can be ended early.
    const micros left = stalled_until_ - world_.time.now();
    return schedule(kind, std::min(left, settings_.tick * settings_.election_ticks / 4 + 1));
  }
  const std::size_t segments = log_->segment_count();
  switch (kind) {
    case event_kind::append: {
      world_.judge.on_append(id_, writing_);
      memory_.on_append(writing_);
      appended_syncs_ = disk_.counted().syncs;
      if (const failure f = log_->append(writing_)) return disk_failed(f);
      world_.log.note(step::appended, id_, log_->last_index().value());
      schedule(event_kind::sync, settings_.sync_time / 2 + dice_.below(settings_.sync_time + 1));
      break;
    }
    case event_kind::sync: {
      if (const failure f = log_->sync()) return disk_failed(f);
      world_.judge.on_synced(id_);
      memory_.on_synced();
      note_tail();
      if (dice_.chance(15)) check_shadow();
      schedule(event_kind::persisted, dice_.below(50));
      break;
    }
    case event_kind::persisted: {
      writing_now_ = false;
      group_->persisted(writing_.seq, write_failure_);
      if (settings_.maintain && !maintenance_scheduled_ && !dead()) {
        maintenance_scheduled_ = true;
        schedule(event_kind::maintain, 1000);
      }
      after_input();
      break;
    }
    case event_kind::fetch:
      do_fetch();
      break;
    case event_kind::fetched:
      finish_fetch();
      break;
    case event_kind::work:
      do_job();
      break;
    case event_kind::worked:
      finish_job();
      break;
    default:
      maintain_log();
      break;
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

// --- reports

}  // namespace confman::sim
