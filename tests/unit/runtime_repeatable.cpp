// Writes that may be passed on again (they carry a session and a number), large values in pieces, and the
// numbers of a session.
#include <doctest/doctest.h>

#include <deque>
#include <memory>
#include <string>

#include "confman/runtime/client_session.hpp"
#include "confman/runtime/large_write.hpp"
#include "runtime_group.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

std::uint64_t open_session(driven_cluster& c, std::uint64_t node) {
  test_write open;
  command_view command;
  command.kind = command_kind::session_open;
  command.time_to_live_ms = 60'000;
  open.command = encode(command);
  c[node]->submit(open);
  c.settle();
  REQUIRE(open.ended_with({}));
  return open.result.revision;
}
// A write of a session, which the group may repeat.
struct once_write {
  once_write(std::uint64_t session, std::uint64_t sequence, std::string_view key, std::string_view value) {
    command_view command;
    command.key = key;
    command.value = value;
    command.session = session;
    command.sequence = sequence;
    command.acknowledged = 1;
    operation.command = encode(command);
    operation.repeatable = true;
  }
  test_write operation;
};
// How many entries of a node's log carry this value.
int entries_with(driven& d, std::string_view value) {
  int count = 0;
  const log_view& log = d->core().log();
  for (log_index i = log.first_index(); i <= log.last_index(); ++i)
    if (const auto c = decode(log.at(i).payload); log.at(i).type == entry_type::command && c)
      count += c->value == value ? 1 : 0;
  return count;
}

// What large_write asks of a node: a queue of letters, and a group at its other end.
struct fake_node final : mail_receiver {
  explicit fake_node(driven& group) : target(&group) {}

  std::deque<mail*> letters;
  driven* target;
  std::uint64_t uploads = 100;

  void send_always(mail& m) { letters.push_back(&m); }
  std::uint64_t next_upload() { return ++uploads; }
  bool deliver() {
    if (letters.empty()) return false;
    mail* const m = letters.front();
    letters.pop_front();
    m->deliver(*this);
    return true;
  }
  void accept(write_operation& w) override {
    ++accepted;
    w.deadline = (*target)->now() + deadline;
    if (refuse_with) return w.complete(std::exchange(refuse_with, {}), {});
    (*target)->submit(w);
  }
  void accept(read_operation&) override { FAIL("no read"); }
  void accept(cluster_operation&) override { FAIL("no operation on the cluster"); }
  void accept_cancel(std::uint64_t) override { FAIL("no cancellation"); }

  int accepted = 0;
  tick_count deadline = 1000;
  std::error_code refuse_with;  // the next letter
};

const std::string large_value = [] {
  std::string value(3 * max_piece_bytes + 1000, 'a');
  for (std::size_t i = 0; i < value.size(); i += 997) value[i] = static_cast<char>('b' + i % 20);
  return value;
}();

struct large_put {
  large_put(std::shared_ptr<fake_node> n, std::string_view value, std::uint64_t session = 0) : node(n) {
    user.id = 77;
    prepared_write w;
    w.key = "/large";
    w.value = shared_bytes::copy(value);
    w.last.author = node_id(1);
    if (session != 0) {
      w.last.session = session;
      w.last.sequence = 1;
      w.last.acknowledged = 1;
      w.repeatable = true;
    }
    using write = confman::detail::large_write<fake_node>;
    node->send_always(*new write(node, user, std::move(w), node->next_upload()));
  }
  using prepared_write = confman::detail::prepared_write;
  test_write user;
  std::shared_ptr<fake_node> node;
};

}  // namespace

TEST_CASE("a repeatable write whose forward got lost with the connection is sent again, and has one effect") {
  driven_cluster c(3);
  c.elect(1);
  const std::uint64_t session = open_session(c, 1);
  c.lost = is_forward;
  once_write w(session, 1, "/a", "once");
  c[2]->submit(w.operation);
  c.settle();
  c[2]->unreachable(node_id(1));
  CHECK(w.operation.waits());
  c.lost = nullptr;
  c.tick(5);
  CHECK(w.operation.ended_with({}));
  CHECK(c[3].value("/a") == "once");
  CHECK(entries_with(c[1], "once") == 1);
}

