// The state machine: what entries do, versions and snapshots, the state hash, and that memory comes back.
#include <doctest/doctest.h>

#include <map>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "map_entries.hpp"

using namespace map_test;

TEST_CASE("put, overwrite and erase keep revisions, versions and origin") {
  map_state map;
  CHECK(map.read().revision() == 0);
  CHECK(map.read().size() == 0);
  CHECK(map.read().state_hash() == 0);

  auto answer = put(map, "/a", "1");
  CHECK_FALSE(answer.code);
  CHECK(answer.revision == 1);
  CHECK(answer.at == version{term_t(1), log_index(1)});
  CHECK(answer.previous_revision == 0);
  CHECK_FALSE(answer.existed);
  CHECK(value_of(map, "/a") == "(absent)");  // not before publish
  map.publish();
  CHECK(value_of(map, "/a") == "1");

  put(map, "/b", "x");
  answer = put(map, "/a", "2");
  CHECK(answer.existed);
  CHECK(answer.previous_revision == 1);
  map.publish();
  const auto a = map.get("/a");
  REQUIRE(a);
  CHECK(a->value() == "2");
  CHECK(a->create_revision() == 1);
  CHECK(a->modify_revision() == 3);
  CHECK(a->key_version() == 2);
  CHECK(a->timestamp() == 1000);
  CHECK(a->author() == node_id(2));
  CHECK(map.read().size() == 2);

  answer = erase(map, "/a");
  CHECK_FALSE(answer.code);
  CHECK(answer.existed);
  CHECK(answer.previous_revision == 3);
  answer = erase(map, "/a");
  CHECK_FALSE(answer.code);
  CHECK_FALSE(answer.existed);
  CHECK(answer.revision == 5);
  map.publish();
  CHECK(value_of(map, "/a") == "(absent)");
  CHECK(a->value() == "2");  // the handle outlives the key
  CHECK(map.read().size() == 1);
  CHECK(map.read().revision() == 5);

  put(map, "/a", "3");
  map.publish();
  CHECK(map.get("/a")->create_revision() == 6);
  CHECK(map.get("/a")->key_version() == 1);
}

TEST_CASE("compare-exchange and compare-erase apply only at the expected revision, and 0 means absent") {
  map_state map;
  const auto exchange = [&](std::string_view value, std::uint64_t expected) {
    return apply(map, command_kind::compare_exchange, "/k", value, expected);
  };
  auto answer = exchange("x", 5);
  CHECK(answer.code == errc::compare_failed);
  CHECK(answer.previous_revision == 0);
  CHECK_FALSE(answer.existed);
  answer = exchange("first", 0);
  CHECK_FALSE(answer.code);
  CHECK(answer.revision == 2);
  answer = exchange("again", 0);
  CHECK(answer.code == errc::compare_failed);
  CHECK(answer.previous_revision == 2);
  CHECK(answer.existed);
  answer = exchange("second", 2);
  CHECK_FALSE(answer.code);
  CHECK(answer.previous_revision == 2);
  map.publish();
  CHECK(value_of(map, "/k") == "second");

  answer = apply(map, command_kind::compare_erase, "/k", {}, 2);
  CHECK(answer.code == errc::compare_failed);
  CHECK(answer.previous_revision == 4);
  answer = apply(map, command_kind::compare_erase, "/k", {}, 4);
  CHECK_FALSE(answer.code);
  CHECK(answer.existed);
  answer = apply(map, command_kind::compare_erase, "/k", {}, 0);
  CHECK_FALSE(answer.code);
  CHECK_FALSE(answer.existed);
  answer = apply(map, command_kind::compare_erase, "/k", {}, 4);
  CHECK(answer.code == errc::compare_failed);
  map.publish();
  CHECK(map.read().size() == 0);
  CHECK(map.read().revision() == 8);
}

TEST_CASE("no-ops, configurations and undecodable commands only advance the revision") {
  map_state map;
  put(map, "/a");
  map.publish();
  const std::uint64_t hash = map.read().state_hash();
  entry e;
  e.term = term_t(4);
  e.payload = shared_bytes::copy("nonsense");
  for (const auto type : {entry_type::noop, entry_type::configuration, entry_type::command}) {
    e.type = type;
    e.index = map.applied().index + 1;
    const auto answer = map.apply(e);
    CHECK(answer.at == version{e.term, e.index});
    if (type == entry_type::command)
      CHECK(answer.code == errc::bad_command);
    else
      CHECK_FALSE(answer.code);
    map.publish();
    CHECK(map.read().revision() == e.index.value());
    CHECK(map.read().at() == version{e.term, e.index});
    CHECK(map.read().size() == 1);
    CHECK(map.read().state_hash() == hash);
  }
}

