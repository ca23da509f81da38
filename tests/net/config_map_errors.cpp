// The errors that a user can cause: each says what, where and what to do, changes nothing on disk, and leaves
// the process able to run another map.
#include <doctest/doctest.h>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <string>
#include <vector>

#include "net_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// One member with data on disk, stopped.
struct prepared {
  prepared() {
    const auto ports = free_ports(2);
    o = quick_options(1, {{1, "127.0.0.1:" + std::to_string(ports[0])}}, directory / "data");
    o.heartbeat_interval = 5ms;
    o.election_timeout = 15ms;
    spare_port = ports[1];
    config_map map(o);
    REQUIRE_FALSE(map.start());
    for (int i = 0; i < 50; ++i) map.put("/k/" + std::to_string(i), "value " + std::to_string(i));
    map.stop();
    REQUIRE_FALSE(map.wait());
  }

  // Starts a map with these options: it must fail, touch nothing, and the good options must work afterwards.
  failure refused(const options& bad) {
    const auto before = image_of(directory.path());
    failure f;
    {
      config_map map(bad);
      f = map.start();
      CHECK(f);
      CHECK_FALSE(f.what.empty());
      CHECK(map.last_failure().code == f.code);
      CHECK_FALSE(map.status().running);
      CHECK(map.wait().code == f.code);
      std::error_code error;
      (void)map.put("/a", "1", error);
      CHECK(error == errc::stopped);
    }
    CHECK(image_of(directory.path()) == before);
    return f;
  }
  // The process lives on and can run a map.
  void still_works() {
    config_map map(o);
    const failure f = map.start();
    INFO(f.what);
    REQUIRE_FALSE(f);
    CHECK(map.put("/again", "1").revision > 0);
    CHECK(map.get("/k/7")->value() == "value 7");
    map.stop();
    CHECK_FALSE(map.wait());
  }

  temporary_directory directory;
  options o;
  std::uint16_t spare_port = 0;
};

// Changes the first byte of `value` where the log holds it: the segment, and where in it.
std::pair<std::string, std::size_t> flip_value(const std::string& directory, const std::string& value) {
  std::string segment;
  for (const auto& [name, content] : image_of(directory))
    if (contains(name, "log-") && contains(content, value)) segment = directory + "/" + name;
  REQUIRE_FALSE(segment.empty());
  std::fstream file(segment, std::ios::in | std::ios::out | std::ios::binary);
  const std::string content((std::istreambuf_iterator<char>(file)), {});
  const std::size_t at = content.find(value);
  file.clear();
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(value.front() ^ 0x20));
  return {segment, at};
}

}  // namespace

TEST_CASE("each bad option ends the start with its name, and nothing is touched") {
  prepared p;
  const auto bad = [&](auto spoil, errc code, const std::string& name) {
    CAPTURE(name);
    options o = p.o;
    spoil(o);
    const failure f = p.refused(o);
    CHECK(f.code == code);
    CHECK(contains(f.what, name));
  };
  bad([](options& o) { o.members.clear(); }, errc::bad_option, "options.members");
  bad([](options& o) { o.self = 7; }, errc::bad_option, "options.self is 7");
  bad([](options& o) { o.members[2] = "nowhere"; }, errc::bad_address, "node 2 is 'nowhere'");
  bad([](options& o) { o.members[2] = o.members[1]; }, errc::bad_option, p.o.members[1]);
  bad([](options& o) { o.directory.clear(); }, errc::bad_option, "options.directory");
  bad([](options& o) { o.heartbeat_interval = 0ms; }, errc::bad_option, "options.heartbeat_interval is 0 ms");
  bad([](options& o) { o.election_timeout = 1ms; }, errc::bad_option, "options.election_timeout is 1 ms");
  bad([](options& o) { o.request_timeout = 0ms; }, errc::bad_option, "options.request_timeout is 0 ms");
  bad([](options& o) { o.segment_bytes = 1; }, errc::bad_option, "options.segment_bytes is 1");
  bad([](options& o) { o.segment_bytes = (1 << 30) + 8; }, errc::bad_option,
      "options.segment_bytes is 1073741832");
  bad([](options& o) { o.max_value_bytes = 1 << 30; }, errc::bad_option,
      "options.max_value_bytes is 1073741824");
  bad([](options& o) { o.max_pending_requests = 0; }, errc::bad_option, "options.max_pending_requests is 0");
  p.still_works();
}

