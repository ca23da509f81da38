// A hash of all that a core's behaviour depends on.
#pragma once

#include <bit>
#include <compare>
#include <cstdint>
#include <string_view>

#include "confman/core/chain.hpp"
#include "confman/core/state_visitor.hpp"
#include "confman/wire/message_codec.hpp"

namespace confman::testing {

struct hash128 {
  std::uint64_t high = 0, low = 0;
  friend auto operator<=>(const hash128&, const hash128&) = default;
};

// Two independent 64-bit hashes of a sequence of words. Not against attackers.
class state_hasher {
 public:
  void operator()(std::uint64_t word) noexcept {
    high_ = std::rotl(high_, 27) + detail::fold_multiply(word ^ 0x9E3779B97F4A7C15u, high_ ^ k0);
    low_ = std::rotl(low_, 31) + detail::fold_multiply(word ^ 0xD6E8FEB86659FD93u, low_ ^ k1);
  }
  void bytes(std::string_view text) noexcept {
    (*this)(text.size());
    for (; !text.empty(); text.remove_prefix(std::min<std::size_t>(8, text.size()))) {
      char word[8] = {};
      std::memcpy(word, text.data(), std::min<std::size_t>(8, text.size()));
      (*this)(detail::load_little_endian(word));
    }
  }
  template <class... Values>
  void values(const Values&... all) {
    state_visitor visit(*this, show_message);
    visit(all...);
  }
  [[nodiscard]] hash128 result() const noexcept {
    return {detail::fold_multiply(high_ ^ k1, k0), detail::fold_multiply(low_ ^ k0, k1)};
  }

  // What travels says all of a message but the numbers of its entries, which follow from the place before.
  static void append(state_hasher& hash, const message& m) {
    gather_buffer frame;
    encode_message(m, frame);
    hash.bytes(frame.str());
  }

 private:
  struct shown {
    template <class Visitor>
    void operator()(Visitor& visit, const message& m) const {
      state_hasher inner;
      append(inner, m);
      const hash128 hash = inner.result();
      visit(hash.high, hash.low);
    }
  };
  static constexpr shown show_message{};
  static constexpr std::uint64_t k0 = 0xA0761D6478BD642Fu, k1 = 0xE7037ED1A0B428DBu;
  std::uint64_t high_ = 1, low_ = 2;
};

[[nodiscard]] inline hash128 hash_of_message(const message& m) {
  state_hasher hash;
  state_hasher::append(hash, m);
  return hash.result();
}
[[nodiscard]] inline hash128 hash_of_core(const raft_core& core) {
  state_hasher hash;
  hash.values(core);
  return hash.result();
}

}  // namespace confman::testing
