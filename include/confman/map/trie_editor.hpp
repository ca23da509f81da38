// Changing the trie: copies a node the first time a batch touches it, edits it in place after that.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "confman/config.hpp"
#include "confman/map/node_pool.hpp"
#include "confman/map/trie.hpp"
#include "confman/map/trie_node.hpp"

namespace confman::detail {

// The writer's side of one trie. Usage: seek(key), then at most one of put() and erase() for that key.
// A node made under the running edit id has never been published, so it is changed or freed at once; any
// other may be in use by readers, so it is copied and the old one handed to `Retire::retire(trie_ref)`.
// Thread safety: one thread.
template <class Retire>
class trie_editor {
 public:
  trie_editor(node_pool& pool, Retire& retire) noexcept : pool_(&pool), retire_(retire) {}
  trie_editor(const trie_editor&) = delete;
  trie_editor& operator=(const trie_editor&) = delete;

  [[nodiscard]] trie_ref root() const noexcept { return root_; }
  // What the nodes of the current tree take.
  [[nodiscard]] std::size_t node_bytes() const noexcept { return node_bytes_; }

  // Everything made so far is published from now on. Precondition: larger than all edit ids before, below
  // 2^48.
  void begin_edit(std::uint64_t edit) noexcept {
    CONFMAN_ASSERT(edit > edit_ && edit < std::uint64_t{1} << 48, "edit ids grow and have 48 bits");
    edit_ = edit;
  }

  // Lets go of the tree, which someone else frees, and goes on with another one whose nodes live in `pool`
  // and have edit ids below the running one.
  void replace(node_pool& pool, trie_ref root, std::size_t node_bytes) noexcept {
    pool_ = &pool;
    root_ = root;
    node_bytes_ = node_bytes;
    near_ = nullptr;
    height_ = 0;
  }

  // The record of `key`, or nullptr; remembers the path for put() and erase().
  const record* seek(std::string_view key) noexcept {
    height_ = 0;
    key_ = key;
    near_ = nullptr;
    if (!root_) return nullptr;
    trie_ref at = root_;
    while (!at.is_record()) {
      trie_node* const node = at.as_node();
      const auto where = node->locate(byte_at(key, node->depth()));
      const unsigned place = where.found ? where.place : 0;
      path_[height_++] = {node, place};
      at = node->child(place);
    }
    near_ = at.as_record();
    differs_ = first_difference(key, near_->key());
    return differs_ == std::string_view::npos ? near_ : nullptr;
  }

  // Puts `added`, whose key is the one sought, in the place of the record found or as a new one. The record
  // it replaces is left to the caller.
  void put(const record* added) {
    if (!near_) {
      root_ = trie_ref(added);
    } else if (differs_ == std::string_view::npos) {
      own_path(height_);
      link(height_, trie_ref(added));
    } else {
      while (height_ != 0 && path_[height_ - 1].node->depth() > differs_) --height_;
      if (height_ != 0 && path_[height_ - 1].node->depth() == differs_)
        add_child(added);
      else
        split(added);
    }
  }

  // Removes the record found. Precondition: seek() returned one. The record is left to the caller.
  void erase() {
    if (height_ == 0) {
      root_ = {};
      return;
    }
    const step last = path_[--height_];
    own_path(height_);
    if (last.node->count() == 2) {
      link(height_, last.node->child(1 - last.place));
    } else {
      gathered all(*last.node);
      all.remove(last.place);
      link(height_, trie_ref(make(last.node->depth(), all, last.node->dense())));
    }
    drop(last.node);
  }

  // Frees all nodes and gives up the tree's reference to each record. Precondition: no reader.
  void clear() noexcept {
    if (root_ && root_.is_record()) root_.as_record()->release();
    height_ = 0;
    if (root_ && !root_.is_record()) path_[height_++] = {root_.as_node(), 0};
    while (height_ != 0) {
      step& top = path_[height_ - 1];
      if (top.place == top.node->count()) {
        pool_->free(top.node, top.node->allocated_bytes());
        --height_;
      } else if (const trie_ref next = top.node->child(top.place++); next.is_record()) {
        next.as_record()->release();
      } else {
        path_[height_++] = {next.as_node(), 0};
      }
    }
    root_ = {};
    near_ = nullptr;
    node_bytes_ = 0;
  }

