// One member of a cluster as a process, driven over stdin and stdout, so that kill_test can kill it.
//
//   confman_kill SELF DIRECTORY ADDRESS...   addresses of members 1, 2, ...
//
// Says "started" or "failed REASON". Then each line in is "ID COMMAND ..." and is answered by "ID ..." lines:
//   put KEY VALUE    ok TERM INDEX | error NUMBER MESSAGE
//   get KEY          ok VALUE | none | error ...            (linearizable)
//   dump             entry KEY REVISION VALUE ..., then end REVISION HASH COUNT
//   status           ok ROLE LEADER TERM APPLIED
// Ends at the end of its input, whoever ends it.
#include <cstdio>
#include <iostream>
#include <mutex>
#include <sstream>
#include <string>

#include "confman/confman.hpp"

namespace {

std::mutex output;

void say(const std::string& line) {
  const std::lock_guard lock(output);
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

std::string describe(std::error_code code) {
  return "error " + std::to_string(code.value()) + " " + code.message();
}

void dump(const confman::config_map& map, const std::string& id) {
  const confman::map_snapshot all = map.snapshot();
  std::string lines;
  all.for_each_prefix("", [&](const confman::record& r) {
    lines += id + " entry " + std::string(r.key()) + " " + std::to_string(r.modify_revision()) + " " +
             std::string(r.value()) + "\n";
    return true;
  });
  say(lines + id + " end " + std::to_string(all.revision()) + " " + std::to_string(all.state_hash()) + " " +
      std::to_string(all.size()));
}

void execute(confman::config_map& map, std::istringstream words) {
  std::string id, command, key, value;
  words >> id >> command >> key >> value;
  if (command == "put") {
    map.async_put(key, value, [id](std::error_code code, const confman::write_result& w) {
      say(id + " " +
          (code ? describe(code)
                : "ok " + std::to_string(w.at.term.value()) + " " + std::to_string(w.at.index.value())));
    });
  } else if (command == "get") {
    map.async_get(key, confman::linearizable,
                  [id](std::error_code code, std::optional<confman::map_entry> e) {
                    say(id + " " + (code ? describe(code) : e ? "ok " + std::string(e->value()) : "none"));
                  });
  } else if (command == "dump") {
    dump(map, id);
  } else if (command == "status") {
    const confman::node_status s = map.status();
    say(id + " ok " + std::to_string(static_cast<int>(s.role)) + " " + std::to_string(s.leader.value()) +
        " " + std::to_string(s.term.value()) + " " + std::to_string(s.applied.value()));
  } else {
    say(id + " error 0 unknown command");
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 4) return std::fprintf(stderr, "usage: %s SELF DIRECTORY ADDRESS...\n", arguments[0]), 2;
  confman::options o;
  o.self = std::stoull(arguments[1]);
  o.directory = arguments[2];
  for (int i = 3; i < count; ++i) o.members[static_cast<std::uint64_t>(i - 2)] = arguments[i];
  o.heartbeat_interval = std::chrono::milliseconds(30);
  o.election_timeout = std::chrono::milliseconds(150);
  o.segment_bytes = 1 << 20;  // small, so that kills also hit the change of segments
  confman::config_map map(o);
  if (const confman::failure f = map.start()) {
    say("failed " + f.code.message() + ": " + f.what);
    return 1;
  }
  say("started");
  for (std::string line; std::getline(std::cin, line);) execute(map, std::istringstream(line));
  map.stop();
  return map.wait() ? 1 : 0;
}
