// The subcommands that write: ports, scan, load, write-load.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <mutex>
#include <random>
#include <stdexcept>
#include <thread>

#include "corpus.hpp"
#include "load_client.hpp"

namespace demo {

namespace {

using clock = std::chrono::steady_clock;

double seconds_since(clock::time_point start) {
  return std::chrono::duration<double>(clock::now() - start).count();
}

std::atomic<bool> end_asked{false};
void ask_end(int) {
  end_asked = true;
}

bool is_free(std::uint16_t port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return false;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const bool bound = ::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  ::close(socket);
  return bound;
}

// What happened to each write, one per line, as check and gap read it.
class write_log {
 public:
  explicit write_log(const std::string& path) : out_(path) {
    if (!out_) throw std::runtime_error("can't write " + path);
  }
  void add(const written& w, const std::string& node, const std::string& key, const std::string& value) {
    constexpr char letters[] = {'A', 'U', 'F'};
    const std::lock_guard lock(mutex_);
    ++counts[static_cast<int>(w.what)];
    out_ << letters[static_cast<int>(w.what)] << ' ' << now_us() << ' ' << node << ' ' << to_string(w.at)
         << ' ' << key << ' ' << value << '\n';
    if (w.what == outcome::failed && first_failure.empty()) first_failure = w.error;
    if (w.what == outcome::unknown && first_unknown.empty()) first_unknown = w.error;
  }
  bool finish() { return static_cast<bool>(out_.flush()); }

  std::uint64_t counts[3] = {};
  std::string first_failure, first_unknown;

 private:
  std::mutex mutex_;
  std::ofstream out_;
};

struct write_plan {
  std::vector<std::string> nodes;
  std::string prefix;
  std::chrono::microseconds period;
  clock::time_point end;
};

// One client, one write at a time, each to a key of its own; goes to the next node when one fails.
void write_until_end(const write_plan& plan, std::size_t thread, write_log& log) {
  std::size_t at = thread % plan.nodes.size();
  auto client = std::make_unique<load_client>(plan.nodes[at]);
  auto next = clock::now();
  for (std::uint64_t n = 0; !end_asked && clock::now() < plan.end; ++n) {
    const std::string name = std::to_string(thread) + "/" + std::to_string(n);
    const std::string key = plan.prefix + name;
    const std::string value = "value-of-" + name + "-" + std::string(48, static_cast<char>('a' + n % 26));
    const written w = client->put(key, value);
    log.add(w, plan.nodes[at], key, value);
    if (w.what != outcome::acknowledged) {
      at = (at + 1) % plan.nodes.size();
      client = std::make_unique<load_client>(plan.nodes[at]);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    next = std::max(next + plan.period, clock::now() - plan.period);
    std::this_thread::sleep_until(next);
  }
}

}  // namespace

int run_ports(const arguments& args) {
  // Below the range from which the kernel takes the ports of outgoing connections, so that none gets in the
  // way of a process that restarts.
  unsigned first_outgoing = 32768;
  std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> first_outgoing;
  const unsigned highest = std::max(first_outgoing, 12000u) - 1;
  std::mt19937 random{std::random_device{}()};
  std::uniform_int_distribution<unsigned> any(std::min(10000u, highest - 1000), highest);
  std::vector<unsigned> ports;
  for (int tries = 0; tries < 10'000 && ports.size() < args.number("--count", 1); ++tries) {
    const unsigned port = any(random);
    if (std::find(ports.begin(), ports.end(), port) == ports.end() &&
        is_free(static_cast<std::uint16_t>(port)))
      ports.push_back(port);
  }
  if (ports.size() < args.number("--count", 1)) throw std::runtime_error("found no free ports");
  for (const unsigned port : ports) std::cout << port << ' ';
  std::cout << "\n";
  return 0;
}

int run_scan(const arguments& args) {
  const scan_result found = scan(args.text("--root"), args.number("--max-bytes", 1 << 20), 512);
  save(found.files, args.text("--out"));
  std::cout << "files=" << found.files.size() << "\nbytes=" << found.bytes
            << "\nnot_public=" << found.not_public << "\nnot_text=" << found.not_text
            << "\ntoo_large=" << found.too_large << "\npath_too_long=" << found.path_too_long << "\n";
  return found.files.empty() ? 1 : 0;
}

int run_load(const arguments& args) {
  std::cout << std::fixed << std::setprecision(3);
  const std::vector<pair> files = load_corpus(args.text("--corpus"));
  const std::vector<std::string> nodes = split(args.text("--http"), ',');
  std::mutex mutex;
  token latest;
  const auto start = clock::now();
  in_parallel(args.number("--threads", 12), [&](std::size_t first, std::size_t step) {
    load_client client(nodes[first % nodes.size()]);
    for (std::size_t i = first; i < files.size(); i += step) {
      written w;
      // Putting a file twice does no harm, so whatever the outcome was it may be tried again.
      for (int tries = 0; tries < 3 && w.what != outcome::acknowledged; ++tries)
        w = client.put(files[i].key, files[i].value);
      if (w.what != outcome::acknowledged)
        throw std::runtime_error("putting " + files[i].key + ": " + w.error);
      const std::lock_guard lock(mutex);
      latest = std::max(latest, w.at);
    }
  });
  std::cout << "seconds=" << seconds_since(start) << "\ntoken=" << to_string(latest) << "\n";
  return 0;
}

int run_write_load(const arguments& args) {
  std::signal(SIGTERM, ask_end);
  std::signal(SIGINT, ask_end);
  const std::size_t threads = args.number("--threads", 12);
  const std::uint64_t rate = std::max<std::uint64_t>(args.number("--rate", 2000), 1);
  write_plan plan;
  plan.nodes = split(args.text("--http"), ',');
  plan.prefix = args.text("--prefix", "/demo/load/");
  plan.period = std::chrono::microseconds(1'000'000 * threads / rate);
  plan.end = clock::now() + std::chrono::seconds(args.number("--seconds", 10));
  write_log log(args.text("--log"));
  in_parallel(threads, [&](std::size_t thread, std::size_t) { write_until_end(plan, thread, log); });
  if (!log.finish()) throw std::runtime_error("can't write " + args.text("--log"));
  std::cout << "acknowledged=" << log.counts[0] << "\nunknown=" << log.counts[1]
            << "\nfailed=" << log.counts[2] << "\n";
  if (!log.first_unknown.empty()) std::cerr << "the first unknown outcome: " << log.first_unknown << "\n";
  if (!log.first_failure.empty()) std::cerr << "the first failure: " << log.first_failure << "\n";
  return log.counts[0] ? 0 : 1;
}

}  // namespace demo
