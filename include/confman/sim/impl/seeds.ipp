#pragma once

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <utility>

#include "confman/sim/last_words.hpp"
#include "confman/sim/script.hpp"
#include "confman/sim/seeds.hpp"
#include "confman/sim/shrink.hpp"
#include "confman/sim/world.hpp"

namespace confman::sim {

CONFMAN_DECL bool seed_range::take_arguments(std::vector<std::string>& arguments) {
  std::vector<std::string> left;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& name = arguments[i];
    if (name == "--trace") {
      trace = true;
    } else if (name == "--script") {
      if (++i == arguments.size()) return false;
      script = arguments[i];
    } else if (name == "--seeds" || name == "--first" || name == "--shrink") {
      std::uint64_t& number = name == "--seeds" ? count : first;
      shrink = shrink || name == "--shrink";
      char* end = nullptr;
      if (++i == arguments.size()) return false;
      number = std::strtoull(arguments[i].c_str(), &end, 10);
      if (end == arguments[i].c_str() || *end != '\0') return false;
    } else {
      left.push_back(name);
    }
  }
  arguments = std::move(left);
  return true;
}

namespace detail {

// Runs worlds one after the other, and says what is wrong with one.
class world_runner {
 public:
  // `replay`: the lines that show a seed again.
  explicit world_runner(std::function<std::string(std::uint64_t seed)> replay)
      : replay_(std::move(replay)), words_(replay_) {}

  // `expected`: what the same seed did before, or null. Nothing: it failed.
  std::optional<outcome> run(world& simulated, application_suite suite, const outcome* expected) {
    words_.begin(simulated.plan().seed, simulated);
    std::optional<outcome> end;
    try {
      simulated.host(std::move(suite));
      end = simulated.run();
      if (expected && (end->trace_hash != expected->trace_hash || end->trace_count != expected->trace_count))
        simulated.log().fail(invariant::determinism,
                             "two runs of it differ: something depends on more than the seed");
    } catch (const violation& v) {
      end.reset();
      print(simulated, v.what(), v.at());
    } catch (const std::exception& e) {
      end.reset();
      print(simulated, e.what(), simulated.log().now());
    }
    words_.end();
    return end;
  }

 private:
  void print(const world& w, const char* what, micros at) const {
    const std::uint64_t seed = w.plan().seed;
    std::printf("\nFAILED seed %" PRIu64
                " at virtual time %.6f s: %s\nscenario: %s\nthe last that happened:\n%sseed %" PRIu64
                ": %s\n%s",
                seed, static_cast<double>(at) * 1e-6, what, w.plan().describe().c_str(),
                w.log().tail().c_str(), seed, what, replay_(seed).c_str());
  }

  std::function<std::string(std::uint64_t seed)> replay_;
  last_words words_;
};

inline std::optional<outcome> run_seed(world_runner& runner, std::uint64_t seed, bool echo,
                                       const make_suite& make, const outcome* expected) {
  scenario plan = scenario::draw(seed);
  application_suite suite = make(plan);
  world simulated(plan, echo);
  return runner.run(simulated, std::move(suite), expected);
}

inline bool shrink_seed(std::uint64_t seed, const make_suite& make, const std::string& command) {
  scenario plan = scenario::draw(seed);
  (void)make(plan);
  shrink::settings how;
  how.run = [&make](world& w) {
    scenario unused = w.plan();
    w.host(make(unused));
    w.run();
  };
  return shrink::to_file(plan, how, "failure-" + std::to_string(seed) + ".txt", command);
}

inline bool run_script(const seed_range& what, const make_suite& make, const std::string& command) {
  const result<script> read = read_script_file(what.script);
  if (!read) {
    std::printf("%s\n", read.error().what.c_str());
    return false;
  }
  world_runner runner(
      [&](std::uint64_t) { return "replay: " + command + " --script " + what.script + " --trace\n"; });
  scenario unused = read->plan;
  application_suite suite = make(unused);
  world simulated(read->plan, read->decisions, what.trace);
  if (!runner.run(simulated, std::move(suite), nullptr)) return false;
  std::printf("passed: %zu of %zu decisions\n", simulated.decisions().size(), read->decisions.size());
  return true;
}

}  // namespace detail

CONFMAN_DECL bool run_seeds(const seed_range& seeds, const make_suite& make, const std::string& command) {
  if (seeds.shrink) return detail::shrink_seed(seeds.first, make, command);
  if (!seeds.script.empty()) return detail::run_script(seeds, make, command);
  detail::world_runner runner([&command](std::uint64_t seed) {
    const std::string number = std::to_string(seed);
    return "replay: " + command + " --seeds 1 --first " + number + " --trace\nshrink: " + command +
           " --shrink " + number + "\n";
  });
  bool good = true;
  for (std::uint64_t seed = seeds.first; good && seed - seeds.first < seeds.count; ++seed) {
    const auto once = detail::run_seed(runner, seed, seeds.trace, make, nullptr);
    good = once && (seed % 50 != 0 || detail::run_seed(runner, seed, false, make, &*once));
  }
  if (good) std::printf("%" PRIu64 " seeds passed\n", seeds.count);
  std::fflush(stdout);
  return good;
}

}  // namespace confman::sim
