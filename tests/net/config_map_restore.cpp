// A new cluster from a backup, or from one survivor of a lost majority; every refusal changes nothing.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net_harness.hpp"

using namespace confman;
using namespace confman::testing;

namespace {

constexpr auto confirmed = lost_writes::i_know_that_acknowledged_writes_may_be_lost;

// A stopped cluster of three, a backup of it, and the options of new members.
struct with_backup {
  with_backup() {
    REQUIRE_FALSE(c.start_all());
    for (int i = 0; i < 50; ++i) c[1].put("/k/" + std::to_string(i), std::to_string(i));
    std::error_code error;
    session = c[1].open_session(std::chrono::hours(1), error);
    first = c[1].put("/once", "1", once{session, 1, 1}, error);
    c[1].read_barrier(linearizable, error);  // a backup has what its member has applied
    REQUIRE_FALSE(error);
    REQUIRE_FALSE(c[1].backup(file));
    c[1].put("/after", "the backup");
    for (int i = 0; i < 20; ++i) c[2].put("/later/" + std::to_string(i), "x");
    REQUIRE(c.converge(2));
    hash = c[1].read().state_hash();
    c.stop_all();
    const std::vector<std::uint16_t> ports = free_ports(3);
    for (std::uint64_t id = 1; id <= 3; ++id)
      members[id] = "127.0.0.1:" + std::to_string(ports[static_cast<std::size_t>(id - 1)]);
  }
  [[nodiscard]] options of(std::uint64_t id) const {
    options o = quick_options(id, members, directory / ("new" + std::to_string(id)));
    o.cluster = "new";
    return o;
  }
  // Of the one who is left.
  [[nodiscard]] options alone() const {
    options o = of(1);
    o.members = {{1, members.at(1)}};
    return o;
  }
  tcp_cluster c{3};
  temporary_directory directory;
  std::string file = directory / "backup";
  std::map<std::uint64_t, std::string> members;
  std::uint64_t session = 0;
  write_result first;
  std::uint64_t hash = 0;
};

void spoil(const std::string& path, std::uint64_t at) {
  std::fstream f(path, std::ios::in | std::ios::out | std::ios::binary);
  f.seekg(static_cast<std::streamoff>(at));
  const char bad = static_cast<char>(f.get() ^ 0x40);
  f.seekp(static_cast<std::streamoff>(at));
  f.put(bad);
}

}  // namespace

TEST_CASE_FIXTURE(with_backup,
                  "a backup becomes a new cluster, with its sessions, and the old one is untouched") {
  const auto old = image_of(c.directory(1));
  std::vector<std::unique_ptr<config_map>> maps;
  for (std::uint64_t id = 1; id <= 3; ++id) REQUIRE_FALSE(restore(file, of(id)));
  for (std::uint64_t id = 1; id <= 3; ++id) {
    maps.push_back(std::make_unique<config_map>(of(id)));
    REQUIRE_FALSE(maps.back()->start());
  }
  CHECK(maps[0]->put("/new", "1").revision > first.revision);
  std::error_code error;
  for (auto& m : maps) {
    m->read_barrier(linearizable, error);
    CHECK_FALSE(error);
    CHECK(m->list("/k/").size() == 50);
    CHECK_FALSE(m->get("/after"));
    CHECK(m->get("/k/7")->value() == "7");
  }
  const write_result again = maps[2]->put("/once", "1", once{session, 1, 1}, error);
  CHECK_FALSE(error);
  CHECK(again.at == first.at);
  for (auto& m : maps) m->stop();
  for (auto& m : maps) CHECK_FALSE(m->wait());
  maps.clear();
  CHECK(image_of(c.directory(1)) == old);
  REQUIRE_FALSE(c.start_all());  // the old cluster lives
  CHECK(c[1].get("/after", linearizable, error)->value() == "the backup");
  maps.push_back(std::make_unique<config_map>(of(1)));  // and so does the new one, again
  maps.push_back(std::make_unique<config_map>(of(2)));
  for (auto& m : maps) REQUIRE_FALSE(m->start());
  CHECK(maps[0]->put("/newer", "1").revision > first.revision);
}

