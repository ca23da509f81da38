// Groups driven by hand: a transport and a storage that only remember, operations that record their outcome.
#pragma once

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "confman/runtime/group.hpp"
#include "confman/runtime/snapshot_worker.hpp"
#include "confman/storage/memory_file_system.hpp"
#include "confman/storage/memory_storage.hpp"

namespace confman::testing {

[[nodiscard]] inline bool is_forward(const message& m) {
  return std::holds_alternative<forward_request>(m.body);
}
[[nodiscard]] inline bool is_answer(const message& m) {
  return std::holds_alternative<forward_response>(m.body);
}
[[nodiscard]] inline bool touches(const message& m, std::uint64_t id) {
  return m.from == node_id(id) || m.to == node_id(id);
}

struct fake_transport {
  std::vector<message> sent;
  void send(message&& m) { sent.push_back(std::move(m)); }
};

// A memory_file_system that can be full, and whose syncs can fail.
struct small_file_system : memory_file_system {
  bool full = false;
  int failing_syncs = 0;          // of files: the next ones
  int good_directory_syncs = -1;  // so many, then one that fails; below 0: none fails
  [[nodiscard]] failure sync(file& f) {
    if (failing_syncs > 0 && failing_syncs-- > 0) return {errc::storage_failed, "sync: input/output error"};
    return memory_file_system::sync(f);
  }
  [[nodiscard]] failure sync_directory(const std::string& path) {
    if (good_directory_syncs >= 0 && good_directory_syncs-- == 0)
      return {errc::storage_failed, "sync directory " + path + ": input/output error"};
    return memory_file_system::sync_directory(path);
  }
  [[nodiscard]] failure write(file& f, std::uint64_t offset, std::span<const std::string_view> pieces) {
    if (full) return {errc::storage_failed, "write: no space left on device"};
    return memory_file_system::write(f, offset, pieces);
  }
};
static_assert(file_system<small_file_system>);

// Does nothing until it is told to. What it was given outlives the group, as a disk does.
struct fake_storage {
  using worker = snapshot_worker<small_file_system>;
  struct taking {
    map_capture state;
    snapshot_meta meta;
  };

  std::deque<write_batch> writes;  // given, not acknowledged yet
  std::size_t count = 0;
  std::deque<entry_fetch> fetches;
  std::deque<taking> takes;
  std::deque<snapshot_read> reads;
  std::deque<snapshot_write> pieces;
  std::deque<failure> settled;  // not told the group yet
  std::vector<loaded_map> destroyed;
  memory_storage log;  // what is durable
  std::shared_ptr<small_file_system> files = std::make_shared<small_file_system>();
  std::atomic<bool> cancelled{false};
  std::unique_ptr<worker> snapshots = open();

  void write(write_batch&& batch) {
    ++count;
    writes.push_back(std::move(batch));
  }
  void fetch(const entry_fetch& what) { fetches.push_back(what); }
  void take_snapshot(map_capture&& state, const snapshot_meta& meta) {
    takes.push_back({std::move(state), meta});
  }
  void read_snapshot(const snapshot_read& what) { reads.push_back(what); }
  void receive_snapshot(snapshot_write&& piece) { pieces.push_back(std::move(piece)); }
  void settle_snapshot(const snapshot_file& file, bool good, const std::vector<snapshot_file>& sent) {
    settled.push_back(snapshots->settle(file, good, sent));
  }
  void destroy(loaded_map&& map) { destroyed.push_back(std::move(map)); }

  [[nodiscard]] std::unique_ptr<worker> open() {
    return *worker::open(files, "snapshots", {cluster_id(7), group_id(1)}, cancelled);
  }
  // The process ended: what was not done is forgotten.
  void restart() {
    writes.clear();
    fetches.clear();
    takes.clear();
    reads.clear();
    pieces.clear();
    settled.clear();
    snapshots.reset();
    snapshots = open();
  }
};

struct recording_observer final : group_observer {
  void on_role(role r, term_t, node_id leader) override { roles.emplace_back(r, leader); }
  void on_applied(const entry& e, const apply_result&) override { applied.push_back(e.index); }
  void on_failed(const failure& f) override { failures.push_back(f); }
  void on_refused(node_id by) override { refused_by = by; }
  void on_members(const configuration& c) override { members = c; }
  void on_contact(node_id id, const std::string& address) override { contacts.emplace_back(id, address); }
  void on_installed(const snapshot_meta& meta) override { installed.push_back(meta.at); }
  void on_event(const failure& f) override { events.push_back(f); }
  std::vector<std::pair<role, node_id>> roles;
  std::vector<log_index> applied;
  std::vector<failure> failures;
  node_id refused_by;
  configuration members;
  std::vector<std::pair<node_id, std::string>> contacts;
  std::vector<version> installed;
  std::vector<failure> events;
};

struct test_write final : write_operation {
  explicit test_write(std::string_view key = "/k", std::string_view value = "v", std::uint64_t number = 0) {
    command_view c;
    c.key = key;
    c.value = value;
    command = encode(c);
    id = number;
    deadline = 1'000'000;
  }
  void complete(std::error_code c, const apply_result& r) override {
    ++completions;
    code = c;
    result = r;
    if (on_complete) on_complete();
  }
  void abandon() noexcept override { ++abandoned; }
  [[nodiscard]] bool waits() const { return completions == 0 && abandoned == 0; }
  [[nodiscard]] bool ended_with(std::error_code c) const {
    return completions == 1 && abandoned == 0 && code == c;
  }

