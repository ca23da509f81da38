// The whole replicated state at one entry, held by reference.
#pragma once

#include <utility>
#include <vector>

#include "confman/map/log_clock.hpp"
#include "confman/map/map_view.hpp"
#include "confman/map/session_table.hpp"
#include "confman/map/upload_table.hpp"

namespace confman {

// Keys, sessions, uploads in progress and log time as they were. Costs memory only for what changes while it
// is held. Thread safety: may be used and destroyed on any thread, by one at a time.
class map_capture {
 public:
  // The last entry it contains.
  [[nodiscard]] version at() const noexcept { return keys_.at(); }
  [[nodiscard]] std::uint64_t replica_hash() const noexcept { return keys_.replica_hash(); }
  [[nodiscard]] const map_snapshot& keys() const noexcept { return keys_; }

 private:
  friend class map_state;
  friend class snapshot_encoder;
  map_capture(map_snapshot keys, detail::session_image sessions, std::vector<detail::upload_image> uploads,
              const detail::log_clock& clock)
      : keys_(std::move(keys)), sessions_(std::move(sessions)), uploads_(std::move(uploads)), clock_(clock) {}

  map_snapshot keys_;
  detail::session_image sessions_;
  std::vector<detail::upload_image> uploads_;
  detail::log_clock clock_;
};

}  // namespace confman
