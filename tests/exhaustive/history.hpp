// What no node knows: who voted for whom, who led, what was ever committed. Part of each state.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "exhaustive/node.hpp"

namespace confman::exhaustive {

// One step as the properties see it.
struct happening {
  const scope& within;
  action what;
  std::array<const facts*, most_nodes + 1> nodes;  // by id, before the step
  unsigned at = 0;                                 // the node that took the step
  const facts& after;
  const std::vector<const message*>& sent;
  const std::vector<read_answer>& reads;
};

class history {
 public:
  // Takes the step into account. A text: a property that doesn't hold.
  [[nodiscard]] std::string judge(const happening& h);
  [[nodiscard]] hash128 hash() const;

 private:
  [[nodiscard]] std::string check_log(const happening& h) const;
  [[nodiscard]] std::string check_votes(const happening& h);
  [[nodiscard]] std::string check_leader(const happening& h);
  [[nodiscard]] std::string check_commit(const happening& h);
  [[nodiscard]] std::string check_snapshot(const happening& h) const;
  [[nodiscard]] std::string check_reads(const happening& h);
  // The nodes on whose disk the entry is.
  [[nodiscard]] static unsigned holders(const happening& h, unsigned index);

  std::array<std::uint8_t, most_terms + 1> leader_{};                            // by term
  std::array<std::array<std::uint8_t, most_terms + 1>, most_nodes + 1> vote_{};  // by node and term
  unsigned committed_ = 0;
  std::array<std::uint8_t, most_entries + 1> by_{};  // by index: the term of who committed it
  std::array<std::uint64_t, most_entries + 1> hash_{};
  std::array<std::uint8_t, 16> asked_at_{};  // by read: what was committed then
};

}  // namespace confman::exhaustive
