// A group's snapshots: when one is taken, who is sent one, and what becomes of one that is received.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "confman/core/raft_core.hpp"
#include "confman/map/map_state.hpp"
#include "confman/map/snapshot_loader.hpp"
#include "confman/mutants.hpp"
#include "confman/runtime/group_observer.hpp"
#include "confman/runtime/member_operations.hpp"
#include "confman/runtime/snapshot_transfer.hpp"

namespace confman {

// When a snapshot is taken, and how much of the log is kept behind it for followers that are a little late.
struct snapshot_policy {
  std::uint64_t log_bytes = std::uint64_t{256} << 20;  // applied since the last one: take another
  std::uint64_t log_entries = 1'000'000;
  std::uint64_t tail_bytes = std::uint64_t{32} << 20;  // kept in the log before the snapshot's place
  std::uint64_t tail_entries = 50'000;
  snapshot_transfer_options transfer;
};

// A snapshot that was received or found, ready to replace the state.
struct loaded_snapshot {
  snapshot_meta meta;
  snapshot_file file;
  loaded_map map;
};

// What has happened to a piece that was handed to receive_snapshot().
struct snapshot_received_piece {
  snapshot_written written;
  std::optional<loaded_snapshot> loaded;  // with the last piece
};

// Free of I/O, threads and clocks, as the group is that owns it. Storage, all asynchronous:
//   void take_snapshot(map_capture, const snapshot_meta&)    answered by taken(); one at a time
//   void read_snapshot(const snapshot_read&)                 answered by read()
//   void receive_snapshot(snapshot_write&&)                  answered by received(); one at a time
//   void settle_snapshot(const snapshot_file&, bool good, std::vector<snapshot_file> sent)
//                                                            it replaces older ones, but what is being sent
//                                                            and was read from before stays readable; or it
//                                                            is set aside; answered by
//                                                            group::snapshot_settled()
//   void destroy(loaded_map&&)                               takes a while: somewhere else; not answered
template <class Transport, class Storage>
class group_snapshots {
 public:
  group_snapshots(const snapshot_policy& policy, raft_core& core, Transport& transport, Storage& storage,
                  map_state& map, group_observer& observer, std::optional<snapshot_file> newest)
      : policy_(policy),
        core_(core),
        transport_(transport),
        storage_(storage),
        map_(map),
        observer_(observer),
        newest_(newest),
        senders_(policy.transfer) {}

  ~group_snapshots() {
    for (cluster_operation* o : take_waiting()) o->abandon();
  }

  [[nodiscard]] const std::optional<snapshot_file>& newest() const noexcept { return newest_; }
  // How many operations wait for one.
  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size(); }
  [[nodiscard]] bool taking() const noexcept { return taking_.has_value(); }

  void tick(tick_count now) {
    now_ = now;
    for (const node_id peer : senders_.tick(now)) core_.snapshot_failed(peer);
    issue_reads();
  }

  // Entries were applied.
  void applied(std::uint64_t entries, std::uint64_t bytes) {
    cut_log();
    entries_since_ += entries;
    bytes_since_ += bytes;
    if (entries_since_ >= policy_.log_entries || bytes_since_ >= policy_.log_bytes) take();
  }

  // Somebody wants one now; joins the one that is being taken only if that has everything applied.
  void request(cluster_operation& operation) {
    waiting_.push_back({&operation, core_.applied()});
    if (!core_.applied())
      return fail_waiting({errc::bad_option, "there is nothing to take a snapshot of yet"});
    if (newest_ && newest_->at.index == core_.applied() && !taking_) return complete_waiting(newest_->at);
    take();
  }
  [[nodiscard]] std::vector<cluster_operation*> take_waiting() {
    std::vector<cluster_operation*> all;
    for (const waiter& w : std::exchange(waiting_, {})) all.push_back(w.operation);
    return all;
  }
  template <class Pick>
  [[nodiscard]] std::vector<cluster_operation*> take_if(Pick&& pick) {
    std::vector<cluster_operation*> taken;
    std::erase_if(waiting_, [&](const waiter& w) {
      if (!pick(*w.operation)) return false;
      taken.push_back(w.operation);
      return true;
    });
    return taken;
  }