TEST_CASE("a repeatable write whose answer got lost is answered as at first") {
  driven_cluster c(3);
  c.elect(1);
  const std::uint64_t session = open_session(c, 1);
  c.lost = is_answer;
  once_write w(session, 1, "/a", "once");
  c[2]->submit(w.operation);
  c.settle();
  const std::uint64_t revision = c[1].map.get("/a")->modify_revision();
  c[2]->unreachable(node_id(1));
  CHECK(w.operation.waits());
  c.lost = nullptr;
  c.tick(5);
  CHECK(w.operation.ended_with({}));
  CHECK(w.operation.result.revision == revision);
  CHECK(c[1].map.get("/a")->modify_revision() == revision);
  CHECK(entries_with(c[1], "once") == 2);
}

TEST_CASE("retry duplicates: a repeatable write goes over to the next leader, with one effect") {
  for (const bool reached : {false, true}) {
    CAPTURE(reached);
    driven_cluster c(3);
    c.elect(1);
    c.tick(3);
    const std::uint64_t session = open_session(c, 1);
    // It reaches the log of the others, or not; the answer never comes back.
    c.lost = [&](const message& m) { return (reached ? is_answer(m) : is_forward(m)); };
    once_write w(session, 1, "/a", "once");
    c[2]->submit(w.operation);
    c.settle();
    c.lost = [](const message& m) { return touches(m, 1); };
    c.elect(3);
    c.tick(3);
    CHECK(w.operation.ended_with({}));
    c.lost = nullptr;
    c.tick(12);
    for (std::uint64_t id = 1; id <= 3; ++id) CHECK(c[id].value("/a") == "once");
    CHECK(c[2].map.get("/a")->modify_revision() == w.operation.result.revision);
    CHECK(w.operation.completions == 1);
  }
}

TEST_CASE("a repeatable write in the log of a deposed leader is passed on to the new one") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(3);
  const std::uint64_t session = open_session(c, 1);
  c.lost = [](const message& m) { return touches(m, 1); };
  once_write w(session, 1, "/a", "once");
  c[1]->submit(w.operation);
  c.settle();
  c.elect(2);
  test_write other("/b", "2");
  c[2]->submit(other);
  c.settle();
  c.lost = nullptr;
  c.tick(20);
  CHECK(w.operation.ended_with({}));
  CHECK(c[3].value("/a") == "once");
  CHECK(entries_with(c[2], "once") == 1);
}

TEST_CASE("the deadline ends a repeatable write too: unknown if it was ever sent, no_leader if not") {
  driven_cluster c(3);
  c.elect(1);
  const std::uint64_t session = open_session(c, 1);
  c.lost = is_forward;
  once_write sent(session, 1, "/a", "1");
  sent.operation.deadline = c[2]->now() + 8;
  c[2]->submit(sent.operation);
  c.settle();
  c[2]->unreachable(node_id(1));
  CHECK(sent.operation.waits());
  once_write kept(session, 2, "/b", "2");
  kept.operation.deadline = c[2]->now() + 8;
  c[2]->submit(kept.operation);
  c.lost = [](const message&) { return true; };
  c.tick(14);
  CHECK(sent.operation.ended_with(errc::outcome_unknown));
  CHECK(kept.operation.ended_with(errc::no_leader));
}

TEST_CASE("a write in doubt is never said to be certainly not applied: busy, not_leader or stop") {
  driven_cluster c(3, [](group_options& o) {
    if (o.raft.self == node_id(3)) o.raft.max_uncommitted_bytes = 1;
  });
  c.elect(1);
  c.tick(3);
  const std::uint64_t session = open_session(c, 1);
  c.lost = is_answer;
  once_write for_busy(session, 1, "/a", "1"), for_stop(session, 2, "/b", "2");
  c[3]->submit(for_busy.operation);
  c[2]->submit(for_stop.operation);
  c.settle();
  CHECK(c[1].value("/a") == "1");  // they are applied, which nobody was told
  CHECK(c[1].value("/b") == "2");
  c.lost = [](const message& m) { return touches(m, 1) || touches(m, 2); };
  c[2]->unreachable(node_id(1));
  c[3]->unreachable(node_id(1));
  CHECK(for_stop.operation.waits());
  c[2]->stop();
  CHECK(for_stop.operation.ended_with(errc::outcome_unknown));
  CHECK(for_busy.operation.waits());
  for_busy.operation.may_forward = false;
  c.lost = nullptr;
  c.tick(4);  // the leader is heard again, and this one may not be passed to it
  CHECK(for_busy.operation.ended_with(errc::outcome_unknown));
}

