// The write-ahead log of one node: segmented, preallocated, recycled, strictly synchronous.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/core/hard_state.hpp"
#include "confman/mutants.hpp"
#include "confman/storage/concepts.hpp"
#include "confman/storage/frame_index.hpp"
#include "confman/storage/log_directory.hpp"
#include "confman/storage/log_reader.hpp"
#include "confman/storage/log_replay.hpp"

namespace confman {

// A journal of write batches in a directory of its own. One thread at a time; no thread of its own, no lock,
// no clock. Everything it does to the disk goes through FileSystem, which must outlive it. Format:
// docs/format/log.md.
//
// Invariants:
//   1. A batch is found after a crash wholly or not at all; after sync() succeeded, wholly.
//   2. The writes of a batch begin only after every batch before the last sync() is durable, so at most what
//      was appended since the last sync() can be torn.
//   3. After a failed write or sync nothing is written and nothing is synced any more.
template <file_system FileSystem>
class log {
 public:
  // Opens or creates the log in `directory` and replays it into `out`. When it returns a log, everything in
  // `out` is durable, including the boot counter, and the directory is locked until the log is destroyed.
  // Errors: bad_option, directory_in_use, wrong_cluster, wrong_node, format_unsupported, log_damaged (with
  // these nothing on disk has been changed), storage_failed (the disk refused something).
  [[nodiscard]] static result<log> open(FileSystem& fs, std::string directory, const log_options& options,
                                        recovered_log& out) {
    log opened(fs, std::move(directory), options);
    if (failure f = opened.directory_.claim()) return f;
    out = {};
    if (failure f = opened.recover(out)) return f;
    return result<log>(std::move(opened));
  }

  // Writes the batch, in one gather write, without syncing it. Payloads of less than 512 bytes are copied
  // once, larger ones are not. A batch is never split: one that is larger than a segment gets a segment of
  // its size. Errors: value_too_large (an entry above max_entry_bytes; nothing happened), storage_failed (the
  // log has stopped).
  // A reset begins a segment of its own; the segments before it are freed by the next sync(). A
  // release_before in the batch takes effect after the next sync(), never before the batch is durable.
  [[nodiscard]] failure append(const write_batch& batch) {
    if (failed_) return stopped();
    if (batch.empty()) return {};
    for (const entry& e : batch.entries)
      if (e.payload.size() > options_.max_entry_bytes)
        return {errc::value_too_large,
                "entry " + std::to_string(e.index.value()) + " has " + std::to_string(e.payload.size()) +
                    " bytes, log_options.max_entry_bytes is " + std::to_string(options_.max_entry_bytes)};
    if (failure f = check(batch)) return fail(std::move(f));
    if (batch.release_before) later_release_ = std::max(later_release_, *batch.release_before);
    const std::uint64_t frame = encode(batch);
    if (records_ == 0) return {};
    const bool void_all = batch.reset || (batch.truncate_from && *batch.truncate_from == start_.index + 1 &&
                                          segments_.size() > 1);
    if (void_all || frame + log_format::frame_header_bytes > active().capacity - offset_)
      if (failure f = roll(frame)) return fail(std::move(f));
    if (void_all) release_to_ = active().sequence;
    if (failure f = write_frame(records_, 0)) return fail(std::move(f));
    content_frame_ = next_frame_ - 1;
    if (CONFMAN_MUTANT(void_before_synced))
      if (failure f = release_void()) return fail(std::move(f));
    remember(batch, offset_ - frame);
    if (options_.prepare_ahead)
      if (const std::uint64_t target = 2 * offset_; target >= prepared_ + step_) {
        directory_.prepare(target, step_);
        prepared_ += step_;
      }
    return {};
  }

  // Makes every batch appended so far durable. At most one sync of one file.
  // Errors: storage_failed; the log has stopped then, and what was appended since the last sync may or may
  // not be found at the next open.
  [[nodiscard]] failure sync() {
    if (failed_) return stopped();
    if (failure f = sync_active()) return fail(std::move(f));
    if (failure f = release_void()) return fail(std::move(f));
    if (later_release_) return release_before(std::exchange(later_release_, log_index()));
    return {};
  }