  int completions = 0;
  int abandoned = 0;
  std::error_code code;
  apply_result result;
  std::function<void()> on_complete;
};

struct test_read final : read_operation {
  explicit test_read(read_mode m = read_mode::read_index, version t = {}, std::uint64_t number = 0) {
    mode = m;
    token = t;
    id = number;
    deadline = 1'000'000;
  }
  void complete(std::error_code c) override {
    ++completions;
    code = c;
  }
  void abandon() noexcept override { ++abandoned; }
  [[nodiscard]] bool waits() const { return completions == 0 && abandoned == 0; }
  [[nodiscard]] bool ended_with(std::error_code c) const {
    return completions == 1 && abandoned == 0 && code == c;
  }

  int completions = 0;
  int abandoned = 0;
  std::error_code code;
};

struct test_cluster_operation final : cluster_operation {
  explicit test_cluster_operation(action a, std::uint64_t number = 0) {
    what = a;
    id = number;
    deadline = 1'000'000;
  }
  void complete(const failure& e, version v) override {
    ++completions;
    error = e;
    at = v;
  }
  void abandon() noexcept override { ++abandoned; }
  [[nodiscard]] bool waits() const { return completions == 0 && abandoned == 0; }
  [[nodiscard]] bool ended_with(std::error_code c) const {
    return completions == 1 && abandoned == 0 && error.code == c;
  }

  int completions = 0;
  int abandoned = 0;
  failure error;
  version at;
};

}  // namespace confman::testing

// Compiled once, by runtime_group.cpp.
extern template class confman::group<confman::testing::fake_transport, confman::testing::fake_storage>;

namespace confman::testing {

// One group with everything it is given.
class driven {
 public:
  using group_type = group<fake_transport, fake_storage>;

  // With 0 voters: a node that knows no member.
  driven(std::uint64_t id, std::uint64_t voters, const std::function<void(group_options&)>& change = {}) {
    options.raft.cluster = cluster_id(7);
    options.raft.group = group_id(1);
    options.raft.self = node_id(id);
    options.raft.incarnation = incarnation_id(id * 100 + 1);
    options.raft.seed = id;
    options.raft.heartbeat_ticks = 3;
    options.raft.election_ticks = 10;
    if (change) change(options);
    for (std::uint64_t i = 1; i <= voters; ++i)
      bootstrap.incoming.push_back({node_id(i), incarnation_id(i * 100 + 1)});
    g = std::make_unique<group_type>(options, bootstrap, recovered_log{}, transport, storage, map, observer);
  }

  // What survives is what was durable.
  void restart() {
    g.reset();
    storage.restart();
    transport.sent.clear();
    std::destroy_at(&map);
    std::construct_at(&map);
    recovered_log found = storage.log.recover(cluster_id(7), options.raft.incarnation);
    options.raft.boot = found.boot + 1;
    std::optional<snapshot_file> newest;
    if (auto loaded = *storage.snapshots->load_newest()) {
      found.snapshot = loaded->meta;
      newest = loaded->file;
      map.adopt(std::move(loaded->map));
    }
    g = std::make_unique<group_type>(options, bootstrap, std::move(found), transport, storage, map, observer,
                                     newest);
  }

  group_type* operator->() { return g.get(); }

