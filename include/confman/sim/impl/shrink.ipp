#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

#include "confman/sim/last_words.hpp"
#include "confman/sim/shrink.hpp"
#include "confman/sim/violation.hpp"

namespace confman::sim::shrink {

namespace detail {

// What a run's process tells the one that started it.
struct report_page {
  static constexpr std::size_t most = 50'000;
  int broken = verdict::lost;
  std::size_t decisions = 0;
  char what[4000] = {};
  statistics counts;
  decision list[most];
};
static_assert(std::is_trivially_copyable_v<decision>);

inline report_page* page = nullptr;
inline const world* running = nullptr;

[[noreturn]] inline void tell(int broken, const char* what) {
  if (running) {
    page->counts = running->counts();
    page->decisions = std::min(running->decisions().size(), report_page::most);
    std::copy_n(running->decisions().data(), page->decisions, page->list);
  }
  std::strncpy(page->what, what, sizeof(page->what) - 1);
  page->broken = broken;
  std::_Exit(0);
}

inline void on_signal(int signal) {
  tell(verdict::signal + signal,
       signal == SIGVTALRM ? "no end within the processor time of a run" : strsignal(signal));
}

[[noreturn]] inline void run_here(world& what, const settings& how) {
  running = &what;
  for (const int signal : {SIGABRT, SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGVTALRM})
    std::signal(signal, on_signal);
  sim::detail::limit_processor_time(how.run_seconds);
  // A thousand runs would say a thousand times what broke.
  const int nowhere = open("/dev/null", O_WRONLY);
  if (nowhere >= 0) {
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
  }
  try {
    how.run(what);
  } catch (const violation& v) {
    tell(static_cast<int>(v.which()), v.what());
  } catch (const std::exception& e) {
    tell(verdict::exception, e.what());
  }
  tell(verdict::passed, "");
}

inline double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class shrinker {
 public:
  explicit shrinker(const settings& how) : how_(how), end_(now_seconds() + how.seconds) {
    void* const shared =
        mmap(nullptr, sizeof(report_page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
      std::perror("mmap");
      std::exit(2);
    }
    page = static_cast<report_page*>(shared);
  }
  ~shrinker() { munmap(page, sizeof(report_page)); }
  shrinker(const shrinker&) = delete;
  shrinker& operator=(const shrinker&) = delete;

  outcome run(const scenario& plan) {
    out_.first = try_out([&] { return std::make_unique<world>(plan); });
    out_.small = {plan, out_.first.decisions};
    out_.last = out_.first;
    if (out_.first.broken == verdict::passed) return std::move(out_);
    out_.reproduced = accept(out_.small);
    if (!out_.reproduced) return std::move(out_);
    // A plainer scenario can do without more of the decisions, and the other way round.
    for (bool smaller = true; smaller && !late();) {
      smaller = drop_decisions();
      smaller = plainer_scenario() || smaller;
    }
    return std::move(out_);
  }

 private:
  template <class Make>
  verdict try_out(Make&& make) {
    page->broken = verdict::lost;
    page->decisions = 0;
    page->counts = {};
    std::memset(page->what, 0, sizeof(page->what));
    ++out_.runs;
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) run_here(*make(), how_);
    if (child < 0) {
      std::perror("fork");
      std::exit(2);
    }
    waitpid(child, nullptr, 0);
    return {page->broken, page->what, std::vector<decision>(page->list, page->list + page->decisions),
            page->counts};
  }

  [[nodiscard]] bool late() const { return now_seconds() > end_ || out_.runs >= how_.runs; }

  // Keeps the candidate if it breaks the same. What didn't apply in it is left out by itself.
  bool accept(const script& candidate) {
    verdict v = try_out([&] { return std::make_unique<world>(candidate.plan, candidate.decisions); });
    if (v.broken != out_.first.broken) return false;
    out_.small = {candidate.plan, v.decisions};
    out_.last = std::move(v);
    return true;
  }

  // Zeller's ddmin without its first half, which a chain of causes seldom fits into: leaves out large parts
  // first, then smaller ones, those at the end first, which change the least before the failure.
  bool drop_decisions() {
    bool any = false;
    for (std::size_t part = out_.small.decisions.size(); part != 0 && !late();) {
      bool dropped = false;
      for (std::size_t end = out_.small.decisions.size(); end != 0 && !late();) {
        const std::size_t begin = end > part ? end - part : 0;
        script candidate = out_.small;
        const auto first = candidate.decisions.begin();
        candidate.decisions.erase(first + static_cast<std::ptrdiff_t>(begin),
                                  first + static_cast<std::ptrdiff_t>(end));
        dropped = accept(candidate) || dropped;
        end = std::min(begin, out_.small.decisions.size());
      }
      any = any || dropped;
      part = std::min(part, out_.small.decisions.size());
      if (!dropped || part > 1) part /= 2;
    }
    return any;
  }

  // One field after the other gets its default, those of a size become smaller.
  bool plainer_scenario() {
    bool any = false;
    std::size_t fields = 0;
    for_each_field(out_.small.plan, [&](const char*, const auto&) { ++fields; });
    for (std::size_t i = 0; i < fields && !late(); ++i) {
      if (change_field(i, 0)) any = true;
      while (!late() && change_field(i, 1)) any = true;
    }
    return any;
  }

  bool change_field(std::size_t which, int how) {
    constexpr std::string_view sizes[] = {"nodes", "spares", "clients", "keys", "burst", "safety"};
    script candidate = out_.small;
    script usual;
    std::vector<std::uint64_t> defaults;
    for_each_field(usual.plan, [&](const char*, const auto& value) {
      defaults.push_back(static_cast<std::uint64_t>(value));
    });
    bool changed = false;
    std::size_t i = 0;
    for_each_field(candidate.plan, [&](const char* name, auto& value) {
      using type = std::remove_reference_t<decltype(value)>;
      if (i++ != which || name == std::string_view("seed")) return;
      const bool size = std::find(std::begin(sizes), std::end(sizes), name) != std::end(sizes);
      const auto now = static_cast<std::uint64_t>(value);
      std::uint64_t next = now;
      if (size && how == 1) next = name == std::string_view("safety") ? now / 2 : now - (now != 0);
      if (!size && how == 0) next = defaults[which];
      if (size && next == 0 && name != std::string_view("spares")) return;
      changed = next != now;
      value = static_cast<type>(next);
    });
    return changed && accept(candidate);
  }

  settings how_;
  double end_;
  outcome out_;
};

// What a script must reach to be kept: the trouble that came before the failure, and elections.
inline std::string reaches(const statistics& counts) {
  std::string lines;
  const auto end = static_cast<std::size_t>(counted::truncations);
  for (auto i = static_cast<std::size_t>(counted::crashes); i <= end; ++i)
    if (counts.value(i) != 0) lines += std::string("# reaches ") + statistics::name(i) + '\n';
  return lines;
}

inline std::string heading(const outcome& found, const std::string& replay) {
  std::string what = found.last.what;
  std::replace(what.begin(), what.end(), '\n', ' ');
  return "# From seed " + std::to_string(found.small.plan.seed) + ". It broke:\n# " + what +
         "\n# Run it: " + replay + '\n' + reaches(found.last.counts);
}

}  // namespace detail

CONFMAN_DECL outcome smallest(const scenario& plan, const settings& how) {
  return detail::shrinker(how).run(plan);
}

CONFMAN_DECL bool to_file(const scenario& plan, const settings& how, const std::string& path,
                          const std::string& command) {
  const double begin = detail::now_seconds();
  const outcome found = smallest(plan, how);
  if (found.first.broken == verdict::passed) {
    std::printf("seed %" PRIu64 " passes: there is nothing to shrink\n", plan.seed);
    return true;
  }
  std::printf("seed %" PRIu64 ": %s\n", plan.seed, found.first.what.c_str());
  if (!found.reproduced) {
    std::printf("its %zu decisions alone don't break the same: nothing is written\n",
                found.first.decisions.size());
    return false;
  }
  std::printf("shrunk from %zu to %zu decisions in %zu runs, %.0f s:\n%s\n", found.first.decisions.size(),
              found.small.decisions.size(), found.runs, detail::now_seconds() - begin,
              found.last.what.c_str());
  for (const decision& d : found.small.decisions) std::printf("  %s\n", to_text(d).c_str());
  const std::string replay = command + " --script " + path + " --trace";
  std::ofstream file(path);
  file << detail::heading(found, replay) << to_text(found.small) << std::flush;
  if (file)
    std::printf("replay: %s\n", replay.c_str());
  else
    std::printf("%s can't be written\n", path.c_str());
  return false;
}

}  // namespace confman::sim::shrink
