// The checkers against each other, against brute force, and against histories made wrong on purpose.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "confman/check/linearizability.hpp"
#include "confman/check/witness.hpp"

using namespace confman::check;

namespace {

using dice = std::mt19937_64;

bool chance(dice& d, unsigned percent) {
  return d() % 100 < percent;
}

// What a right map answers: operation k takes effect at time 10 k, somewhere between its call and its return.
history right_history(dice& d, std::size_t count, unsigned keys, unsigned unknown, std::int64_t spread) {
  struct there {
    std::uint64_t revision = 0;
    std::string value;
  };
  std::map<std::string, there> state;
  history all;
  std::uint64_t index = 5;
  for (std::size_t k = 1; k <= count; ++k) {
    operation op;
    op.line = k;
    op.client = d() % 5;
    op.key = "/" + std::to_string(d() % keys);
    const auto span = static_cast<std::uint64_t>(spread);
    op.called = static_cast<std::int64_t>(k * 10 - d() % span);
    op.returned = static_cast<std::int64_t>(k * 10 + 1 + d() % span);
    op.kind = static_cast<operation_kind>(d() % 4);
    there& now = state[op.key];
    if (op.kind != operation_kind::get) {
      op.end = outcome::answered;
      op.value = op.kind == operation_kind::erase ? "" : "v" + std::to_string(k);
      op.expect = chance(d, 50) ? now.revision : 3;
      const bool lost = chance(d, unknown);
      if (!lost || chance(d, 50)) {
        ++index;
        op.version = {1, index};
        op.failed = op.kind == operation_kind::cas && op.expect != now.revision;
        op.revision = op.failed ? now.revision : index;
        op.previous_revision = op.failed ? 0 : now.revision;
        if (!op.failed) now = op.kind == operation_kind::erase ? there{} : there{index, op.value};
      }
      if (lost) {
        op.end = outcome::unknown;
        op.returned = never;
        op.failed = false;
        op.revision = op.previous_revision = 0;
        op.version = {};
      }
    } else {
      op.end = outcome::answered;
      op.revision = now.revision;
      op.found = now.value;
      op.version = {1, index};
    }
    all.push_back(op);
  }
  return all;
}

// Changes one answer at random: most results are wrong, some aren't.
void disturb(dice& d, history& all) {
  operation& op = all[d() % all.size()];
  const operation& other = all[d() % all.size()];
  if (op.end != outcome::answered) return;
  switch (d() % 4) {
    case 0:
      op.revision = op.is_write() && !op.failed ? op.revision : other.revision;
      op.found = other.kind == operation_kind::get ? other.found : other.value;
      break;
    case 1:
      op.previous_revision = op.failed || op.kind == operation_kind::get ? 0 : other.previous_revision;
      break;
    case 2:
      op.called += 30;
      op.returned += 30;
      break;
    default:
      std::swap(op.called, all[0].called);
      op.returned = std::max(op.returned, op.called + 1);
      if (all[0].returned <= all[0].called) all[0].returned = all[0].called + 1;
  }
}

// All orders that agree with real time, by a model of its own.
struct brute_force {
  const history& all;
  bool revisions;
  std::vector<bool> done = std::vector<bool>(all.size());

  bool search(bool there, std::uint64_t revision, const std::string& value, std::uint64_t last) {
    std::int64_t first_end = never;
    bool over = true;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (done[i]) continue;
      first_end = std::min(first_end, all[i].returned);
      over = over && all[i].end != outcome::answered;
    }
    if (over) return true;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (done[i] || all[i].called > first_end) continue;
      done[i] = true;
      if (step(all[i], there, revision, value, last)) return true;
      done[i] = false;
    }
    return false;
  }

  bool step(const operation& op, bool there, std::uint64_t revision, const std::string& value,
            std::uint64_t last) {
    const bool known = op.end == outcome::answered;
    const bool reads = op.kind == operation_kind::get || op.failed;
    const std::uint64_t before = reads ? op.revision : op.previous_revision;
    if (known && (revisions ? before != revision : (before != 0) != there)) return false;
    if (known && revisions) {
      const std::uint64_t at = op.version.index;
      if (op.is_write() ? at <= last : at < last) return false;
      last = at;
    }
    if (op.kind == operation_kind::get)
      return (!there || op.found == value) && search(there, revision, value, last);
    if (op.kind == operation_kind::cas) {
      if (known && op.failed) return op.expect != before && search(there, revision, value, last);
      if (known && (revisions || op.expect == 0 || before == 0) && op.expect != before) return false;
      if (!known && (op.expect != 0) != there) return search(there, revision, value, last);
    }
    const bool put = op.kind != operation_kind::erase;
    return search(put, put && revisions ? op.revision : 0, put ? op.value : "", last);
  }
};

