// The driver of one Raft group: turns what the core wants done into calls on a transport, a storage and the
// map.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "confman/core/raft_core.hpp"
#include "confman/map/map_state.hpp"
#include "confman/runtime/group_observer.hpp"
#include "confman/runtime/group_snapshots.hpp"
#include "confman/runtime/group_writes.hpp"
#include "confman/runtime/joining.hpp"
#include "confman/runtime/member_operations.hpp"
#include "confman/runtime/read_waiters.hpp"

namespace confman {

struct group_options {
  raft_options raft;
  // Writes, reads and operations on the cluster that may wait at once, each; more: errc::busy.
  std::size_t max_waiting = 1 << 16;
  // What a follower has sent to the leader without an answer yet; more is kept back, in order. Well below
  // what a transport queues for one peer, since what that drops has an unknown outcome.
  std::size_t max_forwarded = 4096;
  std::size_t max_forwarded_bytes = std::size_t{16} << 20;  // of commands; a single larger one still goes
  snapshot_policy snapshots;
  join_plan join;  // for a node that is no member yet
};

// Free of I/O, threads and clocks: under Asio it is a server, under the simulator the same code is a
// replayable world. Everything is called by one owner, the group's queue: inputs first, then pump() once for
// all of them.
//
//   Transport:  void send(message&&)              never blocks; may drop
//   Storage:    void write(write_batch&&)         answered by persisted(); one at a time
//               void fetch(const entry_fetch&)    answered by fetched()
//               and what group_snapshots asks for
//
// Operations complete inside pump(), tick(), receive(), persisted() or stop(); what they call back must not
// call into the group again (post it instead).
template <class Transport, class Storage>
class group {
 public:
  group(const group_options& options, configuration bootstrap, recovered_log recovered, Transport& transport,
        Storage& storage, map_state& map, group_observer& observer,
        std::optional<snapshot_file> newest_snapshot = {})
      : options_(options),
        core_(options.raft, std::move(bootstrap), std::move(recovered)),
        transport_(transport),
        storage_(storage),
        map_(map),
        observer_(observer),
        writes_({options.max_waiting, options.max_forwarded, options.max_forwarded_bytes}, core_, transport),
        snapshots_(options.snapshots, core_, transport, storage, map, observer, newest_snapshot),
        joining_(options.join, core_) {}

  group(const group&) = delete;
  group& operator=(const group&) = delete;
  ~group() {
    writes_.abandon();
    for (read_operation* r : reads_.take_if([](const read_operation&) { return true; }).operations)
      r->abandon();
    for (cluster_operation* o : take_cluster([](const cluster_operation&) { return true; })) o->abandon();
  }

  [[nodiscard]] const raft_core& core() const noexcept { return core_; }
  [[nodiscard]] tick_count now() const noexcept { return now_; }
  // Why the group stopped working, if it did: a failed write, or a log that differs from a peer's.
  [[nodiscard]] const failure& failed() const noexcept { return failed_; }
  [[nodiscard]] bool stopped() const noexcept { return stopped_; }

  void tick() {
    ++now_;
    if (!running()) return;
    core_.tick();
    snapshots_.tick(now_);
    watch_disk();
    ask_to_join();
    if (now_ % expiry_interval == 0) expire();
  }

  // A message from a peer. The error says why it was not accepted.
  std::error_code receive(message&& m) {
    if (!running()) return errc::stopped;
    if (std::holds_alternative<forward_request>(m.body) || std::holds_alternative<forward_response>(m.body))
      return writes_.receive(std::move(m));
    if (std::holds_alternative<join_request>(m.body) || std::holds_alternative<join_response>(m.body))
      return receive_join(m);
    if (std::holds_alternative<snapshot_piece>(m.body) ||
        std::holds_alternative<snapshot_piece_response>(m.body))
      return receive_snapshot(std::move(m));
    const node_id from = m.from;
    const std::error_code error = core_.step(std::move(m));
    if (!error && from == core_.leader()) writes_.leader_heard();
    if (error == errc::log_damaged)
      fail({error, "node " + std::to_string(options_.raft.self.value()) +
                       ": its log lacks entries that it acknowledged: the data directory was emptied or "
                       "replaced, or its disk has lost data; bring the original directory back, or "
                       "remove this member and add it again, then it starts with an empty directory"});
    if (error == errc::log_diverged)
      fail({error,
            "node " + std::to_string(options_.raft.self.value()) + ": its log differs from that of leader " +
                std::to_string(from.value()) +
                " at the same index and term; stop this node, check its disk and memory, and keep its data "
                "directory for analysis"});
    return error;
  }

