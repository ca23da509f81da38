// A user's program, built against an installed confman, a confman in a subdirectory, and the headers alone.
// It uses the public face, so that all of it is instantiated and linked; the map is never run, so no port and
// no directory is touched.
#include <confman/confman.hpp>

#include <asio/io_context.hpp>
#include <cstdio>
#include <optional>
#include <string>

namespace {

bool good = true;

void expect(bool condition, const char* what) {
  if (condition) return;
  good = false;
  std::printf("wrong: %s\n", what);
}

confman::options one_member() {
  confman::options o;
  o.self = 1;
  o.members = {{1, "127.0.0.1:7401"}};
  o.directory = "never-opened";
  return o;
}

void on_the_hosts_executor() {
  asio::io_context io;
  confman::config_map map(io, one_member());
  int completed = 0;
  const auto stopped = [&completed](std::error_code error) {
    if (error == confman::errc::stopped) ++completed;
  };
  map.async_put("/a", "250", [=](std::error_code e, const confman::write_result&) { stopped(e); });
  map.async_compare_exchange("/a", 0, "1", [=](std::error_code e, confman::write_result) { stopped(e); });
  map.async_get("/a", confman::linearizable,
                [=](std::error_code e, const std::optional<confman::map_entry>&) { stopped(e); });
  map.async_read_barrier(confman::local, [&completed](std::error_code e) { completed += e ? 0 : 1; });
  const confman::watch_handle watch = map.watch("/", [](const confman::change_batch&) {});
  io.run();
  expect(completed == 4, "each operation of a map that doesn't run completes");
  expect(static_cast<bool>(watch), "a watch");
}

void on_its_own_thread() {
  confman::config_map map(one_member());
  std::error_code error;
  map.put("/a", "250", error);
  expect(error == confman::errc::stopped, "a write to a map that doesn't run");
  map.put("no path", "250", error);
  expect(error == confman::errc::key_not_a_path, "a bad key");
  (void)map.get("/a", confman::at_least({confman::term_t(1), confman::log_index(2)}), error);
  expect(error == confman::errc::stopped, "a read that waits");
  expect(!map.get("/a") && map.list("/").empty() && map.snapshot().size() == 0, "an empty map");
  expect(!map.status().running && !map.last_failure(), "the status");
  expect(!error.message().empty() && error.category() == confman::confman_category(), "the category");
}

}  // namespace

int main() {
  on_the_hosts_executor();
  on_its_own_thread();
  std::printf("confman %s: %s\n", CONFMAN_VERSION_STRING, good ? "ok" : "wrong");
  return good ? 0 : 1;
}
