// The subcommands that check: verify, gap, check, equal.
#include <atomic>
#include <chrono>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "corpus.hpp"
#include "load_client.hpp"

namespace demo {

namespace {

using clock = std::chrono::steady_clock;

struct record_of_write {
  char what = 0;  // A: acknowledged, U: unknown, F: certainly not applied
  std::int64_t time_us = 0;
  std::string node;
  token at;
  std::string key;
  std::string value;
};

std::vector<record_of_write> read_log(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw std::runtime_error("can't read " + path);
  std::vector<record_of_write> records;
  for (std::string line; std::getline(in, line);) {
    std::istringstream fields(line);
    record_of_write r;
    std::string at;
    fields >> r.what >> r.time_us >> r.node >> at >> r.key >> r.value;
    const auto parsed = to_token(at);
    if (!fields || !parsed) throw std::runtime_error(path + ": can't be understood: " + line);
    r.at = *parsed;
    records.push_back(std::move(r));
  }
  return records;
}

// Says the first few of what went wrong, and counts all.
class findings {
 public:
  void add(const std::string& what) {
    if (count_.fetch_add(1) < 5) {
      const std::lock_guard lock(mutex_);
      std::cerr << what << "\n";
    }
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  std::atomic<std::uint64_t> count_{0};
  std::mutex mutex_;
};

std::string describe(const load_client::reading& found) {
  if (found.status == 0) return "no answer (" + found.body + ")";
  return "status " + std::to_string(found.status) + ", " + std::to_string(found.body.size()) +
         " bytes, revision " + std::to_string(found.revision);
}

// The text after "name": in a flat JSON object, up to the next comma or brace.
std::string field(const std::string& json, const std::string& name) {
  const std::string start = '"' + name + "\":";
  const std::size_t at = json.find(start);
  if (at == std::string::npos) return {};
  const std::size_t from = at + start.size();
  return json.substr(from, json.find_first_of(",}", from) - from);
}

}  // namespace

int run_verify(const arguments& args) {
  std::cout << std::fixed << std::setprecision(3);
  const std::vector<pair> files = load_corpus(args.text("--corpus"));
  const std::string node = args.text("--http");
  const auto at_least = to_token(args.text("--at-least", "0:0"));
  if (!at_least) throw std::runtime_error("--at-least is not TERM:INDEX");
  findings wrong;
  const auto start = clock::now();
  in_parallel(args.number("--threads", 8), [&](std::size_t first, std::size_t step) {
    load_client client(node);
    for (std::size_t i = first; i < files.size(); i += step) {
      const load_client::reading found = client.get(files[i].key, *at_least);
      if (found.status != 200 || found.body != files[i].value)
        wrong.add(node + ": " + files[i].key + " differs: " + describe(found));
    }
  });
  std::cout << "verified=" << files.size() << "\ndifferent=" << wrong.count()
            << "\nseconds=" << std::chrono::duration<double>(clock::now() - start).count() << "\n";
  return wrong.count() == 0 ? 0 : 1;
}

int run_gap(const arguments& args) {
  const auto since = static_cast<std::int64_t>(args.number("--since", 0));
  const std::string without = args.text("--without");
  // The lines are in the order of time. What was on its way when the leader died may still be acknowledged a
  // moment later, so the gap is the longest one that begins with the last acknowledgement before or soon
  // after.
  constexpr std::int64_t soon_us = 500'000;
  std::int64_t last = 0, longest = 0, after = 0;
  for (const record_of_write& r : read_log(args.text("--log"))) {
    if (r.what != 'A' || r.node == without) continue;
    if (r.time_us > since) ++after;
    if (last != 0 && r.time_us > since && last < since + soon_us)
      longest = std::max(longest, r.time_us - last);
    last = r.time_us;
  }
  std::cout << "gap_ms=" << longest / 1000 << "\nacknowledged_after=" << after << "\n";
  return longest > 0 && after > 0 ? 0 : 1;
}

int run_check(const arguments& args) {
  const std::vector<record_of_write> records = read_log(args.text("--log"));
  const std::string node = args.text("--http");
  token latest;
  for (const record_of_write& r : records) latest = std::max(latest, r.at);
  findings lost, resurrected;
  std::atomic<std::uint64_t> checked{0}, unknown_applied{0};
  in_parallel(args.number("--threads", 8), [&](std::size_t first, std::size_t step) {
    load_client client(node);
    for (std::size_t i = first; i < records.size(); i += step) {
      const record_of_write& r = records[i];
      const load_client::reading found = client.get(r.key, latest);
      const bool there = found.status == 200 && found.body == r.value;
      const bool absent = found.status == 404;
      if (r.what == 'A') {
        if (!there || found.revision != r.at.index)
          lost.add(node + ": acknowledged write of " + r.key + " at " + to_string(r.at) +
                   " is not there: " + describe(found));
      } else if (!there && !absent) {
        lost.add(node + ": " + r.key + ": " + describe(found));
      } else if (there && r.what == 'F') {
        resurrected.add(node + ": " + r.key + " was refused, but is there: " + describe(found));
      } else if (there) {
        ++unknown_applied;
      }
      ++checked;
    }
  });
  std::cout << "checked=" << checked << "\nlost=" << lost.count() << "\nresurrected=" << resurrected.count()
            << "\nunknown_applied=" << unknown_applied << "\n";
  return lost.count() + resurrected.count() == 0 ? 0 : 1;
}

int run_equal(const arguments& args) {
  const std::vector<std::string> nodes = split(args.text("--http"), ',');
  const auto end = clock::now() + std::chrono::seconds(args.number("--seconds", 10));
  std::string seen;
  while (clock::now() < end) {
    seen.clear();
    bool equal = true;
    std::string first;
    for (const std::string& node : nodes) {
      const std::string json = load_client(node).fetch("/v1/status").value_or("");
      const std::string state =
          field(json, "version") + " " + field(json, "keys") + " " + field(json, "state_hash");
      if (first.empty()) first = state;
      equal = equal && state == first && !field(json, "state_hash").empty();
      seen += node + ": version, keys, hash " + state + "\n";
    }
    if (equal) {
      std::cout << seen << "equal=1\n";
      return 0;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  std::cout << seen << "equal=0\n";
  return 1;
}

}  // namespace demo
