#include "http_request.hpp"

#include <algorithm>
#include <charconv>

#include "confman/transport/address.hpp"
#include "percent.hpp"
#include "problem.hpp"

namespace demo {

namespace {

std::optional<std::uint64_t> to_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<confman::version> to_version(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto term = to_number(text.substr(0, colon));
  const auto index = to_number(text.substr(colon + 1));
  if (!term || !index) return std::nullopt;
  return confman::version{confman::term_t(*term), confman::log_index(*index)};
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

namespace {

struct named_path {
  std::string_view path;
  resource what;
};

constexpr named_path paths[] = {
    {"/v1/kv", resource::keys},       {"/v1/watch", resource::watch},
    {"/v1/status", resource::status}, {"/v1/members", resource::members},
    {"/v1/leader", resource::leader}, {"/v1/snapshot", resource::snapshot},
    {"/v1/backup", resource::backup}, {"/v1/sessions", resource::sessions},
    {"/healthz", resource::healthz},  {"/readyz", resource::readyz},
};

bool take_prefix(std::string_view& path, std::string_view prefix) {
  if (path.substr(0, prefix.size()) != prefix) return false;
  path.remove_prefix(prefix.size());
  return true;
}

// "4" or "4/promote", behind the name of the collection.
route find_numbered(std::string_view rest, bool member) {
  const std::size_t slash = rest.find('/');
  const auto id = to_number(rest.substr(0, slash));
  if (!id) return {};
  if (slash == std::string_view::npos) return {member ? resource::member : resource::session, {}, *id};
  const std::string_view action = rest.substr(slash + 1);
  if (member && action == "promote") return {resource::promote, {}, *id};
  if (member && action == "demote") return {resource::demote, {}, *id};
  return {};
}

}  // namespace

route find_route(std::string_view target) {
  const std::string_view path = target.substr(0, target.find('?'));
  for (const named_path& p : paths)
    if (path == p.path) return {p.what, {}};
  std::string_view rest = path;
  if (take_prefix(rest, "/v1/members/")) return find_numbered(rest, true);
  if (take_prefix(rest, "/v1/sessions/")) return find_numbered(rest, false);
  if (!take_prefix(rest, "/v1/kv") || rest.front() != '/') return {};
  auto key = percent_decode(rest);
  if (!key)
    throw bad_request("the path has a '%' without two hexadecimal digits after it: write %25 for a '%'");
  return {resource::key, std::move(*key)};
}

void allow_parameters(const httplib::Request& request, std::initializer_list<std::string_view> names) {
  for (const auto& [name, value] : request.params) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    std::string known;
    for (const std::string_view n : names) (known += known.empty() ? "" : ", ") += n;
    throw bad_request("there is no parameter '" + name + "' here" +
                      (known.empty() ? ", nor any other" : "; there is: " + known));
  }
}

std::optional<std::string> parameter(const httplib::Request& request, const char* name) {
  const auto found = request.params.find(name);
  if (found == request.params.end()) return std::nullopt;
  return found->second;
}

std::optional<std::uint64_t> number_parameter(const httplib::Request& request, const char* name) {
  const auto text = parameter(request, name);
  if (!text) return std::nullopt;
  const auto value = to_number(*text);
  if (!value) throw bad_request(std::string(name) + "='" + *text + "' is not a number");
  return value;
}

bool flag_parameter(const httplib::Request& request, const char* name) {
  const auto text = parameter(request, name);
  if (!text || *text == "0") return false;
  if (*text == "1") return true;
  throw bad_request(std::string(name) + "='" + *text + "' is neither 0 nor 1");
}

std::string to_string(confman::version v) {
  return std::to_string(v.term.value()) + ":" + std::to_string(v.index.value());
}

freshness wanted_freshness(const httplib::Request& request) {
  freshness wanted;
  if (const auto text = parameter(request, "consistency")) {
    wanted.linearizable = *text == "linearizable";
    if (!wanted.linearizable && *text != "local")
      throw bad_request("consistency='" + *text + "' is neither local nor linearizable");
  }
  if (const auto text = parameter(request, "at_least")) {
    wanted.at_least = to_version(*text);
    if (!wanted.at_least)
      throw bad_request("at_least='" + *text + "' is not TERM:INDEX, as X-Confman-Version gives it");
  }
  return wanted;
}

condition wanted_condition(const httplib::Request& request) {
  const bool match = request.has_header("If-Match");
  const bool none = request.has_header("If-None-Match");
  if (match && none) throw bad_request("If-Match and If-None-Match can't both be asked of one write");
  if (none) {
    if (trimmed(request.get_header_value("If-None-Match")) != "*")
      throw bad_request("a write knows only 'If-None-Match: *', the key must not exist");
    return {0, false};
  }
  if (!match) return {};
  const std::string header = request.get_header_value("If-Match");
  const std::string_view tag = trimmed(header);
  if (tag == "*") return {std::nullopt, true};
  std::optional<std::uint64_t> revision;
  if (tag.size() > 2 && tag.front() == '"' && tag.back() == '"')
    revision = to_number(tag.substr(1, tag.size() - 2));
  if (!revision || *revision == 0 || request.get_header_value_count("If-Match") > 1)
    throw bad_request(
        "If-Match: " + header +
        " is neither * nor one revision in double quotes, such as If-Match: \"42\" (the ETag of an answer); "
        "lists and weak tags are not understood");
  return {revision, false};
}

std::optional<confman::once> wanted_once(const httplib::Request& request) {
  if (!request.has_header("Idempotency-Key")) return std::nullopt;
  const std::string header = request.get_header_value("Idempotency-Key");
  std::vector<std::uint64_t> numbers;
  for (std::string_view rest = trimmed(header); numbers.size() < 4;) {
    const std::size_t dash = rest.find('-');
    const auto number = to_number(rest.substr(0, dash));
    if (!number) break;
    numbers.push_back(*number);
    if (dash == std::string_view::npos) {
      if (numbers.size() < 2 || numbers.size() > 3 || numbers[0] == 0 || numbers[1] == 0) break;
      const confman::once token{numbers[0], numbers[1], numbers.size() == 3 ? numbers[2] : 0};
      if (token.acknowledged > token.sequence) break;
      return token;
    }
    rest.remove_prefix(dash + 1);
  }
  throw bad_request("Idempotency-Key: " + header +
                    " is not SESSION-SEQUENCE or SESSION-SEQUENCE-ACKNOWLEDGED: the id that POST "
                    "/v1/sessions gave, the number of the write from 1, and below which number all answers "
                    "have arrived, at most the write's own");
}

namespace {

using changes = std::vector<confman::member_change>;
using change_action = confman::member_change::action;

std::uint64_t to_id(const std::string& name, std::string_view text) {
  const auto id = to_number(text);
  if (!id || *id == 0) throw bad_request(name + "=" + std::string(text) + " does not begin with a node id");
  return *id;
}

// "4,10.0.0.4:7401": httplib takes an '=' in a parameter for the beginning of its value.
std::pair<std::uint64_t, std::string> to_pair(const std::string& name, const std::string& text) {
  const std::size_t comma = text.find(',');
  if (comma == std::string::npos || comma + 1 == text.size())
    throw bad_request(name + "=" + text + " is not ID," + (name == "priority" ? "NUMBER" : "HOST:PORT"));
  return {to_id(name, std::string_view(text).substr(0, comma)), text.substr(comma + 1)};
}

std::string checked_address(const std::string& name, std::string address) {
  const auto parsed = confman::parse_address(address);
  if (!parsed || parsed->port == 0) throw bad_request(name + ": '" + address + "' is not HOST:PORT");
  return address;
}

// The change that says how `id` shall be, beginning with how it is.
confman::member& updated(changes& all, std::uint64_t id, const confman::configuration& now) {
  for (confman::member_change& c : all)
    if (c.who.id.value() == id) return c.who;
  const confman::member* known = now.find_member(confman::node_id(id));
  all.push_back({change_action::update, known ? *known : confman::member{confman::node_id(id), {}, {}, 1}});
  return all.back().who;
}

void add_change(changes& all, const std::string& name, const std::string& value) {
  if (name == "add" || name == "learner") {
    auto [id, address] = to_pair(name, value);
    all.push_back({name == "add" ? change_action::add_voter : change_action::add_learner,
                   {confman::node_id(id), {}, checked_address(name, std::move(address)), 1}});
  } else if (name == "remove" || name == "promote" || name == "demote") {
    const change_action what = name == "remove"    ? change_action::remove
                               : name == "promote" ? change_action::add_voter
                                                   : change_action::add_learner;
    all.push_back({what, {confman::node_id(to_id(name, value)), {}, {}, 1}});
  }
}

}  // namespace

std::vector<confman::member_change> wanted_changes(const httplib::Request& request,
                                                   const confman::configuration& now) {
  allow_parameters(request, {"add", "learner", "remove", "promote", "demote", "address", "priority"});
  changes all;
  for (const auto& [name, value] : request.params) add_change(all, name, value);
  for (const auto& [name, value] : request.params) {
    if (name != "address" && name != "priority") continue;
    auto [id, text] = to_pair(name, value);
    if (name == "address") {
      updated(all, id, now).address = checked_address(name, std::move(text));
      continue;
    }
    const auto priority = to_number(text);
    if (!priority || *priority > 255) throw bad_request("priority=" + value + " is not ID,0 to ID,255");
    updated(all, id, now).priority = static_cast<std::uint8_t>(*priority);
  }
  if (all.empty()) throw bad_request("nothing is to be changed: say add=ID,HOST:PORT, remove=ID, ...");
  for (const confman::member_change& c : all) {
    const bool promotes = c.what == change_action::add_voter || c.what == change_action::add_learner;
    if (promotes && c.who.address.empty() && !now.contains(c.who.id))
      throw problem_of(confman::errc::not_a_member, "node " + std::to_string(c.who.id.value()));
  }
  return all;
}

std::string file_name_parameter(const httplib::Request& request, const char* name) {
  constexpr std::size_t longest = 128;
  const std::string text = parameter(request, name).value_or("");
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '_' || c == '-';
  });
  if (text.empty() || text.size() > longest || !plain || text.front() == '.')
    throw bad_request(std::string(name) + "='" + text +
                      "' is no name for a file here: 1 to 128 letters, digits, '-', '_' and '.', not "
                      "beginning with '.'");
  return text;
}

std::optional<std::uint64_t> last_event_id(const httplib::Request& request) {
  if (!request.has_header("Last-Event-ID")) return std::nullopt;
  const std::string header = request.get_header_value("Last-Event-ID");
  const auto revision = to_number(trimmed(header));
  if (!revision) throw bad_request("Last-Event-ID: " + header + " is not a revision, the id of an event");
  return revision;
}

bool has_already(const httplib::Request& request, std::string_view etag) {
  const std::string header = request.get_header_value("If-None-Match");
  std::string_view rest = header;
  while (!rest.empty()) {
    std::string_view tag = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), tag.size() + 1));
    tag = trimmed(tag);
    if (tag.substr(0, 2) == "W/") tag.remove_prefix(2);
    if (tag == "*" || tag == etag) return true;
  }
  return false;
}

}  // namespace demo
