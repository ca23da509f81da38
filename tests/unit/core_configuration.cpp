// Configurations as the payload of an entry, and their invariants.
#include <doctest/doctest.h>

#include <functional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

#include "confman/core/configuration_log.hpp"
#include "confman/core/joint_change.hpp"

using namespace confman;

namespace {

// Joint: 1 stays, 2 comes, 3 becomes a learner, 4 is one.
configuration make_configuration() {
  const member one{node_id(1), incarnation_id(10), "host-1:7401", 2};
  const member two{node_id(2), incarnation_id(20), "", 0};
  const member three{node_id(3), incarnation_id(0), std::string("any\0bytes", 9), 255};
  const member four{node_id(4), incarnation_id(40), "[::1]:7404", 1};
  return {{one, two}, {one, three}, {four}, {three}, true};
}

void put(std::string& bytes, std::uint64_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

void put(std::string& bytes, const member& m) {
  put(bytes, m.id.value(), 8);
  put(bytes, m.incarnation.value(), 8);
  put(bytes, m.priority, 1);
  put(bytes, m.address.size(), 2);
  bytes += m.address;
}

struct broken_case {
  const char* says;  // the part of the text that tells which invariant it was
  std::function<void(configuration&)> breaks;
};

const broken_case broken_cases[] = {
    {"invariant 1 is broken: there is no voter", [](configuration& c) { c.incoming.clear(); }},
    {"invariant 1 is broken: a member's id is 0", [](configuration& c) { c.incoming[0].id = node_id(0); }},
    {"invariant 1 is broken: member 1", [](configuration& c) { std::swap(c.incoming[0], c.incoming[1]); }},
    {"invariant 1 is broken: member 1", [](configuration& c) { c.incoming[1] = c.incoming[0]; }},
    {"invariant 1 is broken: member 3", [](configuration& c) { c.outgoing.push_back(c.outgoing[1]); }},
    {"invariant 1 is broken: member 4", [](configuration& c) { c.learners.push_back(c.learners[0]); }},
    {"invariant 1 is broken: member 3",
     [](configuration& c) { c.learners_next.push_back(c.learners_next[0]); }},
    {"invariant 2 is broken", [](configuration& c) { c.outgoing.clear(), c.learners_next.clear(); }},
    {"invariant 3 is broken: member 2", [](configuration& c) { c.learners[0] = c.incoming[1]; }},
    {"invariant 3 is broken: member 3", [](configuration& c) { c.learners[0] = c.outgoing[1]; }},
    {"invariant 3 is broken: member 1",
     [](configuration& c) { c.outgoing[0].incarnation = incarnation_id(99); }},
    {"invariant 3 is broken: member 1", [](configuration& c) { c.outgoing[0].address = "host-9:1"; }},
    {"invariant 3 is broken: member 3", [](configuration& c) { c.learners_next[0].priority = 3; }},
    {"invariant 4 is broken: member 4", [](configuration& c) { c.learners_next = c.learners; }},
    {"invariant 4 is broken: member 1", [](configuration& c) { c.learners_next = {c.outgoing[0]}; }},
    {"invariant 4 is broken: member 3",
     [](configuration& c) {
       c.outgoing.clear();
       c.auto_leave = false;
     }},
};

}  // namespace

TEST_CASE("a configuration comes back, and every truncation of it is refused") {
  const configuration in = make_configuration();
  const shared_bytes bytes = encode_configuration(in);
  const auto out = decode_configuration(bytes.view());
  REQUIRE(out);
  CHECK(*out == in);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto cut = decode_configuration(bytes.view().substr(0, size));
    REQUIRE_FALSE(cut);
    CHECK(cut.error().code == errc::bad_command);
  }
  CHECK_FALSE(decode_configuration(std::string(bytes.view()) + "x"));
}

TEST_CASE("the bytes of a configuration are those of the documented format") {
  const configuration in = make_configuration();
  std::string expected("\1\1", 2);
  for (const auto* list : {&in.incoming, &in.outgoing, &in.learners, &in.learners_next}) {
    put(expected, list->size(), 4);
    for (const member& m : *list) put(expected, m);
  }
  CHECK(encode_configuration(in).view() == expected);
  for (const char other : {'\0', '\2', '\xff'}) {
    std::string changed = expected;
    changed[0] = other;  // a format of later
    CHECK_FALSE(decode_configuration(changed));
    changed = expected;
    changed[1] = other == '\0' ? '\3' : other;  // auto_leave is 0 or 1
    CHECK_FALSE(decode_configuration(changed));
  }
}

TEST_CASE("a configuration: counts and lengths are checked before memory is taken") {
  std::string bytes("\1\0", 2);
  put(bytes, 0xffffffff, 4);  // as many members as there are numbers
  CHECK_FALSE(decode_configuration(bytes));
  bytes.resize(2);
  put(bytes, 1, 4);
  put(bytes, 1, 8);
  put(bytes, 0, 8);
  put(bytes, 1, 1);
  put(bytes, 0xffff, 2);  // an address that isn't there
  CHECK_FALSE(decode_configuration(bytes));
}

TEST_CASE("a configuration that breaks an invariant is named, and refused as a payload") {
  REQUIRE_FALSE(check_configuration(make_configuration()));
  for (const broken_case& broken : broken_cases) {
    configuration c = make_configuration();
    broken.breaks(c);
    const failure found = check_configuration(c);
    CAPTURE(found.what);
    CAPTURE(broken.says);
    CHECK(found.code == errc::bad_change);
    CHECK(found.what.find(broken.says) != std::string::npos);
    const auto decoded = decode_configuration(encode_configuration(c).view());
    REQUIRE_FALSE(decoded);
    CHECK(decoded.error().code == errc::bad_command);
  }
}
