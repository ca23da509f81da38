// A bad peer is an error, never a crash: the core's own assertions must hold whatever well-formed messages
// come.
#include <doctest/doctest.h>

#include <limits>

#include "confman/core/random.hpp"
#include "lib/core_harness.hpp"
#include "lib/effort.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

constexpr std::uint64_t top = std::numeric_limits<std::uint64_t>::max();

append_request entries_of(const std::vector<version>& places, version previous = {}) {
  append_request body;
  body.previous = previous;
  for (const version& at : places)
    body.entries.push_back({at.term, at.index, entry_type::command, text("x"), {}});
  return body;
}

version at(std::uint64_t term, std::uint64_t index) {
  return {term_t(term), log_index(index)};
}

}  // namespace

TEST_CASE("bad input: an acknowledgement beyond the leader's log is refused") {
  test_node node(1, voters(3));
  lead(node);
  CHECK(node.receive(2, 1, append_ok{log_index(2)}) == errc::bad_command);
  CHECK(node.receive(2, 1, append_ok{log_index(top)}) == errc::bad_command);
  CHECK(node->progress_of(node_id(2))->match == log_index(0));
  CHECK(node->commit() == log_index(0));
}

TEST_CASE(
    "bad input: entries with gaps, falling terms or terms above the sender's are refused, and change "
    "nothing") {
  test_node node(1, voters(3));
  CHECK(node.receive(2, 5, entries_of({at(1, 2)})) == errc::bad_command);
  CHECK(node.receive(2, 5, entries_of({at(1, 1), at(1, 3)})) == errc::bad_command);
  CHECK(node.receive(2, 5, entries_of({at(1, 1), at(1, 1)})) == errc::bad_command);
  CHECK(node.receive(2, 5, entries_of({at(3, 1), at(2, 2)})) == errc::bad_command);
  CHECK(node.receive(2, 5, entries_of({at(6, 1)})) == errc::bad_command);
  CHECK(node.receive(2, 5, entries_of({at(1, top)})) == errc::bad_command);
  CHECK(node->log().last_index() == log_index(0));
  CHECK_FALSE(node.receive(2, 5, entries_of({at(1, 1), at(5, 2)})));
  CHECK(node->log().last_index() == log_index(2));
}

TEST_CASE("bad input: an append whose previous place has a term at index 0 is refused") {
  test_node node(1, voters(3));
  CHECK(node.receive(2, 5, entries_of({at(5, 1)}, at(4, 0))) == errc::log_diverged);
  CHECK_FALSE(node.receive(2, 5, entries_of({}, at(4, top))));
  node.work();
  CHECK(node.take<append_reject>(2).at(0).rejected == log_index(top));
}

TEST_CASE(
    "bad input: an append with a configuration that can't be decoded is refused before anything is removed") {
  test_node node(1, voters(3), {}, disk_of(4, {1, 2, 2}));
  append_request body = append_of({1, 5}, 1);
  body.entries.push_back({term_t(5), log_index(3), entry_type::configuration, text("nonsense"), {}});
  CHECK(node.receive(2, 5, body) == errc::bad_command);
  CHECK(terms_of(node->log()) == std::vector<std::uint64_t>{1, 2, 2});
  CHECK(node->members() == voters(3));
  node.pump();
  for (const write_batch& write : node.writing) CHECK_FALSE(write.truncate_from);
}

TEST_CASE("bad input: another leader in the same term is refused by follower and leader") {
  test_node node(1, voters(3));
  CHECK_FALSE(node.receive(2, 5, heartbeat{}));
  CHECK(node.receive(3, 5, heartbeat{}) == errc::two_leaders);
  CHECK(node.receive(3, 5, commit_notice{}) == errc::two_leaders);
  CHECK(node.receive(3, 5, append_of({5}, 0)) == errc::two_leaders);
  CHECK(node->leader() == node_id(2));
  CHECK(node->log().last_index() == log_index(0));
}

TEST_CASE("bad input: equal index and term with another history is reported as divergence") {
  test_node node(1, voters(3), {}, disk_of(5, {1, 5}));
  append_request body = append_of({1, 5, 5}, 2);
  body.previous_hash = chain_hash(1);
  CHECK(node.receive(2, 5, body) == errc::log_diverged);
  CHECK(node->log().last_index() == log_index(2));
  CHECK_FALSE(node.receive(2, 5, append_of({1, 5, 5}, 2)));
}

