// Reading one version of the trie: exact lookup, ordered cursor, scan of a prefix. No recursion, no
// allocation.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "confman/config.hpp"
#include "confman/map/trie_node.hpp"
#include "confman/mutants.hpp"

namespace confman::detail {

// Nodes on the longest possible path (invariant 2 of trie_node).
inline constexpr std::size_t max_trie_path = max_key_bytes + 1;

// The child on the way to `key`, or nothing. Precondition: `at` is a node.
[[nodiscard]] inline trie_ref child_towards(trie_ref at, std::string_view key) noexcept {
  // The child's place follows from the bytes in the first line, but may lie in the next: fetch both at once.
  __builtin_prefetch(reinterpret_cast<const char*>(at.as_node()) + 64);
  const unsigned char label = byte_at(key, at.depth());
  return at.dense() ? at.as_node()->find_dense(label) : at.as_node()->find_sparse(label, at.wide());
}

// Keys are short: a call to memcmp costs more than the comparison.
[[nodiscard]] inline bool same_key(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  const auto word = [](const char* bytes) {
    std::uint64_t w;
    std::memcpy(&w, bytes, sizeof w);
    return w;
  };
  std::size_t left = a.size();
  const char *x = a.data(), *y = b.data();
  if (left < 8) return left == 0 || std::memcmp(x, y, left) == 0;
  for (; left > 8; x += 8, y += 8, left -= 8)
    if (word(x) != word(y)) return false;
  return word(x + left - 8) == word(y + left - 8);
}

// The record of exactly this key, or nullptr. Any bytes may be asked for.
[[nodiscard]] inline const record* find_record(trie_ref at, std::string_view key) noexcept {
  if (!at) return nullptr;
  while (!at.is_record()) {
    at = child_towards(at, key);
    if (!at) return nullptr;
  }
  const record* const found = at.as_record();
  return same_key(found->key(), key) ? found : nullptr;
}

// The first byte in which two terminated keys differ; npos if they are the same.
[[nodiscard]] inline std::size_t first_difference(std::string_view a, std::string_view b) noexcept {
  const std::size_t common = std::min(a.size(), b.size());
  const auto at = static_cast<std::size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(common), b.begin()).first - a.begin());
  return at == common && a.size() == b.size() ? std::string_view::npos : at;
}

// Walks the records of one version in key order. Lives on the stack (8 KiB); valid as long as the version is.
class trie_cursor {
 public:
  explicit trie_cursor(trie_ref root) noexcept : root_(root) {}

  // Goes to the first record whose key is not less than `key` (greater, if `after`). nullptr if there is
  // none.
  CONFMAN_DECL const record* seek(std::string_view key, bool after) noexcept;
  // Goes to the record after the one returned last. nullptr at the end. Precondition: a record was returned.
  CONFMAN_DECL const record* next() noexcept;

 private:
  struct frame {
    const trie_node* node;
    unsigned place;
  };

  const record* first_below(trie_ref at) noexcept;

  trie_ref root_;
  std::size_t height_ = 0;
  std::array<frame, max_trie_path> path_;  // uninitialised beyond height_
};

// Calls `visit(const record&) -> bool` for the keys that start with `prefix` and are greater than
// `start_after` (empty: from the first), in order, until it returns false.
template <class Visitor>
void scan(trie_ref root, std::string_view prefix, std::string_view start_after, Visitor&& visit) {
  if (!root) return;
  const bool after = (!start_after.empty() && start_after >= prefix) || CONFMAN_MUTANT(scan_skips_prefix);
  trie_cursor cursor(root);
  const record* at = cursor.seek(after ? start_after : prefix, after);
  for (; at != nullptr && at->key().substr(0, prefix.size()) == prefix; at = cursor.next())
    if (!visit(*at)) return;
}

}  // namespace confman::detail

#if !defined(CONFMAN_COMPILED)
#include "confman/map/impl/trie.ipp"
#endif
