// One watch as server-sent events: the map's executor fills it, a worker of the HTTP server writes it out.
#pragma once

#include <httplib.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "confman/confman.hpp"

namespace demo {

// Each change is an event: `id` is its revision, `event` put or erase, `data` a JSON object. An `error` event
// is the last; its data is a problem object and `through`, from where a new watch may go on after reading the
// prefix. A comment line every few seconds shows that the connection lives.
//
// What one client hasn't read yet is bounded: a client that is too slow gets what was kept and then
// watch_lagged.
class watch_stream : public std::enable_shared_from_this<watch_stream> {
 public:
  struct limits {
    std::size_t max_changes = 1 << 14;
    std::size_t max_bytes = 16 << 20;
  };

  explicit watch_stream(limits l) : limits_(l) {}

  // Changes after the revision `after`.
  void begin(confman::config_map& map, std::string prefix, std::uint64_t after);
  // Ends with an error event that says the node is shutting down.
  void close();

  // Writes what there is, or waits a moment. False: the client is gone or the stream has ended.
  bool write_some(httplib::DataSink& sink);

 private:
  using clock = std::chrono::steady_clock;

  struct waiting {
    confman::change change;
    std::string text;  // instead, if not empty
    std::size_t cost = 0;
  };

  void offer(const confman::change_batch& batch);
  void end_with(confman::failure why, std::uint64_t through);
  std::string take_text();

  const limits limits_;
  std::string opening_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<waiting> queue_;
  std::size_t queued_bytes_ = 0;
  std::uint64_t through_ = 0;  // nothing is missing up to here in what was queued
  confman::failure ended_;
  clock::time_point last_write_ = clock::now();
  confman::watch_handle watch_;  // last: ends before the rest goes
};

}  // namespace demo