  // Storage finished the write with this sequence number. A failure ends the group: it is never retried,
  // since after a failed sync nobody knows what the disk holds.
  void persisted(write_seq seq, const failure& error) {
    write_in_flight_ = false;
    if (!running()) return;
    if (error && !CONFMAN_MUTANT(failed_write_ignored)) return fail(error);
    core_.persisted(seq);
  }

  // The storage failed outside a write: as a failed write.
  void storage_failed(const failure& error) {
    if (running()) fail(error);
  }

  // What a follower that lags needs from the disk; a failure is reported, and the follower gets a snapshot.
  void fetched(const entry_fetch& what, result<std::vector<entry>> entries) {
    if (!running()) return;
    // Released while it was being read: no news.
    if (!entries && entries.error().code != errc::compacted) {
      observer_.on_event(entries.error());
      snapshots_.unreadable(what.from);
    }
    core_.entries_fetched(what.peer, what.from, entries ? *std::move(entries) : std::vector<entry>{});
  }
  // A snapshot is durable, or wasn't made. Of this and the next ones sync_failed is as a failed write; after
  // any other failure the group goes on.
  void snapshot_taken(const result<snapshot_file>& outcome) {
    if (!running()) return;
    if (const failure f = snapshots_.taken(outcome)) fail(f);
  }
  // A received one has replaced older ones, or was set aside; or why not.
  void snapshot_settled(const failure& outcome) {
    if (running() && outcome.code == errc::sync_failed) return fail(outcome);
    if (outcome) observer_.on_event(outcome);
  }
  void snapshot_read_done(const snapshot_read& what, result<shared_bytes> bytes) {
    if (running()) snapshots_.read(what, std::move(bytes));
  }
  void snapshot_received(node_id, result<snapshot_received_piece> outcome) {
    if (!running()) {
      if (outcome && outcome->loaded) storage_.destroy(std::move(outcome->loaded->map));
      return;
    }
    const result<bool> replaced = snapshots_.received(std::move(outcome));
    if (!replaced) return fail(replaced.error());
    if (!*replaced) return;
    const log_index at = core_.applied();
    if (!CONFMAN_MUTANT(jump_refuses)) writes_.jumped(at);
    for (cluster_operation* o : changes_.jumped(at))
      o->complete({errc::outcome_unknown, "the state was replaced by a snapshot; read the members"}, {});
    for (read_operation* r : reads_.applied(at)) r->complete({});
  }

  void unreachable(node_id peer) {
    if (!running()) return;
    core_.unreachable(peer);
    snapshots_.unreachable(peer);
    if (peer != core_.leader()) return;
    writes_.leader_unreachable();
  }

  void submit(write_operation& operation) {
    if (!running()) return operation.complete(errc::stopped, {});
    writes_.submit(operation);
  }

  void submit(read_operation& operation) {
    if (!running()) return operation.complete(errc::stopped);
    if (reads_.size() >= options_.max_waiting) return operation.complete(errc::busy);
    if (operation.mode == read_mode::applied_version)
      return wait_until_applied(operation.token.index, operation);
    const read_id id = reads_.ask(operation);
    if (const std::error_code error = core_.read(id)) {
      reads_.forget(id);
      operation.complete(error);
    }
  }

