// Reads entries back from the segments of a log, with little memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/core/entry.hpp"
#include "confman/storage/frame_index.hpp"
#include "confman/storage/log_directory.hpp"
#include "confman/storage/log_replay.hpp"

namespace confman {

// Used by log<FileSystem> only; same thread. What it returns is proven: each frame header by its checksum,
// each entry by the term and the chain hash that the log remembers for it, which covers term, type
// and payload with 64 bits. So the rest of a frame, which may be large, need not be read to check its CRC32C.
template <file_system FileSystem>
class log_reader {
 public:
  explicit log_reader(FileSystem& fs) : fs_(&fs) {}

  // Appends the entries from `from` on to `into`, as long as `hashes` (hashes[i]: of entry from + i - 1, so
  // one more than entries) and `max_bytes` of cost() reach, at least one. `end` is where the last segment's
  // frames end. Errors: log_damaged, storage_failed.
  [[nodiscard]] failure read(const log_directory<FileSystem>& directory, const term_runs& terms,
                             frame_place at, frame_place end, log_index from, std::vector<chain_hash> hashes,
                             std::size_t max_bytes, std::vector<entry>& into) {
    directory_ = &directory;
    terms_ = &terms;
    wanted_ = from;
    hashes_ = std::move(hashes);
    left_ = max_bytes;
    into_ = &into;
    done_ = 0;
    for (;;) {
      if (failure f = open(at.sequence)) return f;
      bool sealed = false;
      while (!finished() && !sealed && (at.sequence != end.sequence || at.offset < end.offset))
        if (failure f = frame(at, sealed)) return f;
      if (finished()) return {};
      if (!sealed || at.sequence >= end.sequence)
        return log_replay::damage(path_, at.offset,
                                  "entry " + std::to_string((wanted_ + done_).value()) + " is not found");
      at = {wanted_, at.sequence + 1, log_format::segment_header_bytes};
    }
  }

  // Segments were renamed or removed.
  void forget() noexcept {
    file_.reset();
    open_ = 0;
  }

 private:
  using file = typename FileSystem::file;

  static constexpr std::size_t window_bytes = 64 * 1024;

  [[nodiscard]] bool finished() const noexcept {
    return done_ + 1 >= hashes_.size() || (done_ != 0 && left_ == 0);
  }

  [[nodiscard]] failure open(std::uint64_t sequence) {
    window_.clear();
    if (open_ == sequence) return {};
    path_ = directory_->segment_path(sequence);
    result<file> f = fs_->open_file(path_, open_mode::existing);
    if (!f) return f.error();
    file_ = std::move(*f);
    open_ = sequence;
    return {};
  }

  // `count` bytes at `offset`, at most window_bytes; valid until the next call.
  [[nodiscard]] result<std::string_view> bytes(std::uint64_t offset, std::size_t count) {
    if (offset < window_at_ || offset + count > window_at_ + window_.size()) {
      window_.resize(window_bytes);
      const result<std::size_t> got = fs_->read(*file_, offset, {window_.data(), window_.size()});
      window_.resize(got ? *got : 0);
      window_at_ = offset;
      if (!got) return got.error();
      if (count > window_.size()) return log_replay::damage(path_, offset, "the segment has been cut");
    }
    return std::string_view(window_).substr(static_cast<std::size_t>(offset - window_at_), count);
  }

  // One frame; moves `at` behind it.
  [[nodiscard]] failure frame(frame_place& at, bool& sealed) {
    const result<std::string_view> head = bytes(at.offset, log_format::frame_header_bytes);
    if (!head) return head.error();
    log_format::frame_header header;
    const log_format::place where(directory_->who().incarnation, at.sequence);
    if (!log_format::decode(head->data(), header, where.seed(at.offset)))
      return log_replay::damage(path_, at.offset, "no valid batch header");
    const std::uint64_t begin = at.offset + log_format::frame_header_bytes;
    std::uint64_t left = header.body_bytes;
    for (std::uint32_t i = 0; i < header.records && !finished(); ++i)
      if (failure f = record(begin + header.body_bytes - left, left)) return f;
    at.offset = begin + header.body_bytes;
    sealed = (header.flags & log_format::frame_header::seal) != 0;
    return {};
  }

