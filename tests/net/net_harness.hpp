// Maps in one process for tests: free ports, directories that go away, clusters on sockets or in memory.
#pragma once

// Before Asio: see config_map.hpp.
#include "confman/config.hpp"

#include <algorithm>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "confman/confman.hpp"
#include "confman/storage/memory_storage.hpp"
#include "confman/transport/loopback_transport.hpp"

// Compiled once, in config_map_memory.cpp.
extern template class confman::group<
    confman::loopback_transport,
    confman::node<confman::loopback_transport, confman::memory_storage>::storage_port>;
extern template class confman::node<confman::loopback_transport, confman::memory_storage>;

namespace confman::testing {

using namespace std::chrono_literals;

using memory_map = basic_config_map<loopback_transport, memory_storage>;

// Ports of loopback that were free a moment ago, all different. They lie below the range from which the
// kernel takes the ports of outgoing connections: there a peer that tries to reconnect could take the port of
// a member that is down, which could then not listen again.
inline std::vector<std::uint16_t> free_ports(std::size_t count) {
  unsigned first_outgoing = 32768;
  std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> first_outgoing;
  const unsigned highest = std::max(first_outgoing, 12000u) - 1;
  std::mt19937 random{std::random_device{}()};
  std::uniform_int_distribution<unsigned> any(std::min(10000u, highest - 1000), highest);
  asio::io_context io;
  std::vector<asio::ip::tcp::acceptor> held;
  std::vector<std::uint16_t> ports;
  for (int tries = 0; ports.size() < count && tries < 10'000; ++tries) {
    const auto port = static_cast<std::uint16_t>(any(random));
    asio::ip::tcp::acceptor acceptor(io, asio::ip::tcp::v4());
    std::error_code taken;
    acceptor.bind({asio::ip::address_v4::loopback(), port}, taken);  // without reuse_address: really free
    if (taken) continue;
    held.push_back(std::move(acceptor));
    ports.push_back(port);
  }
  if (ports.size() < count) std::abort();
  return ports;
}

// A directory that is removed with this object.
class temporary_directory {
 public:
  temporary_directory() {
    std::string name = (std::filesystem::temp_directory_path() / "confman-test-XXXXXX").string();
    if (!::mkdtemp(name.data())) std::abort();
    path_ = name;
  }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  ~temporary_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string path() const { return path_.string(); }
  [[nodiscard]] std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// Every file below a directory with its content: equal before and after means that nothing was changed.
inline std::map<std::string, std::string> image_of(const std::string& directory) {
  std::map<std::string, std::string> image;
  if (!std::filesystem::exists(directory)) return image;
  image["."] = "exists";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    const std::string name = std::filesystem::relative(entry.path(), directory).string();
    if (entry.is_directory()) {
      image[name] = "<directory>";
      continue;
    }
    std::ifstream file(entry.path(), std::ios::binary);
    image[name] = std::string(std::istreambuf_iterator<char>(file), {});
  }
  return image;
}

// Waits for what another thread does.
inline bool eventually(const std::function<bool()>& done, std::chrono::milliseconds limit = 15s) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return done();
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

// Runs handlers on this thread until `done()`.
inline bool run_until(asio::io_context& io, const std::function<bool()>& done,
                      std::chrono::milliseconds limit = 15s) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!done() && std::chrono::steady_clock::now() < deadline) {
    if (io.stopped()) io.restart();
    io.run_one_for(20ms);
  }
  return done();
}

// An event loop with threads of its own.
class running_context {
 public:
  explicit running_context(int threads = 1) : work_(asio::make_work_guard(io_)) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { io_.run(); });
  }
  ~running_context() { join(); }
  // Lets everything end by itself. Hangs if somebody forgot a completion.
  void join() {
    work_.reset();
    for (std::thread& t : threads_)
      if (t.joinable()) t.join();
  }
  [[nodiscard]] asio::io_context& io() noexcept { return io_; }

 private:
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::vector<std::thread> threads_;
};

// Options of a member that elects quickly and keeps little on disk.
inline options quick_options(std::uint64_t self, std::map<std::uint64_t, std::string> members,
                             std::string directory) {
  options o;
  o.self = self;
  o.members = std::move(members);
  o.directory = std::move(directory);
  o.cluster = "test";
  o.heartbeat_interval = 30ms;
  o.election_timeout = 200ms;
  o.request_timeout = 8s;
  o.segment_bytes = 1 << 20;
  return o;
}