  // Followers that need what the log no longer holds. Who is being served may be named again.
  void wanted(const std::vector<node_id>& followers) {
    for (const node_id peer : followers) {
      if (newest_) {
        senders_.start(peer, *newest_, now_);
      } else if (!senders_.sending(peer)) {
        core_.snapshot_failed(peer);
        if (now_ >= retry_at_) take();
      }
    }
    if (!followers.empty()) issue_reads();
  }
  // Entries from there on can't be read back: who needs them gets a snapshot, for which one may have to be
  // made.
  void unreadable(log_index from) {
    const bool helps = newest_ && newest_->at.index > from;
    const bool newer = core_.applied() >= from && (!newest_ || newest_->at.index < core_.applied());
    if (!helps && newer && now_ >= retry_at_) take();
  }
  void unreachable(node_id peer) {
    if (!senders_.sending(peer)) return;
    senders_.stop(peer);
    core_.snapshot_failed(peer);
  }
  void lost_leadership() { senders_.clear(); }

  // --- messages ---

  void receive(node_id from, snapshot_piece&& piece) {
    act(from, receiver_.accept(from, std::move(piece), core_.commit()));
  }
  void receive(node_id from, const snapshot_piece_response& answer) {
    (void)senders_.answered(from, answer, now_);
    issue_reads();
  }

  // --- answers of the storage ---
  // A failure that one of these returns ends the node: sync_failed (see snapshot_store), log_diverged. Any
  // other failure of the disk costs one snapshot, and is an event.

  [[nodiscard]] failure taken(const result<snapshot_file>& outcome) {
    const snapshot_meta meta = *std::exchange(taking_, std::nullopt);
    if (!outcome) {
      retry_at_ = now_ + policy_.transfer.retry;
      // The log goes on growing; the next attempt comes when as much again was applied.
      if (outcome.error().code == errc::sync_failed) return outcome.error();
      observer_.on_event(outcome.error());
      fail_waiting(outcome.error());
      return {};
    }
    became_durable(*outcome, meta);
    settle(*newest_);
    complete_waiting(meta.at);
    if (!waiting_.empty()) take();
    return {};
  }
  void read(const snapshot_read& what, result<shared_bytes> bytes) {
    // Who has just stopped leading has no term to speak for.
    if (core_.role() != role::leader || !senders_.sending(what.to, what.file)) return;
    if (!bytes) {
      observer_.on_event(bytes.error());
      // What can't be read helps nobody: another one is made.
      if (newest_ == what.file) newest_.reset();
      for (const node_id peer : senders_.stop_all(what.file)) core_.snapshot_failed(peer);
      return;
    }
    if (auto piece = senders_.read(what, *std::move(bytes))) send(what.to, *std::move(piece));
  }
  // True: the state was replaced by a snapshot at core().applied(), from which everything goes on.
  [[nodiscard]] result<bool> received(result<snapshot_received_piece> outcome) {
    if (!outcome) {
      if (outcome.error().code == errc::sync_failed) return outcome.error();
      observer_.on_event(outcome.error());
      receiver_.failed();
      return false;
    }
    act(receiver_.from(), receiver_.written(outcome->written));
    if (!outcome->loaded) return false;
    loaded_snapshot& loaded = *outcome->loaded;
    const bool replaces = core_.install(loaded.meta);
    if (replaces) {
      map_.adopt(std::move(loaded.map));
      newest_ = loaded.file;
      ahead_.reset();
      entries_since_ = bytes_since_ = 0;
      observer_.on_installed(loaded.meta);
      settle(loaded.file);
    } else if (!agrees(loaded.meta)) {
      // A restart would begin with it and drop the log.
      storage_.settle_snapshot(loaded.file, false, {});
      storage_.destroy(std::move(loaded.map));
      return failure(errc::log_diverged,
                     "node " + std::to_string(core_.options().self.value()) + ": a snapshot of node " +
                         std::to_string(receiver_.from().value()) + " at log entry " +
                         std::to_string(loaded.meta.at.index.value()) +
                         " differs from this node's log; stop this node, check its disk and memory, and "
                         "keep its data directory for analysis");
    } else {
      // The log goes on as it is, and needs no longer hold what this file does.
      storage_.destroy(std::move(loaded.map));
      became_durable(loaded.file, loaded.meta);
      settle(loaded.file);
    }
    send(receiver_.from(), receiver_.installed());
    return replaces;
  }