  void submit(cluster_operation& operation) {
    if (!running()) return operation.complete({errc::stopped, "the map is not running"}, {});
    if (changes_.size() + transfers_.size() + snapshots_.waiting() >= options_.max_waiting)
      return operation.complete(failure(errc::busy), {});
    switch (operation.what) {
      case cluster_operation::action::change_members: {
        if (const failure bad = check_addresses(operation.changes)) return operation.complete(bad, {});
        const raft_core::change_proposed proposed = core_.propose_change(operation.changes);
        if (proposed.error) return operation.complete(proposed.error, {});
        return changes_.add(operation, proposed.at);
      }
      case cluster_operation::action::transfer: {
        const std::error_code error = core_.transfer_leadership(operation.target);
        if (error) return operation.complete({error, error.message()}, {});
        if (operation.target == options_.raft.self) return operation.complete({}, {});
        return transfers_.push_back(&operation);
      }
      case cluster_operation::action::snapshot:
        return snapshots_.request(operation);
    }
  }
  // Hands leadership over, if this node has it and somebody else can take it: before stop(). Ask
  // handing_over() until it says no.
  void hand_over() {
    if (running() && core_.role() == role::leader) (void)core_.transfer_leadership(node_id{});
  }
  [[nodiscard]] bool handing_over() const noexcept {
    return running() && core_.role() == role::leader && core_.transferring_to();
  }

  // Completes the operation of that id with `code` if it still waits; its write may still happen.
  void cancel(std::uint64_t id, std::error_code code) {
    writes_.finish([id](const write_operation& w) { return w.id == id; }, code, code);
    finish_reads([id](const read_operation& o) { return o.id == id; }, code);
    finish_cluster([id](const cluster_operation& o) { return o.id == id; }, code);
  }

  // Does what the inputs so far have made necessary. True: there is more, call again (a long replay is cut
  // into pieces so that a node that catches up still answers).
  bool pump() {
    for (int rounds = 0; running() && core_.has_ready(!write_in_flight_); ++rounds) {
      if (rounds == max_pump_rounds) return true;
      pump_once();
    }
    notice_changes();
    if (running()) writes_.pass_on();
    return running() && core_.has_ready(!write_in_flight_);
  }

  // Refuses new work and fails what waits. A write in flight still ends with persisted().
  void stop() {
    if (stopped_) return;
    stopped_ = true;
    finish_all(errc::stopped);
  }

  // What waits for an answer here.
  [[nodiscard]] std::size_t waiting_writes() const noexcept { return writes_.waiting(); }
  [[nodiscard]] std::size_t waiting_reads() const noexcept { return reads_.size(); }
  [[nodiscard]] bool write_in_flight() const noexcept { return write_in_flight_; }

 private:
  static constexpr int max_pump_rounds = 16;
  static constexpr tick_count expiry_interval = 4;

  [[nodiscard]] bool running() const noexcept { return !stopped_ && !failed_; }

  void pump_once() {
    ready work = core_.take_ready(!write_in_flight_);
    for (message& m : work.messages) transport_.send(std::move(m));
    for (const entry_fetch& f : work.fetches) storage_.fetch(f);
    snapshots_.wanted(work.snapshots_wanted);
    if (!work.write.empty()) {
      write_in_flight_ = true;
      write_began_ = now_;
      storage_.write(std::move(work.write));
    }
    apply(work.apply_first, work.apply_last);
    for (const read_answer& a : work.reads)
      if (read_operation* operation = reads_.answered(a.id)) wait_until_applied(a.index, *operation);
    notice_changes();
  }

  void apply(log_index first, log_index last) {
    if (last < first) return;
    std::uint64_t bytes = 0;
    const auto entry_at = [&](std::size_t i) -> const entry& { return core_.log().at(first + i); };
    map_.apply_all(last - first + 1, entry_at, [&](const entry& e, const apply_result& result) {
      observer_.on_applied(e, result);
      bytes += cost(e);
      if (e.type == entry_type::configuration || !changes_.empty()) changes_.applied({e.term, e.index});
      writes_.applied({e.term, e.index}, result);
    });
    if (CONFMAN_MUTANT(told_before_published)) writes_.tell();
    map_.publish();
    core_.applied(last);
    writes_.tell();
    for (read_operation* r : reads_.applied(last)) r->complete({});
    snapshots_.applied(last - first + 1, bytes);
  }