operation made(operation_kind kind, std::uint64_t revision, std::uint64_t previous, std::string value,
               std::int64_t called) {
  operation op;
  op.kind = kind;
  op.key = "/a";
  op.end = outcome::answered;
  op.revision = revision;
  op.previous_revision = previous;
  op.version = {1, revision};
  (kind == operation_kind::get ? op.found : op.value) = std::move(value);
  op.called = called;
  op.returned = called + 5;
  op.line = static_cast<std::size_t>(called);
  return op;
}

// put 2, put 4, get 4, erase 6, put 7: one after the other, and a watch over all of it.
history five_and_a_watch() {
  history all{made(operation_kind::put, 2, 0, "x", 10), made(operation_kind::put, 4, 2, "y", 20),
              made(operation_kind::get, 4, 0, "y", 30), made(operation_kind::erase, 6, 4, "", 40),
              made(operation_kind::put, 7, 0, "z", 50)};
  operation watch = made(operation_kind::watch, 0, 0, "", 5);
  watch.value.clear();
  watch.key = "/";
  watch.events = {{false, "/a", 2, "x"}, {false, "/a", 4, "y"}, {true, "/a", 6, ""}, {false, "/a", 7, "z"}};
  watch.until = 8;
  watch.returned = 90;
  all.push_back(watch);
  return all;
}

struct wrong_case {
  const char* name;
  std::function<void(history&)> spoil;
  bool witness, by_revision, by_value;  // who can know
};

}  // namespace

TEST_CASE("small histories: the searches agree with brute force, the witness with the search") {
  dice d(1);
  std::size_t wrong = 0;
  std::size_t right = 0;
  for (int round = 0; round < 6000; ++round) {
    const bool some_unknown = round % 3 == 0;
    history all = right_history(d, 2 + d() % 5, 1, some_unknown ? 30 : 0, 40);
    if (round % 2 == 1) disturb(d, all);
    std::string text;
    for (const operation& op : all) text += describe(op) + '\n';
    CAPTURE(text);
    const bool by_value = check_linearizability(all, register_model::value).end == verdict::good;
    const bool by_revision = check_linearizability(all, register_model::revision).end == verdict::good;
    const bool witnessed = check_witness(all).end == verdict::good;
    REQUIRE(by_value == brute_force{all, false}.search(false, 0, "", 0));
    if (!some_unknown) {
      REQUIRE(by_revision == brute_force{all, true}.search(false, 0, "", 0));
    }
    if (by_revision) REQUIRE(by_value);
    if (round % 2 == 0) REQUIRE(by_revision);
    if (round % 2 == 0) REQUIRE(witnessed);
    if (!by_revision && !some_unknown) REQUIRE_FALSE(witnessed);
    ++(by_revision ? right : wrong);
  }
  MESSAGE(right, " right, ", wrong, " wrong");
  CHECK(wrong > 300);
}

