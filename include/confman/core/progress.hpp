// What a leader knows about one follower (paper, figure 2: nextIndex, matchIndex).
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "confman/core/log_view.hpp"
#include "confman/mutants.hpp"

namespace confman {

// The appends that are on their way to one follower, bounded in number and bytes (thesis, 10.2.1:
// pipelining).
class replication_window {
 public:
  [[nodiscard]] std::size_t count() const noexcept { return sent_.size(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

  void sent(log_index last, std::size_t bytes) {
    sent_.push_back({last, bytes});
    bytes_ += bytes;
  }
  void acknowledged(log_index match) noexcept {
    while (!sent_.empty() && sent_.front().last <= match) {
      if (!CONFMAN_MUTANT(window_bytes_kept)) bytes_ -= sent_.front().bytes;
      sent_.pop_front();
    }
  }
  void clear() noexcept {
    sent_.clear();
    bytes_ = 0;
  }

  // See state_visitor.hpp.
  template <class Visitor>
  void visit_state(Visitor& visit) const {
    visit(sent_.size(), bytes_);
    for (const append& a : sent_) visit(a.last, a.bytes);
  }

 private:
  struct append {
    log_index last;
    std::size_t bytes;
  };
  std::deque<append> sent_;
  std::size_t bytes_ = 0;
};

enum class progress_state : std::uint8_t {
  probe,      // where the logs agree is not known: one append at a time
  replicate,  // known: appends are pipelined, next runs ahead of match
  snapshot,   // needs what is before the log: nothing is appended until it holds the snapshot
};

// Invariant: match < next.
struct progress {
  node_id id;
  incarnation_id incarnation;  // which data directory this progress speaks of
  log_index match;
  log_index next{1};
  progress_state state = progress_state::probe;
  replication_window window;
  bool probe_sent = false;  // probe: wait for an answer or the next heartbeat's
  bool verify = false;      // replicate: no news since the last heartbeat, something may be lost
  log_index match_at_heartbeat;
  log_index told_commit;    // the highest commit index this follower has been told
  std::uint64_t round = 0;  // the highest read-index round it answered
  bool recently_active = false;
  bool was_active = false;     // in the check-quorum period before this one
  incarnation_id answered_by;  // not bound yet: the data directory whose acknowledgements `match` speaks of
  // Entries that only the disk has are being read for this follower, from here on: one read at a time.
  std::optional<log_index> fetching;
  // The place before `next`, if it was learned from the disk.
  std::optional<log_place> before;
  std::uint32_t silent_ticks = 0;  // since it was last asked, without news
  bool votes = false;              // in the configuration in force

  void become_probe(log_index from) noexcept {
    state = progress_state::probe;
    next = from > match ? from : match + 1;
    forget_sent();
  }
  void become_replicate() noexcept {
    state = progress_state::replicate;
    next = match + 1;
    forget_sent();
  }
  void become_snapshot() noexcept {
    state = progress_state::snapshot;
    forget_sent();
  }

  // See state_visitor.hpp.
  template <class Visitor>
  void visit_state(Visitor& visit) const {
    visit(id, incarnation, match, next, state, window, probe_sent, verify, match_at_heartbeat, told_commit,
          round, recently_active, was_active, answered_by, fetching, before, silent_ticks, votes);
  }

 private:
  void forget_sent() noexcept {
    probe_sent = false;
    verify = false;
    if (!CONFMAN_MUTANT(window_kept)) window.clear();
    fetching.reset();
    silent_ticks = 0;
  }
};

}  // namespace confman
