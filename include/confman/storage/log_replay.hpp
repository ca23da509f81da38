// Recovery without I/O: turns the bytes of segments into a log, or into the reason why not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/error.hpp"
#include "confman/mutants.hpp"
#include "confman/storage/frame_index.hpp"
#include "confman/storage/log_format.hpp"

namespace confman {

// Replays segments in order. How it tells damage from a torn tail: a batch is written only after the one
// before was synced, or together with it before one sync; each frame, each segment header and the identity
// file say up to which frame everything had been synced when they were written. An unreadable frame that
// something later vouches for was acknowledged: damage. One that nothing vouches for belongs to the last,
// unfinished sync: a torn tail, to be cut. Never trusts its input: any bytes end in a log, a cut or a failure
// (errc::log_damaged, errc::format_unsupported).
class log_replay {
 public:
  // How a segment ended.
  struct ending {
    std::uint64_t offset = log_format::segment_header_bytes;  // end of the last good frame
    std::uint64_t unproven =
        log_format::segment_header_bytes;  // from here to `offset` nothing vouches for the frames
    std::uint64_t last_frame = 0;          // offset of the last good frame, 0 when there is none
    bool sealed = false;                   // the log goes on in the next segment
    bool seal_missing =
        false;  // all but the seal is there, though a next segment exists: an unfinished change
    bool stale_bytes = false;  // not everything after `offset` is zero
  };

  CONFMAN_DECL log_replay(const log_format::identity& who, const log_format::segment_header& first);

  // Replays one segment. `bytes` is the file up to the header's capacity; `next` the header of the following
  // segment or null if this is the last one.
  [[nodiscard]] CONFMAN_DECL failure segment(const std::string& path, std::string_view bytes,
                                             const log_format::segment_header& header,
                                             const log_format::segment_header* next);

  // The first place at or after `from` with a frame that proves that `frame` was synced.
  [[nodiscard]] CONFMAN_DECL static std::optional<std::uint64_t> find_proof(
      std::string_view bytes, const log_format::segment_header& header, std::uint64_t from,
      std::uint64_t frame);

  [[nodiscard]] const ending& end() const noexcept { return end_; }
  [[nodiscard]] std::uint64_t last_frame() const noexcept { return expected_ - 1; }
  [[nodiscard]] std::uint32_t link() const noexcept {
    return link_;
  }  // what the next frame's `previous` must be
  [[nodiscard]] const hard_state& state() const noexcept { return state_; }
  [[nodiscard]] const log_format::anchor& start() const noexcept {
    return start_;
  }  // just before the first entry
  [[nodiscard]] std::vector<entry>& entries() noexcept { return entries_; }
  // For each segment, the lowest index that a truncation in it begins at; the largest number when there is
  // none.
  [[nodiscard]] const std::vector<log_index>& lowest_truncations() const noexcept {
    return lowest_truncations_;
  }

  // Where frames with entries are, in all segments.
  [[nodiscard]] frame_index& places() noexcept { return places_; }
  // The last segment that begins with a reset, counted from 0; nothing if there is none. Those before it
  // don't count any more.
  [[nodiscard]] std::optional<std::size_t> reset_in() const noexcept { return reset_in_; }

  // The failure for damage at `offset` of `path`.
  [[nodiscard]] CONFMAN_DECL static failure damage(const std::string& path, std::uint64_t offset,
                                                   const std::string& why);

 private:
  [[nodiscard]] CONFMAN_DECL failure begin(const std::string& path, std::string_view bytes,
                                           const log_format::segment_header& header);
  [[nodiscard]] CONFMAN_DECL bool frame_at(std::string_view bytes, std::uint64_t offset,
                                           const log_format::place& where, log_format::frame_header& frame,
                                           std::string& why) const;
  [[nodiscard]] CONFMAN_DECL failure records(const std::string& path, std::string_view body,
                                             std::uint64_t offset, std::uint32_t count);
  [[nodiscard]] CONFMAN_DECL failure record(const std::string& path, std::uint64_t offset, std::uint8_t kind,
                                            std::uint8_t sub, std::string_view content);
  [[nodiscard]] CONFMAN_DECL failure entry_record(const std::string& path, std::uint64_t offset,
                                                  std::uint8_t type, std::string_view content);
  [[nodiscard]] CONFMAN_DECL failure truncate(const std::string& path, std::uint64_t offset, log_index from);
  [[nodiscard]] CONFMAN_DECL failure reset(const std::string& path, std::uint64_t offset,
                                           const log_format::anchor& at);
  [[nodiscard]] CONFMAN_DECL failure stopped(const std::string& path, std::string_view bytes,
                                             const log_format::segment_header& header,
                                             const log_format::segment_header* next, const std::string& why);
  [[nodiscard]] CONFMAN_DECL failure continues(const std::string& path,
                                               const log_format::segment_header& next,
                                               const log_format::frame_header& seal);
  [[nodiscard]] log_format::anchor last() const noexcept {
    return entries_.empty()
               ? start_
               : log_format::anchor{entries_.back().index, entries_.back().term, entries_.back().hash};
  }

  log_format::identity who_;
  log_format::anchor start_;   // just before entries_
  log_format::anchor origin_;  // how far back a truncation may reach when the replay begins after it
  hard_state state_;
  std::vector<entry> entries_;
  std::vector<log_index> lowest_truncations_;
  frame_index places_;
  log_index first_in_frame_;  // the first entry of the frame that is being replayed; 0: none yet
  std::optional<std::size_t> reset_in_;
  std::uint64_t expected_ = 1;  // number of the next frame
  std::uint64_t proven_ = 0;    // frames up to this one are known to have been synced
  std::uint32_t link_ = 0;
  ending end_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> frames_;  // of this segment: number, offset
};

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/storage/impl/log_replay.ipp"
#endif
