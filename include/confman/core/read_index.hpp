// Linearizable reads without a log entry (thesis, 6.4): the leader notes its commit index, confirms by one round of
// heartbeats that it still leads, and only then answers. Many reads share a round.
#pragma once

#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "confman/core/ids.hpp"

namespace confman {

// A read index that another member asked for.
struct remote_read {
  node_id from;
  std::uint64_t context = 0;
};

// A leader's reads, grouped by the heartbeat round that will confirm them.
class read_rounds {
 public:
  struct batch {
    std::uint64_t round = 0;
    log_index index;  // the commit index when the round began
    std::vector<read_id> local;
    std::vector<remote_read> remote;
  };

  [[nodiscard]] std::uint64_t latest() const noexcept { return latest_; }
  [[nodiscard]] bool waiting() const noexcept { return !batches_.empty(); }

  std::uint64_t begin(log_index commit, std::vector<read_id> own, std::vector<remote_read> others) {
    batches_.push_back({++latest_, commit, std::move(own), std::move(others)});
    return latest_;
  }

  // Takes the batches whose round a quorum has answered.
  template <class Visitor>
  void confirmed(std::uint64_t round, Visitor&& visit) {
    while (!batches_.empty() && batches_.front().round <= round) {
      visit(batches_.front());
      batches_.pop_front();
    }
  }

  // Takes back the local reads when leadership is lost: another leader may answer them.
  [[nodiscard]] std::vector<read_id> release() {
    std::vector<read_id> all;
    for (batch& b : batches_) all.insert(all.end(), b.local.begin(), b.local.end());
    batches_.clear();
    return all;
  }

 private:
  std::uint64_t latest_ = 0;
  std::deque<batch> batches_;
};

// A follower's reads that wait for the leader's answer. A context never repeats, not even across restarts: an
// answer meant for an earlier run would carry an index that is too old.
class follower_reads {
 public:
  explicit follower_reads(std::uint64_t boot) : context_(boot << 32) {}

  [[nodiscard]] bool waiting() const noexcept { return !waiting_.empty(); }

  std::uint64_t ask(std::vector<read_id> ids) {
    waiting_.emplace(++context_, std::move(ids));
    return context_;
  }
  [[nodiscard]] std::vector<read_id> answered(std::uint64_t context) {
    const auto it = waiting_.find(context);
    if (it == waiting_.end()) return {};
    std::vector<read_id> ids = std::move(it->second);
    waiting_.erase(it);
    return ids;
  }
  [[nodiscard]] std::vector<read_id> release() {
    std::vector<read_id> all;
    for (auto& [context, ids] : waiting_) all.insert(all.end(), ids.begin(), ids.end());
    waiting_.clear();
    return all;
  }
  template <class Visitor>
  void for_each_context(Visitor&& visit) const {
    for (const auto& [context, ids] : waiting_) visit(context);
  }
  [[nodiscard]] std::size_t size() const noexcept {
    std::size_t n = 0;
    for (const auto& [context, ids] : waiting_) n += ids.size();
    return n;
  }

 private:
  std::uint64_t context_;
  std::map<std::uint64_t, std::vector<read_id>> waiting_;
};

}  // namespace confman
