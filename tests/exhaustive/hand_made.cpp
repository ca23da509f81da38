#include "exhaustive/hand_made.hpp"

#include <cstdio>
#include <functional>

#include "exhaustive/history.hpp"

namespace confman::exhaustive {

namespace {

// Nodes 1 to 3 with two entries of term 1 on each disk, the first of them committed; node 1 leads.
facts sound_node(unsigned id) {
  facts f;
  f.as = id == 1 ? role::leader : role::follower;
  f.term = f.durable_term = 1;
  f.commit = f.applied = 1;
  f.voters = {0b1110, 0};
  f.log.last = 2;
  f.log.terms = {0, 1, 1};
  f.log.hashes = {0, 101, 102};
  f.disk = f.log;
  return f;
}

// What node `at` was and has become, what the others are, and what left and was answered.
struct moment {
  std::array<facts, most_nodes + 1> nodes;
  unsigned at = 1;
  facts after;
  std::vector<message> sent;
  std::vector<read_answer> reads;
  action what{step::store, 1, 0};

  explicit moment(unsigned id = 1) : at(id) {
    for (unsigned n = 1; n < nodes.size(); ++n) nodes[n] = sound_node(n);
    after = nodes[id];
  }
  [[nodiscard]] std::string alone() const { return check_step(nodes[at], after, what); }
  [[nodiscard]] std::string judged(history& past) const {
    const scope within;
    std::vector<const message*> shown;
    for (const message& m : sent) shown.push_back(&m);
    happening h{within, what, {}, at, after, shown, reads};
    for (unsigned n = 1; n <= within.nodes; ++n) h.nodes[n] = &nodes[n];
    return past.judge(h);
  }
};

// Node 1 led term 1 and committed entry 1.
history past() {
  history h;
  moment first;
  first.nodes[1].commit = first.nodes[1].applied = 0;
  (void)first.judged(h);
  return h;
}

struct by_hand {
  const char* property;  // part of the answer; empty: it is in order
  unsigned at;
  std::function<void(moment&)> change;
};

message vote_of(std::uint64_t from, std::uint64_t to) {
  message m;
  m.from = node_id(from);
  m.to = node_id(to);
  m.term = term_t(1);
  m.body = vote_response{true};
  return m;
}

const by_hand of_one_node[] = {
    {"", 1, [](moment&) {}},
    {"", 1, [](moment& m) { m.after.commit = m.after.applied = 2; }},
    {"the term goes back", 2, [](moment& m) { m.after.term = 0; }},
    {"not in order", 2, [](moment& m) { m.after.applied = 2; }},
    {"voters in force", 2, [](moment& m) { m.after.members_differ = true; }},
    {"go back", 2, [](moment& m) { m.after.commit = m.after.applied = 0; }},
    {"a leader changes its log", 1, [](moment& m) { m.after.log.hashes[2] = 7; }},
    {"a leader changes its log", 1, [](moment& m) { m.after.log.last = 1; }},
    {"", 2, [](moment& m) { m.after.log.last = 1; }},
    {"majorities", 2, [](moment& m) { m.after.members_apart = true; }},
    {"", 1,
     [](moment& m) {
       m.after.voters = {0b0110, 0}, m.after.open_changes = 1;
     }},
    {"a second change", 1,
     [](moment& m) {
       m.after.voters = {0b0110, 0}, m.after.open_changes = 2;
     }},
    {"own term", 1,
     [](moment& m) {
       m.after.voters = {0b0110, 0}, m.after.open_changes = 1;
       m.nodes[1].term = m.after.term = 2;
     }},
};

const by_hand of_all[] = {
    {"", 1, [](moment&) {}},
    {"", 1, [](moment& m) { m.after.commit = 2; }},
    {"", 2, [](moment& m) { m.sent = {vote_of(2, 3)}; }},
    {"log matching", 2, [](moment& m) { m.after.log.hashes[2] = 7; }},
    {"one vote", 2,
     [](moment& m) {
       m.sent = {vote_of(2, 1), vote_of(2, 3)};
     }},
    {"one leader", 2, [](moment& m) { m.after.as = role::leader; }},
    {"leader completeness", 2,
     [](moment& m) { m.after.as = role::leader, m.after.term = 2, m.after.log.last = 0; }},
    {"committed is immutable", 2,
     [](moment& m) {
       m.nodes[2].commit = 0;
       m.nodes[2].log.terms[1] = m.after.log.terms[1] = 2;
       m.nodes[2].log.hashes[1] = m.after.log.hashes[1] = 7;
     }},
    {"no leader has", 2, [](moment& m) { m.after.commit = 2; }},
    {"by counting", 1, [](moment& m) { m.nodes[1].term = m.after.term = 2, m.after.commit = 2; }},
    {"disks of a majority", 1,
     [](moment& m) {
       m.after.commit = 2;
       m.nodes[2].disk.last = m.nodes[3].disk.last = 1;
     }},
    // Of the majority of all, and not of the voters that go.
    {"disks of a majority", 1,
     [](moment& m) {
       m.after.commit = 2;
       m.nodes[1].voters = {0b0110, 0b1100};
       m.nodes[3].disk.last = 1;
     }},
    {"snapshot", 2, [](moment& m) { m.after.snapshot = 1, m.after.snapshot_hash = 7; }},
    {"", 2, [](moment& m) { m.after.snapshot = 1, m.after.snapshot_hash = 101; }},
    {"read", 1,
     [](moment& m) {
       m.reads = {{read_id(0), log_index(2)}};
     }},
    {"", 1,
     [](moment& m) {
       m.reads = {{read_id(0), log_index(1)}};
     }},
};

bool as_said(const by_hand& one, const std::string& answer) {
  const bool right = *one.property == '\0' ? answer.empty() : answer.find(one.property) != std::string::npos;
  if (!right) std::printf("made by hand: expected '%s', got '%s'\n", one.property, answer.c_str());
  return right;
}

}  // namespace

bool properties_can_fail() {
  bool right = true;
  for (const by_hand& one : of_one_node) {
    moment m(one.at);
    one.change(m);
    right = as_said(one, m.alone()) && right;
  }
  for (const by_hand& one : of_all) {
    moment m(one.at);
    one.change(m);
    history h = past();
    right = as_said(one, m.judged(h)) && right;
  }
  std::printf("made by hand: %zu steps, %s\n", std::size(of_one_node) + std::size(of_all),
              right ? "each judged as it should be" : "BAD");
  return right;
}

}  // namespace confman::exhaustive
