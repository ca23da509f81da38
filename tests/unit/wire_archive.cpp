// The bounded archive, the checksum, and typed values.
#include <doctest/doctest.h>

#include <cereal/archives/portable_binary.hpp>
#include <cereal/types/map.hpp>
#include <cereal/types/memory.hpp>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "confman/core/ids.hpp"
#include "confman/wire/archive.hpp"
#include "confman/wire/crc32c.hpp"
#include "confman/wire/value_codec.hpp"

namespace {

using namespace confman;

enum class color : std::uint8_t { red = 0, green = 1, blue = 2 };

struct sample {
  bool yes = false;
  std::int16_t small = 0;
  std::uint64_t large = 0;
  color tint = color::red;
  std::string text;
  std::vector<version> versions;
  std::optional<node_id> node;
  shared_bytes bytes;

  template <class Archive>
  void serialize(Archive& a) {
    a(yes, small, large, tint, text, versions, node, bytes);
  }
  friend bool operator==(const sample&, const sample&) = default;
};

sample make_sample() {
  sample s;
  s.yes = true;
  s.small = -2;
  s.large = std::numeric_limits<std::uint64_t>::max() - 7;
  s.tint = color::blue;
  s.text = std::string("a\0b", 3);
  s.versions = {{term_t(1), log_index(2)}, {term_t(3), log_index(4)}};
  s.node = node_id(9);
  s.bytes = shared_bytes::copy("payload");
  return s;
}

template <class T>
std::string encode(const T& value) {
  std::string out;
  bounded_writer a(out);
  a(value);
  CHECK(a.ok());
  return out;
}

struct tree {
  int value = 0;
  std::unique_ptr<tree> next;
  template <class Archive>
  void serialize(Archive& a) {
    a(value, next);
  }
};

struct limits {
  int rate = 0;
  double share = 0;
  bool on = false;
  std::string name;
  std::vector<std::uint32_t> sizes;
  std::map<std::string, std::vector<std::string>> groups;

  template <class Archive>
  void serialize(Archive& a) {
    a(CEREAL_NVP(rate), share, on, name, sizes, groups);
  }
  friend bool operator==(const limits&, const limits&) = default;
};

limits make_limits() {
  return {7, 0.5, true, "orders", {1, 2, 3}, {{"a", {"x", "y"}}, {"b", {}}}};
}

}  // namespace

namespace confman {
template <>
inline constexpr std::uint64_t last_enumerator<color> = 2;
}  // namespace confman

TEST_CASE("what a bounded writer wrote, a bounded reader reads") {
  const sample in = make_sample();
  const std::string bytes = encode(in);
  CHECK(encoded_size(in) == bytes.size());
  sample out;
  bounded_reader a{std::string_view(bytes)};
  a(out);
  CHECK(a.complete());
  CHECK(out == in);
}

TEST_CASE("the layout is little-endian with 32-bit counts") {
  CHECK(encode(std::uint32_t{0x01020304}) == std::string("\x04\x03\x02\x01", 4));
  CHECK(encode(std::string("ab")) == std::string("\x02\0\0\0ab", 6));
  CHECK(encode(term_t(5)) == std::string("\x05\0\0\0\0\0\0\0", 8));
  CHECK(encode(true) == std::string("\x01", 1));
  CHECK(encode(std::optional<std::uint8_t>()) == std::string("\0", 1));
}

TEST_CASE("every truncation of a value is an error, and leaves no value half trusted") {
  const std::string bytes = encode(make_sample());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    bounded_reader a(std::string_view(bytes).substr(0, size));
    sample out;
    a(out);
    CHECK_FALSE(a.ok());
    CHECK(a.error(errc::bad_command, "sample").code == errc::bad_command);
  }
}

TEST_CASE("a claimed length beyond the input takes no memory") {
  const std::string bomb = std::string("\xFF\xFF\xFF\x7F", 4) + "12345";  // 9 bytes that claim 2 GiB
  SUBCASE("string") {
    bounded_reader a{std::string_view(bomb)};
    std::string out;
    a(out);
    CHECK_FALSE(a.ok());
    CHECK(out.capacity() < 64);
  }
  SUBCASE("vector") {
    bounded_reader a{std::string_view(bomb)};
    std::vector<version> out;
    a(out);
    CHECK_FALSE(a.ok());
    CHECK(out.capacity() == 0);
  }
  SUBCASE("shared bytes") {
    bounded_reader a{std::string_view(bomb)};
    shared_bytes out;
    a(out);
    CHECK_FALSE(a.ok());
    CHECK(out.empty());
  }
  SUBCASE("a count that fits the bytes but not the size of an element") {
    const std::string two = std::string("\x02\0\0\0", 4) + std::string(16, 'x');  // a version takes 16 bytes
    bounded_reader a{std::string_view(two)};
    std::vector<version> out;
    a(out);
    CHECK_FALSE(a.ok());
    CHECK(out.capacity() == 0);
  }
}

TEST_CASE("booleans and enumerators outside their range are refused") {
  bool flag = false;
  bounded_reader a{std::string_view("\x02", 1)};
  a(flag);
  CHECK_FALSE(a.ok());
  color tint{};
  bounded_reader b{std::string_view("\x03", 1)};
  b(tint);
  CHECK_FALSE(b.ok());
  CHECK(tint == color::red);
}

