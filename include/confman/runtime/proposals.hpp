// Proposals that wait for their entry to be applied.
#pragma once

#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "confman/mutants.hpp"
#include "confman/runtime/operation.hpp"

namespace confman {

// Whom to tell: an operation of this process, or the member that forwarded the write.
struct proposal {
  version at;
  write_operation* local = nullptr;
  node_id remote;
  std::uint64_t request = 0;
};

// A proposal is decided when the index it was given is applied: by an entry of its term it is done, by an
// entry of another term it is void for ever, since an entry is named by index and term alone. It is void as
// well once any entry of a later term is applied at a lower index: terms never fall along a log (paper, 5.3),
// so none of its term can follow. Until then, and whatever happens to the leader, its outcome is open.
class proposals {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return current_.size() + older_.size(); }

  // Precondition: proposals of one term arrive in order of index.
  void add(const proposal& p) {
    if (!current_.empty() && current_.back().at.term != p.at.term) retire();
    current_.push_back(p);
  }

  // Calls decided(proposal, applied) for every proposal that the entry at `place` decides.
  template <class Decided>
  void applied(version place, Decided&& decided) {
    take_up_to(place.index, [&](const proposal& p) {
      decided(p, p.at == place || (CONFMAN_MUTANT(ack_other_entry) && p.at.index == place.index));
    });
    if (place.term <= term_) return;
    term_ = place.term;
    for (const proposal& p : take_if([&](const proposal& q) { return q.at.term < place.term; }))
      decided(p, false);
  }

  // The state jumped to `index`: calls lost(proposal) for what was to be decided up to there.
  template <class Lost>
  void jumped(log_index index, Lost&& lost) {
    take_up_to(index, lost);
  }

  // Removes and returns what `pick(proposal)` chooses.
  template <class Pick>
  [[nodiscard]] std::vector<proposal> take_if(Pick&& pick) {
    std::vector<proposal> taken;
    for (proposal& p : current_) {
      if (!pick(p)) continue;
      taken.push_back(p);
      p.local = nullptr;  // its place stays, so that the order of the others does
      p.remote = node_id{};
    }
    while (!current_.empty() && vacant(current_.front())) current_.pop_front();
    for (auto it = older_.begin(); it != older_.end();) {
      if (!pick(it->second)) {
        ++it;
        continue;
      }
      taken.push_back(it->second);
      it = older_.erase(it);
    }
    return taken;
  }

  [[nodiscard]] static bool vacant(const proposal& p) noexcept { return !p.local && !p.remote; }

 private:
  template <class Take>
  void take_up_to(log_index index, Take&& take) {
    while (!current_.empty() && current_.front().at.index <= index) {
      const proposal p = current_.front();
      current_.pop_front();
      take(p);
    }
    while (!older_.empty() && older_.begin()->first <= index) {
      const proposal p = older_.begin()->second;
      older_.erase(older_.begin());
      take(p);
    }
  }

  // This node led before, in an older term: those indices may be given again.
  void retire() {
    for (const proposal& p : current_)
      if (!vacant(p)) older_.emplace(p.at.index, p);
    current_.clear();
  }

  std::deque<proposal> current_;
  std::multimap<log_index, proposal> older_;
  term_t term_;  // of the last entry that was applied
};

}  // namespace confman
