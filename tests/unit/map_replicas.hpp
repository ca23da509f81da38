// Sessions, uploads and snapshot streams for the tests of the map.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/map/map_state.hpp"
#include "confman/map/snapshot_encoder.hpp"
#include "confman/map/snapshot_loader.hpp"
#include "unit/map_entries.hpp"

namespace map_test {

using blocks = std::vector<std::string>;

inline blocks save(const map_state& map) {
  snapshot_encoder encoder(map.capture());
  blocks all;
  for (std::string block; encoder.next(block);) all.push_back(block);
  return all;
}

inline result<loaded_map> load(const blocks& all) {
  snapshot_loader loader;
  for (const std::string& block : all)
    if (failure failed = loader.feed(block)) return failed;
  return loader.finish();
}

// Makes `to` what `all` says.
inline void adopt(map_state& to, const blocks& all) {
  auto loaded = load(all);
  REQUIRE_MESSAGE(loaded, loaded.error().what);
  to.adopt(std::move(*loaded));
}

inline std::uint64_t next_index(const map_state& map) {
  return map.applied().index.value() + 1;
}
inline apply_result apply(map_state& map, const command_view& c) {
  return map.apply(make_entry(next_index(map), c));
}

inline command_view open_command(std::uint64_t time_to_live_ms) {
  command_view c;
  c.kind = command_kind::session_open;
  c.time_to_live_ms = time_to_live_ms;
  c.timestamp = 1000;
  c.author = node_id(2);
  return c;
}
inline std::uint64_t open_session(map_state& map, std::uint64_t time_to_live_ms = 60'000) {
  return apply(map, open_command(time_to_live_ms)).revision;
}
inline command_view in_session(command_view c, std::uint64_t session, std::uint64_t sequence,
                               std::uint64_t acknowledged = 0) {
  c.session = session;
  c.sequence = sequence;
  c.acknowledged = acknowledged;
  return c;
}
inline command_view session_command(command_kind kind, std::uint64_t session,
                                    std::uint64_t acknowledged = 0) {
  command_view c;
  c.kind = kind;
  c.session = session;
  c.acknowledged = acknowledged;
  c.timestamp = 1000;
  c.author = node_id(2);
  return c;
}
inline apply_result put_in_session(map_state& map, std::uint64_t session, std::uint64_t sequence,
                                   std::string_view key, std::string_view value,
                                   std::uint64_t acknowledged = 0) {
  return apply(map, in_session(command(command_kind::put, key, value), session, sequence, acknowledged));
}

inline command_view piece(std::uint64_t upload, std::string_view key, std::string_view whole,
                          std::size_t offset, std::size_t size) {
  command_view c = command(command_kind::upload_piece, key, whole.substr(offset, size));
  c.upload = upload;
  c.total_bytes = whole.size();
  c.offset = offset;
  return c;
}
// All pieces of a value, of `size` bytes each; true if all were taken.
inline bool upload(map_state& map, std::uint64_t number, std::string_view key, std::string_view whole,
                   std::size_t size = max_piece_bytes) {
  bool good = true;
  for (std::size_t at = 0; at < whole.size(); at += size)
    good = !apply(map, piece(number, key, whole, at, size)).code && good;
  return good;
}
inline command_view put_upload(std::uint64_t number, std::string_view key) {
  command_view c = command(command_kind::put, key);
  c.upload = number;
  return c;
}

inline std::string pattern(std::size_t size, unsigned seed = 1) {
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>((seed = seed * 1664525u + 1013904223u) >> 24);
  return text;
}

}  // namespace map_test
