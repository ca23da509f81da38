// The persistent trie against std::map: lookups, ordered scans, old versions, and its memory.
#include <doctest/doctest.h>

#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "confman/map/node_pool.hpp"
#include "confman/map/trie.hpp"
#include "confman/map/trie_editor.hpp"
#include "lib/effort.hpp"

namespace {

using confman::record;
using confman::detail::trie_ref;

using model = std::map<std::string, std::uint64_t>;  // key to the revision that wrote it

// Keeps what is retired until the end of the test, so that old versions stay readable.
struct keep_everything {
  std::vector<trie_ref> gone;
  void retire(trie_ref r) { gone.push_back(r); }
};

struct tree {
  confman::detail::node_pool pool;
  keep_everything retired;
  confman::detail::trie_editor<keep_everything> editor{pool, retired};
  std::uint64_t edit = 1;
  std::uint64_t revision = 0;

  tree() { editor.begin_edit(edit); }
  ~tree() {
    editor.clear();
    for (const trie_ref r : retired.gone) {
      if (r.is_record())
        r.as_record()->release();
      else
        pool.free(r.as_node(), r.as_node()->allocated_bytes());
    }
    CHECK(pool.blocks_in_use() == 0);
    CHECK(pool.bytes_in_use() == 0);
  }

  void next_batch() { editor.begin_edit(++edit); }
  void put(const std::string& key) {
    record::origin from;
    from.at.index = confman::log_index(++revision);
    const record* const old = editor.seek(key);
    editor.put(record::create(key, "value of " + key, from, 1));
    if (old) retired.retire(trie_ref(old));
  }
  bool erase(const std::string& key) {
    const record* const old = editor.seek(key);
    if (!old) return false;
    editor.erase();
    retired.retire(trie_ref(old));
    return true;
  }
};

std::vector<std::string> scanned(trie_ref root, std::string_view prefix, std::string_view after,
                                 std::size_t limit = 1000000) {
  std::vector<std::string> keys;
  confman::detail::scan(root, prefix, after, [&](const record& r) {
    keys.emplace_back(r.key());
    return keys.size() < limit;
  });
  return keys;
}

std::vector<std::string> expected_scan(const model& m, const std::string& prefix, const std::string& after) {
  std::vector<std::string> keys;
  for (const auto& [key, revision] : m)
    if (key.compare(0, prefix.size(), prefix) == 0 && (after.empty() || key > after)) keys.push_back(key);
  return keys;
}

void check_same(trie_ref root, const model& m) {
  std::vector<std::pair<std::string, std::uint64_t>> found;
  confman::detail::scan(root, "", "", [&](const record& r) {
    found.emplace_back(r.key(), r.modify_revision());
    return true;
  });
  const std::vector<std::pair<std::string, std::uint64_t>> wanted(m.begin(), m.end());
  REQUIRE(found == wanted);
  for (const auto& [key, revision] : m) {
    const record* const r = confman::detail::find_record(root, key);
    REQUIRE(r != nullptr);
    REQUIRE(r->modify_revision() == revision);
  }
}

// Keys from a small, awkward alphabet: prefixes of each other, bytes 1 and 255, long common parts, wide
// nodes.
std::string random_key(std::mt19937_64& random, int style) {
  std::string key = "/";
  switch (style) {
    case 0:  // short keys over few letters: many are prefixes of others
      for (auto n = random() % 7; n != 0; --n) key += "ab\x01\xff/"[random() % 5];
      break;
    case 1:  // every byte value: dense nodes that grow and shrink
      key += static_cast<char>(1 + random() % 255);
      if (random() % 4 == 0) key += static_cast<char>(1 + random() % 255);
      break;
    case 2:  // chains: each key a prefix of the next
      key += std::string(random() % 60, 'x');
      break;
    case 3:  // long common prefixes
      key += std::string(100 + random() % 3, 'p') + std::to_string(random() % 50) +
             std::string(random() % 2, 's');
      break;
    default:  // like real ones
      key += "app" + std::to_string(random() % 5) + "/svc" + std::to_string(random() % 8) + "/k" +
             std::to_string(random() % 20);
  }
  return key;
}

void run_seed(std::uint64_t seed, int style, int steps) {
  CAPTURE(seed);
  CAPTURE(style);
  std::mt19937_64 random(seed * 8 + static_cast<std::uint64_t>(style));
  tree t;
  model m;
  const unsigned erase_share = static_cast<unsigned>(random() % 6);  // of 8: some runs grow, some shrink
  for (int step = 0; step < steps; ++step) {
    const std::string key = random_key(random, style);
    if (random() % 8 < erase_share) {
      REQUIRE(t.erase(key) == (m.erase(key) == 1));
    } else {
      t.put(key);
      m[key] = t.revision;
    }
    if (random() % 5 == 0) t.next_batch();
    const std::string probe = random_key(random, style);
    const record* const found = confman::detail::find_record(t.editor.root(), probe);
    REQUIRE((found != nullptr) == (m.count(probe) == 1));
    const std::string prefix = probe.substr(0, random() % (probe.size() + 1));
    const std::string after = random() % 2 ? random_key(random, style) : std::string();
    REQUIRE(scanned(t.editor.root(), prefix, after) == expected_scan(m, prefix, after));
  }
  check_same(t.editor.root(), m);
}

}  // namespace

