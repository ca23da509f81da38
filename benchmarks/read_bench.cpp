// The map in one process: key reads, applying, snapshots and memory, each beside the same on unordered_map.
// One line per figure: name value unit; ratios have the unit "ratio", and behind it the bound they must keep
// (else the exit status is 1) or the goal they are meant to reach some day (which changes no status). Times
// are CPU time of the measuring thread, the best of the rounds (with a second thread: the median), both sides
// taking turns. Usage: read_bench [--quick]
#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "confman/map/map_state.hpp"

namespace {

using namespace confman;

bool quick = false;
bool kept = true;  // every bound so far

double cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

void print(const std::string& name, double value, const char* unit) {
  std::printf("%-52s %12.2f %s\n", name.c_str(), value, unit);
  std::fflush(stdout);
}
void print_bound(const std::string& name, double value, double bound) {
  const bool good = value <= bound;
  kept = kept && good;
  std::printf("%-52s %12.2f ratio <= %.2f%s\n", name.c_str(), value, bound, good ? "" : "   NOT KEPT");
  std::fflush(stdout);
}
void print_goal(const std::string& name, double value, double goal) {
  std::printf("%-52s %12.2f ratio (goal <= %.2f%s)\n", name.c_str(), value, goal,
              value <= goal ? "" : ", not reached");
  std::fflush(stdout);
}

std::uint64_t scramble(std::uint64_t x) {
  x = (x ^ (x >> 31)) * 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 29)) * 0xBF58476D1CE4E5B9u;
  return x ^ (x >> 32);
}

bool scattered = false;  // which keys

// 32 bytes. Paths: team and service, then ten hexadecimal digits. Scattered: '/' and 31 hexadecimal digits.
std::string key_of(std::uint64_t i) {
  char key[40];
  const std::uint64_t h = scramble(i + 1);
  if (scattered) {
    std::snprintf(key, sizeof key, "/%015" PRIx64 "%016" PRIx64, h >> 4, scramble(h));
    return key;
  }
  std::snprintf(key, sizeof key, "/t%02u/svc-%04u/setting-%010" PRIx64, static_cast<unsigned>(h % 16),
                static_cast<unsigned>(h / 16 % 64), (h >> 10) & 0xffffffffffu);
  return key;
}
std::string value_of(std::uint64_t i) {
  std::string value = std::to_string(i);
  value.resize(64, 'v');
  return value;
}

// The baseline. Lookups by string_view, without a temporary string.
struct text_hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view t) const noexcept { return std::hash<std::string_view>{}(t); }
};
struct locked_map {
  mutable std::shared_mutex mutex;
  std::unordered_map<std::string, std::string, text_hash, std::equal_to<>> map;
};

entry make_entry(std::uint64_t index, std::string_view key, std::string_view value) {
  command_view command;
  command.key = key;
  command.value = value;
  command.timestamp = 1;
  command.author = node_id(1);
  entry e;
  e.term = term_t(1);
  e.index = log_index(index);
  e.type = entry_type::command;
  e.payload = encode(command);
  return e;
}

std::size_t heap_bytes() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

struct world {
  std::size_t keys;
  locked_map baseline;
  map_state map{history_limits{0, 0}};
  std::vector<std::string> queries;
  std::uint64_t index = 0;

  double baseline_bytes = 0, map_bytes = 0;

  explicit world(std::size_t n) : keys(n) {
    const std::size_t before = heap_bytes();
    for (std::size_t i = 0; i < n; ++i) baseline.map.emplace(key_of(i), value_of(i));
    const std::size_t between = heap_bytes();
    for (std::size_t i = 0; i < n; ++i) {
      map.apply(make_entry(++index, key_of(i), value_of(i)));
      if (i % 1000 == 999) map.publish();
    }
    map.publish();
    while (map.collect(1 << 20) != 0) {
    }
    baseline_bytes = static_cast<double>(between - before) / static_cast<double>(n);
    map_bytes = static_cast<double>(heap_bytes() - between) / static_cast<double>(n);
    std::mt19937_64 random(n);
    const std::size_t wanted = quick ? 200000 : 1000000;
    for (std::size_t i = 0; i < wanted; ++i) queries.push_back(key_of(random() % n));
  }
};

std::atomic<std::uint64_t> sink{0};  // keeps results alive

