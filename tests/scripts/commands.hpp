// What scripts can call.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "confman/core/joint_change.hpp"
#include "scripts/script.hpp"

namespace confman::scripts {

// The commands `committed` and `vote`: quorums; they keep nothing from one case to the next. Nothing if the
// command is another. Throws script_error if the case makes no sense.
[[nodiscard]] std::optional<std::string> run_quorum(const script_case& one);

// The commands simple, enter-joint and leave-joint: each changes the configuration that the ones before it in
// the same script have left behind. check tells whether a user may ask for such a change.
class members_script {
 public:
  // Nothing if the command is another. Throws script_error if the case makes no sense.
  [[nodiscard]] std::optional<std::string> run(const script_case& one);

 private:
  using tracked_members = std::map<node_id, std::uint64_t>;  // the next index to send to each

  [[nodiscard]] std::string simple(const std::vector<member_change>& changes);
  [[nodiscard]] std::string enter_joint(const script_case& one, const std::vector<member_change>& changes);
  [[nodiscard]] std::string leave_joint();
  [[nodiscard]] std::string adopt(const configuration& base, const std::vector<member_change>& changes,
                                  const configuration& next);
  void track(const configuration& now);
  [[nodiscard]] std::string describe() const;

  configuration current_;
  tracked_members tracked_;
  std::uint64_t last_index_ = 0;  // stands for the log: every command adds an entry
};

}  // namespace confman::scripts
