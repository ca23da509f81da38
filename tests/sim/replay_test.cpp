// A run is its scenario and its decisions: carried out from their list, they give the same run again.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "confman/sim/script.hpp"
#include "confman/sim/world.hpp"
#include "lib/effort.hpp"

using namespace confman::sim;

namespace {

// The counters that a script says it reaches, in lines `# reaches COUNTER`.
std::vector<std::string> said_to_reach(const std::string& text) {
  constexpr std::string_view begins = "# reaches ";
  std::vector<std::string> names;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(begins)) names.push_back(line.substr(begins.size()));
  return names;
}

// By the name of its counter; false for a name that no counter has.
bool reached(const statistics& counts, const std::string& name) {
  for (std::size_t i = 0; i < statistics::size; ++i)
    if (name == statistics::name(i)) return counts.value(i) != 0;
  return false;
}

}  // namespace

TEST_SUITE("replay") {
  TEST_CASE("a run from the recorded decisions equals the run that drew them") {
    std::set<decision_kind> seen;
    for (std::uint64_t seed = 1; seed <= confman_test::effort(150u); ++seed) {
      CAPTURE(seed);
      const scenario plan = scenario::draw(seed);
      world drawn(plan);
      const outcome first = drawn.run();
      world carried_out(plan, drawn.decisions());
      const outcome second = carried_out.run();
      REQUIRE(first.trace_count == second.trace_count);
      REQUIRE(first.trace_hash == second.trace_hash);
      for (std::size_t i = 0; i < statistics::size; ++i)
        REQUIRE(first.counts.value(i) == second.counts.value(i));
      REQUIRE(drawn.decisions() == carried_out.decisions());
      for (const decision& d : drawn.decisions()) seen.insert(d.kind);
    }
    CHECK(seen.size() >= confman_test::effort(decision_kinds));
  }

  TEST_CASE("a part of the decisions is a run, too, and another one") {
    std::size_t others = 0;
    for (std::uint64_t seed = 1; seed <= confman_test::effort(60u); ++seed) {
      CAPTURE(seed);
      const scenario plan = scenario::draw(seed);
      world drawn(plan);
      const outcome first = drawn.run();
      std::vector<decision> some;
      for (std::size_t i = 0; i < drawn.decisions().size(); i += 2) some.push_back(drawn.decisions()[i]);
      world carried_out(plan, some);
      if (carried_out.run().trace_hash != first.trace_hash) ++others;
      // What didn't apply any more isn't listed, and so the list gives the same run once more.
      world again(plan, carried_out.decisions());
      REQUIRE(again.run().trace_hash == carried_out.log().hash());
    }
    CHECK(others > confman_test::effort(60u) * 2 / 3);
  }

  TEST_CASE("without decisions nothing goes wrong") {
    scenario plan = scenario::draw(3);
    world quiet(plan, std::vector<decision>());
    const outcome end = quiet.run();
    CHECK(quiet.decisions().empty());
    CHECK(end.counts[counted::crashes] == 0);
  }

  TEST_CASE("decisions about what doesn't exist are passed over") {
    scenario plan;
    plan.safety = 1'000'000;
    std::vector<decision> odd;
    for (unsigned kind = 0; kind < decision_kinds; ++kind) {
      decision d;
      d.at = 500'000;
      d.kind = static_cast<decision_kind>(kind);
      d.node = 15;
      d.target = 15;
      if (d.kind != decision_kind::power_loss && d.kind != decision_kind::partition &&
          d.kind != decision_kind::quorum)
        odd.push_back(d);
    }
    world whole(plan, odd);
    whole.run();
    CHECK(whole.decisions().empty());
  }
}