  [[nodiscard]] message envelope(node_id to, message_body body) const {
    const raft_options& o = options_.raft;
    return {o.cluster, o.group, o.self, to, o.incarnation, core_.term(), std::move(body)};
  }

  void wait_until_applied(log_index index, read_operation& operation) {
    if (core_.applied() >= index || CONFMAN_MUTANT(read_not_applied)) return operation.complete({});
    reads_.wait_until_applied(index, operation);
  }

  // A new leader: what waited for one is passed on, what an old one has may or may not have happened.
  void notice_changes() {
    if (core_.refused_by() != refused_by_) {
      refused_by_ = core_.refused_by();
      observer_.on_refused(refused_by_);
    }
    notice_members();
    end_cluster_operations();
    if (core_.leader() == leader_ && core_.term() == term_ && core_.role() == role_) return;
    if (core_.role() != role::leader) snapshots_.lost_leadership();
    const bool another_leader = core_.leader() != leader_ || core_.term() != term_;
    leader_ = core_.leader();
    term_ = core_.term();
    role_ = core_.role();
    observer_.on_role(role_, term_, leader_);
    if (!another_leader) return;
    writes_.leader_changed();
  }

  // --- membership, leadership, snapshots ---

  // What is committed is dialled by everybody. No address at all is one that everybody knows already: that of
  // a member, or where a transport needs none.
  [[nodiscard]] failure check_addresses(const std::vector<member_change>& changes) const {
    for (const member_change& change : changes) {
      if (change.what == member_change::action::remove) continue;
      if (change.who.address.empty()) continue;
      if (failure bad = check_member_address(change.who.id.value(), change.who.address)) {
        bad.what = "change of members: " + bad.what;
        return bad;
      }
    }
    return {};
  }

  // The first configuration is reported too.
  void notice_members() {
    if (members_at_ == core_.members_at() && members_term_ == core_.log().term_at(core_.members_at())) return;
    members_at_ = core_.members_at();
    members_term_ = core_.log().term_at(*members_at_);
    observer_.on_members(core_.members());
  }

  void end_cluster_operations() {
    if (!changes_.empty())
      for (const waiting_changes::ended& e : changes_.take_ended(!core_.change_under_way()))
        e.operation->complete(e.undone ? failure(errc::change_undone) : failure{}, e.at);
    if (transfers_.empty()) return;
    const bool leads = core_.role() == role::leader;
    if (leads ? bool(core_.transferring_to()) : !core_.leader()) return;
    for (cluster_operation* o : std::exchange(transfers_, {})) {
      const bool done = !leads && (!o->target || o->target == core_.leader());
      o->complete(done ? failure{} : failure(errc::transfer_failed), {});
    }
  }

  // A leader whose disk stalls leads nobody: its entries wait for the others' disks alone, and what it
  // promised to clients hangs on one sync. Where nobody else could lead, to give it up helps no one.
  void watch_disk() {
    if (!write_in_flight_ || core_.role() != role::leader) return;
    if (core_.members().incoming.size() < 2) return;
    if (now_ - write_began_ < options_.raft.election_ticks || CONFMAN_MUTANT(stalled_leader_leads)) return;
    observer_.on_event(
        {errc::storage_failed, "node " + std::to_string(options_.raft.self.value()) +
                                   ": the disk has not finished a write for an election timeout; "
                                   "leadership is given up, look at the disk"});
    core_.resign();
  }

  void ask_to_join() {
    if (const node_id contact = joining_.ask(now_, core_))
      transport_.send(envelope(contact, joining_.request()));
  }

