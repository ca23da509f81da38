// Raft as a deterministic state machine without I/O (Ongaro and Ousterhout, "In Search of an Understandable
// Consensus Algorithm", the paper; Ongaro, "Consensus: Bridging Theory and Practice", the thesis).
#pragma once

#include <deque>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "confman/core/configuration_log.hpp"
#include "confman/core/joint_change.hpp"
#include "confman/core/log_view.hpp"
#include "confman/core/marks.hpp"
#include "confman/core/progress.hpp"
#include "confman/core/random.hpp"
#include "confman/core/read_index.hpp"
#include "confman/core/ready.hpp"
#include "confman/core/votes.hpp"
#include "confman/core/write_window.hpp"
#include "confman/error.hpp"
#include "confman/mutants.hpp"

namespace confman {

// Whether a core can be made of it: errc::format_unsupported for a configuration entry that this build can't
// read, which a newer one must have written; errc::log_damaged when entries were released and no snapshot
// holds them, the snapshot contradicts what was released, or a term is one that no node can have written.
[[nodiscard]] CONFMAN_DECL failure check_recovered(const recovered_log& recovered);

// No term above is accepted from a peer: a damaged one must not bring our own next term to an overflow.
inline constexpr term_t highest_term{(std::uint64_t{1} << 56) - 1};

// Entries that one input drops from memory, on top of those that it makes droppable itself.
inline constexpr std::size_t max_trimmed_entries = 2000;

// Inputs go in through the member functions, work comes out of take_ready(); nothing else happens in between.
// The core never blocks, reads no clock (time is ticks) and rolls no die but the seeded one.
//
// Thread safety: none; one owner calls it. Errors returned are about the one input, the core stays usable.
//
// clang-format off
//
// Which role handles which message; everything else is ignored on purpose (o):
//
//                        follower   pre-candidate   candidate   leader
//   pre_vote_request        x             x             x          x   (1)
//   pre_vote_response       o             x             o          o
//   vote_request            x             x             x          x   (1)
//   vote_response           o             o             x          o
//   append_request          x       x, as follower  x, as follower  errc::two_leaders
//   append_ok/_reject       o             o             o          x
//   heartbeat, notice       x       x, as follower  x, as follower  errc::two_leaders
//   heartbeat_response      o             o             o          x
//   read_index_request      o             o             o          x
//   read_index_response     x             o             o          o
//   timeout_now             x             o             o          o   from the leader of the term only
//   stale_term              only its term counts, and that is compared before dispatch
//   refused                 x             x             x          x   remembered, see refused_by()
//   forward_*, join_*       not the core's: the runtime takes them
//
//   (1) refused by who hears a leader, or is one, unless that leader asked for the election (transfer)
//
// clang-format on
//
// Invariants, checked by check_invariants() after every input, that a leader never truncates where the log is
// truncated:
//   1. stable <= last; applied <= commit <= last.
//   2. term, commit and applied never go back.
//   3. a leader has only entries of terms up to its own, and never truncates.
//   4. at most one vote per term, for one data directory.
//   5. what is not applied is in memory: base <= applied; what is not applied is not released.
class raft_core {
 public:
  // A core that continues from what storage recovered; `bootstrap` is the configuration before the first
  // entry. Precondition: options are valid, check_recovered() found no failure, recovered.entries are
  // consecutive from recovered.base on, and the state machine is what recovered.snapshot says: commit and
  // applied begin there.
  CONFMAN_DECL raft_core(const raft_options& options, configuration bootstrap, recovered_log recovered);

  // --- inputs ---

  // A message from a peer. errc::wrong_cluster, unknown_peer, wrong_incarnation, two_leaders, log_diverged,
  // log_damaged, bad_command: the message was not accepted. The first three, and bad_command for a term above
  // highest_term: it changed nothing. The others come after its term, and its sender as the leader of that
  // term, may have been taken over; log, commit index and votes are as before.
  CONFMAN_DECL std::error_code step(message&& m);
  // One unit of time passed.
  CONFMAN_DECL void tick();

