// The simulated disk forgets exactly what a real one may forget.
#include "confman/sim/disk.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>

namespace {

using confman::failure;
using confman::open_mode;
using confman::sim::disk;
using confman::sim::effect_fuse;
using confman::sim::survival;

struct a_disk {
  effect_fuse fuse;
  disk d;
  explicit a_disk(std::uint64_t seed = 1) : d(seed, fuse) { REQUIRE_FALSE(d.make_directory("d")); }

  disk::file open(const std::string& path) {
    auto f = d.open_file(path, open_mode::create);
    REQUIRE(f);
    return std::move(*f);
  }
  failure write(disk::file& f, std::uint64_t offset, std::string_view bytes) {
    return d.write(f, offset, {&bytes, 1});
  }
  void store(const std::string& path, std::string_view bytes) {
    disk::file f = open(path);
    REQUIRE_FALSE(write(f, 0, bytes));
    REQUIRE_FALSE(d.sync(f));
    REQUIRE_FALSE(d.sync_directory("d"));
  }
  std::string content(const std::string& path) {
    auto f = d.open_file(path, open_mode::existing);
    if (!f) return "no file";
    std::string bytes(100'000, '\0');
    const auto count = d.read(*f, 0, {bytes.data(), bytes.size()});
    REQUIRE(count);
    bytes.resize(*count);
    return bytes;
  }
};

}  // namespace

TEST_CASE("the simulated disk keeps what was synced and, at worst, nothing else") {
  a_disk a;
  a.store("d/file", "old content");
  disk::file f = a.open("d/file");
  REQUIRE_FALSE(a.write(f, 0, "NEW"));
  REQUIRE_FALSE(a.write(f, 11, ", longer"));
  CHECK(a.content("d/file") == "NEW content, longer");
  a.d.power_off(survival::none);
  CHECK(a.content("d/file") == "old content");
  CHECK(a.write(f, 0, "x").code == confman::errc::storage_failed);  // the file was open when the power went
}

TEST_CASE("the simulated disk may keep everything that was not synced") {
  a_disk a;
  disk::file f = a.open("d/file");
  REQUIRE_FALSE(a.write(f, 0, "content"));
  a.d.power_off(survival::all);
  CHECK(a.content("d/file") == "content");
}

TEST_CASE("names that a failed sync lost end with the process, and no later sync says otherwise") {
  a_disk a;
  REQUIRE(a.d.lock("d/LOCK"));
  a.store("d/old", "old");
  disk::file f = a.open("d/new");
  REQUIRE_FALSE(a.write(f, 0, "new"));
  REQUIRE_FALSE(a.d.sync(f));
  REQUIRE_FALSE(a.d.rename("d/old", "d/moved"));
  a.d.fail_calls(disk::call::sync, 1);
  CHECK(a.d.sync_directory("d"));
  CHECK(a.d.counted().failed_name_syncs == 1);
  CHECK(a.content("d/new") == "new");
  CHECK(a.d.sync_directory("d"));  // whoever else asks
  REQUIRE_FALSE(a.d.make_directory("e"));
  CHECK_FALSE(a.d.sync_directory("e"));
  SUBCASE("the process is killed") {
    a.d.power_off(survival::cached);
  }
  SUBCASE("power is lost, and all that may survive does") {
    a.d.power_off(survival::all);
  }
  CHECK(a.content("d/new") == "no file");
  CHECK(a.content("d/moved") == "no file");
  CHECK(a.content("d/old") == "old");
  REQUIRE(a.d.lock("d/LOCK"));
  a.store("d/new", "again");
  a.d.power_off(survival::none);
  CHECK(a.content("d/new") == "again");
}

TEST_CASE("the end of a process loses nothing on the simulated disk, and makes nothing durable") {
  a_disk a;
  a.store("d/file", "old content");
  disk::file f = a.open("d/file");
  REQUIRE_FALSE(a.write(f, 0, "NEW"));
  REQUIRE_FALSE(a.d.rename("d/file", "d/moved"));
  a.d.power_off(survival::cached);
  CHECK(a.write(f, 0, "x").code == confman::errc::storage_failed);
  CHECK(a.content("d/moved") == "NEW content");
  CHECK_FALSE(a.d.rot(1));
  a.d.power_off(survival::none);
  CHECK(a.content("d/file") == "old content");
  CHECK(a.content("d/moved") == "no file");
}

TEST_CASE("what a failed sync has lost is still seen by the next process, whose sync does not save it") {
  a_disk a;
  a.store("d/file", "old content");
  disk::file f = a.open("d/file");
  REQUIRE_FALSE(a.write(f, 0, "NEW"));
  a.d.fail_after(0);
  CHECK(a.d.sync(f).code == confman::errc::storage_failed);
  a.d.power_off(survival::cached);
  CHECK(a.content("d/file") == "NEW content");
  disk::file again = a.open("d/file");
  REQUIRE_FALSE(a.d.sync(again));
  a.d.power_off(survival::none);
  CHECK(a.content("d/file") == "old content");
}

TEST_CASE("un-synced sectors survive in every combination, and sectors are torn") {
  std::set<std::string> seen;
  for (std::uint64_t seed = 1; seed < 400; ++seed) {
    a_disk a(seed);
    a.store("d/file", std::string(1024, 'o'));
    disk::file f = a.open("d/file");
    REQUIRE_FALSE(a.write(f, 0, std::string(1024, 'n')));
    a.d.power_off(survival::some);
    const std::string found = a.content("d/file");
    REQUIRE(found.size() == 1024);
    const auto sector = [&found](std::size_t i) {
      const std::string s = found.substr(512 * i, 512);
      const auto news = s.find_first_not_of('n');
      if (news == std::string::npos) return 'n';
      CHECK(s.find_first_not_of('o', news) == std::string::npos);  // torn: new first, then old
      return news == 0 ? 'o' : 't';
    };
    seen.insert({sector(0), sector(1)});
  }
  for (const char* expected : {"nn", "no", "on", "oo", "tn", "nt", "to", "ot"})
    CHECK(seen.count(expected) == 1);
}

TEST_CASE("a name is durable when its directory was synced, not before") {
  a_disk a;
  a.store("d/one", "1");
  REQUIRE_FALSE(a.d.rename("d/one", "d/two"));
  a.d.power_off(survival::none);
  CHECK(a.content("d/one") == "1");
  CHECK(a.content("d/two") == "no file");
  REQUIRE_FALSE(a.d.rename("d/one", "d/two"));
  REQUIRE_FALSE(a.d.sync_directory("d"));
  a.d.power_off(survival::none);
  CHECK(a.content("d/one") == "no file");
  CHECK(a.content("d/two") == "1");
  REQUIRE_FALSE(a.d.remove("d/two"));
  a.d.power_off(survival::none);
  CHECK(a.content("d/two") == "1");
}

TEST_CASE("a synced file whose name was never synced is gone") {
  a_disk a;
  disk::file f = a.open("d/file");
  REQUIRE_FALSE(a.write(f, 0, "content"));
  REQUIRE_FALSE(a.d.sync(f));
  a.d.power_off(survival::none);
  CHECK(a.content("d/file") == "no file");
}

TEST_CASE("the power goes at the chosen call, before or after its effect") {
  for (const bool performed : {false, true}) {
    a_disk a;
    a.store("d/file", "old");
    disk::file f = a.open("d/file");
    a.fuse.arm(1, performed);
    CHECK_FALSE(a.write(f, 0, "new"));
    CHECK(a.d.sync(f).code == confman::errc::storage_failed);
    CHECK(a.fuse.blown());
    CHECK(a.write(f, 0, "xxx").code == confman::errc::storage_failed);
    a.d.power_off(survival::none);
    a.fuse.reset();
    CHECK(a.content("d/file") == (performed ? "new" : "old"));
  }
}

TEST_CASE("after a failed sync a later successful one does not bring the data back") {
  a_disk a;
  a.store("d/file", std::string(600, 'o'));
  disk::file f = a.open("d/file");
  REQUIRE_FALSE(a.write(f, 0, "new"));
  a.d.fail_after(0);
  CHECK(a.d.sync(f).code == confman::errc::storage_failed);
  CHECK_FALSE(a.d.sync(f));
  CHECK(a.content("d/file").substr(0, 3) == "new");
  REQUIRE_FALSE(a.write(f, 512, "new"));  // another sector
  CHECK_FALSE(a.d.sync(f));
  a.d.power_off(survival::none);
  CHECK(a.content("d/file") == std::string(512, 'o') + "new" + std::string(85, 'o'));
}

TEST_CASE("a lock is held until its file is closed or the power goes") {
  a_disk a;
  {
    auto held = a.d.lock("d/LOCK");
    REQUIRE(held);
    const auto second = a.d.lock("d/LOCK");
    REQUIRE_FALSE(second);
    CHECK(second.error().code == confman::errc::directory_in_use);
  }
  auto again = a.d.lock("d/LOCK");
  REQUIRE(again);
  a.d.power_off(survival::all);
  CHECK(a.d.lock("d/LOCK"));
}

TEST_CASE("rot strikes only what later syncs have built on, and restoring takes it back") {
  a_disk a;
  disk::file f = a.open("d/file");
  REQUIRE_FALSE(a.write(f, 0, "first"));
  REQUIRE_FALSE(a.d.sync(f));
  REQUIRE_FALSE(a.d.sync_directory("d"));
  CHECK_FALSE(a.d.rot());
  REQUIRE_FALSE(a.write(f, 5, "second"));
  REQUIRE_FALSE(a.d.sync(f));
  a.d.power_off(survival::none);
  REQUIRE(a.d.rot());
  CHECK(a.content("d/file").substr(0, 5) != "first");
  CHECK(a.content("d/file").substr(5) == "second");
  a.d.restore();
  CHECK(a.content("d/file") == "firstsecond");
}

TEST_CASE("rot throughout a file strikes each sector of the last of its kind, and nothing of its tail") {
  a_disk a;
  for (const char* name : {"d/log-1", "d/log-2", "d/other"}) {
    disk::file f = a.open(name);
    REQUIRE_FALSE(a.write(f, 0, std::string(2000, 'a')));
    REQUIRE_FALSE(a.d.sync(f));
    REQUIRE_FALSE(a.write(f, 2000, "tail"));
    REQUIRE_FALSE(a.d.sync(f));
  }
  REQUIRE_FALSE(a.d.sync_directory("d"));
  a.d.power_off(survival::none);
  const std::string good = std::string(2000, 'a') + "tail";
  REQUIRE(a.d.rot_throughout("d/log-", 7));
  for (std::size_t from = 0; from < 2000; from += 512) {
    const std::size_t size = std::min<std::size_t>(512, 2000 - from);
    CHECK(a.content("d/log-2").substr(from, size) != good.substr(from, size));
  }
  CHECK(a.content("d/log-2").substr(2000) == "tail");
  CHECK(a.content("d/log-1") == good);
  CHECK(a.content("d/other") == good);
  CHECK_FALSE(a.d.rot_throughout("d/log-", 8));
  a.d.restore();
  CHECK(a.content("d/log-2") == good);
}

TEST_CASE("rot in use strikes only what is durable, is read, survives a crash, and restoring takes it back") {
  const auto make = [](a_disk& a, disk::file& f) {
    REQUIRE_FALSE(a.write(f, 0, std::string(600, 'a')));
    REQUIRE_FALSE(a.d.sync(f));
    REQUIRE_FALSE(a.d.sync_directory("d"));
    REQUIRE_FALSE(a.write(f, 600, std::string(600, 'b')));
    REQUIRE_FALSE(a.d.sync(f));
  };
  const std::string good = std::string(600, 'a') + std::string(600, 'b');
  unsigned hit = 0, missed = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    a_disk a;
    disk::file f = a.open("d/file");
    make(a, f);
    // The first sector is written again, and not synced.
    REQUIRE_FALSE(a.write(f, 10, "new"));
    if (!a.d.rot_in_use(seed)) {
      ++missed;
      continue;
    }
    ++hit;
    std::string expected = good;
    expected.replace(10, 3, "new");
    const std::string bad = a.content("d/file");
    CHECK(a.d.counted().damaged_reads == 1);
    CHECK(bad != expected);
    CHECK(bad.substr(0, 512) == expected.substr(0, 512));
    CHECK(bad.substr(600) == expected.substr(600));
    if (seed % 2 == 0) a.d.power_off(survival::none);
    if (seed % 2 == 0) expected = good;
    CHECK(a.d.rotten());
    CHECK(a.content("d/file") != expected);
    a.d.restore();
    CHECK_FALSE(a.d.rotten());
    CHECK(a.content("d/file") == expected);
  }
  CHECK(hit > 0);
  CHECK(missed > 0);
}

