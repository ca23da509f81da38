#pragma once

#include <algorithm>

#include "confman/map/content_hash.hpp"
#include "confman/map/limits.hpp"
#include "confman/map/upload_table.hpp"

namespace confman::detail {

CONFMAN_DECL std::size_t upload_table::find(node_id author, std::uint64_t number) const noexcept {
  std::size_t at = 0;
  while (at != uploads_.size() && (uploads_[at].author != author || uploads_[at].number != number)) ++at;
  return at;
}

CONFMAN_DECL std::size_t upload_table::begin(const command_view& piece) {
  uploads_.push_back({piece.author, piece.upload, 0, 0,
                      record_builder(piece.key, static_cast<std::size_t>(piece.total_bytes))});
  total_ += piece.total_bytes;
  bytes_ += uploads_.back().value.allocated_bytes();
  return uploads_.size() - 1;
}

CONFMAN_DECL bool upload_table::append(std::size_t at, const command_view& piece, std::uint64_t index,
                                       std::int64_t now) {
  const record_builder& known = uploads_[at].value;
  if (known.total() != piece.total_bytes || known.key() != piece.key) return false;
  const bool there = piece.offset + piece.value.size() <= known.filled();
  if (!there && piece.offset != known.filled() && !CONFMAN_MUTANT(upload_gap)) return false;
  upload& u = touch(at, index, now);
  if (!there) u.value.append(piece.value);
  return true;
}

CONFMAN_DECL upload_table::upload& upload_table::touch(std::size_t at, std::uint64_t index,
                                                       std::int64_t now) {
  const auto place = uploads_.begin() + static_cast<std::ptrdiff_t>(at);
  std::rotate(place, place + 1, uploads_.end());
  uploads_.back().used_by = index;
  uploads_.back().used_at = now;
  return uploads_.back();
}

CONFMAN_DECL record_builder* upload_table::complete(const command_view& write, std::uint64_t index,
                                                    std::int64_t now) {
  const std::size_t at = find(write.author, write.upload);
  if (at == uploads_.size() || uploads_[at].value.key() != write.key ||
      (uploads_[at].value.filled() != uploads_[at].value.total() && !CONFMAN_MUTANT(upload_incomplete)))
    return nullptr;
  return &touch(at, index, now).value;
}

CONFMAN_DECL void upload_table::taken(const command_view& write) {
  CONFMAN_ASSERT(find(write.author, write.upload) + 1 == uploads_.size(), "the upload was just used");
  total_ -= uploads_.back().value.total();
  bytes_ -= uploads_.back().value.allocated_bytes();
  uploads_.pop_back();
}

CONFMAN_DECL map_entry upload_table::drop(std::size_t at) {
  record_builder& value = uploads_[at].value;
  total_ -= value.total();
  bytes_ -= value.allocated_bytes();
  map_entry memory = value.abandon();
  uploads_.erase(uploads_.begin() + static_cast<std::ptrdiff_t>(at));
  return memory;
}

CONFMAN_DECL std::uint64_t upload_table::hash() const noexcept {
  std::uint64_t sum = 0;
  for (const upload& u : uploads_)
    sum += hash_numbers(5, u.author.value(), u.number, u.used_at, u.used_by, u.value.total(), u.value.hash());
  return sum;
}

CONFMAN_DECL std::vector<upload_image> upload_table::images() const {
  std::vector<upload_image> all;
  all.reserve(uploads_.size());
  for (const upload& u : uploads_)
    all.push_back({u.author, u.number, u.value.total(), u.used_at, u.used_by, u.value.key(), u.value.value(),
                   u.value.share()});
  return all;
}

CONFMAN_DECL bool upload_table::restore(const upload_image& u) {
  if (uploads_.size() == max_uploads || u.total > max_upload_bytes - total_ ||
      find(u.author, u.number) != uploads_.size())
    return false;
  if (!uploads_.empty() && (uploads_.back().used_by >= u.used_by || uploads_.back().used_at > u.used_at))
    return false;
  uploads_.push_back(
      {u.author, u.number, u.used_at, u.used_by, record_builder(u.key, static_cast<std::size_t>(u.total))});
  total_ += u.total;
  bytes_ += uploads_.back().value.allocated_bytes();
  return true;
}

}  // namespace confman::detail