TEST_CASE("a batch becomes visible as a whole") {
  map_state map;
  for (int i = 0; i < 100; ++i) put(map, "/" + std::to_string(i));
  CHECK(map.read().size() == 0);
  map.publish();
  CHECK(map.read().size() == 100);
  const auto guard = map.read();
  put(map, "/0", "new");
  erase(map, "/1");
  map.publish();
  CHECK(guard.revision() == 100);
  CHECK(guard.find("/0")->value() == "v");
  CHECK(guard.find("/1") != nullptr);
  CHECK(map.get("/0")->value() == "new");  // nested: a newer version than the outer guard's
  CHECK_FALSE(map.get("/1"));
}

// What find() gives is gone with the guard or snapshot, so the compiler refuses it of a temporary one.
template <class View>
concept finds_in_a_temporary = requires(View (*view)(), std::string_view key) {
  view().find(key);
};
template <class View>
concept finds_in_a_variable = requires(const View& view, std::string_view key) {
  view.find(key);
};

TEST_CASE("a record can't be found in a view that is gone at the end of the expression") {
  static_assert(finds_in_a_variable<read_guard> && !finds_in_a_temporary<read_guard>);
  static_assert(finds_in_a_variable<map_snapshot> && !finds_in_a_temporary<map_snapshot>);
  map_state map;
  put(map, "/k");
  map.publish();
  CHECK(map.read().get("/k")->value() == "v");  // an entry owns what it shows
}

TEST_CASE("the state hash depends on the content alone, not on batches or on what was there before") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    map_state one, two;
    const auto run = [&](map_state& map, std::uint64_t batch_seed) {
      std::mt19937_64 operations(seed), batches(batch_seed);
      for (int i = 0; i < 200; ++i) {
        const std::string key = "/" + std::to_string(operations() % 30);
        switch (operations() % 4) {
          case 0:
            erase(map, key);
            break;
          case 1:
            apply(map, command_kind::compare_exchange, key, "cas", operations() % 200);
            break;
          default:
            put(map, key, std::string(operations() % 400, 'v'));
        }
        if (batches() % 7 == 0) map.publish();
        if (batches() % 11 == 0) map.collect(batches() % 20);
      }
      map.publish();
    };
    run(one, random()), run(two, random());
    CHECK(one.read().state_hash() == two.read().state_hash());
    CHECK(one.read().approximate_bytes() == two.read().approximate_bytes());
    std::uint64_t recomputed = 0;
    one.read().for_each_prefix("", [&](const record& r) { return recomputed += r.content_hash(), true; });
    CHECK(recomputed == one.read().state_hash());
    const std::uint64_t before = one.read().state_hash();
    put(one, "/0", "something else");
    one.publish();
    CHECK(one.read().state_hash() != before);
    std::vector<std::string> keys;
    one.read().for_each_prefix("", [&](const record& r) { return keys.emplace_back(r.key()), true; });
    for (const auto& key : keys) erase(one, key);
    one.publish();
    CHECK(one.read().state_hash() == 0);
    CHECK(one.read().approximate_bytes() == 0);
  }
}

TEST_CASE("a snapshot is one version, whatever is written, collected or destroyed after it") {
  auto map = std::make_unique<map_state>();
  std::map<std::string, std::string> model;
  std::vector<std::pair<map_snapshot, std::map<std::string, std::string>>> snapshots;
  std::mt19937_64 random(3);
  for (int batch = 0; batch < 300; ++batch) {
    for (int i = 0; i < 10; ++i) {
      const std::string key = "/" + std::to_string(random() % 200);
      if (random() % 3 == 0) {
        erase(*map, key);
        model.erase(key);
      } else {
        const std::string value = std::to_string(random());
        put(*map, key, value);
        model[key] = value;
      }
    }
    map->publish();
    if (random() % 3 == 0) snapshots.emplace_back(map->snapshot(), model);
    if (random() % 4 == 0 && !snapshots.empty())  // released in any order
      snapshots.erase(snapshots.begin() + static_cast<std::ptrdiff_t>(random() % snapshots.size()));
    map->collect(random() % 100);
  }
  const auto check_all = [&] {
    for (const auto& [snapshot, then] : snapshots) {
      std::map<std::string, std::string> content;
      snapshot.for_each_prefix("",
                               [&](const record& r) { return content.emplace(r.key(), r.value()), true; });
      REQUIRE(content == then);
      REQUIRE(snapshot.size() == then.size());
    }
  };
  REQUIRE(snapshots.size() > 5);
  check_all();
  const map_snapshot copy = snapshots.front().first;
  map_snapshot moved = std::move(snapshots.back().first);
  snapshots.back().first = moved;
  map.reset();
  check_all();
  CHECK(copy.revision() == snapshots.front().first.revision());
}

