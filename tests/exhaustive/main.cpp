// Searches every state of small scopes. tests/exhaustive.sh is its front.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <stdexcept>

#include "exhaustive/hand_made.hpp"
#include "exhaustive/search.hpp"

namespace {

using namespace confman::exhaustive;

struct settings {
  std::string only;
  std::string replay;
  std::uint64_t states = 0;  // 0: as the configuration says
  std::optional<search::clock::time_point> until;
  bool self_test = false;
  bool list = false;
};

constexpr int ended_by_assertion = 3;
constexpr std::uint64_t smoke_states = 20'000;  // of each configuration
search* running = nullptr;
bool broken_on_purpose = false;

// The core says that it is broken, by ending the process: show the way there once more.
void on_second_abort(int) {
  std::printf("\n     %s the core's assertion, see above\n", broken_on_purpose ? "so it is: " : "BAD       ");
  std::fflush(stdout);
  std::_Exit(ended_by_assertion);
}
void on_abort(int) {
  std::signal(SIGABRT, on_second_abort);
  if (running) {
    std::printf("%s: an assertion of the core\n",
                broken_on_purpose ? "broken on purpose, and noticed" : "BAD");
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

double seconds_since(search::clock::time_point begin) {
  return std::chrono::duration<double>(search::clock::now() - begin).count();
}
double processor_seconds() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  const auto of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return of(use.ru_utime) + of(use.ru_stime);
}

long peak_megabytes() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  return use.ru_maxrss / 1024;
}

// What all searches of a run have seen.
struct total {
  std::uint64_t states = 0, transitions = 0;
  unsigned exhausted = 0;
  std::map<std::string, std::uint64_t> taken;  // steps by name

