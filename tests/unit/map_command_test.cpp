// The codec of commands and answers, and the rules for keys and values.
#include <doctest/doctest.h>

#include <ostream>
#include <random>
#include <string>

#include "confman/map/command.hpp"
#include "confman/map/limits.hpp"

namespace {

using confman::command_kind;
using confman::command_view;
using confman::errc;
using confman::shared_bytes;

shared_bytes encoded_example() {
  command_view command;
  command.kind = command_kind::compare_exchange;
  command.key = "/billing/timeout_ms";
  command.value = "250";
  command.expected_revision = 0x0102030405060708u;
  command.timestamp = -5;
  command.author = confman::node_id(3);
  return encode(command);
}

}  // namespace

TEST_CASE("a command of every kind survives encoding and decoding") {
  for (const auto kind : {command_kind::put, command_kind::erase, command_kind::compare_exchange,
                          command_kind::compare_erase}) {
    command_view command;
    command.kind = kind;
    command.key = "/a";
    const bool carries = kind == command_kind::put || kind == command_kind::compare_exchange;
    const bool compares = kind == command_kind::compare_erase || kind == command_kind::compare_exchange;
    if (carries) command.value = std::string_view("v\0\xff", 3);
    if (compares) command.expected_revision = 77;
    command.timestamp = 1700000000000001;
    command.author = confman::node_id(0xffffffffffffffffu);
    const shared_bytes bytes = encode(command);
    CHECK(bytes.size() == 32 + command.key.size() + command.value.size());
    const auto decoded = decode(bytes);
    REQUIRE(decoded);
    CHECK(*decoded == command);
  }
}

TEST_CASE("the layout of a command is fixed, byte by byte") {
  const shared_bytes bytes = encoded_example();
  const std::string expected =
      std::string("\x01\x03\x13\x00\x03\x00\x00\x00\x08\x07\x06\x05\x04\x03\x02\x01", 16) +
      std::string("\xfb\xff\xff\xff\xff\xff\xff\xff\x03\x00\x00\x00\x00\x00\x00\x00", 16) +
      "/billing/timeout_ms250";
  CHECK(bytes.view() == expected);
}

TEST_CASE("every truncation and every extension of a command is refused") {
  const shared_bytes bytes = encoded_example();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto decoded = decode(shared_bytes::copy(bytes.view().substr(0, size)));
    REQUIRE_FALSE(decoded);
    CHECK(decoded.error().code == errc::bad_command);
    CHECK_FALSE(decoded.error().what.empty());
  }
  CHECK_FALSE(decode(shared_bytes::copy(std::string(bytes.view()) + "x")));
}

TEST_CASE("any change of one byte gives a command or bad_command, and a command encodes to the same bytes") {
  const std::string original(encoded_example().view());
  for (std::size_t place = 0; place < original.size(); ++place) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = original;
      changed[place] = static_cast<char>(value);
      const shared_bytes bytes = shared_bytes::copy(changed);
      const auto decoded = decode(bytes);
      if (decoded)
        REQUIRE(encode(*decoded) == bytes);
      else
        REQUIRE(decoded.error().code == errc::bad_command);
    }
  }
}

TEST_CASE("random bytes give a command or bad_command") {
  std::mt19937_64 random(7);
  std::size_t accepted = 0;
  for (int round = 0; round < 200000; ++round) {
    std::string bytes(random() % 80, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    if (bytes.size() >= 33 && round % 2 == 0) {  // plausible headers reach further
      bytes[0] = 1;
      bytes[1] = static_cast<char>(random() % 6);
      const std::size_t body = bytes.size() - 32, key = random() % (body + 2);
      bytes[2] = static_cast<char>(key), bytes[3] = 0;
      bytes[4] = static_cast<char>(body - key), bytes[5] = bytes[6] = bytes[7] = 0;
      bytes[32] = '/';
    }
    const shared_bytes shared = shared_bytes::copy(bytes);
    const auto decoded = decode(shared);
    if (decoded) {
      ++accepted;
      REQUIRE(encode(*decoded) == shared);
      REQUIRE_FALSE(confman::validate_key(decoded->key));
    } else {
      REQUIRE(decoded.error().code == errc::bad_command);
    }
    const auto answer = confman::decode_apply_result(shared);
    if (!answer) REQUIRE(answer.error().code == errc::bad_command);
  }
  CHECK(accepted > 100);
}

TEST_CASE("a command with a bad key, an erase with a value, and a put with an expectation are refused") {
  const auto patched = [](std::size_t place, char byte) {
    std::string bytes(encoded_example().view());
    bytes[place] = byte;
    return decode(shared_bytes::copy(bytes));
  };
  CHECK(patched(0, 1));
  CHECK_FALSE(patched(0, 2));      // format
  CHECK_FALSE(patched(1, 0));      // kind
  CHECK_FALSE(patched(1, 5));      // kind
  CHECK_FALSE(patched(1, 1));      // a put that expects
  CHECK_FALSE(patched(1, 4));      // an erase that carries a value
  CHECK_FALSE(patched(32, 'b'));   // key without '/'
  CHECK_FALSE(patched(35, '\0'));  // key with NUL
}

TEST_CASE("an answer survives encoding and decoding, and truncations are refused") {
  confman::apply_result answer;
  answer.code = make_error_code(errc::compare_failed);
  answer.at = {confman::term_t(3), confman::log_index(0x1122334455667788u)};
  answer.revision = answer.at.index.value();
  answer.previous_revision = 12;
  answer.existed = true;
  const shared_bytes bytes = encode(answer);
  const auto decoded = confman::decode_apply_result(bytes);
  REQUIRE(decoded);
  CHECK(*decoded == answer);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK_FALSE(confman::decode_apply_result(bytes.slice(0, size)));

  answer = {};
  answer.at.index = confman::log_index(1);
  answer.revision = 1;
  const auto plain = confman::decode_apply_result(encode(answer));
  REQUIRE(plain);
  CHECK(*plain == answer);
  CHECK_FALSE(plain->code);
}

TEST_CASE("the rules for keys name what is wrong and where") {
  CHECK_FALSE(confman::validate_key("/"));
  CHECK_FALSE(confman::validate_key("/a b/\xc3\xa4/\x7f"));
  CHECK_FALSE(confman::validate_key("/" + std::string(511, 'x')));
  CHECK(confman::validate_key("").code == errc::key_empty);
  CHECK(confman::validate_key("a/b").code == errc::key_not_a_path);
  CHECK(confman::validate_key("/" + std::string(512, 'x')).code == errc::key_too_long);
  const confman::failure nul = confman::validate_key(std::string_view("/a\0b", 4));
  CHECK(nul.code == errc::key_has_nul);
  CHECK(nul.what == "the key '/a\\x00b' has a NUL byte at offset 2: remove it");
}

TEST_CASE("a value over the limit is refused with both sizes") {
  CHECK_FALSE(confman::validate_value("/a", confman::default_max_value_bytes));
  const confman::failure refused = confman::validate_value("/a", 11, 10);
  CHECK(refused.code == errc::value_too_large);
  CHECK(refused.what.find("11 bytes: at most 10") != std::string::npos);
}
