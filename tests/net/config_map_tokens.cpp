// Completion tokens: who is called, where, when, with whose memory, and what cancelling does.
#include <doctest/doctest.h>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/bind_executor.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>
#include <atomic>
#include <cstddef>
#include <future>
#include <optional>
#include <string>

#include "net_harness.hpp"

// It can't see the reference count of exception_ptr, which is inside libstdc++.so, and so reports the end of
// an exception that went from one thread to another as a race.
#if defined(__SANITIZE_THREAD__)
#define CONFMAN_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CONFMAN_THREAD_SANITIZER 1
#endif
#endif
#if !defined(CONFMAN_THREAD_SANITIZER)
#define CONFMAN_THREAD_SANITIZER 0
#endif

using namespace confman;
using namespace confman::testing;

namespace {

// A member in memory, run on the test's own thread.
struct fixture {
  explicit fixture(std::uint64_t members = 1) : map(io.get_executor(), memory_options(1, members), network) {
    map.async_run([this](std::error_code code) { ended = code; });
    (void)run_until(io, [this] { return map.status().running; });
  }
  ~fixture() {
    map.stop();
    (void)run_until(io, [this] { return ended.has_value(); });
  }

  loopback_network network;
  asio::io_context io;
  std::optional<std::error_code> ended;
  memory_map map;
};

struct allocations {
  std::size_t count = 0;
  std::size_t live = 0;
};

template <class T>
struct counting_allocator {
  using value_type = T;
  explicit counting_allocator(allocations* s) noexcept : stats(s) {}
  template <class U>
  counting_allocator(const counting_allocator<U>& other) noexcept : stats(other.stats) {}  // NOLINT
  T* allocate(std::size_t n) {
    ++stats->count;
    ++stats->live;
    return std::allocator<T>{}.allocate(n);
  }
  void deallocate(T* p, std::size_t n) {
    --stats->live;
    std::allocator<T>{}.deallocate(p, n);
  }
  friend bool operator==(const counting_allocator& a, const counting_allocator& b) {
    return a.stats == b.stats;
  }
  allocations* stats;
};

// A handler with memory of its own.
struct counting_handler {
  using allocator_type = counting_allocator<char>;
  allocations* stats;
  bool* called;
  std::size_t* live_when_called;
  [[nodiscard]] allocator_type get_allocator() const noexcept { return allocator_type(stats); }
  template <class... Arguments>
  void operator()(std::error_code, const Arguments&...) const {
    *called = true;
    *live_when_called = stats->live;
  }
};

const std::error_code aborted = asio::error::operation_aborted;

}  // namespace

TEST_CASE("a callback gets the outcome, and is never called inline") {
  fixture f;
  bool inside = true, done = false;
  f.map.async_put("/a", "1", [&](std::error_code code, write_result outcome) {
    CHECK_FALSE(inside);
    CHECK_FALSE(code);
    CHECK(outcome.revision > 0);
    CHECK_FALSE(outcome.existed);
    done = true;
  });
  inside = false;
  REQUIRE(run_until(f.io, [&] { return done; }));
  CHECK(f.map.get("/a")->value() == "1");
}

TEST_CASE("what is refused at once is not completed inline either") {
  fixture f;
  int completed = 0;
  bool inside = true;
  const auto expect = [&](std::error_code wanted) {
    return [&, wanted](std::error_code code, auto&&...) {
      CHECK_FALSE(inside);
      CHECK(code == wanted);
      ++completed;
    };
  };
  f.map.async_put("", "1", expect(errc::key_empty));
  f.map.async_put("/a", std::string(max_large_value_bytes + 1, 'x'), expect(errc::value_too_large));
  f.map.async_get("/a", local, expect({}));
  f.map.async_read_barrier(local, expect({}));
  f.map.async_run(expect(errc::stopped));
  memory_map idle(f.io.get_executor(), memory_options(1), f.network);
  idle.async_put("/a", "1", expect(errc::stopped));
  idle.async_get("/a", linearizable, expect(errc::stopped));
  inside = false;
  CHECK(completed == 0);
  REQUIRE(run_until(f.io, [&] { return completed == 7; }));
}

TEST_CASE("a handler that runs on the map's executor may call the map") {
  fixture f;
  std::string value;
  f.map.async_put("/a", "1", [&](std::error_code, write_result first) {
    f.map.async_compare_exchange("/a", first.revision, "2", [&](std::error_code code, write_result) {
      CHECK_FALSE(code);
      f.map.async_get("/a", linearizable, [&](std::error_code, std::optional<map_entry> entry) {
        value = entry ? entry->value() : "nothing";
      });
    });
  });
  REQUIRE(run_until(f.io, [&] { return !value.empty(); }));
  CHECK(value == "2");
}