TEST_CASE("the first error sticks and names its place") {
  bounded_reader a{std::string_view("\x01", 1)};
  std::uint8_t first = 0;
  std::uint32_t second = 7;
  std::uint8_t third = 7;
  a(first, second, third);
  CHECK(first == 1);
  CHECK(second == 0);
  CHECK(third == 0);
  CHECK(a.error(errc::bad_frame, "thing").what ==
        "thing: a length exceeds the bytes that are left at offset 1 of 1 bytes");
}

TEST_CASE("bytes read from a block are slices of it, bytes read from a view are copies") {
  const shared_bytes block = shared_bytes::copy(encode(shared_bytes::copy("payload")));
  shared_bytes slice;
  bounded_reader a(block);
  a(slice);
  CHECK(slice.view() == "payload");
  CHECK(slice.data() == block.data() + 4);
  shared_bytes copy;
  bounded_reader b(block.view());
  b(copy);
  CHECK(copy.view() == "payload");
  CHECK(copy.data() != block.data() + 4);
}

TEST_CASE("CRC32C gives the published values, in one piece or several, in hardware or by table") {
  CHECK(crc32c("123456789") == 0xE3069283u);
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AAu);  // RFC 3720, B.4
  CHECK(crc32c(std::string(32, '\xFF')) == 0x62A8AB43u);
  CHECK(crc32c("") == 0);
  std::mt19937 random(1);
  std::string bytes(2000, '\0');  // beyond two rounds of three lanes
  for (char& c : bytes) c = static_cast<char>(random());
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    const std::string_view whole(bytes.data(), size);
    CHECK(crc32c(whole) == detail::crc32c_by_table(whole, 0));
    CHECK(crc32c(whole.substr(size / 3), crc32c(whole.substr(0, size / 3))) == crc32c(whole));
  }
}

TEST_CASE("text and numbers are stored as people write them") {
  CHECK(encode_value(std::string("x y")) == "x y");
  CHECK(encode_value("literal") == "literal");
  CHECK(encode_value(250) == "250");
  CHECK(encode_value(true) == "true");
  CHECK(encode_value(0.1) == "0.1");
  CHECK(*decode_value<std::string>("x y") == "x y");
  CHECK(*decode_value<int>("-250") == -250);
  CHECK(*decode_value<bool>("false") == false);
  CHECK(*decode_value<double>("0.1") == 0.1);
  CHECK(*decode_value<std::uint64_t>(encode_value(std::numeric_limits<std::uint64_t>::max())) ==
        std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("text that is no such number is refused with the text") {
  for (const char* text : {"", " 1", "1 ", "1x", "0x10", "+1", "1.5"}) CHECK_FALSE(decode_value<int>(text));
  CHECK(decode_value<int>("12x").error().code == errc::bad_value);
  CHECK(decode_value<bool>("1").error().code == errc::bad_value);
  CHECK(decode_value<int>("12x").error().what.find("'12x' is not an integer") != std::string::npos);
  CHECK(decode_value<std::uint8_t>("256").error().what.find("out of the range") != std::string::npos);
  CHECK_FALSE(decode_value<unsigned>("-1"));
  CHECK_FALSE(decode_value<bool>("1"));
  CHECK_FALSE(decode_value<double>("fast"));
  CHECK(decode_value<std::string>("12345", 4).error().code == errc::value_too_large);
}

TEST_CASE("any other type goes through cereal, in the bytes of its portable archive") {
  const limits in = make_limits();
  const std::string bytes = encode_value(in);
  std::ostringstream stream;
  {
    cereal::PortableBinaryOutputArchive archive(stream,
                                                cereal::PortableBinaryOutputArchive::Options::LittleEndian());
    archive(in);
  }
  CHECK(bytes == stream.str());
  const result<limits> out = decode_value<limits>(bytes);
  REQUIRE(out);
  CHECK(*out == in);
}

TEST_CASE("typed values that are cut, lengthened or flipped never throw and never take much memory") {
  const std::string bytes = encode_value(make_limits());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK_FALSE(decode_value<limits>(std::string_view(bytes).substr(0, size)));
  CHECK(decode_value<limits>(bytes + "x").error().code == errc::bad_value);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    for (const int flip : {1, 0x80, 0xFF}) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      (void)decode_value<limits>(damaged);
    }
  const std::string bomb("\x01\0\0\0\x80\0\0\0\0", 9);  // one flag, then a string of 2 GiB
  const auto out = decode_value<std::vector<std::string>>(bomb);
  REQUIRE_FALSE(out);
  CHECK(out.error().what.find("a length exceeds the bytes that are left") != std::string::npos);
}

TEST_CASE("a value nested without end is refused before the stack is used up") {
  std::string bytes("\x01", 1);
  const int levels = 100000;
  for (int i = 0; i < levels; ++i) bytes += std::string("\0\0\0\0\x01", 5);
  const auto out = decode_value<tree>(bytes);
  REQUIRE_FALSE(out);
  CHECK(out.error().what.find("nested too deeply") != std::string::npos);
}
