#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <limits>
#include <system_error>

#include "confman/sim/network.hpp"
#include "confman/sim/script.hpp"

namespace confman::sim {

namespace detail {

inline constexpr const char* names_of_kinds[] = {
    "crash",      "effect_crash", "recovery_crash", "power_loss",   "stop",       "pause",
    "clock_jump", "stall",        "disk_error",     "rot",          "rot_tail",   "wipe",
    "partition",  "bad_disk",     "full_disk",      "frozen_clock", "latent_rot", "change",
    "transfer",   "snapshot",     "invite",         "retire",       "quorum",
};
static_assert(std::size(names_of_kinds) == decision_kinds);
inline constexpr const char* names_of_survivals[] = {"none", "all", "some", "cached"};
inline constexpr const char* names_of_calls[] = {"other", "read", "write", "sync"};
inline constexpr const char* names_of_shapes[] = {"halves", "isolation", "one_way", "bridge",
                                                  "ring",   "leader",    "links"};
static_assert(std::size(names_of_shapes) == cut_shapes);
inline constexpr const char* names_of_edits[] = {"voter", "learner", "remove", "priority"};

// What this kind of value looks like in a script: text() writes it, parse() is false for what isn't one.

template <class Number>
requires std::integral<Number> std::string text(const Number& value) {
  return std::to_string(value);
}

template <class Number>
requires std::integral<Number>
bool parse(std::string_view text, Number& value) {
  std::uint64_t read = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  if (read > static_cast<std::uint64_t>(std::numeric_limits<Number>::max())) return false;
  value = static_cast<Number>(read);
  return true;
}

template <std::size_t Count, class Enum>
bool parse_name(const char* const (&names)[Count], std::string_view text, Enum& value) {
  for (std::size_t i = 0; i < Count; ++i) {
    if (text != names[i]) continue;
    value = static_cast<Enum>(i);
    return true;
  }
  return false;
}

inline std::string text(survival s) {
  return names_of_survivals[static_cast<std::size_t>(s)];
}
inline bool parse(std::string_view text, survival& s) {
  return parse_name(names_of_survivals, text, s);
}
inline std::string text(disk::call c) {
  return names_of_calls[static_cast<std::size_t>(c)];
}
inline bool parse(std::string_view text, disk::call& c) {
  return parse_name(names_of_calls, text, c);
}
inline std::string text(cut_shape s) {
  return names_of_shapes[static_cast<std::size_t>(s)];
}
inline bool parse(std::string_view text, cut_shape& s) {
  return parse_name(names_of_shapes, text, s);
}

// The part of `rest` before the next separator, which goes as well.
inline std::string_view next_part(std::string_view& rest, char separator) {
  const std::size_t end = rest.find(separator);
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return part;
}

// Nodes, as 1,3,4.
inline std::string text(const node_set& set) {
  std::string list;
  for (std::size_t i = 0; i < network::max_nodes; ++i)
    if ((set >> i & 1) != 0) list += (list.empty() ? "" : ",") + std::to_string(i);
  return list;
}
inline bool parse(std::string_view list, node_set& set) {
  set = 0;
  while (!list.empty()) {
    std::uint8_t id = 0;
    if (!parse(next_part(list, ','), id) || id >= network::max_nodes) return false;
    set = static_cast<node_set>(set | 1u << id);
  }
  return true;
}

// Links that are cut, as 1>2,2>1.
inline std::string text(const std::array<node_set, 16>& links) {
  std::string list;
  for (std::size_t from = 0; from < links.size(); ++from)
    for (std::size_t to = 0; to < links.size(); ++to)
      if ((links[from] >> to & 1) != 0)
        list += (list.empty() ? "" : ",") + std::to_string(from) + ">" + std::to_string(to);
  return list;
}
inline bool parse(std::string_view list, std::array<node_set, 16>& links) {
  while (!list.empty()) {
    std::string_view pair = next_part(list, ',');
    std::uint8_t from = 0, to = 0;
    if (!parse(next_part(pair, '>'), from) || !parse(pair, to)) return false;
    if (from >= links.size() || to >= links.size()) return false;
    links[from] = static_cast<node_set>(links[from] | 1u << to);
  }
  return true;
}

// Changes of members, as voter:4,learner:5:bound,remove:1,priority:2:0.
inline std::string text_of_edits(const decision& d) {
  std::string list;
  for (std::size_t i = 0; i < d.edit_count; ++i) {
    const member_edit& e = d.edits[i];
    list += i == 0 ? "" : ",";
    list += names_of_edits[static_cast<std::size_t>(e.what)];
    list += ":" + std::to_string(e.node);
    if (e.what == member_edit::action::priority) list += ":" + std::to_string(e.priority);
    if (e.bound) list += ":bound";
  }
  return list;
}
inline bool parse_edits(std::string_view list, decision& d) {
  for (d.edit_count = 0; !list.empty(); ++d.edit_count) {
    if (d.edit_count == d.edits.size()) return false;
    std::string_view rest = next_part(list, ',');
    member_edit& e = d.edits[d.edit_count];
    if (!parse_name(names_of_edits, next_part(rest, ':'), e.what)) return false;
    if (!parse(next_part(rest, ':'), e.node)) return false;
    if (e.what == member_edit::action::priority) {
      if (!parse(rest, e.priority)) return false;
    } else if (!rest.empty()) {
      if (rest != "bound") return false;
      e.bound = true;
    }
  }
  return true;
}

// Those with a name in the text form; `at`, `kind` and the edits have a form of their own.
template <class Decision, class Visit>
void for_each_named_field(Decision&& d, Visit&& visit) {
  visit("node", d.node);
  visit("target", d.target);
  visit("survive", d.survive);
  visit("performed", d.performed);
  visit("learner", d.learner);
  visit("priority", d.priority);
  visit("shape", d.shape);
  visit("failing", d.failing);
  visit("count", d.count);
  visit("length", d.length);
  visit("nodes", d.nodes);
  visit("deaf", d.deaf);
  visit("mute", d.mute);
  visit("links", d.links);
  visit("seed", d.seed);
}

// What is wrong with a line; empty: nothing.
inline std::string read_decision(std::string_view line, decision& d) {
  const std::string_view at = next_part(line, ' ');
  if (!parse(at, d.at)) return "a time in microseconds is expected after \"at\", not " + std::string(at);
  const std::string_view kind = next_part(line, ' ');
  if (!parse_name(names_of_kinds, kind, d.kind)) return "no such decision: " + std::string(kind);
  while (!line.empty()) {
    std::string_view value = next_part(line, ' ');
    const std::string name(next_part(value, '='));
    bool known = name == "edits";
    bool good = known && parse_edits(value, d);
    for_each_named_field(d, [&](const char* field, auto& into) {
      if (name != field) return;
      known = true;
      good = parse(value, into);
    });
    if (!known) return "a decision has no field " + name;
    if (!good) return std::string(value) + " is no value for " + name;
  }
  return {};
}

inline std::string read_field(std::string_view line, scenario& plan) {
  const std::string name(next_part(line, ' '));
  bool known = false;
  bool good = false;
  for_each_field(plan, [&](const char* field, auto& into) {
    if (name != field) return;
    known = true;
    good = parse(line, into);
  });
  if (!known) return "a scenario has no field " + name;
  if (!good) return std::string(line) + " is no value for " + name;
  return {};
}

}  // namespace detail

CONFMAN_DECL const char* name_of(decision_kind kind) noexcept {
  return detail::names_of_kinds[static_cast<std::size_t>(kind)];
}

CONFMAN_DECL std::string to_text(const decision& d) {
  const decision usual;
  std::string line = "at " + std::to_string(d.at) + " " + name_of(d.kind);
  std::vector<std::string> usual_values;
  detail::for_each_named_field(
      usual, [&](const char*, const auto& value) { usual_values.push_back(detail::text(value)); });
  std::size_t i = 0;
  detail::for_each_named_field(d, [&](const char* name, const auto& value) {
    const std::string written = detail::text(value);
    if (written != usual_values[i++]) line += std::string(" ") + name + "=" + written;
  });
  if (d.edit_count != 0) line += " edits=" + detail::text_of_edits(d);
  return line;
}

CONFMAN_DECL std::string to_text(const script& s) {
  std::string all;
  for_each_field(s.plan, [&all](const char* name, const auto& value) {
    all += std::string(name) + " " + detail::text(value) + "\n";
  });
  for (const decision& d : s.decisions) all += to_text(d) + "\n";
  return all;
}

CONFMAN_DECL result<script> read_script(std::string_view text) {
  script read;
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::string_view line = detail::next_part(text, '\n');
    if (line.empty() || line.front() == '#') continue;
    std::string wrong;
    if (line.substr(0, 3) == "at ") {
      line.remove_prefix(3);
      read.decisions.emplace_back();
      wrong = detail::read_decision(line, read.decisions.back());
    } else {
      wrong = detail::read_field(line, read.plan);
    }
    if (!wrong.empty()) return failure(errc::bad_option, "line " + std::to_string(number) + ": " + wrong);
  }
  if (const char* why = detail::impossible(read.plan)) return failure(errc::bad_option, why);
  return read;
}

CONFMAN_DECL result<script> read_script_file(const std::string& path) {
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) return failure(errc::bad_option, path + " can't be read");
  result<script> read = read_script(text);
  if (!read) return failure(read.error().code, path + ": " + read.error().what);
  return read;
}

}  // namespace confman::sim
