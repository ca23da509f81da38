// What confmand takes apart itself: paths, parameters and headers, after cpp-httplib has read the request off
// the wire. And the JSON that it answers with.
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/http_request.hpp"
#include "cluster/json.hpp"
#include "cluster/percent.hpp"
#include "cluster/problem.hpp"
#include "fuzz/target.hpp"

namespace {

constexpr std::array parameters{"add",      "learner", "remove", "promote",     "demote",   "address",
                                "priority", "name",    "limit",  "consistency", "at_least", "flag"};
constexpr std::array headers{"If-Match", "If-None-Match", "Idempotency-Key", "Last-Event-ID"};
// Pieces that good requests are made of.
constexpr std::array pieces{"4",
                            ",",
                            "a:1",
                            "\"",
                            "*",
                            "-",
                            "local",
                            "linearizable",
                            "12:3",
                            "W/\"1\"",
                            "%2F%",
                            "/v1/kv",
                            "/v1/members/",
                            "/promote",
                            "?",
                            "18446744073709551615"};

std::string text(fuzz::input& in) {
  std::string made;
  for (std::size_t n = in.below(6); n > 0; --n) {
    if (in.below(4) == 3)
      made += in.bytes(20);
    else
      made += pieces[in.below(pieces.size())];
  }
  return made;
}

// One end or the other: an answer, or a problem that can be sent.
template <class Function>
void either(Function&& function) {
  try {
    function();
  } catch (const demo::problem& p) {
    fuzz::expect(p.status >= 400 && p.status < 600, "a problem has a status");
    fuzz::expect(demo::is_utf8(demo::to_json(p, "/x")), "a problem can be sent as JSON");
  }
}

void check_route(const std::string& target) {
  either([&] {
    const demo::route found = demo::find_route(target);
    if (found.what != demo::resource::key) return;
    fuzz::expect(found.key.starts_with('/'), "a key begins with a slash");
    const auto again = demo::find_route("/v1/kv" + demo::percent_encode(found.key));
    fuzz::expect(again.what == demo::resource::key && again.key == found.key, "a key survives its URL");
  });
}

void check_request(fuzz::input& in) {
  httplib::Request request;
  for (std::size_t n = in.below(5); n > 0; --n)
    request.params.emplace(in.byte() == 255 ? text(in) : parameters[in.below(parameters.size())], text(in));
  for (std::size_t n = in.below(4); n > 0; --n)
    request.headers.emplace(headers[in.below(headers.size())], text(in));
  either([&] { demo::allow_parameters(request, {"add", "limit"}); });
  either([&] { (void)demo::number_parameter(request, "limit"); });
  either([&] { (void)demo::flag_parameter(request, "flag"); });
  either([&] { (void)demo::wanted_freshness(request); });
  either([&] { (void)demo::wanted_condition(request); });
  either([&] { (void)demo::last_event_id(request); });
  (void)demo::has_already(request, "\"4\"");
  either([&] {
    const std::string name = demo::file_name_parameter(request, "name");
    fuzz::expect(!name.empty() && name.front() != '.' && name.find('/') == std::string::npos &&
                     name.find('\0') == std::string::npos,
                 "a file's name leads nowhere else");
  });
  either([&] {
    if (const auto token = demo::wanted_once(request))
      fuzz::expect(token->session != 0 && token->sequence != 0 && token->acknowledged <= token->sequence,
                   "a token makes sense");
  });
  either([&] {
    confman::configuration now;
    now.incoming.push_back({confman::node_id(4), {}, "b:2", 1});
    for (const confman::member_change& c : demo::wanted_changes(request, now))
      fuzz::expect(static_cast<bool>(c.who.id), "a change names a member");
  });
}

// A string of JSON holds no control character and no quote that isn't escaped.
void check_json(std::string_view value) {
  std::string json = demo::json_writer().bytes("n", value).finish();
  fuzz::expect(demo::is_utf8(json), "JSON is UTF-8");
  std::size_t quotes = 0;
  for (std::size_t i = 0; i < json.size(); ++i) {
    fuzz::expect(static_cast<unsigned char>(json[i]) >= 0x20, "no control character in JSON");
    if (json[i] == '\\')
      ++i;
    else if (json[i] == '"')
      ++quotes;
  }
  fuzz::expect(quotes == 4 && json.back() == '}', "one name and one value");
  fuzz::expect(demo::base64(value).size() == (value.size() + 2) / 3 * 4, "base64 has its size");
  fuzz::expect(demo::percent_decode(demo::percent_encode(value)) == value, "bytes survive a URL");
}

}  // namespace

FUZZ_TARGET(http) {
  fuzz::input in(bytes);
  const std::string path = "/v1/kv/" + text(in);
  check_route(in.flip() ? path : text(in));
  check_request(in);
  check_json(in.rest());
}
