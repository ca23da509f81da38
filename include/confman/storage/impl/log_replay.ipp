#pragma once

#include <algorithm>

#include "confman/storage/log_replay.hpp"

namespace confman {

CONFMAN_DECL failure log_replay::damage(const std::string& path, std::uint64_t offset,
                                        const std::string& why) {
  return {
      errc::log_damaged,
      "log damaged: " + path + " at offset " + std::to_string(offset) + ": " + why +
          ". Nothing was changed. Check the disk (dmesg, smartctl); then restore this directory from a copy "
          "taken "
          "while the node was stopped and never started since, or remove the directory and let the node join "
          "again as a new member, to be repaired by its peers"};
}

CONFMAN_DECL log_replay::log_replay(const log_format::identity& who, const log_format::segment_header& first)
    : who_(who),
      start_(first.base),
      origin_(first.start),
      state_(first.state),
      expected_(first.first_frame),
      proven_(std::max(who.known_frame, first.synced())) {}

CONFMAN_DECL failure log_replay::begin(const std::string& path, std::string_view bytes,
                                       const log_format::segment_header& header) {
  end_ = {};
  frames_.clear();
  lowest_truncations_.emplace_back(~std::uint64_t{0});
  link_ = header.checksum;
  // Sums of these must not overflow. A log may have gone on from the highest place, hence the factor.
  constexpr std::uint64_t most = 2 * highest_index.value();
  if (header.first_frame == 0 || header.first_frame > most || header.sequence > most ||
      header.base.index.value() > most || header.start.index.value() > most ||
      header.capacity % log_format::alignment != 0 ||
      header.capacity < log_format::segment_header_bytes + log_format::frame_header_bytes)
    return damage(path, 0, "the segment header has a valid checksum and impossible numbers");
  if (header.first_frame != expected_)
    return damage(path, 0,
                  "the segment begins with batch " + std::to_string(header.first_frame) + " where " +
                      std::to_string(expected_) + " should come");
  if (bytes.size() != header.capacity)
    return damage(path, bytes.size(),
                  "the file has " + std::to_string(bytes.size()) + " bytes, not the " +
                      std::to_string(header.capacity) + " it was made with: it has been cut");
  proven_ = std::max(proven_, header.synced());
  return {};
}

CONFMAN_DECL failure log_replay::segment(const std::string& path, std::string_view bytes,
                                         const log_format::segment_header& header,
                                         const log_format::segment_header* next) {
  if (failure f = begin(path, bytes, header)) return f;
  const log_format::place where(header.incarnation, header.sequence);
  std::string why;
  for (;;) {
    log_format::frame_header frame;
    if (!frame_at(bytes, end_.offset, where, frame, why)) return stopped(path, bytes, header, next, why);
    const std::uint64_t body = end_.offset + log_format::frame_header_bytes;
    const std::uint32_t before = link_;
    if (failure f = records(path, bytes.substr(body, frame.body_bytes), body, frame.records)) return f;
    frames_.emplace_back(frame.number, end_.offset);
    if (first_in_frame_) places_.add(first_in_frame_, header.sequence, end_.offset);
    end_.last_frame = end_.offset;
    end_.offset = body + frame.body_bytes;
    proven_ = std::max(proven_, frame.synced);
    link_ = frame.checksum;
    ++expected_;
    if ((frame.flags & log_format::frame_header::seal) == 0) continue;
    end_.sealed = true;
    frame.previous = before;
    if (next != nullptr) return continues(path, *next, frame);
    return damage(path, end_.last_frame,
                  "the segment after this one is missing: this one says that the log goes on");
  }
}

CONFMAN_DECL bool log_replay::frame_at(std::string_view bytes, std::uint64_t offset,
                                       const log_format::place& where, log_format::frame_header& frame,
                                       std::string& why) const {
  const auto bad = [&why](const char* reason) {
    why = reason;
    return false;
  };
  const std::uint64_t room = bytes.size() - offset;
  if (room < log_format::frame_header_bytes) return bad("no room for a batch header");
  if (!log_format::decode(bytes.data() + offset, frame, where.seed(offset)))
    return bad("no valid batch header");
  if (frame.number != expected_ || frame.previous != link_ || frame.synced >= frame.number)
    return bad("the batch header does not continue the batch before it");
  // All but a seal leave room for one.
  const bool seals = (frame.flags & log_format::frame_header::seal) != 0;
  const std::uint64_t taken = (seals ? 1 : 2) * log_format::frame_header_bytes;
  if (room < taken || frame.body_bytes > room - taken || frame.body_bytes % log_format::alignment != 0)
    return bad("the batch is longer than the segment");
  const std::string_view body = bytes.substr(offset + log_format::frame_header_bytes, frame.body_bytes);
  if (crc32c(body, where.seed(offset)) != frame.body_checksum && !CONFMAN_MUTANT(checksum_ignored))
    return bad("the batch does not match its checksum");
  return true;
}

// Decides between the end of the log, a torn tail and damage, for the frame `expected_` at `end_.offset`.
CONFMAN_DECL failure log_replay::stopped(const std::string& path, std::string_view bytes,
                                         const log_format::segment_header& header,
                                         const log_format::segment_header* next, const std::string& why) {
  const auto lost = [&](const std::string& proof) {
    return damage(path, end_.offset,
                  why + " where batch " + std::to_string(expected_) + " must be: " + proof +
                      " says that it was written and synced");
  };
  if (CONFMAN_MUTANT(log_cut_anywhere)) next = nullptr;
  if (expected_ <= proven_ && !CONFMAN_MUTANT(log_cut_anywhere))
    return lost(expected_ <= who_.known_frame ? "the identity file" : "an earlier batch");
  if (next != nullptr && next->synced() >= expected_) return lost("the header of the segment after it");
  if (next != nullptr && next->first_frame != expected_ + 1)
    return damage(path, end_.offset, why + " and the segment after it does not continue this one");
  if (const auto proof = find_proof(bytes, header, end_.offset, expected_);
      proof && !CONFMAN_MUTANT(log_cut_anywhere))
    return lost("the batch header at offset " + std::to_string(*proof));
  end_.seal_missing = next != nullptr;
  end_.stale_bytes = std::any_of(bytes.begin() + static_cast<std::ptrdiff_t>(end_.offset), bytes.end(),
                                 [](char c) { return c != 0; });
  const auto unproven = std::find_if(frames_.begin(), frames_.end(),
                                     [this](const auto& frame) { return frame.first > proven_; });
  end_.unproven = unproven == frames_.end() ? end_.offset : unproven->second;
  return {};
}

CONFMAN_DECL std::optional<std::uint64_t> log_replay::find_proof(std::string_view bytes,
                                                                 const log_format::segment_header& header,
                                                                 std::uint64_t from, std::uint64_t frame) {
  const log_format::place where(header.incarnation, header.sequence);
  log_format::frame_header found;
  for (std::uint64_t at = from; at + log_format::frame_header_bytes <= bytes.size();
       at += log_format::alignment)
    if (bytes[at] != 0 && log_format::decode(bytes.data() + at, found, where.seed(at)) &&
        found.synced >= frame)
      return at;
  return std::nullopt;
}

// A sealed segment and the header after it must tell the same story.
CONFMAN_DECL failure log_replay::continues(const std::string& path, const log_format::segment_header& next,
                                           const log_format::frame_header& seal) {
  const log_format::anchor base = last();
  if (next.first_frame == seal.number + 1 && next.previous == seal.previous && next.base == base &&
      next.state == state_)
    return {};
  return damage(path, end_.last_frame,
                "the next segment does not begin where this one ends (entry " +
                    std::to_string(base.index.value()) + " here, " + std::to_string(next.base.index.value()) +
                    " there)");
}

CONFMAN_DECL failure log_replay::records(const std::string& path, std::string_view body, std::uint64_t offset,
                                         std::uint32_t count) {
  std::uint64_t at = 0;
  first_in_frame_ = {};
  for (; count != 0; --count) {
    if (body.size() - at < log_format::record_head_bytes)
      return damage(path, offset + at, "a batch with a valid checksum holds fewer records than it says");
    const auto length = log_format::get<std::uint32_t>(body.data() + at);
    const auto kind = log_format::get<std::uint8_t>(body.data() + at + 4);
    const auto sub = log_format::get<std::uint8_t>(body.data() + at + 5);
    if (length > body.size() - at - log_format::record_head_bytes)
      return damage(path, offset + at, "a record is longer than its batch");
    if (failure f =
            record(path, offset + at, kind, sub, body.substr(at + log_format::record_head_bytes, length)))
      return f;
    at += log_format::record_head_bytes + length;
  }
  if (body.size() - at < log_format::alignment) return {};
  return damage(path, offset + at, "a batch with a valid checksum holds more than its records");
}

CONFMAN_DECL failure log_replay::record(const std::string& path, std::uint64_t offset, std::uint8_t kind,
                                        std::uint8_t sub, std::string_view content) {
  const auto number = [&content](std::size_t field) {
    return log_format::get<std::uint64_t>(content.data() + 8 * field);
  };
  switch (static_cast<log_format::record_kind>(kind)) {
    case log_format::record_kind::entry:
      if (content.size() >= log_format::entry_head_bytes - log_format::record_head_bytes)
        return entry_record(path, offset, sub, content);
      break;
    case log_format::record_kind::truncate:
      if (content.size() == 8) return truncate(path, offset, log_index(number(0)));
      break;
    case log_format::record_kind::state:
      if (content.size() == log_format::state_bytes - log_format::record_head_bytes) {
        state_ = {term_t(number(0)), node_id(number(1)), log_index(number(2))};
        return {};
      }
      break;
    case log_format::record_kind::reset:
      if (content.size() == log_format::reset_bytes - log_format::record_head_bytes)
        return reset(path, offset, {log_index(number(0)), term_t(number(1)), chain_hash(number(2))});
      break;
  }
  return {errc::format_unsupported,
          path + " at offset " + std::to_string(offset) + ": a record of kind " + std::to_string(kind) +
              " and " + std::to_string(content.size()) +
              " bytes, which this build can't read. Nothing was changed. A newer confman "
              "wrote it: start that version again"};
}

CONFMAN_DECL failure log_replay::entry_record(const std::string& path, std::uint64_t offset,
                                              std::uint8_t type, std::string_view content) {
  if (type > static_cast<std::uint8_t>(entry_type::configuration))
    return {errc::format_unsupported, path + " at offset " + std::to_string(offset) + ": an entry of type " +
                                          std::to_string(type) +
                                          ", which this build does not know. Nothing was "
                                          "changed. A newer confman wrote it: start that version again"};
  entry e;
  e.term = term_t(log_format::get<std::uint64_t>(content.data()));
  e.index = log_index(log_format::get<std::uint64_t>(content.data() + 8));
  e.hash = chain_hash(log_format::get<std::uint64_t>(content.data() + 16));
  e.type = static_cast<entry_type>(type);
  const std::string_view payload =
      content.substr(log_format::entry_head_bytes - log_format::record_head_bytes);
  const log_format::anchor before = last();
  if (e.index != before.index + 1)
    return damage(path, offset,
                  "entry " + std::to_string(e.index.value()) + " follows entry " +
                      std::to_string(before.index.value()));
  if (e.hash != extend_chain(before.hash, e.term, type, payload))
    return damage(path, offset,
                  "entry " + std::to_string(e.index.value()) + " does not continue the hash chain");
  e.payload = shared_bytes::copy(payload);
  if (!first_in_frame_) first_in_frame_ = e.index;
  entries_.push_back(std::move(e));
  return {};
}

CONFMAN_DECL failure log_replay::truncate(const std::string& path, std::uint64_t offset, log_index from) {
  if (CONFMAN_MUTANT(truncation_not_replayed)) return {};
  if (from > last().index + 1)
    return damage(path, offset,
                  "a truncation from entry " + std::to_string(from.value()) + " in a log that ends at " +
                      std::to_string(last().index.value()));
  lowest_truncations_.back() = std::min(lowest_truncations_.back(), from);
  places_.truncate_from(from);
  if (from > start_.index) {
    entries_.resize(from - (start_.index + 1));
    return {};
  }
  // Everything is void, and the segments that held it are gone: possible only back to where the log started
  // then.
  if (from != origin_.index + 1)
    return damage(
        path, offset,
        "a truncation from entry " + std::to_string(from.value()) + " reaches before the oldest entry kept");
  entries_.clear();
  start_ = origin_;
  return {};
}

CONFMAN_DECL failure log_replay::reset(const std::string& path, std::uint64_t offset,
                                       const log_format::anchor& at) {
  if (CONFMAN_MUTANT(reset_not_replayed)) return {};
  if (!frames_.empty() || offset != log_format::segment_header_bytes + log_format::frame_header_bytes)
    return damage(path, offset, "a reset of the log that isn't at the beginning of its segment");
  if (at.index > highest_index)
    return damage(
        path, offset,
        "a reset of the log to entry " + std::to_string(at.index.value()) + ", a place that no log gets to");
  entries_.clear();
  places_.clear();
  start_ = origin_ = at;
  reset_in_ = lowest_truncations_.size() - 1;
  return {};
}

}  // namespace confman
