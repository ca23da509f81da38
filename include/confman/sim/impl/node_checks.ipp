#pragma once

#include <algorithm>
#include <string>

#include "confman/sim/node.hpp"

// What a node checks of itself, and what it knows of damage to its disk.

namespace confman::sim {

// Save, load, save: the same bytes, and the same state.
CONFMAN_DECL void node::check_round_trip(const map_capture& state) {
  const auto save = [](const map_capture& what, auto&& each) {
    snapshot_encoder encoder(what);
    std::string block;
    while (encoder.next(block)) each(block);
  };
  std::string first, second;
  snapshot_loader loader;
  failure bad;
  save(state, [&](const std::string& block) {
    first += block;
    if (!bad) bad = loader.feed(block);
  });
  result<loaded_map> loaded = bad ? result<loaded_map>(bad) : loader.finish();
  if (!loaded)
    world_.log.fail(invariant::snapshot_is_replay, "node " + std::to_string(id_.value()) +
                                                       " makes a snapshot at " +
                                                       std::to_string(state.at().index.value()) +
                                                       " that can't be loaded: " + loaded.error().what);
  map_state copy{history_limits{}};
  copy.adopt(std::move(*loaded));
  const map_capture again = copy.capture();
  save(again, [&](const std::string& block) { second += block; });
  world_.counts.add(counted::round_trips);
  if (first != second || state.replica_hash() != again.replica_hash())
    world_.log.fail(invariant::snapshot_is_replay,
                    "node " + std::to_string(id_.value()) + ": the snapshot at " +
                        std::to_string(state.at().index.value()) +
                        ", loaded and saved again, has other bytes or another state");
}

CONFMAN_DECL void node::check_step() {
  world_.judge.on_step(id_, core());
  memory_.on_step(core(), {group_->waiting_writes(), group_->waiting_reads(), fetches_.size(), jobs_.size(),
                           disk_.files(), log_->segment_count(), snapshotting_, snapshot_begun_});
}

CONFMAN_DECL void node::pass_tick() {
  group_->tick();
  if (!dead() && !group_->stopped()) world_.judge.on_tick(id_, core());
}

// Whose disk stalls for an election timeout leads no more, if somebody else could.
CONFMAN_DECL void node::check_disk_watched() const {
  if (dead() || group_->stopped() || !group_->write_in_flight() || core().role() != role::leader) return;
  if (core().members().incoming.size() < 2 || now() - write_began_ <= settings_.election_ticks) return;
  world_.log.fail(invariant::liveness, "node " + std::to_string(id_.value()) +
                                           " leads on, although its disk has not finished a write for " +
                                           std::to_string(now() - write_began_) + " ticks");
}

// A leader names nothing that this node hasn't acknowledged to it: who lacks some of it has lost it.
CONFMAN_DECL void node::check_told(node_id leader, log_index commit) const {
  const log_index last = core().log().last_index();
  if (commit <= last || !last || dead() || group_->stopped()) return;
  world_.log.fail(invariant::durable_first, "node " + std::to_string(id_.value()) + " has acknowledged " +
                                                std::to_string(commit.value()) + " entries to node " +
                                                std::to_string(leader.value()) + ", goes on with " +
                                                std::to_string(last.value()));
}

// Now and then what arrives comes once more before it, as if it were for others, or from a term that leaves
// no room for the next ones: nothing of that may be taken.
CONFMAN_DECL void node::check_refusals(const message& m) {
  const std::uint64_t choice = digest(m) + m.term.value();
  if (choice % 16 != 0 || dead() || group_->stopped()) return;
  message other = m;
  std::error_code expected = errc::wrong_cluster;
  switch (choice / 16 % 4) {
    case 0:
      other.cluster = cluster_id(m.cluster.value() + 1);
      break;
    case 1:
      other.group = group_id(m.group.value() + 1);
      break;
    case 2:
      other.to = node_id(m.to.value() + 1);
      expected = errc::unknown_peer;
      break;
    default:
      if (std::holds_alternative<join_request>(m.body) || std::holds_alternative<join_response>(m.body))
        return;
      other.term = highest_term + 1;
      expected = errc::bad_command;
      break;
  }
  const term_t term = core().term();
  const std::error_code error = group_->receive(std::move(other));
  if (error != expected || core().term() != term)
    world_.log.fail(invariant::harness, "node " + std::to_string(id_.value()) +
                                            " takes a message that isn't for it, or of an impossible term: " +
                                            error.message() + ", expected: " + expected.message());
}

CONFMAN_DECL void node::check_sent(const message& m) {
  world_.judge.on_send(id_, m, core());
  memory_.on_send(m);
  if (std::holds_alternative<join_request>(m.body) && was_member_ && !core().members().contains(id_))
    world_.log.fail(
        invariant::configuration_safety,
        "node " + std::to_string(id_.value()) + " asks to join, although it was a member and removed");
}

// The platter as it is, read by the real recovery: what was synced must be there, and nothing else.
CONFMAN_DECL void node::check_shadow() {
  effect_fuse fuse;
  disk copy(1, fuse);
  disk_.copy_durable_to(copy);
  recovered_log found;
  world_.counts.add(counted::shadow_recoveries);
  const result<log<disk>> opened = log<disk>::open(copy, detail::data_directory, options_of_log(), found);
  if (!opened && disk_.rotten() && damage_noticed(opened.error())) return;
  if (!opened)
    world_.log.fail(invariant::durable_first,
                    "node " + std::to_string(id_.value()) +
                        ": its platter after a sync is no log: " + opened.error().what);
  const auto store = snapshot_store<disk>::open(copy, detail::data_directory, options_of_snapshots());
  if (store && store->newest()) found.snapshot = store->newest()->meta;
  world_.judge.on_recovered(id_, found, true, disk_.rotten());
}

// A batch that was one frame in one sync, and nothing but entries: term and vote as they were.
CONFMAN_DECL void node::note_tail() {
  const bool alone = disk_.counted().syncs == appended_syncs_ + 1;
  const bool entries =
      !writing_.entries.empty() && !writing_.truncate_from && !writing_.reset && !writing_.release_before &&
      (!writing_.state ||
       (writing_.state->term == synced_state_.term && writing_.state->vote == synced_state_.vote));
  const bool members = std::any_of(writing_.entries.begin(), writing_.entries.end(),
                                   [](const entry& e) { return e.type == entry_type::configuration; });
  tail_syncs_ = alone && entries && !members ? disk_.counted().syncs : 0;
  if (tail_syncs_ != 0) tail_from_ = writing_.entries.front().index;
  if (writing_.state) synced_state_ = *writing_.state;
}

CONFMAN_DECL bool node::rot_log(std::uint64_t seed) {
  return disk_.rot_throughout(std::string(detail::data_directory) + "/log-", seed);
}

CONFMAN_DECL bool node::rot_tail(std::uint64_t seed) {
  if (!disk_.rot_tail(seed)) return false;
  forgetful_ = tail_hurt_ = true;
  world_.judge.on_tail_damaged(id_, tail_from_);
  tail_syncs_ = 0;
  return true;
}

// Entries that were read back are those of the log, or there is a reason why they are none.
CONFMAN_DECL void node::check_fetched(const fetch_job& done) {
  if (*done.outcome) return world_.judge.on_fetched(id_, done.what.from, **done.outcome, core());
  const failure& why = done.outcome->error();
  if (why.code == errc::compacted || disk_.counted().errors != errors_before_) return;
  if (disk_.counted().damaged_reads == 0)
    world_.log.fail(invariant::harness,
                    "node " + std::to_string(id_.value()) + " can't read a good disk: " + why.what);
  if (why.code != errc::log_damaged)
    world_.log.fail(invariant::harness, "node " + std::to_string(id_.value()) +
                                            " calls damaged entries something else: " + why.what);
  world_.counts.add(counted::damaged_entries);
}

// What is being sent stays readable, whatever replaces it, on a disk that was always good: what is damaged in
// a file that has lost its name, nobody knows any more.
CONFMAN_DECL void node::check_read(const read_job& done, std::uint64_t damaged_before) {
  if (disk_.counted().damaged_reads != damaged_before) world_.counts.add(counted::damaged_pieces);
  if (*done.outcome || done.outcome->error().code != errc::snapshot_damaged || fuse_.blown()) return;
  if (disk_.counted().damages == 0 && disk_.counted().errors == errors_before_)
    world_.log.fail(invariant::harness,
                    "node " + std::to_string(id_.value()) +
                        " can't read a snapshot on a good disk: " + done.outcome->error().what);
}

// Damaged data must be refused by name.
CONFMAN_DECL bool node::damage_noticed(const failure& why) const {
  if (!disk_.rotten()) return false;
  if (why.code != errc::log_damaged && why.code != errc::snapshot_damaged)
    world_.log.fail(invariant::harness, "node " + std::to_string(id_.value()) +
                                            " calls damaged data something else: " + why.what);
  return true;
}

}  // namespace confman::sim
