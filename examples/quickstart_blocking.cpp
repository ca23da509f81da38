// The same for a host without an event loop: the map brings one thread of its own, and calls block.
// Run it three times (the first election of a new cluster needs all):
//   cd build/release/examples
//   (./quickstart_blocking 1 & ./quickstart_blocking 2 & ./quickstart_blocking 3)
// They run until they are told to end, by Ctrl-C or SIGTERM.
#include <csignal>
#include <cstdlib>
#include <iostream>

#include "confman/confman.hpp"

int main(int argc, char** argv) {
  // Blocked before there is any other thread, so that main alone takes them, below. No stdin: in the
  // background reading it would stop the process.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);

  confman::options options;
  options.self = std::strtoull(argc > 1 ? argv[1] : "1", nullptr, 10);
  options.members = {{1, "127.0.0.1:7401"}, {2, "127.0.0.1:7402"}, {3, "127.0.0.1:7403"}};
  options.directory = "data/" + std::to_string(options.self);

  options.on_event = [](const confman::failure& event) { std::cerr << event.what << "\n"; };

  confman::config_map map(options);
  if (confman::failure failed = map.start()) {
    std::cerr << failed.what << "\n";
    return 1;
  }
  std::error_code error;
  map.put("/billing/timeout_ms", "250", error);  // waits for a leader; durable on a majority when it returns
  if (error) std::cerr << "put: " << error.message() << "\n";
  auto fresh = map.get("/billing/timeout_ms", confman::linearizable, error);
  if (error) std::cerr << "get: " << error.message() << "\n";
  if (fresh) std::cout << fresh->key() << " = " << fresh->value() << std::endl;

  int signal = 0;
  sigwait(&ends, &signal);
  map.stop();
  return map.wait() ? 1 : 0;
}
