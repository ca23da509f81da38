// Loads a cluster of confmand processes, writes to it while it fails, and checks what it kept. demo.sh uses
// it. Every subcommand prints NAME=VALUE lines and exits 1 when what it checks doesn't hold.
#include <csignal>
#include <iostream>
#include <map>
#include <string>

#include "load_client.hpp"

namespace {

constexpr char usage[] = R"(usage: confman_load SUBCOMMAND [--name value ...]

  ports      --count N                            free TCP ports, in one line
  scan       --root DIR --out FILE [--max-bytes N]
                                                  keeps the public text files below DIR
  load       --corpus FILE --http A,B,C [--threads N]
                                                  puts them, spread over the nodes
  verify     --corpus FILE --http A [--at-least T:I]
                                                  gets each from node A and compares every byte
  write-load --http A,B,C --log FILE --seconds N [--threads N] [--rate N] [--prefix P]
                                                  writes until then or until SIGTERM; logs each outcome
  gap        --log FILE --since MICROSECONDS --without A
                                                  the longest time without an acknowledgement after that
  check      --log FILE --http A [--threads N]    every acknowledged write is on node A, no refused one
  equal      --http A,B,C [--seconds N]           waits until all have the same state
)";

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, int (*)(const demo::arguments&)> commands = {
      {"ports", demo::run_ports},           {"scan", demo::run_scan},  {"load", demo::run_load},
      {"verify", demo::run_verify},         {"gap", demo::run_gap},    {"check", demo::run_check},
      {"write-load", demo::run_write_load}, {"equal", demo::run_equal}};
  const auto command = commands.find(argc > 1 ? argv[1] : "");
  if (command == commands.end()) {
    std::cerr << usage;
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return command->second(demo::arguments(argc, argv, 2));
  } catch (const std::exception& e) {
    std::cerr << "confman_load " << argv[1] << ": " << e.what() << "\n";
    return 2;
  }
}