TEST_CASE("bad input: a committed entry is never removed, the append is reported as divergence") {
  test_node node(1, voters(3), {}, disk_of(5, {1, 5, 5}, 0, 2));
  CHECK(node.receive(2, 6, append_of({1, 6, 6}, 1)) == errc::log_diverged);
  CHECK(node.receive(2, 6, append_of({1, 6, 6}, 2)) == errc::log_diverged);
  CHECK(terms_of(node->log()) == std::vector<std::uint64_t>{1, 5, 5});
  CHECK(node->commit() == log_index(2));
}

TEST_CASE("bad input: a commit index beyond the log is refused and commits nothing") {
  test_node node(1, voters(3), {}, disk_of(5, {1, 5}));
  CHECK(node.receive(2, 5, heartbeat{log_index(top), 0}) == errc::log_damaged);
  CHECK(node->commit() == log_index(0));
  CHECK(node.receive(2, 5, commit_notice{log_index(top)}) == errc::log_damaged);
  CHECK(node->commit() == log_index(0));
}

TEST_CASE("bad input: a term so high that the next one would overflow is refused") {
  test_node node(1, voters(3));
  for (const std::uint64_t term : {top, top - 1, std::uint64_t{1} << 56}) {
    CHECK(node.receive(2, term, heartbeat{}) == errc::bad_command);
    CHECK(node.receive(2, term, vote_request{}) == errc::bad_command);
  }
  CHECK(node->term() == term_t(0));
}

TEST_CASE("bad input: a snapshot of a place so high that sums of places would overflow is refused") {
  test_node node(1, voters(3));
  snapshot_meta meta;
  meta.members = voters(3);
  meta.members_at = log_index(1);
  for (const std::uint64_t index : {top, top - 1, highest_index.value() + 1}) {
    meta.at = at(1, index);
    CHECK_FALSE(node.install(meta, 1));
    CHECK(node->commit() == log_index(0));
    CHECK_FALSE(decode_snapshot_meta(encode_snapshot_meta(meta).view()));
  }
  meta.at = at(1, highest_index.value());
  CHECK(decode_snapshot_meta(encode_snapshot_meta(meta).view()));
}

TEST_CASE("bad input: rejections with impossible places move next only within the log") {
  test_node node(1, voters(3), {}, disk_of(4, {1, 4, 4}));
  lead(node);
  for (const std::uint64_t rejected : {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{9}, top}) {
    for (const std::uint64_t index : {std::uint64_t{0}, std::uint64_t{2}, std::uint64_t{50}, top}) {
      for (const std::uint64_t term : {std::uint64_t{0}, std::uint64_t{4}, top}) {
        CHECK_FALSE(node.receive(2, 5, append_reject{log_index(rejected), at(term, index)}));
        const progress* peer = node->progress_of(node_id(2));
        CHECK(peer->next > peer->match);
        CHECK(peer->next <= node->log().last_index() + 1);
        node.work();
      }
    }
  }
}

namespace {

// Draws well-formed messages whose fields are near what the node has, or far from it.
class fuzzer {
 public:
  explicit fuzzer(std::uint64_t seed) : random_(seed) {}

  std::uint64_t number(std::uint64_t near) {
    switch (random_.below(12)) {
      case 0:
        return 0;
      case 1:
        return top;
      case 2:
        return random_.next();
      default:
        return near + random_.below(5) - std::min<std::uint64_t>(near, random_.below(4));
    }
  }

  std::uint64_t below(std::uint64_t n) { return random_.below(n); }
  bool flip() { return random_.below(2) == 0; }

  version place(const test_node& node) {
    const log_index i(number(random_.below(node->log().last_index().value() + 2)));
    const auto term = node->log().term_at(i);
    return {term && random_.below(4) != 0 ? *term : term_t(number(node->term().value())), i};
  }

  append_request append(const test_node& node) {
    append_request body;
    body.previous = place(node);
    const auto hash = node->log().hash_at(body.previous.index);
    body.previous_hash = hash && random_.below(6) != 0 ? *hash : chain_hash(number(0));
    body.commit = log_index(number(body.previous.index.value()));
    term_t term = body.previous.term;
    log_index index = body.previous.index;
    for (std::uint64_t n = random_.below(5); n > 0; --n) {
      if (flip()) term = std::max(term, std::min(node->term(), term + random_.below(2)));
      index = random_.below(40) == 0 ? log_index(number(index.value())) : index + 1;
      const auto type = static_cast<entry_type>(random_.below(3));
      shared_bytes payload = text("x");
      if (type == entry_type::configuration && random_.below(5) != 0)
        payload = encode_configuration(voters(3));
      body.entries.push_back({random_.below(40) == 0 ? term_t(number(0)) : term, index, type, payload, {}});
    }
    return body;
  }