TEST_CASE("a leader without room answers busy, which ends a repeatable write that was never sent before") {
  driven_cluster c(3, [](group_options& o) { o.raft.max_uncommitted_bytes = 300; });
  c.elect(1);
  const std::uint64_t session = open_session(c, 1);
  test_write fills("/fills", std::string(400, 'x'));
  c.lost = [](const message& m) { return std::holds_alternative<append_request>(m.body); };
  c[1]->submit(fills);
  once_write w(session, 1, "/a", "1");
  c[2]->submit(w.operation);
  c.settle();
  CHECK(w.operation.ended_with(errc::busy));
  c.lost = nullptr;
  c.tick(6);
  CHECK_FALSE(c[1].value("/a"));
}

TEST_CASE("a write that is not repeatable is sent once, whatever becomes of it") {
  driven_cluster c(3);
  c.elect(1);
  c.lost = is_forward;
  test_write w("/a", "1");
  c[2]->submit(w);
  c.settle();
  CHECK(w.waits());
  c[2]->unreachable(node_id(1));
  CHECK(w.ended_with(errc::outcome_unknown));
  c.lost = nullptr;
  c.tick(12);
  CHECK_FALSE(c[1].value("/a"));
}

TEST_CASE("a large value goes piece by piece, each after the one before is applied") {
  const auto d = lone_leader();
  const auto node = std::make_shared<fake_node>(*d);
  large_put put(node, large_value);
  int letters = 0;
  while (node->deliver()) {
    ++letters;
    CHECK(put.user.waits());
    CHECK_FALSE(d->value("/large"));
    CHECK(node->letters.empty());
    d->settle();
    CHECK(node->letters.size() <= 1);
  }
  CHECK(letters == 5);
  CHECK(put.user.ended_with({}));
  CHECK(d->value("/large") == large_value);
  CHECK(put.user.result.at.index == d->g->core().applied());
}

TEST_CASE("small writes go between the pieces of a large one") {
  const auto d = lone_leader();
  const auto node = std::make_shared<fake_node>(*d);
  large_put put(node, large_value);
  for (int i = 0; node->deliver(); ++i) {
    test_write small("/small", std::to_string(i));
    d->g->submit(small);
    d->settle();
    CHECK(small.ended_with({}));
  }
  CHECK(put.user.ended_with({}));
  CHECK(d->value("/large") == large_value);
}

TEST_CASE("a large value survives a change of leader between and in its pieces") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(3);
  const auto node = std::make_shared<fake_node>(c[2]);
  large_put put(node, large_value);
  REQUIRE(node->deliver());
  c.settle();
  REQUIRE(node->deliver());
  c.lost = [](const message& m) { return touches(m, 1); };
  c.settle();
  CHECK(node->letters.empty());  // the second piece is on its way to nobody
  c.elect(3);
  c.tick(3);
  REQUIRE_FALSE(node->letters.empty());
  while (node->deliver()) c.settle();
  CHECK(put.user.ended_with({}));
  CHECK(c[3].value("/large") == large_value);
  CHECK(c[2].value("/large") == large_value);
}

TEST_CASE("a large value that fails in its pieces certainly didn't happen, and says why") {
  const auto d = lone_leader();
  struct example {
    std::error_code piece, told;
  };
  for (const example& e :
       {example{errc::busy, errc::busy}, example{errc::outcome_unknown, errc::no_leader},
        example{errc::stopped, errc::stopped}, example{errc::no_leader, errc::no_leader}}) {
    const auto node = std::make_shared<fake_node>(*d);
    large_put put(node, large_value);
    REQUIRE(node->deliver());
    d->settle();
    node->refuse_with = e.piece;
    REQUIRE(node->deliver());
    CHECK(put.user.ended_with(e.told));
    CHECK(node->letters.empty());
  }
  CHECK_FALSE(d->value("/large"));
}

TEST_CASE("the last entry of a large value may be lost like any write: then its outcome is unknown") {
  const auto d = lone_leader();
  const auto node = std::make_shared<fake_node>(*d);
  large_put put(node, large_value);
  for (int i = 0; i < 4; ++i) {
    REQUIRE(node->deliver());
    d->settle();
  }
  node->deadline = 4;
  REQUIRE(node->deliver());
  d->g->pump();
  d->tick(12);
  CHECK(put.user.ended_with(errc::outcome_unknown));
  d->settle();
  CHECK(d->value("/large") == large_value);
}

