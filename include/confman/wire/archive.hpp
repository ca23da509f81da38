// A small archive pair for bytes that cross a trust boundary. It calls the same `serialize(Archive&)` members
// that cereal calls, so one description of a type's fields serves both; unlike cereal's it never believes a
// length: each is compared with the bytes that are left before any memory is taken.
//
// Layout: integers little-endian at their own width; bool one byte, 0 or 1; enums as their underlying type;
// strings, shared_bytes and vectors a 32-bit count, then the elements; optional a bool, then the value if
// true.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "confman/core/shared_bytes.hpp"
#include "confman/error.hpp"

namespace confman {

// The largest enumerator a reader accepts; specialise it for enums whose values come from peers or disks.
template <class Enum>
inline constexpr std::uint64_t last_enumerator = std::numeric_limits<std::uint64_t>::max();

namespace detail {

template <class T>
struct is_vector : std::false_type {};
template <class T>
struct is_vector<std::vector<T>> : std::true_type {};

template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};

template <class T>
inline constexpr bool always_false = false;

template <class U>
void store_integer(char* at, U value) noexcept {
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(at, &value, sizeof value);
  } else {
    for (std::size_t i = 0; i < sizeof(U); ++i) at[i] = static_cast<char>(std::uint64_t{value} >> (8 * i));
  }
}
template <class U>
[[nodiscard]] U load_integer(const char* at) noexcept {
  U value = 0;
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(&value, at, sizeof value);
  } else {
    for (std::size_t i = 0; i < sizeof(U); ++i)
      value = static_cast<U>(value |
                             static_cast<U>(static_cast<U>(static_cast<unsigned char>(at[i])) << (8 * i)));
  }
  return value;
}

}  // namespace detail

// A sink that only counts.
class byte_counter {
 public:
  void append(const char*, std::size_t size) noexcept { size_ += size; }
  void append_shared(const shared_bytes& bytes) noexcept { size_ += bytes.size(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  std::size_t size_ = 0;
};

// Writes values to a sink, which has append(const char*, std::size_t) and, if it can keep a payload by
// reference, append_shared(const shared_bytes&). Not thread-safe. The sink must outlive the writer.
template <class Sink>
class basic_writer {
 public:
  explicit basic_writer(Sink& sink) noexcept : sink_(&sink) {}

  template <class... Ts>
  basic_writer& operator()(const Ts&... values) {
    (write(values), ...);
    return *this;
  }

  // False once a count didn't fit 32 bits: then what was written must not be used.
  [[nodiscard]] bool ok() const noexcept { return ok_; }

  // A payload whose length the reader knows from elsewhere.
  void raw(const shared_bytes& bytes) {
    if constexpr (requires { sink_->append_shared(bytes); }) {
      sink_->append_shared(bytes);
    } else {
      sink_->append(bytes.data(), bytes.size());
    }
  }

 private:
  template <class T>
  void write(const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      integer(static_cast<std::uint8_t>(value ? 1 : 0));
    } else if constexpr (std::is_integral_v<T>) {
      integer(static_cast<std::make_unsigned_t<T>>(value));
    } else if constexpr (std::is_enum_v<T>) {
      write(static_cast<std::underlying_type_t<T>>(value));
    } else if constexpr (std::is_same_v<T, shared_bytes>) {
      if (count(value.size())) raw(value);
    } else if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, std::string_view>) {
      if (count(value.size())) sink_->append(value.data(), value.size());
    } else if constexpr (detail::is_vector<T>::value) {
      if (!count(value.size())) return;
      for (const auto& element : value) write(element);
    } else if constexpr (detail::is_optional<T>::value) {
      write(value.has_value());
      if (value) write(*value);
    } else if constexpr (requires { const_cast<T&>(value).serialize(*this); }) {
      const_cast<T&>(value).serialize(*this);  // one non-const member describes both directions, as in cereal
    } else {
      static_assert(detail::always_false<T>, "this type has no serialize(Archive&) member");
    }
  }

  template <class U>
  void integer(U value) {
    char bytes[sizeof(U)];
    detail::store_integer(bytes, value);
    sink_->append(bytes, sizeof bytes);
  }

  bool count(std::size_t size) {
    if (size > std::numeric_limits<std::uint32_t>::max()) {
      ok_ = false;
      size = 0;
      integer(std::uint32_t{0});
      return false;
    }
    integer(static_cast<std::uint32_t>(size));
    return true;
  }

  Sink* sink_;
  bool ok_ = true;
};

// Appends to a std::string, whose capacity the caller keeps for the next use.
using bounded_writer = basic_writer<std::string>;

// How many bytes a writer would append for `value`.
template <class T>
[[nodiscard]] std::size_t encoded_size(const T& value) {
  byte_counter counter;
  basic_writer<byte_counter> archive(counter);
  archive(value);
  return counter.size();
}

