#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "crash_file_system.hpp"
#include "lib/effort.hpp"
#include "log_model.hpp"

using namespace confman_test;
using confman::recovered_log;
using test_log = confman::log<crash_file_system>;

namespace {

// One life after the other of one directory: open, append, sync, die somewhere, lose what may be lost; each
// time what is found must be what was acknowledged, plus possibly whole batches after it.
class crash_run {
 public:
  explicit crash_run(std::uint64_t seed) : random_(seed), seed_(seed) {
    options_ = small_options();
    options_.prepare_ahead = chance(2);
    options_.recycled_segments = below(3);
    fs_.dying_write_lands = [this] { return chance(2); };
  }

  void live(int lives) {
    for (int life = 0; life < lives; ++life) {
      fs_.dies_at = fs_.effects + 1 + (chance(3) ? below(20) : below(400));
      fs_.failing_sync = chance(4) ? 1 + below(30) : 0;
      one_life();
      die();
    }
  }

 private:
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
  bool chance(std::size_t one_in) { return below(one_in) == 0; }

  void one_life() {
    recovered_log found;
    options_.segment_bytes = chance(4) ? 2048 : 4096;
    result<test_log> log = test_log::open(fs_, "data", options_, found);
    if (!log) {
      REQUIRE_MESSAGE(log.error().code == make_error_code(errc::storage_failed),
                      "seed " << seed_ << ": " << log.error().what);
      return;
    }
    check(found);
    for (;;) {
      for (std::size_t n = 1 + below(3); n != 0; --n)
        if (log->append(any_batch())) return;
      if (chance(5) && !log->maintain()) return;
      if (log->sync()) return;
      acknowledged_ = model_.batches();
      if (chance(12) && release(*log)) return;
      if (chance(5) && !log->maintain()) return;
    }
  }

  // Now and then the whole log is voided, and now and then a batch says what is no longer needed.
  write_batch any_batch() {
    if (chance(25)) {
      const std::uint64_t lowest = std::max(released_ - 1, model_.now().start.at.index.value());
      const std::uint64_t index = lowest + below(model_.now().last() + 6 - lowest);
      const std::optional<hard_state> state =
          chance(2) ? std::optional(hard_state{model_.now().state.term + 1, node_id(1), log_index(index)})
                    : std::nullopt;
      return model_.reset({{term_t(below(9)), log_index(index)}, confman::chain_hash(random_())},
                          std::vector<std::string>(below(3), std::string(below(3000), 'r')), state);
    }
    write_batch batch = model_.random_batch(random_, 6000, released_);
    if (chance(20)) {
      const content& now = model_.now();
      released_ = std::max(released_, now.last() + 1 - below(now.entries.size() + 1));
      batch.release_before = log_index(released_);
    }
    return batch;
  }

  // Entries before a place somewhere in the log are no longer needed; nothing truncates there any more.
  bool release(test_log& log) {
    const content& now = model_.now();
    released_ = std::max(released_, now.last() + 1 - below(now.entries.size() + 1));
    return static_cast<bool>(log.release_before(log_index(released_)));
  }

  // Whether these are the contents of that time, as far as they have not been released.
  bool same(const content& then, const recovered_log& found) const {
    const std::uint64_t start = then.start.at.index.value(), base = found.base.index.value();
    if (then.state != found.state || base < start || base + found.entries.size() != then.last()) return false;
    confman::log_reset before = then.start;
    if (base != start) {
      if (base >= released_) return false;
      const entry& last_gone = then.entries[base - start - 1];
      before = {{last_gone.term, last_gone.index}, last_gone.hash};
    }
    return before == confman::log_reset{found.base, found.base_hash} &&
           std::equal(found.entries.begin(), found.entries.end(),
                      then.entries.begin() + static_cast<std::ptrdiff_t>(base - start));
  }

