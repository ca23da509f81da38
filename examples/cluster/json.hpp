// Just enough JSON writing for the answers of confmand (RFC 8259).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace demo {

[[nodiscard]] bool is_utf8(std::string_view bytes) noexcept;

// Values in JSON, that is in lists and watches, have at most so many bytes; of larger ones it says the size.
inline constexpr std::size_t largest_value_in_json = std::size_t{1} << 20;

[[nodiscard]] std::string base64(std::string_view bytes);

// An object or array, written from front to back; nest by passing a finished one to raw().
class json_writer {
 public:
  explicit json_writer(char open = '{') : close_(open == '{' ? '}' : ']') { text_ += open; }

  // Bytes that aren't UTF-8 become U+FFFD: use bytes() where they must not get lost.
  json_writer& string(std::string_view name, std::string_view value);
  json_writer& number(std::string_view name, std::uint64_t value) { return raw(name, std::to_string(value)); }
  json_writer& number(std::string_view name, std::int64_t value) { return raw(name, std::to_string(value)); }
  json_writer& boolean(std::string_view name, bool value) { return raw(name, value ? "true" : "false"); }
  // `json` must be JSON already. In an array the name is not written.
  json_writer& raw(std::string_view name, std::string_view json);
  // NAME as a string if the bytes are UTF-8, else as base64 under NAME_base64.
  json_writer& bytes(std::string_view name, std::string_view value);

  [[nodiscard]] std::size_t size() const noexcept { return text_.size(); }
  [[nodiscard]] std::string finish() { return std::move(text_ += close_); }

 private:
  std::string text_;
  char close_;
};

// `value` as the member "value", or "value_bytes" alone if it is too large for JSON.
json_writer& value_in_json(json_writer& json, std::string_view value);

}  // namespace demo