// Reads values from bytes that nobody vouches for. The first error sticks: from then on every value read is
// empty or zero and ok() is false, so a caller may check once, at the end. Not thread-safe.
class bounded_reader {
 public:
  // string_views read out point into `bytes`, which must outlive them; shared_bytes read out are copies.
  explicit bounded_reader(std::string_view bytes) noexcept : bytes_(bytes) {}
  // shared_bytes read out are slices of `block`.
  explicit bounded_reader(shared_bytes block) noexcept : block_(std::move(block)), bytes_(block_.view()) {
    sliced_ = true;
  }

  template <class... Ts>
  bounded_reader& operator()(Ts&... values) {
    (read(values), ...);
    return *this;
  }

  [[nodiscard]] bool ok() const noexcept { return reason_ == nullptr; }
  // Everything was read, and nothing was wrong.
  [[nodiscard]] bool complete() const noexcept { return ok() && remaining() == 0; }
  [[nodiscard]] std::size_t remaining() const noexcept { return bytes_.size() - at_; }
  [[nodiscard]] std::size_t position() const noexcept { return at_; }

  // Marks the input as wrong at the present position. `reason` must be a string literal. The first call wins.
  void fail(const char* reason) noexcept {
    if (reason_ == nullptr) reason_ = reason;
  }

  // The error as a failure; `what` names the thing that was read.
  [[nodiscard]] failure error(errc code, std::string_view what) const {
    const char* reason = reason_ != nullptr ? reason_ : "unexpected bytes follow";
    return {code, std::string(what) + ": " + reason + " at offset " + std::to_string(at_) + " of " +
                      std::to_string(bytes_.size()) + " bytes"};
  }

  // The next `size` bytes.
  [[nodiscard]] std::string_view take(std::size_t size) noexcept {
    if (!ok()) return {};
    if (size > remaining()) {
      fail("a length exceeds the bytes that are left");
      return {};
    }
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  [[nodiscard]] shared_bytes take_shared(std::size_t size) {
    const std::string_view view = take(size);
    return sliced_ ? block_.slice(at_ - view.size(), view.size()) : shared_bytes::copy(view);
  }
  // Whether a slice of `size` bytes would keep a block of at most four times its size, or at most `small`.
  [[nodiscard]] bool slice_is_thrifty(std::size_t size, std::size_t small) const noexcept {
    return sliced_ && (bytes_.size() <= small || 4 * size >= bytes_.size());
  }
  [[nodiscard]] shared_bytes take_copy(std::size_t size) { return shared_bytes::copy(take(size)); }

  // A count of elements, each of at least `element_size` encoded bytes.
  [[nodiscard]] std::size_t take_count(std::size_t element_size) noexcept {
    std::uint32_t count = 0;
    integer(count);
    if (count > remaining() / std::max<std::size_t>(element_size, 1)) {
      fail("a count exceeds the bytes that are left");
      return 0;
    }
    return ok() ? count : 0;
  }

 private:
  template <class T>
  void read(T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      std::uint8_t byte = 0;
      integer(byte);
      if (byte > 1) fail("a boolean is neither 0 nor 1");
      value = byte == 1;
    } else if constexpr (std::is_integral_v<T>) {
      std::make_unsigned_t<T> bits = 0;
      integer(bits);
      value = static_cast<T>(bits);
    } else if constexpr (std::is_enum_v<T>) {
      read_enum(value);
    } else if constexpr (std::is_same_v<T, shared_bytes>) {
      value = take_shared(take_count(1));
    } else if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, std::string_view>) {
      value = T(take(take_count(1)));
    } else if constexpr (detail::is_vector<T>::value) {
      read_vector(value);
    } else if constexpr (detail::is_optional<T>::value) {
      bool present = false;
      read(present);
      value.reset();
      if (present && ok()) read(value.emplace());
    } else if constexpr (requires { value.serialize(*this); }) {
      value.serialize(*this);
    } else {
      static_assert(detail::always_false<T>, "this type has no serialize(Archive&) member");
    }
  }

  template <class E>
  void read_enum(E& value) {
    std::make_unsigned_t<std::underlying_type_t<E>> bits = 0;
    integer(bits);
    if (bits > last_enumerator<E>) {
      fail("an enumerator has an unknown value");
      bits = 0;
    }
    value = static_cast<E>(bits);
  }

  template <class T>
  void read_vector(std::vector<T>& values) {
    static const std::size_t smallest = encoded_size(T{});  // of a T with every container empty
    const std::size_t count = take_count(smallest);
    values.clear();
    values.reserve(count);
    for (std::size_t i = 0; i < count && ok(); ++i) read(values.emplace_back());
  }

  template <class U>
  void integer(U& value) noexcept {
    const std::string_view bytes = take(sizeof(U));
    value = bytes.empty() ? U{0} : detail::load_integer<U>(bytes.data());
  }

  shared_bytes block_;  // before bytes_, which may point into it
  std::string_view bytes_;
  std::size_t at_ = 0;
  const char* reason_ = nullptr;
  bool sliced_ = false;
};

}  // namespace confman
