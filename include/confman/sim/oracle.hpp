// Sees everything, takes part in nothing: checks the protocol's promises at each event.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "confman/core/raft_core.hpp"
#include "confman/sim/statistics.hpp"
#include "confman/sim/trace.hpp"

namespace confman::sim {

// Knows what no node knows: what is on every platter, who voted for whom, what was ever committed. Every
// check is O(1) per event or per entry. A broken promise throws sim::violation, which names the invariant (1
// to 11 of `invariant`).
//
// It keeps its own account of each disk from the writes that the core hands out and the syncs that the log
// claims; the account is compared with what recovery finds after every crash, so a log that claims too much
// is caught there.
class oracle {
 public:
  oracle(std::size_t nodes, trace& log, statistics& counts)
      : trace_(log), counts_(counts), nodes_(nodes + 1), terms_(1), committed_(1), seen_(1), states_(1) {}
  oracle(const oracle&) = delete;
  oracle& operator=(const oracle&) = delete;

  // --- disks ---
  // The core hands out a write (before storage sees it).
  CONFMAN_DECL void on_write(node_id node, const write_batch& batch, const raft_core& core);
  // The log is about to be given the batch: from here on a crash may keep it.
  CONFMAN_DECL void on_append(node_id node, const write_batch& batch);
  // The log says that all appended batches are durable.
  CONFMAN_DECL void on_synced(node_id node);
  // A log was opened after a crash, or for the first time; `shadow`: a copy of the platter was opened
  // instead, and must hold exactly what was synced.
  // `rotten`: acknowledged data was damaged on purpose, so that a snapshot may be missing.
  CONFMAN_DECL void on_recovered(node_id node, const recovered_log& found, bool shadow, bool rotten = false);
  // A node has read entries of its log back, for a follower.
  CONFMAN_DECL void on_fetched(node_id node, log_index from, const std::vector<entry>& entries,
                               const raft_core& core);
  // The store says that this snapshot is durable.
  CONFMAN_DECL void on_snapshot_durable(node_id node, const snapshot_meta& meta);
  // The end of the log on the platter was damaged so that it may pass for a torn write: the entries of the
  // last sync, from `from` on, may be gone. Precondition: may_lose_tail(node, from).
  CONFMAN_DECL void on_tail_damaged(node_id node, log_index from);
  // Another, empty disk.
  CONFMAN_DECL void on_wiped(node_id node);

  // --- nodes ---
  // A node runs again, from what was recovered.
  CONFMAN_DECL void on_start(node_id node, const raft_core& core);
  // A message leaves a node, now.
  CONFMAN_DECL void on_send(node_id node, const message& m, const raft_core& core);
  // A leader has taken an append_ok of `from`.
  CONFMAN_DECL void on_acknowledged(node_id node, node_id from, const raft_core& core);
  // After every input of a node.
  CONFMAN_DECL void on_step(node_id node, const raft_core& core);
  // After every tick of a node.
  CONFMAN_DECL void on_tick(node_id node, const raft_core& core);
  // The state that a node publishes at an applied index.
  CONFMAN_DECL void on_published(node_id node, log_index index, std::uint64_t state_hash);
  // The state of which a node takes a snapshot.
  CONFMAN_DECL void on_captured(node_id node, const snapshot_meta& meta, std::uint64_t state_hash);

  [[nodiscard]] static std::string show(version v);

  // --- what is known ---
  [[nodiscard]] log_index committed() const noexcept { return log_index(committed_.size() - 1); }
  [[nodiscard]] term_t committed_term(log_index i) const noexcept { return committed_[i.value()].term; }
  [[nodiscard]] chain_hash committed_hash(log_index i) const noexcept { return committed_[i.value()].hash; }
  // The newest committed configuration; nothing as long as only the bootstrap one is in force.
  [[nodiscard]] const configuration* committed_members() const noexcept {
    return configurations_.empty() ? nullptr : &configurations_.rbegin()->second;
  }
  // The effective configuration of a node, when it last ran.
  [[nodiscard]] const configuration& members_of(node_id node) const noexcept {
    return nodes_[node.value()].members;
  }
  // Where the newest committed configuration stands.
  [[nodiscard]] log_index committed_members_at() const noexcept {
    return configurations_.empty() ? log_index{} : configurations_.rbegin()->first;
  }
  // Whether `holds(configuration)` is true for the newest committed configuration and for each that may
  // follow it: that a node has, or that was ever in a log, and may still be on a disk or on its way to one.
  // False as long as only the bootstrap one is in force.
  template <class Holds>
  [[nodiscard]] bool for_possible_members(Holds&& holds) const {
    const configuration* committed = committed_members();
    return committed && holds(*committed) &&
           std::all_of(nodes_.begin(), nodes_.end(),
                       [&](const node_account& n) {
                         return n.members_at <= committed_members_at() || holds(n.members);
                       }) &&
           std::all_of(changes_.begin(), changes_.end(),
                       [&](const change& c) { return !may_follow(c) || holds(c.members); });
  }
  // Whether the platter of a node holds everything that is committed, or all of it up to `last`.
  [[nodiscard]] bool holds_committed(node_id node) const { return holds_committed(node, committed()); }
  [[nodiscard]] bool holds_committed(node_id node, log_index last) const {
    return holds(nodes_[node.value()], last, committed_hash(last));
  }
  // Nothing un-synced may have survived behind the entries from `from` on, and these are all that is.
  [[nodiscard]] bool may_lose_tail(node_id node, log_index from) const {
    const node_account& account = nodes_[node.value()];
    return account.appended.empty() && from > account.released + 1 && from > account.snapshot + 1 &&
           from > log_index(1) && account.log.size() > from.value();
  }
  // The last entry that survives a loss of power.
  [[nodiscard]] log_index durable_last(node_id node) const noexcept {
    return log_index(nodes_[node.value()].log.size() - 1);
  }

