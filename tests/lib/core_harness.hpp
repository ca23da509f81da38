// Raft cores with a disk and a network in memory, for tests: every delivery, write and crash is explicit.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "confman/core/raft_core.hpp"

namespace confman::testing {

inline constexpr cluster_id test_cluster{77};
inline constexpr group_id test_group{3};

[[nodiscard]] inline incarnation_id incarnation_of(std::uint64_t id) {
  return incarnation_id(id * 1000 + 1);
}

[[nodiscard]] inline shared_bytes text(std::string_view bytes) {
  return shared_bytes::copy(bytes);
}

// Voters 1..n, not bound to a data directory yet, as at a cluster's first start.
[[nodiscard]] inline configuration voters(std::uint64_t n) {
  configuration members;
  for (std::uint64_t i = 1; i <= n; ++i) members.incoming.push_back({node_id(i), incarnation_id{}});
  return members;
}

// The same, with every data directory bound.
[[nodiscard]] inline configuration bound_voters(std::uint64_t n) {
  configuration members = voters(n);
  for (member& m : members.incoming) m.incarnation = incarnation_of(m.id.value());
  return members;
}

// A log with one command per term given: terms[i] is the term of entry i + 1.
[[nodiscard]] inline std::vector<entry> log_of(const std::vector<std::uint64_t>& terms) {
  log_view log;
  std::vector<entry> entries;
  for (const std::uint64_t term : terms) {
    const log_index index = log.last_index() + 1;
    std::string payload = std::to_string(term);
    payload += ':';
    payload += std::to_string(index.value());
    log.append({term_t(term), index, entry_type::command, text(payload), {}});
    entries.push_back(log.at(index));
  }
  return entries;
}

[[nodiscard]] inline std::vector<std::uint64_t> terms_of(const log_view& log) {
  std::vector<std::uint64_t> terms;
  for (log_index i = log.first_index(); i <= log.last_index(); ++i) terms.push_back(log.at(i).term.value());
  return terms;
}

// The chain hash of the log with these terms, as log_of() builds it.
[[nodiscard]] inline chain_hash hash_of(const std::vector<std::uint64_t>& terms) {
  const std::vector<entry> entries = log_of(terms);
  return entries.empty() ? chain_hash{} : entries.back().hash;
}

// An append of entries (first, last] of the log with these terms.
[[nodiscard]] inline append_request append_of(const std::vector<std::uint64_t>& terms, std::size_t previous,
                                              std::uint64_t commit = 0) {
  const std::vector<entry> all = log_of(terms);
  append_request body;
  if (previous > 0) {
    body.previous = {all[previous - 1].term, all[previous - 1].index};
    body.previous_hash = all[previous - 1].hash;
  }
  body.commit = log_index(commit);
  body.entries.assign(all.begin() + static_cast<std::ptrdiff_t>(previous), all.end());
  return body;
}

// One core with its disk. What it sends is kept in `sent` until a test takes it.
class test_node {
 public:
  using tweak = std::function<void(raft_options&)>;

  test_node(std::uint64_t id, configuration bootstrap, const tweak& change = {},
            recovered_log disk_image = {})
      : disk(std::move(disk_image)), bootstrap_(std::move(bootstrap)) {
    options.cluster = test_cluster;
    options.group = test_group;
    options.self = node_id(id);
    options.incarnation = incarnation_of(id);
    options.seed = id;
    options.heartbeat_ticks = 3;
    options.election_ticks = 10;
    options.first_election_by_majority = true;  // most tests answer for one voter only
    if (change) change(options);
    restart();
  }

  [[nodiscard]] node_id id() const { return options.self; }
  [[nodiscard]] bool running() const { return core_ != nullptr; }
  [[nodiscard]] raft_core& core() { return *core_; }
  [[nodiscard]] const raft_core& core() const { return *core_; }
  raft_core* operator->() { return core_.get(); }
  const raft_core* operator->() const { return core_.get(); }

  std::error_code receive(std::uint64_t from, std::uint64_t term, message_body body,
                          std::optional<incarnation_id> incarnation = {}) {
    if (auto* vote = std::get_if<vote_response>(&body); vote && !vote->candidate)
      vote->candidate = options.incarnation;
    return core_->step({options.cluster, options.group, node_id(from), options.self,
                        incarnation.value_or(incarnation_of(from)), term_t(term), std::move(body)});
  }

