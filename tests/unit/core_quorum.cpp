#include <doctest/doctest.h>

#include "confman/core/quorum.hpp"
#include "confman/core/votes.hpp"
#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

// Members whose bit is set in `mask`: bit 0 is node 1.
std::vector<member> members_of(unsigned mask) {
  std::vector<member> list;
  for (unsigned bit = 0; bit < 5; ++bit)
    if (mask >> bit & 1u) list.push_back({node_id(bit + 1), incarnation_id{}});
  return list;
}

unsigned bits(unsigned mask) {
  return mask == 0 ? 0 : (mask & 1u) + bits(mask >> 1);
}

bool majority_of(unsigned voters_mask, unsigned yes) {
  return 2 * bits(voters_mask & yes) > bits(voters_mask);
}

unsigned bit_of(const member& m) {
  return 1u << (m.id.value() - 1);
}

}  // namespace

TEST_CASE("a majority is more than half") {
  for (std::size_t n = 1; n <= 9; ++n) {
    CHECK(2 * majority(n) > n);
    CHECK(2 * (majority(n) - 1) <= n);
  }
}

TEST_CASE(
    "votes are counted as brute force counts them, for all configurations of up to 5 voters, joint too") {
  std::size_t wrong = 0;
  for (unsigned incoming = 1; incoming < 32; ++incoming) {
    for (unsigned outgoing = 0; outgoing < 32; ++outgoing) {
      configuration members{members_of(incoming), members_of(outgoing), {}};
      // Each voter says yes, no or nothing.
      for (unsigned yes = 0; yes < 32; ++yes) {
        for (unsigned no = 0; no < 32; ++no) {
          if ((yes & no) != 0) continue;
          const vote_result found = count_votes(members, [&](const member& m) -> std::optional<bool> {
            if (yes & bit_of(m)) return true;
            if (no & bit_of(m)) return false;
            return std::nullopt;
          });
          const bool won = majority_of(incoming, yes) && (outgoing == 0 || majority_of(outgoing, yes));
          const bool can_win = majority_of(incoming, ~no) && (outgoing == 0 || majority_of(outgoing, ~no));
          const vote_result expected = won       ? vote_result::won
                                       : can_win ? vote_result::pending
                                                 : vote_result::lost;
          wrong += found == expected ? 0u : 1u;
        }
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("the index a quorum has reached is as brute force finds it, for up to 5 voters, joint too") {
  std::size_t wrong = 0;
  for (unsigned incoming = 1; incoming < 32; ++incoming) {
    for (unsigned outgoing = 0; outgoing < 32; ++outgoing) {
      configuration members{members_of(incoming), members_of(outgoing), {}};
      for (unsigned code = 0; code < 243; ++code) {  // 3 values for each of 5 nodes
        unsigned reached[5], rest = code;
        for (unsigned& r : reached) r = rest % 3, rest /= 3;
        const auto value = quorum_reached<log_index>(
            members, [&](const member& m) { return log_index(reached[m.id.value() - 1]); });
        unsigned expected = 0;
        for (unsigned v = 1; v <= 2; ++v) {
          unsigned have = 0;
          for (unsigned i = 0; i < 5; ++i) have |= reached[i] >= v ? 1u << i : 0u;
          if (majority_of(incoming, have) && (outgoing == 0 || majority_of(outgoing, have))) expected = v;
        }
        wrong += value == log_index(expected) ? 0u : 1u;
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("two majorities of one configuration always share a voter") {
  for (unsigned n = 1; n <= 5; ++n) {
    const unsigned all = (1u << n) - 1;
    for (unsigned a = 0; a <= all; ++a)
      for (unsigned b = 0; b <= all; ++b)
        if (majority_of(all, a) && majority_of(all, b)) CHECK((a & b) != 0);
  }
}

TEST_CASE("a configuration without voters decides nothing") {
  const configuration nobody;
  CHECK(quorum_reached<log_index>(nobody, [](const member&) { return log_index(9); }) == log_index(0));
  CHECK(count_votes(nobody, [](const member&) { return std::optional<bool>(true); }) == vote_result::lost);
}

TEST_CASE("votes: the first answer of a node stands, and only voters count") {
  votes answers;
  const configuration members = voters(3);
  answers.record(node_id(1), incarnation_of(1), true);
  CHECK(answers.count(members, true) == vote_result::pending);
  answers.record(node_id(1), incarnation_of(1), true);
  answers.record(node_id(9), incarnation_of(9), true);
  CHECK(answers.count(members, true) == vote_result::pending);
  answers.record(node_id(2), incarnation_of(2), false);
  answers.record(node_id(2), incarnation_id(5), true);  // a second data directory under the same id
  CHECK(answers.count(members, true) == vote_result::pending);
  CHECK(answers.of(node_id(2))->incarnation == incarnation_of(2));
  CHECK(answers.of(node_id(3)) == nullptr);
  answers.record(node_id(3), incarnation_of(3), false);
  CHECK(answers.count(members, true) == vote_result::lost);
}