TEST_CASE("what was replaced is freed: records and nodes fall back to what the state needs") {
  map_state map(history_limits{0, 0});
  const auto fill = [&](const char* value) {
    for (int i = 0; i < 500; ++i) put(map, "/" + std::to_string(i), value);
    map.publish();
  };
  const auto collect_all = [&] {
    while (map.collect(100) != 0) {
    }
  };
  fill("a");
  collect_all();
  const auto idle = map.memory();
  CHECK(idle.live_records == 500);
  CHECK(idle.backlog == 0);
  for (int round = 0; round < 20; ++round) fill("b");
  collect_all();
  CHECK(map.memory().live_records == 500);
  CHECK(map.memory().live_nodes == idle.live_nodes);
  CHECK(map.memory().node_bytes == idle.node_bytes);

  for (int i = 0; i < 500; ++i) erase(map, "/" + std::to_string(i));
  map.publish();
  collect_all();
  CHECK(map.memory().live_records == 0);
  CHECK(map.memory().live_nodes == 1);  // the published version itself
}

TEST_CASE("a writer that publishes frees as it goes, in bounded portions") {
  map_state map(history_limits{0, 0});
  for (int i = 0; i < 1000; ++i) put(map, "/" + std::to_string(i));
  map.publish();
  std::size_t largest = 0;
  for (int batch = 0; batch < 2000; ++batch) {
    for (int i = 0; i < 16; ++i) put(map, "/" + std::to_string((batch * 16 + i) % 1000));
    map.publish();
    largest = std::max(largest, map.memory().backlog);
  }
  CHECK(largest < 3000);
  CHECK(map.collect(10) <= 10);
}

TEST_CASE("a guard holds back what is replaced while it lives, and nothing after that") {
  map_state map(history_limits{0, 0});
  put(map, "/a", "old");
  map.publish();
  {
    const auto guard = map.read();
    const record* const old = guard.find("/a");
    for (int i = 0; i < 100; ++i) put(map, "/a", "new"), map.publish();
    CHECK(map.collect(100000) == 0);
    CHECK(map.memory().live_records == 101);
    CHECK(old->value() == "old");
  }
  CHECK(map.collect(100000) > 0);
  CHECK(map.memory().live_records == 1);
  CHECK(map.memory().backlog == 0);
}

TEST_CASE("a snapshot holds back only what it contains, at most one copy of the state") {
  map_state map(history_limits{0, 0});
  const auto overwrite = [&] {
    for (int i = 0; i < 100; ++i) put(map, "/" + std::to_string(i));
    map.publish();
    map.collect(100000);
  };
  overwrite();
  const std::size_t nodes = map.memory().live_nodes;
  auto first = std::make_optional(map.snapshot());
  for (int round = 0; round < 50; ++round) overwrite();
  CHECK(map.memory().live_records == 200);
  CHECK(map.memory().live_nodes <= 2 * nodes);
  auto second = std::make_optional(map.snapshot());
  for (int round = 0; round < 50; ++round) overwrite();
  CHECK(map.memory().live_records == 300);

  second = map.snapshot();  // half of its records will also be the third's
  for (int i = 0; i < 50; ++i) put(map, "/" + std::to_string(i));
  map.publish();
  auto third = std::make_optional(map.snapshot());
  for (int round = 0; round < 3; ++round) overwrite();
  CHECK(map.memory().live_records == 350);
  second.reset();
  map.collect(100000);
  CHECK(map.memory().live_records == 300);
  first.reset();
  map.collect(100000);
  CHECK(map.memory().live_records == 200);
  third.reset();
  while (map.collect(7) != 0) {
  }
  CHECK(map.memory().live_records == 100);
  CHECK(map.memory().live_nodes == nodes);
}

