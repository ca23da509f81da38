// How log<FileSystem> is found again at open.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/storage/log.hpp"

namespace confman {

template <file_system FileSystem>
failure log<FileSystem>::recover(recovered_log& out) {
  log_format::identity who = directory_.who();
  if (who.first_segment == 0) {
    if (failure f = create_first()) return f;
  } else if (failure f = replay(who, out)) {
    return f;
  }
  if (who.boot == 0 || !CONFMAN_MUTANT(boot_not_counted)) ++who.boot;
  who.first_segment = segments_.front().sequence;
  who.known_frame = synced_;
  if (failure f = directory_.save(who)) return f;
  vouched_ = content_frame_ = synced_;
  // A reset was durable, and a crash came before the segments that it voids were freed.
  if (failure f = release_void()) return f;
  out.base = {start_.term, start_.index};
  out.base_hash = start_.hash;
  out.state = state_;
  out.boot = who.boot;
  out.incarnation = who.incarnation;
  out.cluster = who.cluster;
  return {};
}

template <file_system FileSystem>
failure log<FileSystem>::create_first() {
  if (failure f = directory_.remove_leftovers(~std::uint64_t{0})) return f;
  if (options_.begin_at)
    start_ = {options_.begin_at->at.index, options_.begin_at->at.term, options_.begin_at->hash};
  log_format::segment_header header = next_header(0);
  header.sequence = 1;
  result<file> made = directory_.create_segment(header);
  if (!made) return made.error();
  begin_segment(std::move(*made), header);
  return {};
}

template <file_system FileSystem>
failure log<FileSystem>::replay(const log_format::identity& who, recovered_log& out) {
  std::vector<log_format::segment_header> headers;
  if (failure f = read_headers(who, headers)) return f;
  log_replay replayed(who, headers.front());
  std::string bytes;
  std::optional<std::uint64_t> seal;  // where the last segment but one was sealed
  bool drop_last = false;
  for (std::size_t i = 0; i < headers.size() && !drop_last; ++i) {
    const log_format::segment_header* next = i + 1 < headers.size() ? &headers[i + 1] : nullptr;
    if (i != 0) seal = replayed.end().last_frame;
    if (failure f = read_segment(headers[i], bytes)) return f;
    if (failure f = replayed.segment(directory_.segment_path(headers[i].sequence), bytes, headers[i], next))
      return f;
    if (!replayed.end().seal_missing) continue;
    if (failure f = check_unused(headers, i + 1, replayed)) return f;
    drop_last = true;
  }
  if (drop_last) headers.pop_back();
  if (failure f = settle(headers, replayed, bytes, seal, drop_last)) return f;
  return adopt(headers, replayed, out);
}

template <file_system FileSystem>
failure log<FileSystem>::read_headers(const log_format::identity& who,
                                      std::vector<log_format::segment_header>& headers) {
  const result<std::vector<std::uint64_t>> found = directory_.segments();
  if (!found) return found.error();
  std::uint64_t expected = who.first_segment;
  for (const std::uint64_t sequence : *found) {
    if (sequence < who.first_segment) continue;
    if (sequence != expected) break;
    headers.emplace_back();
    if (failure f = read_header(who, sequence, headers.back())) return f;
    ++expected;
  }
  if (!headers.empty() && found->back() == expected - 1) return {};
  return log_replay::damage(directory_.segment_path(expected), 0, "the segment is missing");
}

template <file_system FileSystem>
failure log<FileSystem>::read_header(const log_format::identity& who, std::uint64_t sequence,
                                     log_format::segment_header& header) {
  const std::string path = directory_.segment_path(sequence);
  std::string bytes(log_format::segment_header_bytes, '\0');
  result<file> f = directory_.open_segment(sequence);
  if (!f) return f.error();
  const result<std::size_t> got = fs_->read(*f, 0, {bytes.data(), bytes.size()});
  if (!got) return got.error();
  bytes.resize(*got);
  std::uint32_t version = 0;
  const log_format::decoded outcome = log_format::decode(bytes, header, version);
  if (outcome == log_format::decoded::other_version)
    return {errc::format_unsupported, path + " has format version " + std::to_string(version) +
                                          ", this build reads version " +
                                          std::to_string(log_format::version) +
                                          ". Nothing was changed. Start the confman that wrote it"};
  if (outcome == log_format::decoded::damaged)
    return log_replay::damage(path, 0, "the segment header is unreadable");
  if (header.cluster != who.cluster || header.node != who.node || header.group != who.group ||
      header.incarnation != who.incarnation || header.sequence != sequence)
    return log_replay::damage(path, 0, "the segment belongs to another log or place");
  return {};
}

template <file_system FileSystem>
failure log<FileSystem>::read_segment(const log_format::segment_header& header, std::string& bytes) {
  result<file> f = directory_.open_segment(header.sequence);
  if (!f) return f.error();
  const result<std::uint64_t> size = fs_->size(*f);
  if (!size) return size.error();
  bytes.resize(std::min(*size, header.capacity));
  const result<std::size_t> got = fs_->read(*f, 0, {bytes.data(), bytes.size()});
  if (!got) return got.error();
  bytes.resize(*got);
  return {};
}

template <file_system FileSystem>
failure log<FileSystem>::check_unused(const std::vector<log_format::segment_header>& headers,
                                      std::size_t last, const log_replay& replayed) {
  const std::string before = directory_.segment_path(headers[last - 1].sequence);
  std::string bytes;
  if (failure f = read_segment(headers[last], bytes)) return f;
  if (last + 1 == headers.size() &&
      !log_replay::find_proof(bytes, headers[last], log_format::segment_header_bytes,
                              replayed.last_frame() + 1))
    return {};
  return log_replay::damage(before, replayed.end().offset,
                            "the segment does not end in a seal, though the next one is in use");
}

template <file_system FileSystem>
failure log<FileSystem>::settle(const std::vector<log_format::segment_header>& headers,
                                const log_replay& replayed, const std::string& bytes,
                                std::optional<std::uint64_t> seal, bool drop_last) {
  const log_replay::ending& end = replayed.end();
  const log_format::segment_header& header = headers.back();
  if (drop_last)
    if (failure f = fs_->remove(directory_.segment_path(header.sequence + 1))) return f;
  if (failure f = directory_.remove_leftovers(headers.front().sequence - 1)) return f;
  if (seal && end.last_frame == 0 && !CONFMAN_MUTANT(seal_not_rewritten))
    if (failure f = rewrite_seal(headers[headers.size() - 2].sequence, *seal)) return f;
  result<file> f = directory_.open_segment(header.sequence);
  if (!f) return f.error();
  const std::string_view unproven = std::string_view(bytes).substr(end.unproven, end.offset - end.unproven);
  if (!unproven.empty() && !CONFMAN_MUTANT(unproven_not_rewritten))
    if (failure e = fs_->write(*f, end.unproven, {&unproven, 1})) return e;
  if (end.stale_bytes)
    if (failure e = fs_->zero_fill(*f, end.offset, header.capacity - end.offset)) return e;
  if (!CONFMAN_MUTANT(recovery_not_synced))
    if (failure e = fs_->sync(*f)) return e;
  file_ = std::move(*f);
  return {};
}

template <file_system FileSystem>
failure log<FileSystem>::rewrite_seal(std::uint64_t sequence, std::uint64_t offset) {
  char bytes[log_format::frame_header_bytes] = {};
  result<file> f = directory_.open_segment(sequence);
  if (!f) return f.error();
  const result<std::size_t> got = fs_->read(*f, offset, bytes);
  if (!got) return got.error();
  const std::string_view piece(bytes, *got);
  if (failure e = fs_->write(*f, offset, {&piece, 1})) return e;
  return fs_->sync(*f);
}

template <file_system FileSystem>
failure log<FileSystem>::adopt(const std::vector<log_format::segment_header>& headers, log_replay& replayed,
                               recovered_log& out) {
  const std::optional<std::size_t> reset = replayed.reset_in();
  for (const log_format::segment_header& h : headers) {
    if (reset == segments_.size()) release_to_ = h.sequence;  // it becomes the first one, at once
    segments_.push_back({h.sequence, h.capacity, h.base, true});
    note_truncation(replayed.lowest_truncations()[segments_.size() - 1], segments_.size());
  }
  offset_ = replayed.end().offset;
  prepared_ = 0;
  next_frame_ = replayed.last_frame() + 1;
  synced_ = replayed.last_frame();
  link_ = replayed.link();
  state_ = replayed.state();
  start_ = replayed.start();
  places_ = std::move(replayed.places());
  out.entries = std::move(replayed.entries());
  hashes_.reserve(out.entries.size());
  for (const entry& e : out.entries) {
    hashes_.push_back(e.hash);
    terms_.add(e.index, e.term);
  }
  return {};
}

}  // namespace confman
