// Runs seeds of the simulated world over several processes. tests/sim.sh is its front.
#include <malloc.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <new>
#include <string>
#include <vector>

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "confman/sim/last_words.hpp"
#include "confman/sim/script.hpp"
#include "confman/sim/shrink.hpp"
#include "confman/sim/world.hpp"
#include "lib/effort.hpp"
#include "marks.hpp"
#include "report.hpp"
#if defined(CONFMAN_SIM_HISTORIES)
#include "history_file.hpp"
#endif

namespace {

using confman::sim::last_words;
using confman::sim::outcome;
using confman::sim::scenario;
using confman::sim::world;

struct settings {
  std::uint64_t seeds = confman_test::effort(200u);
  std::uint64_t first = 1;
  unsigned jobs = 0;
  bool verbose = false;
  bool trace = false;
  bool check_determinism = false;
  bool keep_going = false;
  bool marks = false;
  bool shrink = false;
  std::string script;   // a file
  std::string history;  // a file
};

bool ruin_all = false;  // see scenario::ruin

std::string replay_of(std::uint64_t seed) {
  if (seed == 0) return {};
  const std::string number = std::to_string(seed);
  const std::string again = "replay: ./tests/sim.sh --seeds 1 --first " + number + " --jobs 1 --trace";
  return ruin_all ? again + " --ruin\n" : again + "\nshrink: ./tests/sim.sh --shrink " + number + "\n";
}

// Runs one seed; false after printing what is wrong with it.
bool run_seed(std::uint64_t seed, const settings& options, last_words& words,
              confman::sim::statistics& total) {
  scenario plan = scenario::draw(seed);
  plan.ruin = plan.ruin || ruin_all;
  world simulated(plan, options.trace);
  words.begin(seed, simulated);
  bool good = true;
  try {
    const outcome first = simulated.run();
    total += first.counts;
    if (options.check_determinism || seed % 50 == 0) {
      world again(plan);
      report::must_agree(simulated.log(), first, again.run());
    }
    if (options.verbose)
      std::printf("seed %" PRIu64 ": trace %016" PRIx64 ", %" PRIu64 " events, %" PRIu64 " committed\n", seed,
                  first.trace_hash, first.counts[confman::sim::counted::events],
                  first.counts[confman::sim::counted::committed]);
  } catch (const confman::sim::violation& v) {
    good = false;
    std::printf("\nFAILED seed %" PRIu64
                " at virtual time %.6f s: %s\nscenario: %s\nthe last that happened:\n%s",
                seed, static_cast<double>(v.at()) * 1e-6, v.what(), simulated.plan().describe().c_str(),
                simulated.log().tail().c_str());
    std::printf("seed %" PRIu64 ": %s\n%s", seed, v.what(), replay_of(seed).c_str());
    std::fflush(stdout);
  }
  words.end();
  return good;
}

// Runs the decisions of a file; false after printing what is wrong with it.
bool run_script(const settings& options) {
  const auto read = confman::sim::read_script_file(options.script);
  if (!read) {
    std::printf("%s\n", read.error().what.c_str());
    return false;
  }
  last_words words(replay_of);
  world simulated(read->plan, read->decisions, options.trace);
  words.begin(0, simulated);
  try {
    const outcome end = simulated.run();
    std::printf("passed: %zu of %zu decisions, trace %016" PRIx64 "\n", simulated.decisions().size(),
                read->decisions.size(), end.trace_hash);
  } catch (const confman::sim::violation& v) {
    std::printf("\nFAILED at virtual time %.6f s: %s\nthe last that happened:\n%s%s\n",
                static_cast<double>(v.at()) * 1e-6, v.what(), simulated.log().tail().c_str(), v.what());
    return false;
  }
  return true;
}

// False: the seed fails.
bool shrink_seed(std::uint64_t seed) {
  const std::string path = "build/sim/failure-" + std::to_string(seed) + ".txt";
  std::error_code ignored;
  std::filesystem::create_directories("build/sim", ignored);
  if (confman::sim::shrink::to_file(scenario::draw(seed), {}, path, "./tests/sim.sh")) return true;
  if (std::filesystem::exists(path))
    std::printf(
        "keep it as a test, once mended: cp %s tests/sim/scripts/NAME.txt, and leave in it what it is "
        "about\n",
        path.c_str());
  return false;
}

// Runs one seed and writes what its clients asked and were answered.
bool run_recorded(const settings& options) {
#if defined(CONFMAN_SIM_HISTORIES)
  last_words words(replay_of);
  std::vector<confman::sim::recorded_call> calls;
  world simulated(scenario::draw(options.first), options.trace);
  words.begin(options.first, simulated);
  simulated.record(calls);
  bool good = true;
  try {
    (void)simulated.run();
  } catch (const confman::sim::violation& v) {
    good = false;
    std::printf("FAILED seed %" PRIu64 ": %s\n", options.first, v.what());
  }
  const auto all = history_file::operations_of(calls);
  if (!history_file::write(options.history, all)) {
    std::printf("%s can't be written\n", options.history.c_str());
    return false;
  }
  std::printf("seed %" PRIu64 ": %zu operations in %s\n", options.first, all.size(), options.history.c_str());
  return good;
#else
  std::printf("--history needs confman::check with RapidJSON, which this was built without (%s)\n",
              options.history.c_str());
  return false;
#endif
}

[[noreturn]] void run_share(unsigned share, const settings& options, report::share& result) {
  last_words words(replay_of);
  marks::reset();
  // One world after the other takes and frees the same memory: it isn't given back in between.
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_MMAP_THRESHOLD, 1 << 28);
  bool good = true;
  for (std::uint64_t i = share; i < options.seeds && (good || options.keep_going); i += options.jobs) {
    if (!run_seed(options.first + i, options, words, result.counts)) {
      good = false;
      ++result.failures;
    }
    ++result.seeds;
    marks::copy_to(result.marks);
    result.processor_seconds = static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  }
  std::fflush(stdout);
  std::_Exit(good ? 0 : 1);
}

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Waits for the processes; with a failure in one the others are ended, unless they are to go on.
bool wait_for(std::vector<pid_t>& children, const settings& options, const report::share* shares,
              double begin) {
  bool good = true;
  double next_word = begin + 30;
  for (std::size_t left = children.size(); left != 0;) {
    int status = 0;
    const pid_t ended = waitpid(-1, &status, WNOHANG);
    if (ended == 0) {
      poll(nullptr, 0, 20);
      if (now_seconds() < next_word) continue;
      next_word += 30;
      report::progress(shares, children.size(), options.seeds, now_seconds() - begin);
      continue;
    }
    if (ended < 0) break;
    --left;
    for (pid_t& child : children)
      if (child == ended) child = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    good = false;
    if (WIFSIGNALED(status)) std::printf("a process was ended by signal %d\n", WTERMSIG(status));
    if (!options.keep_going)
      for (const pid_t child : children)
        if (child != 0) kill(child, SIGKILL);
  }
  return good;
}