  void check(const recovered_log& found) {
    REQUIRE_MESSAGE(found.boot > boot_, "seed " << seed_);
    boot_ = found.boot;
    std::size_t match = acknowledged_;
    while (match < model_.batches() && !same(model_.history()[match], found)) ++match;
    REQUIRE_MESSAGE(same(model_.history()[match], found),
                    "seed " << seed_ << ": " << found.entries.size() << " entries found, acknowledged "
                            << model_.history()[acknowledged_].entries.size());
    model_.restart(content(model_.history()[match]));
    acknowledged_ = 0;
  }

  void die() {
    switch (below(5)) {
      case 0:
        return fs_.kill();
      case 1:
        return fs_.lose_power([] { return false; });
      case 2:
        return fs_.lose_power([] { return true; });
      default: {
        const std::size_t one_in = 2 + below(4);
        const bool mostly = chance(2);
        return fs_.lose_power([this, one_in, mostly] { return chance(one_in) != mostly; });
      }
    }
  }

  std::mt19937_64 random_;
  std::uint64_t seed_;
  confman::log_options options_;
  crash_file_system fs_;
  log_model model_;
  std::size_t acknowledged_ = 0;
  std::uint64_t boot_ = 0;
  std::uint64_t released_ = 1;  // entries before this one need not be found
};

}  // namespace

// CONFMAN_LOG_CRASH_SEEDS=n runs n seeds, CONFMAN_LOG_CRASH_FIRST=s begins at seed s.
TEST_CASE(
    "a log that crashes again and again at random effects keeps every acknowledged batch and no half batch") {
  const char* count = std::getenv("CONFMAN_LOG_CRASH_SEEDS");
  const char* first = std::getenv("CONFMAN_LOG_CRASH_FIRST");
  const std::uint64_t begin = first != nullptr ? std::strtoull(first, nullptr, 10) : 1;
  const std::uint64_t seeds =
      count != nullptr ? std::strtoull(count, nullptr, 10) : confman_test::effort(300u);
  for (std::uint64_t seed = begin; seed < begin + seeds; ++seed) crash_run(seed).live(20);
}

namespace {

// A short life with everything that changes names: segments made, the whole log voided, segments freed.
// Returns how many batches were acknowledged.
std::size_t short_life(crash_file_system& fs, const std::vector<write_batch>& batches) {
  recovered_log found;
  result<test_log> log = test_log::open(fs, "data", small_options(), found);
  std::size_t done = 0;
  while (log && done < batches.size() && !log->append(batches[done]) && !log->sync()) ++done;
  return done;
}

}  // namespace

TEST_CASE(
    "killed at any effect and then without power at any effect of the next start, a log is never refused") {
  log_model model;
  std::vector<write_batch> batches;
  for (int i = 0; i < 9; ++i) batches.push_back(model.batch({std::string(900, 'a')}));
  batches.push_back(model.batch({"b"}, 1));  // frees three segments
  crash_file_system whole;
  REQUIRE(short_life(whole, batches) == batches.size());
  for (std::uint64_t kill_at = 1; kill_at <= whole.effects; ++kill_at)
    for (std::uint64_t second = 1; second <= 30; ++second)
      for (unsigned survivors = 0; survivors < 4; ++survivors) {  // of the names: none, every other one, all
        crash_file_system fs;
        fs.dies_at = kill_at;
        const std::size_t acknowledged = short_life(fs, batches);
        fs.kill();
        fs.dies_at = fs.effects + second;
        recovered_log found;
        (void)test_log::open(fs, "data", small_options(), found);
        unsigned at = survivors;
        fs.lose_power([&] { return survivors != 0 && (survivors == 3 || at++ % 2 == 1); });
        const result<test_log> log = test_log::open(fs, "data", small_options(), found);
        REQUIRE_MESSAGE(log, "killed at " << kill_at << ", then " << second << ": " << log.error().what);
        const content now = content_of(found);
        REQUIRE((now == model.history()[acknowledged] ||
                 (acknowledged < batches.size() && now == model.history()[acknowledged + 1])));
      }
}
