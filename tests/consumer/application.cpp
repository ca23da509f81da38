// An application in simulated clusters: its members share jobs, and no two may do the same one.
#include <confman/sim/seeds.hpp>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

namespace sim = confman::sim;

// Sees all members of a world at once, as no real process could.
struct witness {
  std::map<std::string, std::string> done;  // each job, and who did it
  std::string wrong;

  void sees(const std::string& job, const std::string& who) {
    const auto [first, added] = done.emplace(job, who);
    if (!added && first->second != who) wrong = job + " is done by " + first->second + " and by " + who;
  }
};

class worker final : public sim::application {
 public:
  worker(sim::application_host& host, witness& seen) : host_(host), seen_(seen) { turn(); }

 private:
  void turn() {
    host_.after(std::chrono::milliseconds(50), [this] { turn(); });
    const std::string job = "/jobs/" + std::to_string(host_.random() % 10);
    const std::string me = std::to_string(host_.self().value());
    if (host_.get(job)) return;
    host_.compare_exchange(job, 0, me, [this, job, me](std::error_code code, std::uint64_t) {
      if (!code) seen_.sees(job, me);  // put() in place of compare_exchange() is found by the first seed
    });
  }

  sim::application_host& host_;
  witness& seen_;
};

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  sim::seed_range seeds;  // --seeds N, --first S, --trace, --shrink S, --script FILE
  if (!seeds.take_arguments(arguments) || !arguments.empty()) return 2;
  // Once for each world, so that nothing of one is left for the next.
  const auto make = [](sim::scenario&) {
    const auto seen = std::make_shared<witness>();
    sim::application_suite suite;
    suite.start = [seen](sim::application_host& host) { return std::make_unique<worker>(host, *seen); };
    suite.always = [seen] { return seen->wrong; };
    suite.at_end = [seen](const confman::map_view& map) -> std::string {
      for (const auto& [job, who] : seen->done)
        if (const auto owner = map.get(job); !owner || owner->value() != who) return job + " is lost";
      return {};
    };
    return suite;
  };
  return sim::run_seeds(seeds, make, argv[0]) ? 0 : 1;
}