TEST_CASE("use_future gives the outcome, or throws the error") {
  loopback_network network;
  running_context context;
  memory_map map(context.io().get_executor(), memory_options(), network);
  std::future<void> ended = map.async_run(asio::use_future);
  CHECK(map.async_put("/a", "1", asio::use_future).get().revision > 0);
  CHECK(map.async_get("/a", linearizable, asio::use_future).get()->value() == "1");
  CHECK_FALSE(map.async_get("/none", linearizable, asio::use_future).get());
  map.async_read_barrier(linearizable, asio::use_future).get();
#if !CONFMAN_THREAD_SANITIZER
  try {
    (void)map.async_compare_exchange("/a", 99999, "2", asio::use_future).get();
    FAIL("a comparison that fails throws");
  } catch (const std::system_error& e) {
    CHECK(e.code() == errc::compare_failed);
  }
#endif
  CHECK(map.async_erase("/a", asio::use_future).get().existed);
  CHECK_FALSE(map.async_erase("/a", asio::use_future).get().existed);
  map.stop();
  ended.get();
}

#if defined(ASIO_HAS_CO_AWAIT)
TEST_CASE("use_awaitable works in a coroutine, errors are exceptions") {
  fixture f;
  bool done = false;
  asio::co_spawn(
      f.io,
      [&]() -> asio::awaitable<void> {
        const write_result put = co_await f.map.async_put("/a", "1", asio::use_awaitable);
        const auto entry = co_await f.map.async_get("/a", at_least(put.at), asio::use_awaitable);
        CHECK(entry->modify_revision() == put.revision);
        co_await f.map.async_read_barrier(linearizable, asio::use_awaitable);
        try {
          co_await f.map.async_put("no slash", "1", asio::use_awaitable);
          FAIL("a bad key throws");
        } catch (const std::system_error& e) {
          CHECK(e.code() == errc::key_not_a_path);
        }
        co_await f.map.async_compare_erase("/a", put.revision, asio::use_awaitable);
        done = true;
      },
      asio::detached);
  REQUIRE(run_until(f.io, [&] { return done; }));
  CHECK_FALSE(f.map.get("/a"));
}

TEST_CASE("cancelling a coroutine ends the operation that it waits for") {
  fixture f(3);
  asio::cancellation_signal signal;
  std::optional<std::error_code> result;
  asio::co_spawn(
      f.io, [&]() -> asio::awaitable<void> { co_await f.map.async_put("/a", "1", asio::use_awaitable); },
      asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr e) {
        try {
          std::rethrow_exception(e);
        } catch (const std::system_error& error) {
          result = error.code();
        }
      }));
  (void)run_until(
      f.io, [] { return false; }, 20ms);
  CHECK_FALSE(result);
  signal.emit(asio::cancellation_type::terminal);
  REQUIRE(run_until(
      f.io, [&] { return result.has_value(); }, 2s));
  CHECK(*result == aborted);
}
#endif

TEST_CASE("a handler bound to an executor runs there and nowhere else") {
  fixture f;
  asio::io_context other;
  const auto work = asio::make_work_guard(other);
  int called = 0;
  const auto check = [&](auto&&...) {
    CHECK(other.get_executor().running_in_this_thread());
    ++called;
  };
  f.map.async_put("/a", "1", asio::bind_executor(other, check));
  f.map.async_put("", "1", asio::bind_executor(other, check));
  f.map.async_get("/a", linearizable, asio::bind_executor(other, check));
  f.map.async_get("/a", local, asio::bind_executor(other, check));
  f.map.async_read_barrier(linearizable, asio::bind_executor(other, check));
  (void)run_until(f.io, [&] { return f.map.get("/a").has_value(); });
  (void)run_until(
      f.io, [] { return false; }, 50ms);
  CHECK(called == 0);
  REQUIRE(run_until(other, [&] { return called == 5; }));
}

TEST_CASE("an operation under way is work for its handler's executor and for the map's") {
  fixture f(3);
  asio::io_context other;
  bool called = false;
  f.map.async_put("/a", "1",
                  asio::bind_executor(other, [&](std::error_code, write_result) { called = true; }));
  other.run_for(20ms);
  CHECK_FALSE(other.stopped());  // run() would not have returned
  f.map.stop();
  (void)run_until(f.io, [&] { return f.ended.has_value(); });
  other.run();  // returns: the completion was the last work
  CHECK(called);
}

TEST_CASE("a handler may be moved only") {
  fixture f;
  bool done = false;
  auto owned = std::make_unique<int>(5);
  f.map.async_put("/a", "1", [&done, owned = std::move(owned)](std::error_code code, write_result) {
    CHECK_FALSE(code);
    CHECK(*owned == 5);
    done = true;
  });
  REQUIRE(run_until(f.io, [&] { return done; }));
  bool read = false;
  f.map.async_get("/a", linearizable,
                  [&read, p = std::make_unique<int>(1)](std::error_code, std::optional<map_entry> e) {
                    CHECK(e->value() == "1");
                    read = *p == 1;
                  });
  REQUIRE(run_until(f.io, [&] { return read; }));
}

