// What a request asks for, taken apart and checked. Everything here throws a `problem` when it can't be
// understood.
#pragma once

#include <httplib.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "confman/core/ids.hpp"

namespace demo {

enum class resource { key, keys, watch, status, healthz, readyz, none };

struct route {
  resource what = resource::none;
  std::string key;  // resource::key only; "/v1/kv/a/b" names the key "/a/b"
};

[[nodiscard]] route find_route(std::string_view target);

// Refuses a misspelt parameter instead of ignoring it.
void allow_parameters(const httplib::Request& request, std::initializer_list<std::string_view> names);

// An absent parameter gives nothing.
[[nodiscard]] std::optional<std::string> parameter(const httplib::Request& request, const char* name);
[[nodiscard]] std::optional<std::uint64_t> number_parameter(const httplib::Request& request,
                                                            const char* name);
[[nodiscard]] bool flag_parameter(const httplib::Request& request, const char* name);

// "12:3456"
[[nodiscard]] std::string to_string(confman::version v);

struct freshness {
  bool linearizable = false;
  std::optional<confman::version> at_least;
};
// ?consistency=local|linearizable and ?at_least=TERM:INDEX
[[nodiscard]] freshness wanted_freshness(const httplib::Request& request);

// What has to hold for a write to be done.
struct condition {
  // If-Match: "REVISION"; 0 for If-None-Match: *, the key must not exist.
  std::optional<std::uint64_t> revision;
  bool exists = false;  // If-Match: *, the key must exist
};
[[nodiscard]] condition wanted_condition(const httplib::Request& request);

// The revision of the last event that a reconnecting client has seen.
[[nodiscard]] std::optional<std::uint64_t> last_event_id(const httplib::Request& request);

// Whether If-None-Match names this entity tag: then a reader has the value already.
[[nodiscard]] bool has_already(const httplib::Request& request, std::string_view etag);

}  // namespace demo