TEST_CASE("random snapshots, guards and collects never lose or leak a record") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    map_state map(history_limits{random() % 10, 1 << 20});
    std::vector<map_snapshot> snapshots;
    std::vector<map_entry> handles;
    std::vector<std::pair<std::size_t, std::uint64_t>> hashes;  // snapshot revision to its hash
    for (int step = 0; step < 400; ++step) {
      const std::string key = "/" + std::to_string(random() % 40);
      switch (random() % 8) {
        case 0:
          erase(map, key);
          break;
        case 1:
          map.publish();
          break;
        case 2:
          map.collect(random() % 50);
          break;
        case 3:
          snapshots.push_back(map.snapshot());
          break;
        case 4:
          if (!snapshots.empty()) {
            snapshots.erase(snapshots.begin() + static_cast<std::ptrdiff_t>(random() % snapshots.size()));
          }
          break;
        case 5:
          if (auto e = map.get(key)) handles.push_back(std::move(*e));
          break;
        default:
          put(map, key, std::string(random() % 300, 'x'));
      }
      if (!snapshots.empty()) {
        const map_snapshot& any = snapshots[random() % snapshots.size()];
        std::uint64_t hash = 0, count = 0;
        any.for_each_prefix("", [&](const record& r) { return hash += r.content_hash(), ++count, true; });
        REQUIRE(hash == any.state_hash());
        REQUIRE(count == any.size());
      }
    }
    snapshots.clear();
    map.publish();
    while (map.collect(1000) != 0) {
    }
    CHECK(map.memory().live_records == map.read().size());
    CHECK(map.memory().backlog == 0);
  }
}

TEST_CASE("entries and snapshots outlive the map") {
  std::optional<map_entry> entry;
  std::optional<map_snapshot> snapshot;
  {
    map_state map;
    put(map, "/a", "1");
    map.publish();
    entry = map.get("/a");
    snapshot = map.snapshot();
    put(map, "/a", "2");  // applied, never published
    put(map, "/b", "2");
  }
  CHECK(entry->value() == "1");
  CHECK(snapshot->find("/a")->value() == "1");
  CHECK(snapshot->find("/b") == nullptr);
  CHECK(snapshot->get("/a")->value() == "1");
}

TEST_CASE("listing a prefix is ordered and can start after a key") {
  map_state map;
  for (const char* key : {"/app/b", "/app/a", "/app", "/apple", "/b", "/app/a/x"}) put(map, key);
  map.publish();
  const auto list = [&](std::string_view prefix, std::string_view after) {
    std::string all;
    map.read().for_each_prefix(prefix, after, [&](const record& r) {
      all += std::string(r.key()) + " ";
      return true;
    });
    return all;
  };
  CHECK(list("/app/", "") == "/app/a /app/a/x /app/b ");
  CHECK(list("/app", "") == "/app /app/a /app/a/x /app/b /apple ");
  CHECK(list("/app/", "/app/a") == "/app/a/x /app/b ");
  CHECK(list("", "/app/b") == "/apple /b ");
  CHECK(list("/x", "") == "");
}

TEST_CASE("applying many entries at once gives the answers and the state of applying them one by one") {
  map_state one, many;
  std::mt19937_64 random(11);
  std::uint64_t index = 0;
  const auto random_entry = [&] {
    const std::string key = "/" + std::to_string(random() % 3000), value(random() % 900, 'v');
    entry e = make_entry(++index, command(command_kind::put, key, value));
    switch (random() % 10) {
      case 0:
        e.type = entry_type::noop;
        break;
      case 1:
        e.payload = e.payload.slice(0, random() % (e.payload.size() + 1));
        break;
      case 2:
        e.payload = shared_bytes::copy(std::string(random() % 100, static_cast<char>(random())));
        break;
      case 3:
        e.payload = encode(command(command_kind::erase, key));
        break;
      case 4:
        e.payload = encode(command(command_kind::compare_exchange, key, value, random() % index));
        break;
      default:
        break;
    }
    return e;
  };
  for (int batch = 0; batch < 300; ++batch) {
    std::vector<entry> entries;
    for (auto n = random() % 60; n != 0; --n) entries.push_back(random_entry());
    std::vector<apply_result> wanted, got;
    for (const entry& e : entries) wanted.push_back(one.apply(e));
    many.apply_all(
        entries.size(), [&](std::size_t i) -> const entry& { return entries[i]; },
        [&](const entry& e, const apply_result& answer) {
          CHECK(e.index == answer.at.index);
          got.push_back(answer);
        });
    REQUIRE(got == wanted);
    one.publish(), many.publish();
  }
  CHECK(one.read().approximate_bytes() > 600000);  // large enough for the places to be fetched ahead
  CHECK(one.read().state_hash() == many.read().state_hash());
}
