// The check of bounded memory (invariant 22) can fail: each limit refuses one more than it allows.
#include "confman/sim/memory_check.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

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
  // One with the same log of 20 entries, and a description of a snapshot of them.
  static std::pair<raft_core, confman::snapshot_meta> follower(const raft_core& core,
                                                               std::uint64_t snapshot) {
    confman::raft_options o = core.options();
    confman::configuration two = core.members();
    two.incoming.push_back({node_id{2}, {}});
    confman::recovered_log found;
    found.incarnation = o.incarnation;
    found.cluster = o.cluster;
    found.boot = 2;
    found.state = {core.term(), node_id{1}, core.commit()};
    for (confman::log_index i{1}; i <= core.log().last_index(); ++i)
      found.entries.push_back(core.log().at(i));
    raft_core other(o, two, std::move(found));
    (void)other.take_ready(true);
    other.applied(confman::log_index{20});
    const confman::snapshot_meta meta = meta_at(other, snapshot);
    return {std::move(other), meta};
  }
  static confman::snapshot_meta meta_at(const raft_core& core, std::uint64_t snapshot) {
    confman::snapshot_meta meta = core.describe_snapshot();
    const confman::log_place at = *core.log().place_at(confman::log_index{snapshot});
    meta.at = at.at;
    meta.hash = at.hash;
    return meta;
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
  SUBCASE("segments") {
    c.memory.restart({}, 2);
    c.kept.segments = 6;
    CHECK_FALSE(c.refuses(core));
    ++c.kept.segments;
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

TEST_CASE("what a snapshot holds is released but for the tail") {
  checked c;
  c.plan.tail_entries = 3;
  raft_core core = checked::leader();
  checked::apply(core, 20);
  // A leader may keep more.
  auto [other, meta] = checked::follower(core, 10);
  c.memory.restart({}, 1, confman::log_index{1}, confman::log_index{20});
  CHECK_FALSE(c.refuses(other));
  other.compacted(meta, confman::log_index{8});
  CHECK_FALSE(c.refuses(other));  // by the second write from now on
  confman::write_batch write;
  SUBCASE("it is") {
    write.release_before = confman::log_index{8};
    c.memory.on_append(write);
    c.memory.on_synced();
    c.memory.on_synced();
    CHECK_FALSE(c.refuses(other));
  }
  SUBCASE("less is") {
    write.release_before = confman::log_index{7};
    c.memory.on_append(write);
    c.memory.on_synced();
    CHECK_FALSE(c.refuses(other));
    c.memory.on_synced();
    CHECK(c.refuses(other));
  }
}

// Seeds 1099660 and 1139887: transfers end with the drain of the queue that notices the end of a leadership.
TEST_CASE("a snapshot just after a leadership may leave more of the log than the tail, a later one may not") {
  checked c;
  c.plan.tail_entries = 0;
  raft_core led = checked::leader();
  checked::apply(led, 20);
  auto [core, meta] = checked::follower(led, 10);
  c.memory.restart({}, 1, confman::log_index{1}, confman::log_index{20});
  CHECK_FALSE(c.refuses(led));
  CHECK_FALSE(c.refuses(core));
  // All that it holds but the last entry is released.
  const auto cut = [&c, &core = core](const confman::snapshot_meta& at) {
    core.compacted(at, at.at.index);
    CHECK_FALSE(c.refuses(core));
    confman::write_batch write;
    write.release_before = at.at.index;
    c.memory.on_append(write);
    c.memory.on_synced();
    c.memory.on_synced();
  };
  SUBCASE("before the drain") {
    const confman::snapshot_meta later = checked::meta_at(core, 15);
    cut(meta);
    CHECK_FALSE(c.refuses(core));
    c.memory.on_pumped(core);
    cut(later);
    CHECK(c.refuses(core));
  }
  SUBCASE("after it") {
    c.memory.on_pumped(core);
    cut(meta);
    CHECK(c.refuses(core));
  }
}

TEST_CASE("an append is measured against its limits, but for a single entry") {
  checked c;
  confman::raft_options limits;
  limits.max_append_entries = 2;
  limits.max_append_bytes = 1000;
  c.memory.restart(limits);
  const auto refuses = [&c](std::vector<std::size_t> sizes) {
    confman::append_request append;
    for (const std::size_t bytes : sizes) {
      append.entries.emplace_back();
      append.entries.back().payload = confman::shared_bytes::copy(std::string(bytes, 'x'));
    }
    confman::message m;
    m.body = std::move(append);
    try {
      c.memory.on_send(m);
    } catch (const violation& v) {
      CHECK(v.which() == invariant::bounded_memory);
      return true;
    }
    return false;
  };
  CHECK_FALSE(refuses({}));
  CHECK_FALSE(refuses({2000}));
  CHECK_FALSE(refuses({10, 10}));
  CHECK(refuses({10, 10, 10}));
  CHECK(refuses({10, 1000}));
}

TEST_CASE("an account of a log tells how many segments it may have") {
  using confman::log_index;
  log_account account;
  const std::size_t bytes = 1000;
  log_index next{1};
  const auto append = [&](std::uint64_t truncate_from = 0) {
    confman::write_batch batch;
    if (truncate_from != 0) batch.truncate_from = next = log_index{truncate_from};
    batch.entries.emplace_back();
    batch.entries.back().index = next;
    batch.entries.back().payload = confman::shared_bytes::copy(std::string(bytes, 'x'));
    next = next + 1;
    account.on_append(batch);
    account.on_synced();
  };
  const auto release = [&](std::uint64_t before) {
    confman::write_batch batch;
    batch.release_before = log_index{before};
    account.on_append(batch);
    CHECK(account.released() < log_index{before});
    account.on_synced();
    CHECK(account.released() == log_index{before});
  };
  account.restart(1, next, log_index{}, 4096);
  const std::size_t least = account.most_segments();
  CHECK(least == 5);
  for (int i = 0; i < 100; ++i) append();
  const std::size_t full = account.most_segments();
  CHECK(full > 100 * bytes / 4096);
  CHECK(full < 3 * 100 * bytes / 4096 + least);

  SUBCASE("what is released is gone") {
    release(100);
    CHECK(account.most_segments() < least + 3);
  }
  SUBCASE("what stands before a truncation stays until the log has gone on behind it") {
    append(90);
    next = log_index{91};
    for (int i = 0; i < 3; ++i) append();
    release(93);
    CHECK(account.most_segments() > 5 + 10 * bytes / 4096);
    for (int i = 0; i < 20; ++i) append();
    release(113);
    CHECK(account.most_segments() < least + 3);
  }
  SUBCASE("a reset leaves nothing") {
    confman::write_batch batch;
    batch.reset = confman::log_reset{{confman::term_t{1}, log_index{500}}, {}};
    account.on_append(batch);
    CHECK(account.most_segments() >= full);
    account.on_synced();
    CHECK(account.most_segments() < least + 1);
    CHECK(account.released() == log_index{501});
  }
  SUBCASE("what another process has found stays until it is released behind it") {
    account.restart(30, log_index{50}, log_index{100}, 4096);
    CHECK(account.most_segments() == 34);
    for (int i = 0; i < 20; ++i) append();
    release(110);
    CHECK(account.most_segments() < least + 12);
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
