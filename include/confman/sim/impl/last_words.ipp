#pragma once

#include <sys/time.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "confman/sim/last_words.hpp"
#include "confman/sim/world.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CONFMAN_SIM_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CONFMAN_SIM_SANITIZED 1
#endif

namespace confman::sim {

namespace detail {

#if defined(CONFMAN_SIM_SANITIZED)
inline constexpr int last_signals[] = {SIGABRT, SIGFPE, SIGILL, SIGVTALRM};
inline constexpr long longest_world = 600;
#else
inline constexpr int last_signals[] = {SIGABRT, SIGFPE, SIGILL, SIGVTALRM, SIGSEGV, SIGBUS};
inline constexpr long longest_world = 60;
#endif

// SIGVTALRM follows; 0: no more.
inline void limit_processor_time(long seconds) {
  itimerval limit{};
  limit.it_value.tv_sec = seconds;
  setitimer(ITIMER_VIRTUAL, &limit, nullptr);
}

}  // namespace detail

CONFMAN_DECL last_words::last_words(std::function<std::string(std::uint64_t seed)> replay)
    : replay_(std::move(replay)) {
  CONFMAN_ASSERT(only_ == nullptr, "one at a time handles the signals of a process");
  only_ = this;
  struct sigaction action {};
  action.sa_handler = &last_words::on_signal;
  for (const int signal : detail::last_signals) {
    handler& taken = taken_.emplace_back();
    taken.signal = signal;
    sigaction(signal, &action, &taken.before);
  }
}

CONFMAN_DECL last_words::~last_words() {
  end();
  for (const handler& taken : taken_) sigaction(taken.signal, &taken.before, nullptr);
  only_ = nullptr;
}

CONFMAN_DECL void last_words::begin(std::uint64_t seed, const world& simulated) {
  seed_ = seed;
  world_ = &simulated;
  detail::limit_processor_time(detail::longest_world);
}

CONFMAN_DECL void last_words::end() {
  detail::limit_processor_time(0);
  world_ = nullptr;
}

// This runs in the thread that caused it, and the process ends here: so printing is worth its risk, which is
// that the thread was stopped in the middle of malloc or stdio and waits for itself. The seed is out by then.
CONFMAN_DECL void last_words::on_signal(int signal) {
  std::signal(SIGALRM, SIG_DFL);
  alarm(5);
  char line[64];
  const int size = std::snprintf(line, sizeof line, "\nseed %" PRIu64 ": signal %d\n", only_->seed_, signal);
  if (write(STDOUT_FILENO, line, static_cast<std::size_t>(size)) < 0) std::_Exit(1);
  const std::string late = "no end after " + std::to_string(detail::longest_world) + " s of processor time";
  const char* const why = signal == SIGVTALRM ? late.c_str() : strsignal(signal);
  const last_words& self = *only_;
  std::printf("\nFAILED seed %" PRIu64 ": %s\n", self.seed_, why);
  if (self.world_) {
    std::printf("scenario: %s\nat virtual time %.6f s, after:\n%s", self.world_->plan().describe().c_str(),
                static_cast<double>(self.world_->log().now()) * 1e-6, self.world_->log().tail().c_str());
  }
  std::printf("seed %" PRIu64 ": %s\n%s", self.seed_, why, self.replay_(self.seed_).c_str());
  std::fflush(stdout);
  std::_Exit(1);
}

}  // namespace confman::sim
