// Small histories of several keys with lists: the witness agrees with a search through all orders of the
// whole map, which shares nothing with it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "check/recorded_map.hpp"
#include "confman/check/witness.hpp"
#include "lib/effort.hpp"

using namespace confman::check;
using confman_test::dice;
using confman_test::held;
using confman_test::recorded_map;
using confman_test::state;

namespace {

struct all_orders {
  const history& all;
  std::vector<bool> done = std::vector<bool>(all.size());

  bool search(const state& now, std::uint64_t last) {
    std::int64_t first_end = never;
    bool over = true;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (done[i]) continue;
      first_end = std::min(first_end, all[i].returned);
      over = false;
    }
    if (over) return true;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (done[i] || all[i].called > first_end) continue;
      done[i] = true;
      state next = now;
      const std::uint64_t at = all[i].version.index;
      const bool fits =
          all[i].is_write() ? at > last && written(next, all[i]) : at >= last && read(next, all[i]);
      if (fits && search(next, at)) return true;
      done[i] = false;
    }
    return false;
  }

  static bool written(state& now, const operation& op) {
    const auto found = now.find(op.key);
    const std::uint64_t revision = found == now.end() ? 0 : found->second.revision;
    if (op.kind == operation_kind::cas && (op.expect == revision) == op.failed) return false;
    if ((op.failed ? op.revision : op.previous_revision) != revision) return false;
    if (op.failed) return true;
    if (op.revision != op.version.index) return false;
    if (op.kind == operation_kind::erase)
      now.erase(op.key);
    else
      now[op.key] = {op.revision, op.value};
    return true;
  }

  static bool read(const state& now, const operation& op) {
    state seen;
    for (const auto& [key, value] : now) {
      const bool asked = op.kind == operation_kind::get ? key == op.key : key.starts_with(op.key);
      if (asked) seen.emplace(key, value);
    }
    if (op.kind == operation_kind::get) {
      const held found = seen.empty() ? held{} : seen.begin()->second;
      return op.revision == found.revision && (seen.empty() || op.found == found.value);
    }
    for (const listed& e : op.entries) {
      const auto found = seen.find(e.key);
      if (found == seen.end() || found->second.revision != e.revision || found->second.value != e.value)
        return false;
      seen.erase(found);
    }
    return seen.empty();
  }
};

// Whatever all_orders knows: what was answered of writes and of linearizable reads.
history known_part(const history& all, std::size_t most) {
  history part;
  std::uint64_t last_sequence = 0;
  for (operation op : all) {
    const bool again = op.session != 0 && std::exchange(last_sequence, op.sequence) == op.sequence;
    const bool old_read = !op.is_write() && op.mode != read_mode::linearizable;
    if (again || old_read || op.kind == operation_kind::watch || part.size() == most) continue;
    op.session = op.sequence = 0;
    part.push_back(op);
  }
  return part;
}

bool is_read(const operation& op) {
  return !op.is_write();
}

void disturb_answer(dice& d, operation& op, const operation& other) {
  if (op.kind == operation_kind::list && other.kind == operation_kind::list) op.entries = other.entries;
  if (op.kind == operation_kind::list && !op.entries.empty() && d() % 2 == 0) {
    listed& e = op.entries[d() % op.entries.size()];
    if (d() % 2 == 0)
      op.entries.erase(op.entries.begin() + (&e - op.entries.data()));
    else
      e.revision = 1 + d() % 9;
  }
  if (op.kind == operation_kind::get) {
    op.revision = is_read(other) ? other.revision : 0;
    op.found = is_read(other) ? other.found : "";
  }
  if (op.is_write()) (op.failed ? op.revision : op.previous_revision) = other.previous_revision;
}

void disturb(dice& d, history& all) {
  operation& op = all[d() % all.size()];
  operation& other = all[d() % all.size()];
  switch (d() % 5) {
    case 0:
      op.called += 30;
      op.returned += 30;
      break;
    case 1:
      op.called -= 30;
      op.returned -= 30;
      break;
    case 2:
      if (is_read(op)) op.version.index += d() % 3;
      break;
    case 3:
      if (is_read(op)) op.version.index -= std::min<std::uint64_t>(op.version.index, d() % 3);
      break;
    default:
      disturb_answer(d, op, other);
  }
}

}  // namespace

TEST_CASE("small histories of a whole map: the witness agrees with brute force") {
  dice d(11);
  unsigned right = 0;
  unsigned wrong = 0;
  for (unsigned round = 0; round < confman_test::effort(4000u); ++round) {
    history all = known_part(recorded_map(d, 40, false, 1).record(14), 7);
    if (all.size() < 2) continue;
    for (unsigned times = 0; times < round % 3; ++times) disturb(d, all);
    std::string text;
    for (const operation& op : all) {
      text += '\n' + describe(op);
      for (const listed& e : op.entries)
        text += ", " + e.key + " " + std::to_string(e.revision) + " " + e.value;
    }
    CAPTURE(text);
    const report seen = check_witness(all);
    const std::string why = seen.findings.empty() ? "" : seen.findings[0].rule + ": " + seen.findings[0].text;
    CAPTURE(why);
    const bool possible = all_orders{all}.search({}, 0);
    if (round % 3 == 0) REQUIRE(possible);
    REQUIRE((seen.end == verdict::good) == possible);
    ++(possible ? right : wrong);
  }
  CHECK(right > confman_test::effort(1000u));
  CHECK(wrong > confman_test::effort(500u));
}