  // The entries from `from` to `last` (or to the end of the log, if that is before), read from the disk and
  // verified; at least one if there is any, and no more than `max_bytes` of cost() otherwise. Takes 64 KiB of
  // memory beside them. What was appended need not be synced. The log goes on after an error.
  // Errors: compacted (`from` was released), log_damaged (with file and offset), storage_failed.
  [[nodiscard]] result<std::vector<entry>> read(log_index from, log_index last, std::size_t max_bytes) {
    if (failed_) return stopped();
    if (from <= start_.index)
      return failure(errc::compacted, "entry " + std::to_string(from.value()) + " of the log in " +
                                          directory_.path() + " was released; the oldest kept is " +
                                          std::to_string(first_index().value()));
    std::vector<entry> found;
    last = std::min(last, last_index());
    if (from > last) return found;
    // A shorter list than asked for when max_bytes surely ends it: each entry costs sizeof(entry) at least.
    last = std::min(last, from + max_bytes / sizeof(entry));
    std::vector<chain_hash> hashes;
    for (log_index i = from - 1; i <= last; ++i) hashes.push_back(hash_at(i));
    const frame_place oldest{first_index(), segments_.front().sequence, log_format::segment_header_bytes};
    const frame_place end{{}, active().sequence, offset_};
    if (failure f = reader_.read(directory_, terms_, places_.find(from, oldest), end, from, std::move(hashes),
                                 max_bytes, found))
      return f;
    return found;
  }

  // Work for when nothing is waiting: notes on disk that the last batch was synced (so that damage to it
  // can't pass for a torn tail later), and prepares the next segment, 1/64 of it at a time. Calling it is
  // optional. Returns true when there is more to do. Errors: storage_failed.
  [[nodiscard]] result<bool> maintain() {
    if (failed_) return stopped();
    if (vouched_ < content_frame_ && synced_ >= content_frame_ &&
        active().capacity - offset_ >= 2 * log_format::frame_header_bytes) {
      start_frame();
      if (failure f = write_frame(0, 0)) return fail(std::move(f));
    }
    directory_.prepare(options_.segment_bytes, step_);
    return directory_.preparable();
  }

  // Entries before `index` are no longer needed (a durable snapshot holds them): frees the segments that hold
  // nothing else. Entries from `index` on are kept, and so may be some before it. Syncs the identity file if
  // it frees anything. While appended batches aren't synced it waits for the next sync(). Precondition: no
  // later batch truncates at or before an entry that was released. Errors: storage_failed.
  [[nodiscard]] failure release_before(log_index index) {
    if (failed_) return stopped();
    if (unsynced_) {
      later_release_ = std::max(later_release_, index);
      return {};
    }
    std::size_t keep = 0;
    for (std::size_t i = 1; i < segments_.size(); ++i)
      if (segments_[i].base.index < index + (CONFMAN_MUTANT(release_one_more) ? 1u : 0u) &&
          segments_[i].can_be_first)
        keep = i;
    if (keep == 0 || CONFMAN_MUTANT(release_never)) return {};
    if (failure f = release(keep)) return fail(std::move(f));
    const log_format::anchor start = segments_.front().base;
    hashes_.erase(hashes_.begin(), hashes_.begin() + static_cast<std::ptrdiff_t>(start.index - start_.index));
    terms_.release_to(start.index);
    start_ = start;
    return {};
  }

  [[nodiscard]] log_index first_index() const noexcept { return start_.index + 1; }  // the oldest entry kept
  [[nodiscard]] log_index last_index() const noexcept { return start_.index + hashes_.size(); }
  [[nodiscard]] std::size_t segment_count() const noexcept { return segments_.size(); }

 private:
  using file = typename FileSystem::file;

  static constexpr std::size_t copy_limit = 512;  // smaller payloads are copied

  struct segment_info {
    std::uint64_t sequence = 0;
    std::uint64_t capacity = 0;
    log_format::anchor base;  // the last entry before it
    bool can_be_first =
        true;  // nothing in it or after it voids an entry before it, so that a replay can begin here
  };

  log(FileSystem& fs, std::string directory, const log_options& options)
      : fs_(&fs),
        options_(options),
        directory_(fs, std::move(directory), options),
        reader_(fs),
        step_(std::max<std::uint64_t>(options.segment_bytes / 64, 512)) {}

  [[nodiscard]] const segment_info& active() const noexcept { return segments_.back(); }

  [[nodiscard]] failure stopped() const {
    return {errc::storage_failed,
            "the log in " + directory_.path() + " has stopped after an earlier failure: " + failed_.what};
  }

  failure fail(failure f) {
    failed_ = {errc::storage_failed, std::move(f.what)};
    return failed_;
  }

  // ---- append

  [[nodiscard]] chain_hash hash_at(log_index index) const noexcept {
    return index == start_.index ? start_.hash : hashes_[index - (start_.index + 1)];
  }