TEST_CASE("the trie equals std::map after every step, for thousands of seeds and awkward keys") {
  for (std::uint64_t seed = 0; seed < confman_test::effort(1000u); ++seed)
    for (int style = 0; style < 5; ++style) run_seed(seed, style, 40);
}

TEST_CASE("the trie equals std::map in long runs with wide nodes") {
  for (std::uint64_t seed = 0; seed < 6; ++seed) run_seed(1000000 + seed, 1, 1500);
  for (std::uint64_t seed = 0; seed < 2; ++seed) run_seed(2000000 + seed, 4, 1500);
}

TEST_CASE("old versions stay as they were, whatever happens after them") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const int style = static_cast<int>(seed % 5);
    tree t;
    model m;
    std::vector<std::pair<trie_ref, model>> versions;
    for (int batch = 0; batch < 25; ++batch) {
      for (auto n = random() % 20; n != 0; --n) {
        const std::string key = random_key(random, style);
        if (random() % 3 == 0) {
          t.erase(key);
          m.erase(key);
        } else {
          t.put(key);
          m[key] = t.revision;
        }
      }
      versions.emplace_back(t.editor.root(), m);
      t.next_batch();
    }
    for (const auto& [root, then] : versions) check_same(root, then);
  }
}

TEST_CASE("a node is edited in place within a batch and copied once per batch") {
  tree t;
  for (int i = 0; i < 100; ++i) t.put("/" + std::to_string(i));
  t.next_batch();
  t.retired.gone.reserve(1000);
  const std::size_t blocks = t.pool.blocks_in_use(), retired = t.retired.gone.size();
  t.put("/55");
  const std::size_t copied = t.pool.blocks_in_use() - blocks;
  CHECK(copied >= 2);
  CHECK(t.retired.gone.size() - retired == copied + 1);  // the nodes of the path, and the record
  for (int i = 0; i < 50; ++i) t.put("/55");
  CHECK(t.pool.blocks_in_use() - blocks == copied);
}

TEST_CASE("a chain of keys up to the longest, each a prefix of the next, is scanned without recursion") {
  tree t;
  model m;
  for (std::size_t size = 1; size <= confman::max_key_bytes; ++size) {
    const std::string key = "/" + std::string(size - 1, 'k');
    t.put(key);
    m[key] = t.revision;
  }
  check_same(t.editor.root(), m);
  const std::string middle = "/" + std::string(255, 'k');
  CHECK(scanned(t.editor.root(), middle, "").size() == 512 - 255);
  CHECK(scanned(t.editor.root(), "/", middle).size() == 512 - 256);
  CHECK(confman::detail::find_record(t.editor.root(), "/" + std::string(512, 'k')) == nullptr);
  for (std::size_t size = confman::max_key_bytes; size >= 1; size -= 2)
    REQUIRE(t.erase("/" + std::string(size - 1, 'k')));
  CHECK(scanned(t.editor.root(), "/", "").size() == 256);
}

TEST_CASE("lookups and scans take any bytes, also what can't be a key") {
  tree t;
  for (const char* key : {"/a", "/a/b", "/a/c", "/b"}) t.put(key);
  const trie_ref root = t.editor.root();
  const auto find = [&](std::string_view key) { return confman::detail::find_record(root, key); };
  CHECK(find("") == nullptr);
  CHECK(find("a") == nullptr);
  CHECK(find("/") == nullptr);
  CHECK(find(std::string_view("/a\0", 3)) == nullptr);
  CHECK(find(std::string_view("/a\0x", 4)) == nullptr);
  CHECK(find(std::string(5000, '/')) == nullptr);
  using keys = std::vector<std::string>;
  CHECK(scanned(root, "", "") == keys{"/a", "/a/b", "/a/c", "/b"});
  CHECK(scanned(root, std::string_view("/a\0", 3), "") == keys{});
  CHECK(scanned(root, "", std::string_view("/a\0x", 4)) == keys{"/a/b", "/a/c", "/b"});
  CHECK(scanned(root, "/a/", "/a") == keys{"/a/b", "/a/c"});
  CHECK(scanned(root, "/a/", "/a/b") == keys{"/a/c"});
  CHECK(scanned(root, "/a/", "/a/bb") == keys{"/a/c"});
  CHECK(scanned(root, "/a", "/aa") == keys{});
  CHECK(scanned(root, "/a", "/b") == keys{});
  CHECK(scanned(root, "", "/b") == keys{});
  CHECK(scanned(root, "/c", "") == keys{});
  CHECK(scanned(root, "", "", 2) == keys{"/a", "/a/b"});
  CHECK(scanned(trie_ref{}, "", "").empty());
  CHECK(confman::detail::find_record(trie_ref{}, "/a") == nullptr);
}

