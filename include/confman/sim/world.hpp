// A whole cluster with its clients and its bad luck, in one thread and in virtual time.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "confman/sim/applications.hpp"
#include "confman/sim/decision.hpp"
#include "confman/sim/fault_atlas.hpp"
#include "confman/sim/node.hpp"
#include "confman/sim/watchers.hpp"

namespace confman::sim {

// What a run ended with, when it ended well.
struct outcome {
  statistics counts;
  std::uint64_t trace_hash = 0;  // equal for equal runs
  std::uint64_t trace_count = 0;
};

// Runs a scenario: trouble first, while all the safety invariants are checked; then a quorum is healed and
// must elect, write and read; then everything is healed and must converge. The same scenario gives the same
// run, to the last event: nothing depends on addresses, on the machine's clock or on an order that isn't
// specified.
//
// What the trouble and the administrator decide is recorded. The scenario and that list give the same run
// again, and the scenario with a part of the list is a run as well, in which less happens.
//
// Use:
//   confman::sim::world world(confman::sim::scenario::draw(42));
//   world.run();   // throws confman::sim::violation
class world {
 public:
  // Decides by itself, from the scenario's seed. `echo`: print every trace record. Both throw
  // std::invalid_argument for a scenario that can't be run, for example one without clients.
  CONFMAN_DECL explicit world(const scenario& plan, bool echo = false);
  // Carries out these decisions and no others, in the order of their times; those of equal times in the given
  // order.
  CONFMAN_DECL world(const scenario& plan, std::vector<decision> decisions, bool echo = false);
  CONFMAN_DECL ~world();
  world(const world&) = delete;
  world& operator=(const world&) = delete;

  // Every process of a member runs this application, too. There are no watchers then. Before run().
  void host(application_suite suite) { applications_.use(std::move(suite)); }

  // What the clients ask and are answered is written there as well. Before run(); must outlive it.
  void record(std::vector<recorded_call>& calls) { shared_.clients.record_calls(calls); }

  // Once. Throws violation.
  CONFMAN_DECL outcome run();

  // For whoever reports a failure.
  [[nodiscard]] const trace& log() const noexcept { return shared_.log; }
  // What has happened so far; what its disks count is added at the end.
  [[nodiscard]] const statistics& counts() const noexcept { return shared_.counts; }
  [[nodiscard]] const scenario& plan() const noexcept { return shared_.plan; }
  // What was decided so far and has had an effect, in order.
  [[nodiscard]] const std::vector<decision>& decisions() const noexcept { return decisions_; }

 private:
  CONFMAN_DECL world(const scenario& plan, std::vector<decision>&& decisions, bool replays, bool echo);

  class write_call;
  class read_call;
  class change_call;
  // A write of a session whose outcome the client doesn't know.
  struct write_again {
    std::uint64_t call = 0;
    std::uint64_t session = 0;
    std::uint64_t sequence = 0;
    shared_bytes command;
    unsigned attempts = 0;
  };
  struct client {
    dice own{0};                // what it draws changes nothing for the others
    std::uint32_t open = 0;     // calls under way
    std::uint64_t token = 0;    // the newest index it was told
    std::uint64_t session = 0;  // 0: none
    std::uint64_t sequence = 0;
    std::vector<std::uint64_t> waiting;  // sequences without an answer
    std::deque<write_again> again;
  };

  // time
  template <class Done>
  bool run_until(micros end, Done&& done);
  void dispatch(const event& e);
  void dispatch_to(node& n, const event& e);
  void after(node& n);

  // clients
  void client_turn(std::uint32_t who);
  void issue(std::uint32_t who);
  void issue_write(std::uint32_t who, node& at, call_kind kind, std::uint32_t key);
  void submit_write(std::uint32_t who, node& at, call_kind kind, std::uint64_t id, write_again what);
  void send_again(std::uint32_t who);
  void upload(std::uint32_t who, node& at, std::uint32_t key);
  void issue_read(std::uint32_t who, node& at, call_kind kind, std::uint32_t key);
  void cancel_one(dice& own);
  void lose_calls(const node& n);
  void check_visible(const node& at, log_index written) const;
  void check_deadlines() const;
  [[nodiscard]] node* pick_running(dice& own);

  // decisions
  static constexpr micros never = ~micros{0};
  // What a loss of power that is still to come leaves, and for how long.
  struct aftermath {
    survival survive = survival::some;
    micros down = 0;
    std::uint64_t seed = 0;
  };
  [[nodiscard]] micros next_decision() const;
  void decide();
  void perform(const decision& d);
  [[nodiscard]] bool carry_out(const decision& d);
  [[nodiscard]] bool strike(const decision& d, node& n);
  void strike_disk(const decision& d, node& n);
  void jump_wall_clock(const node& n, std::uint64_t seed, std::int64_t sign);
  [[nodiscard]] bool strike_down(const decision& d, node& n);
  [[nodiscard]] bool administer(const decision& d, node& n);
  void partition(const decision& d);
  void power_loss(const decision& d);
  void arm(node& n, const decision& d);
  void pause(node& n, const decision& d);
  [[nodiscard]] bool rot(node& n, std::uint64_t seed);
  [[nodiscard]] bool rot_tail(node& n, std::uint64_t seed);
  [[nodiscard]] bool latent_rot(node& n, std::uint64_t seed);
  [[nodiscard]] bool wipe(node& n);
  [[nodiscard]] bool change(const decision& d, node& at);
  void submit(change_call& call, const decision& d, node& at);
  void check_change(const node& at, const std::vector<member_change>& changes) const;
  [[nodiscard]] bool invite(const decision& d, node& n);
  [[nodiscard]] bool retire(const decision& d, node& n);