  // Takes one ready: what is to be sent is added to `sent`, what is to be written begins, what is committed
  // is applied at once.
  void pump(bool storage_idle = true) {
    ready work = core_->take_ready(storage_idle);
    for (message& m : work.messages) sent.push_back(std::move(m));
    if (!work.write.empty()) writing.push_back(std::move(work.write));
    for (log_index i = work.apply_first; i <= work.apply_last; ++i) apply(core_->log().at(i));
    if (work.apply_last >= work.apply_first) core_->applied(work.apply_last);
    for (const read_answer& answer : work.reads) answers.push_back(answer);
    for (const node_id peer : work.snapshots_wanted) snapshots_wanted.push_back(peer);
    for (const entry_fetch& fetch : work.fetches) fetches.push_back(fetch);
  }

  // A snapshot of the state machine as it is becomes durable; all of the log but its last `tail` entries
  // before it is released.
  void compact(std::uint64_t tail = 0) {
    const snapshot_meta meta = core_->describe_snapshot();
    store(meta, machine);
    const std::uint64_t kept = std::min(tail, meta.at.index.value());
    core_->compacted(meta, meta.at.index + 1 - kept);
  }
  // A snapshot sent by another node becomes durable, as the newest one or not at all.
  bool store(const snapshot_meta& meta, std::uint64_t state) {
    if (disk.snapshot && disk.snapshot->at.index >= meta.at.index) return false;
    disk.snapshot = meta;
    stored_machine = state;
    return true;
  }
  bool install(const snapshot_meta& meta, std::uint64_t state) {
    store(meta, state);
    if (!core_->install(meta)) return false;
    machine = state;
    applied.clear();
    return true;
  }

  // What the disk holds of a range that the core asked for.
  [[nodiscard]] std::vector<entry> read(const entry_fetch& fetch) const {
    std::vector<entry> found;
    std::size_t bytes = 0;
    for (const entry& e : disk.entries) {
      if (e.index < fetch.from || e.index > fetch.last) continue;
      if (found.empty() && e.index != fetch.from) return {};
      bytes += cost(e);
      if (!found.empty() && bytes > fetch.max_bytes) break;
      found.push_back(e);
    }
    return found;
  }
  void answer_fetches() {
    for (const entry_fetch& fetch : std::exchange(fetches, {}))
      core_->entries_fetched(fetch.peer, fetch.from, read(fetch));
  }

  // The oldest write in flight reaches the disk and is acknowledged. False when there is none.
  bool persist_one() {
    if (writing.empty()) return false;
    const write_seq seq = writing.front().seq;
    write(writing.front(), 3);
    writing.pop_front();
    core_->persisted(seq);
    return true;
  }

  void persist() {
    while (persist_one()) {
    }
  }

  // Pumps and persists until there is nothing to do.
  void work() {
    do {
      pump();
      persist();
    } while (core_->has_ready(true));
  }

  void tick(std::uint32_t count = 1) {
    while (count-- != 0) core_->tick();
  }

  // Ticks until an election timeout has certainly passed; returns what was sent before it stays there.
  void time_out() {
    for (std::uint32_t i = 0; i < 2 * options.election_ticks && core_->role() != role::pre_candidate; ++i)
      core_->tick();
  }

  // The first `whole` writes in flight survive, and of the next one its first `parts` steps (truncation, then
  // entries, then state); the rest is lost with everything volatile.
  void crash(std::size_t whole = 0, int parts = 0) {
    for (; whole > 0 && !writing.empty(); --whole) {
      write(writing.front(), 3);
      writing.pop_front();
    }
    if (!writing.empty()) write(writing.front(), parts);
    writing.clear();
    sent.clear();
    applied.clear();
    answers.clear();
    snapshots_wanted.clear();
    fetches.clear();
    core_.reset();
  }

  void restart() {
    ++disk.boot;
    options.boot = disk.boot;
    machine = disk.snapshot ? stored_machine : 0;
    core_ = std::make_unique<raft_core>(options, bootstrap_, disk);
  }