TEST_CASE("histories made wrong on purpose are refused by who can know") {
  const wrong_case cases[] = {
      {"stale read",
       [](history& h) { h[2] = made(operation_kind::get, 2, 0, "x", 30), h[2].version.index = 3; }, true,
       true, true},
      {"wrong value", [](history& h) { h[2].found = "x"; }, true, true, true},
      {"lost write", [](history& h) { h[1].previous_revision = 0; }, true, true, true},
      {"duplicate revision", [](history& h) { h[4].revision = h[4].version.index = 6; }, true, true, false},
      {"duplicate effect",
       [](history& h) {
         h[5].events.insert(h[5].events.begin() + 1, {false, "/a", 3, "x"});
       },
       true, false, false},
      {"reordered watch", [](history& h) { std::swap(h[5].events[0], h[5].events[1]); }, true, false, false},
      {"gap in a watch", [](history& h) { h[5].events.erase(h[5].events.begin() + 1); }, true, false, false},
      {"write before its call", [](history& h) { h[2].called = h[2].returned = 12; }, true, true, true},
      {"refused write seen", [](history& h) { h[1].end = outcome::refused; }, true, true, true},
      {"two terms", [](history& h) { h[2].version.term = 9; }, true, false, false},
      {"cas against its expectation", [](history& h) { h[1].kind = operation_kind::cas, h[1].expect = 3; },
       true, true, false},
      {"answers of a session differ",
       [](history& h) {
         h[0].session = 1;
         h.push_back(h[0]);
         h.back().previous_revision = 1;
       },
       true, true, true},
  };
  REQUIRE(check_witness(five_and_a_watch()).end == verdict::good);
  REQUIRE(check_linearizability(five_and_a_watch(), register_model::value).end == verdict::good);
  REQUIRE(check_linearizability(five_and_a_watch(), register_model::revision).end == verdict::good);
  for (const wrong_case& c : cases) {
    CAPTURE(c.name);
    history all = five_and_a_watch();
    c.spoil(all);
    const report seen = check_witness(all);
    CHECK((seen.end == verdict::violation) == c.witness);
    for (const finding& f : seen.findings) CHECK_FALSE(f.operations.empty());
    CHECK((check_linearizability(all, register_model::revision).end == verdict::violation) == c.by_revision);
    CHECK((check_linearizability(all, register_model::value).end == verdict::violation) == c.by_value);
  }
}

TEST_CASE("the final state must hold what was acknowledged") {
  operation last = made(operation_kind::get, 7, 0, "z", 0);
  CHECK(check_witness(five_and_a_watch(), {last}).end == verdict::good);
  last.revision = 0;
  last.version.index = 9;
  const report lost = check_witness(five_and_a_watch(), {last});
  REQUIRE(lost.end == verdict::violation);
  CHECK(lost.findings[0].rule == "lost_write");
  CHECK(lost.findings[0].operations == std::vector<std::size_t>{4, 6});
}

TEST_CASE("a final state from before an acknowledged write has lost it, as when all nodes were wiped") {
  operation last = made(operation_kind::list, 0, 0, "", 0);
  last.key = "/";
  for (const std::uint64_t end : {1u, 3u, 5u}) {
    CAPTURE(end);
    last.version.index = end;
    last.entries.clear();
    if (end >= 2 && end < 4) last.entries = {{"/a", 2, "x"}};
    if (end >= 4) last.entries = {{"/a", 4, "y"}};
    const report lost = check_witness(five_and_a_watch(), {last});
    REQUIRE(lost.end == verdict::violation);
    CHECK(lost.findings[0].rule == "lost_write");
    CHECK(lost.findings[0].operations == std::vector<std::size_t>{4, 6});
  }
  // One without a known outcome, seen by nobody who asked before the end, may take effect late.
  history late = five_and_a_watch();
  late[4].end = outcome::unknown;
  late[5].events.pop_back();
  late[5].until = 6;
  last.version.index = 6;
  last.entries.clear();
  operation later = made(operation_kind::get, 7, 0, "z", 0);
  CHECK(check_witness(late, {last, later}).end == verdict::good);
}

TEST_CASE("a search that reaches its bound says so") {
  dice d(3);
  const history all = right_history(d, 200, 1, 0, 100);
  const report end = check_linearizability(all, register_model::value, {20, 1 << 20});
  CHECK(end.end == verdict::undecided);
  CHECK(end.why.find("bound") != std::string::npos);
}

TEST_CASE("100,000 operations are judged in seconds") {
  dice d(4);
  const history all = right_history(d, 100'000, 500, 2, 200);
  const auto time = [](const std::string& name, auto check) {
    const auto start = std::chrono::steady_clock::now();
    const report end = check();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    MESSAGE(name, ": ", took.count(), " s, ", end.steps, " steps ", end.why);
    CHECK(end.end == verdict::good);
  };
  time("witness", [&] { return check_witness(all); });
  time("search by value", [&] { return check_linearizability(all, register_model::value); });
  time("search by revision", [&] { return check_linearizability(all, register_model::revision); });
}
