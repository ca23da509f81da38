// Readers, snapshots and threads that come and go beside a writer. Meant to run under the sanitizers as well.
#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "map_entries.hpp"

using namespace map_test;

namespace {

#if defined(CONFMAN_NODE_POOL_BYPASSED) || defined(__SANITIZE_THREAD__)
constexpr int batches = 1500;
#else
constexpr int batches = 6000;
#endif
constexpr int keys = 64;

std::string key_name(int i) {
  return "/group/" + std::to_string(i);
}

// Each batch writes the same value to every key, so any mixture a reader sees is an error.
void write_batch(map_state& map, int batch) {
  for (int i = 0; i < keys; ++i) {
    if ((batch + i) % 9 == 0) erase(map, key_name(i));
    put(map, key_name(i), std::to_string(batch));
  }
  map.publish();
}

template <class View>
bool consistent(const View& view) {
  std::string value;
  std::uint64_t count = 0, hash = 0;
  bool same = true;
  view.for_each_prefix("/group/", [&](const record& r) {
    if (count++ == 0) value = r.value();
    same = same && r.value() == value && r.modify_revision() <= view.revision();
    hash += r.content_hash();
    return true;
  });
  return same && count == keys && hash == view.state_hash() && view.size() == keys;
}

}  // namespace

TEST_CASE("readers beside a writer always see one whole batch, and never go back") {
  map_state map;
  write_batch(map, 0);
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 3; ++r)
    readers.emplace_back([&, r] {
      std::uint64_t last = 0;
      std::vector<map_entry> kept;
      for (int i = 0; !done.load(std::memory_order_relaxed); ++i) {
        const auto guard = map.read();
        if (guard.revision() < last) ++wrong;
        last = guard.revision();
        const record* const found = guard.find(key_name(i % keys));
        if (!found || found->key() != key_name(i % keys)) ++wrong;
        if (i % 16 == r && !consistent(guard)) ++wrong;
        if (i % 32 == 0) kept.push_back(map_entry(*found));
        if (kept.size() > 50) kept.clear();
      }
    });
  for (int batch = 1; batch < batches; ++batch) write_batch(map, batch);
  done = true;
  for (auto& t : readers) t.join();
  CHECK(wrong == 0);
  while (map.collect(100000) != 0) {
  }
  CHECK(map.memory().live_records == keys);
  CHECK(map.memory().backlog == 0);
}

TEST_CASE("snapshots taken and dropped by other threads stay consistent beside a writer") {
  map_state map;
  write_batch(map, 0);
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0}, taken{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r)
    readers.emplace_back([&] {
      std::vector<map_snapshot> held;
      for (std::size_t i = 0; !done.load(std::memory_order_relaxed); ++i) {
        held.push_back(map.snapshot());
        ++taken;
        if (!consistent(held[i % held.size()])) ++wrong;
        if (held.size() > 5) held.erase(held.begin() + static_cast<std::ptrdiff_t>(i % held.size()));
      }
    });
  for (int batch = 1; batch < batches / 2 || taken.load() < 20; ++batch) write_batch(map, batch);
  done = true;
  for (auto& t : readers) t.join();
  CHECK(wrong == 0);
  while (map.collect(100000) != 0) {
  }
  CHECK(map.memory().live_records == keys);
}

TEST_CASE(
    "threads come and go while the map is written: more of them than a table has places, and slots are "
    "reused") {
  map_state map;
  write_batch(map, 0);
  std::atomic<int> wrong{0}, finished{0};
  std::thread spawner([&] {
    for (int wave = 0; wave < 12; ++wave) {
      std::vector<std::thread> threads;
      for (int i = 0; i < 24; ++i)
        threads.emplace_back([&] {
          for (int n = 0; n < 5; ++n) {
            const auto outer = map.read();
            const auto inner = map.read();
            if (inner.revision() < outer.revision() || !consistent(outer)) ++wrong;
          }
        });
      for (auto& t : threads) t.join();
    }
    ++finished;
  });
  for (int batch = 1; finished == 0; ++batch) write_batch(map, batch);
  spawner.join();
  CHECK(wrong == 0);
  while (map.collect(100000) != 0) {
  }
  CHECK(map.memory().live_records == keys);
}

TEST_CASE("many guards at once on many threads hold back the oldest, and the table grows for them") {
  map_state map(history_limits{0, 0});
  put(map, "/k", "0");
  map.publish();
  constexpr int threads = 40;
  std::atomic<int> reading{0};
  std::atomic<bool> leave{false};
  std::vector<std::thread> readers;
  std::atomic<int> wrong{0};
  for (int i = 0; i < threads; ++i)
    readers.emplace_back([&] {
      const auto guard = map.read();
      const record* const found = guard.find("/k");
      ++reading;
      while (!leave.load()) std::this_thread::yield();
      if (found->value() != "0") ++wrong;
    });
  while (reading.load() != threads) std::this_thread::yield();
  for (int i = 0; i < 10; ++i) put(map, "/k", "1"), map.publish();
  CHECK(map.collect(1000) == 0);
  leave = true;
  for (auto& t : readers) t.join();
  CHECK(wrong == 0);
  CHECK(map.collect(1000) > 0);
  CHECK(map.memory().live_records == 1);
}

