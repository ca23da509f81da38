// The port allocator in simulated clusters: lossy networks, crashes, full disks, members that come and go.
// Every seed is another world.
//   port_allocator_sim [--seeds N] [--first S] [--trace] [--bug]
//   port_allocator_sim --shrink SEED [--bug]
//   port_allocator_sim --script FILE [--trace] [--bug]
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "confman/sim/seeds.hpp"
#include "port_allocator.hpp"

namespace {

// Sees all workers of a world at once, as no real process could.
class observer final : public ports::user {
 public:
  void use(std::uint64_t worker, std::string_view range, std::uint64_t revision) override {
    const auto [there, added] = users_.emplace(range, holding{worker, revision});
    if (!added && wrong_.empty())
      wrong_ = "worker " + std::to_string(worker) + " uses " + std::string(range) + " from revision " +
               std::to_string(revision) + " on, worker " + std::to_string(there->second.worker) +
               " still does, from " + std::to_string(there->second.revision) + " on";
    ++uses_;
  }
  void leave(std::uint64_t worker, std::string_view range) override {
    const auto found = users_.find(range);
    if (found != users_.end() && found->second.worker == worker) users_.erase(found);
  }

  [[nodiscard]] std::string wrong() const { return wrong_; }
  // Who uses a range at the end owns it.
  [[nodiscard]] std::string compare(const confman::map_view& final_state) const {
    for (const auto& [range, by] : users_) {
      const auto owner = final_state.get(range);
      if (owner && owner->value() == std::to_string(by.worker) && owner->modify_revision() == by.revision)
        continue;
      return "worker " + std::to_string(by.worker) + " uses " + range + ", which belongs to " +
             (owner ? "worker " + std::string(owner->value()) : "nobody");
    }
    return {};
  }
  [[nodiscard]] std::uint64_t uses() const { return uses_; }

 private:
  struct holding {
    std::uint64_t worker;
    std::uint64_t revision;
  };
  std::map<std::string, holding, std::less<>> users_;
  std::string wrong_;
  std::uint64_t uses_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  confman::sim::seed_range seeds;
  ports::settings settings;
  bool good = seeds.take_arguments(arguments);
  for (const std::string& argument : arguments) {
    if (argument == "--bug")
      settings.read_then_write = true;
    else
      good = false;
  }
  if (!good) {
    std::fprintf(stderr, "usage: %s [--seeds N] [--first S] [--shrink S] [--script FILE] [--trace] [--bug]\n",
                 argv[0]);
    return 2;
  }
  std::vector<std::shared_ptr<observer>> observers;
  const auto make = [&](confman::sim::scenario&) {
    const auto seen = std::make_shared<observer>();
    observers.push_back(seen);
    confman::sim::application_suite suite;
    suite.start = [seen, &settings](confman::sim::application_host& host) {
      return std::make_unique<ports::worker>(host, *seen, settings);
    };
    suite.always = [seen] { return seen->wrong(); };
    suite.at_end = [seen](const confman::map_view& final_state) { return seen->compare(final_state); };
    return suite;
  };
  const std::string command = std::string(argv[0]) + (settings.read_then_write ? " --bug" : "");
  good = confman::sim::run_seeds(seeds, make, command);
  if (seeds.shrink) return good ? 0 : 1;
  std::uint64_t uses = 0;
  for (const auto& seen : observers) uses += seen->uses();
  std::printf("ranges were taken %llu times in %zu worlds\n", static_cast<unsigned long long>(uses),
              observers.size());
  return good && uses > 0 ? 0 : 1;
}
