#include "member.hpp"

#include <atomic>
#include <functional>
#include <iostream>
#include <memory>
#include <sstream>
#include <thread>
#include <vector>

#include "confman/confman.hpp"
#include "confman/transport/tcp_transport.hpp"
#include "samples.hpp"

namespace bench {
namespace {

constexpr std::size_t value_bytes = 256;
constexpr std::size_t key_count = 10'000;

std::string key_of(std::size_t i) {
  return fmt::format("/bench/keys/{:08}", i % key_count);
}

void answer(double seconds, std::size_t operations, std::size_t errors, samples latencies) {
  std::cout << fmt::format("ok {} {} {} {} {}", operations, errors, seconds, latencies.percentile(0.5),
                           latencies.percentile(0.99))
            << std::endl;
}

// Runs `body(thread, samples)` on so many threads until the time is over; body returns whether it went well.
template <class Body>
void run_clients(std::size_t clients, double seconds, Body body) {
  std::vector<samples> latencies(clients);
  std::vector<std::thread> threads;
  std::atomic<std::size_t> errors{0};
  const auto begin = clock::now();
  for (std::size_t c = 0; c < clients; ++c) {
    threads.emplace_back([&, c] {
      for (std::size_t i = c; microseconds_since(begin) < seconds * 1e6; i += clients) {
        const auto start = clock::now();
        if (!body(i)) ++errors;
        latencies[c].values.push_back(microseconds_since(start));
      }
    });
  }
  for (std::thread& t : threads) t.join();
  const double elapsed = microseconds_since(begin) / 1e6;
  samples all;
  for (const samples& s : latencies) all.merge(s);
  const std::size_t operations = all.values.size();
  answer(elapsed, operations, errors, std::move(all));
}

// One submitter that keeps so many writes in flight; each completion submits the next.
template <class Map>
class pipeline {
 public:
  pipeline(Map& map, double seconds)
      : map_(map),
        end_(clock::now() +
             std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(seconds))) {}

  void run(std::size_t in_flight) {
    const auto begin = clock::now();
    open_ = in_flight;
    for (std::size_t i = 0; i < in_flight; ++i) submit();
    while (open_.load() != 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const double elapsed = microseconds_since(begin) / 1e6;
    const std::size_t operations = latencies_.values.size();
    answer(elapsed, operations, errors_, std::move(latencies_));
  }

 private:
  void submit() {
    const auto start = clock::now();
    if (start >= end_) {
      --open_;
      return;
    }
    map_.async_put(
        key_of(next_++), value_, [this, start](std::error_code error, const confman::write_result&) {
          if (error) ++errors_;
          latencies_.values.push_back(microseconds_since(start));  // one thread runs the map's executor
          submit();
        });
  }

  Map& map_;
  clock::time_point end_;
  std::string value_ = std::string(value_bytes, 'v');
  std::atomic<std::size_t> next_{0};
  std::atomic<std::size_t> open_{0};
  std::size_t errors_ = 0;
  samples latencies_;
};

template <class Map>
void obey(Map& map, const std::string& command, std::istringstream& words) {
  std::size_t count = 0;
  double seconds = 0;
  words >> count >> seconds;
  const std::string value(value_bytes, 'v');
  if (command == "status") {
    const confman::node_status s = map.status();
    const bool leads = s.role == confman::role::leader && s.applied == s.commit && s.commit;
    std::cout << (leads ? "leader" : "follower") << ' ' << s.leader.value() << std::endl;
  } else if (command == "write") {
    run_clients(count, seconds, [&](std::size_t i) {
      std::error_code error;
      map.put(key_of(i), value, error);
      return !error;
    });
  } else if (command == "pipeline") {
    pipeline<Map>(map, seconds).run(count);
  } else if (command == "read_linearizable") {
    run_clients(count, seconds, [&](std::size_t i) {
      std::error_code error;
      const auto entry = map.get(key_of(i), confman::linearizable, error);
      return !error && entry.has_value();
    });
  } else if (command == "read_local") {
    run_clients(count, seconds, [&](std::size_t i) {
      bool found = true;
      const std::string key = key_of(i);
      for (int repeat = 0; repeat < 1000; ++repeat) {
        const confman::read_guard guard = map.read();
        found &= guard.find(key) != nullptr;
      }
      return found;
    });
  } else if (command == "fill") {
    std::error_code error;
    for (std::size_t i = 0; i < key_count && !error; i += 1)
      map.async_put(key_of(i), value, [](auto, const auto&) {});
    map.put("/bench/filled", "1", error);
    std::cout << (error ? error.message() : "ok") << std::endl;
  } else {
    std::cout << "unknown command " << command << std::endl;
  }
}

template <class Map>
int serve(const member_settings& settings) {
  confman::options o;
  o.self = settings.id;
  o.cluster = "bench";
  for (std::uint64_t id = 1; id <= 3; ++id)
    o.members[id] = fmt::format("127.0.0.1:{}", settings.first_port + id);
  o.directory = settings.directory.empty() ? "unused" : settings.directory;
  Map map(o);
  if (const confman::failure error = map.start()) {
    std::cout << "failed " << error.what << std::endl;
    return 1;
  }
  std::cout << "started" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (command == "quit") break;
    obey(map, command, words);
  }
  map.stop();
  return map.wait() ? 1 : 0;
}

}  // namespace

int run_member(const member_settings& settings) {
  using memory_map = confman::basic_config_map<confman::tcp_transport, confman::memory_storage>;
  return settings.directory.empty() ? serve<memory_map>(settings) : serve<confman::config_map>(settings);
}

}  // namespace bench