TEST_CASE("a large value whose pieces had to make room begins anew, a few times") {
  const auto d = lone_leader();
  SUBCASE("once") {
    const auto node = std::make_shared<fake_node>(*d);
    large_put put(node, large_value);
    REQUIRE(node->deliver());
    d->settle();
    node->refuse_with = errc::upload_expired;
    int letters = 0;
    for (; node->deliver(); ++letters) d->settle();
    CHECK(letters == 1 + 5);
    CHECK(node->uploads == 102);
    CHECK(put.user.ended_with({}));
    CHECK(d->value("/large") == large_value);
  }
  SUBCASE("at its last entry") {
    const auto node = std::make_shared<fake_node>(*d);
    large_put put(node, large_value);
    for (int i = 0; i < 4; ++i) {
      REQUIRE(node->deliver());
      d->settle();
    }
    node->refuse_with = errc::upload_expired;
    while (node->deliver()) d->settle();
    CHECK(put.user.ended_with({}));
    CHECK(d->value("/large") == large_value);
  }
  SUBCASE("not for ever") {
    const auto node = std::make_shared<fake_node>(*d);
    large_put put(node, large_value);
    do node->refuse_with = errc::upload_expired;
    while (node->deliver());
    CHECK(put.user.ended_with(errc::upload_expired));
    CHECK(node->accepted == 3);
    CHECK_FALSE(d->value("/large"));
  }
}

TEST_CASE("a large value in a session has one effect, over a leader that changes under its last entry") {
  driven_cluster c(3);
  c.elect(1);
  c.tick(3);
  const std::uint64_t session = open_session(c, 1);
  const auto node = std::make_shared<fake_node>(c[2]);
  large_put put(node, large_value, session);
  for (int i = 0; i < 4; ++i) {
    REQUIRE(node->deliver());
    c.settle();
  }
  c.lost = is_answer;
  REQUIRE(node->deliver());
  c.settle();
  REQUIRE(c[3].value("/large") == large_value);
  const std::uint64_t revision = c[3].map.get("/large")->modify_revision();
  c.lost = [](const message& m) { return touches(m, 1); };
  c.elect(3);
  c.tick(3);
  CHECK(put.user.ended_with({}));
  CHECK(put.user.result.revision == revision);
  CHECK(c[3].map.get("/large")->modify_revision() == revision);
}

TEST_CASE("a large value is cancelled by the id of its write, and abandoned with group or node") {
  const auto cancelled = std::make_error_code(std::errc::operation_canceled);
  const auto d = lone_leader();
  auto node = std::make_shared<fake_node>(*d);
  large_put put(node, large_value);
  REQUIRE(node->deliver());
  d->g->cancel(77, cancelled);
  CHECK(put.user.ended_with(cancelled));
  d->settle();
  CHECK(node->letters.empty());

  large_put orphan(node, large_value);
  REQUIRE(node->deliver());
  put.node.reset();
  orphan.node.reset();
  node.reset();
  d->settle();  // the piece is applied, nobody is there to send the next
  CHECK(orphan.user.abandoned == 1);
  CHECK(orphan.user.completions == 0);

  const auto living = std::make_shared<fake_node>(*d);
  large_put discarded(living, large_value);
  living->letters.front()->discard();
  CHECK(discarded.user.abandoned == 1);
  large_put with_group(living, large_value);
  living->letters.pop_front();
  REQUIRE(living->deliver());
  d->g.reset();
  CHECK(with_group.user.abandoned == 1);
}

TEST_CASE("a session numbers its writes and says which answers have arrived") {
  client_session s(9);
  CHECK(s.id() == 9);
  const once a = s.begin(), b = s.begin(), c = s.begin();
  CHECK(a.session == 9);
  CHECK(a.sequence == 1);
  CHECK(a.acknowledged == 1);
  CHECK(c.sequence == 3);
  CHECK(c.acknowledged == 1);
  s.end(b);
  CHECK(s.begin().acknowledged == 1);
  s.end(a);
  const once e = s.begin();
  CHECK(e.sequence == 5);
  CHECK(e.acknowledged == 3);
  s.end(e);
  s.end(e);
  CHECK(s.begin().acknowledged == 3);
  CHECK(a.acknowledged <= a.sequence);
}
