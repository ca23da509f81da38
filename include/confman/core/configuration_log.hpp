// The configurations in the log. One is effective as soon as it is appended and gone when truncated
// (thesis, 4.1).
#pragma once

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "confman/core/configuration.hpp"
#include "confman/core/shared_bytes.hpp"
#include "confman/core/snapshot_meta.hpp"
#include "confman/error.hpp"
#include "confman/mutants.hpp"

namespace confman {

// The payload of a configuration entry: format byte 1, auto_leave (u8), then for each of the four lists
// (incoming, outgoing, learners, learners_next) a count (u32) and for each member id and incarnation (u64
// each), priority (u8), bytes of the address (u16) and the address; little-endian.
[[nodiscard]] CONFMAN_DECL shared_bytes encode_configuration(const configuration& members);
// errc::bad_command when the bytes aren't a configuration; takes no memory before a length is checked.
[[nodiscard]] CONFMAN_DECL result<configuration> decode_configuration(std::string_view bytes);

// Format byte 1; term, index, chain hash, members_at (u64 each); then the configuration as above.
[[nodiscard]] CONFMAN_DECL shared_bytes encode_snapshot_meta(const snapshot_meta& meta);
// errc::snapshot_damaged when the bytes don't describe a snapshot.
[[nodiscard]] CONFMAN_DECL result<snapshot_meta> decode_snapshot_meta(std::string_view bytes);

// Invariant: sorted by place; the first one is committed, or the one that the cluster began with.
class configuration_log {
 public:
  using placed = std::pair<log_index, configuration>;

  configuration_log(log_index at, configuration initial) { history_.emplace_back(at, std::move(initial)); }

  [[nodiscard]] const configuration& effective() const noexcept { return history_.back().second; }
  [[nodiscard]] log_index effective_index() const noexcept { return history_.back().first; }

  void append(log_index at, configuration members) { history_.emplace_back(at, std::move(members)); }
  // The configuration in force at `index`, and where it stands. Precondition: not compacted beyond it.
  [[nodiscard]] const placed& at(log_index index) const noexcept {
    const auto after = std::partition_point(history_.begin(), history_.end(),
                                            [index](const placed& p) { return p.first <= index; });
    CONFMAN_ASSERT(after != history_.begin(), "the configuration at this place is forgotten");
    return *std::prev(after);
  }
  // Forgets those that were replaced at or before `index`.
  void compact_to(log_index index) {
    history_.erase(history_.begin(), history_.begin() + (&at(index) - history_.data()));
  }
  // Begins anew with a snapshot's configuration.
  void reset(log_index at, configuration members) {
    history_.clear();
    history_.emplace_back(at, std::move(members));
  }
  void truncate_from(log_index from) {
    if (CONFMAN_MUTANT(stale_configuration)) return;
    while (history_.size() > 1 && history_.back().first >= from) history_.pop_back();
  }

  // See state_visitor.hpp.
  template <class Visitor>
  void visit_state(Visitor& visit) const {
    visit(history_);
  }

 private:
  std::vector<placed> history_;  // never empty
};

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/core/impl/configuration_log.ipp"
#endif
