// Breadth first over all states of a scope.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "exhaustive/cluster.hpp"

namespace confman::exhaustive {

struct verdict {
  std::uint64_t states = 0;       // distinct ones
  std::uint64_t transitions = 0;  // steps looked at
  unsigned depth = 0;             // the longest shortest path
  bool exhausted = false;         // every state of the scope was seen
  bool out_of_time = false;
  std::array<std::uint64_t, cluster::kinds> taken{};  // steps by kind
  std::string wrong;                                  // the property that doesn't hold, or nothing
  std::vector<action> path;                           // the shortest way there
};

class search {
 public:
  using clock = std::chrono::steady_clock;
  // Stops at `most` states, or at that time.
  search(const scope& s, std::uint64_t most, std::optional<clock::time_point> until = {});
  [[nodiscard]] verdict run();
  [[nodiscard]] cluster& all() noexcept { return cluster_; }
  // The kinds of steps that were taken, as cluster::kind_name().
  [[nodiscard]] const std::array<std::string, cluster::kinds>& names() const noexcept { return names_; }

  // What is being worked out now, for whoever must say where the core has ended the process.
  [[nodiscard]] std::vector<action> path_to_now() const;

 private:
  void expand(const state& s, std::uint32_t number);
  void enqueue(const state& s, std::uint32_t parent, const action& a);
  [[nodiscard]] std::vector<action> path_to(std::uint32_t number) const;

  cluster cluster_;
  std::uint64_t most_;
  std::optional<clock::time_point> until_;
  fingerprints seen_;
  pages<std::uint32_t> parent_;
  pages<std::uint32_t> step_;
  word_queue waiting_;
  verdict result_;
  std::array<std::string, cluster::kinds> names_;
  std::uint32_t current_ = 0;
  action pending_;
  state next_;
  std::vector<std::uint32_t> words_;
};

// Prints a way from the first state, step by step; true if it ends where a property doesn't hold.
bool show_path(cluster& c, const std::vector<action>& path);
// The same for words, as in the line "replay". Throws std::invalid_argument.
bool show_words(cluster& c, const std::string& words);

}  // namespace confman::exhaustive
