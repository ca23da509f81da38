#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "lib/effort.hpp"
#include "log_model.hpp"
#include "snapshot_samples.hpp"

using namespace confman_test;
using confman::recovered_log;
using test_log = confman::log<crash_file_system>;

namespace {

// A node's storage as its runtime uses it: entries, snapshots of what was appended, releases after a snapshot
// is durable, snapshots received from a peer and the log reset after that. It dies at any effect and what was
// not synced survives at random; what is found must always be enough to go on from.
class storage_run {
 public:
  explicit storage_run(std::uint64_t seed) : random_(seed), seed_(seed) {
    options_ = sample_options();
    options_.keep = 1 + below(2);
    options_.sync_bytes = 512 + below(3000);
    fs_.dying_write_lands = [this] { return below(2) == 0; };
  }

  void live(int lives) {
    for (int life = 0; life < lives; ++life) {
      fs_.dies_at = fs_.effects + 1 + (below(3) == 0 ? below(30) : below(300));
      fs_.failing_sync = below(6) == 0 ? 1 + below(30) : 0;
      one_life();
      const std::size_t one_in = 1 + below(4);
      const bool mostly = below(2) == 0;
      if (below(5) == 0)
        fs_.kill();
      else
        fs_.lose_power([this, one_in, mostly] { return (below(one_in) == 0) != mostly; });
      fs_.failing_sync = 0;
    }
  }

 private:
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
  [[nodiscard]] std::uint64_t last() const { return model_.now().last(); }

  // The state at `index`, as a peer with the same history would have it.
  [[nodiscard]] static std::vector<std::string> state_at(std::uint64_t index) {
    std::vector<std::string> blocks;
    for (std::uint64_t i = 0; i < 3; ++i)
      blocks.push_back(std::string(200 + (index * 37 + i * 911) % 1500, static_cast<char>('a' + index % 26)));
    return blocks;
  }

  void one_life() {
    recovered_log found;
    result<test_log> log = test_log::open(fs_, "data", small_options(), found);
    if (!log) {
      REQUIRE_MESSAGE(log.error().code == make_error_code(errc::storage_failed), log.error().what);
      return;
    }
    result<test_store> store = test_store::open(fs_, "data", options_);
    if (!store) {
      REQUIRE_MESSAGE(of_the_disk(store.error()), store.error().what);
      return;
    }
    check(found, *store);
    // A crash came between installing a snapshot and the reset of the log.
    if (store->newest() && store->newest()->meta.at.index > log->last_index() && !reset(*log, *store)) return;
    while (step(*log, *store)) {
    }
  }

  bool step(test_log& log, test_store& store) {
    switch (below(6)) {
      case 0:
        return take(log, store);
      case 1:
        return below(3) != 0 || (install(store) && reset(log, store));
      default:
        if (log.append(model_.random_batch(random_, 2500, released_))) return false;
        if (log.sync()) return false;
        acknowledged_ = model_.batches();
        return true;
    }
  }

  // A snapshot of the present; then what it holds is released, but for a tail.
  bool take(test_log& log, test_store& store) {
    if (last() == 0 || (store.newest() && store.newest()->meta.at.index >= log_index(last()))) return true;
    if (const auto saved = save(store, sample_meta(last()), state_at(last())); failed(saved))
      return !dead() && saved.error().code != errc::sync_failed;
    durable_ = std::max(durable_, last());
    released_ = std::max(released_, last() - std::min<std::uint64_t>(last(), below(20)));
    write_batch hint;
    hint.release_before = log_index(released_);
    return !log.append(hint) && !log.sync();
  }

  // A peer's snapshot of a place beyond the log, in pieces, perhaps begun in an earlier life.
  bool install(test_store& store) {
    if (offered_ <= std::max(last(), durable_)) offered_ = std::max(last(), durable_) + 1 + below(30);
    const std::uint64_t index = offered_;
    crash_file_system peer;
    test_store theirs = open_store(peer);
    const result<snapshot_info> sent = save(theirs, sample_meta(index), state_at(index));
    REQUIRE(sent);
    const std::string bytes = peer.image().at(sent->path);
    auto receiver = store.receive(sent->meta.at, sent->digest, bytes.size());
    if (!receiver) return false;
    while (receiver->next() < bytes.size()) {
      const std::size_t at = receiver->next();
      if (receiver->write(at, std::string_view(bytes).substr(at, 1 + below(900)))) return false;
    }
    const result<snapshot_info> done = receiver->finish();
    if (!done) {
      REQUIRE_MESSAGE(of_the_disk(done.error()), done.error().what);
      return false;
    }
    durable_ = index;
    return true;
  }

  bool reset(test_log& log, test_store& store) {
    const snapshot_meta& meta = store.newest()->meta;
    if (meta.at.index <= log_index(last())) return true;
    const write_batch batch = model_.reset({meta.at, meta.hash}, {"after"});
    released_ = std::max(released_, meta.at.index.value() + 1);
    if (log.append(batch) || log.sync()) return false;
    acknowledged_ = model_.batches();
    return true;
  }

