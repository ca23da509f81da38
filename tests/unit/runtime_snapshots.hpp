// Groups that take small snapshots, for the tests of what becomes of these.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "runtime_group.hpp"

namespace confman::testing {

using action = cluster_operation::action;

// Small files in small pieces, a short tail, and only on request unless a test says otherwise.
inline void manual(group_options& o) {
  o.snapshots.log_entries = 1'000'000;
  o.snapshots.tail_entries = 4;
  o.snapshots.transfer.piece_bytes = 64;
  o.snapshots.transfer.retry = 5;
  o.snapshots.transfer.give_up = 40;
}

inline void put(driven_cluster& c, std::uint64_t node, int from, int to, const std::string& value = "v") {
  for (int i = from; i < to; ++i) {
    test_write w("/k/" + std::to_string(i), value);
    c[node]->submit(w);
    c.settle();
    REQUIRE(w.ended_with({}));
  }
}
inline version snapshot_of(driven& d) {
  test_cluster_operation o(action::snapshot);
  d->submit(o);
  d.settle();
  REQUIRE(o.ended_with({}));
  return o.at;
}

// Node 1 leads; node 3 was away while 40 keys were written and the log was cut.
struct one_far_behind {
  one_far_behind() : c(3, manual) {
    c.elect(1);
    c.tick(3);
    put(c, 1, 0, 5);
    c.lost = [](const message& m) { return touches(m, 3); };
    put(c, 1, 5, 40);
    c.tick(3);
    at = snapshot_of(c[1]);
    REQUIRE(c[1]->core().log().first_index() > c[3]->core().log().last_index() + 1);
  }
  void bring_back() {
    c.lost = nullptr;
    c.tick(12);
  }
  driven_cluster c;
  version at;
};

}  // namespace confman::testing
