// Runs data-driven scripts. tests/scripts/run.sh is its front; README.md there describes the format.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "scripts/commands.hpp"

namespace {

using namespace confman::scripts;

struct tally {
  std::size_t passed = 0, failed = 0;
};

std::string run_case(const script_case& one, members_script& members) {
  std::optional<std::string> output = run_quorum(one);
  if (!output) output = members.run(one);
  if (!output)
    throw script_error("there is no command '" + one.command +
                       "'; there are committed, vote, simple, enter-joint, leave-joint, check");
  if (!output->empty() && !output->ends_with('\n')) *output += '\n';
  return *std::move(output);
}

std::size_t line_count(std::string_view text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

void print_mismatch(const std::string& path, const script_case& one, const std::string& output) {
  std::printf("%s:%zu: %s\n", path.c_str(), one.line, one.command_line.c_str());
  if (!one.input.empty()) std::printf("%s\n", one.input.c_str());
  std::printf("--- expected\n+++ found\n@@ -%zu,%zu +%zu,%zu @@\n%s\n", one.expected_line,
              line_count(one.expected), one.expected_line, line_count(output),
              difference(one.expected, output).c_str());
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text << std::flush;
  if (!file) throw script_error(path + ": can't be written; is it, or its folder, read-only?");
}

// The outputs of a script's cases are compared, or taken over into the file. A case that can't be run fails
// either way, and keeps what was expected.
void run_script(const std::string& path, bool rewrite, tally& counted) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) throw script_error(path + ": can't be read");
  const script source = parse_script(path, text.str());
  members_script members;
  std::vector<std::string> outputs;
  for (const script_case& one : source.cases) {
    bool good = false;
    outputs.push_back(one.expected);
    try {
      outputs.back() = run_case(one, members);
      good = rewrite || (one.complete && outputs.back() == one.expected);
      if (!one.complete && !rewrite)
        std::printf("%s:%zu: %s: no line of ---- follows; its output is\n%s\n", path.c_str(), one.line,
                    one.command_line.c_str(), outputs.back().c_str());
      else if (!good)
        print_mismatch(path, one, outputs.back());
    } catch (const script_error& error) {
      std::printf("%s:%zu: %s: %s\n\n", path.c_str(), one.line, one.command_line.c_str(), error.what());
    }
    ++(good ? counted.passed : counted.failed);
  }
  if (source.cases.empty()) throw script_error(path + ": there is no case in it");
  if (!rewrite) return;
  if (const std::string changed = rewritten(source, outputs); changed != text.str()) {
    write_file(path, changed);
    std::printf("rewritten: %s\n", path.c_str());
  }
}

// The files below a folder, sorted; a file stands for itself. Hidden ones and editors' copies don't count.
std::vector<std::string> scripts_in(const std::string& where) {
  namespace fs = std::filesystem;
  if (fs::is_regular_file(where)) return {where};
  if (!fs::is_directory(where)) throw script_error(where + ": no such folder or file");
  std::vector<std::string> found;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(where)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && !name.starts_with('.') && !name.ends_with('~'))
      found.push_back(entry.path().string());
  }
  std::sort(found.begin(), found.end());
  if (found.empty()) throw script_error(where + ": there is no script in it");
  return found;
}

template <class Action>
void counting_errors(tally& counted, Action&& action) {
  try {
    action();
  } catch (const std::exception& error) {
    std::printf("error: %s\n", error.what());
    ++counted.failed;
  }
}

}  // namespace

int main(int count, char** arguments) {
  bool rewrite = false;
  std::vector<std::string> places;
  for (int i = 1; i < count; ++i) {
    const std::string one = arguments[i];
    if (one == "--rewrite")
      rewrite = true;
    else
      places.push_back(one);
  }
  if (places.empty()) {
    std::fprintf(stderr, "usage: confman_scripts [--rewrite] FOLDER...\n");
    return 2;
  }
  tally counted;
  for (const std::string& place : places)
    counting_errors(counted, [&] {
      for (const std::string& path : scripts_in(place))
        counting_errors(counted, [&] { run_script(path, rewrite, counted); });
    });
  std::printf("%zu passed, %zu failed\n", counted.passed, counted.failed);
  return counted.failed == 0 ? 0 : 1;
}