  struct proposed {
    std::error_code code;  // errc::not_leader or errc::busy: nothing happened
    version at;            // where the entry will be if it commits
  };
  // Appends a command to the leader's log. It is committed when applied at `at` with the same term.
  CONFMAN_DECL proposed propose(shared_bytes command);
  // Asks for a read index; the answer comes in ready.reads. Kept across changes of leader until answered: who
  // asked keeps the deadline. errc::busy when too many wait.
  CONFMAN_DECL std::error_code read(read_id id);
  // Nobody waits any more for these reads (cancelled, or their time is up): they make room for others.
  // Precondition: sorted.
  CONFMAN_DECL void forget_reads(const std::vector<read_id>& gone);
  // Everything up to this write survives a crash.
  CONFMAN_DECL void persisted(write_seq seq);
  // The state machine has executed everything up to `index`.
  CONFMAN_DECL void applied(log_index index);
  // The transport lost what it had for this peer: find out where it stands.
  CONFMAN_DECL void unreachable(node_id peer);

  // --- membership ---

  struct change_proposed {
    failure error;  // nothing happened, and why
    version at;     // where the configuration that begins the change will be if it commits
  };
  // Leader: appends the configuration that begins this change: a joint one when more than one voter changes,
  // else the new one itself (thesis, 4.1, 4.3). The way out of a joint one is proposed by whoever leads once
  // it is committed. Errors: not_leader; busy (leadership is being transferred, or the log's tail is full);
  // change_in_flight (an uncommitted configuration is in the log, a joint one isn't left yet, or nothing of
  // this term is committed yet: Ongaro 2015); learner_behind (a learner to be promoted is silent, not bound
  // to a data directory yet, or behind by more than options.promotion_lag entries); those of enter_joint().
  CONFMAN_DECL change_proposed propose_change(std::span<const member_change> changes);
  // Where the effective configuration stands in the log; 0: the bootstrap one.
  [[nodiscard]] log_index members_at() const noexcept { return configurations_.effective_index(); }
  // The effective configuration is joint, or not known to be committed.
  [[nodiscard]] bool change_under_way() const noexcept {
    return members().joint() || members_at() > state_.commit;
  }

  // --- leadership ---

  // Leader: hands over to voter `to`; 0: to the best one, of the highest priority, then of the highest match,
  // among those heard lately and, as far as there are any, close behind. Until it has taken over, or one
  // election timeout has passed, proposals and changes of members are refused with errc::busy (thesis, 3.10).
  // To ourselves: nothing to do. While one is under way to another: replaced. Errors: not_leader;
  // not_a_member: no such voter.
  CONFMAN_DECL std::error_code transfer_leadership(node_id to);
  // To whom leadership is being transferred; 0: to nobody.
  [[nodiscard]] CONFMAN_DECL node_id transferring_to() const noexcept;
  // A leader steps down at once, in its term, and lets others go first: its own next campaign waits for an
  // additional election timeout. Others: nothing.
  CONFMAN_DECL void resign();

  // --- snapshots and compaction ---

