// Seeded random runs with snapshots: state machines are compacted at any moment, snapshots and disk reads
// come late, twice or not at all, nodes crash between a snapshot's arrival and the log's reset. Equal applied
// indices must mean equal states, and what is committed must stay.
#include <doctest/doctest.h>

#include <map>

#include "confman/core/random.hpp"
#include "lib/core_harness.hpp"
#include "lib/effort.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

class snapshot_world {
 public:
  snapshot_world(std::uint64_t seed, std::uint64_t nodes, bool with_learner)
      : random_(seed),
        loss_(random_.below(30)),
        crashes_(random_.below(6)),
        eagerness_(1 + random_.below(8)) {
    configuration members = voters(nodes);
    size_ = nodes + (with_learner ? 1 : 0);
    if (with_learner) members.learners.push_back({node_id(size_), incarnation_id{}});
    for (std::uint64_t i = 1; i <= size_; ++i) {
      // The learner joins: it knows of nobody before its leader tells it.
      const bool joins = with_learner && i == size_;
      nodes_.push_back(
          std::make_unique<test_node>(i, joins ? configuration{} : members, [&](raft_options& o) {
            o.seed = seed * 16 + i;
            o.election_ticks = 6;
            o.heartbeat_ticks = 2;
            o.max_append_entries = 1 + random_.below(4);
            o.max_append_bytes = 1 + random_.below(1000);
            o.max_window_appends = 1 + random_.below(4);
            o.max_apply_entries = 1 + random_.below(8);
            o.max_cached_bytes = random_.below(2000);
          }));
    }
    states_.push_back(0);
  }

  void trouble(int steps) {
    while (steps-- > 0 && broken_.empty()) {
      test_node& node = any_node();
      if (!node.running()) {
        if (random_.below(10) == 0) restart(node);
        continue;
      }
      one_step(node);
      if (random_.below(500 * size_) == 0) apart_ = node_id(random_.below(2 * size_));  // often nobody
      if (random_.below(500) < crashes_ && node.running()) crash(node);
    }
  }

  // Everybody runs and nothing is lost any more: how many ticks until all agree on a fresh entry? 0: never.
  std::uint32_t heal() {
    for (auto& node : nodes_)
      if (!node->running()) restart(*node);
    apart_ = node_id{};
    bool proposed = false;
    for (std::uint32_t ticks = 1; ticks <= 300 && broken_.empty(); ++ticks) {
      for (auto& node : nodes_) node->tick();
      for (int i = 0; i < 30; ++i) exchange();
      for (auto& node : nodes_)
        if (!proposed && (*node)->leads_surely()) proposed = !(*node)->propose(text("last")).code;
      if (proposed && agreed()) return ticks;
    }
    return 0;
  }

  struct counts {
    std::size_t compactions = 0, installs = 0, fetched = 0, half_installs = 0;
  };
  [[nodiscard]] const counts& counted() const { return counts_; }
  [[nodiscard]] std::size_t committed() const { return committed_.size(); }
  [[nodiscard]] const std::string& broken() const { return broken_; }

 private:
  struct transfer {
    node_id from, to;
    snapshot_meta meta;
    std::uint64_t state;
  };

  test_node& any_node() { return *nodes_[static_cast<std::size_t>(random_.below(size_))]; }
  test_node& node_of(node_id id) { return *nodes_[static_cast<std::size_t>(id.value() - 1)]; }

  void one_step(test_node& node) {
    switch (random_.below(26)) {
      case 0:
        node.tick();
        break;
      case 1:
      case 2:
        node.persist_one();
        look_at(node);
        break;
      case 3:
        (void)node->propose(text(std::to_string(++proposals_) + std::string(random_.below(300), 'p')));
        break;
      case 4:
      case 5:
        pump(node, random_.below(3) != 0);
        break;
      case 6:
        if (random_.below(eagerness_) == 0) compact(node);
        break;
      case 7:
        answer_one_fetch(node);
        break;
      case 8:
        if (!transfers_.empty()) move_snapshot();
        break;
      case 9:
        if (random_.below(10) == 0) node->unreachable(node_id(1 + random_.below(size_)));
        break;
      default:
        deliver_any();
        break;
    }
  }

  void compact(test_node& node) {
    if (!node->applied() || (node.disk.snapshot && node.disk.snapshot->at.index >= node->applied())) return;
    node.compact(random_.below(8));
    ++counts_.compactions;
  }

