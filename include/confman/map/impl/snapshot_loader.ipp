#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include "confman/map/limits.hpp"
#include "confman/map/snapshot_loader.hpp"
#include "confman/wire/archive.hpp"
#include "confman/wire/crc32c.hpp"

namespace confman {

CONFMAN_DECL snapshot_loader::snapshot_loader() : state_(std::make_unique<detail::loaded_state>()) {}

CONFMAN_DECL failure snapshot_loader::fail(const char* why) {
  failed_ = {errc::snapshot_damaged, "snapshot, block " + std::to_string(block_) + ": " + why +
                                         "; take it from another member or an older file"};
  return failed_;
}

CONFMAN_DECL failure snapshot_loader::feed(std::string_view block) {
  namespace format = detail::snapshot_format;
  if (failed_) return failed_;
  if (!state_) return fail("blocks after the end");
  if (block.size() <= format::block_header_bytes || block.size() > max_snapshot_block_bytes)
    return fail("a block of impossible size");
  if (detail::load_integer<std::uint32_t>(block.data()) != crc32c(block.substr(4)))
    return fail("the checksum doesn't match");
  if (detail::load_integer<std::uint32_t>(block.data() + 4) != static_cast<std::uint32_t>(block_))
    return fail("a block is missing or out of order");
  rest_ = block.substr(format::block_header_bytes);
  if (const char* const wrong = read_items()) {
    if (failed_) return failed_;
    return fail(wrong);
  }
  ++block_;
  return {};
}

template <class Integer>
Integer snapshot_loader::get() noexcept {
  const auto value = detail::load_integer<std::make_unsigned_t<Integer>>(rest_.data());
  rest_.remove_prefix(sizeof(Integer));
  return static_cast<Integer>(value);
}

CONFMAN_DECL std::string_view snapshot_loader::get_bytes(std::size_t size) noexcept {
  const std::string_view bytes = rest_.substr(0, size);
  rest_.remove_prefix(bytes.size());
  return bytes;
}

CONFMAN_DECL const char* snapshot_loader::read_items() {
  while (!rest_.empty()) {
    const auto t = static_cast<tag>(get<std::uint8_t>());
    if (const char* const wrong = check_place(t)) return wrong;
    if (const char* const wrong = read_item(t)) return wrong;
    last_ = t;
  }
  return nullptr;
}

// Whether an item may stand here, and whether its fields are there.
CONFMAN_DECL const char* snapshot_loader::check_place(tag t) noexcept {
  namespace format = detail::snapshot_format;
  if (ended_) return "items after the end";
  if ((missing_ != 0) != (t == tag::more)) return "a value's bytes are missing or too many";
  if ((answers_ != 0) != (t == tag::answer)) return "a session's answers are missing or too many";
  if ((last_ == tag{0}) != (t == tag::header)) return "the header is not first";
  const tag section = last_ == tag::answer ? tag::session : last_;
  if (t != tag::more && t != tag::answer && section != tag::more && t < section) return "items out of order";
  std::size_t least = 0;
  switch (t) {
    case tag::header:
      least = format::header_bytes;
      break;
    case tag::clock:
      least = format::clock_bytes;
      break;
    case tag::session:
      least = format::session_bytes;
      break;
    case tag::answer:
      least = format::answer_bytes;
      break;
    case tag::upload:
      least = format::upload_bytes;
      break;
    case tag::entry:
      least = format::entry_bytes;
      break;
    case tag::more:
      least = format::more_bytes;
      break;
    case tag::end:
      least = format::end_bytes;
      break;
    default:
      return "an item of unknown kind";
  }
  return rest_.size() + 1 < least ? "an item is cut" : nullptr;
}

CONFMAN_DECL const char* snapshot_loader::read_item(tag t) {
  switch (t) {
    case tag::header:
      return read_header();
    case tag::clock:
      return read_clock();
    case tag::session:
      return read_session();
    case tag::answer:
      return read_answer();
    case tag::upload:
      return read_upload();
    case tag::entry:
      return read_entry();
    case tag::more:
      return read_more();
    case tag::end:
      break;
  }
  return read_end();
}

CONFMAN_DECL const char* snapshot_loader::read_header() {
  if (const auto version = get<std::uint32_t>(); version != detail::snapshot_format::version) {
    failed_ = {errc::format_unsupported, "snapshot of format " + std::to_string(version) +
                                             ", this build reads format " +
                                             std::to_string(detail::snapshot_format::version)};
    return "format";
  }
  state_->at.term = term_t(get<std::uint64_t>());
  state_->at.index = log_index(get<std::uint64_t>());
  if (get<std::uint64_t>() != state_->at.index.value()) return "the history begins elsewhere";
  const bool good_time = state_->clock.restore_time(get<std::int64_t>());
  entries_ = get<std::uint64_t>();
  expected_hash_ = get<std::uint64_t>();
  clocks_ = get<std::uint32_t>();
  sessions_ = get<std::uint32_t>();
  uploads_ = get<std::uint32_t>();
  if (!good_time || sessions_ > max_sessions || uploads_ > max_uploads) return "impossible numbers";
  return nullptr;
}

CONFMAN_DECL const char* snapshot_loader::read_clock() {
  detail::log_clock::author_clock c;
  c.author = get<std::uint64_t>();
  c.offset = get<std::int64_t>();
  c.used_by = get<std::uint64_t>();
  if (clocks_-- == 0 || c.used_by > state_->at.index.value() || !state_->clock.restore_author(c))
    return "an impossible clock";
  return nullptr;
}

CONFMAN_DECL const char* snapshot_loader::read_session() {
  const std::uint64_t before = session_.id;
  session_ = {};
  session_.id = get<std::uint64_t>();
  session_.time_to_live = get<std::int64_t>();
  session_.used_at = get<std::int64_t>();
  session_.used_by = get<std::uint64_t>();
  session_.acknowledged = get<std::uint64_t>();
  answers_ = get<std::uint32_t>();
  constexpr auto longest = static_cast<std::int64_t>(max_session_ttl_ms) * 1000;
  if (sessions_-- == 0 || session_.id <= before || session_.used_by < session_.id ||
      session_.used_by > state_->at.index.value() || session_.time_to_live < 1 ||
      session_.time_to_live > longest || session_.used_at < 0 || session_.used_at > state_->clock.now() ||
      answers_ > max_kept_answers)
    return "an impossible session";
  return answers_ == 0 ? finish_session() : nullptr;
}

CONFMAN_DECL const char* snapshot_loader::read_answer() {
  detail::kept_answer a;
  a.sequence = get<std::uint64_t>();
  a.at.term = term_t(get<std::uint64_t>());
  a.at.index = log_index(get<std::uint64_t>());
  a.previous_revision = get<std::uint64_t>();
  a.code = get<std::uint16_t>();
  const bool after = session_.answers.empty() || session_.answers.back().sequence < a.sequence;
  if (!after || a.sequence < session_.acknowledged || a.at.index > state_->at.index ||
      a.at.index.value() <= session_.id)
    return "an impossible answer";
  session_.answers.push_back(a);
  return --answers_ == 0 ? finish_session() : nullptr;
}

CONFMAN_DECL const char* snapshot_loader::finish_session() {
  return state_->sessions->restore(session_) ? nullptr : "a session twice";
}

CONFMAN_DECL const char* snapshot_loader::read_upload() {
  detail::upload_image u;
  u.author = node_id(get<std::uint64_t>());
  u.number = get<std::uint64_t>();
  u.used_at = get<std::int64_t>();
  u.used_by = get<std::uint64_t>();
  u.total = get<std::uint64_t>();
  const auto filled = get<std::uint64_t>();
  u.key = get_bytes(get<std::uint16_t>());
  if (uploads_-- == 0 || !detail::is_valid_key(u.key) || u.number == 0 || filled == 0 || filled > u.total ||
      u.total > max_large_value_bytes || u.used_at < 0 || u.used_at > state_->clock.now() ||
      u.used_by > state_->at.index.value() || !state_->uploads.restore(u))
    return "an impossible upload";
  const std::string_view here = get_bytes(static_cast<std::size_t>(filled));
  state_->uploads.last().append(here);
  missing_ = filled - here.size();
  return nullptr;
}

CONFMAN_DECL const char* snapshot_loader::read_entry() {
  origin_.create_revision = get<std::uint64_t>();
  origin_.at.index = log_index(get<std::uint64_t>());
  origin_.at.term = term_t(get<std::uint64_t>());
  origin_.key_version = get<std::uint64_t>();
  origin_.timestamp = get<std::int64_t>();
  origin_.author = node_id(get<std::uint64_t>());
  const std::size_t key_bytes = get<std::uint16_t>();
  const std::size_t value_bytes = get<std::uint32_t>();
  const std::string_view key = get_bytes(key_bytes);
  if (entries_-- == 0 || key.size() != key_bytes || !detail::is_valid_key(key) || key <= key_)
    return "an impossible key, or out of order";
  if (origin_.create_revision == 0 || origin_.create_revision > origin_.at.index.value() ||
      origin_.at > state_->at || origin_.at.index > state_->at.index || origin_.key_version == 0 ||
      value_bytes > max_large_value_bytes)
    return "an impossible entry";
  key_.assign(key);
  const std::string_view here = get_bytes(value_bytes);
  if (here.size() == value_bytes) {
    add(state_->records.create(key, here, origin_, 1));
    return nullptr;
  }
  builder_.emplace(key, value_bytes);
  builder_->append(here);
  missing_ = value_bytes - here.size();
  return nullptr;
}

CONFMAN_DECL const char* snapshot_loader::read_more() {
  const std::size_t size = get<std::uint32_t>();
  const std::string_view bytes = get_bytes(size);
  if (size == 0 || bytes.size() != size || size > missing_) return "a value's bytes are cut or too many";
  (builder_ ? *builder_ : state_->uploads.last()).append(bytes);
  missing_ -= size;
  if (missing_ != 0 || !builder_) return nullptr;
  add(builder_->seal(origin_, 1));
  builder_.reset();
  return nullptr;
}

CONFMAN_DECL void snapshot_loader::add(const record* r) {
  state_->tree.seek(r->key());
  state_->tree.put(r);
  ++state_->count;
  state_->hash += r->content_hash();
  state_->record_bytes += r->allocated_bytes();
}

CONFMAN_DECL const char* snapshot_loader::read_end() {
  if (get<std::uint64_t>() != expected_hash_) return "the state's hash at the end is not that of the header";
  if (entries_ != 0 || clocks_ != 0 || sessions_ != 0 || uploads_ != 0) return "entries are missing";
  ended_ = true;
  return nullptr;
}

CONFMAN_DECL result<loaded_map> snapshot_loader::finish() {
  if (failed_) return failed_;
  if (!state_ || !ended_) return fail("the end is missing");
  if (!state_->sessions->restored()) return fail("two sessions were used by one entry");
  const std::uint64_t hash =
      state_->hash + state_->sessions->hash() + state_->uploads.hash() + state_->clock.hash();
  if (hash != expected_hash_) return fail("the state's hash is another one");
  return loaded_map(std::move(state_));
}

}  // namespace confman
