// Seeded random runs of a small cluster: messages are lost, doubled and reordered, nodes crash between and
// within writes. What must hold always is checked at every step; what must hold after healing, at the end.
#include <doctest/doctest.h>

#include <map>

#include "confman/core/random.hpp"
#include "lib/core_harness.hpp"
#include "lib/effort.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

class random_world {
 public:
  random_world(std::uint64_t seed, std::uint64_t nodes)
      : random_(seed),
        size_(nodes),
        loss_(random_.below(30)),
        crashes_(random_.below(5)),
        laziness_(1 + random_.below(5)) {
    for (std::uint64_t i = 1; i <= nodes; ++i) {
      nodes_.push_back(std::make_unique<test_node>(i, voters(nodes), [&](raft_options& o) {
        o.seed = seed * 16 + i;
        o.election_ticks = 6;
        o.heartbeat_ticks = 2;
        o.max_append_entries = 1 + random_.below(4);
        o.max_window_appends = 1 + random_.below(4);
        o.max_apply_entries = 1 + random_.below(8);
      }));
    }
    was_leader_.resize(static_cast<std::size_t>(nodes));
  }

  void trouble(int steps) {
    while (steps-- > 0) {
      test_node& node = *nodes_[static_cast<std::size_t>(random_.below(size_))];
      if (!node.running()) {
        if (random_.below(10) == 0) node.restart();
        continue;
      }
      one_step(node);
      if (random_.below(500 * size_) == 0) {
        apart_ = node_id(random_.below(2 * size_));  // often nobody
        frozen_ = random_.below(2) == 0 ? apart_ : node_id(random_.below(2 * size_));
      }
      if (random_.below(500) < crashes_) crash(node);
    }
  }

  // Everybody runs and nothing is lost any more: how many ticks until all agree on a fresh entry? 0: never.
  std::uint32_t heal() {
    for (auto& node : nodes_)
      if (!node->running()) node->restart();
    apart_ = node_id{};
    bool proposed = false;
    for (std::uint32_t ticks = 1; ticks <= 200; ++ticks) {
      for (auto& node : nodes_) node->tick();
      for (int i = 0; i < 30; ++i) exchange();
      for (auto& node : nodes_)
        if (!proposed && (*node)->leads_surely()) proposed = !(*node)->propose(text("last")).code;
      if (proposed && agreed()) return ticks;
    }
    return 0;
  }

  [[nodiscard]] std::size_t leaders() const { return leader_of_.size(); }
  [[nodiscard]] std::size_t committed() const { return committed_.size(); }
  [[nodiscard]] std::size_t reads_answered() const { return reads_answered_; }
  // The first rule that was broken; empty if none.
  [[nodiscard]] const std::string& broken() const { return broken_; }
  [[nodiscard]] bool all_reads_answered() const { return reads_.empty(); }

 private:
  void one_step(test_node& node) {
    switch (random_.below(24)) {
      case 0:
        node.tick();
        break;
      case 1:
      case 2:
        if (random_.below(laziness_) == 0) node.persist_one();
        look_at(node);
        break;
      case 3:
        (void)node->propose(text(std::to_string(++proposals_)));
        break;
      case 4:
        begin_read(node);
        break;
      case 5:
      case 6:
        pump(node, random_.below(3) != 0);
        break;
      case 7:
        if (random_.below(10) == 0) node->unreachable(node_id(1 + random_.below(size_)));
        break;
      default:
        deliver_any();
        break;
    }
  }

  void begin_read(test_node& node) {
    if (random_.below(4) != 0) return;
    const read_id id(++reads_begun_);
    if (!node->read(id)) reads_[id] = {node.id(), highest_commit_};
  }

  void crash(test_node& node) {
    for (auto it = reads_.begin(); it != reads_.end();)
      it = it->second.at == node.id() ? reads_.erase(it) : std::next(it);
    node.crash(random_.below(node.writing.size() + 1), static_cast<int>(random_.below(4)));
    was_leader_[static_cast<std::size_t>(node.id().value() - 1)] = term_t{};
  }

  void deliver_any() {
    if (wire_.empty()) return;
    // Mostly in order, sometimes not.
    const std::size_t at = random_.below(3) == 0 ? static_cast<std::size_t>(random_.below(wire_.size())) : 0;
    message m = wire_[at];
    if (random_.below(20) != 0)
      wire_.erase(wire_.begin() + static_cast<std::ptrdiff_t>(at));  // else it comes twice
    if (random_.below(100) < loss_ || m.from == apart_ || m.to == apart_) return;
    test_node& to = *nodes_[static_cast<std::size_t>(m.to.value() - 1)];
    if (to.running()) receive(to, std::move(m));
  }

  void receive(test_node& node, message m) {
    const std::error_code error = node->step(std::move(m));
    if (error) fail("a sound message was refused: " + error.message());
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
    const std::size_t writes = node.writing.size(), applied = node.applied.size();
    node.pump(storage_idle);
    if (node.writing.size() > writes)
      for (const entry& e : node.writing.back().entries)
        if (hashes_.emplace(std::pair(e.index, e.term), e.hash).first->second != e.hash) fail("log matching");
    for (std::size_t i = applied; i < node.applied.size(); ++i) {
      const entry& e = node.applied[i];
      if (e.index.value() != i + 1) fail("entries are applied in order, each once");
      if (e.index.value() > committed_.size())
        committed_.push_back(e);
      else if (committed_[i] != e)
        fail("state machine safety");
    }
    for (const read_answer& answer : node.answers) check_read(answer);
    node.answers.clear();
    for (message& m : node.sent) {
      check_promise(node, m);
      wire_.push_back(std::move(m));
    }
    while (wire_.size() > 50 * size_) wire_.pop_front();  // a bounded network
    node.sent.clear();
  }