  void answer_one_fetch(test_node& node) {
    if (node.fetches.empty()) return;
    const std::size_t at = static_cast<std::size_t>(random_.below(node.fetches.size()));
    const entry_fetch fetch = node.fetches[at];
    if (random_.below(5) != 0)  // else it is answered twice
      node.fetches.erase(node.fetches.begin() + static_cast<std::ptrdiff_t>(at));
    const std::vector<entry> entries = random_.below(10) == 0 ? std::vector<entry>{} : node.read(fetch);
    counts_.fetched += entries.size();
    node->entries_fetched(fetch.peer, fetch.from, entries);
  }

  void move_snapshot() {
    const std::size_t at = static_cast<std::size_t>(random_.below(transfers_.size()));
    const transfer t = transfers_[at];
    if (random_.below(10) != 0) transfers_.erase(transfers_.begin() + static_cast<std::ptrdiff_t>(at));
    test_node &from = node_of(t.from), &to = node_of(t.to);
    if (random_.below(4) == 0) {
      if (from.running()) from->snapshot_failed(t.to);
    } else if (to.running() && random_.below(3) != 0 && t.from != apart_ && t.to != apart_) {
      install(to, t);
    }
  }

  void install(test_node& node, const transfer& t) {
    if (random_.below(10) == 0) {
      node.store(t.meta, t.state);
      ++counts_.half_installs;
      return crash(node);
    }
    counts_.installs += node.install(t.meta, t.state) ? 1 : 0;
    check_state(node);
    look_at(node);
  }

  void crash(test_node& node) {
    node.crash(random_.below(node.writing.size() + 1), static_cast<int>(random_.below(4)));
    leads_[node.id()] = term_t{};
  }

  void restart(test_node& node) {
    if (const failure f = check_recovered(node.disk)) return fail(f.what);
    node.restart();
    check_state(node);
  }

  void deliver_any() {
    if (wire_.empty()) return;
    const std::size_t at = random_.below(3) == 0 ? static_cast<std::size_t>(random_.below(wire_.size())) : 0;
    message m = wire_[at];
    if (random_.below(20) != 0)
      wire_.erase(wire_.begin() + static_cast<std::ptrdiff_t>(at));  // else it comes twice
    if (random_.below(100) < loss_ || m.from == apart_ || m.to == apart_) return;
    if (node_of(m.to).running()) receive(node_of(m.to), std::move(m));
  }

  void receive(test_node& node, message m) {
    const std::error_code error = node->step(std::move(m));
    // A joining node that has only seen some of the log may not know the sender yet.
    if (error && error != errc::unknown_peer) fail("a sound message was refused: " + error.message());
    look_at(node);
  }

  void exchange() {
    for (auto& node : nodes_) {
      pump(*node, true);
      node->persist();
      node->answer_fetches();
      look_at(*node);
    }
    for (const transfer& t : std::exchange(transfers_, {})) {
      test_node& to = node_of(t.to);
      counts_.installs += to.install(t.meta, t.state) ? 1 : 0;
      check_state(to);
    }
    std::deque<message> now = std::exchange(wire_, {});
    for (message& m : now) receive(node_of(m.to), std::move(m));
  }

  void pump(test_node& node, bool storage_idle) {
    const std::size_t before = node.applied.size();
    log_index applied = node->applied();
    node.pump(storage_idle);
    for (std::size_t i = before; i < node.applied.size(); ++i) {
      const entry& e = node.applied[i];
      applied = applied + 1;
      if (e.index != applied) return fail("entries are applied in order, each once");
      if (e.index.value() > committed_.size()) {
        committed_.push_back(e);
        states_.push_back(
            e.type == entry_type::command
                ? extend_chain(chain_hash(states_.back()), term_t{}, 1, e.payload.view()).value()
                : states_.back());
      } else if (committed_[e.index.value() - 1] != e) {
        return fail("state machine safety");
      }
    }
    check_state(node);
    for (const node_id peer : std::exchange(node.snapshots_wanted, {}))
      transfers_.push_back({node.id(), peer, *node.disk.snapshot, node.stored_machine});
    for (message& m : node.sent) {
      check_promise(node, m);
      wire_.push_back(std::move(m));
    }
    while (wire_.size() > 50 * size_) wire_.pop_front();  // a bounded network
    while (transfers_.size() > 10 * size_) transfers_.erase(transfers_.begin());
    node.sent.clear();
  }

  void check_state(const test_node& node) {
    const std::size_t applied = static_cast<std::size_t>(node->applied().value());
    if (applied >= states_.size()) return fail("a state contains what nobody has committed");
    if (node.machine != states_[applied]) return fail("equal applied indices mean equal states");
    if (node->snapshot() && node->snapshot()->at.index > node->commit()) fail("snapshot <= commit");
    const log_view& log = node->log();
    if (applied > 0 && log.base().index.value() <= committed_.size() && log.base().index &&
        log.hash_at(log.base().index) != committed_[log.base().index.value() - 1].hash)
      fail("the log's base is not what was committed there");
  }