  std::error_code receive_join(const message& m) {
    const raft_options& o = options_.raft;
    if (m.cluster != o.cluster || m.group != o.group) return errc::wrong_cluster;
    if (m.to != o.self || m.from == o.self || !m.from) return errc::unknown_peer;
    if (const auto* request = std::get_if<join_request>(&m.body)) {
      transport_.send(envelope(m.from, answer_join(core_, m.from, m.incarnation, *request)));
      return {};
    }
    const auto& answer = std::get<join_response>(m.body);
    if (answer.leader && answer.leader != o.self && !answer.leader_address.empty())
      observer_.on_contact(answer.leader, answer.leader_address);
    if (const failure refused = joining_.answered(m.from, o.self, answer)) observer_.on_event(refused);
    return {};
  }

  std::error_code receive_snapshot(message&& m) {
    message_body body = std::move(m.body);
    const node_id from = m.from;
    const term_t term = m.term;
    // The core checks who speaks, and follows a later term. Of an earlier one nothing is taken.
    if (std::holds_alternative<snapshot_piece>(body))
      m.body = snapshot_piece{};
    else
      m.body = snapshot_piece_response{};
    if (const std::error_code error = core_.step(std::move(m))) return error;
    if (term != core_.term()) return {};
    if (auto* piece = std::get_if<snapshot_piece>(&body)) {
      if (core_.leader() && core_.leader() != from) return errc::two_leaders;
      snapshots_.receive(from, std::move(*piece));
    } else {
      snapshots_.receive(from, std::get<snapshot_piece_response>(body));
    }
    return {};
  }

  template <class Pick>
  std::vector<cluster_operation*> take_cluster(Pick&& pick) {
    std::vector<cluster_operation*> taken = changes_.take_if(pick);
    for (cluster_operation* o : snapshots_.take_if(pick)) taken.push_back(o);
    std::erase_if(transfers_, [&](cluster_operation* o) {
      if (!pick(*o)) return false;
      taken.push_back(o);
      return true;
    });
    return taken;
  }
  template <class Pick>
  void finish_cluster(Pick&& pick, std::error_code code) {
    for (cluster_operation* o : take_cluster(pick)) o->complete({code, code.message()}, {});
  }

  void expire() {
    if (CONFMAN_MUTANT(deadline_ignored)) return;
    writes_.finish([this](const write_operation& w) { return w.deadline <= now_; }, errc::outcome_unknown,
                   errc::no_leader);
    finish_reads([this](const read_operation& o) { return o.deadline <= now_; }, errc::timed_out);
    finish_cluster([this](const cluster_operation& o) { return o.deadline <= now_; }, errc::outcome_unknown);
  }

  void finish_all(std::error_code reason) {
    writes_.finish([](const write_operation&) { return true; }, errc::outcome_unknown, reason);
    finish_reads([](const read_operation&) { return true; }, reason);
    // A change that was begun may still be committed.
    for (cluster_operation* o : changes_.take_if([](const cluster_operation&) { return true; }))
      o->complete(failure(errc::outcome_unknown), {});
    finish_cluster([](const cluster_operation&) { return true; }, reason);
  }
  template <class Pick>
  void finish_reads(Pick&& pick, std::error_code code) {
    const read_waiters::taken_reads taken = reads_.take_if(pick);
    if (!taken.asked.empty()) core_.forget_reads(taken.asked);
    for (read_operation* r : taken.operations) r->complete(code);
  }

  void fail(const failure& why) {
    if (failed_) return;
    failed_ = why;
    finish_all(why.code);
    observer_.on_failed(failed_);
  }

  group_options options_;
  raft_core core_;
  Transport& transport_;
  Storage& storage_;
  map_state& map_;
  group_observer& observer_;
  group_writes<Transport> writes_;
  read_waiters reads_;
  group_snapshots<Transport, Storage> snapshots_;
  joining joining_;
  waiting_changes changes_;
  std::vector<cluster_operation*> transfers_;
  tick_count now_ = 0;
  bool write_in_flight_ = false;
  tick_count write_began_ = 0;
  bool stopped_ = false;
  failure failed_;
  // what was last reported
  node_id leader_;
  term_t term_;
  role role_ = role::follower;
  node_id refused_by_;
  std::optional<log_index> members_at_;
  std::optional<term_t> members_term_;
};

}  // namespace confman