  void check_read(const read_answer& answer) {
    const auto it = reads_.find(answer.id);
    if (it == reads_.end()) return fail("a read is answered once");
    if (answer.index < it->second.at_least) fail("a read sees all that was committed before it began");
    reads_.erase(it);
    ++reads_answered_;
  }

  // Durable before acknowledged, and one vote per term across restarts.
  void check_promise(const test_node& node, const message& m) {
    if (const auto* vote = std::get_if<vote_response>(&m.body); vote && vote->granted) {
      if (node.disk.state.term < m.term) fail("a vote was given before its term was durable");
      if (node.disk.state.term == m.term && node.disk.state.vote != m.to)
        fail("a vote was given before it was durable");
      if (votes_.emplace(std::pair(m.from, m.term), m.to).first->second != m.to) fail("one vote per term");
    }
    if (std::holds_alternative<vote_request>(m.body)) {
      if (node.disk.state.term < m.term) fail("a candidate asked before its term was durable");
      if (votes_.emplace(std::pair(m.from, m.term), m.from).first->second != m.from)
        fail("one vote per term");
    }
    if (const auto* ok = std::get_if<append_ok>(&m.body)) {
      const std::uint64_t match = ok->match.value();
      if (node.disk.entries.size() < match) return fail("an append was acknowledged before it was durable");
      // Said in an older term, it may have been overwritten since; the disk still has it then.
      if (m.term == node->term() && match > 0 &&
          node.disk.entries[match - 1].hash != node->log().hash_at(ok->match))
        fail("what was acknowledged is not what is on the disk");
    }
  }

  void look_at(test_node& node) {
    highest_commit_ = std::max(highest_commit_, node->commit());
    if (node->role() != role::leader) return;
    term_t& seen = was_leader_[static_cast<std::size_t>(node.id().value() - 1)];
    if (seen == node->term()) return;
    seen = node->term();
    if (leader_of_.emplace(node->term(), node.id()).first->second != node.id()) fail("election safety");
    for (const entry& e : committed_)
      if (node->log().hash_at(e.index) != e.hash) return fail("leader completeness");
  }

  [[nodiscard]] bool agreed() {
    for (auto& node : nodes_) {
      if ((*node)->commit() != (*nodes_[0])->log().last_index()) return false;
      if ((*node)->log().last_hash() != (*nodes_[0])->log().last_hash()) return false;
      if (node->applied.size() != committed_.size()) return false;
    }
    return reads_.empty();
  }

  void fail(const std::string& what) {
    if (broken_.empty()) broken_ = what;
  }

  struct pending_read {
    node_id at;
    log_index at_least;
  };

  random_source random_;
  std::uint64_t size_;
  std::uint64_t loss_;      // percent
  std::uint64_t crashes_;   // per 500 steps
  std::uint64_t laziness_;  // of the disks
  std::vector<std::unique_ptr<test_node>> nodes_;
  std::deque<message> wire_;
  node_id apart_;   // cut off from the others
  node_id frozen_;  // its clock stands still
  std::uint64_t proposals_ = 0, reads_begun_ = 0;
  std::size_t reads_answered_ = 0;
  std::map<read_id, pending_read> reads_;
  // The oracle beside the cluster.
  std::map<std::pair<log_index, term_t>, chain_hash> hashes_;
  std::vector<entry> committed_;
  std::map<term_t, node_id> leader_of_;
  std::map<std::pair<node_id, term_t>, node_id> votes_;
  std::vector<term_t> was_leader_;
  log_index highest_commit_;
  std::string broken_;
};

void run_seeds(std::uint64_t nodes, std::uint64_t first, std::uint64_t last) {
  std::size_t leaders = 0, committed = 0, reads = 0;
  std::uint32_t slowest = 0;
  last = first + confman_test::effort(last - first);
  for (std::uint64_t seed = first; seed < last; ++seed) {
    CAPTURE(seed);
    CAPTURE(nodes);
    random_world world(seed, nodes);
    for (int round = 0; round < 5 && world.broken().empty(); ++round) {
      world.trouble(static_cast<int>(6000 * nodes));
      const std::uint32_t ticks = world.heal();
      CHECK(ticks >
            0);  // a leader, an agreed log, all reads answered: within 10 election timeouts of 6..11 ticks
      CHECK(ticks <= 110);
      slowest = std::max(slowest, ticks);
    }
    CHECK(world.broken() == "");
    leaders += world.leaders();
    committed += world.committed();
    reads += world.reads_answered();
  }
  INFO(nodes << " nodes: " << leaders << " leaders, " << committed << " entries, " << reads << " reads, "
             << slowest << " ticks");
  CHECK(leaders > 10 * (last - first));
  CHECK(committed > 10 * (last - first));
  CHECK(reads > 10 * (last - first));
}

}  // namespace

TEST_CASE(
    "random: three nodes keep every safety rule under loss, reordering and crashes, and agree once healed") {
  run_seeds(3, 0, 150);
}

TEST_CASE(
    "random: five nodes keep every safety rule under loss, reordering and crashes, and agree once healed") {
  run_seeds(5, 1000, 1100);
}