  // Durable before acknowledged: by the log, or by a snapshot at whose end the durable log begins.
  void check_promise(const test_node& node, const message& m) {
    const auto* ok = std::get_if<append_ok>(&m.body);
    if (!ok || ok->match <= node.disk.base.index) return;
    const std::size_t at = static_cast<std::size_t>(ok->match - node.disk.base.index);
    if (node.disk.entries.size() < at) return fail("an append was acknowledged before it was durable");
    const std::optional<chain_hash> hash = node->log().hash_at(ok->match);
    if (m.term == node->term() && hash && node.disk.entries[at - 1].hash != hash)
      fail("what was acknowledged is not what is on the disk");
  }

  void look_at(test_node& node) {
    if (node->role() != role::leader || leads_[node.id()] == node->term()) return;
    leads_[node.id()] = node->term();
    if (leader_of_.emplace(node->term(), node.id()).first->second != node.id()) fail("election safety");
    if (node->log().last_index().value() < committed_.size()) return fail("leader completeness");
    for (const entry& e : committed_)
      if (e.index >= node->log().base().index && node->log().hash_at(e.index) != e.hash)
        return fail("leader completeness");
  }

  [[nodiscard]] bool agreed() {
    for (auto& node : nodes_) {
      if ((*node)->commit() != (*nodes_[0])->log().last_index()) return false;
      if ((*node)->log().last_hash() != (*nodes_[0])->log().last_hash()) return false;
      if ((*node)->applied().value() != committed_.size()) return false;
    }
    return true;
  }

  void fail(const std::string& what) {
    if (broken_.empty()) broken_ = what;
  }

  random_source random_;
  std::uint64_t size_ = 0;
  std::uint64_t loss_;       // percent
  std::uint64_t crashes_;    // per 500 steps
  std::uint64_t eagerness_;  // the higher, the fewer compactions
  std::vector<std::unique_ptr<test_node>> nodes_;
  std::deque<message> wire_;
  std::vector<transfer> transfers_;
  node_id apart_;  // cut off from the others
  std::uint64_t proposals_ = 0;
  counts counts_;
  // The oracle beside the cluster.
  std::vector<entry> committed_;
  std::vector<std::uint64_t> states_;  // the state at each applied index
  std::map<term_t, node_id> leader_of_;
  std::map<node_id, term_t> leads_;
  std::string broken_;
};

void run_seeds(std::uint64_t nodes, bool with_learner, std::uint64_t first, std::uint64_t last) {
  std::size_t committed = 0;
  snapshot_world::counts total;
  last = first + confman_test::effort(last - first);
  for (std::uint64_t seed = first; seed < last; ++seed) {
    CAPTURE(seed);
    CAPTURE(nodes);
    snapshot_world world(seed, nodes, with_learner);
    for (int round = 0; round < 4 && world.broken().empty(); ++round) {
      world.trouble(static_cast<int>(5000 * nodes));
      const std::uint32_t ticks = world.heal();
      CHECK(ticks > 0);
      CHECK(ticks <= 110);
    }
    CHECK(world.broken() == "");
    committed += world.committed();
    total.compactions += world.counted().compactions;
    total.installs += world.counted().installs;
    total.fetched += world.counted().fetched;
    total.half_installs += world.counted().half_installs;
  }
  INFO(nodes << " nodes: " << committed << " entries, " << total.compactions << " compactions, "
             << total.installs << " installs, " << total.fetched << " fetched, " << total.half_installs
             << " half");
  const std::size_t seeds = static_cast<std::size_t>(last - first);
  CHECK(committed > 10 * seeds);
  CHECK(total.compactions > 10 * seeds);
  CHECK(total.installs > 3 * seeds);
  CHECK(total.fetched > 3 * seeds);
  CHECK(total.half_installs >= seeds / 20);
}

}  // namespace

TEST_CASE("random: three nodes with snapshots at any moment keep every safety rule, and agree once healed") {
  run_seeds(3, false, 0, 100);
}

TEST_CASE("random: three voters and a learner that joins knowing nobody keep every safety rule, and agree") {
  run_seeds(3, true, 1000, 1080);
}

TEST_CASE("random: five nodes with snapshots at any moment keep every safety rule, and agree once healed") {
  run_seeds(5, false, 2000, 2060);
}
