// "host:port" as people write it.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

#include "confman/error.hpp"
#include "confman/wire/message_codec.hpp"

namespace confman {

struct host_port {
  std::string host;  // a name or a numeric address, without brackets
  std::uint16_t port = 0;
};

// Accepts "host:port", "1.2.3.4:port" and "[::1]:port". Looks no name up. Errors: bad_address.
[[nodiscard]] inline result<host_port> parse_address(std::string_view text) {
  const auto bad = [text](const char* why) {
    return failure(errc::bad_address, "address '" + std::string(text) + "': " + why +
                                          "; write host:port, such as 10.0.0.1:7401 or [::1]:7401");
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad("the port is missing");
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return bad("an IPv6 address needs brackets");
  }
  if (host.empty()) return bad("the host is missing");
  host_port parsed;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), parsed.port);
  if (error != std::errc{} || end != port.data() + port.size())
    return bad("the port is not a number up to 65535");
  parsed.host = std::string(host);
  return parsed;
}

// Whether others can reach a member at this address: "host:port" with a port from 1 to 65535, and of at most
// max_address_bytes. Errors: bad_address.
[[nodiscard]] inline failure check_member_address(std::uint64_t id, std::string_view address) {
  const std::string who = "the address of node " + std::to_string(id);
  if (address.size() > max_address_bytes)
    return {errc::bad_address, who + " has " + std::to_string(address.size()) + " bytes: at most " +
                                   std::to_string(max_address_bytes) + " are possible"};
  const result<host_port> parsed = parse_address(address);
  if (parsed && parsed->port != 0) return {};
  return {errc::bad_address, who + " is '" + std::string(address) +
                                 "'; write host:port with a port from 1 to 65535, such as 10.0.0.1:7401 or "
                                 "[::1]:7401"};
}

}  // namespace confman
