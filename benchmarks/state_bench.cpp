// Three real processes that hold a large state: what snapshots, a wiped member, a restart and one very large
// value cost those who write meanwhile, and how much memory each member needs. See benchmarks/README.md.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "child.hpp"
#include "confman/confman.hpp"
#include "samples.hpp"

namespace {

using bench::child;
using bench::figure;
using bench::ratio;
using confman::config_map;

constexpr std::size_t mebibyte = std::size_t{1} << 20;
constexpr int writers = 8;

// --- a member -------------------------------------------------------------------------------------------

double peak_mebibytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmHWM:", 0) == 0) return std::stod(line.substr(6)) / 1024;
  return 0;
}

// Small keys with `value_bytes` each, then large values up to `total` bytes in all.
std::string fill(config_map& map, std::size_t keys, std::size_t value_bytes, std::size_t total) {
  std::atomic<std::size_t> open{0}, failed{0};
  const std::string value(value_bytes, 'v');
  for (std::size_t i = 0; i < keys; ++i) {
    while (open >= 4096) std::this_thread::sleep_for(std::chrono::microseconds(50));
    ++open;
    map.async_put(fmt::format("/state/small/{:012}", i), value, [&](std::error_code error, const auto&) {
      if (error) ++failed;
      --open;
    });
  }
  while (open != 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::size_t have = keys * (value_bytes + 25);
  const std::size_t sizes[] = {100, 50, 20, 10};
  for (std::size_t n = 0; have < total; ++n) {
    const std::size_t size = std::min(sizes[n % 4] * mebibyte, std::max(total - have, mebibyte));
    std::error_code error;
    map.put(fmt::format("/state/large/{}", n), std::string(size, static_cast<char>('a' + n % 26)), error);
    if (error) return "fill: " + error.message();
    have += size;
  }
  return failed == 0 ? "ok" : fmt::format("fill: {} writes failed", failed.load());
}

// Blocking writers until told to stop; the answer has their latencies.
class load {
 public:
  explicit load(config_map& map) {
    for (int w = 0; w < writers; ++w)
      threads_.emplace_back([this, &map, w] {
        const std::string value(256, 'w');
        for (std::size_t i = 0; !stop_; ++i) {
          const auto start = bench::clock::now();
          std::error_code error;
          map.put(fmt::format("/state/load/{}/{}", w, i % 1000), value, error);
          if (error) ++errors_;
          latencies_[static_cast<std::size_t>(w)].values.push_back(bench::microseconds_since(start));
        }
      });
  }
  std::string end() {
    stop_ = true;
    for (std::thread& t : threads_) t.join();
    bench::samples all;
    for (const bench::samples& s : latencies_) all.merge(s);
    const double p50 = all.percentile(0.5), p99 = all.percentile(0.99), most = all.percentile(1);
    return fmt::format("ok {} {} {} {} {}", all.values.size(), errors_.load(), p50, p99, most);
  }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<std::size_t> errors_{0};
  bench::samples latencies_[writers];
  std::vector<std::thread> threads_;
};

std::string obey(config_map& map, std::unique_ptr<load>& writing, const std::string& line) {
  std::istringstream words(line);
  std::string command;
  words >> command;
  const confman::node_status s = map.status();
  if (command == "status")
    return fmt::format("{} {} {} {} {} {} {}", s.role == confman::role::leader ? 1 : 0, s.leader.value(),
                       s.term.value(), s.applied.value(), s.commit.value(), s.members.is_voter(s.id) ? 1 : 0,
                       s.snapshot.value());
  if (command == "memory") return fmt::format("{} {}", peak_mebibytes(), map.snapshot().approximate_bytes());
  if (command == "load") return writing = std::make_unique<load>(map), "ok";
  if (command == "unload") {
    const std::string said = writing->end();
    writing.reset();
    return said;
  }
  if (command == "snapshot") {
    const auto taken = map.take_snapshot();
    return taken ? "ok" : taken.error().what;
  }
  if (command == "fill") {
    std::size_t keys = 0, bytes = 0, total = 0;
    words >> keys >> bytes >> total;
    return fill(map, keys, bytes, total);
  }
  if (command == "large") {
    std::size_t megabytes = 0;
    words >> megabytes;
    std::error_code error;
    map.put("/state/one_large_value", std::string(megabytes * mebibyte, 'L'), error);
    return error ? error.message() : "ok";
  }
  if (command == "remove") {
    std::uint64_t id = 0;
    words >> id;
    confman::member_change change;
    change.what = confman::member_change::action::remove;
    change.who.id = confman::node_id(id);
    const confman::failure failed = map.change_members({change});
    return failed ? failed.what : "ok";
  }
  return "unknown command " + command;
}

int serve(std::uint64_t id, int first_port, const std::string& directory, bool join) {
  confman::options o;
  o.self = id;
  o.cluster = "state bench";
  o.join = join;
  for (std::uint64_t m = 1; m <= 3; ++m)
    o.members[m] = fmt::format("127.0.0.1:{}", first_port + static_cast<int>(m));
  o.directory = directory;
  o.request_timeout = std::chrono::minutes(5);
  config_map map(o);
  if (const confman::failure error = map.start()) {
    std::cout << "failed " << error.what << std::endl;
    return 1;
  }
  std::cout << "started" << std::endl;
  std::unique_ptr<load> writing;
  for (std::string line; std::getline(std::cin, line) && line != "quit";)
    std::cout << obey(map, writing, line) << std::endl;
  if (writing) (void)writing->end();
  map.stop();
  return map.wait() ? 1 : 0;
}

// --- the measurement ------------------------------------------------------------------------------------

struct state_of {
  int leads = 0;
  std::uint64_t leader = 0, term = 0, applied = 0, commit = 0;
  int votes = 0;
  std::uint64_t snapshot = 0;
};

struct latencies {
  double count = 0, errors = 0, p50 = 0, p99 = 0, most = 0;
};

class cluster {
 public:
  explicit cluster(const std::string& directory)
      : directory_(directory), first_port_(12'000 + static_cast<int>(::getpid() % 20'000)) {
    for (std::uint64_t id = 1; id <= 3; ++id) start(id, false);
    for (auto& m : members_) expect(m->answer(), "started");
    wait_for([&] { return (leader_ = find_leader()) != 0; }, 20, "no leader");
  }

  void start(std::uint64_t id, bool join) {
    if (members_.size() < id) members_.resize(id);
    members_[id - 1] = std::make_unique<child>(std::vector<std::string>{
        "member", std::to_string(id), std::to_string(first_port_), directory_of(id), join ? "join" : ""});
  }
  [[nodiscard]] std::string directory_of(std::uint64_t id) const {
    return directory_ + "/" + std::to_string(id);
  }
  [[nodiscard]] child& member(std::uint64_t id) { return *members_[id - 1]; }
  [[nodiscard]] child& leader() { return member(leader_); }
  [[nodiscard]] std::uint64_t follower() const { return leader_ == 1 ? 2 : 1; }
  [[nodiscard]] std::uint64_t other_follower() const { return 6 - leader_ - follower(); }

  state_of status(std::uint64_t id) {
    std::istringstream said(member(id).ask("status"));
    state_of s;
    said >> s.leads >> s.leader >> s.term >> s.applied >> s.commit >> s.votes >> s.snapshot;
    return s;
  }
  void wait_until_applied(std::uint64_t id, const std::string& what) {
    const std::uint64_t target = status(leader_).commit;
    wait_for([&] { return status(id).applied >= target; }, 600, what);
  }
  static void expect(const std::string& said, const std::string& wanted) {
    if (said != wanted) throw std::runtime_error("a member said: " + said);
  }
  template <class Condition>
  static void wait_for(Condition condition, int seconds, const std::string& what) {
    const auto begin = bench::clock::now();
    while (!condition()) {
      if (bench::microseconds_since(begin) > seconds * 1e6) throw std::runtime_error(what);
      ::usleep(10'000);
    }
  }

 private:
  [[nodiscard]] std::uint64_t find_leader() {
    for (std::uint64_t id = 1; id <= 3; ++id)
      if (const state_of s = status(id); s.leads && s.applied && s.applied == s.commit) return id;
    return 0;
  }

  std::string directory_;
  int first_port_;
  std::vector<std::unique_ptr<child>> members_;
  std::uint64_t leader_ = 0;
};

// Runs `body` while the leader is written to, at least `seconds` long.
template <class Body>
latencies under_load(cluster& c, const std::string& name, double seconds, Body body) {
  cluster::expect(c.leader().ask("load"), "ok");
  const auto begin = bench::clock::now();
  body();
  while (bench::microseconds_since(begin) < seconds * 1e6) ::usleep(10'000);
  std::istringstream said(c.leader().ask("unload"));
  std::string ok;
  latencies l;
  said >> ok >> l.count >> l.errors >> l.p50 >> l.p99 >> l.most;
  figure(name + ": writes", l.count / (bench::microseconds_since(begin) / 1e6), "/s");
  figure("  p50", l.p50, "us");
  figure("  p99", l.p99, "us");
  figure("  longest", l.most / 1000, "ms");
  if (l.errors != 0) throw std::runtime_error(name + ": writes failed");
  return l;
}

std::uint64_t elections = 0;

bool same_term(cluster& c, std::uint64_t term, const std::string& what) {
  const std::uint64_t more = c.status(c.follower()).term - term;
  elections += more;
  return ratio("elections " + what, static_cast<double>(more), 0, true);
}

bool snapshots_beside_writes(cluster& c) {
  const std::uint64_t term = c.status(c.follower()).term;
  const latencies quiet = under_load(c, "no snapshot", 10, [] {});
  // Followers share the machine and its disk with the leader here: first one alone, then all three at once.
  const latencies one = under_load(c, "snapshot on the leader", 5, [&] {
    const auto begin = bench::clock::now();
    // The blocking snapshot command runs beside the writers' threads.
    cluster::expect(c.leader().ask("snapshot"), "ok");
    figure("snapshot of the leader", bench::microseconds_since(begin) / 1e6, "s");
  });
  const latencies all = under_load(c, "snapshot on all three at once", 5, [&] {
    for (std::uint64_t id = 1; id <= 3; ++id) c.member(id).tell("snapshot");
    for (std::uint64_t id = 1; id <= 3; ++id) cluster::expect(c.member(id).answer(), "ok");
  });
  bool kept = same_term(c, term, "during snapshots");
  kept &= ratio("p99 with a snapshot / without", one.p99 / quiet.p99, 2.5, true);
  kept &= ratio("longest write with a snapshot - without, ms", (one.most - quiet.most) / 1000, 10, true);
  ratio("p99 with three at once / without (one disk; no bound)", all.p99 / quiet.p99, 1e9, true);
  return kept;
}

bool large_value_beside_writes(cluster& c) {
  const std::uint64_t term = c.status(c.follower()).term;
  const latencies quiet = under_load(c, "no large value", 5, [] {});
  const latencies busy = under_load(c, "a value of 100 MiB through a follower", 0, [&] {
    const auto begin = bench::clock::now();
    cluster::expect(c.member(c.follower()).ask("large 100"), "ok");
    figure("value of 100 MiB", bench::microseconds_since(begin) / 1e6, "s");
  });
  bool kept = same_term(c, term, "during a large value");
  kept &= ratio("p99 beside a large value / without", busy.p99 / quiet.p99, 10, true);
  return kept;
}

// A follower loses its disk: removed, wiped, taken in again, while the leader is written to.
bool wiped_member(cluster& c) {
  const std::uint64_t id = c.other_follower(), term = c.status(c.follower()).term;
  under_load(c, "a wiped member comes back", 0, [&] {
    const auto begin = bench::clock::now();
    cluster::expect(c.leader().ask("remove " + std::to_string(id)), "ok");
    c.member(id).kill_now();
    std::filesystem::remove_all(c.directory_of(id));
    c.start(id, true);
    cluster::expect(c.member(id).answer(), "started");
    cluster::wait_for([&] { return c.status(id).votes == 1; }, 600, "the wiped member is not a voter again");
    figure("a wiped member is a voter again", bench::microseconds_since(begin) / 1e6, "s");
  });
  c.wait_until_applied(id, "the wiped member has not caught up");
  return same_term(c, term, "while a wiped member comes back");
}

void restart(cluster& c) {
  const std::uint64_t id = c.follower();
  cluster::expect(c.member(id).ask("snapshot"), "ok");
  under_load(c, "before a restart", 2, [] {});
  c.member(id).kill_now();
  const auto begin = bench::clock::now();
  c.start(id, false);
  cluster::expect(c.member(id).answer(), "started");
  figure("restart from snapshot and log: takes part", bench::microseconds_since(begin) / 1e6, "s");
  c.wait_until_applied(id, "the restarted member has not caught up");
  figure("restart from snapshot and log: caught up", bench::microseconds_since(begin) / 1e6, "s");
}

bool memory(cluster& c) {
  bool kept = true;
  for (std::uint64_t id = 1; id <= 3; ++id) {
    std::istringstream said(c.member(id).ask("memory"));
    double peak = 0, state = 0;
    said >> peak >> state;
    state /= static_cast<double>(mebibyte);
    figure(fmt::format("member {}: state", id), state, "MiB");
    figure(fmt::format("member {}: peak memory", id), peak, "MiB");
    kept &= ratio(fmt::format("member {}: peak memory / state", id), peak / state, 2.2, true);
  }
  return kept;
}

bool measure(const std::string& directory, std::size_t megabytes) {
  cluster c(directory);
  const std::size_t keys = megabytes >= 1024 ? 1'000'000 : megabytes * 900;
  const auto begin = bench::clock::now();
  cluster::expect(c.leader().ask(fmt::format("fill {} 300 {}", keys, megabytes * mebibyte)), "ok");
  figure(fmt::format("filled: {} keys, {} MiB", keys, megabytes), bench::microseconds_since(begin) / 1e6,
         "s");
  for (std::uint64_t id = 1; id <= 3; ++id)
    c.wait_until_applied(id, "a member has not caught up with the fill");
  bool kept = snapshots_beside_writes(c);
  kept &= large_value_beside_writes(c);
  kept &= wiped_member(c);
  restart(c);
  kept &= memory(c);
  return kept;
}

}  // namespace

int main(int count, char** arguments) try {
  const std::string role = count > 0 ? arguments[0] : "";
  if (role == "member" && count == 5)
    return serve(std::stoull(arguments[1]), std::stoi(arguments[2]), arguments[3],
                 std::string(arguments[4]) == "join");
  const bool smoke = count == 4 && std::string(arguments[3]) == "--smoke";
  if (count < 2 || (count > 3 && !smoke)) {
    std::cerr << "usage: confman_state_bench DIRECTORY [MEGABYTES, 1024] [--smoke]\n"
                 "--smoke: only an election or a failure counts, not how long anything takes\n";
    return 2;
  }
  ::signal(SIGPIPE, SIG_IGN);
  std::filesystem::create_directories(arguments[1]);
  const bool kept = measure(arguments[1], count >= 3 ? std::stoull(arguments[2]) : 1024);
  return smoke ? elections == 0 ? 0 : 1 : kept ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << "confman_state_bench: " << error.what() << '\n';
  return 2;
}
