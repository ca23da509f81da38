#pragma once

#include <new>

#include "confman/core/chain.hpp"
#include "confman/map/record.hpp"

namespace confman {

namespace detail {

// Two words per multiplication; the tail is read as the last 16 bytes again, which needs no copy.
[[nodiscard]] inline std::uint64_t hash_content(std::uint64_t seed, std::string_view bytes) noexcept {
  constexpr std::uint64_t k0 = 0x9E3779B97F4A7C15u, k1 = 0xD1B54A32D192ED03u;
  std::uint64_t h = fold_multiply(seed ^ k0, bytes.size() ^ k1);
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  if (left < 16) {
    char padded[16] = {};
    if (left != 0) std::memcpy(padded, at, left);
    return fold_multiply(load_little_endian(padded) ^ h ^ k0, load_little_endian(padded + 8) ^ k1);
  }
  for (; left > 16; at += 16, left -= 16)
    h = fold_multiply(load_little_endian(at) ^ h ^ k0, load_little_endian(at + 8) ^ k1);
  at -= 16 - left;
  return fold_multiply(load_little_endian(at) ^ h ^ k0, load_little_endian(at + 8) ^ k1);
}

}  // namespace detail

CONFMAN_DECL record::record(std::string_view key, std::string_view value, const origin& from,
                            std::uint32_t references) noexcept
    : references_(references),
      value_bytes_(static_cast<std::uint32_t>(value.size())),
      create_revision_(from.create_revision),
      modify_revision_(from.at.index.value()),
      term_(from.at.term),
      timestamp_(from.timestamp),
      author_(from.author),
      counters_(from.key_version << 16 | key.size()) {
  std::memcpy(bytes(), key.data(), key.size());
  if (!value.empty()) std::memcpy(bytes() + key.size(), value.data(), value.size());
  if (value.size() >= hash_kept_from) {
    const std::uint64_t hash = detail::hash_content(0, value);
    std::memcpy(bytes() + key.size() + value.size(), &hash, sizeof hash);
  }
}

CONFMAN_DECL record* record::create(std::string_view key, std::string_view value, const origin& from,
                                    std::uint32_t references) {
  return ::new (::operator new(allocation_size(key.size(), value.size())))
      record(key, value, from, references);
}

CONFMAN_DECL void record::destroy(const record* dead) noexcept {
  dead->~record();
  ::operator delete(const_cast<record*>(dead));
}

CONFMAN_DECL std::uint64_t record::content_hash() const noexcept {
  std::uint64_t value_hash;
  if (value_bytes_ >= hash_kept_from)
    std::memcpy(&value_hash, bytes() + key_bytes() + value_bytes_, sizeof value_hash);
  else
    value_hash = detail::hash_content(0, value());
  std::uint64_t h = detail::hash_content(value_hash, key());
  h = detail::fold_multiply(h ^ create_revision_, modify_revision_ ^ 0x9E3779B97F4A7C15u);
  h = detail::fold_multiply(h ^ term_.value(), key_version() ^ 0xD1B54A32D192ED03u);
  return detail::fold_multiply(h ^ static_cast<std::uint64_t>(timestamp_),
                               author_.value() ^ 0xA0761D6478BD642Fu);
}

}  // namespace confman
