// The nodes of the persistent trie: two shapes, both without slack.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "confman/config.hpp"
#include "confman/map/limits.hpp"
#include "confman/map/record.hpp"

namespace confman::detail {

struct trie_node;

// A child: nothing, a record or a node, told apart by the lowest bit of the pointer. The reference to a node
// also says, in the 16 bits that user addresses leave free, by which byte the node branches and what shape it
// has: a lookup then fetches the key's byte while the node's own cache line is still on its way, instead of
// after it.
class trie_ref {
 public:
  trie_ref() = default;  // trie_ref{} is nothing; a plain declaration is uninitialised
  explicit trie_ref(const trie_node* n) noexcept;
  explicit trie_ref(const record* r) noexcept : bits_(reinterpret_cast<std::uintptr_t>(r) | 1) {}

  [[nodiscard]] explicit operator bool() const noexcept { return bits_ != 0; }
  [[nodiscard]] bool is_record() const noexcept { return (bits_ & 1) != 0; }
  [[nodiscard]] const record* as_record() const noexcept {
    return reinterpret_cast<const record*>(static_cast<std::uintptr_t>(bits_ - 1));
  }
  // Only the owner of the node may change it.
  [[nodiscard]] trie_node* as_node() const noexcept {
    return reinterpret_cast<trie_node*>(static_cast<std::uintptr_t>(bits_ & address_mask));
  }
  // Of the node referred to.
  [[nodiscard]] std::size_t depth() const noexcept { return static_cast<std::size_t>(bits_ >> 54); }
  [[nodiscard]] bool dense() const noexcept { return (bits_ >> 53 & 1) != 0; }
  [[nodiscard]] unsigned wide() const noexcept { return static_cast<unsigned>(bits_ >> 52 & 1); }

  friend bool operator==(trie_ref, trie_ref) = default;

  static constexpr std::uint64_t address_mask = (std::uint64_t{1} << 48) - 1;

 private:
  std::uint64_t bits_;
};

static_assert(sizeof(trie_ref) == 8);

// Every key ends, as far as the trie is concerned, in a NUL byte: no key is then a prefix of another, and a
// key that is a prefix of others is simply the child 0. That is why keys must not contain NUL.
[[nodiscard]] inline unsigned char byte_at(std::string_view key, std::size_t place) noexcept {
  return place < key.size() ? static_cast<unsigned char>(key[place]) : 0;
}

// Invariants:
//   1. all keys below agree in the first `depth` bytes and differ in byte `depth`; the bytes skipped since
//      the parent are not stored: a lookup checks the whole key once, in the record (as in a Patricia tree).
//   2. depth grows from parent to child, so a path has at most max_key_bytes + 1 nodes.
//   3. at least two children, ordered by their byte; no child is nothing.
//   4. sparse: 2 to 16 sorted bytes in one or two words, then the children;
//      dense: more than `dense_until` children, a bitmap of 256 bits, how many lie before each word, then the
//      children.
//   5. a node whose edit id isn't that of the running edit is immutable.
struct trie_node {
  static constexpr unsigned sparse_limit = 16;
  static constexpr unsigned dense_until =
      12;  // a shrinking dense node turns sparse here, a growing one beyond 16
  static constexpr unsigned dense_mark = 63;

  std::uint64_t head;  // edit id (48 bits), depth (10 bits), count or dense_mark (6 bits)

  [[nodiscard]] std::uint64_t edit() const noexcept { return head >> 16; }
  [[nodiscard]] std::size_t depth() const noexcept { return (head >> 6) & 1023; }
  [[nodiscard]] bool dense() const noexcept { return (head & 63) == dense_mark; }
  [[nodiscard]] unsigned count() const noexcept {
    return dense() ? dense_body()->count : static_cast<unsigned>(head & 63);
  }

  // The child for `label` of a node that is not dense, or nothing; `wide`: it has more than 8 children.
  // Doesn't look at `head`. Unused label places repeat the last label, so the first hit is always a child.
  [[nodiscard]] trie_ref find_sparse(unsigned char label, unsigned wide) const noexcept {
    const unsigned hits = equal_labels(label) & (0xffu | wide * 0xff00u);
    if (hits == 0) return {};
    trie_ref found;
    const auto place = static_cast<std::size_t>(std::countr_zero(hits));
    std::memcpy(&found, labels() + 8 + wide * 8 + place * sizeof(trie_ref), sizeof found);
    return found;
  }
  [[nodiscard]] trie_ref find_dense(unsigned char label) const noexcept {
    const dense_header* d = dense_body();
    if ((d->bits[label >> 6] >> (label & 63) & 1) == 0) return {};
    return reinterpret_cast<const trie_ref*>(d + 1)[dense_place(*d, label)];
  }

