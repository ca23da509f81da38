// Histories of everything that the format knows (lists, watches, sessions, older reads, unknown outcomes):
// the witness accepts the right ones, and refuses each of the ways in which a map can go wrong.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "check/recorded_map.hpp"
#include "confman/check/linearizability.hpp"
#include "confman/check/witness.hpp"
#include "lib/effort.hpp"

using namespace confman::check;

namespace {

using confman_test::dice;
using confman_test::recorded_map;

bool is_put(const operation& op) {
  return op.end == outcome::answered && op.is_write() && !op.failed && op.kind != operation_kind::erase;
}

bool is_get(const operation& op) {
  return op.kind == operation_kind::get && op.mode == read_mode::linearizable;
}

// An index that no operation of the history has. See recorded_map.
std::uint64_t free_index(const operation& near) {
  const std::uint64_t index = near.version.index;
  return index % 3 == 2 ? index : index + 2 - index % 3;
}

// Two operations for which it holds; false if there are none.
using pair_of = std::function<bool(const operation&, const operation&)>;

bool pick(dice& d, history& all, const pair_of& fits,
          const std::function<void(operation&, operation&)>& spoil) {
  std::vector<std::pair<std::size_t, std::size_t>> found;
  for (std::size_t a = 0; a < all.size(); ++a)
    for (std::size_t b = 0; b < all.size(); ++b)
      if (a != b && fits(all[a], all[b])) found.emplace_back(a, b);
  if (found.empty()) return false;
  const auto [a, b] = found[d() % found.size()];
  spoil(all[a], all[b]);
  return true;
}

bool pick(dice& d, history& all, const std::function<bool(const operation&)>& fits,
          const std::function<void(operation&)>& spoil) {
  std::vector<std::size_t> found;
  for (std::size_t a = 0; a < all.size(); ++a)
    if (fits(all[a])) found.push_back(a);
  if (found.empty()) return false;
  spoil(all[found[d() % found.size()]]);
  return true;
}

struct wrong {
  std::string name;
  std::function<bool(dice&, history&)> spoil;  // false: this history has no place for it
  std::vector<std::string> rules;              // one of them must be named
  bool search = false;                         // the search by revision must see it, too
};

bool plain_write(const operation& op) {
  return op.end == outcome::answered && op.is_write() && !op.failed && op.session == 0;
}

std::vector<wrong> wrong_answers() {
  const auto seen_later = [](const operation& w, const operation& r) {
    return plain_write(w) && is_get(r) && w.key == r.key && w.returned < r.called &&
           (w.kind != operation_kind::erase || w.previous_revision != 0);
  };
  return {
      {"stale read",
       [=](dice& d, history& h) {
         return pick(d, h, seen_later, [&h](const operation& w, operation& r) {
           r.revision = w.previous_revision;
           for (const operation& before : h)
             if (is_put(before) && before.revision == r.revision) r.found = before.value;
           r.version = {1 + (w.revision - 1) / 50, w.revision - 1};
         });
       },
       {"stale_read"},
       true},
      {"lost write",
       [](dice& d, history& h) {
         return pick(
             d, h,
             [](const operation& w, const operation& x) {
               return is_put(w) && plain_write(x) && x.key == w.key && x.previous_revision == w.revision;
             },
             [](const operation& w, operation& x) { x.previous_revision = w.previous_revision; });
       },
       {"state", "cas"},
       true},
      {"duplicate effect",
       [](dice& d, history& h) {
         return pick(
             d, h,
             [](const operation& w, const operation& r) {
               return is_put(w) && is_get(r) && w.key == r.key && w.revision < r.version.index;
             },
             [](const operation& w, operation& r) {
               r.found = w.value;
               r.revision = r.version.index = free_index(r);
             });
       },
       {"nowhere"}},
      {"phantom",
       [](dice& d, history& h) {
         return pick(d, h, is_get, [](operation& r) {
           r.found = "nobody";
           r.revision = r.version.index = free_index(r);
         });
       },
       {"nowhere"},
       true},
  };
}

std::vector<wrong> wrong_orders() {
  return {
      {"reordered",
       [](dice& d, history& h) {
         return pick(
             d, h,
             [](const operation& a, const operation& b) {
               return plain_write(a) && plain_write(b) && a.returned < b.called;
             },
             [](operation& a, operation& b) {
               std::swap(a.revision, b.revision);
               std::swap(a.version, b.version);
             });
       },
       {"real_time"}},
      {"reordered on one key",
       [](dice& d, history& h) {
         return pick(
             d, h,
             [](const operation& a, const operation& b) {
               return plain_write(a) && plain_write(b) && a.key == b.key && a.returned < b.called;
             },
             [](operation& a, operation& b) {
               std::swap(a.revision, b.revision);
               std::swap(a.version, b.version);
             });
       },
       {"real_time"},
       true},
      {"read before the write was called",
       [](dice& d, history& h) {
         return pick(
             d, h,
             [](const operation& w, const operation& r) {
               return plain_write(w) && is_get(r) && r.revision != 0 && r.revision == w.revision;
             },
             [](const operation& w, operation& r) { r.called = r.returned = w.called - 1; });
       },
       {"real_time"},
       true},
      {"refused write seen",
       [](dice& d, history& h) {
         return pick(
             d, h,
             [](const operation& w, const operation& r) {
               return plain_write(w) && is_get(r) && r.revision != 0 && r.revision == w.revision;
             },
             [](operation& w, const operation&) {
               w.end = outcome::refused;
               w.revision = w.previous_revision = 0;
               w.version = {};
             });
       },
       {"nowhere"},
       true},
  };
}

std::vector<wrong> wrong_places() {
  return {
      {"older than asked for",
       [](dice& d, history& h) {
         return pick(
             d, h, [](const operation& op) { return !op.is_write() && op.mode == read_mode::at_least; },
             [](operation& op) { op.at_least = op.version.index + 1; });
       },
       {"stale_read"}},
      {"a term goes back",
       [](dice& d, history& h) {
         return pick(
             d, h,
             [](const operation& a, const operation& b) {
               return plain_write(a) && plain_write(b) && a.version.term < b.version.term;
             },
             [](operation& a, const operation& b) { a.version.term = b.version.term + 1; });
       },
       {"log"}},
  };
}

std::vector<wrong> wrong_compare_exchanges() {
  const auto succeeded = [](const operation& op) {
    return op.kind == operation_kind::cas && op.end == outcome::answered && !op.failed;
  };
  return {
      {"cas by a stale revision",
       [=](dice& d, history& h) {
         return pick(
             d, h,
             [=](const operation& w, const operation& c) {
               return is_put(w) && succeeded(c) && w.key == c.key && w.revision < c.previous_revision;
             },
             [](const operation& w, operation& c) { c.expect = w.revision; });
       },
       {"cas"},
       true},
      {"cas that takes a stale revision for the current one",
       [=](dice& d, history& h) {
         return pick(
             d, h,
             [=](const operation& w, const operation& c) {
               return is_put(w) && succeeded(c) && w.key == c.key && w.revision < c.previous_revision;
             },
             [](const operation& w, operation& c) { c.expect = c.previous_revision = w.revision; });
       },
       {"state"},
       true},
      {"cas that fails at the expected revision",
       [=](dice& d, history& h) {
         return pick(d, h, succeeded, [](operation& c) {
           c.failed = true;
           c.revision = c.previous_revision;
           c.previous_revision = 0;
         });
       },
       {"cas"},
       true},
  };
}

std::vector<wrong> wrong_lists() {
  const auto some = [](const operation& op) {
    return op.kind == operation_kind::list && !op.entries.empty();
  };
  return {
      {"list without a key",
       [=](dice& d, history& h) {
         return pick(d, h, some, [&d](operation& op) {
           op.entries.erase(op.entries.begin() + static_cast<std::ptrdiff_t>(d() % op.entries.size()));
         });
       },
       {"state"}},
      {"list with a phantom",
       [](dice& d, history& h) {
         return pick(
             d, h, [](const operation& op) { return op.kind == operation_kind::list; },
             [](operation& op) {
               op.entries.push_back({op.key + "/w", op.version.index, "nobody"});
             });
       },
       {"nowhere", "revision"}},
      {"list with a key twice",
       [=](dice& d, history& h) {
         return pick(d, h, some, [](operation& op) { op.entries.push_back(op.entries.front()); });
       },
       {"list"}},
      {"list with a key of elsewhere",
       [](dice& d, history& h) {
         return pick(
             d, h,
             [](const operation& w, const operation& op) {
               return is_put(w) && op.kind == operation_kind::list && !w.key.starts_with(op.key);
             },
             [](const operation& w, operation& op) {
               op.entries.push_back({w.key, w.revision, w.value});
             });
       },
       {"list"}},
  };
}

std::vector<wrong> old_lists() {
  return {
      {"list of two moments",
       [](dice& d, history& h) {
         return pick(
             d, h,
             [](const operation& w, const operation& op) {
               return is_put(w) && w.previous_revision != 0 && op.kind == operation_kind::list &&
                      std::any_of(op.entries.begin(), op.entries.end(),
                                  [&w](const listed& e) { return e.revision == w.revision; });
             },
             [&h](const operation& w, operation& op) {
               for (listed& e : op.entries) {
                 if (e.revision != w.revision) continue;
                 e.revision = w.previous_revision;
                 for (const operation& before : h)
                   if (is_put(before) && before.revision == e.revision) e.value = before.value;
               }
             });
       },
       {"state", "revision"}},
      {"stale list",
       [](dice& d, history& h) {
         return pick(
             d, h,
             [](const operation& w, const operation& op) {
               return plain_write(w) && op.kind == operation_kind::list && w.returned < op.called &&
                      op.mode == read_mode::linearizable;
             },
             [](const operation& w, operation& op) {
               op.version = {1 + (w.revision - 1) / 50, w.revision - 1};
             });
       },
       {"stale_read"}},
  };
}

std::vector<wrong> wrong_watches() {
  const auto some = [](const operation& op) {
    return op.kind == operation_kind::watch && op.events.size() > 1 && !op.compacted;
  };
  return {
      {"gap in a watch",
       [=](dice& d, history& h) {
         return pick(d, h, some, [&d](operation& op) {
           op.events.erase(op.events.begin() + static_cast<std::ptrdiff_t>(d() % op.events.size()));
         });
       },
       // Who knows of the write only by this watch can but miss its effect.
       {"watch_gap", "state", "nowhere", ""}},
      {"compacted watch that doesn't say so",
       [](dice& d, history& h) {
         return pick(
             d, h, [](const operation& op) { return op.kind == operation_kind::watch && op.compacted; },
             [](operation& op) { op.compacted = false; });
       },
       {"watch_gap", "state", "nowhere", ""}},
      {"watch with an event twice",
       [=](dice& d, history& h) {
         return pick(d, h, some,
                     [](operation& op) { op.events.insert(op.events.begin(), op.events.front()); });
       },
       {"watch"}},
      {"watch out of order",
       [=](dice& d, history& h) {
         return pick(d, h, some, [](operation& op) { std::swap(op.events.front(), op.events.back()); });
       },
       {"watch"}},
      {"watch that goes back",
       [=](dice& d, history& h) {
         return pick(d, h, some, [](operation& op) { op.after = op.events.front().revision; });
       },
       {"watch"}},
      {"watch with a phantom",
       [=](dice& d, history& h) {
         return pick(d, h, some, [](operation& op) {
           op.events.push_back({false, op.key + "/w", op.until + 2 - op.until % 3, "nobody"});
         });
       },
       {"nowhere"}},
      {"watch with another value",
       [](dice& d, history& h) {
         return pick(
             d, h,
             [](const operation& w, const operation& op) {
               return is_put(w) && op.kind == operation_kind::watch &&
                      std::any_of(op.events.begin(), op.events.end(),
                                  [&w](const watched& e) { return e.revision == w.revision; });
             },
             [](const operation& w, operation& op) {
               for (watched& e : op.events)
                 if (e.revision == w.revision) e.value += "x";
             });
       },
       {"revision"}},
  };
}

std::vector<wrong> wrong_sessions() {
  const auto retried = [](const operation& op) { return op.session != 0 && op.end == outcome::answered; };
  return {
      {"retry that takes effect again",
       [=](dice& d, history& h) {
         return pick(d, h, retried, [](operation& op) {
           op.previous_revision = op.revision;
           op.revision = op.version.index = free_index(op);
         });
       },
       {"session"},
       true},
      {"one sequence for two requests",
       [=](dice& d, history& h) { return pick(d, h, retried, [](operation& op) { op.value = "other"; }); },
       {"session"},
       true},
  };
}

bool names_one_of(const report& seen, const std::vector<std::string>& rules) {
  return std::any_of(seen.findings.begin(), seen.findings.end(), [&](const finding& f) {
    return std::find(rules.begin(), rules.end(), f.rule) != rules.end();
  });
}

std::string text_of(const history& all) {
  std::string text;
  for (const operation& op : all) text += '\n' + describe(op);
  return text;
}

// Each wrong thing in 200 histories, after each of which the checkers must say so.
void refuse_all(const std::vector<wrong>& cases, bool unknown) {
  for (const wrong& c : cases) {
    CAPTURE(c.name);
    dice d(7);
    unsigned spoiled = 0;
    unsigned unnoticed = 0;
    const unsigned rounds = confman_test::effort(300u);
    for (unsigned round = 0; round < rounds; ++round) {
      history all = recorded_map(d, 30, unknown).record(60);
      if (!c.spoil(d, all)) continue;
      ++spoiled;
      const report seen = check_witness(all);
      const bool may_be_missed = unknown && c.rules.back().empty();
      if (seen.end != verdict::violation && may_be_missed) {
        ++unnoticed;
        continue;
      }
      const std::string text = text_of(all);
      CAPTURE(text);
      REQUIRE(seen.end == verdict::violation);
      REQUIRE(names_one_of(seen, c.rules));
      for (const finding& f : seen.findings) REQUIRE_FALSE(f.operations.empty());
      if (c.search && !unknown)
        REQUIRE(check_linearizability(all, register_model::revision).end == verdict::violation);
    }
    CHECK(spoiled > rounds / 10);
    CHECK(unnoticed < spoiled / 2);
  }
}

}  // namespace

