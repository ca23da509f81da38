// Replays inputs without libFuzzer, in any build.
//
//   confman_fuzz                  the corpus of every target, as a doctest suite
//   confman_fuzz TARGET FILE...   these inputs; a crash names the one it happened in
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "fuzz/target.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define FUZZ_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FUZZ_SANITIZED 1
#endif
#endif
#if defined(FUZZ_SANITIZED)
extern "C" void __sanitizer_set_death_callback(void (*callback)());
#endif

namespace {

char running[4096] = "none";

void say_which() {
  std::fprintf(stderr, "fuzz: this input: %s\n", running);
  std::fflush(stderr);
}

void on_abort(int) {
  say_which();
  std::_Exit(134);
}

void replay(const fuzz::target& t, const std::filesystem::path& path) {
  std::snprintf(running, sizeof running, "%s %s", t.name, path.c_str());
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  t.run(bytes);
}

int replay_files(const fuzz::target& t, int count, char** files) {
  for (int i = 0; i < count; ++i) {
    if (!std::filesystem::is_regular_file(files[i])) {
      std::fprintf(stderr, "error: there is no file %s\n", files[i]);
      return 2;
    }
    replay(t, files[i]);
  }
  std::printf("%s: %d inputs, nothing wrong\n", t.name, count);
  return 0;
}

}  // namespace

TEST_CASE("the corpus of every fuzz target is replayed, nothing is wrong with any input") {
  const std::filesystem::path corpus = FUZZ_CORPUS;
  REQUIRE(fuzz::targets().size() >= 5);
  for (const fuzz::target& t : fuzz::targets()) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(corpus / t.name))
      files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    CHECK_MESSAGE(files.size() >= 5, t.name);
    for (const auto& file : files) replay(t, file);
    t.run("");  // and the one that libFuzzer begins with
    MESSAGE(std::string(t.name) << ": " << files.size() << " inputs");
  }
}

int main(int argc, char** argv) {
  std::signal(SIGABRT, on_abort);
#if defined(FUZZ_SANITIZED)
  __sanitizer_set_death_callback(say_which);
#endif
  if (argc > 2)
    for (const fuzz::target& t : fuzz::targets())
      if (argv[1] == std::string(t.name)) return replay_files(t, argc - 2, argv + 2);
  if (argc > 1 && argv[1][0] != '-') {
    std::fprintf(stderr, "error: confman_fuzz TARGET FILE...; the targets are");
    for (const fuzz::target& t : fuzz::targets()) std::fprintf(stderr, " %s", t.name);
    std::fprintf(stderr, "\n");
    return 2;
  }
  return doctest::Context(argc, argv).run();
}
