// Seeded random runs of a cluster whose members change all the time: added, removed, promoted, demoted, bound
// and unbound, the leader replaced, leadership transferred; under loss, reordering, duplicates and crashes.
#include <doctest/doctest.h>

#include <map>

#include "confman/core/random.hpp"
#include "lib/core_harness.hpp"
#include "lib/effort.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

constexpr std::uint64_t founders = 3;
constexpr std::uint64_t everybody = 7;

class churning_world {
 public:
  explicit churning_world(std::uint64_t seed)
      : random_(seed), loss_(random_.below(20)), crashes_(random_.below(4)) {
    const bool by_majority = random_.below(3) == 0;
    for (std::uint64_t i = 1; i <= everybody; ++i) {
      const auto change = [&](raft_options& o) {
        o.seed = seed * 64 + i;
        o.election_ticks = 6;
        o.heartbeat_ticks = 2;
        o.max_append_entries = 1 + random_.below(4);
        o.promotion_lag = random_.below(5);
        o.priority_check_ticks = static_cast<std::uint32_t>(random_.below(3) * 20);
        o.first_election_by_majority = by_majority;
      };
      nodes_.push_back(
          std::make_unique<test_node>(i, i <= founders ? voters(founders) : configuration{}, change));
    }
  }

  void trouble(int steps) {
    while (steps-- > 0 && broken_.empty()) {
      test_node& node = any_node();
      if (!node.running()) {
        if (random_.below(10) == 0) node.restart();
        continue;
      }
      one_step(node);
      if (random_.below(2000) == 0) apart_ = node_id(random_.below(2 * everybody));
      if (random_.below(500) < crashes_)
        node.crash(random_.below(node.writing.size() + 1), static_cast<int>(random_.below(4)));
    }
  }

  // Everybody runs, nothing is lost, nobody asks for changes: until all members of the last configuration
  // agree on it and on a fresh entry. In ticks; 0: never.
  std::uint32_t heal() {
    for (auto& node : nodes_)
      if (!node->running()) node->restart();
    apart_ = node_id{};
    log_index last;
    for (std::uint32_t ticks = 1; ticks <= 300; ++ticks) {
      for (auto& node : nodes_) node->tick();
      for (int i = 0; i < 30; ++i) exchange();
      for (auto& node : nodes_) {
        if (last || !(*node)->leads_surely() || (*node)->change_under_way()) continue;
        const raft_core::proposed fresh = (*node)->propose(text("last"));
        if (!fresh.code) last = fresh.at.index;
      }
      if (last && agreed(last)) return ticks;
    }
    return 0;
  }

  [[nodiscard]] const std::string& broken() const { return broken_; }
  [[nodiscard]] std::size_t leaders() const { return leader_of_.size(); }
  [[nodiscard]] std::size_t committed() const { return committed_.size(); }
  [[nodiscard]] std::size_t changes() const { return changes_; }
  [[nodiscard]] std::size_t transfers() const { return transfers_; }
  // Distinct configurations that were committed.
  [[nodiscard]] std::size_t configurations() const { return configurations_; }

 private:
  test_node& any_node() { return *nodes_[static_cast<std::size_t>(random_.below(everybody))]; }

  void one_step(test_node& node) {
    switch (random_.below(24)) {
      case 0:
        node.tick();
        break;
      case 1:
      case 2:
        node.persist_one();
        look_at(node);
        break;
      case 3:
        (void)node->propose(text(std::to_string(++proposals_)));
        break;
      case 4:
        if (random_.below(3) == 0) ask_for_change(node);
        break;
      case 5:
      case 6:
      case 7:
        pump(node, random_.below(3) != 0);
        break;
      case 8:
        if (random_.below(15) == 0) lead_otherwise(node);
        break;
      default:
        deliver_any();
        break;
    }
  }

  void lead_otherwise(test_node& node) {
    if (random_.below(8) == 0) return node->resign();
    if (!node->transfer_leadership(node_id(random_.below(everybody + 1)))) ++transfers_;
  }

  // One to three random changes; most of those that make no sense are refused, which is tested, too.
  void ask_for_change(test_node& node) {
    std::vector<member_change> asked;
    for (std::uint64_t n = 1 + random_.below(3); n > 0; --n) {
      const std::uint64_t id = 1 + random_.below(everybody);
      const auto priority = static_cast<std::uint8_t>(random_.below(4));
      const std::uint64_t kind = random_.below(5);
      if (kind == 0) asked.push_back(add_learner(id));
      if (kind == 1) asked.push_back(add_voter(id, priority));
      if (kind == 2) asked.push_back({member_change::action::add_learner, {node_id(id), {}}});
      if (kind == 3) asked.push_back(remove_member(id));
      if (kind == 4) asked.push_back({member_change::action::update, {node_id(id), {}, {}, priority}});
    }
    const bool leads = node->role() == role::leader, sure = node->leads_surely();
    const bool busy = node->change_under_way();
    const log_index last = node->log().last_index();
    const raft_core::change_proposed begun = node->propose_change(asked);
    if (begun.error) {
      if (node->log().last_index() != last) fail("a refused change changes nothing");
      return;
    }
    ++changes_;
    if (!leads || !sure || busy) fail("one change in flight, none before a commit of the own term");
    if (node->members_at() != begun.at.index) fail("effective when appended");
  }

