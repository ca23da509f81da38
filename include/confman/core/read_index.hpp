// Linearizable reads without a log entry (thesis, 6.4): the leader notes its commit index, confirms by one
// round of heartbeats that it still leads, and only then answers. Many reads share a round.
#pragma once

#include <deque>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "confman/core/ids.hpp"
#include "confman/mutants.hpp"

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
  // The reads that wait for a round, local and remote.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  std::uint64_t begin(log_index commit, std::vector<read_id> own, std::vector<remote_read> others) {
    size_ += own.size() + others.size();
    batches_.push_back({++latest_, commit, std::move(own), std::move(others)});
    return latest_;
  }

  // Takes the batches whose round a quorum has answered.
  template <class Visitor>
  void confirmed(std::uint64_t round, Visitor&& visit) {
    while (!batches_.empty() && batches_.front().round <= round) {
      size_ -= batches_.front().local.size() + batches_.front().remote.size();
      visit(batches_.front());
      batches_.pop_front();
    }
  }

  // Nobody waits any more for the local reads that `gone(id)` names.
  template <class Gone>
  void forget(Gone&& gone) {
    for (batch& b : batches_) size_ -= std::erase_if(b.local, gone);
  }

  // Takes back the local reads when leadership is lost: another leader may answer them.
  [[nodiscard]] std::vector<read_id> release() {
    std::vector<read_id> all;
    for (batch& b : batches_) all.insert(all.end(), b.local.begin(), b.local.end());
    batches_.clear();
    size_ = 0;
    return all;
  }

  // See state_visitor.hpp.
  template <class Visitor>
  void visit_state(Visitor& visit) const {
    visit(latest_, size_, batches_.size());
    for (const batch& b : batches_) {
      visit(b.round, b.index, b.local, b.remote.size());
      for (const remote_read& r : b.remote) visit(r.from, r.context);
    }
  }

 private:
  std::uint64_t latest_ = 0;
  std::size_t size_ = 0;
  std::deque<batch> batches_;
};

// Where the numbers of a process's requests begin, so that they never repeat: neither those of an earlier
// start of this data directory, nor those of another directory that spoke for the same id and counted its
// starts from 1, too (but for one chance in about 2^30).
[[nodiscard]] constexpr std::uint64_t first_request(std::uint64_t boot, incarnation_id incarnation) noexcept {
  constexpr std::uint64_t upper = 0x3FFFFFFF00000000u;
  return (((incarnation.value() * 0x9E3779B97F4A7C15u) >> 2) & upper) + (boot << 32);
}

// A follower's reads that wait for the leader's answer. A context never repeats, not even across restarts: an
// answer meant for an earlier run would carry an index that is too old.
class follower_reads {
 public:
  explicit follower_reads(std::uint64_t boot, incarnation_id incarnation = {})
      : context_(CONFMAN_MUTANT(read_context_repeats) ? 0 : first_request(boot, incarnation)) {}

  [[nodiscard]] bool waiting() const noexcept { return !waiting_.empty(); }

  // The reads that wait, and the last question asked for them.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t latest() const noexcept { return context_; }

  std::uint64_t ask(std::vector<read_id> ids) {
    size_ += ids.size();
    waiting_.emplace(++context_, std::move(ids));
    return context_;
  }
  // The reads that an answer to `context` answers: its own, and those asked before, since the index was taken
  // later.
  [[nodiscard]] std::vector<read_id> answered(std::uint64_t context) {
    if (CONFMAN_MUTANT(read_any_context)) return take_until(waiting_.end());
    const auto it = waiting_.find(context);
    return it == waiting_.end() ? std::vector<read_id>{} : take_until(std::next(it));
  }
  [[nodiscard]] std::vector<read_id> release() { return take_until(waiting_.end()); }
  // Nobody waits any more for the reads that `gone(id)` names; a question without any left is not asked
  // again.
  template <class Gone>
  void forget(Gone&& gone) {
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      size_ -= std::erase_if(it->second, gone);
      it = it->second.empty() ? waiting_.erase(it) : std::next(it);
    }
  }

  // See state_visitor.hpp.
  template <class Visitor>
  void visit_state(Visitor& visit) const {
    visit(context_, size_, waiting_);
  }

 private:
  using questions = std::map<std::uint64_t, std::vector<read_id>>;

  std::vector<read_id> take_until(questions::iterator end) {
    std::vector<read_id> all;
    for (auto it = waiting_.begin(); it != end; ++it)
      all.insert(all.end(), it->second.begin(), it->second.end());
    waiting_.erase(waiting_.begin(), end);
    size_ -= all.size();
    return all;
  }

  std::uint64_t context_;
  std::size_t size_ = 0;
  questions waiting_;
};

}  // namespace confman
