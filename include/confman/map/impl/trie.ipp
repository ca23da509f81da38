#pragma once

#include "confman/map/trie.hpp"

namespace confman::detail {

CONFMAN_DECL const record* trie_cursor::first_below(trie_ref at) noexcept {
  while (!at.is_record()) {
    path_[height_++] = {at.as_node(), 0};
    at = at.as_node()->child(0);
  }
  return at.as_record();
}

CONFMAN_DECL const record* trie_cursor::next() noexcept {
  while (height_ != 0) {
    frame& top = path_[height_ - 1];
    if (++top.place < top.node->count()) return first_below(top.node->child(top.place));
    --height_;
  }
  return nullptr;
}

CONFMAN_DECL const record* trie_cursor::seek(std::string_view key, bool after) noexcept {
  height_ = 0;
  if (!root_) return nullptr;
  // No key has a NUL, so what follows "a\0..." is what follows "a".
  if (const auto nul = key.find('\0'); nul != std::string_view::npos) key = key.substr(0, nul), after = true;
  // Down to some record that shares as much of the key as any does ...
  trie_ref at = root_;
  while (!at.is_record()) {
    const trie_node* const node = at.as_node();
    const auto where = node->locate(byte_at(key, node->depth()));
    const unsigned place = where.found ? where.place : 0;
    path_[height_++] = {node, place};
    at = node->child(place);
  }
  const record* const near = at.as_record();
  const std::size_t differs = first_difference(key, near->key());
  if (differs == std::string_view::npos) return after ? next() : near;
  // ... then back up to where the key leaves the tree: everything below agrees with `near` up to `differs`.
  while (height_ != 0 && path_[height_ - 1].node->depth() > differs) --height_;
  if (height_ != 0 && path_[height_ - 1].node->depth() == differs) {
    frame& top = path_[height_ - 1];
    top.place = top.node->locate(byte_at(key, differs)).place;
    if (top.place < top.node->count()) return first_below(top.node->child(top.place));
    --height_;
    return next();
  }
  if (byte_at(near->key(), differs) < byte_at(key, differs)) return next();
  return first_below(height_ == 0 ? root_ : path_[height_ - 1].node->child(path_[height_ - 1].place));
}

}  // namespace confman::detail