  // The oldest write is durable, or has failed.
  bool persist(const failure& error = {}) {
    if (storage.writes.empty()) return false;
    const write_batch batch = std::move(storage.writes.front());
    storage.writes.pop_front();
    g->persisted(batch.seq, error ? error : storage.log.append(batch));
    return true;
  }
  // The oldest of each other kind of work for the disk is done.
  bool fetch() {
    if (storage.fetches.empty()) return false;
    const entry_fetch f = storage.fetches.front();
    storage.fetches.pop_front();
    g->fetched(f, storage.log.read(f.from, f.last, f.max_bytes));
    return true;
  }
  bool take_snapshot() {
    if (storage.takes.empty()) return false;
    fake_storage::taking t = std::move(storage.takes.front());
    storage.takes.pop_front();
    g->snapshot_taken(storage.snapshots->take(std::move(t.state), t.meta));
    return true;
  }
  bool read_piece() {
    if (storage.reads.empty()) return false;
    const snapshot_read r = storage.reads.front();
    storage.reads.pop_front();
    g->snapshot_read_done(r, storage.snapshots->read(r));
    return true;
  }
  bool write_piece() {
    if (storage.pieces.empty()) return false;
    const snapshot_write w = std::move(storage.pieces.front());
    storage.pieces.pop_front();
    g->snapshot_received(w.from, storage.snapshots->receive(w));
    return true;
  }
  bool settle_snapshot() {
    if (storage.settled.empty()) return false;
    const failure outcome = std::move(storage.settled.front());
    storage.settled.pop_front();
    g->snapshot_settled(outcome);
    return true;
  }
  bool work() {
    const bool did[] = {persist(),
                        !keep_fetches && fetch(),
                        !keep_takes && take_snapshot(),
                        !keep_reads && read_piece(),
                        !keep_pieces && write_piece(),
                        settle_snapshot()};
    return std::any_of(std::begin(did), std::end(did), [](bool d) { return d; });
  }
  // Pumps and does the disk's work until nothing is left to do.
  void settle() {
    do
      while (g->pump()) {
      }
    while (work());
  }
  void tick(int times = 1) {
    for (int i = 0; i < times; ++i) {
      g->tick();
      g->pump();
    }
  }
  // What was sent to `to` and not taken yet.
  template <class Body>
  std::vector<Body> take(std::uint64_t to) {
    std::vector<Body> found;
    std::vector<message> rest;
    for (message& m : transport.sent) {
      if (m.to == node_id(to) && std::holds_alternative<Body>(m.body))
        found.push_back(std::get<Body>(m.body));
      else
        rest.push_back(std::move(m));
    }
    transport.sent = std::move(rest);
    return found;
  }
  std::error_code receive(std::uint64_t from, std::uint64_t term, message_body body) {
    return g->receive({cluster_id(7), group_id(1), node_id(from), g->core().options().self,
                       incarnation_id(from * 100 + 1), term_t(term), std::move(body)});
  }
  [[nodiscard]] std::optional<std::string> value(std::string_view key) const {
    const auto found = map.get(key);
    return found ? std::optional<std::string>(found->value()) : std::nullopt;
  }

  group_options options;
  configuration bootstrap;
  fake_transport transport;
  fake_storage storage;
  map_state map;
  recording_observer observer;
  std::unique_ptr<group_type> g;
  // This work waits until it is done by hand.
  bool keep_fetches = false, keep_takes = false, keep_reads = false, keep_pieces = false;
};

// A cluster of one, which leads, with nothing in flight.
inline std::unique_ptr<driven> lone_leader(const std::function<void(group_options&)>& change = {}) {
  auto d = std::make_unique<driven>(1, 1, change);
  while (d->g->core().role() != role::leader) {
    d->tick();
    d->settle();
  }
  d->settle();
  return d;
}

// Several groups and the wire between them.
class driven_cluster {
 public:
  explicit driven_cluster(std::uint64_t n, const std::function<void(group_options&)>& change = {}) {
    for (std::uint64_t i = 1; i <= n; ++i) nodes_.push_back(std::make_unique<driven>(i, n, change));
  }
  // A further node, which knows no member unless `voters` says so.
  driven& add(std::uint64_t voters, const std::function<void(group_options&)>& change = {}) {
    return *nodes_.emplace_back(std::make_unique<driven>(nodes_.size() + 1, voters, change));
  }
  driven& operator[](std::uint64_t id) { return *nodes_[static_cast<std::size_t>(id - 1)]; }

  // One round: everybody pumps and persists, then what was sent before is delivered.
  bool round() {
    std::vector<message> wire;
    bool busy = false;
    for (auto& n : nodes_) {
      n->settle();
      for (message& m : n->transport.sent) wire.push_back(std::move(m));
      n->transport.sent.clear();
    }
    for (message& m : wire) {
      busy = true;
      if (m.to.value() > nodes_.size() || (lost && lost(m))) continue;
      message copy = m;
      if (repeated && repeated(m)) (void)(*this)[m.to.value()]->receive(std::move(copy));
      (void)(*this)[m.to.value()]->receive(std::move(m));
    }
    return busy;
  }
  void settle() {
    for (int i = 0; i < 1000 && round(); ++i) {
    }
  }
  void tick(int times = 1) {
    for (int i = 0; i < times; ++i) {
      for (auto& n : nodes_) n->tick();
      settle();
    }
  }
  // Ticks one node alone until it leads.
  void elect(std::uint64_t id) {
    for (auto& n : nodes_)
      if (n->g->core().options().self != node_id(id)) {
        n->tick(10);
        n->transport.sent.clear();
      }
    for (int i = 0; i < 60 && (*this)[id].g->core().role() != role::leader; ++i) {
      (*this)[id].tick();
      settle();
    }
    settle();
  }

  std::function<bool(const message&)> lost;
  std::function<bool(const message&)> repeated;

 private:
  std::vector<std::unique_ptr<driven>> nodes_;
};

}  // namespace confman::testing
