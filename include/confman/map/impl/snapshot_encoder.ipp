#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "confman/map/limits.hpp"
#include "confman/map/snapshot_encoder.hpp"
#include "confman/map/snapshot_format.hpp"
#include "confman/wire/archive.hpp"
#include "confman/wire/crc32c.hpp"

namespace confman {

CONFMAN_DECL snapshot_encoder::snapshot_encoder(map_capture state)
    : state_(std::move(state)),
      sessions_(state_.sessions_.sorted()),
      cursor_(state_.keys_.state_->root),
      record_(cursor_.seek({}, false)) {}

CONFMAN_DECL bool snapshot_encoder::next(std::string& block) {
  namespace format = detail::snapshot_format;
  block.clear();
  if (section_ == section::done) return false;
  if (!buffer_) buffer_ = std::make_unique_for_overwrite<char[]>(max_snapshot_block_bytes);
  at_ = buffer_.get() + format::block_header_bytes;
  end_ = buffer_.get() + max_snapshot_block_bytes;
  if (!rest_.empty()) put_rest();
  while (section_ != section::done && room() >= format::least_room) put_next();
  block.assign(buffer_.get(), at_);
  detail::store_integer(block.data() + 4, number_++);
  detail::store_integer(block.data(), crc32c(std::string_view(block).substr(4)));
  return true;
}

template <class Integer>
void snapshot_encoder::put(Integer value) noexcept {
  detail::store_integer(at_, static_cast<std::make_unsigned_t<Integer>>(value));
  at_ += sizeof value;
}

CONFMAN_DECL void snapshot_encoder::put_bytes(std::string_view bytes) noexcept {
  if (!bytes.empty()) std::memcpy(at_, bytes.data(), bytes.size());
  at_ += bytes.size();
}

CONFMAN_DECL void snapshot_encoder::put_next() {
  if (answer_ != nullptr && answer_ != sessions_[place_ - 1]->end()) {
    put(static_cast<std::uint8_t>(detail::snapshot_format::tag::answer));
    put(answer_->sequence), put(answer_->at.term.value()), put(answer_->at.index.value());
    put(answer_->previous_revision), put(answer_->code);
    ++answer_;
    return;
  }
  const auto done_with = [this](std::size_t size) { return place_ == size; };
  const auto go_to = [this](section s) { section_ = s, place_ = 0, answer_ = nullptr; };
  switch (section_) {
    case section::header:
      put_header();
      return go_to(section::clocks);
    case section::clocks: {
      if (done_with(state_.clock_.size())) return go_to(section::sessions);
      const auto& c = state_.clock_.begin()[place_++];
      put(static_cast<std::uint8_t>(detail::snapshot_format::tag::clock));
      put(c.author), put(c.offset), put(c.used_by);
      return;
    }
    case section::sessions:
      if (done_with(sessions_.size())) return go_to(section::uploads);
      return put_session(*sessions_[place_++]);
    case section::uploads:
      if (done_with(state_.uploads_.size())) return go_to(section::entries);
      return put_upload(state_.uploads_[place_++]);
    case section::entries:
      if (record_ == nullptr) return go_to(section::end);
      put_entry(*record_);
      record_ = cursor_.next();
      return;
    case section::end:
      put(static_cast<std::uint8_t>(detail::snapshot_format::tag::end));
      put(state_.replica_hash());
      return go_to(section::done);
    case section::done:
      return;
  }
}

CONFMAN_DECL void snapshot_encoder::put_header() {
  put(static_cast<std::uint8_t>(detail::snapshot_format::tag::header));
  put(detail::snapshot_format::version);
  put(state_.at().term.value()), put(state_.at().index.value());
  put(state_.at().index.value());  // the history's floor: what came before isn't known change by change
  put(state_.clock_.now()), put(state_.keys_.size()), put(state_.replica_hash());
  put(static_cast<std::uint32_t>(state_.clock_.size()));
  put(static_cast<std::uint32_t>(sessions_.size())), put(static_cast<std::uint32_t>(state_.uploads_.size()));
}

CONFMAN_DECL void snapshot_encoder::put_session(const detail::session& s) {
  put(static_cast<std::uint8_t>(detail::snapshot_format::tag::session));
  put(s.id), put(s.time_to_live), put(s.used_at), put(s.used_by), put(s.acknowledged);
  put(static_cast<std::uint32_t>(s.size()));
  answer_ = s.begin();
}

CONFMAN_DECL void snapshot_encoder::put_upload(const detail::upload_image& u) {
  put(static_cast<std::uint8_t>(detail::snapshot_format::tag::upload));
  put(u.author.value()), put(u.number), put(u.used_at), put(u.used_by), put(u.total);
  put(std::uint64_t{u.value.size()});
  put(static_cast<std::uint16_t>(u.key.size()));
  put_bytes(u.key);
  const std::size_t fits = std::min(u.value.size(), room());
  put_bytes(u.value.substr(0, fits));
  rest_ = u.value.substr(fits);
}

CONFMAN_DECL void snapshot_encoder::put_entry(const record& r) {
  put(static_cast<std::uint8_t>(detail::snapshot_format::tag::entry));
  put(r.create_revision()), put(r.modify_revision()), put(r.at().term.value()), put(r.key_version());
  put(r.timestamp()), put(r.author().value());
  const std::string_view key = r.key(), value = r.value();
  put(static_cast<std::uint16_t>(key.size()));
  put(static_cast<std::uint32_t>(value.size()));
  put_bytes(key);
  const std::size_t fits = std::min(value.size(), room());
  put_bytes(value.substr(0, fits));
  rest_ = value.substr(fits);
}

CONFMAN_DECL void snapshot_encoder::put_rest() {
  put(static_cast<std::uint8_t>(detail::snapshot_format::tag::more));
  const std::size_t fits = std::min(rest_.size(), room() - 4);
  put(static_cast<std::uint32_t>(fits));
  put_bytes(rest_.substr(0, fits));
  rest_.remove_prefix(fits);
}

}  // namespace confman
