// Sessions as they should be, by the rules alone: how long each lives, and which writes it still takes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>

#include "confman/map/limits.hpp"

namespace confman::sim {

// The map keeps tables that are fast, small and part of its snapshots; this keeps two maps. It is fed with
// the commands in the order of the log.
class session_model {
 public:
  // At most `limit` sessions at once.
  explicit session_model(std::size_t limit = max_sessions) : limit_(limit) {}

  // A command of this author, with its time stamp in microseconds: log time goes on as far as the author's
  // clock did, but by ten seconds at most, and no further than it has already gone by others'. A clock that
  // went back by more than an hour begins anew.
  void pass(std::uint64_t author, std::int64_t stamp) {
    constexpr std::int64_t most = 10'000'000, too_far_back = 3'600'000'000;
    const auto [clock, added] = offsets_.try_emplace(author, now_ - stamp);
    const std::int64_t ahead = stamp + clock->second - now_;
    now_ += std::clamp<std::int64_t>(ahead, 0, most);
    if (ahead > most || ahead < -too_far_back) clock->second = now_ - stamp;
  }
  // Log time, in microseconds.
  [[nodiscard]] std::int64_t now() const noexcept { return now_; }
  // Returns how many others had to go: those that were used longest ago. Whose time is over counts no more:
  // the map closes a few of these with each entry, which are all as long as the limit is small.
  std::size_t open(std::uint64_t id, std::uint64_t time_to_live_ms) {
    std::erase_if(sessions_,
                  [this](const auto& s) { return now_ > s.second.used_at + s.second.time_to_live; });
    std::size_t gone = 0;
    const auto before = [](const auto& a, const auto& b) { return a.second.use < b.second.use; };
    for (; sessions_.size() >= limit_; ++gone)
      sessions_.erase(std::min_element(sessions_.begin(), sessions_.end(), before));
    sessions_[id] = {static_cast<std::int64_t>(time_to_live_ms) * 1000, now_, ++uses_, 0, {}};
    return gone;
  }
  // A write of a session whose client has the answers to all before `acknowledged`.
  enum class verdict : std::uint8_t {
    taken,    // it happens; remember() follows, if its answer is to be kept
    again,    // it gets the answer that is kept
    expired,  // it must be answered with session_expired
    full,     // ... with busy: too many answers are kept
  };
  [[nodiscard]] verdict use(std::uint64_t id, std::uint64_t sequence, std::uint64_t acknowledged) {
    if (!keep_alive(id, acknowledged)) return verdict::expired;
    session& s = sessions_.at(id);
    if (sequence < s.acknowledged) return verdict::expired;
    if (s.kept.contains(sequence)) return verdict::again;
    return s.kept.size() < max_kept_answers ? verdict::taken : verdict::full;
  }
  // False: it has expired, or was closed.
  [[nodiscard]] bool keep_alive(std::uint64_t id, std::uint64_t acknowledged) {
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) return false;
    session& s = found->second;
    if (now_ > s.used_at + s.time_to_live) {
      sessions_.erase(found);
      return false;
    }
    s.used_at = now_;
    s.use = ++uses_;
    s.acknowledged = std::max(s.acknowledged, acknowledged);
    s.kept.erase(s.kept.begin(), s.kept.lower_bound(s.acknowledged));
    return true;
  }
  [[nodiscard]] bool close(std::uint64_t id) { return keep_alive(id, 0) && sessions_.erase(id) != 0; }
  void remember(std::uint64_t id, std::uint64_t sequence) { sessions_.at(id).kept.insert(sequence); }

 private:
  struct session {
    std::int64_t time_to_live;
    std::int64_t used_at;
    std::uint64_t use;  // in the order of all uses
    std::uint64_t acknowledged;
    std::set<std::uint64_t> kept;
  };

  std::size_t limit_;
  std::int64_t now_ = 0;
  std::uint64_t uses_ = 0;
  std::map<std::uint64_t, std::int64_t> offsets_;  // log time = an author's time stamp + this
  std::map<std::uint64_t, session> sessions_;
};

}  // namespace confman::sim