TEST_CASE("what is written and synced over rot heals it, and a file that is gone is not rotten") {
  a_disk a;
  disk::file f = a.open("d/file");
  REQUIRE_FALSE(a.write(f, 0, std::string(512, 'a')));
  REQUIRE_FALSE(a.d.sync(f));
  REQUIRE_FALSE(a.d.sync_directory("d"));
  REQUIRE_FALSE(a.write(f, 512, "b"));
  REQUIRE_FALSE(a.d.sync(f));
  std::uint64_t seed = 1;
  while (!a.d.rot_in_use(seed)) ++seed;
  SUBCASE("overwritten") {
    REQUIRE_FALSE(a.write(f, 0, std::string(512, 'c')));
    CHECK(a.d.rotten());
    a.d.fail_after(0);
    CHECK(a.d.sync(f).code == confman::errc::storage_failed);
    CHECK_FALSE(a.d.sync(f));
    CHECK(a.d.rotten());  // the platter has it still
    REQUIRE_FALSE(a.write(f, 0, std::string(512, 'c')));
    CHECK_FALSE(a.d.sync(f));
    CHECK_FALSE(a.d.rotten());
  }
  SUBCASE("removed") {
    REQUIRE_FALSE(a.d.remove("d/file"));
    CHECK(a.d.rotten());
    REQUIRE_FALSE(a.d.sync_directory("d"));
    CHECK_FALSE(a.d.rotten());
  }
}

