#include <algorithm>
#include <cstdio>
#include <limits>
#include <vector>

#include "confman/core/quorum.hpp"
#include "scripts/commands.hpp"

namespace confman::scripts {

namespace {

constexpr std::uint64_t infinity = std::numeric_limits<std::uint64_t>::max();

using values = std::map<node_id, std::uint64_t>;  // of the voters that have reported

struct question {
  std::vector<member> voters, joint_voters;
  bool joint = false;
  std::vector<node_id> named;        // in the order of the script, each once
  std::vector<std::uint64_t> given;  // one for each of `named`; 0: nothing known
};

void add_voter(std::vector<member>& list, question& asked, node_id id) {
  const auto by_id = [](const member& m, node_id wanted) { return m.id < wanted; };
  const auto at = std::lower_bound(list.begin(), list.end(), id, by_id);
  if (at == list.end() || at->id != id) list.insert(at, member{id, {}});
  if (std::find(asked.named.begin(), asked.named.end(), id) == asked.named.end()) asked.named.push_back(id);
}

std::uint64_t parsed(const argument& from, const std::string& value) {
  const auto number = number_of(value);
  if (!number) throw script_error(from.key + ": '" + value + "' is not a number");
  return *number;
}

std::uint64_t index_of(const argument& from, const std::string& value) {
  if (value == "_") return 0;
  const std::uint64_t index = parsed(from, value);
  if (index == 0) throw script_error("idx: 0 can't be given; _ stands for a voter that has not reported");
  return index;
}

std::uint64_t vote_of(const std::string& value) {
  if (value == "y") return 2;
  if (value == "n") return 1;
  if (value == "_") return 0;
  throw script_error("votes: '" + value + "' is none of y, n and _");
}

question parse_question(const script_case& one) {
  question asked;
  std::vector<std::uint64_t> indexes, votes;
  // Voters of cfg are numbered before those of cfgj, wherever the two stand.
  for (const char* key : {"cfg", "cfgj"})
    for (const argument& from : one.arguments) {
      if (from.key != key) continue;
      const bool second = from.key == "cfgj";
      asked.joint = asked.joint || second;
      if (second && from.values == std::vector<std::string>{"zero"}) continue;
      for (const std::string& value : from.values)
        add_voter(second ? asked.joint_voters : asked.voters, asked, node_id(parsed(from, value)));
    }
  for (const argument& from : one.arguments) {
    if (from.key == "cfg" || from.key == "cfgj") continue;
    if (from.key != "idx" && from.key != "votes")
      throw script_error("there is no argument '" + from.key + "'; there are cfg, cfgj, idx and votes");
    for (const std::string& value : from.values)
      if (from.key == "idx")
        indexes.push_back(index_of(from, value));
      else
        votes.push_back(vote_of(value));
  }
  asked.given = one.command == "vote" ? votes : indexes;
  return asked;
}

std::string mismatched(question asked) {
  std::string text = "error: mismatched input (explicit or _) for voters map[";
  std::sort(asked.named.begin(), asked.named.end());
  const auto space = [&](bool needed) { text += needed ? " " : ""; };
  for (const node_id id : asked.named) {
    space(id != asked.named.front());
    text += std::to_string(id.value()) + ":{}";
  }
  text += "]: [";
  for (std::size_t i = 0; i < asked.given.size(); ++i) {
    space(i > 0);
    text += std::to_string(asked.given[i]);
  }
  return text + "]";
}

values known_values(const question& asked) {
  values known;
  for (std::size_t i = 0; i < asked.named.size(); ++i)
    if (asked.given[i] != 0) known[asked.named[i]] = asked.given[i];
  return known;
}

std::uint64_t value_of(const values& known, node_id id) {
  const auto at = known.find(id);
  return at == known.end() ? 0 : at->second;
}

std::string index_text(std::uint64_t index) {
  return index == infinity ? "∞" : std::to_string(index);
}

// The scripts let the empty set agree to everything, so that joint with it a set decides alone. The library
// lets it decide nothing, since a cluster without voters is none: the convention lives here.
template <class Both, class One, class Value>
Value with_empty_sets(const std::vector<member>& a, const std::vector<member>& b, Both&& both, One&& one,
                      Value nobody) {
  if (a.empty() && b.empty()) return nobody;
  configuration members;
  members.incoming = a.empty() ? b : a;
  if (a.empty() || b.empty()) return one(members);
  members.outgoing = b;
  return both(members);
}

std::uint64_t committed(const std::vector<member>& voters, const values& known) {
  if (voters.empty()) return infinity;
  return majority_reached<std::uint64_t>(voters, [&](const member& m) { return value_of(known, m.id); });
}

std::uint64_t committed(const std::vector<member>& a, const std::vector<member>& b, const values& known) {
  const auto reached = [&](const configuration& members) {
    return quorum_reached<std::uint64_t>(members, [&](const member& m) { return value_of(known, m.id); });
  };
  return with_empty_sets(a, b, reached, reached, infinity);
}

// By definition: the highest value that more than half have reached.
std::uint64_t committed_by_definition(const std::vector<member>& voters, const values& known) {
  if (voters.empty()) return infinity;
  std::uint64_t highest = 0;
  for (const auto& [id, value] : known) {
    const std::uint64_t candidate = value;
    const auto have = std::count_if(voters.begin(), voters.end(),
                                    [&](const member& m) { return value_of(known, m.id) >= candidate; });
    if (2 * static_cast<std::size_t>(have) > voters.size()) highest = std::max(highest, candidate);
  }
  return highest;
}

// A line for each voter; the longer its bar, the further it is.
std::string table(const std::vector<member>& voters, const values& known) {
  if (voters.empty()) return "<empty majority quorum>";
  const std::size_t n = voters.size();
  std::string text = std::string(n, ' ') + "    idx\n";
  for (const member& m : voters) {
    const std::uint64_t value = value_of(known, m.id);
    const auto behind =
        static_cast<std::size_t>(std::count_if(voters.begin(), voters.end(), [&](const member& other) {
          return value_of(known, other.id) < value;
        }));
    if (known.count(m.id) == 0)
      text += "?" + std::string(n, ' ');
    else
      text += std::string(behind, 'x') + ">" + std::string(n - behind, ' ');
    const std::string number = std::to_string(value);
    char id[24];
    std::snprintf(id, sizeof id, "%llx", static_cast<unsigned long long>(m.id.value()));
    text +=
        " " + std::string(number.size() < 5 ? 5 - number.size() : 0, ' ') + number + "    (id=" + id + ")\n";
  }
  return text;
}

// Whoever is behind the committed index may fall further behind: that changes nothing.
std::string lowered(const std::vector<member>& voters, const values& known, std::uint64_t index) {
  std::string text;
  for (const member& m : voters) {
    const std::uint64_t value = value_of(known, m.id);
    if (value == 0 || index <= value) continue;
    for (const std::uint64_t lower : {value - 1, std::uint64_t{0}}) {
      values changed = known;
      changed[m.id] = lower;
      const std::uint64_t found = committed(voters, changed);
      if (found != index)
        text += index_text(found) + " <-- overlaying " + std::to_string(m.id.value()) + "->" +
                std::to_string(lower == 0 ? 0 : value);
    }
  }
  return text;
}

std::string run_committed(const question& asked, const values& known) {
  const std::vector<member>&a = asked.voters, &b = asked.joint_voters;
  std::string text;
  std::uint64_t index = 0;
  const auto cross_check = [&](std::uint64_t found, const char* how) {
    if (found != index) text += index_text(found) + " <-- via " + how + "\n";
  };
  if (asked.joint) {
    std::vector<member> all = a;
    for (const member& m : b)
      if (std::find(all.begin(), all.end(), m) == all.end()) all.push_back(m);
    std::sort(all.begin(), all.end(), [](const member& x, const member& y) { return x.id < y.id; });
    text = table(all, known);
    index = committed(a, b, known);
    cross_check(committed(b, a, known), "symmetry");
  } else {
    text = table(a, known);
    index = committed(a, known);
    cross_check(committed_by_definition(a, known), "alternative computation");
    cross_check(committed(a, {}, known), "zero-joint quorum");
    cross_check(committed(a, a, known), "self-joint quorum");
    text += lowered(a, known, index);
  }
  return text + index_text(index) + "\n";
}

std::string run_vote(const question& asked, const values& known) {
  const auto answer = [&](const member& m) -> std::optional<bool> {
    const auto at = known.find(m.id);
    if (at == known.end()) return std::nullopt;
    return at->second == 2;
  };
  const auto count = [&](const auto& voters) { return count_votes(voters, answer); };
  const auto text_of = [](vote_result result) {
    return result == vote_result::won ? "VoteWon" : result == vote_result::lost ? "VoteLost" : "VotePending";
  };
  const std::vector<member>&a = asked.voters, &b = asked.joint_voters;
  if (!asked.joint) return std::string(text_of(a.empty() ? vote_result::won : count(a))) + "\n";
  const vote_result found = with_empty_sets(a, b, count, count, vote_result::won);
  const vote_result other = with_empty_sets(b, a, count, count, vote_result::won);
  std::string text;
  if (other != found) text = std::string(text_of(other)) + " <-- via symmetry\n";
  return text + text_of(found) + "\n";
}

}  // namespace

std::optional<std::string> run_quorum(const script_case& one) {
  if (one.command != "committed" && one.command != "vote") return std::nullopt;
  const question asked = parse_question(one);
  if (asked.given.size() != asked.named.size()) return mismatched(asked);
  const values known = known_values(asked);
  return one.command == "vote" ? run_vote(asked, known) : run_committed(asked, known);
}

}  // namespace confman::scripts
