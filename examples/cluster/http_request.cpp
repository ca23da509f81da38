#include "http_request.hpp"

#include <algorithm>
#include <charconv>

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

route find_route(std::string_view target) {
  constexpr std::string_view keys = "/v1/kv";
  const std::string_view path = target.substr(0, target.find('?'));
  if (path == keys) return {resource::keys, {}};
  if (path == "/v1/watch") return {resource::watch, {}};
  if (path == "/v1/status") return {resource::status, {}};
  if (path == "/healthz") return {resource::healthz, {}};
  if (path == "/readyz") return {resource::readyz, {}};
  if (path.substr(0, keys.size() + 1) != "/v1/kv/") return {};
  auto key = percent_decode(path.substr(keys.size()));
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