 private:
  struct place {
    term_t term;
    chain_hash hash;
    friend bool operator==(const place&, const place&) = default;
  };
  struct committed_place {
    term_t term;
    chain_hash hash;
    term_t by;  // the term of the leader that committed it
  };
  // A batch as the disk would keep it.
  struct stage {
    std::optional<log_index> truncate_from;
    std::vector<place> entries;
    log_index first;
    std::optional<hard_state> state;
    std::optional<log_reset> reset;
    log_index release_before;
  };
  // How far a leader knew a follower's log to agree with its own.
  struct matched {
    term_t term;
    incarnation_id bound;
    incarnation_id answered;
    log_index match;
  };
  // For whom a vote is: a data directory.
  struct ballot {
    node_id candidate;
    incarnation_id directory;
    friend bool operator==(const ballot&, const ballot&) = default;
  };
  struct node_account {
    // the platter: what was synced
    hard_state durable;
    std::vector<place> log{1};   // [0] is the empty log
    std::deque<stage> appended;  // given to the log and not synced
    log_index released;          // entries up to here may be gone
    log_index forgotten;         // it may have lost acknowledged entries up to here
    log_index snapshot;          // up to here a durable snapshot stands for the log
    configuration members;       // the effective one
    log_index members_at;
    std::uint64_t boot = 0;
    incarnation_id incarnation;
    std::map<term_t, ballot> votes;
    // the running process
    term_t term;
    log_index commit;
    log_index applied;
    term_t leads;  // the term in which this process leads, 0 if it doesn't
    version last_as_leader;
    chain_hash last_hash_as_leader;
    node_id hands_over_to;
    std::pair<term_t, node_id> handed_over;  // the last hand-over that was seen under way: its term, to whom
    std::uint64_t hand_over_ticks = 0;       // so long it is under way
    std::map<node_id, matched> followers;
  };

  // A configuration that was in a log.
  struct change {
    log_index at;
    chain_hash hash;
    configuration members;
  };

  // It isn't committed, nor is anything in its place.
  [[nodiscard]] bool may_follow(const change& c) const {
    return c.at > committed_members_at() && (c.at > committed() || committed_hash(c.at) == c.hash);
  }
  void note_change(const entry& e);
  void apply(const stage& s, node_account& account) const;
  void check_snapshot(node_id node, const snapshot_meta& meta);
  void check_members(node_id node, node_account& account, log_index commit_before, const raft_core& core);
  void check_memory(node_id node, const raft_core& core);
  void check_stable(node_id node, const raft_core& core);
  void count_kinds(const configuration& before, const configuration& after);
  [[nodiscard]] static bool majorities_meet(const configuration& a, const configuration& b);
  [[nodiscard]] std::optional<chain_hash> hash_at(const raft_core& core, log_index i) const;
  [[nodiscard]] static bool matches(const node_account& account, const recovered_log& found);
  [[nodiscard]] bool on_platter(node_id node, log_index index, chain_hash hash) const;
  [[nodiscard]] bool holds(const node_account& account, log_index index, chain_hash hash) const;
  // What this directory holds, or held when it was lost: its word counted then, and still does.
  [[nodiscard]] bool has_held(const member& m, log_index index, chain_hash hash) const;
  void check_promise(node_id node, const message& m, const raft_core& core);
  void check_transfer(node_id node, const message& m, const raft_core& core);
  void record_vote(node_id node, term_t term, const ballot& vote);
  void check_leader(node_id node, node_account& account, const raft_core& core);
  void check_elected(node_id node, const raft_core& core);
  void check_votes(node_id node, const raft_core& core);
  void check_leading(node_id node, const node_account& account, const raft_core& core);
  void check_left(node_id node, const configuration& joint, const raft_core& core);
  void check_promotions(node_id node, const configuration& before, log_index commit_before,
                        const raft_core& core);
  void check_binding(node_id node, const configuration& before, log_index before_at, const raft_core& core);
  [[nodiscard]] bool has_voted(const member& m, term_t term, const ballot& vote) const;
  void check_progress(node_id node, node_account& account, const progress& peer, const raft_core& core);
  void check_window(node_id node, const message& m, const raft_core& core);
  void check_committed(node_id node, log_index from, const raft_core& core, bool leads);
  void check_quorum(node_id node, log_index index, const raft_core& core, const configuration& members);

  trace& trace_;
  statistics& counts_;
  std::vector<change> changes_;                                      // those that may follow, and some more
  std::vector<node_account> nodes_;                                  // by id; 0 unused
  std::map<std::pair<node_id, incarnation_id>, node_account> lost_;  // disks that were wiped
  std::vector<node_id> terms_;                                       // leader of each term
  std::vector<committed_place> committed_;                           // by index
  std::vector<std::vector<place>> seen_;                             // by index: what was ever written there
  std::map<log_index, configuration> configurations_;                // the committed ones, by index
  std::vector<std::optional<std::uint64_t>> states_;                 // by index: hash of the state
};

}  // namespace confman::sim

#if !defined(CONFMAN_COMPILED)
#include "confman/sim/impl/oracle.ipp"
#include "confman/sim/impl/oracle_leaders.ipp"
#endif