  [[nodiscard]] log_format::anchor last_anchor() const {
    const log_index last = last_index();
    return last == start_.index ? start_ : log_format::anchor{last, terms_.at(last), hash_at(last)};
  }

  // A batch that doesn't continue the log could be written but never replayed: better to stop now.
  [[nodiscard]] failure check(const write_batch& batch) const {
    const auto misplaced = [this](const char* what, log_index index) {
      return failure(errc::storage_failed,
                     std::string("refused to write ") + what + " " + std::to_string(index.value()) +
                         " to the log in " + directory_.path() + ", which holds entries " +
                         std::to_string(first_index().value()) + " to " +
                         std::to_string(last_index().value()) +
                         ": it does not continue the log; this is a bug, please report it");
    };
    if (batch.reset && batch.reset->at.index > highest_index)
      return misplaced("a reset to entry", batch.reset->at.index);
    const log_index start = batch.reset ? batch.reset->at.index : start_.index;
    log_index before = batch.reset ? start : last_index();
    if (batch.truncate_from) {
      if (*batch.truncate_from <= start || *batch.truncate_from > before + 1)
        return misplaced("a truncation from entry", *batch.truncate_from);
      before = *batch.truncate_from - 1;
    }
    chain_hash hash = batch.reset ? batch.reset->hash : hash_at(before);
    for (const entry& e : batch.entries) {
      if (e.index != ++before) return misplaced("entry", e.index);
      hash = extend_chain(hash, e.term, static_cast<std::uint8_t>(e.type), e.payload.view());
      if (e.hash != hash) return misplaced("entry (with another chain hash)", e.index);
    }
    return {};
  }

  // Fills pieces_ and buffer_ with the frame of the batch; the frame header comes last, in write_frame(). The
  // views point into the batch and into buffer_, which doesn't grow meanwhile. Returns the frame's size.
  std::uint64_t encode(const write_batch& batch) {
    namespace format = log_format;
    std::size_t room = format::frame_header_bytes + format::reset_bytes + format::truncate_bytes +
                       format::state_bytes + format::alignment;
    for (const entry& e : batch.entries)
      room += format::entry_head_bytes + (e.payload.size() < copy_limit ? e.payload.size() : 0);
    start_frame(room);
    char* const begin = buffer_.data();
    char* run = begin;
    char* at = begin + format::frame_header_bytes;
    std::uint64_t bytes = 0;
    const auto end_run = [&] {
      pieces_.emplace_back(run, static_cast<std::size_t>(at - run));
      bytes += pieces_.back().size();
      run = at;
    };
    if (batch.reset) {
      format::put_reset(at, *batch.reset);
      at += format::reset_bytes;
    }
    if (batch.truncate_from) {
      format::put_truncate(at, *batch.truncate_from);
      at += format::truncate_bytes;
    }
    for (const entry& e : batch.entries) {
      format::put_entry(at, e);
      at += format::entry_head_bytes;
      if (e.payload.size() >= copy_limit) {
        end_run();
        pieces_.push_back(e.payload.view());
        bytes += e.payload.size();
      } else if (!e.payload.empty()) {
        at = std::copy(e.payload.data(), e.payload.data() + e.payload.size(), at);
      }
    }
    if (batch.state) {
      format::put_state(at, *batch.state);
      at += format::state_bytes;
    }
    const std::uint64_t unpadded = bytes + static_cast<std::uint64_t>(at - run);
    at = std::fill_n(at, format::align(unpadded) - unpadded, '\0');
    if (at != run) end_run();
    records_ = static_cast<std::uint32_t>((batch.reset ? 1 : 0) + (batch.truncate_from ? 1 : 0) +
                                          batch.entries.size() + (batch.state ? 1 : 0));
    frame_bytes_ = bytes;
    return bytes;
  }

  // An empty frame in buffer_, with room for `room` bytes.
  void start_frame(std::size_t room = log_format::frame_header_bytes) {
    if (buffer_.size() < room) buffer_.resize(room);
    pieces_.clear();
    frame_bytes_ = 0;
  }

