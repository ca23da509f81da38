// Three processes that agree on a map. Run it three times (the first election of a new cluster needs all):
//   cd build/release/examples && (./quickstart 1 & ./quickstart 2 & ./quickstart 3)
// They run until they are told to end, by Ctrl-C or SIGTERM.
#include <asio.hpp>
#include <cstdlib>
#include <iostream>

#include "confman/confman.hpp"

asio::awaitable<void> use(confman::config_map& map) {
  // Durable on a majority when it returns; on a follower it goes to the leader by itself.
  co_await map.async_put("/billing/timeout_ms", "250", asio::use_awaitable);
  // Sees every write that was acknowledged before, on any member; local reads never block.
  auto fresh = co_await map.async_get("/billing/timeout_ms", confman::linearizable, asio::use_awaitable);
  auto local = map.get("/billing/timeout_ms");
  std::cout << fresh->key() << " = " << fresh->value() << ", revision " << local->modify_revision() << "\n";
}

int main(int argc, char** argv) {
  asio::io_context io;
  confman::options options;
  options.self = std::strtoull(argc > 1 ? argv[1] : "1", nullptr, 10);
  options.members = {{1, "127.0.0.1:7401"}, {2, "127.0.0.1:7402"}, {3, "127.0.0.1:7403"}};
  options.directory = "data/" + std::to_string(options.self);

  options.on_event = [](const confman::failure& event) { std::cerr << event.what << "\n"; };

  confman::config_map map(io, options);  // starts nothing yet
  map.async_run([&](std::error_code error) {
    if (error) std::cerr << "ended: " << map.last_failure().what << "\n";
  });
  auto watch = map.watch("/billing/", [](const confman::change_batch& batch) {  // in order, no gap
    for (const confman::change& c : batch.changes) std::cout << c.key() << " changed\n";
  });
  asio::co_spawn(io, use(map), [](std::exception_ptr failed) {
    try {
      if (failed) std::rethrow_exception(failed);
    } catch (const std::exception& e) {
      std::cerr << "use: " << e.what() << "\n";
    }
  });
  asio::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([&](std::error_code, int) {
    watch.cancel();
    map.stop();
  });
  io.run();
  return map.last_failure() ? 1 : 0;
}
