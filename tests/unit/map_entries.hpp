// Log entries for the tests of the map.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "confman/map/map_state.hpp"

namespace map_test {

using namespace confman;

inline entry make_entry(std::uint64_t index, const command_view& command) {
  entry e;
  e.term = term_t(1 + index / 100);
  e.index = log_index(index);
  e.type = entry_type::command;
  e.payload = encode(command);
  return e;
}

inline command_view command(command_kind kind, std::string_view key, std::string_view value = {},
                            std::uint64_t expected = 0) {
  command_view c;
  c.kind = kind;
  c.key = key;
  c.value = value;
  c.expected_revision = expected;
  c.timestamp = 1000;
  c.author = node_id(2);
  return c;
}

// Applies one command at the next index, unpublished.
inline apply_result apply(map_state& map, command_kind kind, std::string_view key,
                          std::string_view value = {}, std::uint64_t expected = 0) {
  return map.apply(make_entry(map.applied().index.value() + 1, command(kind, key, value, expected)));
}
inline apply_result put(map_state& map, std::string_view key, std::string_view value = "v") {
  return apply(map, command_kind::put, key, value);
}
inline apply_result erase(map_state& map, std::string_view key) {
  return apply(map, command_kind::erase, key);
}

inline std::string value_of(const map_state& map, std::string_view key) {
  const auto entry = map.get(key);
  return entry ? std::string(entry->value()) : "(absent)";
}

}  // namespace map_test