TEST_CASE("paging with seek-after-key meets every key once, also when keys vanish in between") {
  tree t;
  model m;
  std::mt19937_64 random(5);
  for (int i = 0; i < 300; ++i) {
    const std::string key = random_key(random, static_cast<int>(random() % 5));
    t.put(key);
    m[key] = 0;
  }
  std::vector<std::string> all;
  for (std::string last;;) {
    const auto page = scanned(t.editor.root(), "/", last, 7);
    all.insert(all.end(), page.begin(), page.end());
    if (page.size() < 7) break;
    last = page.back();
    t.erase(last);
  }
  std::vector<std::string> wanted;
  for (const auto& [key, revision] : m) wanted.push_back(key);
  CHECK(all == wanted);
}

TEST_CASE("a record keeps key, value and origin, and its hash depends on each of them") {
  record::origin from;
  from.create_revision = 5;
  from.at = {confman::term_t(2), confman::log_index(9)};
  from.key_version = 3;
  from.timestamp = -1;
  from.author = confman::node_id(7);
  const auto make = [](std::string_view key, std::string_view value, const record::origin& o) {
    return confman::map_entry::adopt(record::create(key, value, o, 1));
  };
  const auto entry = make("/k", "v", from);
  CHECK(entry.key() == "/k");
  CHECK(entry.value() == "v");
  CHECK(entry.create_revision() == 5);
  CHECK(entry.modify_revision() == 9);
  CHECK(entry.at() == from.at);
  CHECK(entry.key_version() == 3);
  CHECK(entry.timestamp() == -1);
  CHECK(entry.author() == confman::node_id(7));
  CHECK(entry->use_count() == 1);
  CHECK(entry->content_hash() == make("/k", "v", from)->content_hash());

  const auto differs = [&](std::string_view key, std::string_view value, const record::origin& o) {
    return make(key, value, o)->content_hash() != entry->content_hash();
  };
  CHECK(differs("/l", "v", from));
  CHECK(differs("/k", "w", from));
  CHECK(differs("/kv", "", from));
  auto changed = from;
  changed.create_revision = 6;
  CHECK(differs("/k", "v", changed));
  changed = from, changed.at.index = confman::log_index(10);
  CHECK(differs("/k", "v", changed));
  changed = from, changed.at.term = confman::term_t(3);
  CHECK(differs("/k", "v", changed));
  changed = from, changed.key_version = 4;
  CHECK(differs("/k", "v", changed));
  changed = from, changed.author = confman::node_id(8);
  CHECK(differs("/k", "v", changed));
  changed = from, changed.timestamp = 1;
  CHECK(differs("/k", "v", changed));
}

TEST_CASE("a record keeps numbers of any size exactly") {
  const std::uint64_t big = 0xfedcba9876543210u;
  const std::string value(300, 'v');
  for (int which = 0; which < 6; ++which) {
    CAPTURE(which);
    record::origin from;
    from.create_revision = which == 0 ? 1 : big - 7;
    from.at = {confman::term_t(which == 1 ? big : 0xffffffffu), confman::log_index(big)};
    from.key_version = which == 2 ? big : (1u << 21) - 1;
    from.author = confman::node_id(which == 3 ? big : 0xffffffffu);
    from.timestamp =
        which == 4 ? std::numeric_limits<std::int64_t>::min() : std::numeric_limits<std::int64_t>::max();
    const auto entry = confman::map_entry::adopt(record::create("/key", value, from, 1));
    CHECK(entry.key() == "/key");
    CHECK(entry.value() == value);
    CHECK(entry.create_revision() == from.create_revision);
    CHECK(entry.modify_revision() == big);
    CHECK(entry.at() == from.at);
    CHECK(entry.key_version() == from.key_version);
    CHECK(entry.author() == from.author);
    CHECK(entry.timestamp() == from.timestamp);
    CHECK(entry->allocated_bytes() == record::allocation_size("/key", value, from));
    auto other = from;
    ++other.create_revision;
    CHECK(confman::map_entry::adopt(record::create("/key", value, other, 1))->content_hash() !=
          entry->content_hash());
    CHECK(confman::map_entry::adopt(record::create("/key", value + "x", from, 1))->content_hash() !=
          entry->content_hash());
  }
}

TEST_CASE("the hash of a value depends on each of its bytes, at every length") {
  const record::origin from;
  for (const std::size_t size : {1u, 8u, 15u, 16u, 17u, 31u, 32u, 33u, 255u, 256u, 257u, 300u}) {
    std::string value(size, 'v');
    const auto hash = [&] {
      return confman::map_entry::adopt(record::create("/k", value, from, 1))->content_hash();
    };
    const std::uint64_t before = hash();
    for (std::size_t i = 0; i < size; ++i) {
      value[i] = 'w';
      REQUIRE(hash() != before);
      value[i] = 'v';
    }
    value += 'v';
    REQUIRE(hash() != before);
  }
}
