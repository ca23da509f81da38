// Measures three real processes on loopback against the limits of the machine they run on. See
// benchmarks/README.md.
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "child.hpp"
#include "member.hpp"
#include "raw_limits.hpp"
#include "samples.hpp"

namespace {

using bench::child;
using bench::figure;
using bench::ratio;

struct outcome {
  double per_second = 0, p50 = 0, p99 = 0;
};

class cluster {
 public:
  cluster(const std::string& directory, bool durable) {
    // Below the ports that outgoing connections take.
    const int first_port = 12'000 + static_cast<int>(::getpid() % 20'000) + (durable ? 0 : 10);
    for (int id = 1; id <= 3; ++id) {
      const std::string own = durable ? directory + "/" + std::to_string(id) : "";
      members_.push_back(std::make_unique<child>(
          std::vector<std::string>{"member", std::to_string(id), std::to_string(first_port), own}));
    }
    for (auto& m : members_)
      if (const std::string said = m->answer(); said != "started") throw std::runtime_error(said);
    for (int tries = 0; leader_ < 0; ++tries) {
      if (tries == 500) throw std::runtime_error("no leader within ten seconds");
      ::usleep(20'000);
      for (std::size_t i = 0; i < members_.size(); ++i)
        if (members_[i]->ask("status").rfind("leader", 0) == 0) leader_ = static_cast<int>(i);
    }
    if (const std::string said = leader().ask("fill"); said != "ok")
      throw std::runtime_error("fill: " + said);
  }

  [[nodiscard]] child& leader() { return *members_[static_cast<std::size_t>(leader_)]; }
  [[nodiscard]] child& follower() { return *members_[static_cast<std::size_t>(leader_ == 0 ? 1 : 0)]; }

  static outcome run(child& on, const std::string& name, const std::string& command) {
    std::istringstream said(on.ask(command));
    std::string ok;
    std::size_t operations = 0, errors = 0;
    double seconds = 0;
    outcome o;
    said >> ok >> operations >> errors >> seconds >> o.p50 >> o.p99;
    if (ok != "ok" || errors != 0) throw std::runtime_error(name + ": " + said.str());
    o.per_second = static_cast<double>(operations) / seconds;
    figure(name, o.per_second, "/s");
    figure("  p50", o.p50, "us");
    figure("  p99", o.p99, "us");
    return o;
  }

 private:
  std::vector<std::unique_ptr<child>> members_;
  int leader_ = -1;
};

bool measure(const std::string& directory, double seconds) {
  bench::samples growing = bench::sync_appends(directory, 256, false, seconds);
  bench::samples filled = bench::sync_appends(directory, 256, true, seconds);
  bench::samples beside = bench::sync_appends_beside_others(directory, 256, seconds);
  bench::samples trips = bench::tcp_round_trips(256, seconds);
  const double append = filled.percentile(0.5), trip = trips.percentile(0.5);
  figure("raw: 256-byte append + fdatasync, growing file, p50", growing.percentile(0.5), "us");
  figure("raw: 256-byte append + fdatasync, zero-filled file, p50", append, "us");
  const double three = beside.percentile(0.5);
  figure("raw: the same in three files at once, p50", three, "us");
  figure("raw: 256-byte TCP round trip between processes, p50", trip, "us");
  const std::string time = fmt::format(" {}", seconds);
  bool kept = true;
  {
    cluster c(directory, true);
    const outcome one = cluster::run(c.leader(), "durable writes, 1 blocking client", "write 1" + time);
    cluster::run(c.leader(), "durable writes, 8 blocking clients", "write 8" + time);
    const outcome many = cluster::run(c.leader(), "durable writes, 64 blocking clients", "write 64" + time);
    const outcome piped = cluster::run(c.leader(), "durable writes, 1,024 in flight", "pipeline 1024" + time);
    cluster::run(c.follower(), "durable writes through a follower, 64 blocking clients", "write 64" + time);
    cluster::run(c.leader(), "linearizable reads on the leader, 64 readers", "read_linearizable 64" + time);
    cluster::run(c.follower(), "linearizable reads on a follower, 64 readers", "read_linearizable 64" + time);
    const outcome local =
        cluster::run(c.leader(), "local reads, 2 readers, in thousands", "read_local 2" + time);
    figure("local reads, 2 readers", local.per_second * 1000, "/s");
    kept &= ratio("one client's p50 / (append + round trip)", one.p50 / (append + trip), 3, true);
    figure("one client's p50 / (append in three files at once + round trip)", one.p50 / (three + trip), "");
    kept &= ratio("64 clients / one client", many.per_second / one.per_second, 10, false);
    kept &= ratio("1,024 in flight, per second, at an append of 100 us", piped.per_second * append / 100,
                  100'000, false);
  }
  {
    cluster c(directory, false);
    cluster::run(c.leader(), "not durable: writes, 1 blocking client", "write 1" + time);
    cluster::run(c.leader(), "not durable: writes, 64 blocking clients", "write 64" + time);
    cluster::run(c.leader(), "not durable: writes, 1,024 in flight", "pipeline 1024" + time);
  }
  return kept;
}

}  // namespace

int main(int count, char** arguments) try {
  const std::string role = count > 0 ? arguments[0] : "";
  if (role == "member" && count == 4)
    return bench::run_member(
        {std::stoull(arguments[1]), static_cast<std::uint16_t>(std::stoul(arguments[2])), arguments[3]});
  if (count != 3) {
    std::cerr << "usage: confman_cluster_bench DIRECTORY SECONDS_PER_FIGURE\n";
    return 2;
  }
  ::signal(SIGPIPE, SIG_IGN);
  std::filesystem::create_directories(arguments[1]);
  return measure(arguments[1], std::stod(arguments[2])) ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << "confman_cluster_bench: " << error.what() << '\n';
  return 2;
}
