// Judges histories: whether a map could have answered so. See usage below, and docs/format/history.md.
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "confman/check/history_file.hpp"
#include "confman/check/linearizability.hpp"
#include "confman/check/witness.hpp"

namespace {

using confman::check::history;
using confman::check::report;
using confman::check::verdict;

constexpr const char* usage =
    "usage: confman_check FILE... [--final FILE] [--wgl] [--witness] [--monotonic] "
    "[--max-steps N]\n"
    "Judges one history, whose lines may lie in several files (docs/format/history.md).\n"
    "  --final FILE  reads (get, list) from after everything else: no acknowledged write may be missing\n"
    "  --witness     only the replay by revision: all operations\n"
    "  --wgl         only the search of Wing, Gong and Lowe, by value and by revision: writes and "
    "linearizable gets\n"
    "  --monotonic   each client read from one process only, or asked for the newest version that it knew\n"
    "  --max-steps N  of each search, before it gives up (default: 50000000)\n"
    "Exit code: 0 good, 1 violation, 2 usage or unreadable or no operations, 3 undecided.\n";

struct settings {
  std::vector<std::string> files;
  std::optional<std::string> final_file;
  bool search = false;
  bool witness = false;
  bool monotonic = false;
  confman::check::search_limits limits;
};

bool parse_number(std::string_view text, std::uint64_t& number) {
  const char* const end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, number);
  return error == std::errc{} && last == end;
}

std::optional<settings> parse(const std::vector<std::string_view>& args) {
  settings s;
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (args[i] == "--final" && i + 1 < args.size() && !s.final_file)
      s.final_file = args[++i];
    else if (args[i] == "--wgl")
      s.search = true;
    else if (args[i] == "--witness")
      s.witness = true;
    else if (args[i] == "--monotonic")
      s.monotonic = true;
    else if (args[i] == "--max-steps" && i + 1 < args.size() && parse_number(args[i + 1], s.limits.max_steps))
      ++i;
    else if (args[i].starts_with("-"))
      return std::nullopt;
    else
      s.files.emplace_back(args[i]);
  }
  if (s.files.empty()) return std::nullopt;
  if (!s.search && !s.witness) s.search = s.witness = true;
  return s;
}

bool read(const std::string& path, history& all) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    fmt::print(stderr, "confman_check: {} can't be opened for reading\n", path);
    return false;
  }
  auto more = confman::check::read_history(in);
  if (!more) {
    fmt::print(stderr, "confman_check: {}: {}\n", path, more.error().what);
    return false;
  }
  std::move(more->begin(), more->end(), std::back_inserter(all));
  return true;
}

// Prints what a checker found. Returns its verdict.
template <class Check>
verdict judge(const char* name, const history& all, const history& final_state, const Check& check) {
  const auto start = std::chrono::steady_clock::now();
  const report found = check();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  static constexpr const char* verdicts[] = {"good", "VIOLATION", "undecided"};
  fmt::print("{}: {}, {} operations, {:.2f} s{}{}\n", name, verdicts[static_cast<std::size_t>(found.end)],
             found.checked, took.count(), found.why.empty() ? "" : ": ", found.why);
  for (const auto& finding : found.findings) {
    fmt::print("  {}: {}\n", finding.rule, finding.text);
    std::size_t shown = 0;
    for (const std::size_t at : finding.operations) {
      if (++shown > 20) {
        fmt::print("    and {} more\n", finding.operations.size() - 20);
        break;
      }
      const bool is_final = at >= all.size();
      const auto& op = is_final ? final_state[at - all.size()] : all[at];
      fmt::print("    {}{}\n", is_final ? "final, " : "", describe(op));
    }
  }
  return found.end;
}

int run(const settings& s) {
  history all;
  history final_state;
  for (const std::string& file : s.files)
    if (!read(file, all)) return 2;
  if (all.empty()) {
    fmt::print(stderr, "confman_check: no operations in {}: nothing can be said of them\n", s.files.front());
    return 2;
  }
  if (s.final_file && !read(*s.final_file, final_state)) return 2;
  for (const auto& op : final_state) {
    using confman::check::operation_kind;
    if (op.kind == operation_kind::get || op.kind == operation_kind::list) continue;
    fmt::print(stderr, "confman_check: {}: line {}: a final state consists of get and list only\n",
               *s.final_file, op.line);
    return 2;
  }
  std::vector<verdict> verdicts;
  if (s.witness) {
    confman::check::witness_options options;
    options.monotonic_clients = s.monotonic;
    verdicts.push_back(
        judge("witness", all, final_state, [&] { return check_witness(all, final_state, options); }));
  }
  if (s.search) {
    using confman::check::register_model;
    verdicts.push_back(judge("search by value", all, final_state,
                             [&] { return check_linearizability(all, register_model::value, s.limits); }));
    verdicts.push_back(judge("search by revision", all, final_state,
                             [&] { return check_linearizability(all, register_model::revision, s.limits); }));
  }
  if (std::count(verdicts.begin(), verdicts.end(), verdict::violation) != 0) return 1;
  return std::count(verdicts.begin(), verdicts.end(), verdict::undecided) != 0 ? 3 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> args(argv + 1, argv + argc);
  if (args.size() == 1 && (args[0] == "--help" || args[0] == "-h")) {
    std::fputs(usage, stdout);
    return 0;
  }
  const auto chosen = parse(args);
  if (!chosen) {
    std::fputs(usage, stderr);
    return 2;
  }
  return run(*chosen);
}
