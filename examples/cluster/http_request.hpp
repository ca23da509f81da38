// What a request asks for, taken apart and checked. Everything here throws a `problem` when it can't be
// understood.
#pragma once

#include <httplib.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/core/configuration.hpp"
#include "confman/core/ids.hpp"
#include "confman/core/joint_change.hpp"
#include "confman/runtime/client_session.hpp"

namespace demo {

enum class resource {
  key,
  keys,
  watch,
  status,
  members,
  member,
  promote,
  demote,
  leader,
  snapshot,
  backup,
  sessions,
  session,
  healthz,
  readyz,
  none
};

struct route {
  resource what = resource::none;
  std::string key;       // resource::key only; "/v1/kv/a/b" names the key "/a/b"
  std::uint64_t id = 0;  // of a member or session: "/v1/members/4", "/v1/sessions/17"
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

// Idempotency-Key: SESSION-SEQUENCE[-ACKNOWLEDGED]; nothing without the header.
[[nodiscard]] std::optional<confman::once> wanted_once(const httplib::Request& request);

// ?add=4,host:port, learner=, remove=4, promote=4, demote=2, address=4,host:port, priority=4,2; each as often
// as wanted. `now`: what a change of address or priority leaves as it is.
[[nodiscard]] std::vector<confman::member_change> wanted_changes(const httplib::Request& request,
                                                                 const confman::configuration& now);

// The name of a file, and nothing that could lead out of its directory.
[[nodiscard]] std::string file_name_parameter(const httplib::Request& request, const char* name);

// The revision of the last event that a reconnecting client has seen.
[[nodiscard]] std::optional<std::uint64_t> last_event_id(const httplib::Request& request);

// Whether If-None-Match names this entity tag: then a reader has the value already.
[[nodiscard]] bool has_already(const httplib::Request& request, std::string_view etag);

}  // namespace demo
