// Configurations as the payload of an entry.
#include <doctest/doctest.h>

#include <ostream>
#include <string>
#include <utility>

#include "confman/core/configuration_log.hpp"

using namespace confman;

namespace {

configuration make_configuration() {
  configuration c;
  c.incoming = {{node_id(1), incarnation_id(10)}, {node_id(2), incarnation_id(20)}};
  c.outgoing = {{node_id(1), incarnation_id(10)}, {node_id(3), incarnation_id(0)}};
  c.learners = {{node_id(4), incarnation_id(40)}};
  return c;
}

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

TEST_CASE("a configuration that breaks an invariant is refused") {
  const auto refuses = [](const configuration& c) {
    return !decode_configuration(encode_configuration(c).view());
  };
  configuration c = make_configuration();
  std::swap(c.incoming[0], c.incoming[1]);
  CHECK(refuses(c));
  c = make_configuration();
  c.incoming[1].id = c.incoming[0].id;
  CHECK(refuses(c));
  c = make_configuration();
  c.incoming[0].id = node_id(0);
  CHECK(refuses(c));
  c = make_configuration();
  c.learners[0].id = node_id(2);
  CHECK(refuses(c));
  c = make_configuration();
  c.outgoing[0].incarnation = incarnation_id(99);
  CHECK(refuses(c));
}