double read_baseline(const world& w, std::size_t from) {
  const std::size_t n = w.queries.size();
  std::uint64_t sum = 0;
  const double start = cpu_ns();
  for (std::size_t i = 0, at = from; i < n; ++i, at = at + 1 == n ? 0 : at + 1) {
    const std::shared_lock lock(w.baseline.mutex);
    const auto found = w.baseline.map.find(w.queries[at]);
    if (found != w.baseline.map.end()) sum += static_cast<unsigned char>(found->second[8]);
  }
  const double spent = cpu_ns() - start;
  sink += sum;
  return spent / static_cast<double>(n);
}

double read_map(const world& w, std::size_t from) {
  const std::size_t n = w.queries.size();
  std::uint64_t sum = 0;
  const double start = cpu_ns();
  for (std::size_t i = 0, at = from; i < n; ++i, at = at + 1 == n ? 0 : at + 1) {
    const auto guard = w.map.read();
    const record* const found = guard.find(w.queries[at]);
    if (found) sum += static_cast<unsigned char>(found->value()[8]);
  }
  const double spent = cpu_ns() - start;
  sink += sum;
  return spent / static_cast<double>(n);
}

using reader = double (*)(const world&, std::size_t);

double two_readers(reader read, const world& w) {
  double other = 0;
  std::atomic<int> ready{0};
  const auto run = [&](std::size_t from) {
    ++ready;
    while (ready.load() < 2) {
    }
    return read(w, from);
  };
  std::thread second([&] { other = run(w.queries.size() / 2); });
  const double mine = run(0);
  second.join();
  return (mine + other) / 2;
}

// `update(i)` is called 100,000 times a second, in groups of 100, while `read` runs.
double beside_writer(reader read, const world& w, const std::function<void(std::size_t)>& update_100) {
  std::atomic<bool> done{false};
  std::thread writer([&] {
    auto next = std::chrono::steady_clock::now();
    for (std::size_t i = 0; !done.load(std::memory_order_relaxed); i += 100) {
      update_100(i);
      next += std::chrono::milliseconds(1);
      std::this_thread::sleep_until(next);
    }
  });
  const double spent = read(w, 0);
  done = true;
  writer.join();
  return spent;
}

struct best {
  double value = 1e18;
  void add(double v) { value = std::min(value, v); }
};

// Of figures whose best case is that the other thread didn't run.
struct median {
  std::vector<double> values;
  void add(double v) { values.push_back(v); }
  [[nodiscard]] double value() {
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                     values.end());
    return values[values.size() / 2];
  }
};

void measure_reads(world& w, const std::string& size, bool bounded) {
  best base1, map1;
  median base2, base_w, map2, map_w, idle;
  const auto update_map = [&w](std::size_t i) {
    for (std::size_t k = 0; k < 100; ++k)
      w.map.apply(make_entry(++w.index, w.queries[(i + k) * 7 % w.queries.size()], value_of(i)));
    w.map.publish();
  };
  const auto update_baseline = [&w](std::size_t i) {
    for (std::size_t k = 0; k < 100; ++k) {
      const std::lock_guard lock(w.baseline.mutex);
      w.baseline.map.find(w.queries[(i + k) * 7 % w.queries.size()])->second = value_of(i);
    }
  };
  for (int round = 0; round < (quick ? 3 : 11); ++round) {
    base1.add(read_baseline(w, 0));
    const double alone = read_map(w, 0);
    map1.add(alone);
    idle.add(alone);
    base2.add(two_readers(read_baseline, w));
    map2.add(two_readers(read_map, w));
    base_w.add(beside_writer(read_baseline, w, update_baseline));
    map_w.add(beside_writer(read_map, w, update_map));
  }
  print("read_" + size + "_unordered_map", base1.value, "ns");
  print("read_" + size + "_map", map1.value, "ns");
  if (bounded) print_bound("read_" + size + "_map/unordered_map", map1.value / base1.value, 1.0);
  print_goal("read_" + size + "_map/unordered_map", map1.value / base1.value, 0.75);
  print("read_" + size + "_two_readers_unordered_map", base2.value(), "ns");
  print("read_" + size + "_two_readers_map", map2.value(), "ns");
  print("read_" + size + "_two_readers_map/unordered_map", map2.value() / base2.value(), "ratio");
  print_goal("read_" + size + "_two_readers/one", map2.value() / idle.value(), 1.1);
  print("read_" + size + "_beside_writer_unordered_map", base_w.value(), "ns");
  print("read_" + size + "_beside_writer_map", map_w.value(), "ns");
  print("read_" + size + "_beside_writer_map/unordered_map", map_w.value() / base_w.value(), "ratio");
  print_goal("read_" + size + "_beside_writer/idle", map_w.value() / idle.value(), 1.1);
}

