// The same port allocator in a real cluster, as one process per member:
//   port_allocator 1 & port_allocator 2 & port_allocator 3
// prints which ranges it takes and leaves, until Ctrl-C. Its data are in data/ID.
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>

#include "config_map_host.hpp"
#include "port_allocator.hpp"

namespace {

class printer final : public ports::user {
 public:
  void use(std::uint64_t worker, std::string_view range, std::uint64_t revision) override {
    std::cout << "worker " << worker << " uses " << range << ", revision " << revision << std::endl;
  }
  void leave(std::uint64_t worker, std::string_view range) override {
    std::cout << "worker " << worker << " leaves " << range << std::endl;
  }
};

}  // namespace

int main(int argc, char** argv) {
  confman::options options;
  options.self = std::strtoull(argc > 1 ? argv[1] : "1", nullptr, 10);
  options.members = {{1, "127.0.0.1:7401"}, {2, "127.0.0.1:7402"}, {3, "127.0.0.1:7403"}};
  options.directory = "data/" + std::to_string(options.self);
  options.on_event = [](const confman::failure& event) { std::cerr << event.what << "\n"; };

  asio::io_context io;
  confman::config_map map(io.get_executor(), options);
  asio::signal_set ends(io, SIGINT, SIGTERM);
  ends.async_wait([&](std::error_code, int) { map.stop(); });
  map.async_run([&](std::error_code error) {
    if (error) std::cerr << map.last_failure().what << "\n";
    io.stop();  // the worker's timer would go on for ever
  });
  config_map_host host(map, confman::node_id(options.self));
  printer who;
  ports::settings settings;
  settings.pause = std::chrono::milliseconds(500);
  const ports::worker worker(host, who, settings);
  io.run();
  return map.last_failure() ? 1 : 0;
}
