// Error codes: each has a text of its own that ends no sentence, and its number, once given, stays.
#include <doctest/doctest.h>

#include <set>
#include <string>
#include <system_error>

#include "confman/error.hpp"

using namespace confman;

TEST_CASE("every code has a text of its own") {
  std::set<std::string> texts;
  const int last = static_cast<int>(errc::sync_failed);
  for (int value = 1; value <= last; ++value) {
    CAPTURE(value);
    const std::string text = std::error_code(value, confman_category()).message();
    CHECK(text != "unknown confman error");
    CHECK(text.back() != '.');
    CHECK(texts.insert(text).second);
  }
  CHECK(std::error_code(last + 1, confman_category()).message() == "unknown confman error");
}

TEST_CASE("numbers that programs and logs may have kept don't change") {
  CHECK(static_cast<int>(errc::not_leader) == 1);
  CHECK(static_cast<int>(errc::outcome_unknown) == 6);
  CHECK(static_cast<int>(errc::bad_option) == 13);
  CHECK(static_cast<int>(errc::upload_expired) == 44);
  CHECK(static_cast<int>(errc::bad_value) == 45);
  CHECK(static_cast<int>(errc::sync_failed) == 46);
}

TEST_CASE("a failure as an exception says its sentence once, and can be caught as a system_error") {
  const failure why(errc::busy, "key '/a': the queue is full");
  try {
    throw failure_exception(why);
  } catch (const std::system_error& error) {
    CHECK(error.code() == errc::busy);
    CHECK(std::string(error.what()) == why.what);
  }
}
