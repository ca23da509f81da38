// A whole cluster with its clients and its bad luck, in one thread and in virtual time.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "confman/sim/node.hpp"

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
// Use:
//   confman::sim::world world(confman::sim::scenario::draw(42));
//   world.run();   // throws confman::sim::violation
class world {
 public:
  // `echo`: print every trace record.
  CONFMAN_DECL explicit world(const scenario& plan, bool echo = false);
  CONFMAN_DECL ~world();
  world(const world&) = delete;
  world& operator=(const world&) = delete;

  // Once. Throws violation.
  CONFMAN_DECL outcome run();

  // For whoever reports a failure.
  [[nodiscard]] const trace& log() const noexcept { return shared_.log; }
  [[nodiscard]] const scenario& plan() const noexcept { return shared_.plan; }

 private:
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
  void cancel_one();
  void lose_calls(const node& n);
  [[nodiscard]] node* pick_running();

  // trouble
  void trouble();
  void strike(fault::set one);
  void cut_power(node& n, std::uint64_t least, std::uint64_t most);
  void crash(node& n);
  void restart(node& n);
  void spoil(node& n);
  void resume(node& n);
  void cut_network();
  void cut_leader();
  void power_loss();
  void cut_both(node_id a, node_id b);
  [[nodiscard]] node& pick_victim();
  [[nodiscard]] node* leader();
  [[nodiscard]] survival draw_survival();

  // the members
  void admin_turn();
  void draw_change(const configuration& members, std::vector<member_change>& changes);
  change_call& new_change(node& at);
  bool invite(const configuration& members);
  void retire();
  void lose_disk(node& n);
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
  void heal_quorum();
  void check_liveness();
  void hide_leader(const node& from);
  void check_stability();
  void converge();
  [[nodiscard]] bool converged();

  environment shared_;
  dice dice_;
  std::vector<std::unique_ptr<node>> nodes_;  // [i] has id i + 1
  std::vector<client> clients_;
  std::deque<write_call> writes_;
  std::deque<read_call> reads_;
  std::vector<write_call*> free_writes_;
  std::vector<read_call*> free_reads_;
  std::deque<change_call> changes_;
  std::vector<change_call*> free_changes_;
  std::uint64_t changes_asked_ = 0;
  std::vector<term_t> led_;    // the last term in which each node was seen to lead
  std::vector<bool> in_use_;   // by id: somebody has started it, and will again
  std::vector<bool> removed_;  // by id: its removal was asked for since
  std::vector<node_id> quorum_;
  bool troubled_ = true;
  bool clients_active_ = true;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t fresh_reads_ = 0;
};

}  // namespace confman::sim

#if !defined(CONFMAN_COMPILED)
#include "confman/sim/impl/clients.ipp"
#include "confman/sim/impl/members.ipp"
#include "confman/sim/impl/trouble.ipp"
#include "confman/sim/impl/world.ipp"
#endif
