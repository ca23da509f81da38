// Searches every state of small scopes. tests/exhaustive.sh is its front.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "exhaustive/search.hpp"

namespace {

using namespace confman::exhaustive;

struct settings {
  std::string only;
  std::string replay;
  std::uint64_t states = 0;  // 0: as the configuration says
  bool self_test = false;
  bool list = false;
};

constexpr int ended_by_assertion = 3;
search* running = nullptr;

// The core says that it is broken, by ending the process: show the way there once more.
void on_second_abort(int) {
  std::printf("\n     BAD        the core's assertion, see above\n");
  std::fflush(stdout);
  std::_Exit(ended_by_assertion);
}
void on_abort(int) {
  std::signal(SIGABRT, on_second_abort);
  if (running) {
    std::printf("BAD: an assertion of the core\n");
    const std::vector<action> path = running->path_to_now();
    // In a cluster of its own: what was worked out is remembered, and wouldn't fail again.
    cluster again(running->all().within());
    std::string words;
    for (const action& a : path) words += (words.empty() ? "" : " ") + running->all().word(a);
    std::printf("replay: ./tests/exhaustive.sh --config '%s' --replay '%s'\n",
                running->all().within().name.c_str(), words.c_str());
    (void)show_words(again, words);
  }
  std::_Exit(ended_by_assertion);
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

long peak_megabytes() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  return use.ru_maxrss / 1024;
}

// True: no state is bad.
bool search_one(const scope& s, std::uint64_t most, verdict& found) {
  const auto begin = std::chrono::steady_clock::now();
  search look(s, most);
  running = &look;
  found = look.run();
  running = nullptr;
  const double seconds = seconds_since(begin);
  std::printf("%-12s %10" PRIu64 " states %11" PRIu64 " steps, depth %3u, %7.0f states/s, %5ld MiB: %s\n",
              s.name.c_str(), found.states, found.transitions, found.depth,
              static_cast<double>(found.states) / std::max(seconds, 0.001), peak_megabytes(),
              !found.wrong.empty() ? "BAD"
              : found.exhausted    ? "good, exhausted"
                                   : "good, stopped at the limit");
  std::fflush(stdout);
  if (found.wrong.empty()) return true;
  std::printf("BAD: %s, after %zu steps\n", found.wrong.c_str(), found.path.size());
  (void)show_path(look.all(), found.path);
  std::fflush(stdout);
  return false;
}

// In a process of its own, since an assertion may end it. True: what was broken was noticed.
bool notices(const scope& s) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    if (std::freopen("/dev/null", "w", stderr) == nullptr) std::_Exit(1);
    search look(s, s.states);
    running = &look;
    const verdict found = look.run();
    std::printf("broken on purpose: %s: %s, %zu steps, %" PRIu64 " states\n", s.name.c_str(),
                found.wrong.empty() ? "NOT NOTICED" : found.wrong.c_str(), found.path.size(), found.states);
    std::fflush(stdout);
    if (found.wrong.empty()) std::_Exit(1);
    // The way there is the same in another run.
    std::string words;
    for (const action& a : found.path) words += look.all().word(a) + ' ';
    if (std::freopen("/dev/null", "w", stdout) == nullptr) std::_Exit(1);
    cluster again(s);
    std::_Exit(found.wrong.find(s.expected) != std::string::npos && show_words(again, words) ? 0 : 1);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return false;
  return WEXITSTATUS(status) == (s.expected == "assertion" ? ended_by_assertion : 0);
}

[[noreturn]] void usage(const char* name) {
  std::fprintf(stderr, "usage: %s [--config NAME] [--states N] [--self-test] [--list] [--replay WORDS]\n",
               name);
  std::exit(2);
}

settings parse(int argc, char** argv) {
  settings options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const auto value = [&]() -> const char* {
      if (i + 1 >= argc) usage(argv[0]);
      return argv[++i];
    };
    if (name == "--config") {
      options.only = value();
    } else if (name == "--replay") {
      options.replay = value();
    } else if (name == "--states") {
      char* end = nullptr;
      options.states = std::strtoull(value(), &end, 10);
      if (*end != '\0' || options.states == 0 || options.states > 4'000'000'000) usage(argv[0]);
    } else if (name == "--self-test") {
      options.self_test = true;
    } else if (name == "--list") {
      options.list = true;
    } else {
      usage(argv[0]);
    }
  }
  return options;
}

const scope* find_scope(const std::string& name) {
  for (const auto* all : {&all_scopes(), &broken_scopes()})
    for (const scope& s : *all)
      if (s.name == name) return &s;
  return nullptr;
}

int replay(const settings& options) {
  const scope* s = find_scope(options.only);
  if (!s) throw std::invalid_argument("--replay needs --config with a name from --list");
  cluster c(*s);
  return show_words(c, options.replay) ? 1 : 0;
}

int run(const settings& options) {
  unsigned good = 0, bad = 0;
  std::uint64_t states = 0;
  const auto begin = std::chrono::steady_clock::now();
  if (!options.only.empty() && !find_scope(options.only))
    throw std::invalid_argument("no configuration '" + options.only + "', see --list");
  if (options.self_test)
    for (const scope& s : broken_scopes()) ++(notices(s) ? good : bad);
  for (const scope& s : all_scopes()) {
    if (options.only.empty() ? options.self_test && options.states == 0 : options.only != s.name) continue;
    verdict found;
    ++(search_one(s, options.states != 0 ? options.states : s.states, found) ? good : bad);
    states += found.states;
  }
  std::printf("%" PRIu64 " distinct states in %.0f s\n%u searches good, %u bad\n", states,
              seconds_since(begin), good, bad);
  return bad == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const settings options = parse(argc, argv);
  std::signal(SIGABRT, on_abort);
  try {
    if (options.list) {
      for (const scope& s : all_scopes()) std::printf("%-12s %s\n", s.name.c_str(), s.what.c_str());
      return 0;
    }
    return options.replay.empty() ? run(options) : replay(options);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 2;
  }
}