 private:
  struct step {
    trie_node* node;
    unsigned place;
  };

  // The children of a node, laid out for change.
  struct gathered {
    explicit gathered(const trie_node& from) noexcept : count(from.count()) {
      from.copy_labels(labels);
      for (unsigned i = 0; i < count; ++i) refs[i] = from.child(i);
    }
    void insert(unsigned place, unsigned char label, trie_ref ref) noexcept {
      for (unsigned i = count++; i > place; --i) labels[i] = labels[i - 1], refs[i] = refs[i - 1];
      labels[place] = label;
      refs[place] = ref;
    }
    void remove(unsigned place) noexcept {
      --count;
      for (unsigned i = place; i < count; ++i) labels[i] = labels[i + 1], refs[i] = refs[i + 1];
    }
    unsigned count;
    unsigned char labels[257];
    trie_ref refs[257];
  };

  [[nodiscard]] trie_node* allocate(std::size_t bytes) {
    auto* const node = static_cast<trie_node*>(pool_->allocate(bytes));
    node_bytes_ += bytes;
    return node;
  }

  [[nodiscard]] trie_node* make(std::size_t depth, const gathered& all, bool was_dense) {
    const bool dense = all.count > (was_dense ? trie_node::dense_until : trie_node::sparse_limit);
    trie_node* const node = allocate(trie_node::allocation_size(all.count, dense));
    node->fill(edit_, depth, dense, all.count, all.labels, all.refs);
    return node;
  }

  void drop(trie_node* node) {
    const std::size_t bytes = node->allocated_bytes();
    node_bytes_ -= bytes;
    if (node->edit() == edit_)
      pool_->free(node, bytes);
    else
      retire_.retire(trie_ref(node));
  }

  // Makes `to` the child at the end of the first `height` steps, all of which are owned.
  void link(std::size_t height, trie_ref to) noexcept {
    if (height == 0)
      root_ = to;
    else
      path_[height - 1].node->set_child(path_[height - 1].place, to);
  }

  // Copies the nodes of the first `height` steps that aren't owned yet.
  void own_path(std::size_t height) {
    for (std::size_t i = 0; i < height; ++i) {
      trie_node* const old = path_[i].node;
      if (old->edit() == edit_) continue;
      const std::size_t bytes = old->allocated_bytes();
      trie_node* const copy = allocate(bytes);
      std::memcpy(static_cast<void*>(copy), old, bytes);
      copy->head = edit_ << 16 | (old->head & 0xffff);
      path_[i].node = copy;
      link(i, trie_ref(copy));
      drop(old);
    }
  }

  // The key leaves the tree in the byte by which the last node of the path branches: one child more.
  void add_child(const record* added) {
    const step last = path_[--height_];
    own_path(height_);
    const unsigned char label = byte_at(key_, differs_);
    gathered all(*last.node);
    all.insert(last.node->locate(label).place, label, trie_ref(added));
    link(height_, trie_ref(make(differs_, all, last.node->dense())));
    drop(last.node);
  }

  // The key leaves the tree between two nodes: a new node of two children there.
  void split(const record* added) {
    const trie_ref below = height_ == 0 ? root_ : path_[height_ - 1].node->child(path_[height_ - 1].place);
    own_path(height_);
    const unsigned char mine = byte_at(key_, differs_), theirs = byte_at(near_->key(), differs_);
    const bool first = mine < theirs;
    const unsigned char labels[2] = {first ? mine : theirs, first ? theirs : mine};
    const trie_ref refs[2] = {first ? trie_ref(added) : below, first ? below : trie_ref(added)};
    trie_node* const node = allocate(trie_node::allocation_size(2, false));
    node->fill(edit_, differs_, false, 2, labels, refs);
    link(height_, trie_ref(node));
  }

  node_pool* pool_;
  Retire& retire_;
  trie_ref root_{};
  std::uint64_t edit_ = 0;
  std::size_t node_bytes_ = 0;
  std::string_view key_;
  const record* near_ = nullptr;
  std::size_t differs_ = 0;
  std::size_t height_ = 0;
  std::array<step, max_trie_path> path_;
};

}  // namespace confman::detail
