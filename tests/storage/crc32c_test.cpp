#include <doctest/doctest.h>

#include <random>
#include <string>

#include "confman/storage/crc32c.hpp"

using confman::crc32c;

TEST_CASE("CRC32C gives the published check values") {
  CHECK(crc32c(0, "") == 0u);
  CHECK(crc32c(0, "123456789") == 0xE3069283u);
  CHECK(crc32c(0, std::string(32, '\0')) == 0x8A9136AAu);  // RFC 3720, B.4
  CHECK(crc32c(0, std::string(32, '\xFF')) == 0x62A8AB43u);
}

TEST_CASE("CRC32C is the same in hardware and in tables, whole and in pieces, at any alignment") {
  std::mt19937 random(1);
  std::string bytes(300, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  for (std::size_t from = 0; from < 9; ++from)
    for (std::size_t size = 0; size + from <= bytes.size(); size += 7) {
      const std::string_view part = std::string_view(bytes).substr(from, size);
      const std::uint32_t whole = crc32c(0, part);
      CHECK(whole == confman::detail::crc32c_portable(0, part));
      CHECK(whole == crc32c(crc32c(0, part.substr(0, size / 3)), part.substr(size / 3)));
    }
}