bool run_all(const settings& options) {
  const std::size_t bytes = sizeof(report::share) * options.jobs;
  void* const shared = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) {
    std::perror("mmap");
    return false;
  }
  auto* const shares = static_cast<report::share*>(shared);
  for (unsigned i = 0; i < options.jobs; ++i) ::new (shares + i) report::share();
  const double begin = now_seconds();
  std::vector<pid_t> children;
  std::fflush(stdout);
  for (unsigned i = 0; i < options.jobs; ++i) {
    const pid_t child = fork();
    if (child == 0) run_share(i, options, shares[i]);
    if (child < 0) std::perror("fork");
    if (child > 0) children.push_back(child);
  }
  bool good = children.size() == options.jobs && wait_for(children, options, shares, begin);
  const report::share all = report::sum(shares, options.jobs);
  good = marks::covered(all.marks, good ? all.seeds : 0, options.marks) && good;
  const bool covered = report::summary(shares, options.jobs, options.first, now_seconds() - begin, good);
  munmap(shared, bytes);
  return good && covered;
}

[[noreturn]] void usage(const char* name) {
  std::fprintf(
      stderr,
      "usage: %s [--seeds N] [--first S] [--jobs J] [--verbose] [--trace] [--check-determinism] "
      "[--keep-going] [--marks] [--ruin]\n       %s --script FILE [--trace]\n       %s --shrink SEED\n"
      "       %s --history FILE [--first S]\n",
      name, name, name, name);
  std::exit(2);
}

settings parse(int argc, char** argv) {
  settings options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const auto number = [&]() -> std::uint64_t {
      char* end = nullptr;
      if (i + 1 >= argc) usage(argv[0]);
      const std::uint64_t value = std::strtoull(argv[++i], &end, 10);
      if (end == argv[i] || *end != '\0') usage(argv[0]);
      return value;
    };
    if (name == "--seeds")
      options.seeds = number();
    else if (name == "--first")
      options.first = number();
    else if (name == "--jobs")
      options.jobs = static_cast<unsigned>(number());
    else if (name == "--shrink")
      options.shrink = true, options.first = number();
    else if (name == "--script" && i + 1 < argc)
      options.script = argv[++i];
    else if (name == "--history" && i + 1 < argc)
      options.history = argv[++i];
    else if (name == "--verbose")
      options.verbose = true;
    else if (name == "--trace")
      options.trace = true;
    else if (name == "--check-determinism")
      options.check_determinism = true;
    else if (name == "--ruin")
      ruin_all = true;
    else if (name == "--keep-going")
      options.keep_going = true;
    else if (name == "--marks")
      options.marks = true;
    else
      usage(argv[0]);
  }
  if (options.jobs == 0) options.jobs = static_cast<unsigned>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  if (options.jobs > options.seeds)
    options.jobs = static_cast<unsigned>(std::max<std::uint64_t>(1, options.seeds));
  return options;
}

}  // namespace

// Without arguments it is a test like others: first the simulation's own tests, then some seeds.
int main(int argc, char** argv) {
  if (argc == 1 && doctest::Context().run() != 0) return 1;
  const settings options = parse(argc, argv);
  if (options.shrink) return shrink_seed(options.first) ? 0 : 1;
  if (!options.history.empty()) return run_recorded(options) ? 0 : 1;
  if (!options.script.empty()) return run_script(options) ? 0 : 1;
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // whole lines of each process, whatever it is written to
  return run_all(options) ? 0 : 1;
}
