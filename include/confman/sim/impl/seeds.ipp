#pragma once

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <utility>

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

inline outcome run_one(std::uint64_t seed, bool echo, const make_suite& make,
                       const std::function<void(const world&, const char*, micros)>& failed) {
  scenario plan = scenario::draw(seed);
  application_suite suite = make(plan);
  world simulated(plan, echo);
  simulated.host(std::move(suite));
  try {
    return simulated.run();
  } catch (const violation& v) {
    failed(simulated, v.what(), v.at());
  } catch (const std::exception& e) {
    failed(simulated, e.what(), simulated.log().now());
  }
  return {};
}

}  // namespace detail

CONFMAN_DECL bool run_seeds(const seed_range& seeds, const make_suite& make, const std::string& command) {
  std::uint64_t seed = seeds.first;
  bool good = true;
  const auto failed = [&](const world& w, const char* what, micros at) {
    good = false;
    std::printf("\nFAILED seed %" PRIu64
                " at virtual time %.6f s: %s\nscenario: %s\nthe last that happened:\n%s"
                "seed %" PRIu64 ": %s\nreplay: %s --seeds 1 --first %" PRIu64 " --trace\n",
                seed, static_cast<double>(at) * 1e-6, what, w.plan().describe().c_str(),
                w.log().tail().c_str(), seed, what, command.c_str(), seed);
  };
  for (; good && seed - seeds.first < seeds.count; ++seed) {
    const outcome once = detail::run_one(seed, seeds.trace, make, failed);
    if (!good) break;
    if (seed % 50 != 0) continue;
    const outcome again = detail::run_one(seed, false, make, failed);
    if (good && (once.trace_hash != again.trace_hash || once.trace_count != again.trace_count)) {
      good = false;
      std::printf("\nFAILED seed %" PRIu64
                  ": two runs of it differ: something depends on more than the seed\n",
                  seed);
    }
  }
  if (good) std::printf("%" PRIu64 " seeds passed\n", seeds.count);
  std::fflush(stdout);
  return good;
}

}  // namespace confman::sim
