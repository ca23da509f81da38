// Quorums over every pair of voter sets within five ids: what is counted against the definition.
#include <doctest/doctest.h>

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "confman/core/quorum.hpp"
#include "lib/effort.hpp"

using namespace confman;

namespace {

constexpr unsigned ids = 5;
constexpr unsigned sets = 1u << ids;

// Bit 0 of a mask is node 1.
std::vector<member> members_of(unsigned mask) {
  std::vector<member> list;
  for (unsigned bit = 0; bit < ids; ++bit)
    if (mask >> bit & 1u) list.push_back({node_id(bit + 1), incarnation_id{}});
  return list;
}

unsigned bit_of(const member& m) {
  return 1u << (m.id.value() - 1);
}

configuration joint_of(unsigned incoming, unsigned outgoing) {
  configuration c;
  c.incoming = members_of(incoming);
  c.outgoing = members_of(outgoing);
  return c;
}

// The definition: more than half of the voters, and of the outgoing ones too where there are any.
bool is_quorum(unsigned incoming, unsigned outgoing, unsigned who) {
  const auto more_than_half = [who](unsigned voters) {
    return 2 * std::popcount(voters & who) > std::popcount(voters);
  };
  return more_than_half(incoming) && (outgoing == 0 || more_than_half(outgoing));
}

std::optional<bool> answer_of(unsigned yes, unsigned no, const member& m) {
  if (yes & bit_of(m)) return true;
  if (no & bit_of(m)) return false;
  return std::nullopt;
}

}  // namespace

TEST_CASE("exhaustive: votes are won, lost or pending as the definition says") {
  std::size_t wrong = 0, cases = 0;
  for (unsigned incoming = 1; incoming < sets; ++incoming) {
    for (unsigned outgoing = 0; outgoing < sets; ++outgoing) {
      const configuration members = joint_of(incoming, outgoing);
      for (unsigned yes = 0; yes < sets; ++yes) {
        for (unsigned no = 0; no < sets; ++no) {
          if ((yes & no) != 0) continue;
          const vote_result found =
              count_votes(members, [&](const member& m) { return answer_of(yes, no, m); });
          // Won: those who said yes are a quorum. Lost: even with all who are silent they would not be.
          const vote_result expected = is_quorum(incoming, outgoing, yes)   ? vote_result::won
                                       : is_quorum(incoming, outgoing, ~no) ? vote_result::pending
                                                                            : vote_result::lost;
          wrong += found == expected ? 0u : 1u;
          ++cases;
        }
      }
    }
  }
  CHECK(wrong == 0);
  CHECK(cases == 31 * 32 * 243);
}

TEST_CASE("exhaustive: votes are final: what comes later changes neither won nor lost") {
  std::size_t wrong = 0;
  for (unsigned incoming = 1; incoming < sets; ++incoming) {
    for (unsigned outgoing = 0; outgoing < sets; ++outgoing) {
      const configuration members = joint_of(incoming, outgoing);
      const auto count = [&](unsigned yes, unsigned no) {
        return count_votes(members, [&](const member& m) { return answer_of(yes, no, m); });
      };
      for (unsigned yes = 0; yes < sets; ++yes) {
        for (unsigned no = 0; no < sets; ++no) {
          if ((yes & no) != 0) continue;
          const vote_result before = count(yes, no);
          if (before == vote_result::pending) continue;
          for (unsigned bit = 0; bit < ids; ++bit) {
            if ((yes | no) >> bit & 1u) continue;
            wrong += count(yes | 1u << bit, no) != before ? 1u : 0u;
            wrong += count(yes, no | 1u << bit) != before ? 1u : 0u;
          }
        }
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("exhaustive: the index a quorum has reached is the highest that the definition allows") {
  // Six values for five nodes: every order of the five, with every tie, and "nothing yet" (0).
  constexpr unsigned values = 6;
  std::size_t wrong = 0, cases = 0;
  for (unsigned incoming = 1; incoming < sets; ++incoming) {
    for (unsigned outgoing = 0; outgoing < sets; ++outgoing) {
      const configuration members = joint_of(incoming, outgoing);
      for (unsigned code = 0; code < values * values * values * values * values;
           code += confman_test::every_nth) {
        std::array<unsigned, ids> reached{};
        unsigned rest = code;
        for (unsigned& r : reached) r = rest % values, rest /= values;
        const auto found = quorum_reached<log_index>(
            members, [&](const member& m) { return log_index(reached[m.id.value() - 1]); });
        unsigned expected = 0;
        for (unsigned v = 1; v < values; ++v) {
          unsigned have = 0;
          for (unsigned i = 0; i < ids; ++i) have |= reached[i] >= v ? 1u << i : 0u;
          if (is_quorum(incoming, outgoing, have)) expected = v;
        }
        wrong += found == log_index(expected) ? 0u : 1u;
        ++cases;
      }
    }
  }
  CHECK(wrong == 0);
  CHECK(cases == 31 * 32 * ((7776 + confman_test::every_nth - 1) / confman_test::every_nth));
}

TEST_CASE("exhaustive: neither the order of the two voter sets nor a set joint with itself matters") {
  std::size_t wrong = 0;
  for (unsigned a = 1; a < sets; ++a) {
    for (unsigned b = 1; b < sets; ++b) {
      for (unsigned yes = 0; yes < sets; ++yes) {
        const auto answer = [&](const member& m) { return answer_of(yes, ~yes, m); };
        const auto reached = [&](const member& m) { return log_index(yes & bit_of(m) ? m.id.value() : 0); };
        wrong += count_votes(joint_of(a, b), answer) != count_votes(joint_of(b, a), answer) ? 1u : 0u;
        wrong += quorum_reached<log_index>(joint_of(a, b), reached) !=
                         quorum_reached<log_index>(joint_of(b, a), reached)
                     ? 1u
                     : 0u;
        if (a != b) continue;
        wrong += count_votes(joint_of(a, a), answer) != count_votes(joint_of(a, 0), answer) ? 1u : 0u;
        wrong += quorum_reached<log_index>(joint_of(a, a), reached) !=
                         quorum_reached<log_index>(joint_of(a, 0), reached)
                     ? 1u
                     : 0u;
      }
    }
  }
  CHECK(wrong == 0);
}
