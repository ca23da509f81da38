#include <sys/resource.h>
#include <chrono>
#include <cstdio>
#include "exhaustive/search.hpp"
using namespace confman::exhaustive;
int main(int argc, char** argv) {
  std::uint64_t n = argc > 2 ? std::stoull(argv[2]) : 1000000;
  for (const scope& s : all_scopes()) {
    if (argc > 1 && std::string(argv[1]) != "all" && s.name != argv[1]) continue;
    auto t0 = std::chrono::steady_clock::now();
    search look(s, n);
    verdict v = look.run();
    double sec = std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count();
    rusage u; getrusage(RUSAGE_SELF, &u);
    std::printf("%-12s %9lu states %10lu transitions depth %u %s %.1fs %.0f/s nodes %zu msgs %zu steps %zu rss %ld MB %s\n", s.name.c_str(), v.states, v.transitions, v.depth, v.exhausted ? "exhausted" : "stopped", sec, double(v.states)/sec, look.all().nodes_known(), look.all().messages_known(), look.all().steps_known(), u.ru_maxrss/1024, v.wrong.c_str());
    if (!v.wrong.empty()) show_path(look.all(), v.path);
    std::fflush(stdout);
  }
}