void measure_hot(world& w, const std::string& size) {
  std::vector<std::string> all = w.queries;
  for (std::size_t i = 0; i < w.queries.size(); ++i) w.queries[i] = key_of(scramble(i) % 64);
  best base, map;
  for (int round = 0; round < (quick ? 3 : 11); ++round) {
    base.add(read_baseline(w, 0));
    map.add(read_map(w, 0));
  }
  print("read_" + size + "_64_hot_unordered_map", base.value, "ns");
  print("read_" + size + "_64_hot_map", map.value, "ns");
  print_goal("read_" + size + "_64_hot_map/unordered_map", map.value / base.value, 1.6);
  w.queries = std::move(all);
}

// Both sides are fed the same log entries and decode them.
void measure_apply(world& w, const std::string& size, std::size_t batch) {
  best base, map;
  std::mt19937_64 random(batch);
  const std::size_t n = (quick ? 64000 : 300000) / batch * batch;
  std::vector<entry> entries;
  for (int round = 0; round < (quick ? 3 : 7); ++round) {
    entries.clear();
    for (std::size_t i = 0; i < n; ++i)
      entries.push_back(make_entry(++w.index, key_of(random() % w.keys), value_of(random())));
    double start = cpu_ns();
    for (const entry& e : entries) {
      const auto command = decode(e.payload);
      w.baseline.map.find(command->key)->second.assign(command->value);
    }
    base.add((cpu_ns() - start) / static_cast<double>(n));
    start = cpu_ns();
    for (std::size_t i = 0; i < n; i += batch) {
      w.map.apply_all(
          batch, [&](std::size_t k) -> const entry& { return entries[i + k]; },
          [](const entry&, const apply_result&) {});
      w.map.publish();
    }
    map.add((cpu_ns() - start) / static_cast<double>(n));
  }
  const std::string name = "apply_" + size + "_batch_" + std::to_string(batch);
  print(name + "_unordered_map", base.value, "ns");
  print(name + "_map", map.value, "ns");
  print_goal(name + "_map/unordered_map", map.value / base.value, 1.5);
}

void measure_snapshot(world& w, const std::string& size) {
  best took;
  for (int round = 0; round < 5; ++round) {
    constexpr int n = 10000;
    const double start = cpu_ns();
    for (int i = 0; i < n; ++i) sink += w.map.snapshot().revision();
    took.add((cpu_ns() - start) / n);
  }
  print("snapshot_" + size, took.value, "ns");
  print_goal("snapshot_" + size + "/microsecond", took.value / 1000, 1.0);
  best scan;
  for (int round = 0; round < 2; ++round) {
    const auto snapshot = w.map.snapshot();
    std::uint64_t bytes = 0;
    const double start = cpu_ns();
    snapshot.for_each_prefix("", [&](const record& r) { return bytes += r.value().size(), true; });
    scan.add((cpu_ns() - start) / static_cast<double>(w.keys));
    sink += bytes;
  }
  print("scan_" + size, scan.value, "ns/key");
}

void measure_memory(const world& w, const std::string& size) {
  print("memory_" + size + "_unordered_map", w.baseline_bytes, "bytes/key");
  print("memory_" + size + "_map", w.map_bytes, "bytes/key");
  print_goal("memory_" + size + "_beyond_key_and_value/byte", w.map_bytes - 96, 85);
}

void measure(std::size_t keys, const std::string& size, bool bounded) {
  const auto w = std::make_unique<world>(keys);
  measure_memory(*w, size);
  measure_reads(*w, size, bounded);
  measure_hot(*w, size);
  measure_apply(*w, size, 16);
  measure_apply(*w, size, 1000);
  measure_snapshot(*w, size);
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) quick = quick || std::strcmp(argv[i], "--quick") == 0;
  measure(1000, "1k", true);
  measure(100000, "100k", true);
  measure(1000000, "1M", false);
  scattered = true;
  for (const std::size_t keys : {std::size_t{1000}, std::size_t{100000}}) {
    if (quick && keys != 1000) continue;
    const std::string size = (keys == 1000 ? "1k" : "100k") + std::string("_scattered");
    const auto w = std::make_unique<world>(keys);
    measure_memory(*w, size);
    measure_reads(*w, size, false);
  }
  return kept ? 0 : 1;
}
