// Watches: what is delivered is the filter of what was applied, in order, or an explicit end.
#include <doctest/doctest.h>

#include <map>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "lib/effort.hpp"
#include "map_entries.hpp"

using namespace map_test;

namespace {

watch_id add(map_state& map, std::string_view prefix, std::optional<std::uint64_t> after = std::nullopt,
             watch_limits limits = {}, watch_hub::notify_function notify = {}) {
  const auto id = map.watches().add(prefix, after, limits, std::move(notify));
  REQUIRE(id);
  return *id;
}

// "+key=value@revision" or "-key@revision" for each change.
std::string text(const change_batch& batch) {
  std::string all;
  for (const change& c : batch.changes) {
    if (!all.empty()) all += ' ';
    all += (c.kind == change_kind::put ? '+' : '-') + std::string(c.key());
    if (c.kind == change_kind::put) all += '=' + std::string(c.entry.value());
    all += '@' + std::to_string(c.revision());
  }
  return all;
}

}  // namespace

TEST_CASE("a live watch gets the changes of its prefix after it was added, once they are published") {
  map_state map;
  put(map, "/a/1", "old");
  map.publish();
  int notified = 0;
  std::uint64_t seen_by_callback = 0;
  const auto id = add(map, "/a/", std::nullopt, {}, [&] {
    ++notified;
    seen_by_callback = map.read().revision();
  });
  put(map, "/a/1", "new");
  put(map, "/b/1", "other");
  put(map, "/a", "too short");
  erase(map, "/a/1");
  erase(map, "/a/1");                                             // not there any more: no change
  apply(map, command_kind::compare_exchange, "/a/2", "cas", 99);  // refused: no change
  CHECK(text(map.watches().take(id)) == "");
  CHECK(notified == 0);
  map.publish();
  CHECK(notified == 1);
  CHECK(seen_by_callback == 7);
  const auto batch = map.watches().take(id);
  CHECK(text(batch) == "+/a/1=new@2 -/a/1@5");
  CHECK(batch.changes[1].entry.value() == "new");  // what was there before
  CHECK(batch.changes[1].at == version{term_t(1), log_index(5)});
  CHECK(batch.first == 2);
  CHECK(batch.last == 5);
  CHECK(batch.through == 7);
  CHECK_FALSE(batch.more);
  CHECK_FALSE(batch.error);
  CHECK(map.watches().take(id).changes.empty());
}

TEST_CASE("a watch is notified when it goes from empty to non-empty, and not again until it was emptied") {
  map_state map;
  int notified = 0;
  const auto id = add(map, "/", std::nullopt, {}, [&] { ++notified; });
  for (int i = 0; i < 5; ++i) put(map, "/k"), map.publish();
  CHECK(notified == 1);
  auto batch = map.watches().take(id, 2);
  CHECK(batch.changes.size() == 2);
  CHECK(batch.more);
  CHECK(batch.through == 2);
  put(map, "/k"), map.publish();
  CHECK(notified == 1);
  batch = map.watches().take(id);
  CHECK(batch.first == 3);
  CHECK(batch.changes.size() == 4);
  CHECK_FALSE(batch.more);
  put(map, "/k"), map.publish();
  CHECK(notified == 2);
}

TEST_CASE("a watch from a revision gets the history after it, then what is new, without a seam") {
  map_state map;
  for (int i = 1; i <= 6; ++i) put(map, i % 2 ? "/odd" : "/even", std::to_string(i));
  map.publish();
  const auto id = add(map, "/odd", 1);
  const auto all = add(map, "", 0);
  const auto none = add(map, "/", 6);
  put(map, "/odd", "7");
  map.publish();
  CHECK(text(map.watches().take(id)) == "+/odd=3@3 +/odd=5@5 +/odd=7@7");
  CHECK(map.watches().take(all).changes.size() == 7);
  CHECK(text(map.watches().take(none)) == "+/odd=7@7");
}

TEST_CASE("a watch beyond the history is refused with the floor, and the floor itself is accepted") {
  map_state map(history_limits{3, 1 << 20});
  for (int i = 1; i <= 10; ++i) put(map, "/" + std::to_string(i));
  map.publish();
  CHECK(map.watches().floor() == 7);
  const auto refused = map.watches().add("/", 6, {}, {});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::compacted);
  CHECK(refused.error().what.find("reaches back to revision 7") != std::string::npos);
  const auto id = add(map, "/", 7);
  const auto batch = map.watches().take(id);
  CHECK(batch.first == 8);
  CHECK(batch.changes.size() == 3);
}

TEST_CASE("the history is bounded in bytes, also by a change larger than the bound") {
  map_state map(history_limits{1000, 5000});
  put(map, "/small"), map.publish();
  CHECK(map.watches().floor() == 0);
  put(map, "/large", std::string(6000, 'x')), map.publish();
  CHECK(map.watches().floor() == 2);
  put(map, "/small"), map.publish();
  CHECK(map.watches().floor() == 2);
  CHECK(add(map, "/", 2));
}