  // A leader's snapshot is durable in this node's store and can be loaded (paper, figure 13). True: it is
  // ahead of this log, and the state machine must be replaced by it before anything else is applied; log,
  // commit and applied index and configuration are the snapshot's already; the leader is told once storage
  // has done the same. False: there is nothing to load, since this log has the snapshot's last entry (what
  // follows it is kept, and all up to it is committed now) or is ahead of it; the leader is told. Also false,
  // without effect: it contradicts this log's hash, or a leader's own log.
  [[nodiscard]] CONFMAN_DECL bool install(const snapshot_meta& meta);
  // A snapshot as described is durable here. Entries before `keep_from`, at most meta.at.index + 1, are no
  // longer needed, as far as they are applied: storage is told so in the next write. A follower that needs
  // them gets the snapshot. Ignored when a later one is known.
  CONFMAN_DECL void compacted(const snapshot_meta& meta, log_index keep_from);
  // Answers ready.fetches: entries as read from disk, consecutive from `from`; none if they can't be read.
  // Every fetch is to be answered; an answer that is not needed any more is ignored.
  CONFMAN_DECL void entries_fetched(node_id peer, log_index from, std::vector<entry> entries);
  // What was to bring a snapshot to this follower has ended, and it may not have arrived: the follower is
  // asked where it stands, and named again in ready.snapshots_wanted if it still needs one.
  CONFMAN_DECL void snapshot_failed(node_id peer);
  // What a snapshot of the state machine as of applied() has to say. Precondition: applied() > 0.
  [[nodiscard]] CONFMAN_DECL snapshot_meta describe_snapshot() const;
  // The newest durable snapshot that this core was told of.
  [[nodiscard]] const std::optional<snapshot_meta>& snapshot() const noexcept { return snapshot_; }

  // --- output ---

  [[nodiscard]] CONFMAN_DECL bool has_ready(bool storage_idle) const;
  // Takes the work to be done. With storage_idle false no write is taken: what arrives meanwhile joins the
  // next one.
  [[nodiscard]] CONFMAN_DECL ready take_ready(bool storage_idle);

  // --- observers ---

  [[nodiscard]] confman::role role() const noexcept { return static_cast<confman::role>(role_.index()); }
  [[nodiscard]] term_t term() const noexcept { return state_.term; }
  [[nodiscard]] node_id vote() const noexcept { return state_.vote; }
  [[nodiscard]] node_id leader() const noexcept { return leader_; }
  [[nodiscard]] log_index commit() const noexcept { return state_.commit; }
  [[nodiscard]] log_index stable() const noexcept { return writes_.stable(); }
  [[nodiscard]] log_index applied() const noexcept { return applied_; }
  // What is compared with max_uncommitted_bytes: the cost() of all entries behind the commit index.
  [[nodiscard]] std::size_t uncommitted_bytes() const noexcept { return uncommitted_bytes_; }
  [[nodiscard]] const log_view& log() const noexcept { return log_; }
  [[nodiscard]] const configuration& members() const noexcept { return configurations_.effective(); }
  [[nodiscard]] const raft_options& options() const noexcept { return options_; }
  // A leader that has committed an entry of its own term: it knows the commit index (paper, 8).
  [[nodiscard]] bool leads_surely() const noexcept {
    return is_leader() && log_.term_at(state_.commit) == state_.term;
  }
  // The member that refused this data directory, if one did.
  [[nodiscard]] node_id refused_by() const noexcept { return refused_by_; }
  // A leader's view of one follower; null elsewhere.
  [[nodiscard]] CONFMAN_DECL const progress* progress_of(node_id id) const noexcept;
  // Shows a visitor all that the next inputs and outputs depend on, apart from options(). A copy of a core is
  // an independent core in the same state. Defined in state_visitor.hpp, for those who need it.
  template <class Visitor>
  void visit_state(Visitor& visit) const;

 private:
  struct follower_role {};
  struct pre_candidate_role {
    votes answers;
  };
  struct candidate_role {
    votes answers;
  };
  struct leader_role {
    std::vector<progress> peers;  // sorted by id, self included
    read_rounds rounds;
    std::uint32_t quorum_elapsed = 0;
    std::uint32_t priority_elapsed = 0;  // since the election, or since priorities were last looked at
    node_id transfer_to;                 // gone with the role: a step-down leaves nothing in progress
    std::uint32_t transfer_elapsed = 0;
    [[nodiscard]] progress* find(node_id id) noexcept {
      for (progress& p : peers)
        if (p.id == id) return &p;
      return nullptr;
    }
  };