TEST_CASE("a bad option reaches async_run and on_event, and the context's run returns") {
  options o = memory_options();
  o.self = 9;
  std::vector<failure> events;
  o.on_event = [&](const failure& f) { events.push_back(f); };
  loopback_network network;
  asio::io_context io;
  memory_map map(io.get_executor(), o, network);
  std::error_code ended;
  map.async_run([&](std::error_code code) { ended = code; });
  CHECK_FALSE(ended);
  io.run();
  CHECK(ended == errc::bad_option);
  CHECK(contains(map.last_failure().what, "options.self is 9"));
  REQUIRE(events.size() == 1);
  CHECK(events[0].code == errc::bad_option);
  CHECK(events[0].what == map.last_failure().what);
}

TEST_CASE("a port in use is named, before the directory is made") {
  prepared p;
  asio::io_context io;
  const asio::ip::tcp::endpoint taken(asio::ip::address_v4::loopback(), p.spare_port);
  asio::ip::tcp::acceptor holder(io, taken);
  options o = p.o;
  o.members[1] = "127.0.0.1:" + std::to_string(p.spare_port);
  const failure f = p.refused(o);
  CHECK(f.code == errc::address_in_use);
  CHECK(contains(f.what, o.members[1]));
  CHECK(contains(f.what, "choose another port"));
  o.directory = p.directory / "new";
  CHECK(p.refused(o).code == errc::address_in_use);
  p.still_works();
}

TEST_CASE("an address that is not of this machine is named") {
  prepared p;
  options o = p.o;
  o.members[1] = "192.0.2.1:7401";
  const failure f = p.refused(o);
  CHECK(f.code == errc::bad_address);
  CHECK(contains(f.what, "192.0.2.1:7401"));
  p.still_works();
}

TEST_CASE("a directory of another cluster or another node is refused") {
  prepared p;
  options o = p.o;
  o.cluster = "another";
  failure f = p.refused(o);
  CHECK(f.code == errc::wrong_cluster);
  CHECK(contains(f.what, o.directory));
  CHECK(contains(f.what, "options.cluster"));
  CHECK(contains(f.what, "options.members"));
  CHECK(contains(f.what, "hoose another directory"));
  o = p.o;
  o.members[2] = "127.0.0.1:" + std::to_string(p.spare_port);
  o.self = 2;
  f = p.refused(o);
  CHECK(f.code == errc::wrong_node);
  CHECK(contains(f.what, o.directory));
  CHECK(contains(f.what, "node 1"));
  CHECK(contains(f.what, "node 2"));
  CHECK(contains(f.what, "options.self"));
  p.still_works();
}

TEST_CASE("a directory that holds something else is refused") {
  prepared p;
  options o = p.o;
  o.directory = p.directory / "home";
  std::filesystem::create_directory(o.directory);
  std::ofstream(o.directory + "/letter.txt") << "dear";
  const failure f = p.refused(o);
  CHECK(f.code == errc::bad_option);
  CHECK(contains(f.what, o.directory));
  CHECK(contains(f.what, "letter.txt"));
  p.still_works();
}

TEST_CASE("a directory in use by another map of this process is refused, and that map goes on") {
  prepared p;
  config_map first(p.o);
  REQUIRE_FALSE(first.start());
  (void)first.put("/first", "1");
  options o = p.o;
  o.members[1] = "127.0.0.1:" + std::to_string(p.spare_port);
  config_map second(o);
  const failure f = second.start();
  CHECK(f.code == errc::directory_in_use);
  CHECK(contains(f.what, o.directory));
  CHECK(first.put("/first", "2").existed);
}

TEST_CASE("a directory in use by another process is refused, and free once that process was killed") {
  prepared p;
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    config_map map(p.o);
    const char answer = map.start() ? 'f' : 's';
    (void)!::write(ready[1], &answer, 1);
    for (;;) ::pause();
  }
  char answer = 0;
  REQUIRE(::read(ready[0], &answer, 1) == 1);
  CHECK(answer == 's');
  options o = p.o;
  o.members[1] = "127.0.0.1:" + std::to_string(p.spare_port);
  config_map second(o);
  const failure f = second.start();
  CHECK(f.code == errc::directory_in_use);
  CHECK(contains(f.what, "another process"));
  CHECK(contains(f.what, o.directory));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
  p.still_works();
}

TEST_CASE("a flipped byte in an acknowledged part of the log is refused with file and offset") {
  prepared p;
  const auto [segment, at] = flip_value(p.o.directory, "value 20");
  const failure f = p.refused(p.o);
  CHECK(f.code == errc::log_damaged);
  CHECK(contains(f.what, segment));
  CHECK(contains(f.what, "offset"));
  // The byte comes back: so does everything else.
  std::fstream repair(segment, std::ios::in | std::ios::out | std::ios::binary);
  repair.seekp(static_cast<std::streamoff>(at));
  repair.put('v');
  repair.close();
  p.still_works();
}

