#pragma once

#include <new>

#include "confman/map/content_hash.hpp"
#include "confman/map/record.hpp"

namespace confman {

CONFMAN_DECL record::record(std::string_view key, std::string_view value, const origin& from,
                            std::uint32_t references) noexcept
    : references_(references),
      value_bytes_(static_cast<std::uint32_t>(value.size())),
      modify_revision_(from.at.index.value()),
      timestamp_(from.timestamp),
      origin_(0),
      counters_(key.size()) {
  std::memcpy(bytes(), key.data(), key.size());
  if (!value.empty()) std::memcpy(bytes() + key.size(), value.data(), value.size());
  const std::uint64_t hash = value.size() >= hash_kept_from ? detail::hash_content(0, value) : 0;
  complete(from, hash);
}

CONFMAN_DECL record::record(std::string_view key, std::size_t value_bytes) noexcept
    : references_(1),
      value_bytes_(static_cast<std::uint32_t>(value_bytes)),
      modify_revision_(0),
      timestamp_(0),
      origin_(0),
      counters_(key.size()) {
  std::memcpy(bytes(), key.data(), key.size());
}

CONFMAN_DECL void record::complete(const origin& from, std::uint64_t value_hash) noexcept {
  modify_revision_ = from.at.index.value();
  timestamp_ = from.timestamp;
  char* at = bytes() + key_bytes() + value_bytes_;
  if (needs_wide(from)) {
    const std::uint64_t all[4] = {from.create_revision, from.key_version, from.at.term.value(),
                                  from.author.value()};
    static_assert(sizeof all == extra_bytes);
    std::memcpy(at, all, sizeof all);
    at += sizeof all;
    counters_ |= wide_mark;
  } else {
    origin_ = from.at.term.value() << 32 | from.author.value();
    counters_ |= (modify_revision_ - from.create_revision) << 32 | from.key_version << 11;
  }
  if (value_bytes_ >= hash_kept_from) std::memcpy(at, &value_hash, sizeof value_hash);
}

CONFMAN_DECL record* record::create(std::string_view key, std::string_view value, const origin& from,
                                    std::uint32_t references) {
  return create_in(::operator new(allocation_size(key, value, from)), key, value, from, references);
}

CONFMAN_DECL void record::destroy(const record* dead) noexcept {
  dead->~record();
  ::operator delete(const_cast<record*>(dead));
}

CONFMAN_DECL std::uint64_t record::content_hash() const noexcept {
  std::uint64_t value_hash;
  if (value_bytes_ >= hash_kept_from)
    std::memcpy(&value_hash, bytes() + key_bytes() + value_bytes_ + (wide() ? extra_bytes : 0),
                sizeof value_hash);
  else
    value_hash = detail::hash_content(0, value());
  std::uint64_t h = detail::hash_content(value_hash, key());
  h = detail::fold_multiply(h ^ create_revision(), modify_revision_ ^ 0x9E3779B97F4A7C15u);
  h = detail::fold_multiply(h ^ at().term.value(), key_version() ^ 0xD1B54A32D192ED03u);
  return detail::fold_multiply(h ^ static_cast<std::uint64_t>(timestamp_),
                               author().value() ^ 0xA0761D6478BD642Fu);
}

}  // namespace confman