  // Writes the frame in pieces_ (or, without any, an empty one) at the end of the active segment.
  [[nodiscard]] failure write_frame(std::uint32_t records, std::uint32_t flags) {
    if (pieces_.empty()) {
      pieces_.emplace_back(buffer_.data(), log_format::frame_header_bytes);
      frame_bytes_ = log_format::frame_header_bytes;
    }
    const std::uint32_t seed =
        log_format::place(directory_.who().incarnation, active().sequence).seed(offset_);
    log_format::frame_header header;
    header.number = next_frame_;
    header.synced = synced_;
    header.body_bytes = frame_bytes_ - log_format::frame_header_bytes;
    header.previous = link_;
    header.flags = flags;
    header.records = records;
    header.body_checksum = crc32c(pieces_.front().substr(log_format::frame_header_bytes), seed);
    for (std::size_t i = 1; i < pieces_.size(); ++i)
      header.body_checksum = crc32c(pieces_[i], header.body_checksum);
    log_format::encode(buffer_.data(), header, seed);
    unsynced_ = true;
    if (failure f = fs_->write(*file_, offset_, pieces_)) return f;
    offset_ += frame_bytes_;
    link_ = header.checksum;
    vouched_ = synced_;
    ++next_frame_;
    return {};
  }

  // `frame`: where the batch was written in the active segment.
  void remember(const write_batch& batch, std::uint64_t frame) {
    if (batch.reset) {
      hashes_.clear();
      terms_.clear();
      places_.clear();
      start_ = {batch.reset->at.index, batch.reset->at.term, batch.reset->hash};
    }
    if (batch.truncate_from) {
      hashes_.resize(*batch.truncate_from - (start_.index + 1));
      terms_.truncate_from(*batch.truncate_from);
      places_.truncate_from(*batch.truncate_from);
      note_truncation(*batch.truncate_from, segments_.size());
    }
    for (const entry& e : batch.entries) {
      hashes_.push_back(e.hash);
      terms_.add(e.index, e.term);
    }
    if (!batch.entries.empty()) places_.add(batch.entries.front().index, active().sequence, frame);
    if (batch.state) state_ = *batch.state;
  }

  // A truncation in the last of the first `count` segments.
  void note_truncation(log_index from, std::size_t count) {
    if (CONFMAN_MUTANT(truncated_segment_first)) return;
    for (std::size_t i = 0; i < count; ++i)
      if (from <= segments_[i].base.index) segments_[i].can_be_first = false;
  }

  [[nodiscard]] failure sync_active() {
    if (!unsynced_) return {};
    failure f = fs_->sync(*file_);
    if (f && CONFMAN_MUTANT(sync_retried)) f = fs_->sync(*file_);
    if (f) return f;
    unsynced_ = false;
    synced_ = next_frame_ - 1;
    return {};
  }

  // Goes on in a new segment that has room for a frame of `frame` bytes. The order matters: what is in the
  // old segment is synced, then the new one is made, then the old one is sealed, and only then is anything
  // written to the new.
  [[nodiscard]] failure roll(std::uint64_t frame) {
    if (!CONFMAN_MUTANT(roll_without_sync))
      if (failure f = sync_active()) return f;
    log_format::segment_header header = next_header(frame);
    header.sequence = active().sequence + 1;
    header.first_frame = next_frame_ + 1;
    header.previous = link_;
    result<file> made = directory_.create_segment(header);
    if (!made) return made.error();
    // The frame that waits in buffer_ and pieces_ must survive the seal.
    std::string waiting(log_format::frame_header_bytes, '\0');
    std::swap(waiting, buffer_);
    std::vector<std::string_view> waiting_pieces;
    std::swap(waiting_pieces, pieces_);
    const std::uint64_t waiting_bytes = frame_bytes_;
    start_frame();
    if (failure f = write_frame(0, log_format::frame_header::seal)) return f;
    if (!CONFMAN_MUTANT(roll_without_sync))
      if (failure f = sync_active()) return f;
    buffer_ = std::move(waiting);
    pieces_ = std::move(waiting_pieces);
    frame_bytes_ = waiting_bytes;
    begin_segment(std::move(*made), header);
    return {};
  }

  [[nodiscard]] log_format::segment_header next_header(std::uint64_t frame) const {
    log_format::segment_header header;
    const log_format::identity& who = directory_.who();
    header.cluster = who.cluster;
    header.node = who.node;
    header.group = who.group;
    header.incarnation = who.incarnation;
    // A seal follows the last frame of every segment, so room for one is always kept.
    header.capacity = std::max(options_.segment_bytes,
                               log_format::segment_header_bytes + frame + log_format::frame_header_bytes);
    header.state = state_;
    header.base = last_anchor();
    header.start = start_;
    return header;
  }

  void begin_segment(file f, const log_format::segment_header& header) {
    file_ = std::move(f);
    segments_.push_back({header.sequence, header.capacity, header.base, true});
    offset_ = log_format::segment_header_bytes;
    link_ = header.checksum;
    prepared_ = 0;
  }