 private:
  struct waiter {
    cluster_operation* operation;
    log_index least;  // what the snapshot must contain
  };

  void take() {
    if (taking_ || !core_.applied()) return;
    entries_since_ = bytes_since_ = 0;
    taking_ = core_.describe_snapshot();
    storage_.take_snapshot(map_.capture(), *taking_);
  }

  // What install() didn't want says the same as this log, where that still can be told.
  [[nodiscard]] bool agrees(const snapshot_meta& meta) const {
    return meta.at.index <= core_.commit() &&
           core_.log().term_at(meta.at.index).value_or(meta.at.term) == meta.at.term &&
           core_.log().hash_at(meta.at.index).value_or(meta.hash) == meta.hash;
  }
  // Not newer than what is there already when a snapshot was received while it was taken.
  void became_durable(const snapshot_file& file, const snapshot_meta& meta) {
    if (newest_ && file.at.index < newest_->at.index) return;
    newest_ = file;
    ahead_ = meta;
    senders_.renew(file);
    cut_log();
  }
  // Older ones aren't needed any more. Only now: until here one of them may have been begun to be sent.
  void settle(const snapshot_file& file) { storage_.settle_snapshot(file, true, senders_.files()); }
  // Once the state contains what the snapshot does.
  void cut_log() {
    if (!ahead_ || (core_.applied() < ahead_->at.index && !CONFMAN_MUTANT(cut_before_applied))) return;
    core_.compacted(*ahead_, keep_from(ahead_->at.index));
    ahead_.reset();
  }

  // From where on the log is kept: a tail for those who are a little late, and what a follower that is being
  // sent an older snapshot will ask for next.
  [[nodiscard]] log_index keep_from(log_index at) const {
    const log_view& log = core_.log();
    std::uint64_t bytes = 0;
    log_index from = at + 1;
    while (from > log.first_index() && at + 1 - from < policy_.tail_entries) {
      bytes += cost(log.at(from - 1));
      if (bytes > policy_.tail_bytes) break;
      --from;
    }
    if (const std::optional<log_index> oldest = senders_.oldest()) from = std::min(from, *oldest + 1);
    return from;
  }

  void complete_waiting(version at) {
    std::vector<waiter> done;
    std::erase_if(waiting_, [&](const waiter& w) {
      if (w.least > at.index) return false;
      done.push_back(w);
      return true;
    });
    for (const waiter& w : done) w.operation->complete({}, at);
  }
  void fail_waiting(const failure& why) {
    for (cluster_operation* o : take_waiting()) o->complete(why, {});
  }

  void issue_reads() {
    for (const snapshot_read& r : senders_.reads()) storage_.read_snapshot(r);
  }
  void act(node_id from, incoming_snapshot::step&& step) {
    if (step.write) storage_.receive_snapshot(*std::move(step.write));
    if (step.answer) send(from, *step.answer);
  }
  void send(node_id to, message_body body) {
    const raft_options& o = core_.options();
    transport_.send({o.cluster, o.group, o.self, to, o.incarnation, core_.term(), std::move(body)});
  }

  snapshot_policy policy_;
  raft_core& core_;
  Transport& transport_;
  Storage& storage_;
  map_state& map_;
  group_observer& observer_;
  std::optional<snapshot_file> newest_;  // durable here
  std::optional<snapshot_meta> ahead_;   // of the newest, which the state has not reached yet
  std::optional<snapshot_meta> taking_;  // on its way to the disk
  std::vector<waiter> waiting_;
  std::uint64_t entries_since_ = 0;
  std::uint64_t bytes_since_ = 0;
  outgoing_snapshots senders_;
  incoming_snapshot receiver_;
  tick_count now_ = 0;
  tick_count retry_at_ = 0;
};

}  // namespace confman