  void add(const search& look, const verdict& found) {
    states += found.states;
    transitions += found.transitions;
    exhausted += found.exhausted;
    for (std::size_t i = 0; i < found.taken.size(); ++i)
      if (found.taken[i] != 0) taken[look.names()[i]] += found.taken[i];
  }
};

const char* how_it_ended(const verdict& found) {
  if (!found.wrong.empty()) return "BAD";
  if (found.exhausted) return "good, exhausted";
  return found.out_of_time ? "good, out of time" : "good, stopped at the limit";
}

// True: no state is bad.
bool search_one(const scope& s, const settings& options, total& all) {
  const auto begin = search::clock::now();
  const double processor = processor_seconds();
  search look(s, options.states != 0 ? options.states : s.states, options.until);
  running = &look;
  const verdict found = look.run();
  running = nullptr;
  all.add(look, found);
  const cluster& c = look.all();
  const auto number = [](std::size_t n) { return static_cast<std::uint64_t>(n); };
  std::printf("%-15s %10" PRIu64 " states, %11" PRIu64
              " steps, depth %2u, %6.1f s (%.1f s of a processor), "
              "%6.0f states/s, peak %ld MiB: %s\n",
              s.name.c_str(), found.states, found.transitions, found.depth, seconds_since(begin),
              processor_seconds() - processor,
              static_cast<double>(found.states) / std::max(seconds_since(begin), 0.001), peak_megabytes(),
              how_it_ended(found));
  std::printf("%-15s %10" PRIu64 " node states, %" PRIu64 " messages, %" PRIu64 " steps of nodes, %" PRIu64
              " of them by two\n",
              "", number(c.nodes_known()), number(c.messages_known()), number(c.steps_known()),
              number(c.steps_compared()));
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
    broken_on_purpose = true;
    search look(s, s.states);
    running = &look;
    const verdict found = look.run();
    std::printf("broken on purpose: %s: %s; %zu steps, %" PRIu64 " states\n", s.name.c_str(),
                found.wrong.empty() ? "NOT NOTICED" : found.wrong.c_str(), found.path.size(), found.states);
    std::fflush(stdout);
    if (found.wrong.empty()) std::_Exit(1);
    if (!s.looks_for(found.wrong)) std::_Exit(1);
    // Two nodes of one hash meet in a search, on one path alone they don't.
    if (s.rule == broken::hidden_state) std::_Exit(0);
    // The way there is the same in another run.
    std::string words;
    for (const action& a : found.path) words += look.all().word(a) + ' ';
    if (std::freopen("/dev/null", "w", stdout) == nullptr) std::_Exit(1);
    cluster again(s);
    std::_Exit(show_words(again, words) ? 0 : 1);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return false;
  return WEXITSTATUS(status) == (s.expected == "assertion" ? ended_by_assertion : 0);
}

[[noreturn]] void usage(const char* name) {
  std::fprintf(
      stderr,
      "usage: %s [--config NAME] [--states N] [--seconds N] [--smoke] [--full] [--self-test] [--list] "
      "[--replay WORDS]\n",
      name);
  std::exit(2);
}

std::uint64_t number_in(const char* text, const char* program) {
  char* end = nullptr;
  const std::uint64_t n = std::strtoull(text, &end, 10);
  if (*end != '\0' || n == 0 || n > 1'000'000'000) usage(program);
  return n;
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
      options.states = number_in(value(), argv[0]);
    } else if (name == "--seconds") {
      options.until = search::clock::now() + std::chrono::seconds(number_in(value(), argv[0]));
    } else if (name == "--smoke") {
      options.self_test = true;
      options.states = smoke_states;
    } else if (name == "--full") {
      options.states = 0;
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

// A search over all configurations in which one of these never happens shows less than it seems to. Prints
// them.
bool all_happened(const total& all) {
  bool happened = true;
  for (const char* name : {"tick",
                           "propose",
                           "store",
                           "crash",
                           "change",
                           "read",
                           "take_snapshot",
                           "duplicate",
                           "pre_vote_request",
                           "pre_vote_response",
                           "vote_request",
                           "vote_response",
                           "append",
                           "append_ok",
                           "append_reject",
                           "heartbeat",
                           "heartbeat_response",
                           "commit_notice",
                           "read_index_request",
                           "read_index_response",
                           "stale_term",
                           "snapshot"})
    if (!all.taken.contains(name)) {
      std::printf("BAD: never happened: %s\n", name);
      happened = false;
    }
  return happened;
}

int run(const settings& options) {
  unsigned good = 0, bad = 0, not_begun = 0;
  total all;
  const auto begin = search::clock::now();
  if (!options.only.empty() && !find_scope(options.only))
    throw std::invalid_argument("no configuration '" + options.only + "', see --list");
  if (options.self_test) {
    ++(properties_can_fail() ? good : bad);
    for (const scope& s : broken_scopes()) ++(notices(s) ? good : bad);
  }
  for (const scope& s : all_scopes()) {
    if (options.only.empty() ? options.self_test && options.states == 0 : options.only != s.name) continue;
    if (options.until && search::clock::now() >= *options.until)
      ++not_begun;
    else
      ++(search_one(s, options, all) ? good : bad);
  }
  if (all.states != 0) {
    std::printf("steps taken:");
    for (const auto& [name, count] : all.taken) std::printf(" %s %" PRIu64, name.c_str(), count);
    std::printf("\n%" PRIu64 " distinct states, %" PRIu64
                " steps, %u configurations exhausted, %u not begun, "
                "%.0f s (%.0f s of a processor), peak %ld MiB\n",
                all.states, all.transitions, all.exhausted, not_begun, seconds_since(begin),
                processor_seconds(), peak_megabytes());
  }
  const bool whole =
      options.only.empty() && not_begun == 0 && all.states >= all_scopes().size() * smoke_states;
  if (whole && !all_happened(all)) ++bad;
  std::printf("%u searches good, %u bad\n", good, bad);
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
    std::fflush(stdout);
    std::fprintf(stderr, "\nerror: %s\n", e.what());
    return 2;
  }
}
