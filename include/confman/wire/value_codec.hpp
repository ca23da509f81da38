// Typed values as bytes: what cell<T> and the typed forms of put and get store. The only file that knows
// cereal.
//
//   std::string          its bytes
//   bool                 true, false
//   integers, floating   the shortest decimal text that reads back equal: people and scripts can edit it
//   anything else        cereal's portable binary form, little-endian; T needs what cereal needs, so include
//                        the cereal/types/*.hpp of its members
#pragma once

#include <bit>
#include <cereal/cereal.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/vector.hpp>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

#include "confman/error.hpp"

namespace confman {

// Larger inputs are refused before anything is decoded.
inline constexpr std::size_t default_max_typed_value_bytes = std::size_t{64} << 20;

namespace detail {

inline constexpr std::uint8_t little_endian_flag = 1;  // first byte of cereal's portable binary form

template <class T>
void to_little_endian(T* values, std::size_t count) noexcept {
  if constexpr (std::endian::native == std::endian::big && sizeof(T) > 1) {
    for (auto* at = reinterpret_cast<char*>(values); count != 0; --count, at += sizeof(T))
      for (std::size_t i = 0; i < sizeof(T) / 2; ++i) std::swap(at[i], at[sizeof(T) - 1 - i]);
  }
}

// Writes what cereal::PortableBinaryOutputArchive writes, to a string instead of a stream.
class value_writer : public cereal::OutputArchive<value_writer, cereal::AllowEmptyClassElision> {
 public:
  explicit value_writer(std::string& out) : OutputArchive(this), out_(out) {
    out_.push_back(static_cast<char>(little_endian_flag));
  }
  template <class T>
  void save(const T* values, std::size_t count) {
    const std::size_t at = out_.size();
    out_.append(reinterpret_cast<const char*>(values), count * sizeof(T));
    if constexpr (std::endian::native == std::endian::big && sizeof(T) > 1) {
      for (std::size_t i = 0; i < count; ++i) {
        char* element = out_.data() + at + i * sizeof(T);
        for (std::size_t b = 0; b < sizeof(T) / 2; ++b) std::swap(element[b], element[sizeof(T) - 1 - b]);
      }
    } else {
      (void)at;
    }
  }

 private:
  std::string& out_;
};

// Reads it back from bytes that nobody vouches for. cereal's own archive believes a length and takes the
// memory before it finds the bytes missing; here a length must fit the bytes that are left, and nesting is
// bounded. Reports errors by throwing cereal::Exception, as cereal's containers expect; decode_value()
// catches.
class value_reader : public cereal::InputArchive<value_reader, cereal::AllowEmptyClassElision> {
 public:
  static constexpr int max_depth = 1000;

  explicit value_reader(std::string_view bytes) : InputArchive(this), bytes_(bytes) {
    std::uint8_t flag = 0;
    load(&flag, 1);
    if (flag != little_endian_flag)
      throw cereal::Exception("it is not in cereal's little-endian portable form");
  }
  template <class T>
  void load(T* values, std::size_t count) {
    if (count > bytes_.size() / sizeof(T)) throw cereal::Exception("it ends too early");
    const std::size_t size = count * sizeof(T);
    if constexpr (std::is_same_v<T, bool>) {
      for (std::size_t i = 0; i < size; ++i)
        if (static_cast<unsigned char>(bytes_[i]) > 1)
          throw cereal::Exception("a boolean is neither 0 nor 1");
    }
    if (size != 0) std::memcpy(static_cast<void*>(values), bytes_.data(), size);
    to_little_endian(values, count);
    bytes_.remove_prefix(size);
  }
  void check_count(std::uint64_t count) const {
    if (count > bytes_.size()) throw cereal::Exception("a length exceeds the bytes that are left");
  }
  void enter() {
    if (++depth_ > max_depth) throw cereal::Exception("it is nested too deeply");
  }
  void leave() noexcept { --depth_; }
  [[nodiscard]] std::size_t remaining() const noexcept { return bytes_.size(); }

