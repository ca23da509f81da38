#include "json.hpp"

namespace demo {

namespace {

// The length of the UTF-8 sequence at the front (RFC 3629: no surrogates, nothing overlong), or 0.
std::size_t utf8_length(std::string_view s) noexcept {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || s.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((at(i) & 0xc0) != 0x80) return 0;
  if (first == 0xe0 && at(1) < 0xa0) return 0;
  if (first == 0xed && at(1) > 0x9f) return 0;
  if (first == 0xf0 && at(1) < 0x90) return 0;
  if (first == 0xf4 && at(1) > 0x8f) return 0;
  return length;
}

void append_escaped(std::string& out, char c) {
  constexpr char digits[] = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  const auto byte = static_cast<unsigned char>(c);
  if (byte >= 0x20 && byte != 0x7f) {
    out += c;
    return;
  }
  out += "\\u00";
  out += digits[byte >> 4];
  out += digits[byte & 15];
}

std::string quoted(std::string_view value) {
  std::string out = "\"";
  out.reserve(value.size() + 2);
  while (!value.empty()) {
    const std::size_t length = utf8_length(value);
    if (length == 1)
      append_escaped(out, value.front());
    else if (length == 0)
      out += "\xef\xbf\xbd";
    else
      out += value.substr(0, length);
    value.remove_prefix(length == 0 ? 1 : length);
  }
  return out += '"';
}

}  // namespace

bool is_utf8(std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const std::size_t length = utf8_length(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

std::string base64(std::string_view bytes) {
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = bytes.size() - i < 3 ? bytes.size() - i : 3;
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k)
      group = group << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (std::size_t k = 0; k < 4; ++k) text += k <= count ? digits[group >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

json_writer& json_writer::string(std::string_view name, std::string_view value) {
  return raw(name, quoted(value));
}

json_writer& json_writer::raw(std::string_view name, std::string_view json) {
  if (text_.size() > 1) text_ += ',';
  if (close_ == '}') (text_ += quoted(name)) += ':';
  text_ += json;
  return *this;
}

json_writer& json_writer::bytes(std::string_view name, std::string_view value) {
  if (is_utf8(value)) return string(name, value);
  return string(std::string(name) + "_base64", base64(value));
}

json_writer& value_in_json(json_writer& json, std::string_view value) {
  if (value.size() <= largest_value_in_json) return json.bytes("value", value);
  return json.number("value_bytes", static_cast<std::uint64_t>(value.size()));
}

}  // namespace demo
