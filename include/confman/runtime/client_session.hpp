// What a client remembers of its session: which numbers it has given, and which answers it still waits for.
#pragma once

#include <cstdint>
#include <mutex>
#include <set>

namespace confman {

// Makes a write happen once, however often it is sent (thesis, 6.3): the cluster remembers the answer to each
// sequence number of a session until it is acknowledged. A write that is sent again must be the same, with
// the same numbers.
struct once {
  std::uint64_t session = 0;   // from async_open_session()
  std::uint64_t sequence = 0;  // from 1; one per write of the session, never used for another
  std::uint64_t acknowledged =
      0;  // the answers to all sequences below this one have arrived; at most `sequence`
};

// Numbers the writes of one session.
//
//   client_session session(id);                  // id from async_open_session()
//   const once token = session.begin();
//   map.async_put(key, value, token, ...);       // again with the same token while the outcome is unknown
//   session.end(token);                          // the outcome is known
//
// At most 1,024 writes may be without end(); the cluster refuses more as busy. Thread safety: all functions
// may be called from any thread.
class client_session {
 public:
  explicit client_session(std::uint64_t id) : id_(id) {}

  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }

  [[nodiscard]] once begin() {
    const std::lock_guard lock(mutex_);
    open_.insert(++last_);
    return {id_, last_, *open_.begin()};
  }
  void end(const once& write) {
    const std::lock_guard lock(mutex_);
    open_.erase(write.sequence);
  }

 private:
  const std::uint64_t id_;
  std::mutex mutex_;
  std::uint64_t last_ = 0;
  std::set<std::uint64_t> open_;
};

}  // namespace confman
