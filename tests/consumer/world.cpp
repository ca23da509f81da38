// A simulated world, from the installed package alone.
#include <confman/sim/world.hpp>

#include <cstdio>

int main() {
  confman::sim::scenario plan;
  plan.faults = confman::sim::fault::crash | confman::sim::fault::partition;
  confman::sim::world world(plan);
  const confman::sim::statistics counts = world.run().counts;
  const bool happened = counts[confman::sim::counted::elections] != 0 &&
                        counts[confman::sim::counted::crashes] != 0 &&
                        counts[confman::sim::counted::acknowledged] != 0;
  std::puts(happened ? "a world ran" : "nothing happened in this world");
  return happened ? 0 : 1;
}