  void deliver_any() {
    if (wire_.empty()) return;
    const std::size_t at = random_.below(3) == 0 ? static_cast<std::size_t>(random_.below(wire_.size())) : 0;
    message m = wire_[at];
    if (random_.below(20) != 0) wire_.erase(wire_.begin() + static_cast<std::ptrdiff_t>(at));
    if (random_.below(100) < loss_ || m.from == apart_ || m.to == apart_) return;
    test_node& to = *nodes_[static_cast<std::size_t>(m.to.value() - 1)];
    if (to.running()) receive(to, std::move(m));
  }

  void receive(test_node& node, message m) {
    const std::error_code error = node->step(std::move(m));
    // Late words of who is a member no longer, or not yet.
    if (error && error != errc::unknown_peer) fail("a sound message was refused: " + error.message());
    look_at(node);
  }

  void exchange() {
    for (auto& node : nodes_) {
      pump(*node, true);
      node->persist();
      look_at(*node);
    }
    std::deque<message> now = std::exchange(wire_, {});
    for (message& m : now) receive(*nodes_[static_cast<std::size_t>(m.to.value() - 1)], std::move(m));
  }

  void pump(test_node& node, bool storage_idle) {
    const std::size_t applied = node.applied.size();
    node.pump(storage_idle);
    for (std::size_t i = applied; i < node.applied.size(); ++i) {
      const entry& e = node.applied[i];
      if (e.index.value() != i + 1) fail("entries are applied in order, each once");
      if (e.index.value() > committed_.size())
        commit(e);
      else if (committed_[i] != e)
        fail("committed prefixes agree");
    }
    for (message& m : node.sent) {
      if (const auto* vote = std::get_if<vote_response>(&m.body); vote && vote->granted)
        if (votes_.emplace(std::pair(m.from, m.term), m.to).first->second != m.to) fail("one vote per term");
      wire_.push_back(std::move(m));
    }
    while (wire_.size() > 60 * everybody) wire_.pop_front();
    node.sent.clear();
  }

  void commit(const entry& e) {
    committed_.push_back(e);
    if (e.type != entry_type::configuration) return;
    ++configurations_;
    const auto members = decode_configuration(e.payload.view());
    if (!members || check_configuration(*members)) fail("committed configurations keep their invariants");
  }

  void look_at(test_node& node) {
    if (node->role() != role::leader) return;
    const auto [it, news] = leader_of_.emplace(node->term(), node.id());
    if (it->second != node.id()) fail("one leader per term");
    if (!news) return;
    for (const entry& e : committed_)
      if (node->log().hash_at(e.index) != e.hash) return fail("leader completeness");
  }

  [[nodiscard]] bool agreed(log_index last) {
    const test_node* leader = nullptr;
    for (auto& node : nodes_)
      if ((*node)->leads_surely() && (!leader || (*leader)->term() < (*node)->term())) leader = node.get();
    if (!leader || (*leader)->change_under_way() || (*leader)->commit() < last) return false;
    for (auto& node : nodes_) {
      if (!(*leader)->members().contains(node->id())) continue;
      if ((*node)->commit() != (*leader)->log().last_index()) return false;
      if ((*node)->members() != (*leader)->members()) return false;
      if ((*node)->log().last_hash() != (*leader)->log().last_hash()) return false;
      if ((*node)->leader() != leader->id()) return false;
    }
    return true;
  }

  void fail(const std::string& what) {
    if (broken_.empty()) broken_ = what;
  }

  random_source random_;
  std::uint64_t loss_;     // percent
  std::uint64_t crashes_;  // per 500 steps
  std::vector<std::unique_ptr<test_node>> nodes_;
  std::deque<message> wire_;
  node_id apart_;
  std::uint64_t proposals_ = 0;
  std::size_t changes_ = 0, transfers_ = 0, configurations_ = 0;
  std::vector<entry> committed_;
  std::map<term_t, node_id> leader_of_;
  std::map<std::pair<node_id, term_t>, node_id> votes_;
  std::string broken_;
};

}  // namespace

TEST_CASE(
    "random: members and leaders change all the time, safety holds, and all members agree once healed") {
  std::size_t leaders = 0, committed = 0, changes = 0, transfers = 0, configurations = 0;
  std::uint32_t slowest = 0;
  constexpr std::uint64_t seeds = confman_test::effort(200u);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    CAPTURE(seed);
    churning_world world(seed);
    for (int round = 0; round < 4 && world.broken().empty(); ++round) {
      world.trouble(25000);
      const std::uint32_t ticks = world.heal();
      CAPTURE(round);
      CHECK((ticks > 0 || !world.broken().empty()));
      slowest = std::max(slowest, ticks);
    }
    CHECK(world.broken() == "");
    leaders += world.leaders();
    committed += world.committed();
    changes += world.changes();
    transfers += world.transfers();
    configurations += world.configurations();
  }
  INFO(leaders << " leaders, " << committed << " entries, " << changes << " changes, " << transfers
               << " transfers, " << configurations << " configurations, " << slowest << " ticks");
  CHECK(leaders > 10 * seeds);
  CHECK(committed > 50 * seeds);
  CHECK(changes > 10 * seeds);
  CHECK(transfers > 3 * seeds);
  CHECK(configurations > 10 * seeds);
  CHECK(slowest <= 200);
}