TEST_CASE("the current revision can be watched from, a later one can't") {
  map_state map;
  put(map, "/a"), map.publish();
  put(map, "/a");  // applied, not published
  CHECK(add(map, "/", 1));
  const auto refused = map.watches().add("/", 2, {}, {});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::revision_in_future);
  CHECK(refused.error().what.find("at revision 1") != std::string::npos);
}

TEST_CASE("a callback that reads the map's revision can watch from it at once") {
  map_state map;
  std::vector<watch_id> added;
  const auto first =
      add(map, "/", std::nullopt, {}, [&] { added.push_back(add(map, "/", map.read().revision())); });
  put(map, "/a", "1"), map.publish();
  REQUIRE(added.size() == 1);
  CHECK(map.watches().take(added[0]).changes.empty());
  put(map, "/a", "2"), map.publish();
  CHECK(text(map.watches().take(added[0])) == "+/a=2@2");
  CHECK(map.watches().take(first).changes.size() == 2);
}

TEST_CASE(
    "a watch added between a publication and its dispatch gets nothing that its revision already contains") {
  map_state map;
  put(map, "/a", "1");
  map.publish();
  watch_hub hub;
  const auto change_at = [&](std::uint64_t revision) {
    hub.stage({change_kind::put, {term_t(1), log_index(revision)}, *map.get("/a")});
  };
  change_at(4), change_at(5);
  CHECK(hub.add("/", 5, {}, {}).error().code == errc::revision_in_future);
  hub.announce(5);  // readers may see revision 5 from here on
  const auto from_4 = hub.add("/", 4, {}, {}), from_5 = hub.add("/", 5, {}, {});
  REQUIRE(from_4);
  REQUIRE(from_5);
  hub.dispatch();
  CHECK(hub.take(*from_4).first == 5);
  CHECK(hub.take(*from_5).changes.empty());
  change_at(6);
  hub.announce(6);
  hub.dispatch();
  CHECK(hub.take(*from_4).first == 6);
  CHECK(hub.take(*from_5).first == 6);
}

TEST_CASE("a watch that falls behind delivers what it had, then says that it lagged, and where to go on") {
  map_state map;
  watch_limits limits;
  limits.max_changes = 3;
  int notified = 0;
  const auto id = add(map, "/a", std::nullopt, limits, [&] { ++notified; });
  put(map, "/x");
  for (int i = 0; i < 5; ++i) put(map, "/a", std::to_string(i));
  map.publish();
  CHECK(notified == 1);
  auto batch = map.watches().take(id, 2);
  CHECK(text(batch) == "+/a=0@2 +/a=1@3");
  CHECK_FALSE(batch.error);
  CHECK(batch.more);
  batch = map.watches().take(id);
  CHECK(text(batch) == "+/a=2@4");
  CHECK(batch.error.code == errc::watch_lagged);
  CHECK(batch.through == 4);
  put(map, "/a", "later"), map.publish();
  batch = map.watches().take(id);
  CHECK(batch.changes.empty());
  CHECK(batch.error.code == errc::watch_lagged);
  const auto again = add(map, "/a", batch.through);
  CHECK(text(map.watches().take(again)) == "+/a=3@5 +/a=4@6 +/a=later@7");
}

TEST_CASE("a watch lags by bytes as well, and what was replayed doesn't count against its buffer") {
  map_state map;
  for (int i = 0; i < 50; ++i) put(map, "/a", std::string(100, 'x'));
  map.publish();
  watch_limits limits;
  limits.max_changes = 2;
  limits.max_bytes = 2000;
  const auto id = add(map, "/a", 0, limits);
  put(map, "/a", "1"), put(map, "/a", "2"), map.publish();
  auto batch = map.watches().take(id);
  CHECK(batch.changes.size() == 52);
  CHECK_FALSE(batch.error);
  put(map, "/a", std::string(3000, 'y')), map.publish();
  batch = map.watches().take(id);
  CHECK(batch.changes.empty());
  CHECK(batch.error.code == errc::watch_lagged);
  CHECK(batch.through == 52);
}

TEST_CASE("a slow watch doesn't hold back or disturb the others") {
  map_state map;
  watch_limits tiny;
  tiny.max_changes = 1;
  const auto slow = add(map, "/", std::nullopt, tiny), fast = add(map, "/");
  for (int i = 0; i < 100; ++i) put(map, "/a"), map.publish();
  CHECK(map.watches().take(slow).error.code == errc::watch_lagged);
  CHECK(map.watches().take(fast).changes.size() == 100);
}