TEST_SUITE("script") {
  TEST_CASE("a script reads back as it was written, and gives the same run") {
    for (std::uint64_t seed = 200; seed < 200 + confman_test::effort(30u); ++seed) {
      CAPTURE(seed);
      world drawn(scenario::draw(seed));
      const outcome first = drawn.run();
      const script written{drawn.plan(), drawn.decisions()};
      const auto read = read_script("# a comment\n\n" + to_text(written));
      REQUIRE(read);
      CHECK(to_text(*read) == to_text(written));
      CHECK(read->plan.describe() == written.plan.describe());
      REQUIRE(read->decisions == written.decisions);
      world carried_out(read->plan, read->decisions);
      CHECK(carried_out.run().trace_hash == first.trace_hash);
    }
  }

  TEST_CASE("a script that is none is refused, with the line") {
    const auto why = [](const std::string& text) {
      const auto read = read_script(text);
      return read ? std::string() : read.error().what;
    };
    CHECK(why("nodes 3\nat 5 crash node=1\n") == "");
    CHECK(why("nodes 3\n\nnods 3\n") == "line 3: a scenario has no field nods");
    CHECK(why("nodes -1\n") == "line 1: -1 is no value for nodes");
    CHECK(why("in_order 2\n") == "line 1: 2 is no value for in_order");
    CHECK(why("# x\nat soon crash\n").substr(0, 7) == "line 2:");
    CHECK(why("at 5 explode\n") == "line 1: no such decision: explode");
    CHECK(why("at 5 crash nod=1\n") == "line 1: a decision has no field nod");
    CHECK(why("at 5 crash node=256\n") == "line 1: 256 is no value for node");
    CHECK(why("at 5 crash survive=most\n") == "line 1: most is no value for survive");
    CHECK(why("at 5 partition links=1>16\n") == "line 1: 1>16 is no value for links");
    CHECK(why("at 5 invite nodes=1,16\n") == "line 1: 1,16 is no value for nodes");
    CHECK(why("at 5 change edits=voter:1,voter:2,voter:3,voter:4\n").substr(0, 7) == "line 1:");
    CHECK(why("at 5 change edits=voter:1:bond\n").substr(0, 7) == "line 1:");
    CHECK(why("nodes 12\nspares 4\n") == "1 to 15 nodes and spares are possible");
    CHECK(why("tick 0\n") != "");
    CHECK(why("keys 0\n") != "");
  }
}

TEST_SUITE("kept scripts") {
  TEST_CASE("what a script says it reaches is counted, and a counter must have that name") {
    CHECK(said_to_reach("# one\n# reaches truncations\nnodes 3\n# reaches busy\n") ==
          std::vector<std::string>{"truncations", "busy"});
    CHECK(said_to_reach("# it reaches busy\nnodes 3\n").empty());
    statistics counts;
    CHECK_FALSE(reached(counts, "busy"));
    counts.add(counted::busy);
    CHECK(reached(counts, "busy"));
    CHECK_FALSE(reached(counts, "truncations"));
    CHECK_FALSE(reached(counts, "bussy"));
  }

  TEST_CASE("a world refuses a scenario that it couldn't run") {
    const auto refused = [](auto&& change) {
      scenario plan;
      change(plan);
      try {
        world w(plan);
      } catch (const std::invalid_argument& e) {
        return std::string(e.what());
      }
      return std::string();
    };
    CHECK(refused([](scenario&) {}).empty());
    CHECK(refused([](scenario& s) { s.clients = 0; }) ==
          "scenario: there must be clients, and keys for them");
    CHECK(refused([](scenario& s) { s.keys = 0; }) == "scenario: there must be clients, and keys for them");
    CHECK(refused([](scenario& s) { s.nodes = 20; }) == "scenario: 1 to 15 nodes and spares are possible");
    CHECK(refused([](scenario& s) { s.spares = ~0u; }) == "scenario: 1 to 15 nodes and spares are possible");
  }

  TEST_CASE("the scripts that are kept pass") {
    const std::filesystem::path folder = SIM_SCRIPTS;
    std::size_t scripts = 0;
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
      if (file.path().extension() != ".txt") continue;
      CAPTURE(file.path().string());
      std::ifstream in(file.path());
      const std::string text(std::istreambuf_iterator<char>(in), {});
      const auto read = read_script(text);
      REQUIRE_MESSAGE(read, (read ? "" : read.error().what));
      world kept(read->plan, read->decisions);
      outcome end;
      CHECK_NOTHROW(end = kept.run());
      CHECK(kept.decisions().size() > 0);  // else nothing in it applies any more
      // Nor is it about anything any more if its situation doesn't come about.
      CHECK_FALSE(said_to_reach(text).empty());
      for (const std::string& name : said_to_reach(text))
        CHECK_MESSAGE(reached(end.counts, name), "it doesn't reach " << name);
      ++scripts;
    }
    CHECK(scripts > 0);
  }
}
