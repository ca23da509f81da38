// Groups driven by hand: a transport and a storage that only remember, operations that record their outcome.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "confman/runtime/group.hpp"

namespace confman::testing {

struct fake_transport {
  std::vector<message> sent;
  void send(message&& m) { sent.push_back(std::move(m)); }
};

struct fake_storage {
  std::deque<write_batch> writes;  // given, not acknowledged yet
  std::size_t count = 0;
  void write(write_batch&& batch) {
    ++count;
    writes.push_back(std::move(batch));
  }
};

struct recording_observer final : group_observer {
  void on_role(role r, term_t, node_id leader) override { roles.emplace_back(r, leader); }
  void on_applied(const entry& e, const apply_result&) override { applied.push_back(e.index); }
  void on_failed(const failure& f) override { failures.push_back(f); }
  void on_refused(node_id by) override { refused_by = by; }
  std::vector<std::pair<role, node_id>> roles;
  std::vector<log_index> applied;
  std::vector<failure> failures;
  node_id refused_by;
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

// One group with everything it is given.
class driven {
 public:
  using group_type = group<fake_transport, fake_storage>;

  driven(std::uint64_t id, std::uint64_t voters, const std::function<void(group_options&)>& change = {}) {
    group_options o;
    o.raft.cluster = cluster_id(7);
    o.raft.group = group_id(1);
    o.raft.self = node_id(id);
    o.raft.incarnation = incarnation_id(id * 100 + 1);
    o.raft.seed = id;
    o.raft.heartbeat_ticks = 3;
    o.raft.election_ticks = 10;
    if (change) change(o);
    configuration members;
    for (std::uint64_t i = 1; i <= voters; ++i)
      members.incoming.push_back({node_id(i), incarnation_id(i * 100 + 1)});
    g = std::make_unique<group_type>(o, members, recovered_log{}, transport, storage, map, observer);
  }

  group_type* operator->() { return g.get(); }

  // The oldest write is durable, or has failed.
  bool persist(const failure& error = {}) {
    if (storage.writes.empty()) return false;
    const write_seq seq = storage.writes.front().seq;
    storage.writes.pop_front();
    g->persisted(seq, error);
    return true;
  }
  // Pumps and persists until nothing is left to do.
  void settle() {
    do
      while (g->pump()) {
      }
    while (persist());
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

  fake_transport transport;
  fake_storage storage;
  map_state map;
  recording_observer observer;
  std::unique_ptr<group_type> g;
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
      if (lost && lost(m)) continue;
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