TEST_CASE("a removed watch and a closed hub say stopped") {
  map_state map;
  int notified = 0;
  const auto one = add(map, "/", std::nullopt, {}, [&] { ++notified; });
  const auto two = add(map, "/", std::nullopt, {}, [&] { ++notified; });
  CHECK(map.watches().size() == 2);
  map.watches().remove(one);
  map.watches().remove(one);
  CHECK(map.watches().take(one).error.code == errc::stopped);
  put(map, "/a"), map.publish();
  CHECK(notified == 1);
  map.watches().close();
  CHECK(notified == 1);  // it hadn't taken yet
  const auto batch = map.watches().take(two);
  CHECK(batch.changes.size() == 1);
  CHECK(batch.error.code == errc::stopped);
  const auto refused = map.watches().add("/", std::nullopt, {}, {});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::stopped);
}

TEST_CASE("a callback may take from, add and remove watches, also the one that comes next") {
  map_state map;
  int second_called = 0;
  watch_id first, second;
  std::string got;
  first = add(map, "/", std::nullopt, {}, [&] {
    got = text(map.watches().take(first));
    map.watches().remove(first);
    map.watches().remove(second);
  });
  second = add(map, "/", std::nullopt, {}, [&] { ++second_called; });
  put(map, "/a", "1"), map.publish();
  CHECK(got == "+/a=1@1");
  CHECK(second_called == 0);
  CHECK(map.watches().size() == 0);
  put(map, "/a", "2"), map.publish();
}

namespace {

struct oracle_change {
  std::uint64_t revision;
  bool put;
  std::string key, value;
  friend bool operator==(const oracle_change&, const oracle_change&) = default;
};

// A watch and what its consumer was given so far.
struct consumer {
  watch_id id;
  std::string prefix;
  std::uint64_t start = 0, through = 0;
  bool ended = false;
  std::vector<oracle_change> got;
};

void take_some(map_state& map, consumer& c, std::size_t max) {
  const change_batch batch = map.watches().take(c.id, max);
  for (const change& x : batch.changes)
    c.got.push_back({x.revision(), x.kind == change_kind::put, std::string(x.key()),
                     x.kind == change_kind::put ? std::string(x.entry.value()) : ""});
  REQUIRE(batch.through >= c.through);
  c.through = batch.through;
  if (batch.error) {
    REQUIRE(batch.error.code == errc::watch_lagged);
    c.ended = true;
  }
}

// Everything up to `through`, and nothing beyond, must have arrived.
void check_against(const consumer& c, const std::vector<oracle_change>& history) {
  std::vector<oracle_change> wanted;
  for (const auto& h : history)
    if (h.revision > c.start && h.revision <= c.through && h.key.compare(0, c.prefix.size(), c.prefix) == 0)
      wanted.push_back(h);
  REQUIRE(c.got == wanted);
}

void run_watch_seed(std::uint64_t seed) {
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const history_limits limits{random() % 40, std::size_t{1} << (8 + random() % 8)};
  map_state map(limits);
  std::map<std::string, bool> present;
  std::vector<oracle_change> history;
  std::vector<consumer> consumers;
  for (int step = 0; step < 300; ++step) {
    const std::uint64_t published = map.read().revision();
    switch (random() % 8) {
      case 0:
        map.publish();
        break;
      case 1: {
        consumer c;
        static const char* const prefixes[] = {"", "/", "/a", "/a/", "/a/1", "/b/", "/zzz"};
        c.prefix = prefixes[random() % 7];
        std::optional<std::uint64_t> after;
        if (random() % 3 != 0) after = random() % (published + 3);
        watch_limits w{1 + random() % 20, 400 + random() % 5000};
        const auto id = map.watches().add(c.prefix, after, w, {});
        c.start = c.through = after.value_or(published);
        if (c.start > published) {
          REQUIRE(id.error().code == errc::revision_in_future);
        } else if (c.start < map.watches().floor()) {
          REQUIRE(id.error().code == errc::compacted);
        } else {
          REQUIRE(id);
          c.id = *id;
          consumers.push_back(std::move(c));
        }
        break;
      }
      case 2:
        if (!consumers.empty()) take_some(map, consumers[random() % consumers.size()], 1 + random() % 10);
        break;
      default: {
        const std::string key = (random() % 2 ? "/a/" : "/b/") + std::to_string(random() % 4);
        const std::string value = std::to_string(random() % 1000);
        const std::uint64_t revision = map.applied().index.value() + 1;
        if (random() % 3 == 0) {
          erase(map, key);
          if (present[key]) history.push_back({revision, false, key, ""});
          present[key] = false;
        } else {
          put(map, key, value);
          history.push_back({revision, true, key, value});
          present[key] = true;
        }
      }
    }
  }
  map.publish();
  for (consumer& c : consumers) {
    take_some(map, c, 1000000);
    if (!c.ended) REQUIRE(c.through == map.read().revision());
    check_against(c, history);
  }
}

}  // namespace

TEST_CASE(
    "for random operations a watch gets exactly the filter of the history, in order, up to where it says") {
  for (std::uint64_t seed = 0; seed < confman_test::effort(1500u); ++seed) run_watch_seed(seed);
}