  // dispatch
  [[nodiscard]] bool may_be_newer(const message& m) const;
  std::error_code check_sender(const message& m);
  bool pass_term_gate(const message& m);
  std::error_code dispatch(message& m);
  std::error_code handle(const message& m, pre_vote_request& body);
  std::error_code handle(const message& m, pre_vote_response& body);
  std::error_code handle(const message& m, vote_request& body);
  std::error_code handle(const message& m, vote_response& body);
  std::error_code handle(const message& m, append_request& body);
  std::error_code handle(const message& m, append_ok& body);
  std::error_code handle(const message& m, append_reject& body);
  std::error_code handle(const message& m, heartbeat& body);
  std::error_code handle(const message& m, heartbeat_response& body);
  std::error_code handle(const message& m, commit_notice& body);
  std::error_code handle(const message& m, read_index_request& body);
  std::error_code handle(const message& m, read_index_response& body);
  std::error_code handle(const message&, stale_term&) { return {}; }
  std::error_code handle(const message& m, refused& body);
  std::error_code handle(const message&, forward_request&) { return {}; }
  std::error_code handle(const message&, forward_response&) { return {}; }
  std::error_code handle(const message& m, timeout_now& body);
  std::error_code handle(const message&, snapshot_piece&) { return {}; }
  std::error_code handle(const message&, snapshot_piece_response&) { return {}; }
  std::error_code handle(const message&, join_request&) { return {}; }
  std::error_code handle(const message&, join_response&) { return {}; }

  // elections
  void become_follower(term_t term, node_id leader);
  void become_pre_candidate();
  void become_candidate(bool transfer);
  void become_leader(const votes& granted);
  void tick_leader(leader_role& self);
  std::error_code accept_leader(const message& m);
  void reset_election_timer();
  [[nodiscard]] bool hears_leader() const noexcept;
  [[nodiscard]] bool up_to_date(version last) noexcept {
    refused_behind_ = refused_behind_ || last < log_.last();
    if (CONFMAN_MUTANT(vote_strictly_newer)) return last > log_.last();
    if (CONFMAN_MUTANT(vote_longest_log)) return last.index >= log_.last_index();
    if (CONFMAN_MUTANT(vote_latest_term)) return last.term >= log_.last().term;
    return last >= log_.last() || CONFMAN_MUTANT(vote_any_log);
  }

  // replication
  void append(entry_type type, shared_bytes payload);
  std::error_code append_from(const append_request& body, log_index& match);
  void truncate(log_index from);
  void commit_to(log_index index);
  [[nodiscard]] bool lacks_acknowledged(log_index commit) const noexcept;
  void advance_commit(leader_role& self);
  void replicate(leader_role& self);
  void send_appends(progress& peer);
  void send_entries(progress& peer, const log_place& previous, std::vector<entry> entries);
  [[nodiscard]] std::vector<entry> entries_for(const progress& peer) const;
  [[nodiscard]] bool window_open(const progress& peer) const noexcept;
  void send_heartbeats(leader_role& self);
  [[nodiscard]] log_index last_for(const progress& peer) const noexcept;
  [[nodiscard]] bool replication_due(const progress& peer) const noexcept;

  // membership
  void append_configuration(configuration next);
  void follow_configuration();
  void follow_commit();
  void note_directory(progress& peer, incarnation_id incarnation, bool acknowledges);
  void bind_answered();
  [[nodiscard]] bool founding() const noexcept { return members_at() == log_index{}; }
  [[nodiscard]] vote_result count(const votes& answers) const;
  [[nodiscard]] failure refuse_change(std::span<const member_change> changes) const;
  [[nodiscard]] failure refuse_promotion(const member_change& change) const;
  [[nodiscard]] bool close_behind(const progress& peer) const noexcept;
  [[nodiscard]] const member* own_vote() const noexcept;
  // Our own word counts for this voter: it is bound to this data directory.
  [[nodiscard]] bool speaks_for(const member& voter) const noexcept {
    return voter.id == options_.self && voter.incarnation == options_.incarnation;
  }
  [[nodiscard]] bool removed_for_good() const noexcept;