TEST_CASE_FIXTURE(with_backup, "a restore that can't be right is refused, and changes nothing") {
  const auto refused = [&](const std::string& from, const options& o, errc code, const std::string& says) {
    CAPTURE(says);
    const auto before = image_of(directory.path());
    const auto old = image_of(c.directory(1));
    const failure f = restore(from, o);
    CHECK(f.code == code);
    CHECK_MESSAGE(f.what.find(says) != std::string::npos, f.what);
    CHECK(image_of(directory.path()) == before);
    CHECK(image_of(c.directory(1)) == old);
  };
  options o = of(1);
  o.cluster.clear();
  refused(file, o, errc::bad_option, "options.cluster");
  o = of(1);
  o.cluster = "test";
  refused(file, o, errc::bad_option, "Choose a new name");
  o = of(1);
  o.join = true;
  refused(file, o, errc::bad_option, "options.join");
  o = of(1);
  o.self = 9;
  refused(file, o, errc::bad_option, "options.self");
  o = of(1);
  o.directory = c.directory(1);
  refused(file, o, errc::directory_not_empty, c.directory(1));
  o.directory = file;
  refused(file, o, errc::directory_not_empty, file);
  refused(directory / "nothing", of(1), errc::storage_failed, "nothing");
  const std::uint64_t size = std::filesystem::file_size(file);
  for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{40}, size / 2, size - 3}) {
    const std::string bad = directory / ("bad" + std::to_string(at));
    std::filesystem::copy_file(file, bad);
    spoil(bad, at);
    refused(bad, of(1), errc::snapshot_damaged, bad);
  }
  const std::string cut = directory / "cut";
  std::filesystem::copy_file(file, cut);
  std::filesystem::resize_file(cut, size / 2);
  refused(cut, of(1), errc::snapshot_damaged, cut);
  CHECK_FALSE(restore(file, of(1)));
  refused(file, of(1), errc::directory_not_empty, "new1");
}

TEST_CASE_FIXTURE(with_backup, "a restore over the directory of a running map is refused") {
  REQUIRE_FALSE(c.start_all());
  options o = of(1);
  o.directory = c.directory(1);
  CHECK(restore(file, o).code == errc::directory_not_empty);
  CHECK(c[1].put("/still", "1").revision > 0);
}

TEST_CASE_FIXTURE(with_backup,
                  "one survivor becomes a new cluster that others join; the old members are refused") {
  const auto old = image_of(c.directory(2));
  options o = alone();
  std::vector<failure> told;
  o.on_event = [&](const failure& f) { told.push_back(f); };
  const result<recovery_report> made = recover_lost_majority(c.directory(2), o, confirmed);
  REQUIRE_MESSAGE(made, (made ? std::string() : made.error().what));
  CHECK(made->what.find("LOST") != std::string::npos);
  CHECK(made->keys == 50 + 1 + 1 + 20);
  CHECK(made->known_committed <= made->last.index);
  CHECK(told.size() == 1);
  CHECK(image_of(c.directory(2)) == old);
  o.on_event = {};
  config_map map(o);
  REQUIRE_FALSE(map.start());
  std::error_code error;
  CHECK(map.get("/after", linearizable, error)->value() == "the backup");
  CHECK(map.list("/later/").size() == 20);
  CHECK(map.members().incoming.size() == 1);
  CHECK(map.put("/once", "1", once{session, 1, 1}, error).at == first.at);
  CHECK(map.put("/new", "1").revision > made->last.index.value());
  options second = of(2);
  second.join = true;
  config_map joined(second);
  REQUIRE_FALSE(joined.start());
  CHECK(eventually([&] { return joined.members().is_voter(node_id(2)); }));
  CHECK(joined.get("/later/3")->value() == "x");
  // An old member can't be started as one of the new cluster.
  options stale = of(3);
  stale.directory = c.directory(3);
  config_map refused(stale);
  CHECK(refused.start().code == errc::wrong_cluster);
  map.stop();
  CHECK_FALSE(map.wait());
}