  // what becomes of nodes
  void crash(node& n);
  void crash(node& n, const aftermath& what);
  void restart(node& n);
  void resume(node& n);

  // drawing decisions
  void draw_trouble();
  void draw_fault(fault::set one);
  void draw_partition(decision d);
  void draw_leader_cut(decision d);
  void defer(const decision& d);
  void react_to_election(const node& n);
  void react_to_hand_over(const node& n);
  void react_to_crash(const node& n, bool was_up);
  [[nodiscard]] decision new_decision(decision_kind kind, const node& n);
  void draw_fuse(decision& d, std::uint64_t least, std::uint64_t most);
  void draw_aftermath(decision& d);
  [[nodiscard]] node& pick_victim();
  [[nodiscard]] node* leader();
  [[nodiscard]] survival draw_survival();

  // the members
  void admin_turn();
  void draw_changes(const configuration& members, decision& d);
  [[nodiscard]] std::optional<member_edit> draw_change(const configuration& members);
  [[nodiscard]] bool draw_invitation(const configuration& members);
  void draw_retirement();
  change_call& new_change(node& at);
  [[nodiscard]] bool may_retire(const node& n) const;
  [[nodiscard]] bool may_wipe(const node& victim) const;
  template <class Counts>
  [[nodiscard]] bool can_decide(const configuration& c, Counts&& counts) const;
  [[nodiscard]] bool is_member(const node& n) const;

  // the end
  [[nodiscard]] std::string describe_nodes() const;
  static constexpr std::uint64_t most_pieces = 100'000;  // of snapshots, that count as progress
  // Whether some node's configuration has it as a voter.
  [[nodiscard]] bool votes_somewhere(node_id id) const;
  [[nodiscard]] bool sufficient(const std::vector<bool>& healed) const;
  void heal_network();
  void heal(node& n);
  [[nodiscard]] decision draw_quorum();
  void heal_quorum();
  void heal_these(const decision& d);
  void keep_quorum(const node& leader);
  [[nodiscard]] micros serve_by();
  template <class What>
  [[nodiscard]] bool is_behind(What&& what, std::uint64_t slack) const;
  [[nodiscard]] bool lacks_entries() const;
  [[nodiscard]] bool lacks_snapshot() const;
  void check_liveness();
  void hide_leader(const node& from);
  void ruin();
  void check_stability();
  void check_bound();
  void check_priorities();
  void check_transfer();
  void wait_for_convergence();
  void converge();
  [[nodiscard]] bool converged();

  environment shared_;
  dice dice_;  // of the decisions only
  std::vector<client> clients_;
  std::vector<decision> decisions_;  // carried out
  const bool replays_;               // carries out script_ instead of drawing
  std::vector<decision> script_;     // without that of the quorum
  std::optional<decision> quorum_script_;
  std::size_t next_ = 0;          // in script_
  std::deque<decision> pending_;  // drawn in answer to something, due a moment later
  micros trouble_at_ = never;
  micros admin_at_ = never;
  std::uint32_t partitions_ = 0;
  std::vector<std::unique_ptr<node>> nodes_;  // [i] has id i + 1
  watchers watchers_{shared_, nodes_};
  applications applications_{shared_};
  fault_atlas atlas_{shared_.judge, nodes_};
  std::deque<write_call> writes_;
  std::deque<read_call> reads_;
  std::vector<write_call*> free_writes_;
  std::vector<read_call*> free_reads_;
  std::deque<change_call> changes_;
  std::vector<change_call*> free_changes_;
  std::uint64_t changes_asked_ = 0;
  std::vector<term_t> led_;                      // the last term in which each node was seen to lead
  std::vector<std::optional<aftermath>> armed_;  // by id: of the loss of power that a decision prepared
  std::vector<aftermath> stops_;                 // by id: of the end of a process that leaves
  std::vector<std::uint64_t> pause_seeds_;       // by id
  std::vector<bool> fell_;     // by id: the last crash was one of a running process, not of a recovery
  std::vector<bool> in_use_;   // by id: somebody has started it, and will again
  std::vector<bool> removed_;  // by id: its removal was asked for since
  std::vector<node_id> quorum_;
  micros healed_at_ = 0;                   // when the last of the quorum was
  micros behind_at_ = 0;                   // when one of it was last seen to need a snapshot
  node_id hidden_;                         // the one of it that doesn't hear the leader
  std::pair<term_t, log_index> judged_{};  // the leader and configuration that it was last compared with
  bool troubled_ = true;
  bool clients_active_ = true;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t fresh_reads_ = 0;
};

}  // namespace confman::sim

#if !defined(CONFMAN_COMPILED)
#include "confman/sim/impl/clients.ipp"
#include "confman/sim/impl/decisions.ipp"
#include "confman/sim/impl/members.ipp"
#include "confman/sim/impl/trouble.ipp"
#include "confman/sim/impl/world.ipp"
#endif
