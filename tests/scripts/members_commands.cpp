#include <algorithm>
#include <cstdio>

#include "scripts/commands.hpp"

namespace confman::scripts {

namespace {

// The changes of a case, or what is wrong with them.
struct parsed_changes {
  std::vector<member_change> changes;
  std::string problem;
};

std::optional<member_change::action> action_of(char letter) {
  switch (letter) {
    case 'v':
      return member_change::action::add_voter;
    case 'l':
      return member_change::action::add_learner;
    case 'r':
      return member_change::action::remove;
    case 'u':
      return member_change::action::update;
    default:
      return std::nullopt;
  }
}

std::string number_problem(std::string_view digits) {
  const bool all_digits = !digits.empty() && digits.find_first_not_of("0123456789") == std::string_view::npos;
  return "strconv.ParseUint: parsing \"" + std::string(digits) +
         "\": " + (all_digits ? "value out of range" : "invalid syntax");
}

parsed_changes parse_changes(std::string_view input) {
  parsed_changes found;
  while (!input.empty()) {
    const std::size_t end = std::min(input.find(' '), input.size());
    const std::string_view token = input.substr(0, end);
    input.remove_prefix(std::min(end + 1, input.size()));
    if (token.size() < 2) return {{}, "unknown token " + std::string(token)};
    const auto action = action_of(token.front());
    if (!action) return {{}, "unknown input: " + std::string(token)};
    const auto id = number_of(token.substr(1));
    if (!id) return {{}, number_problem(token.substr(1))};
    found.changes.push_back({*action, {node_id(*id), {}}});
  }
  return found;
}

bool auto_leave_of(const script_case& one) {
  if (one.arguments.empty()) return false;
  const argument& first = one.arguments.front();
  if (one.arguments.size() == 1 && first.key == "autoleave" && first.values.size() == 1) {
    for (const char* yes : {"true", "True", "TRUE", "t", "T", "1"})
      if (first.values.front() == yes) return true;
    for (const char* no : {"false", "False", "FALSE", "f", "F", "0"})
      if (first.values.front() == no) return false;
  }
  throw script_error("enter-joint takes one argument at most: autoleave=true or autoleave=false");
}

std::string hexadecimal(std::uint64_t value) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%llx", static_cast<unsigned long long>(value));
  return digits;
}

std::string ids_text(const std::vector<member>& list) {
  std::string text = "(";
  for (const member& m : list) {
    if (text.size() > 1) text += ' ';
    text += hexadecimal(m.id.value());
  }
  return text + ")";
}

std::string text_of(const configuration& c) {
  std::string text = "voters=" + ids_text(c.incoming);
  if (c.joint()) text += "&&" + ids_text(c.outgoing);
  if (!c.learners.empty()) text += " learners=" + ids_text(c.learners);
  if (!c.learners_next.empty()) text += " learners_next=" + ids_text(c.learners_next);
  if (c.auto_leave) text += " autoleave";
  return text;
}

}  // namespace

// The scripts' words for the library's refusals; which one it was shows in the code and the configuration.
std::string members_script::simple(const std::vector<member_change>& changes) {
  const auto next = change_one_leniently(current_, changes);
  if (next) return adopt(current_, changes, *next);
  if (next.error().code == errc::last_voter) return "removed all voters\n";
  return current_.joint() ? "can't apply simple config change in joint config\n"
                          : "more than one voter changed without entering joint config\n";
}

std::string members_script::enter_joint(const script_case& one, const std::vector<member_change>& changes) {
  const bool auto_leave = auto_leave_of(one);
  const auto next = enter_joint_leniently(current_, changes, auto_leave);
  // What is joint before anything has changed is where the changes start.
  if (next) return adopt(*enter_joint_leniently(current_, {}, auto_leave), changes, *next);
  if (next.error().code == errc::last_voter) return "removed all voters\n";
  return current_.joint() ? "config is already joint\n" : "can't make a zero-voter config joint\n";
}

std::string members_script::leave_joint() {
  const auto next = confman::leave_joint(current_);
  if (!next) return "can't leave a non-joint config\n";
  return adopt(*next, {}, *next);
}

// Takes the changes one by one, so that a member which goes and comes back is tracked anew.
std::string members_script::adopt(const configuration& base, const std::vector<member_change>& changes,
                                  const configuration& next) {
  configuration step = base;
  for (const member_change& change : changes) {
    step = apply_changes(std::move(step), std::span(&change, 1));
    track(step);
  }
  track(next);
  current_ = next;
  std::string text = describe();
  if (step != next) text += text_of(step) + " <-- one change at a time\n";
  if (const failure broken = check_configuration(next)) text += broken.what + "\n";
  return text;
}

void members_script::track(const configuration& now) {
  for (const node_id id : now.ids()) tracked_.try_emplace(id, std::max<std::uint64_t>(last_index_, 1));
  std::erase_if(tracked_, [&](const auto& one) { return !now.contains(one.first); });
}

std::string members_script::describe() const {
  std::string text = text_of(current_) + "\n";
  for (const auto& [id, next] : tracked_) {
    const bool learner = !current_.is_voter(id);
    text += std::to_string(id.value()) + ": StateProbe match=0 next=" + std::to_string(next) +
            (learner ? " learner\n" : "\n");
  }
  return text;
}

std::optional<std::string> members_script::run(const script_case& one) {
  const bool known = one.command == "simple" || one.command == "enter-joint" ||
                     one.command == "leave-joint" || one.command == "check";
  if (!known) return std::nullopt;
  const parsed_changes asked = parse_changes(one.input);
  std::string output = asked.problem;
  if (output.empty()) {
    if (one.command == "simple") {
      output = simple(asked.changes);
    } else if (one.command == "enter-joint") {
      output = enter_joint(one, asked.changes);
    } else if (one.command == "leave-joint") {
      output = asked.changes.empty() ? leave_joint() : "this command takes no input\n";
    } else {
      const failure refused = check_changes(current_, asked.changes);
      return refused ? refused.what + "\n" : "ok\n";
    }
  }
  ++last_index_;
  return output;
}

}  // namespace confman::scripts