TEST_CASE_FIXTURE(with_backup,
                  "a survivor with snapshot and log, and one with a snapshot alone, are recovered") {
  REQUIRE_FALSE(c.start_all());
  const std::uint64_t leader = c.leader();
  c[leader].put("/s", "1");
  REQUIRE(c.converge(leader));
  CHECK(c[1].take_snapshot());
  c.stop_all();
  const auto alone_with_snapshot = recover_lost_majority(c.directory(1), alone(), confirmed);
  REQUIRE(alone_with_snapshot);
  CHECK(alone_with_snapshot->keys == 50 + 1 + 1 + 20 + 1);
  config_map map(alone());
  REQUIRE_FALSE(map.start());
  std::error_code error;
  CHECK(map.get("/s", linearizable, error)->value() == "1");
}

TEST_CASE_FIXTURE(with_backup,
                  "a recovery that wasn't confirmed, or can't be right, is refused and changes nothing") {
  const auto refused = [&](const std::string& from, const options& o, lost_writes confirmation, errc code,
                           const std::string& says) {
    CAPTURE(says);
    const auto before = image_of(directory.path());
    const auto old = image_of(c.directory(1));
    const auto outcome = recover_lost_majority(from, o, confirmation);
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().code == code);
    CHECK_MESSAGE(outcome.error().what.find(says) != std::string::npos, outcome.error().what);
    CHECK(image_of(directory.path()) == before);
    CHECK(image_of(c.directory(1)) == old);
  };
  const std::string survivor = c.directory(1);
  refused(survivor, alone(), lost_writes::must_not_happen, errc::bad_option, "LOST");
  refused(survivor, alone(), lost_writes::must_not_happen, errc::bad_option, "confirm with");
  options o = alone();
  o.cluster = "test";
  refused(survivor, o, confirmed, errc::bad_option, "Choose a new name");
  o.cluster.clear();
  refused(survivor, o, confirmed, errc::bad_option, "options.cluster");
  refused(survivor, of(1), confirmed, errc::bad_option, "options.members");
  o = alone();
  o.directory = survivor;
  refused(survivor, o, confirmed, errc::directory_not_empty, survivor);
  refused(directory / "nothing", alone(), confirmed, errc::bad_option, "no data directory");
  std::filesystem::create_directories(alone().directory + ".recovery/x");
  refused(survivor, alone(), confirmed, errc::directory_not_empty, ".recovery");
  std::filesystem::remove_all(alone().directory + ".recovery");
  spoil(survivor + "/identity", 20);
  refused(survivor, alone(), confirmed, errc::log_damaged, "identity");
  spoil(survivor + "/identity", 20);
  REQUIRE_FALSE(c.start(1));
  const auto running = recover_lost_majority(survivor, alone(), confirmed);
  REQUIRE_FALSE(running);
  CHECK(running.error().code == errc::directory_in_use);
  CHECK_FALSE(std::filesystem::exists(alone().directory));
}

TEST_CASE("a survivor whose log is damaged is refused") {
  temporary_directory directory;
  options o = quick_options(1, {{1, "127.0.0.1:" + std::to_string(free_ports(1)[0])}}, directory / "1");
  {
    config_map map(o);
    REQUIRE_FALSE(map.start());
    for (int i = 0; i < 100; ++i) map.put("/k" + std::to_string(i), std::string(100, 'v'));
    map.stop();
    CHECK_FALSE(map.wait());
  }
  for (const auto& entry : std::filesystem::directory_iterator(directory / "1"))
    if (entry.path().filename().string().rfind("log-", 0) == 0) spoil(entry.path().string(), 3000);
  const auto old = image_of(directory / "1");
  options into = o;
  into.directory = directory / "2";
  into.cluster = "another";
  const auto outcome = recover_lost_majority(directory / "1", into, confirmed);
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == errc::log_damaged);
  CHECK(image_of(directory / "1") == old);
  CHECK_FALSE(std::filesystem::exists(directory / "2"));
  CHECK_FALSE(std::filesystem::exists(directory / "2.recovery"));
}