  struct position {
    unsigned place;  // how many children have a smaller byte
    bool found;      // whether the child at `place` has exactly this byte
  };
  [[nodiscard]] position locate(unsigned char label) const noexcept {
    if (dense()) {
      const dense_header* d = dense_body();
      return {dense_place(*d, label), (d->bits[label >> 6] >> (label & 63) & 1) != 0};
    }
    const auto small = static_cast<unsigned>(head & 63);
    if (const unsigned hits = equal_labels(label) & ((1u << small) - 1); hits != 0)
      return {static_cast<unsigned>(std::countr_zero(hits)), true};
    unsigned place = 0;
    while (place < small && labels()[place] < label) ++place;
    return {place, false};
  }

  [[nodiscard]] trie_ref child(unsigned place) const noexcept { return children()[place]; }
  // Precondition: the caller owns this node.
  void set_child(unsigned place, trie_ref to) noexcept { const_cast<trie_ref*>(children())[place] = to; }

  [[nodiscard]] std::size_t allocated_bytes() const noexcept { return allocation_size(count(), dense()); }
  [[nodiscard]] static std::size_t allocation_size(unsigned count, bool dense) noexcept {
    if (dense) return sizeof(trie_node) + sizeof(dense_header) + count * sizeof(trie_ref);
    return sizeof(trie_node) + (count > 8 ? 16 : 8) + count * sizeof(trie_ref);
  }

  // Writes count() bytes, ascending.
  void copy_labels(unsigned char* to) const noexcept {
    if (!dense()) {
      std::memcpy(to, labels(), count());
      return;
    }
    for (unsigned label = 0; label < 256; ++label)
      if (dense_body()->bits[label >> 6] >> (label & 63) & 1) *to++ = static_cast<unsigned char>(label);
  }

  // Fills fresh memory of allocation_size(count, dense). `sorted` holds `count` ascending bytes.
  void fill(std::uint64_t edit_id, std::size_t at_depth, bool as_dense, unsigned count_,
            const unsigned char* sorted, const trie_ref* refs) noexcept {
    head = edit_id << 16 | at_depth << 6 | (as_dense ? dense_mark : count_);
    if (as_dense) {
      dense_header d{};
      for (unsigned i = 0; i < count_; ++i) d.bits[sorted[i] >> 6] |= std::uint64_t{1} << (sorted[i] & 63);
      for (unsigned word = 1; word < 4; ++word)
        d.before[word] = static_cast<std::uint8_t>(d.before[word - 1] + std::popcount(d.bits[word - 1]));
      d.count = static_cast<std::uint16_t>(count_);
      std::memcpy(const_cast<dense_header*>(dense_body()), &d, sizeof d);
    } else {
      std::memset(reinterpret_cast<char*>(this + 1), sorted[count_ - 1], count_ > 8 ? 16 : 8);
      std::memcpy(reinterpret_cast<char*>(this + 1), sorted, count_);
    }
    std::memcpy(static_cast<void*>(const_cast<trie_ref*>(children())), refs, count_ * sizeof(trie_ref));
  }

 private:
  struct dense_header {
    std::uint64_t bits[4];
    std::uint8_t before[4];  // children in the words before this one
    std::uint16_t count;
    std::uint16_t unused;
  };
  static_assert(sizeof(dense_header) == 40);

  [[nodiscard]] const unsigned char* labels() const noexcept {
    return reinterpret_cast<const unsigned char*>(this + 1);
  }
  [[nodiscard]] const dense_header* dense_body() const noexcept {
    return reinterpret_cast<const dense_header*>(this + 1);
  }
  [[nodiscard]] const trie_ref* sparse_children(unsigned count_) const noexcept {
    return reinterpret_cast<const trie_ref*>(labels() + (count_ > 8 ? 16 : 8));
  }
  [[nodiscard]] const trie_ref* children() const noexcept {
    return dense() ? reinterpret_cast<const trie_ref*>(dense_body() + 1)
                   : sparse_children(static_cast<unsigned>(head & 63));
  }

  // One bit per place, of 16, that holds `label`. With 8 places or less the upper bits mean nothing: those
  // bytes are children, of which there are two at least.
  [[nodiscard]] unsigned equal_labels(unsigned char label) const noexcept {
#if defined(__SSE2__)
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(labels()));
    return static_cast<unsigned>(
        _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(static_cast<char>(label)))));
#else
    unsigned hits = 0;
    for (unsigned i = 0; i < 16; ++i) hits |= static_cast<unsigned>(labels()[i] == label) << i;
    return hits;
#endif
  }

  [[nodiscard]] static unsigned dense_place(const dense_header& d, unsigned char label) noexcept {
    const std::uint64_t below = d.bits[label >> 6] & ((std::uint64_t{1} << (label & 63)) - 1);
    return d.before[label >> 6] + static_cast<unsigned>(std::popcount(below));
  }
};

static_assert(sizeof(trie_node) == 8);

inline trie_ref::trie_ref(const trie_node* n) noexcept
    : bits_(reinterpret_cast<std::uintptr_t>(n) | std::uint64_t{n->depth()} << 54 |
            std::uint64_t{n->dense()} << 53 | std::uint64_t{!n->dense() && n->count() > 8} << 52) {}
static_assert(max_key_bytes < 1024, "a depth has 10 bits");

}  // namespace confman::detail