TEST_CASE("a thread that ends gives its slot to the next one") {
  const confman::detail::epoch_domain epochs;
  std::vector<const void*> slots;
  for (int i = 0; i < 20; ++i)
    std::thread([&] {
      auto* const slot = epochs.enter();
      slots.push_back(slot);
      CHECK(epochs.oldest_reader() == epochs.current());
      confman::detail::epoch_domain::leave(slot);
    }).join();
  for (const void* slot : slots) CHECK(slot == slots.front());
}

TEST_CASE("one thread reads many maps, and they may die while it still remembers them") {
  std::vector<std::unique_ptr<map_state>> maps;
  for (int i = 0; i < 100; ++i) {
    maps.push_back(std::make_unique<map_state>());
    put(*maps.back(), "/k", std::to_string(i));
    maps.back()->publish();
  }
  std::atomic<int> step{0};
  int wrong = 0;
  std::thread reader([&] {
    for (int round = 0; round < 3; ++round)
      for (std::size_t i = 0; i < maps.size(); ++i)
        if (maps[i]->get("/k")->value() != std::to_string(i)) ++wrong;
    step = 1;
    while (step.load() != 2) std::this_thread::yield();
    for (std::size_t i = 1; i < maps.size(); i += 2)
      if (maps[i]->get("/k")->value() != std::to_string(i)) ++wrong;
  });
  while (step.load() != 1) std::this_thread::yield();
  for (std::size_t i = 0; i < maps.size(); i += 2) maps[i].reset();
  step = 2;
  reader.join();
  CHECK(wrong == 0);
  maps.clear();
}

TEST_CASE("a map is born and dies in each round of a thread that reads it: no slot is mixed up") {
  for (int i = 0; i < 200; ++i) {
    map_state map;
    put(map, "/k", std::to_string(i));
    map.publish();
    const auto outer = map.read();
    REQUIRE(outer.find("/k")->value() == std::to_string(i));
    put(map, "/k", "x");
    map.publish();
    REQUIRE(map.collect(1000) == 0);
    REQUIRE(outer.find("/k")->value() == std::to_string(i));
  }
}

namespace {

// Reads the map while the thread's other thread-local objects are being destroyed.
struct reads_at_thread_exit {
  const map_state* map = nullptr;
  std::string* seen = nullptr;
  ~reads_at_thread_exit() {
    if (map) *seen = value_of(*map, "/k");
  }
};

}  // namespace

TEST_CASE("a thread may read the map as late as in the destructors of its thread-local objects") {
  map_state map;
  put(map, "/k", "value");
  map.publish();
  std::string seen;
  std::thread([&] {
    static thread_local reads_at_thread_exit late;  // made before the first read: destroyed after the slots
    late.map = &map;
    late.seen = &seen;
    CHECK(map.read().size() == 1);
  }).join();
  CHECK(seen == "value");
  put(map, "/k", "2");
  map.publish();
  CHECK(map.collect(1000) > 0);
}

TEST_CASE("watches are taken by another thread while the writer runs, without gap or duplicate") {
  map_state map(history_limits{100, 1 << 20});
  std::atomic<bool> pending{false};
  watch_limits limits;
  limits.max_changes = 10000000, limits.max_bytes = std::size_t{1} << 40;
  const auto id = map.watches().add("/w/", std::nullopt, limits, [&] { pending = true; });
  REQUIRE(id);
  constexpr int total = 20000;
  std::atomic<int> wrong{0};
  std::thread consumer([&] {
    std::uint64_t last = 0;
    for (int seen = 0; seen < total;) {
      if (!pending.exchange(false)) {
        std::this_thread::yield();
        continue;
      }
      const change_batch batch = map.watches().take(*id);
      if (batch.changes.empty() || batch.error) ++wrong;
      if (batch.through > map.read().revision()) ++wrong;
      for (const change& c : batch.changes) {
        if (c.revision() <= last || c.entry.value() != std::to_string(seen)) ++wrong;
        last = c.revision();
        ++seen;
      }
    }
  });
  for (int i = 0; i < total; ++i) {
    put(map, "/w/" + std::to_string(i % 7), std::to_string(i));
    put(map, "/other", "x");
    if (i % 3 == 0) map.publish();
  }
  map.publish();
  consumer.join();
  CHECK(wrong == 0);
}
