// The ordered stream of storage writes: what was handed out, and what is durable.
#pragma once

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "confman/config.hpp"
#include "confman/core/hard_state.hpp"
#include "confman/core/log_view.hpp"
#include "confman/mutants.hpp"

namespace confman {

// Term, vote, truncation and entries share one sequence, so that one acknowledgement covers all before it.
//
// Why a truncation clamps the writes in flight (asynchronous append):
//
//   write 5 hands out entries 8..10 of term 2
//                   a leader of term 3 truncates from 9 and appends another 9
//   write 5 is acknowledged: only ..8 may now count as stable, the 9 in the log is a different entry
//
// A reset does the same to all of them: what they wrote is no longer the log.
//
// Invariants:
//   1. stable <= handed <= last index of the log;
//   2. writes in flight have increasing seq, all below next_seq.
class write_window {
 public:
  write_window(log_index durable, const hard_state& state)
      : handed_(durable), stable_(durable), handed_state_(state) {}

  [[nodiscard]] log_index stable() const noexcept { return stable_; }
  // Every write up to this one is durable.
  [[nodiscard]] write_seq durable() const noexcept { return durable_; }

  // Is there anything that storage hasn't been given? A moved commit index alone is not worth a write.
  [[nodiscard]] bool dirty(const log_view& log, const hard_state& state) const noexcept {
    return release_before_ || unsaved(log, state);
  }
  // The same, of what a promise may depend on.
  [[nodiscard]] bool unsaved(const log_view& log, const hard_state& state) const noexcept {
    return reset_ || truncate_from_ || log.last_index() > handed_ ||
           (state.term != handed_state_.term && !CONFMAN_MUTANT(term_not_stored)) ||
           (state.vote != handed_state_.vote && !CONFMAN_MUTANT(vote_not_stored));
  }

  // The write after which all that holds now is durable; nothing if it already is.
  [[nodiscard]] std::optional<write_seq> barrier(const log_view& log,
                                                 const hard_state& state) const noexcept {
    if (unsaved(log, state)) return next_seq_;
    if (!in_flight_.empty() && !CONFMAN_MUTANT(flight_ignored)) return in_flight_.back().seq;
    return std::nullopt;
  }

  void truncated(log_index from) {
    if (from <= handed_ || CONFMAN_MUTANT(truncation_of_unwritten)) {
      truncate_from_ = truncate_from_ ? std::min(*truncate_from_, from) : from;
      handed_ = from - 1;
    }
    stable_ = std::min(stable_, from - 1);
    if (CONFMAN_MUTANT(truncation_unclamped)) return;
    for (write& w : in_flight_) w.last = std::min(w.last, from - 1);
  }

  // The log was replaced by a snapshot that ends at `end`. Nothing of it counts as stable before storage has
  // done the same.
  void reset(const log_place& end) {
    reset_ = log_reset{end.at, end.hash};
    if (!CONFMAN_MUTANT(reset_keeps_truncation)) truncate_from_.reset();
    release_before_.reset();
    handed_ = end.at.index;
    if (CONFMAN_MUTANT(reset_unclamped)) {
      stable_ = end.at.index;
      return;
    }
    stable_ = log_index{};
    for (write& w : in_flight_) w.last = log_index{};
  }
  // Entries before `index` are no longer needed.
  void release(log_index index) { release_before_ = index; }

  [[nodiscard]] write_batch take(const log_view& log, const hard_state& state) {
    write_batch batch;
    batch.seq = next_seq_;
    ++next_seq_;
    batch.truncate_from = truncate_from_;
    truncate_from_.reset();
    batch.reset = std::exchange(reset_, std::nullopt);
    batch.release_before = std::exchange(release_before_, std::nullopt);
    batch.entries.reserve(static_cast<std::size_t>(log.last_index() - handed_));
    for (log_index i = handed_ + 1; i <= log.last_index(); ++i) batch.entries.push_back(log.at(i));
    if (state != handed_state_) batch.state = handed_state_ = state;
    handed_ = log.last_index();
    in_flight_.push_back({batch.seq, handed_});
    return batch;
  }

  // Everything up to `seq` is durable. An acknowledgement for a write not in flight is a bug of the caller.
  void persisted(write_seq seq) {
    CONFMAN_ASSERT(!in_flight_.empty() && seq >= in_flight_.front().seq && seq < next_seq_,
                   "storage acknowledged a write that is not in flight");
    while (!in_flight_.empty() && in_flight_.front().seq <= seq) {
      stable_ = std::max(stable_, in_flight_.front().last);
      durable_ = in_flight_.front().seq;
      in_flight_.pop_front();
    }
  }

  // See state_visitor.hpp. How many writes there were before is no part of it.
  template <class Visitor>
  void visit_state(Visitor& visit) const {
    visit(handed_, stable_, handed_state_, truncate_from_, reset_, release_before_, next_seq_ - durable_,
          in_flight_.size());
    for (const write& w : in_flight_) visit(w.seq - durable_, w.last);
  }

 private:
  struct write {
    write_seq seq;
    log_index last;  // entries up to here are durable once this write is
  };

  log_index handed_;
  log_index stable_;
  hard_state handed_state_;
  std::optional<log_index> truncate_from_;
  std::optional<log_reset> reset_;
  std::optional<log_index> release_before_;
  write_seq next_seq_{1};
  write_seq durable_;
  std::deque<write> in_flight_;
};

}  // namespace confman
