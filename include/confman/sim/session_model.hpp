// Which sessions there are at each place of the log, by rules that are much simpler than the map's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>

#include "confman/map/command.hpp"
#include "confman/map/log_clock.hpp"

namespace confman::sim {

// Replays the clients' commands in the order of the log. Log time: each author's stamps, moved so that they
// begin at the log's time, push it forward, by max_step at most. A session is alive as long as log time has
// not passed its last use by more than its time to live. Precondition: fewer authors than the log's clock
// keeps apart, and stamps that never go back by an hour.
class session_model {
 public:
  // Every command comes first through here.
  void advance(const command_view& command) {
    const std::uint64_t author = command.author.value();
    const auto [it, first] = offsets_.emplace(author, now_ - command.timestamp);
    const std::int64_t ahead = command.timestamp + it->second - now_;
    if (ahead <= 0) return;
    now_ += std::min(ahead, confman::detail::log_clock::max_step);
    if (ahead > confman::detail::log_clock::max_step) it->second = now_ - command.timestamp;
  }
  void open(std::uint64_t id, std::uint64_t time_to_live_ms) {
    sessions_[id] = {now_, static_cast<std::int64_t>(time_to_live_ms) * 1000, 0};
  }
  // A write of a session; false: it must be answered session_expired.
  [[nodiscard]] bool use(const command_view& write) {
    const auto it = sessions_.find(write.session);
    if (it == sessions_.end()) return false;
    session& s = it->second;
    if (now_ > s.used_at + s.time_to_live) {
      sessions_.erase(it);
      return false;
    }
    s.used_at = now_;
    s.acknowledged = std::max(s.acknowledged, write.acknowledged);
    return write.sequence >= s.acknowledged;
  }

 private:
  struct session {
    std::int64_t used_at = 0;
    std::int64_t time_to_live = 0;
    std::uint64_t acknowledged = 0;  // a write below can only be a late duplicate
  };

  std::int64_t now_ = 0;
  std::map<std::uint64_t, std::int64_t> offsets_;  // by author
  std::map<std::uint64_t, session> sessions_;      // by id
};

}  // namespace confman::sim