 private:
  std::string_view bytes_;
  int depth_ = 0;
};

// cereal finds the following by argument-dependent lookup.
template <class T>
void prologue(value_reader& archive, const T&) {
  archive.enter();
}
template <class T>
void epilogue(value_reader& archive, const T&) {
  archive.leave();
}
template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
void CEREAL_SAVE_FUNCTION_NAME(value_writer& archive, const T& value) {
  archive.save(&value, 1);
}
template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
void CEREAL_LOAD_FUNCTION_NAME(value_reader& archive, T& value) {
  archive.load(&value, 1);
}
template <class T>
void CEREAL_SAVE_FUNCTION_NAME(value_writer& archive, const cereal::NameValuePair<T>& pair) {
  archive(pair.value);
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(value_reader& archive, cereal::NameValuePair<T>& pair) {
  archive(pair.value);
}
template <class T>
void CEREAL_SAVE_FUNCTION_NAME(value_writer& archive, const cereal::SizeTag<T>& tag) {
  const auto count = static_cast<std::uint64_t>(tag.size);
  archive.save(&count, 1);
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(value_reader& archive, cereal::SizeTag<T>& tag) {
  std::uint64_t count = 0;
  archive.load(&count, 1);
  archive.check_count(count);
  tag.size = static_cast<std::remove_reference_t<T>>(count);
}
template <class T>
void CEREAL_SAVE_FUNCTION_NAME(value_writer& archive, const cereal::BinaryData<T>& data) {
  using element = std::remove_pointer_t<T>;
  archive.save(static_cast<const element*>(data.data), static_cast<std::size_t>(data.size) / sizeof(element));
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(value_reader& archive, cereal::BinaryData<T>& data) {
  using element = std::remove_const_t<std::remove_pointer_t<T>>;
  archive.load(static_cast<element*>(data.data), static_cast<std::size_t>(data.size) / sizeof(element));
}

// At most 40 bytes of a value, printable, for an error message.
[[nodiscard]] inline std::string excerpt(std::string_view bytes) {
  std::string text = "'";
  for (const char c : bytes.substr(0, 40)) text += c >= ' ' && c <= '~' ? c : '?';
  text += bytes.size() > 40 ? "...'" : "'";
  return text;
}

template <class T>
[[nodiscard]] result<T> parse_number(std::string_view bytes) {
  T value{};
  const auto [end, error] = std::from_chars(bytes.data(), bytes.data() + bytes.size(), value);
  if (error == std::errc::result_out_of_range)
    return failure(errc::bad_value, "value " + excerpt(bytes) + " is out of the range of its type");
  if (error != std::errc{} || end != bytes.data() + bytes.size())
    return failure(errc::bad_value, "value " + excerpt(bytes) + " is not " +
                                        (std::is_integral_v<T> ? "an integer: digits only, no spaces"
                                                               : "a number, such as 0.25"));
  return value;
}

template <class T>
[[nodiscard]] result<T> decode_with_cereal(std::string_view bytes) {
  const std::string what = "value of " + std::to_string(bytes.size()) + " bytes can't be decoded: ";
  try {
    T value{};
    value_reader archive(bytes);
    archive(value);
    if (archive.remaining() != 0)
      return failure(errc::bad_value, what + std::to_string(archive.remaining()) +
                                          " bytes are left over; was it written as another type?");
    return value;
  } catch (const std::exception& e) {
    return failure(errc::bad_value, what + e.what() + "; was it written as another type?");
  } catch (...) {  // the user's own serialize() may throw anything
    return failure(errc::bad_value, what + "an unknown exception was thrown");
  }
}

}  // namespace detail

// The bytes that stand for `value`. Throws only what T's own serialize() throws, and std::bad_alloc.
template <class T>
[[nodiscard]] std::string encode_value(const T& value) {
  if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return std::string(std::string_view(value));
  } else if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_arithmetic_v<T>) {
    char text[64];
    const auto [end, error] = std::to_chars(text, text + sizeof text, value);
    CONFMAN_ASSERT(error == std::errc{}, "64 characters hold the shortest form of any number");
    return std::string(text, end);
  } else {
    std::string out;
    detail::value_writer archive(out);
    archive(value);
    return out;
  }
}

// The value that `bytes` stand for. Takes no memory beyond a small multiple of bytes.size(), and never throws
// on bad input. Errors: value_too_large if there are more than `max_bytes`; bad_value if they aren't a T.
template <class T>
[[nodiscard]] result<T> decode_value(std::string_view bytes,
                                     std::size_t max_bytes = default_max_typed_value_bytes) {
  if (bytes.size() > max_bytes)
    return failure(errc::value_too_large, "value of " + std::to_string(bytes.size()) + " bytes: at most " +
                                              std::to_string(max_bytes) + " are decoded");
  if constexpr (std::is_same_v<T, std::string>) {
    return std::string(bytes);
  } else if constexpr (std::is_same_v<T, bool>) {
    if (bytes == "true") return true;
    if (bytes == "false") return false;
    return failure(errc::bad_value, "value " + detail::excerpt(bytes) + " is neither true nor false");
  } else if constexpr (std::is_arithmetic_v<T>) {
    return detail::parse_number<T>(bytes);
  } else {
    return detail::decode_with_cereal<T>(bytes);
  }
}

}  // namespace confman

CEREAL_REGISTER_ARCHIVE(confman::detail::value_writer)
CEREAL_REGISTER_ARCHIVE(confman::detail::value_reader)
CEREAL_SETUP_ARCHIVE_TRAITS(confman::detail::value_reader, confman::detail::value_writer)
