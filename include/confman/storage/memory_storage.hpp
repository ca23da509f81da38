// Storage that keeps everything in memory: for tests and benchmarks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "confman/storage/concepts.hpp"

namespace confman {

// NOT DURABLE: what it holds is gone with the object. Same interface as log<FileSystem>; one thread at a
// time.
class memory_storage {
 public:
  // Applies the batch in memory. Fails with errc::storage_failed when it doesn't continue the log.
  [[nodiscard]] failure append(const write_batch& batch) {
    if (batch.reset) {
      entries_.clear();
      base_ = *batch.reset;
    }
    if (batch.truncate_from) {
      const log_index from = *batch.truncate_from;
      if (from <= base_.at.index || from > next()) return misplaced("a truncation", from);
      entries_.resize(from - (base_.at.index + 1));
    }
    for (const entry& e : batch.entries) {
      if (e.index != next()) return misplaced("an entry", e.index);
      entries_.push_back(e);
    }
    if (batch.state) state_ = *batch.state;
    if (batch.release_before) release(*batch.release_before);
    return {};
  }

  // Does nothing, successfully.
  [[nodiscard]] failure sync() noexcept { return {}; }

  // As log<FileSystem>::read(). Errors: compacted.
  [[nodiscard]] result<std::vector<entry>> read(log_index from, log_index last, std::size_t max_bytes) {
    if (from <= base_.at.index)
      return failure(errc::compacted, "memory storage: entry " + std::to_string(from.value()) +
                                          " was released; the oldest kept is " +
                                          std::to_string(base_.at.index.value() + 1));
    std::vector<entry> found;
    for (log_index i = from; i <= last && i < next(); ++i) {
      const entry& e = entries_[i - (base_.at.index + 1)];
      if (!found.empty() && cost(e) > max_bytes) break;
      max_bytes -= std::min(max_bytes, cost(e));
      found.push_back(e);
    }
    return found;
  }

  // What a restart of the same object would find. `boot` counts the calls.
  [[nodiscard]] recovered_log recover(cluster_id cluster, incarnation_id incarnation) {
    recovered_log found;
    found.state = state_;
    found.entries = entries_;
    found.boot = ++boot_;
    found.incarnation = incarnation;
    found.cluster = cluster;
    found.base = base_.at;
    found.base_hash = base_.hash;
    return found;
  }

 private:
  [[nodiscard]] log_index next() const noexcept { return base_.at.index + entries_.size() + 1; }

  void release(log_index before) {
    const auto keep = std::find_if(entries_.begin(), entries_.end(),
                                   [before](const entry& e) { return e.index >= before; });
    if (keep == entries_.begin()) return;
    const entry& last = *(keep - 1);
    base_ = {{last.term, last.index}, last.hash};
    entries_.erase(entries_.begin(), keep);
  }

  [[nodiscard]] failure misplaced(const char* what, log_index index) const {
    return {errc::storage_failed, std::string("memory storage: ") + what + " at index " +
                                      std::to_string(index.value()) +
                                      " does not continue a log that ends at " +
                                      std::to_string(next().value() - 1) + "; this is a bug in the caller"};
  }

  hard_state state_;
  log_reset base_;  // just before the first entry
  std::vector<entry> entries_;
  std::uint64_t boot_ = 0;
};

static_assert(storage<memory_storage>);

}  // namespace confman
