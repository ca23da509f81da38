#include <doctest/doctest.h>

#include "confman/core/quorum.hpp"
#include "confman/core/votes.hpp"
#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

unsigned bits(unsigned mask) {
  return mask == 0 ? 0 : (mask & 1u) + bits(mask >> 1);
}

bool majority_of(unsigned voters_mask, unsigned yes) {
  return 2 * bits(voters_mask & yes) > bits(voters_mask);
}

}  // namespace

TEST_CASE("a majority is more than half") {
  for (std::size_t n = 1; n <= 9; ++n) {
    CHECK(2 * majority(n) > n);
    CHECK(2 * (majority(n) - 1) <= n);
  }
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