TEST_CASE("a write that went astray may be missing where it should be") {
  unsigned lost = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    a_disk a;
    disk::file f = a.open("d/file");
    for (const char each : {'a', 'b', 'c'}) {
      REQUIRE_FALSE(a.write(f, each == 'c' ? 512 : 0, std::string(512, each)));
      REQUIRE_FALSE(a.d.sync(f));
    }
    REQUIRE_FALSE(a.d.sync_directory("d"));
    a.d.power_off(survival::none);
    if (!a.d.rot(seed) || a.d.counted().lost_writes == 0) continue;
    ++lost;
    CHECK(a.content("d/file") == std::string(512, 'a') + std::string(512, 'c'));
  }
  CHECK(lost > 0);
}

TEST_CASE("calls of one kind fail for a while, and the others go on") {
  a_disk a;
  a.store("d/file", "content");
  disk::file f = a.open("d/file");
  a.d.fail_calls(disk::call::sync, 2);
  CHECK_FALSE(a.write(f, 0, "new"));
  CHECK(a.d.sync(f).code == confman::errc::storage_failed);
  CHECK(a.d.sync(f).code == confman::errc::storage_failed);
  CHECK_FALSE(a.d.sync(f));
  a.d.power_off(survival::none);
  CHECK(a.content("d/file") == "content");  // what a failed sync has lost stays lost
  CHECK(a.d.counted().lasting == 2);
}

TEST_CASE("a full disk refuses what needs room, and nothing else, until there is some again") {
  a_disk a;
  a.store("d/file", "content");
  disk::file f = a.open("d/file");
  a.d.fill_up(2);
  CHECK_FALSE(a.write(f, 0, "CONTENT"));
  CHECK(a.write(f, 3, "longer").code == confman::errc::storage_failed);
  CHECK_FALSE(a.d.open_file("d/other", open_mode::create));
  CHECK_FALSE(a.write(f, 3, "longer"));
  CHECK(a.content("d/file") == "CONlonger");
  CHECK(a.d.counted().no_space == 2);
}