  // What a sound peer might answer, so that the node gets somewhere before the next nonsense.
  message_body answer(const test_node& node) {
    if (node->role() == role::pre_candidate) return pre_vote_response{node->term() + 1, true};
    if (node->role() == role::candidate) return vote_response{true};
    if (node->role() != role::leader) return append(node);
    if (flip()) return heartbeat_response{random_.below(4)};
    return append_ok{log_index(random_.below(node->log().last_index().value() + 1))};
  }

  message_body body(const test_node& node) {
    if (random_.below(3) == 0) return answer(node);
    const std::uint64_t term = node->term().value();
    const std::uint64_t last = node->log().last_index().value();
    switch (random_.below(17)) {
      case 0:
        return pre_vote_request{term_t(number(term + 1)), place(node)};
      case 1:
        return pre_vote_response{term_t(number(term)), flip()};
      case 2:
        return pre_vote_response{node->term() + 1, true};
      case 3:
        return vote_request{place(node)};
      case 4:
        return vote_response{flip()};
      case 5:
      case 6:
      case 7:
        return append(node);
      case 8:
        return append_ok{log_index(number(last))};
      case 9:
        return append_reject{log_index(number(last)), place(node)};
      case 10:
        return heartbeat{log_index(number(node->commit().value())), number(0)};
      case 11:
        return heartbeat_response{number(1)};
      case 12:
        return commit_notice{log_index(number(last))};
      case 13:
        return read_index_request{number(5)};
      case 14:
        return read_index_response{number((node.disk.boot << 32) + 1), log_index(number(last))};
      case 15:
        return refused{incarnation_id(number(0))};
      default:
        return flip() ? message_body(stale_term{}) : message_body(forward_request{number(1), text("f")});
    }
  }

 private:
  random_source random_;
};

// What the runs came across: a fuzz that never gets anywhere proves nothing.
struct reached {
  std::size_t steps_as_leader = 0, commits = 0, truncations = 0, reads = 0, refusals = 0;
};

void fuzz(std::uint64_t seed, reached& seen) {
  fuzzer fuzz(seed);
  test_node node(1, fuzz.flip() ? voters(3) : bound_voters(3), [&](raft_options& o) {
    o.seed = seed;
    o.election_ticks = 4;
    o.heartbeat_ticks = 2;
    o.max_window_appends = 3;
    o.max_append_entries = 2;
    o.max_pending_reads = 8;
  });
  for (int step = 0; step < 400; ++step) {
    const std::uint64_t near =
        node->term().value() + (fuzz.below(40) == 0 ? 1 : 0) - (fuzz.below(20) == 0 ? 1 : 0);
    const std::uint64_t term = fuzz.below(60) == 0 ? fuzz.number(near) : near;
    const std::uint64_t from = fuzz.below(30) == 0 ? fuzz.number(1) : 2 + fuzz.below(2);
    const incarnation_id incarnation =
        fuzz.below(30) == 0 ? incarnation_id(fuzz.number(0)) : incarnation_of(from);
    const log_index last = node->log().last_index(), commit = node->commit();
    seen.refusals += node.receive(from, term, fuzz.body(node), incarnation) ? 1u : 0u;
    seen.truncations += node->log().last_index() < last ? 1u : 0u;
    seen.commits += node->commit() > commit ? 1u : 0u;
    seen.steps_as_leader += node->role() == role::leader ? 1u : 0u;
    switch (fuzz.below(8)) {
      case 0:
        node.tick(static_cast<std::uint32_t>(fuzz.below(10)));
        break;
      case 1:
        (void)node->propose(text("p"));
        break;
      case 2:
        (void)node->read(read_id(static_cast<std::uint64_t>(step)));
        break;
      case 3:
        node.persist_one();
        break;
      case 4:
        node.pump(fuzz.flip());
        break;
      case 5:
        node->unreachable(node_id(fuzz.below(4)));
        break;
      case 6:
        node.work();
        break;
      default:
        break;
    }
    seen.reads += node.answers.size();
    node.answers.clear();
    if (fuzz.below(150) == 0) {
      node.crash(fuzz.below(2), static_cast<int>(fuzz.below(4)));
      node.restart();
    }
  }
}

}  // namespace

TEST_CASE("bad input: arbitrary well-formed messages never break an invariant") {
  reached seen;
  for (std::uint64_t seed = 0; seed < confman_test::effort(400u); ++seed) {
    CAPTURE(seed);
    fuzz(seed, seen);
  }
  CHECK(seen.steps_as_leader > 1000);
  CHECK(seen.commits > confman_test::effort(1000u) / 2);
  CHECK(seen.truncations > confman_test::effort(100u) / 2);
  CHECK(seen.reads > confman_test::effort(100u) / 2);
  CHECK(seen.refusals > 1000);
}
