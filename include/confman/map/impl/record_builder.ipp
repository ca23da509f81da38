#pragma once

#include <cstring>
#include <new>

#include "confman/map/record_builder.hpp"

namespace confman::detail {

CONFMAN_DECL record_builder::record_builder(std::string_view key, std::size_t total)
    : total_(total), hasher_(0, total) {
  const auto* const r = ::new (::operator new(allocation_size(key.size(), total))) record(key, total);
  building_ = map_entry::adopt(r);
  key_ = r->key();
}

CONFMAN_DECL void record_builder::append(std::string_view bytes) noexcept {
  CONFMAN_ASSERT(bytes.size() <= total_ - filled_, "a value never gets more bytes than were announced");
  char* const begin = const_cast<record&>(*building_).bytes() + key_.size();
  if (!bytes.empty()) std::memcpy(begin + filled_, bytes.data(), bytes.size());
  filled_ += bytes.size();
  hasher_.update(begin, filled_);
}

CONFMAN_DECL const record* record_builder::seal(const record::origin& from,
                                                std::uint32_t references) noexcept {
  CONFMAN_ASSERT(filled_ == total_, "a record is complete before it is used");
  auto& made = const_cast<record&>(*building_);
  made.complete(from, total_ >= record::hash_kept_from ? hasher_.finish(value().data()) : 0);
  for (std::uint32_t i = 1; i < references; ++i) made.acquire();
  return building_.detach();
}

}  // namespace confman::detail
