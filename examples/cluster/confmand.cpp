// A small host application with a confman map inside it, answering HTTP.
#include <pthread.h>

#include <csignal>
#include <ctime>
#include <future>
#include <iostream>
#include <mutex>
#include <string>

#include "confman/confman.hpp"
#include "confman/restore.hpp"
#include "http_api.hpp"
#include "settings.hpp"

namespace {

constexpr int exit_stopped_by_itself = 1;
constexpr int exit_bad_start = 2;

// One line on stderr, whichever thread says it.
void log_line(std::uint64_t id, const std::string& text) {
  static std::mutex mutex;
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  char time[32];
  std::strftime(time, sizeof(time), "%H:%M:%S", &parts);
  char line[64];
  std::snprintf(line, sizeof(line), "%s.%03ld node %llu: ", time, now.tv_nsec / 1'000'000,
                static_cast<unsigned long long>(id));
  const std::lock_guard lock(mutex);
  std::cerr << (line + text + "\n") << std::flush;
}

sigset_t end_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

std::string describe(const confman::node_status& s) {
  const std::string term = " (term " + std::to_string(s.term.value()) + ")";
  if (s.role == confman::role::leader) return "leads" + term;
  if (!s.leader) return "looks for a leader" + term;
  return "follows node " + std::to_string(s.leader.value()) + term;
}

// Returns at a signal to end, or when the map has ended by itself; logs who leads in between.
void supervise(const confman::config_map& map) {
  const sigset_t signals = end_signals();
  const timespec interval{0, 50'000'000};
  std::string before;
  bool was_running = false;
  for (;;) {
    const confman::node_status now = map.status();
    if (!now.running && (was_running || map.last_failure())) return;
    was_running = now.running;
    if (std::string state = describe(now); state != before) {
      log_line(now.id.value(), state);
      before = std::move(state);
    }
    if (sigtimedwait(&signals, nullptr, &interval) > 0) return;
  }
}

int fail(const confman::failure& error) {
  std::cerr << "confmand: " << error.what << "\n";
  return exit_bad_start;
}

// Makes the data directory from a backup or from what a lost cluster has left, if that is asked for.
confman::failure make_directory(const demo::settings& settings, const confman::options& options) {
  if (!settings.restore.empty()) {
    if (confman::failure error = confman::restore(settings.restore, options)) return error;
    log_line(options.self, "restored " + options.directory + " from " + settings.restore);
  }
  if (settings.recover_from.empty()) return {};
  using confman::lost_writes;
  const auto report = confman::recover_lost_majority(
      settings.recover_from, options,
      settings.may_lose_writes ? lost_writes::i_know_that_acknowledged_writes_may_be_lost
                               : lost_writes::must_not_happen);
  if (report) return {};  // what it found was an event
  if (settings.may_lose_writes) return report.error();
  return {report.error().code, report.error().what + " (here: the flag --acknowledged-writes-may-be-lost)"};
}

int run(const demo::settings& settings) {
  const std::uint64_t id = settings.map.self;
  confman::options options = settings.map;
  options.on_event = [id](const confman::failure& event) { log_line(id, event.what); };
  if (const confman::failure error = make_directory(settings, options)) return fail(error);

  confman::config_map map(options);
  demo::http_api api(map, settings);
  if (const confman::failure error = api.bind()) return fail(error);
  if (const confman::failure error = map.start()) return fail(error);
  log_line(id, "answers HTTP on " + settings.http_host + ":" + std::to_string(settings.http_port));

  std::future<void> served = std::async(std::launch::async, [&] { api.serve(); });
  supervise(map);
  log_line(id, "stops");
  const sigset_t signals = end_signals();
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);  // a second signal ends the process at once

  api.stop();
  // What was asked may still be answered; what then still waits is failed by the map.
  if (served.wait_for(std::chrono::seconds(1)) != std::future_status::ready) map.stop();
  served.get();
  map.stop();
  const confman::failure ended = map.wait();
  if (ended) log_line(id, "ended: " + ended.what);
  return ended ? exit_stopped_by_itself : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto settings = demo::parse_command_line(argc, argv);
  if (!settings) return fail(settings.error());
  if (settings->help) {
    std::cout << demo::usage();
    return 0;
  }
  // Before the first thread starts, so that all inherit it and supervise() gets the signals.
  const sigset_t signals = end_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return run(*settings);
  } catch (const std::exception& e) {
    return fail({confman::errc::bad_option, e.what()});
  }
}