inline std::map<std::uint64_t, std::string> loopback_members(std::uint64_t count) {
  std::map<std::uint64_t, std::string> members;
  for (std::uint64_t i = 1; i <= count; ++i) members[i] = "127.0.0.1:" + std::to_string(i);
  return members;
}

// One member in memory on loopback; with count 1 it leads within some milliseconds, with more it never does.
inline options memory_options(std::uint64_t self = 1, std::uint64_t count = 1) {
  options o = quick_options(self, loopback_members(count), "unused");
  if (count == 1) {
    o.heartbeat_interval = 2ms;
    o.election_timeout = 6ms;
  }
  return o;
}

// Maps with sockets, log files and a thread of their own each.
class tcp_cluster {
 public:
  // `count` members found the cluster; `spare` more have addresses, and may join it.
  explicit tcp_cluster(std::uint64_t count = 3, std::function<void(options&)> change = {},
                       std::uint64_t spare = 0)
      : count_(count), change_(std::move(change)) {
    const std::vector<std::uint16_t> ports = free_ports(static_cast<std::size_t>(count + spare));
    for (std::uint64_t i = 1; i <= count + spare; ++i) {
      addresses_[i] = "127.0.0.1:" + std::to_string(ports[static_cast<std::size_t>(i - 1)]);
      if (i <= count) members_[i] = addresses_[i];
    }
    maps_.resize(static_cast<std::size_t>(count + spare));
  }
  // Of a node that is to join, and knows `contact` only.
  [[nodiscard]] options joining_options(std::uint64_t id, std::uint64_t contact) const {
    options o =
        quick_options(id, {{id, address(id)}, {contact, address(contact)}}, directory_ / std::to_string(id));
    o.join = true;
    if (change_) change_(o);
    return o;
  }
  failure start(const options& o) {
    slot(o.self) = std::make_unique<config_map>(o);
    return slot(o.self)->start();
  }
  [[nodiscard]] options options_of(std::uint64_t id) const {
    options o = quick_options(id, members_, directory_ / std::to_string(id));
    if (change_) change_(o);
    return o;
  }
  failure start(std::uint64_t id) {
    slot(id) = std::make_unique<config_map>(options_of(id));
    return slot(id)->start();
  }
  // The first failure, if any.
  failure start_all() {
    for (std::uint64_t id = 1; id <= count_; ++id)
      if (failure f = start(id)) return f;
    return {};
  }
  failure stop(std::uint64_t id) {
    slot(id)->stop();
    const failure f = slot(id)->wait();
    slot(id).reset();
    return f;
  }
  void stop_all() {
    for (auto& m : maps_)
      if (m) m->stop();
    for (auto& m : maps_) {
      if (m) (void)m->wait();
      m.reset();
    }
  }
  [[nodiscard]] config_map& operator[](std::uint64_t id) { return *slot(id); }
  [[nodiscard]] const std::string& address(std::uint64_t id) const { return addresses_.at(id); }
  [[nodiscard]] std::string directory(std::uint64_t id) const { return directory_ / std::to_string(id); }

  // The member that leads; 0 if none does in time.
  std::uint64_t leader() {
    std::uint64_t found = 0;
    (void)eventually([&] {
      for (auto& m : maps_)
        if (m && m->status().running && m->status().role == role::leader) found = m->status().id.value();
      return found != 0;
    });
    return found;
  }
  std::uint64_t follower() {
    const std::uint64_t leads = leader();
    for (std::uint64_t id = 1; id <= maps_.size(); ++id)
      if (id != leads && slot(id) && slot(id)->members().is_voter(node_id(id))) return id;
    return 0;
  }
  [[nodiscard]] bool running(std::uint64_t id) { return slot(id) != nullptr; }
  void destroy(std::uint64_t id) { slot(id).reset(); }
  // Every running member has applied what this one has.
  bool converge(std::uint64_t id) {
    const std::uint64_t revision = slot(id)->read().revision();
    return eventually([&] {
      for (auto& m : maps_)
        if (m && m->read().revision() < revision) return false;
      return true;
    });
  }

 private:
  std::unique_ptr<config_map>& slot(std::uint64_t id) { return maps_[static_cast<std::size_t>(id - 1)]; }

  temporary_directory directory_;
  std::uint64_t count_;
  std::function<void(options&)> change_;
  std::map<std::uint64_t, std::string> members_, addresses_;
  std::vector<std::unique_ptr<config_map>> maps_;
};

}  // namespace confman::testing