  // Takes the messages of one type out of `sent`, in order.
  template <class Body>
  std::vector<Body> take(std::optional<std::uint64_t> to = {}) {
    std::vector<Body> found;
    std::vector<message> rest;
    for (message& m : sent) {
      if (std::holds_alternative<Body>(m.body) && (!to || m.to == node_id(*to)))
        found.push_back(std::get<Body>(m.body));
      else
        rest.push_back(std::move(m));
    }
    sent = std::move(rest);
    return found;
  }

  template <class Body>
  [[nodiscard]] std::size_t count(std::optional<std::uint64_t> to = {}) const {
    std::size_t n = 0;
    for (const message& m : sent)
      if (std::holds_alternative<Body>(m.body) && (!to || m.to == node_id(*to))) ++n;
    return n;
  }

  raft_options options;
  recovered_log disk;               // the durable image
  std::deque<write_batch> writing;  // given to the disk, not durable yet
  std::vector<message> sent;
  std::vector<entry> applied;
  std::vector<read_answer> answers;
  std::vector<node_id> snapshots_wanted;
  std::vector<entry_fetch> fetches;
  std::uint64_t machine = 0;         // the state: a running hash of the commands applied
  std::uint64_t stored_machine = 0;  // the state in the durable snapshot

 private:
  void apply(const entry& e) {
    applied.push_back(e);
    if (e.type == entry_type::command)
      machine = extend_chain(chain_hash(machine), term_t{}, 1, e.payload.view()).value();
  }

  // The first `parts` of the three parts of a write reach the disk.
  void write(const write_batch& batch, int parts) {
    if (parts > 0 && batch.reset) {
      disk.entries.clear();
      disk.base = batch.reset->at;
      disk.base_hash = batch.reset->hash;
    }
    if (parts > 0 && batch.truncate_from)
      while (!disk.entries.empty() && disk.entries.back().index >= *batch.truncate_from)
        disk.entries.pop_back();
    if (parts > 1) disk.entries.insert(disk.entries.end(), batch.entries.begin(), batch.entries.end());
    if (parts > 2 && batch.state) disk.state = *batch.state;
    if (parts > 2 && batch.release_before) release(*batch.release_before);
  }

  void release(log_index before) {
    while (!disk.entries.empty() && disk.entries.front().index < before) {
      const entry& e = disk.entries.front();
      disk.base = {e.term, e.index};
      disk.base_hash = e.hash;
      disk.entries.erase(disk.entries.begin());
    }
  }

  configuration bootstrap_;
  std::unique_ptr<raft_core> core_;
};

[[nodiscard]] inline member_change add_voter(std::uint64_t id, std::uint8_t priority = 1) {
  return {member_change::action::add_voter, {node_id(id), incarnation_of(id), {}, priority}};
}
[[nodiscard]] inline member_change add_learner(std::uint64_t id) {
  return {member_change::action::add_learner, {node_id(id), incarnation_of(id)}};
}
[[nodiscard]] inline member_change remove_member(std::uint64_t id) {
  return {member_change::action::remove, {node_id(id), {}}};
}
[[nodiscard]] inline std::error_code change(raft_core& core, const std::vector<member_change>& changes) {
  return core.propose_change(changes).error.code;
}

// A recovered disk with these terms in its log.
[[nodiscard]] inline recovered_log disk_of(std::uint64_t term, const std::vector<std::uint64_t>& terms,
                                           std::uint64_t vote = 0, std::uint64_t commit = 0) {
  recovered_log disk;
  disk.state = {term_t(term), node_id(vote), log_index(commit)};
  disk.entries = log_of(terms);
  return disk;
}

// Has node 1 elected by voter 2 in a cluster of three or more; its first entry is appended, sent and durable
// here.
inline void lead(test_node& node, std::uint64_t voters_needed = 1) {
  node.time_out();
  node.work();
  const term_t next = node->term() + 1;
  for (std::uint64_t i = 2; i < 2 + voters_needed; ++i)
    (void)node.receive(i, node->term().value(), pre_vote_response{next, true});
  node.work();
  for (std::uint64_t i = 2; i < 2 + voters_needed; ++i)
    (void)node.receive(i, next.value(), vote_response{true});
  node.work();
}

// Several nodes and what is on its way between them.
class test_cluster_of {
 public:
  explicit test_cluster_of(std::uint64_t n, const test_node::tweak& change = {})
      : test_cluster_of(n, voters(n), change) {}
  test_cluster_of(std::uint64_t n, const configuration& bootstrap, const test_node::tweak& change = {}) {
    for (std::uint64_t i = 1; i <= n; ++i)
      nodes_.emplace_back(std::make_unique<test_node>(i, bootstrap, change));
  }