TEST_CASE("damage to the very last acknowledged write is refused after an orderly stop") {
  prepared p;
  const std::string segment = flip_value(p.o.directory, "value 49").first;
  const failure f = p.refused(p.o);
  CHECK(f.code == errc::log_damaged);
  CHECK(contains(f.what, segment));
}

TEST_CASE("damage to the very last acknowledged write is refused after a crash, if the log was idle before") {
  prepared p;
  config_map map(p.o);
  REQUIRE_FALSE(map.start());
  map.put("/last", "the last value");
  // A copy of the directory is what a crash at this moment leaves (the page cache survives a killed process).
  options crashed = p.o;
  crashed.directory = p.directory / "crashed";
  crashed.listen = "127.0.0.1:" + std::to_string(p.spare_port);
  const bool refused = eventually([&] {
    std::filesystem::remove_all(crashed.directory);
    std::filesystem::copy(p.o.directory, crashed.directory, std::filesystem::copy_options::recursive);
    flip_value(crashed.directory, "the last value");
    config_map copy(crashed);
    return copy.start().code == errc::log_damaged;
  });
  CHECK(refused);
  map.stop();
  CHECK_FALSE(map.wait());
}

TEST_CASE("a missing segment or a damaged identity is refused") {
  prepared p;
  std::string identity, segment;
  for (const auto& [name, content] : image_of(p.o.directory)) {
    if (contains(name, "log-") && contains(content, "value 20")) segment = p.o.directory + "/" + name;
    if (contains(name, "identity") && identity.empty()) identity = p.o.directory + "/" + name;
  }
  REQUIRE_FALSE(segment.empty());
  std::filesystem::rename(segment, p.directory / "kept");
  failure f = p.refused(p.o);
  CHECK(f.code == errc::log_damaged);
  CHECK(contains(f.what, p.o.directory));
  std::filesystem::rename(p.directory / "kept", segment);
  REQUIRE_FALSE(identity.empty());
  std::filesystem::copy_file(identity, p.directory / "identity-kept");
  std::filesystem::resize_file(identity, 5);
  f = p.refused(p.o);
  CHECK(f.code == errc::log_damaged);
  CHECK(contains(f.what, identity));
  std::filesystem::remove(identity);
  std::filesystem::rename(p.directory / "identity-kept", identity);
  p.still_works();
}

TEST_CASE("a directory that can't be read or made is named with the system's reason") {
  prepared p;
  options o = p.o;
  std::ofstream(p.directory / "file") << "in the way";
  o.directory = p.directory / "file/data";
  failure f = p.refused(o);
  CHECK(f.code == errc::storage_failed);
  CHECK(contains(f.what, p.directory / "file"));
  o.directory = p.directory / "file";
  f = p.refused(o);
  CHECK(f.code == errc::storage_failed);
  if (::geteuid() == 0) {
    MESSAGE("skipped: root may read and write everything, so permissions can't be tested");
  } else {
    ::chmod(p.o.directory.c_str(), 0);
    config_map map(p.o);
    f = map.start();
    CHECK(f.code == errc::storage_failed);
    CHECK(contains(f.what, p.o.directory));
    ::chmod(p.o.directory.c_str(), 0700);
  }
  p.still_works();
}

TEST_CASE(
    "a peer that is not in the options, or of another cluster, is refused and reported, and nothing is "
    "lost") {
  const auto ports = free_ports(3);
  temporary_directory directory;
  const auto address = [&](std::size_t i) { return "127.0.0.1:" + std::to_string(ports[i]); };
  std::mutex mutex;
  std::vector<failure> events;
  options mine = quick_options(1, {{1, address(0)}}, directory / "1");
  mine.on_event = [&](const failure& f) {
    const std::lock_guard lock(mutex);
    events.push_back(f);
  };
  config_map map(mine);
  REQUIRE_FALSE(map.start());
  const auto reported = [&](errc code) {
    return eventually([&] {
      const std::lock_guard lock(mutex);
      return std::any_of(events.begin(), events.end(),
                         [&](const failure& f) { return f.code == code && !f.what.empty(); });
    });
  };
  {
    config_map stranger(quick_options(2, {{1, address(0)}, {2, address(1)}}, directory / "2"));
    REQUIRE_FALSE(stranger.start());
    CHECK(reported(errc::unknown_peer));
  }
  {
    options o = quick_options(3, {{1, address(0)}, {3, address(2)}}, directory / "3");
    o.cluster = "another";
    config_map foreign(o);
    REQUIRE_FALSE(foreign.start());
    CHECK(reported(errc::wrong_cluster));
    const std::lock_guard lock(mutex);
    CHECK(std::all_of(events.begin(), events.end(), [](const failure& f) {
      return f.code != errc::wrong_cluster || contains(f.what, "options.cluster");
    }));
  }
  CHECK(map.put("/a", "1").revision > 0);
}