  [[nodiscard]] static bool of_the_disk(const failure& f) {
    return f.code == errc::storage_failed || f.code == errc::sync_failed;
  }
  [[nodiscard]] bool dead() const { return fs_.effects >= fs_.dies_at; }
  [[nodiscard]] static bool failed(const result<snapshot_info>& saved) {
    if (saved) return false;
    REQUIRE_MESSAGE(of_the_disk(saved.error()), saved.error().what);
    return true;
  }

  // The log is that of an acknowledged batch or a later one, and some snapshot reaches what it released.
  void check(const recovered_log& found, test_store& store) {
    std::size_t match = acknowledged_;
    while (match < model_.batches() && !same(model_.history()[match], found)) ++match;
    REQUIRE_MESSAGE(same(model_.history()[match], found), "seed " << seed_);
    model_.restart(content(model_.history()[match]));
    acknowledged_ = 0;
    REQUIRE_MESSAGE(store.damaged().empty(), "seed " << seed_);
    const std::uint64_t newest = store.newest() ? store.newest()->meta.at.index.value() : 0;
    REQUIRE_MESSAGE(newest >= found.base.index.value(), "seed " << seed_);
    REQUIRE_MESSAGE(newest >= durable_, "seed " << seed_ << ": a durable snapshot is gone");
    durable_ = newest;
    REQUIRE(names_with(fs_, ".tmp").empty());
    REQUIRE(names_with(fs_, ".part").size() <= 1);
    if (newest == 0) return;
    const auto blocks = load_newest(store);
    REQUIRE_MESSAGE(blocks, "seed " << seed_ << ": " << blocks.error().what);
    REQUIRE(*blocks == state_at(newest));
  }

  [[nodiscard]] static bool same(const content& then, const recovered_log& found) {
    const std::uint64_t start = then.start.at.index.value(), base = found.base.index.value();
    return then.state == found.state && base >= start && base + found.entries.size() == then.last() &&
           std::equal(found.entries.begin(), found.entries.end(),
                      then.entries.begin() + static_cast<std::ptrdiff_t>(base - start));
  }

  std::mt19937_64 random_;
  std::uint64_t seed_;
  snapshot_options options_;
  crash_file_system fs_;
  log_model model_;
  std::size_t acknowledged_ = 0;
  std::uint64_t durable_ = 0;   // the newest snapshot that a call said is durable
  std::uint64_t released_ = 1;  // entries before this one need not be found
  std::uint64_t offered_ = 0;   // the place of the snapshot that a peer sends
};

}  // namespace

// CONFMAN_LOG_CRASH_SEEDS=n runs n seeds, CONFMAN_LOG_CRASH_FIRST=s begins at seed s.
TEST_CASE("log and snapshots that crash again and again always hold enough to go on from") {
  const char* count = std::getenv("CONFMAN_LOG_CRASH_SEEDS");
  const char* first = std::getenv("CONFMAN_LOG_CRASH_FIRST");
  const std::uint64_t begin = first != nullptr ? std::strtoull(first, nullptr, 10) : 1;
  const std::uint64_t seeds =
      count != nullptr ? std::strtoull(count, nullptr, 10) : confman_test::effort(150u);
  for (std::uint64_t seed = begin; seed < begin + seeds; ++seed) storage_run(seed).live(20);
}

TEST_CASE("crash at each effect of a commit leaves the old snapshot or the new one, never neither") {
  const auto life = [](crash_file_system& fs) {
    result<test_store> store = test_store::open(fs, "data", sample_options());
    return store && save(*store, sample_meta(32), {"new", "blocks"});
  };
  crash_file_system old;
  {
    test_store store = open_store(old);
    REQUIRE(save(store, sample_meta(16), {"old"}));
  }
  crash_file_system whole(old.image());
  REQUIRE(life(whole));
  bool seen_old = false, seen_new = false;
  for (std::uint64_t dies_at = 1; dies_at <= whole.effects; ++dies_at)
    for (unsigned survivors = 0; survivors < 16; ++survivors) {
      crash_file_system fs(old.image());
      fs.dies_at = dies_at;
      const bool done = life(fs);
      unsigned at = 0;
      fs.lose_power([&] { return (survivors >> (at++ % 4) & 1) != 0; });
      test_store store = open_store(fs);
      REQUIRE(store.damaged().empty());
      REQUIRE(store.newest() != nullptr);
      const bool is_new = store.newest()->meta.at.index == log_index(32);
      REQUIRE((is_new || !done));
      const auto blocks = load_newest(store);
      REQUIRE(blocks);
      REQUIRE(*blocks ==
              (is_new ? std::vector<std::string>{"new", "blocks"} : std::vector<std::string>{"old"}));
      (is_new ? seen_new : seen_old) = true;
    }
  CHECK(seen_old);
  CHECK(seen_new);
}
