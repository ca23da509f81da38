#pragma once

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <utility>

#include "confman/sim/last_words.hpp"
#include "confman/sim/seeds.hpp"
#include "confman/sim/world.hpp"

namespace confman::sim {

CONFMAN_DECL bool seed_range::take_arguments(std::vector<std::string>& arguments) {
  std::vector<std::string> left;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--trace") {
      trace = true;
    } else if (arguments[i] == "--seeds" || arguments[i] == "--first") {
      std::uint64_t& number = arguments[i] == "--seeds" ? count : first;
      char* end = nullptr;
      if (++i == arguments.size()) return false;
      number = std::strtoull(arguments[i].c_str(), &end, 10);
      if (end == arguments[i].c_str() || *end != '\0') return false;
    } else {
      left.push_back(arguments[i]);
    }
  }
  arguments = std::move(left);
  return true;
}

namespace detail {

// Runs worlds one after the other, and says what is wrong with one.
class seed_runner {
 public:
  seed_runner(const make_suite& make, const std::string& command)
      : make_(make), command_(command), words_([this](std::uint64_t seed) { return replay(seed); }) {}

  // `expected`: what the same seed did before, or null. Nothing: it failed.
  std::optional<outcome> run(std::uint64_t seed, bool echo, const outcome* expected) {
    scenario plan = scenario::draw(seed);
    application_suite suite = make_(plan);
    world simulated(plan, echo);
    words_.begin(seed, simulated);
    std::optional<outcome> end;
    try {
      simulated.host(std::move(suite));
      end = simulated.run();
      if (expected && (end->trace_hash != expected->trace_hash || end->trace_count != expected->trace_count))
        simulated.log().fail(invariant::determinism,
                             "two runs of it differ: something depends on more than the seed");
    } catch (const violation& v) {
      end.reset();
      print(simulated, seed, v.what(), v.at());
    } catch (const std::exception& e) {
      end.reset();
      print(simulated, seed, e.what(), simulated.log().now());
    }
    words_.end();
    return end;
  }

 private:
  [[nodiscard]] std::string replay(std::uint64_t seed) const {
    return "replay: " + command_ + " --seeds 1 --first " + std::to_string(seed) + " --trace\n";
  }
  void print(const world& w, std::uint64_t seed, const char* what, micros at) const {
    std::printf("\nFAILED seed %" PRIu64
                " at virtual time %.6f s: %s\nscenario: %s\nthe last that happened:\n%sseed %" PRIu64
                ": %s\n%s",
                seed, static_cast<double>(at) * 1e-6, what, w.plan().describe().c_str(),
                w.log().tail().c_str(), seed, what, replay(seed).c_str());
  }

  const make_suite& make_;
  const std::string& command_;
  last_words words_;
};

}  // namespace detail

CONFMAN_DECL bool run_seeds(const seed_range& seeds, const make_suite& make, const std::string& command) {
  detail::seed_runner runner(make, command);
  bool good = true;
  for (std::uint64_t seed = seeds.first; good && seed - seeds.first < seeds.count; ++seed) {
    const std::optional<outcome> once = runner.run(seed, seeds.trace, nullptr);
    good = once && (seed % 50 != 0 || runner.run(seed, false, &*once));
  }
  if (good) std::printf("%" PRIu64 " seeds passed\n", seeds.count);
  std::fflush(stdout);
  return good;
}

}  // namespace confman::sim
