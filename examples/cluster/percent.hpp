// Percent-encoding of keys in URLs (RFC 3986, 2.1).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace demo {

// Everything but unreserved characters and '/' as %XX. Any bytes are allowed.
[[nodiscard]] std::string percent_encode(std::string_view bytes);

// Nothing if a '%' isn't followed by two hexadecimal digits. '+' stays '+'.
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text);

}  // namespace demo
