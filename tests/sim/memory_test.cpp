// The check of bounded memory (invariant 22) can fail: each limit refuses one more than it allows.
#include "confman/sim/memory_check.hpp"

#include <doctest/doctest.h>

#include <string>

#include "confman/sim/violation.hpp"
#include "lib/core_harness.hpp"

namespace {

using namespace confman::sim;
using confman::node_id;
using confman::raft_core;

struct checked {
  scenario plan;
  trace log;
  memory_check memory{node_id{1}, plan, log};
  memory_check::queues kept;

  static void work(raft_core& core) {
    const confman::ready todo = core.take_ready(true);
    if (!todo.write.empty()) core.persisted(todo.write.seq);
  }
  // A founder alone: it leads, and commits what its disk has.
  static raft_core leader() {
    confman::raft_options o;
    o.cluster = confman::cluster_id{1};
    o.group = confman::group_id{1};
    o.self = node_id{1};
    o.incarnation = confman::incarnation_id{7};
    o.boot = 1;
    confman::configuration one;
    one.incoming.push_back({node_id{1}, {}});
    raft_core core(o, one, {});
    while (core.role() != confman::role::leader) {
      core.tick();
      work(core);
    }
    return core;
  }
  // Commits and applies so many entries in all.
  static void apply(raft_core& core, std::uint64_t all) {
    while (core.log().last_index().value() < all)
      REQUIRE_FALSE(core.propose(confman::shared_bytes::copy("x")).code);
    while (core.commit().value() < all) work(core);
    work(core);
    core.applied(confman::log_index{all});
  }
  bool refuses(const raft_core& core) {
    try {
      memory.on_step(core, kept);
    } catch (const violation& v) {
      CHECK(v.which() == invariant::bounded_memory);
      return true;
    }
    return false;
  }
};

}  // namespace

TEST_CASE("queues, files and entries without a snapshot are counted against their limits") {
  checked c;
  c.plan.snapshot_entries = 5;
  raft_core core = checked::leader();
  CHECK_FALSE(c.refuses(core));
  SUBCASE("writes") {
    c.kept.writes = memory_check::max_waiting;
    CHECK_FALSE(c.refuses(core));
    ++c.kept.writes;
    CHECK(c.refuses(core));
  }
  SUBCASE("reads") {
    c.kept.reads = memory_check::max_waiting + 1;
    CHECK(c.refuses(core));
  }
  SUBCASE("fetches") {
    c.kept.fetches = memory_check::max_fetches + 1;
    CHECK(c.refuses(core));
  }
  SUBCASE("jobs") {
    c.kept.jobs = memory_check::max_jobs + 1;
    CHECK(c.refuses(core));
  }
  SUBCASE("files") {
    c.kept.segments = 3;
    c.kept.files = 3 + c.plan.recycled_segments + memory_check::other_files;
    CHECK_FALSE(c.refuses(core));
    ++c.kept.files;
    CHECK(c.refuses(core));
  }
  SUBCASE("entries without a snapshot") {
    checked::apply(core, 5);
    CHECK_FALSE(c.refuses(core));
    checked::apply(core, 6);
    CHECK(c.refuses(core));
    c.kept.snapshot_begun = confman::log_index{1};
    CHECK_FALSE(c.refuses(core));
  }
  SUBCASE("entries while one is being taken, and after it") {
    c.kept.snapshotting = true;
    checked::apply(core, 20);
    CHECK_FALSE(c.refuses(core));
    c.kept.snapshotting = false;
    CHECK_FALSE(c.refuses(core));
    checked::apply(core, 21);
    CHECK(c.refuses(core));
  }
}

TEST_CASE("a leader's uncommitted tail is counted, and what it began with isn't held against it") {
  raft_core core = checked::leader();
  const auto propose = [&core](std::size_t bytes) {
    REQUIRE_FALSE(core.propose(confman::shared_bytes::copy(std::string(bytes, 'x'))).code);
  };
  const auto with = [](checked& c, std::size_t entries, std::size_t bytes) {
    confman::raft_options limits;
    limits.max_uncommitted_entries = entries;
    limits.max_uncommitted_bytes = bytes;
    c.memory.restart(limits);
  };
  checked c;
  SUBCASE("entries") {
    // Beside what it has appended by itself.
    with(c, 2 + static_cast<std::size_t>(core.log().last_index() - core.commit()), 1 << 20);
    CHECK_FALSE(c.refuses(core));
    propose(10);
    propose(10);
    CHECK_FALSE(c.refuses(core));
    propose(10);
    CHECK(c.refuses(core));
  }
  SUBCASE("bytes") {
    with(c, 100, 1000);
    CHECK_FALSE(c.refuses(core));
    propose(2000);
    CHECK_FALSE(c.refuses(core));
    propose(1);
    CHECK(c.refuses(core));
  }
  SUBCASE("from the beginning") {
    with(c, 2, 1 << 20);
    for (int i = 0; i < 5; ++i) propose(10);
    CHECK_FALSE(c.refuses(core));
  }
}

TEST_CASE("appends on their way to one follower are counted, and their bytes but for a single one") {
  using confman::testing::test_node;
  test_node leader(1, confman::testing::bound_voters(3));
  confman::testing::lead(leader);
  (void)leader.receive(2, leader->term().value(), confman::append_ok{confman::log_index{1}});
  const auto send = [&leader](std::size_t bytes) {
    REQUIRE_FALSE(leader->propose(confman::shared_bytes::copy(std::string(bytes, 'x'))).code);
    leader.pump();
  };
  checked c;
  c.plan.max_value_bytes = 0;
  confman::raft_options limits;
  limits.max_append_bytes = 1;
  const auto with = [&](std::size_t appends, std::size_t bytes) {
    limits.max_window_appends = appends;
    limits.max_window_bytes = bytes;
    c.memory.restart(limits);
  };
  leader.pump();
  SUBCASE("appends") {
    with(2, 1 << 20);
    send(10);
    send(10);
    CHECK_FALSE(c.refuses(leader.core()));
    send(10);
    CHECK(c.refuses(leader.core()));
  }
  SUBCASE("bytes") {
    with(100, 1000);
    send(10'000);
    CHECK_FALSE(c.refuses(leader.core()));
    send(10);
    CHECK(c.refuses(leader.core()));
    with(100, 10'000);
    CHECK_FALSE(c.refuses(leader.core()));
  }
}