  // Frees the segments that a durable batch made void.
  [[nodiscard]] failure release_void() {
    const std::uint64_t keep = std::exchange(release_to_, 0), first = segments_.front().sequence;
    return keep <= first ? failure{} : release(static_cast<std::size_t>(keep - first));
  }

  // Frees all segments before segments_[keep].
  [[nodiscard]] failure release(std::size_t keep) {
    log_format::identity who = directory_.who();
    who.first_segment = segments_[keep].sequence;
    who.known_frame = synced_;
    if (!CONFMAN_MUTANT(freed_before_noted))
      if (failure f = directory_.save(who)) return f;
    vouched_ = std::max(vouched_, synced_);
    for (std::size_t i = 0; i < keep; ++i)
      if (failure f = directory_.recycle(segments_[i].sequence, segments_[i].capacity)) return f;
    if (CONFMAN_MUTANT(freed_before_noted))
      if (failure f = directory_.save(who)) return f;
    segments_.erase(segments_.begin(), segments_.begin() + static_cast<std::ptrdiff_t>(keep));
    places_.release_before(segments_.front().sequence);
    reader_.forget();
    return {};
  }

  // ---- open: impl/log_recovery.hpp

  [[nodiscard]] failure recover(recovered_log& out);
  // No open has ever succeeded here: what an interrupted one left doesn't count.
  [[nodiscard]] failure create_first();
  // Reads first, decides, and only then writes: the tail is settled when the log was found sound.
  [[nodiscard]] failure replay(const log_format::identity& who, recovered_log& out);
  [[nodiscard]] failure read_headers(const log_format::identity& who,
                                     std::vector<log_format::segment_header>& headers);
  [[nodiscard]] failure read_header(const log_format::identity& who, std::uint64_t sequence,
                                    log_format::segment_header& header);
  [[nodiscard]] failure read_segment(const log_format::segment_header& header, std::string& bytes);
  // The segment before headers[last] has no seal. That is the trace of a crash in roll() if headers[last] is
  // the last segment and nothing was ever written to it.
  [[nodiscard]] failure check_unused(const std::vector<log_format::segment_header>& headers, std::size_t last,
                                     const log_replay& replayed);
  // Makes durable what was found, and nothing else. What no later write vouches for is written again, since
  // after a failed sync in an earlier run it may be in the page cache only. Then whatever follows is zeroed.
  [[nodiscard]] failure settle(const std::vector<log_format::segment_header>& headers,
                               const log_replay& replayed, const std::string& bytes,
                               std::optional<std::uint64_t> seal, bool drop_last);
  [[nodiscard]] failure rewrite_seal(std::uint64_t sequence, std::uint64_t offset);
  [[nodiscard]] failure adopt(const std::vector<log_format::segment_header>& headers, log_replay& replayed,
                              recovered_log& out);

  FileSystem* fs_;
  log_options options_;
  log_directory<FileSystem> directory_;
  log_reader<FileSystem> reader_;
  std::uint64_t step_;                  // how much of the next segment is prepared at a time
  std::optional<file> file_;            // of the active segment
  std::vector<segment_info> segments_;  // the last one is active
  std::uint64_t offset_ = 0;            // where the next frame goes
  std::uint64_t next_frame_ = 1;
  std::uint64_t synced_ = 0;         // frames up to this one are durable
  std::uint64_t vouched_ = 0;        // ... and up to this one something on disk says so
  std::uint64_t content_frame_ = 0;  // the last frame with records
  std::uint64_t prepared_ = 0;       // bytes of the next segment asked for since this one began
  std::uint32_t link_ = 0;           // checksum of the frame (or segment header) before
  std::uint64_t release_to_ = 0;     // segments before this one are void as soon as it is synced; 0: none are
  log_index later_release_;          // entries before this one may go after the next sync
  bool unsynced_ = false;
  failure failed_;

  hard_state state_;
  log_format::anchor start_;        // just before the oldest entry kept
  std::vector<chain_hash> hashes_;  // of the entries kept
  term_runs terms_;                 // of the entries kept
  frame_index places_;              // of frames with entries

  std::string buffer_;  // frame header, record heads and small payloads of one batch
  std::vector<std::string_view> pieces_;
  std::uint64_t frame_bytes_ = 0;
  std::uint32_t records_ = 0;
};

static_assert(storage<log<posix_file_system>>);

}  // namespace confman

#include "confman/storage/impl/log_recovery.hpp"
