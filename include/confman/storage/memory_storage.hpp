// Storage that keeps everything in memory: for tests and benchmarks.
#pragma once

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
    if (batch.truncate_from) {
      const std::uint64_t from = batch.truncate_from->value();
      if (from == 0 || from > entries_.size() + 1) return misplaced("a truncation", from);
      entries_.resize(from - 1);
    }
    for (const entry& e : batch.entries) {
      if (e.index.value() != entries_.size() + 1) return misplaced("an entry", e.index.value());
      entries_.push_back(e);
    }
    if (batch.state) state_ = *batch.state;
    return {};
  }

  // Does nothing, successfully.
  [[nodiscard]] failure sync() noexcept { return {}; }

  // What a restart of the same object would find. `boot` counts the calls.
  [[nodiscard]] recovered_log recover(cluster_id cluster, incarnation_id incarnation) {
    recovered_log found;
    found.state = state_;
    found.entries = entries_;
    found.boot = ++boot_;
    found.incarnation = incarnation;
    found.cluster = cluster;
    return found;
  }

 private:
  [[nodiscard]] failure misplaced(const char* what, std::uint64_t index) const {
    return {errc::storage_failed, std::string("memory storage: ") + what + " at index " +
                                      std::to_string(index) + " does not continue a log of " +
                                      std::to_string(entries_.size()) +
                                      " entries; this is a bug in the caller"};
  }

  hard_state state_;
  std::vector<entry> entries_;
  std::uint64_t boot_ = 0;
};

static_assert(storage<memory_storage>);

}  // namespace confman
