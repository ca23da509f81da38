// What ends a simulated process, and doesn't throw, names its seed, too.
#include "confman/sim/last_words.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>
#include <system_error>

#include "confman/sim/seeds.hpp"

namespace {

using namespace confman::sim;

struct ended {
  std::string printed;
  int status = -1;  // as exit() was given it
  [[nodiscard]] bool says(const char* words) const { return printed.find(words) != std::string::npos; }
};

// Runs seeds in a process of its own, with an application that does this when it begins.
template <class Begin>
ended run(seed_range seeds, Begin begin) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  std::fflush(stdout);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    const auto make = [&](scenario&) {
      application_suite suite;
      suite.start = [&](application_host& host) {
        begin(host);
        return std::make_unique<application>();
      };
      return suite;
    };
    const bool good = run_seeds(seeds, make, "my_program --mine");
    std::_Exit(good ? 0 : 3);
  }
  close(ends[1]);
  ended all;
  char some[4096];
  for (ssize_t n = 0; (n = read(ends[0], some, sizeof(some))) > 0;)
    all.printed.append(some, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  if (WIFEXITED(status)) all.status = WEXITSTATUS(status);
  return all;
}

seed_range only(std::uint64_t seed) {
  seed_range range;
  range.first = seed;
  range.count = 1;
  return range;
}

}  // namespace

TEST_CASE("an application that aborts names the seed and how to see it again") {
  const ended end = run(only(7), [](application_host&) { std::abort(); });
  CAPTURE(end.printed);
  CHECK(end.status == 1);
  CHECK(end.says("FAILED seed 7: Aborted"));
  CHECK(end.says("scenario: seed=7 "));
  CHECK(end.says("\nseed 7: Aborted\nreplay: my_program --mine --seeds 1 --first 7 --trace\n"));
  CHECK(end.says("shrink: my_program --mine --shrink 7\n"));
}

TEST_CASE("so does one that finds no end") {
  const ended end = run(only(7), [](application_host&) { std::raise(SIGVTALRM); });
  CAPTURE(end.printed);
  CHECK(end.status == 1);
  CHECK(end.says("\nseed 7: no end after "));
  CHECK(end.says("replay: my_program --mine --seeds 1 --first 7 --trace\n"));
}

TEST_CASE("an application that isn't the same twice is found (23)") {
  int worlds = 0;
  const auto begin = [&worlds](application_host& host) {
    ++worlds;
    if (host.self().value() != 1) return;
    for (int i = 0; i < worlds; ++i) host.put("/mine", "again", [](std::error_code, std::uint64_t) {});
  };
  const ended end = run(only(50), begin);
  CAPTURE(end.printed);
  CHECK(end.status == 3);
  CHECK(end.says("\nseed 50: invariant 23 (determinism): two runs of it differ"));
  CHECK(end.says("replay: my_program --mine --seeds 1 --first 50 --trace\n"));
}

TEST_CASE("who handled the signals before does so afterwards") {
  static int heard = 0;
  const auto before = std::signal(SIGVTALRM, [](int) { ++heard; });
  CHECK(run_seeds(
      only(3), [](scenario&) { return application_suite{}; }, "my_program"));
  std::raise(SIGVTALRM);
  CHECK(heard == 1);
  std::signal(SIGVTALRM, before);
}
