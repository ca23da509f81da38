// Strong integers: a term can't be passed where an index is wanted.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace confman {

template <class Tag>
class tagged {
 public:
  using rep = std::uint64_t;

  constexpr tagged() noexcept = default;
  constexpr explicit tagged(rep value) noexcept : value_(value) {}

  [[nodiscard]] constexpr rep value() const noexcept { return value_; }
  constexpr explicit operator bool() const noexcept { return value_ != 0; }

  constexpr tagged& operator++() noexcept { return ++value_, *this; }
  constexpr tagged& operator--() noexcept { return --value_, *this; }

  friend constexpr auto operator<=>(tagged, tagged) noexcept = default;
  friend constexpr tagged operator+(tagged a, rep n) noexcept { return tagged(a.value_ + n); }
  friend constexpr tagged operator-(tagged a, rep n) noexcept { return tagged(a.value_ - n); }
  // The distance between two places. Precondition: a >= b.
  friend constexpr rep operator-(tagged a, tagged b) noexcept { return a.value_ - b.value_; }

  template <class Archive>
  void serialize(Archive& archive) {
    archive(value_);
  }

 private:
  rep value_ = 0;
};

using term_t = tagged<struct term_tag>;            // Raft's generation clock; 0 is before the first election
using log_index = tagged<struct log_index_tag>;    // place in the log; the first entry is 1, 0 is "none"
using node_id = tagged<struct node_id_tag>;        // a member of the cluster; 0 is "none"
using group_id = tagged<struct group_id_tag>;      // one Raft group; many may share a process
using cluster_id = tagged<struct cluster_id_tag>;  // drawn once per cluster, so that two can't mix
using incarnation_id =
    tagged<struct incarnation_tag>;                // drawn once per data directory: a wiped disk gets another
using write_seq = tagged<struct write_seq_tag>;    // place in a node's ordered stream of storage writes
using read_id = tagged<struct read_id_tag>;        // names one read request between runtime and core
using chain_hash = tagged<struct chain_hash_tag>;  // hash of the log up to and including an entry

// What a client holds: the place in the log of the write it saw. Ordered as Raft orders logs (paper, 5.4.1).
struct version {
  term_t term;
  log_index index;

  friend constexpr auto operator<=>(const version&, const version&) noexcept = default;

  template <class Archive>
  void serialize(Archive& archive) {
    archive(term, index);
  }
};

// No place above is taken from a snapshot, of a peer or of a disk: what is damaged or a lie must not bring
// sums of places to an overflow. A log that grows by a million entries a second gets there in 2,000 years.
inline constexpr log_index highest_index{(std::uint64_t{1} << 56) - 1};

}  // namespace confman

template <class Tag>
struct std::hash<confman::tagged<Tag>> {
  std::size_t operator()(confman::tagged<Tag> id) const noexcept {
    return std::hash<std::uint64_t>{}(id.value());
  }
};
