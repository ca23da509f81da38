#include "marks.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <iterator>

#if !defined(CONFMAN_MARKS)
#error "this file and the core of its program are compiled with CONFMAN_MARKS"
#endif

namespace marks {

namespace {

struct row {
  const char* name;
  std::uint64_t within;
  const char* what;
};

#define CONFMAN_MARK_ROW(name, within, what) {#name, within, what},
constexpr row rows[] = {CONFMAN_MARK_TABLE(CONFMAN_MARK_ROW)};
#undef CONFMAN_MARK_ROW

static_assert(std::size(rows) == confman::mark_count);

}  // namespace

void reset() {
  std::fill(std::begin(confman::mark_hits), std::end(confman::mark_hits), 0);
}

void copy_to(counts& all) {
  std::copy(std::begin(confman::mark_hits), std::end(confman::mark_hits), std::begin(all.hits));
}

bool covered(const counts& all, std::uint64_t seeds, bool print) {
  bool good = true;
  for (std::size_t i = 0; i < confman::mark_count; ++i) {
    if (print) std::printf("%14" PRIu64 "  %-28s %s\n", all.hits[i], rows[i].name, rows[i].what);
    if (all.hits[i] != 0 || seeds < rows[i].within) continue;
    std::printf("FAILED: mark %s was never reached in %" PRIu64 " seeds: %s\n", rows[i].name, seeds,
                rows[i].what);
    good = false;
  }
  return good;
}

}  // namespace marks