TEST_CASE("right histories of everything are accepted by all checkers") {
  dice d(6);
  for (unsigned round = 0; round < confman_test::effort(1000u); ++round) {
    const history all = recorded_map(d, 1 + static_cast<std::int64_t>(d() % 60), round % 2 == 0).record(60);
    const std::string text = text_of(all);
    CAPTURE(text);
    const report seen = check_witness(all);
    const std::string why = seen.findings.empty() ? "" : seen.findings[0].rule + ": " + seen.findings[0].text;
    CAPTURE(why);
    REQUIRE(seen.end == verdict::good);
    REQUIRE(check_linearizability(all, register_model::value).end == verdict::good);
    REQUIRE(check_linearizability(all, register_model::revision).end == verdict::good);
  }
}

TEST_CASE("wrong answers are refused") {
  refuse_all(wrong_answers(), false);
  refuse_all(wrong_orders(), false);
  refuse_all(wrong_places(), false);
  refuse_all(wrong_compare_exchanges(), false);
}

TEST_CASE("wrong lists are refused") {
  refuse_all(wrong_lists(), false);
  refuse_all(old_lists(), false);
}

TEST_CASE("wrong watches are refused") {
  refuse_all(wrong_watches(), false);
}

TEST_CASE("wrong sessions are refused") {
  refuse_all(wrong_sessions(), false);
}

TEST_CASE("some wrong answers show among unknown outcomes, too") {
  refuse_all(wrong_watches(), true);
  refuse_all(wrong_sessions(), true);
}

TEST_CASE("a client that stays with one member doesn't go back") {
  dice d(9);
  unsigned back = 0;
  witness_options options;
  options.monotonic_clients = true;
  for (int round = 0; round < 50; ++round) {
    history all = recorded_map(d, 30, false).record(40);
    const bool went_back = check_witness(all, {}, options).end == verdict::violation;
    if (went_back) CHECK(names_one_of(check_witness(all, {}, options), {"monotonic"}));
    back += went_back;
    for (std::size_t at = 0; at < all.size(); ++at) all[at].client = at;
    CHECK(check_witness(all, {}, options).end == verdict::good);
  }
  CHECK(back > 10);
}
