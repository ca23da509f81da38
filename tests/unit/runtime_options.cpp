// Options: each impossible value is refused, by name, with the value and what to choose instead.
#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "confman/options.hpp"

using namespace confman;
using std::chrono::milliseconds;

namespace {

options good() {
  options o;
  o.self = 1;
  o.members = {{1, "127.0.0.1:7401"}, {2, "127.0.0.1:7402"}, {3, "[::1]:7403"}};
  o.directory = "/nonexistent/confman/data";
  return o;
}

struct bad_case {
  std::string name;
  std::function<void(options&)> spoil;
  errc code;
  std::vector<std::string> says;  // option, value, what to choose
};

std::vector<bad_case> bad_members() {
  return {
      {"no members",
       [](options& o) { o.members.clear(); },
       errc::bad_option,
       {"options.members", "empty", "list"}},
      {"node id 0",
       [](options& o) { o.members[0] = "127.0.0.1:7400"; },
       errc::bad_option,
       {"options.members", "id 0", "from 1"}},
      {"self is no member",
       [](options& o) { o.self = 9; },
       errc::bad_option,
       {"options.self", "9", "set it"}},
      {"self is not set", [](options& o) { o.self = 0; }, errc::bad_option, {"options.self", "0"}},
      {"two members at one address",
       [](options& o) { o.members[2] = o.members[1]; },
       errc::bad_option,
       {"options.members", "1 and 2", "127.0.0.1:7401"}},
      {"address without a port",
       [](options& o) { o.members[2] = "somewhere"; },
       errc::bad_address,
       {"options.members", "node 2", "'somewhere'", "host:port"}},
      {"address with an empty port",
       [](options& o) { o.members[2] = "somewhere:"; },
       errc::bad_address,
       {"node 2", "'somewhere:'", "host:port"}},
      {"address without a host",
       [](options& o) { o.members[2] = ":7402"; },
       errc::bad_address,
       {"':7402'", "host:port"}},
      {"port 0", [](options& o) { o.members[2] = "a:0"; }, errc::bad_address, {"'a:0'", "1 to 65535"}},
      {"port 65536",
       [](options& o) { o.members[2] = "a:65536"; },
       errc::bad_address,
       {"'a:65536'", "1 to 65535"}},
      {"port with letters", [](options& o) { o.members[2] = "a:74x1"; }, errc::bad_address, {"'a:74x1'"}},
      {"IPv6 without brackets",
       [](options& o) { o.members[2] = "::1:7402"; },
       errc::bad_address,
       {"'::1:7402'", "[::1]"}},
      {"empty brackets",
       [](options& o) { o.members[2] = "[]:7402"; },
       errc::bad_address,
       {"'[]:7402'", "host:port"}},
      {"an address without end",
       [](options& o) { o.members[2] = std::string(600, 'a') + ":7402"; },
       errc::bad_address,
       {"node 2", "605", "512"}},
      {"a bandwidth beyond all bounds",
       [](options& o) { o.snapshot_send_bytes_per_second = ~std::size_t{0}; },
       errc::bad_option,
       {"snapshot_send_bytes_per_second", "1099511627776"}},
      {"no directory",
       [](options& o) { o.directory.clear(); },
       errc::bad_option,
       {"options.directory", "empty"}},
      {"directory with a NUL",
       [](options& o) { o.directory = std::string("/tmp/a\0b", 8); },
       errc::bad_option,
       {"options.directory", "NUL"}},
  };
}

std::vector<bad_case> bad_membership() {
  return {
      {"to join without the cluster's name",
       [](options& o) { o.join = true; },
       errc::bad_option,
       {"options.join", "options.cluster", "name"}},
      {"to join nobody",
       [](options& o) {
         o.join = true;
         o.cluster = "c";
         o.members = {{1, "127.0.0.1:7401"}};
       },
       errc::bad_option,
       {"options.join", "options.members", "add one"}},
      {"to stay a learner without joining",
       [](options& o) { o.join_as_learner = true; },
       errc::bad_option,
       {"options.join_as_learner", "options.join"}},
      {"a priority of a stranger",
       [](options& o) { o.priorities[9] = 1; },
       errc::bad_option,
       {"options.priorities", "9", "options.members"}},
      {"nobody may lead",
       [](options& o) {
         o.priorities = {{1, 0}, {2, 0}, {3, 0}};
       },
       errc::bad_option,
       {"options.priorities", "0", "at least one"}},
      {"a listen address without a port",
       [](options& o) { o.listen = "0.0.0.0"; },
       errc::bad_address,
       {"options.listen", "'0.0.0.0'", "host:port"}},
      {"a listen address with port 0",
       [](options& o) { o.listen = "0.0.0.0:0"; },
       errc::bad_address,
       {"options.listen", "'0.0.0.0:0'"}},
  };
}

std::vector<bad_case> bad_times() {
  return {
      {"no heartbeat",
       [](options& o) { o.heartbeat_interval = milliseconds(0); },
       errc::bad_option,
       {"options.heartbeat_interval", "0 ms", "1 to 10000"}},
      {"negative heartbeat",
       [](options& o) { o.heartbeat_interval = milliseconds(-5); },
       errc::bad_option,
       {"options.heartbeat_interval", "-5 ms"}},
      {"heartbeat too slow",
       [](options& o) { o.heartbeat_interval = milliseconds(10001); },
       errc::bad_option,
       {"options.heartbeat_interval", "10001 ms", "1 to 10000"}},
      {"election before three heartbeats",
       [](options& o) { o.election_timeout = milliseconds(149); },
       errc::bad_option,
       {"options.election_timeout", "149 ms", "150 ms"}},
      {"election too late",
       [](options& o) { o.election_timeout = milliseconds(100'001); },
       errc::bad_option,
       {"options.election_timeout", "100001 ms", "100000"}},
      {"no time for requests",
       [](options& o) { o.request_timeout = milliseconds(0); },
       errc::bad_option,
       {"options.request_timeout", "0 ms", "1"}},
      {"negative time for requests",
       [](options& o) { o.request_timeout = milliseconds(-1); },
       errc::bad_option,
       {"options.request_timeout", "-1 ms", "1"}},
      {"endless time for requests",
       [](options& o) { o.request_timeout = milliseconds::max(); },
       errc::bad_option,
       {"options.request_timeout", "1 to"}},
  };
}

std::vector<bad_case> bad_sizes() {
  return {
      {"values too large",
       [](options& o) { o.max_value_bytes = (128 << 20) + 1; },
       errc::bad_option,
       {"options.max_value_bytes", "134217729", "134217728"}},
      {"no requests",
       [](options& o) { o.max_pending_requests = 0; },
       errc::bad_option,
       {"options.max_pending_requests", "is 0", "1 to"}},
      {"too many requests",
       [](options& o) { o.max_pending_requests = (1 << 24) + 1; },
       errc::bad_option,
       {"options.max_pending_requests", "16777217"}},
      {"no room for proposals",
       [](options& o) { o.max_uncommitted_bytes = 1; },
       errc::bad_option,
       {"options.max_uncommitted_bytes", "is 1:", "1024"}},
      {"a snapshot after nothing",
       [](options& o) { o.snapshot_log_entries = 0; },
       errc::bad_option,
       {"options.snapshot_log_entries", "is 0", "1 to"}},
      {"a snapshot after a few bytes",
       [](options& o) { o.snapshot_log_bytes = 1; },
       errc::bad_option,
       {"options.snapshot_log_bytes", "is 1:", "1024"}},
      {"no cache of entries",
       [](options& o) { o.log_cache_bytes = 0; },
       errc::bad_option,
       {"options.log_cache_bytes", "is 0", "1024"}},
      {"an endless tail",
       [](options& o) { o.log_tail_bytes = (std::size_t{1} << 40) + 1; },
       errc::bad_option,
       {"options.log_tail_bytes", "1099511627777"}},
      {"segments too small",
       [](options& o) { o.segment_bytes = 1000; },
       errc::bad_option,
       {"options.segment_bytes", "1000", "65536"}},
      {"segments larger than the log's format",
       [](options& o) { o.segment_bytes = (1 << 30) + 8; },
       errc::bad_option,
       {"options.segment_bytes", "1073741832", "1073741824"}},
      {"segments not of whole words",
       [](options& o) { o.segment_bytes = (1 << 20) + 4; },
       errc::bad_option,
       {"options.segment_bytes", "1048580", "multiple of 8"}},
      {"too much history",
       [](options& o) { o.watch_history_changes = (1 << 26) + 1; },
       errc::bad_option,
       {"options.watch_history_changes", "67108865"}},
      {"too much history in bytes",
       [](options& o) { o.watch_history_bytes = (std::size_t{1} << 40) + 1; },
       errc::bad_option,
       {"options.watch_history_bytes"}},
      {"no room for a watch",
       [](options& o) { o.watch_buffer_changes = 0; },
       errc::bad_option,
       {"options.watch_buffer_changes", "is 0", "1 to"}},
      {"no bytes for a watch",
       [](options& o) { o.watch_buffer_bytes = 0; },
       errc::bad_option,
       {"options.watch_buffer_bytes", "is 0", "1 to"}},
  };
}

std::vector<bad_case> bad_cases() {
  std::vector<bad_case> all = bad_members();
  for (const auto& some : {bad_membership(), bad_times(), bad_sizes()})
    all.insert(all.end(), some.begin(), some.end());
  return all;
}

}  // namespace

TEST_CASE("the defaults are good with self, members and a directory, and nothing else is") {
  CHECK_FALSE(validate(good()));
  CHECK(validate(options{}).code == errc::bad_option);
}

TEST_CASE("each bad option is refused by name, with its value and what to choose") {
  for (const bad_case& c : bad_cases()) {
    CAPTURE(c.name);
    options o = good();
    c.spoil(o);
    const failure f = validate(o);
    CHECK(f.code == c.code);
    for (const std::string& word : c.says) {
      INFO("expects '" << word << "' in: " << f.what);
      CHECK(f.what.find(word) != std::string::npos);
    }
  }
}

TEST_CASE("the edges of what is allowed are allowed") {
  options o = good();
  o.heartbeat_interval = milliseconds(1);
  o.election_timeout = milliseconds(3);
  o.request_timeout = milliseconds(1);
  o.max_value_bytes = 0;
  o.max_pending_requests = 1;
  o.segment_bytes = 1 << 16;
  o.watch_history_changes = 0;
  o.watch_history_bytes = 0;
  o.watch_buffer_changes = 1;
  o.watch_buffer_bytes = 1;
  CHECK_FALSE(validate(o));
  o.heartbeat_interval = milliseconds(10'000);
  o.election_timeout = milliseconds(100'000);
  o.max_value_bytes = 128 << 20;
  o.segment_bytes = 1 << 30;
  CHECK_FALSE(validate(o));
}

TEST_CASE("the cluster's id comes from its name, or from the members when it has none") {
  options a = good(), b = good();
  CHECK(identify_cluster(a) == identify_cluster(b));
  CHECK(identify_cluster(a) != cluster_id(0));
  b.self = 2;
  b.directory = "elsewhere";
  CHECK(identify_cluster(a) == identify_cluster(b));
  b.members[2] = "127.0.0.1:9999";
  CHECK(identify_cluster(a) != identify_cluster(b));
  a.cluster = b.cluster = "billing";
  CHECK(identify_cluster(a) == identify_cluster(b));
  b.cluster = "billing2";
  CHECK(identify_cluster(a) != identify_cluster(b));
}