  // One record; takes what it is long from `left`, the rest of the frame.
  [[nodiscard]] failure record(std::uint64_t offset, std::uint64_t& left) {
    if (left < log_format::record_head_bytes)
      return log_replay::damage(path_, offset, "a batch holds fewer records than it says");
    const std::size_t looked_at = std::min<std::uint64_t>(left, log_format::entry_head_bytes);
    const result<std::string_view> head = bytes(offset, looked_at);
    if (!head) return head.error();
    const std::uint64_t length = log_format::get<std::uint32_t>(head->data());
    if (length > left - log_format::record_head_bytes)
      return log_replay::damage(path_, offset, "a record is longer than its batch");
    left -= log_format::record_head_bytes + length;
    constexpr std::size_t fields = log_format::entry_head_bytes - log_format::record_head_bytes;
    const auto kind = static_cast<log_format::record_kind>(log_format::get<std::uint8_t>(head->data() + 4));
    if (kind != log_format::record_kind::entry || length < fields) return {};
    entry e;
    e.type = static_cast<entry_type>(log_format::get<std::uint8_t>(head->data() + 5));
    e.term = term_t(log_format::get<std::uint64_t>(head->data() + 8));
    e.index = log_index(log_format::get<std::uint64_t>(head->data() + 16));
    e.hash = chain_hash(log_format::get<std::uint64_t>(head->data() + 24));
    // Another hash: an entry that a later truncation voided.
    if (e.index != wanted_ + done_ || e.hash != hashes_[done_ + 1]) return {};
    // The chain hash covers 56 bits of the term only.
    if (e.term != terms_->at(e.index))
      return log_replay::damage(path_, offset,
                                "entry " + std::to_string(e.index.value()) + " has another term");
    return take(std::move(e), offset, static_cast<std::size_t>(length - fields));
  }

  [[nodiscard]] failure take(entry e, std::uint64_t offset, std::size_t size) {
    if (done_ != 0 && size + sizeof(entry) > left_) {
      left_ = 0;
      return {};
    }
    shared_bytes::builder payload(size);
    if (failure f = fill(offset + log_format::entry_head_bytes, {payload.data(), size})) return f;
    e.payload = std::move(payload).freeze();
    if (extend_chain(hashes_[done_], e.term, static_cast<std::uint8_t>(e.type), e.payload.view()) != e.hash)
      return log_replay::damage(path_, offset,
                                "entry " + std::to_string(e.index.value()) + " does not match its hash");
    left_ -= std::min(left_, cost(e));
    into_->push_back(std::move(e));
    ++done_;
    return {};
  }

  [[nodiscard]] failure fill(std::uint64_t offset, std::span<char> into) {
    if (into.size() <= window_bytes) {
      const result<std::string_view> found = bytes(offset, into.size());
      if (!found) return found.error();
      std::copy(found->begin(), found->end(), into.begin());
      return {};
    }
    const result<std::size_t> got = fs_->read(*file_, offset, into);
    if (!got) return got.error();
    if (*got != into.size()) return log_replay::damage(path_, offset, "the segment has been cut");
    return {};
  }

  FileSystem* fs_;
  const log_directory<FileSystem>* directory_ = nullptr;  // of this call, as are the terms
  const term_runs* terms_ = nullptr;
  std::optional<file> file_;
  std::uint64_t open_ = 0;  // the segment that file_ is, 0: none
  std::string path_;
  std::string window_;
  std::uint64_t window_at_ = 0;

  log_index wanted_;                // the first entry asked for
  std::vector<chain_hash> hashes_;  // of the entry before it, and of each entry asked for
  std::size_t left_ = 0;
  std::uint64_t done_ = 0;
  std::vector<entry>* into_ = nullptr;
};

}  // namespace confman