  // leadership
  [[nodiscard]] bool may_campaign() const noexcept;
  void miss_leader();
  void push_transfer(leader_role& self);
  void tick_transfer(leader_role& self);
  void tick_priority(leader_role& self);
  [[nodiscard]] node_id best_successor(const leader_role& self, unsigned above_priority) const;
  [[nodiscard]] std::uint32_t priority_delay() const noexcept;

  // snapshots and compaction
  void recover_log(recovered_log& recovered);
  void begin_at(const snapshot_meta& meta);
  void acknowledge(log_index match);
  void trim(std::size_t just_droppable = 0);
  std::error_code skip_compacted(append_request& body);
  [[nodiscard]] std::optional<log_place> place_before(const progress& peer) const;
  void read_or_snapshot(progress& peer, log_index from);
  void want_snapshot(progress& peer);
  [[nodiscard]] bool is_of_log(log_index from, const std::vector<entry>& entries) const;
  void ask_again(progress& peer);
  void ask_silent_peers();

  // reads
  void begin_reads();
  void confirm_reads(leader_role& self);
  void retry_reads();
  void release_reads();
  [[nodiscard]] bool reads_due() const noexcept;

  // plumbing
  void send(node_id to, message_body body);
  void send_when_durable(node_id to, message_body body);
  void release_held();
  [[nodiscard]] message envelope(node_id to, message_body body) const;
  [[nodiscard]] bool is_leader() const noexcept { return std::holds_alternative<leader_role>(role_); }
  [[nodiscard]] leader_role* as_leader() noexcept { return std::get_if<leader_role>(&role_); }
  void check_invariants();

  struct held_message {
    write_seq after;
    message m;
  };

  raft_options options_;
  random_source random_;
  hard_state state_;
  log_view log_;
  configuration_log configurations_;
  write_window writes_;
  std::variant<follower_role, pre_candidate_role, candidate_role, leader_role> role_;
  node_id leader_;
  incarnation_id voted_for_;  // the data directory that has our vote; 0: not known, since a restart
  node_id refused_by_;
  log_index applied_;       // executed by the state machine
  log_index apply_handed_;  // given out to be executed
  std::size_t uncommitted_bytes_ = 0;
  std::uint32_t election_elapsed_ = 0;  // ticks since a leader was heard, a vote granted, or a campaign began
  std::uint32_t election_timeout_ = 0;
  std::uint32_t heartbeat_elapsed_ = 0;
  std::uint32_t missed_leaders_ = 0;  // election timeouts in a row in which we didn't stand
  bool refused_behind_ = false;  // a candidate asked in vain, its log is behind ours; since the last leader
  std::vector<read_id> new_reads_;
  std::vector<remote_read> new_remote_reads_;
  follower_reads follower_reads_;
  std::vector<read_answer> answered_reads_;
  std::vector<message> outbox_;
  std::deque<held_message> held_;  // promises that wait for the disk, in order
  std::optional<snapshot_meta> snapshot_;
  log_index stored_first_{1};             // what is before, storage may have freed
  std::optional<log_place> stored_base_;  // the place before that, if its hash is known
  std::vector<node_id> snapshots_wanted_;
  std::vector<entry_fetch> fetches_;
  // what invariants 2 and 4 compare with
  term_t checked_term_;
  node_id checked_vote_;
  log_index checked_commit_;
  log_index checked_applied_;
};

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/core/impl/election.ipp"
#include "confman/core/impl/leadership.ipp"
#include "confman/core/impl/membership.ipp"
#include "confman/core/impl/raft_core.ipp"
#include "confman/core/impl/reads.ipp"
#include "confman/core/impl/replication.ipp"
#include "confman/core/impl/snapshots.ipp"
#endif