TEST_CASE("an operation uses its handler's allocator, and has given all of it back before the call") {
  fixture f;
  allocations stats;
  const auto check = [&](auto initiate) {
    stats = {};
    bool called = false;
    std::size_t live = 99;
    initiate(counting_handler{&stats, &called, &live});
    CHECK(stats.count >= 1);
    REQUIRE(run_until(f.io, [&] { return called; }));
    CHECK(live == 0);
    CHECK(stats.live == 0);
  };
  check([&](auto h) { f.map.async_put("/a", "1", h); });
  check([&](auto h) { f.map.async_put("", "1", h); });
  check([&](auto h) { f.map.async_get("/a", linearizable, h); });
  check([&](auto h) { f.map.async_get("/a", local, h); });
  check([&](auto h) { f.map.async_read_barrier(linearizable, h); });
}

TEST_CASE("a cancelled write or read ends with operation_aborted, and the others go on") {
  asio::cancellation_signal write_signal, read_signal, version_signal;
  std::optional<std::error_code> write, read, version_read, other;  // outlive the map, which completes all
  fixture f(3);
  f.map.async_put(
      "/a", "1",
      asio::bind_cancellation_slot(write_signal.slot(), [&](std::error_code c, write_result) { write = c; }));
  f.map.async_get("/a", linearizable,
                  asio::bind_cancellation_slot(
                      read_signal.slot(), [&](std::error_code c, std::optional<map_entry>) { read = c; }));
  f.map.async_read_barrier(
      at_least({term_t(9), log_index(999)}),
      asio::bind_cancellation_slot(version_signal.slot(), [&](std::error_code c) { version_read = c; }));
  f.map.async_put("/b", "1", [&](std::error_code c, write_result) { other = c; });
  (void)run_until(
      f.io, [] { return false; }, 20ms);
  write_signal.emit(asio::cancellation_type::partial);
  read_signal.emit(asio::cancellation_type::total);
  version_signal.emit(asio::cancellation_type::terminal);
  CHECK_FALSE(write);
  REQUIRE(run_until(
      f.io, [&] { return write && read && version_read; }, 2s));
  CHECK(*write == aborted);
  CHECK(*read == aborted);
  CHECK(*version_read == aborted);
  CHECK_FALSE(other);
}

TEST_CASE("cancelling what has completed does nothing") {
  fixture f;
  asio::cancellation_signal signal;
  int called = 0;
  f.map.async_put("/a", "1",
                  asio::bind_cancellation_slot(signal.slot(), [&](std::error_code c, write_result) {
                    CHECK_FALSE(c);
                    ++called;
                  }));
  REQUIRE(run_until(f.io, [&] { return called == 1; }));
  CHECK_FALSE(signal.slot().has_handler());
  signal.emit(asio::cancellation_type::all);
  (void)run_until(
      f.io, [] { return false; }, 20ms);
  CHECK(called == 1);
}

TEST_CASE("cancelling the run is the same as stop") {
  loopback_network network;
  asio::io_context io;
  memory_map map(io.get_executor(), memory_options(), network);
  asio::cancellation_signal signal;
  std::optional<std::error_code> ended;
  map.async_run(asio::bind_cancellation_slot(signal.slot(), [&](std::error_code c) { ended = c; }));
  REQUIRE(run_until(io, [&] { return map.status().role == role::leader; }));
  signal.emit(asio::cancellation_type::terminal);
  io.restart();
  io.run();  // returns by itself
  REQUIRE(ended);
  CHECK_FALSE(*ended);
  CHECK_FALSE(map.status().running);
}

TEST_CASE("a context with several threads runs many operations from many threads at once") {
  loopback_network network;
  running_context context(4);
  memory_map map(context.io().get_executor(), memory_options(), network);
  std::future<void> ended = map.async_run(asio::use_future);
  (void)map.async_put("/first", "1", asio::use_future).get();
  constexpr int threads = 3, each = 2000;
  std::atomic<int> done{0}, failed{0}, found{0};
  std::vector<std::thread> users;
  for (int t = 0; t < threads; ++t)
    users.emplace_back([&, t] {
      for (int i = 0; i < each; ++i) {
        const std::string key = "/t/" + std::to_string(t) + "/" + std::to_string(i);
        map.async_put(key, "v", [&, key](std::error_code code, write_result outcome) {
          if (code) ++failed;
          const auto entry = map.get(key);
          if (entry && entry->modify_revision() == outcome.revision) ++found;
          ++done;
        });
      }
    });
  for (std::thread& u : users) u.join();
  REQUIRE(eventually([&] { return done == threads * each; }));
  CHECK(failed == 0);
  CHECK(found == threads * each);
  CHECK(map.list("/t/").size() == threads * each);
  map.stop();
  ended.get();
}