// Whichever comes first: a member that refuses it, or a leader that knows what it had acknowledged.
TEST_CASE("a wiped data directory under an old id is not trusted, and says so") {
  tcp_cluster c(3);
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t victim = c.follower();
  c[victim].put("/a", "1");
  for (std::uint64_t id = 1; id <= 3; ++id) {
    std::error_code error;
    c[id].read_barrier(linearizable, error);
    REQUIRE_FALSE(error);
  }
  REQUIRE_FALSE(c.stop(victim));
  std::filesystem::remove_all(c.directory(victim));
  std::mutex mutex;
  std::vector<failure> events;
  options o = c.options_of(victim);
  o.on_event = [&](const failure& f) {
    const std::lock_guard lock(mutex);
    events.push_back(f);
  };
  config_map wiped(o);
  REQUIRE_FALSE(wiped.start());
  const bool told = eventually([&] {
    const std::lock_guard lock(mutex);
    return std::any_of(events.begin(), events.end(), [&](const failure& f) {
      return (f.code == errc::wrong_incarnation || f.code == errc::log_damaged) &&
             contains(f.what, c.directory(victim));
    });
  });
  std::string all;
  for (const failure& f : events) all += f.code.message() + ": " + f.what + "\n";
  INFO(all);
  CHECK(told);
  CHECK(eventually([&] { return wiped.status().refused_by != node_id(0) || wiped.last_failure(); }));
  CHECK_FALSE(wiped.get("/a"));
  CHECK(c[victim % 3 + 1].put("/b", "1").revision > 0);
}

TEST_CASE("bad keys and values are refused with exact codes, in every form, and change nothing") {
  prepared p;
  options o = p.o;
  o.max_value_bytes = 100;
  config_map map(o);
  REQUIRE_FALSE(map.start());
  (void)map.put("/ready", "1");
  const std::uint64_t revision = map.read().revision();
  const std::string longest = "/" + std::string(511, 'k');
  struct bad_input {
    std::string key, value;
    errc code;
    std::string says;
  };
  const std::vector<bad_input> inputs = {
      {"", "v", errc::key_empty, "empty"},
      {"no/slash", "v", errc::key_not_a_path, "no/slash"},
      {longest + "k", "v", errc::key_too_long, "512"},
      {std::string("/a\0b", 4), "v", errc::key_has_nul, "offset 2"},
      {"/a", std::string(101, 'v'), errc::value_too_large, "100"},
  };
  for (const bad_input& in : inputs) {
    CAPTURE(in.key);
    std::error_code error;
    (void)map.put(in.key, in.value, error);
    CHECK(error == in.code);
    (void)map.compare_exchange(in.key, 0, in.value, error);
    CHECK(error == in.code);
    std::promise<std::error_code> done;
    map.async_put(in.key, in.value, [&](std::error_code code, write_result) { done.set_value(code); });
    CHECK(done.get_future().get() == in.code);
    try {
      (void)map.put(in.key, in.value);
      FAIL("a bad input throws");
    } catch (const std::system_error& e) {
      CHECK(e.code() == in.code);
      INFO(e.what());
      CHECK(contains(e.what(), in.says));
      // The sentence alone: std::system_error would repeat the code's text behind it.
      if (in.code != errc::value_too_large) CHECK(e.what() == validate_key(in.key).what);
    }
    if (in.code != errc::value_too_large) {
      (void)map.erase(in.key, error);
      CHECK(error == in.code);
      (void)map.compare_erase(in.key, 1, error);
      CHECK(error == in.code);
      CHECK_FALSE(map.get(in.key));
      for (const consistency& freshness : {consistency(local), consistency(linearizable)}) {
        CHECK_FALSE(map.get(in.key, freshness, error));
        CHECK(error == in.code);
        std::promise<std::error_code> read;
        map.async_get(in.key, freshness, [&](std::error_code code, const std::optional<map_entry>& entry) {
          CHECK_FALSE(entry);
          read.set_value(code);
        });
        CHECK(read.get_future().get() == in.code);
      }
    }
  }
  CHECK(map.read().revision() == revision);
  CHECK(map.put(longest, std::string(100, 'v')).revision == revision + 1);
  CHECK(map.get(longest)->value().size() == 100);
}
