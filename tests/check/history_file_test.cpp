// The JSON lines of histories: what is written is read back, and what is wrong is told with its line.
#include <doctest/doctest.h>

#include <sstream>
#include <string>

#include "confman/check/history_file.hpp"

using namespace confman::check;

namespace {

const char* const good_lines[] = {
    R"({"client":7,"op":"put","key":"/a","in":{"value":"x"},"out":{"revision":9,"previous_revision":0,)"
    R"("version":"2:9"},"ok":true,"call_ns":1,"return_ns":2})",
    R"({"client":7,"op":"put","key":"/a","in":{"value":"\u0000\"é"},"out":null,"ok":null,"call_ns":1,)"
    R"("return_ns":null,"session":3,"sequence":4})",
    R"({"client":7,"op":"erase","key":"/a","in":{},"out":null,"ok":false,"call_ns":-5,"return_ns":2})",
    R"({"client":0,"op":"cas","key":"/a","in":{"value":"","expect":18446744073709551615},)"
    R"("out":{"failed":true,"current_revision":4,"version":"2:9"},"ok":true,"call_ns":1,"return_ns":2})",
    R"({"client":0,"op":"get","key":"/a","in":{"mode":"at_least","at_least":8},)"
    R"("out":{"revision":0,"value":null,"version":"2:9"},"ok":true,"call_ns":1,"return_ns":2})",
    R"({"client":0,"op":"list","key":"/","in":{"mode":"local"},)"
    R"("out":{"entries":[["/a",3,"x"],["/b",4,""]],"version":"2:9"},"ok":true,"call_ns":1,"return_ns":2})",
    R"({"client":0,"op":"watch","key":"/","in":{"after":2},"out":{"events":[["put","/a",3,"x"],)"
    R"(["erase","/a",4,null]],"until":7,"compacted":false},"ok":true,"call_ns":1,"return_ns":2})",
};

std::string complaint(const std::string& text) {
  std::istringstream in(text);
  const auto all = read_history(in);
  REQUIRE_FALSE(all);
  return all.error().what;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("a line is written as it was read") {
  for (const std::string line : good_lines) {
    const auto op = read_operation(line);
    CAPTURE(line);
    if (!op) FAIL(op.error().what);
    const auto again = read_operation(write_operation(*op));
    REQUIRE(again);
    CHECK(write_operation(*again) == write_operation(*op));
    CHECK(describe(*again) == describe(*op));
    if (line.find("u0000") == std::string::npos) CHECK(write_operation(*op) == line);
  }
}

TEST_CASE("the members of a line arrive in their fields") {
  const auto watch = read_operation(good_lines[6]);
  REQUIRE(watch);
  REQUIRE(watch->events.size() == 2);
  CHECK(watch->events[1].erased);
  CHECK(watch->events[1].revision == 4);
  CHECK(watch->until == 7);
  const auto cas = read_operation(good_lines[3]);
  REQUIRE(cas);
  CHECK(cas->failed);
  CHECK(cas->expect == 18446744073709551615u);
  CHECK(cas->revision == 4);
  CHECK(cas->version == place{2, 9});
  const auto put = read_operation(good_lines[1]);
  REQUIRE(put);
  CHECK(put->end == outcome::unknown);
  CHECK(put->returned == never);
  CHECK(put->session == 3);
  CHECK(put->value == std::string("\0\"\xc3\xa9", 4));
}

TEST_CASE("a bad line is told by its number, and what to do") {
  const std::string good = good_lines[0];
  CHECK(complaint(good + "\n\n{").find("line 3: not JSON") == 0);
  CHECK(complaint("[]").find("line 1: each line must be one JSON object") == 0);
  CHECK(complaint(std::string(1000000, '[')).find("line 1: not JSON") == 0);
  CHECK(complaint("{\"client\":\"\xff\"}").find("line 1: not JSON") == 0);
  const std::pair<const char*, const char*> cases[] = {
      {"\"client\":7,", ""},
      {"\"client\":7", "\"client\":-7"},
      {"\"op\":\"put\"", "\"op\":\"puts\""},
      {"\"key\":\"/a\"", "\"key\":1"},
      {"{\"value\":\"x\"}", "{}"},
      {"\"revision\":9", "\"revision\":\"9\""},
      {"2:9", "29"},
      {"2:9", "2:9x"},
      {"2:9", ":9"},
      {"true", "1"},
      {"\"call_ns\":1", "\"call_ns\":9"},
      {"\"return_ns\":2", "\"return_ns\":null"},
  };
  for (const auto& change : cases) {
    const std::string from = change.first, to = change.second;
    CAPTURE(from);
    CAPTURE(to);
    const std::string why = complaint(replaced(good, from, to));
    CHECK(why.find("line 1: ") == 0);
    CHECK(why.find('"') != std::string::npos);
  }
  CHECK(complaint(replaced(good_lines[4], "at_least\"", "newest\"")).find("\"mode\" must be") !=
        std::string::npos);
  CHECK(complaint(replaced(good_lines[5], "3,\"x\"", "3")).find("\"entries\" must be") != std::string::npos);
  CHECK(complaint(replaced(good_lines[6], "[\"erase\"", "[\"era\"")).find("an event is") !=
        std::string::npos);
}