  [[nodiscard]] std::uint64_t size() const { return nodes_.size(); }
  test_node& operator[](std::uint64_t id) { return *nodes_[static_cast<std::size_t>(id - 1)]; }

  // One more node, which knows no member yet. Returns its id.
  std::uint64_t join(const test_node::tweak& change = {}) {
    nodes_.emplace_back(std::make_unique<test_node>(size() + 1, configuration{}, change));
    return size();
  }

  // Replaces a node, for example by one with an empty disk.
  void replace(std::uint64_t id, std::unique_ptr<test_node> node) {
    nodes_[static_cast<std::size_t>(id - 1)] = std::move(node);
  }

  void cut(std::uint64_t a, std::uint64_t b) { cut_.insert({a, b}), cut_.insert({b, a}); }
  void cut_one_way(std::uint64_t from, std::uint64_t to) { cut_.insert({from, to}); }
  void isolate(std::uint64_t id) {
    for (std::uint64_t other = 1; other <= size(); ++other)
      if (other != id) cut(id, other);
  }
  void heal() { cut_.clear(); }

  // Moves what the nodes have sent onto the wire.
  void collect() {
    for (auto& node : nodes_) {
      if (!node->running()) continue;
      node->pump();
      node->answer_fetches();
      for (const node_id peer : std::exchange(node->snapshots_wanted, {}))
        if (cut_.count({node->id().value(), peer.value()}) == 0) transfers.push_back({node->id(), peer});
      for (message& m : node->sent)
        if (cut_.count({m.from.value(), m.to.value()}) == 0) wire.push_back(std::move(m));
      node->sent.clear();
    }
  }

  void deliver_all() {
    for (const auto& [from, to] : std::exchange(transfers, {})) {
      test_node &source = (*this)[from.value()], &target = (*this)[to.value()];
      if (source.running() && target.running()) target.install(*source.disk.snapshot, source.stored_machine);
    }
    std::deque<message> now = std::exchange(wire, {});
    for (message& m : now)
      if (m.to.value() <= size() && (*this)[m.to.value()].running())
        (void)(*this)[m.to.value()]->step(std::move(m));
  }

  // Exchanges messages and completes writes until all is quiet. False when it never gets quiet.
  bool settle() {
    for (int rounds = 0; rounds < 10000; ++rounds) {
      collect();
      for (auto& node : nodes_)
        if (node->running()) node->persist();
      if (wire.empty() && transfers.empty() && quiet()) return true;
      deliver_all();
    }
    return false;
  }

  // Time passes for all who run.
  bool tick_all(std::uint32_t count = 1) {
    bool settled = true;
    while (count-- != 0) {
      for (auto& node : nodes_)
        if (node->running()) node->tick();
      settled = settle() && settled;
    }
    return settled;
  }

  // Makes a node leader: the others lose patience with their leader first, but not aloud.
  bool elect(std::uint64_t id) {
    for (auto& node : nodes_) {
      if (!node->running() || node->id() == node_id(id)) continue;
      node->tick(node->options.election_ticks);
      node->pump();
      node->sent.clear();
    }
    (*this)[id].time_out();
    settle();
    return (*this)[id]->role() == role::leader;
  }

  // The one leader of the highest term, or 0.
  [[nodiscard]] std::uint64_t leader() const {
    const test_node* best = nullptr;
    for (const auto& node : nodes_)
      if (node->running() && (*node)->role() == role::leader && (!best || (*best)->term() < (*node)->term()))
        best = node.get();
    return best ? best->id().value() : 0;
  }

  std::deque<message> wire;
  std::vector<std::pair<node_id, node_id>> transfers;  // snapshots on their way: from, to

 private:
  [[nodiscard]] bool quiet() const {
    for (const auto& node : nodes_)
      if (node->running() && ((*node)->has_ready(true) || !node->writing.empty())) return false;
    return true;
  }

  std::vector<std::unique_ptr<test_node>> nodes_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> cut_;
};

}  // namespace confman::testing
