// Frames and the hello, without I/O. docs/format/protocol.md is the layout in words.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "confman/core/ids.hpp"
#include "confman/core/message.hpp"
#include "confman/core/shared_bytes.hpp"
#include "confman/error.hpp"
#include "confman/wire/gather_buffer.hpp"

namespace confman {

inline constexpr std::uint16_t protocol_version = 1;         // the newest that this build speaks
inline constexpr std::uint16_t oldest_protocol_version = 1;  // and the oldest

inline constexpr std::size_t frame_header_bytes = 4 + 1 + 4;  // length, kind, CRC32C
inline constexpr std::size_t max_greeting_bytes = 4096;       // of a hello, welcome or refusal body

enum class frame_kind : std::uint8_t {
  hello = 1,    // the connecting side speaks first
  welcome = 2,  // the accepting side's hello, in answer: messages may follow
  refusal = 3,  // the accepting side says why not, and closes
  message = 4,
};

// One frame taken from a stream.
struct frame {
  frame_kind kind{};
  // Valid until the reader's next prepare(), or as long as `block` if that isn't empty.
  std::string_view body;
  shared_bytes block;  // the body, if it was large enough to be read straight into a block of its own
};

// Cuts a stream of bytes into frames. Usage:
//   for (;;) {
//     read into prepare();
//     commit(bytes_read);
//     while (reader.next(f)) use(f);
//     if (reader.error()) close;
//   }
//
// Invariants:
//   1. no memory is taken for a length above max_body; begin_ <= end_ <= capacity.
//   2. `large_` holds a value exactly while a body is being read straight into its block; then the buffer
//      holds only what follows that body.
//   3. after an error nothing is read any more.
// Not thread-safe.
class frame_reader {
 public:
  // max_body: largest body accepted, in bytes. capacity: bytes read at once, at least 512.
  CONFMAN_DECL frame_reader(std::size_t max_body, std::size_t capacity);

  // Changes both limits; unread bytes stay. For the moment after the hello, from when a peer may send more.
  CONFMAN_DECL void resize(std::size_t max_body, std::size_t capacity);

  // Where the next bytes belong, to be filled in this order; either may be empty, not both as long as next()
  // was called until it returned false.
  [[nodiscard]] CONFMAN_DECL std::array<std::span<char>, 2> prepare();
  // `size` bytes were read to where prepare() said. Precondition: they fit there.
  CONFMAN_DECL void commit(std::size_t size);

  // Takes the next complete frame. False: more bytes are needed, or error() says what is wrong.
  [[nodiscard]] CONFMAN_DECL bool next(frame& out);

  // bad_frame: too long, unknown kind, or damaged. The stream can't be read on.
  [[nodiscard]] const failure& error() const noexcept { return error_; }

 private:
  struct header {
    std::uint32_t length = 0;
    frame_kind kind{};
    std::uint32_t crc = 0;
    std::uint32_t seed = 0;  // checksum of length and kind, which that of the body continues
  };
  struct large_body {
    header head;
    shared_bytes::builder block;
    std::size_t filled = 0;
    std::uint32_t crc = 0;
  };

  [[nodiscard]] bool parse_header(header& head);
  void begin_large(const header& head);
  [[nodiscard]] bool finish_large(frame& out);
  [[nodiscard]] bool intact(const header& head, std::uint32_t crc);

  std::size_t max_body_;
  std::size_t capacity_;
  std::unique_ptr<char[]> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::optional<large_body> large_;
  failure error_;
};

// Appends one frame holding `m`. Precondition: its body fits max_body of the reader (see
// encoded_message_size()).
CONFMAN_DECL void append_message_frame(const message& m, gather_buffer& out);

// What each side says of itself before the first message.
struct hello {
  std::uint16_t newest_version = protocol_version;
  std::uint16_t oldest_version = oldest_protocol_version;
  cluster_id cluster;
  group_id group;  // 0: the connection serves every group
  node_id from;
  node_id to;  // whom the sender believes to be talking to
  incarnation_id incarnation;
  std::string address;  // where `from` accepts connections, "host:port"
  // In a hello: if you don't know me, let me in to ask to join. In a welcome: that is how you are let in.
  bool guest = false;
};

// Why the accepting side refuses.
struct refusal {
  std::error_code code;  // wrong_cluster, wrong_node, unknown_peer, protocol_mismatch, busy or bad_frame
  std::string text;
};

// Appends one frame. kind: hello or welcome.
CONFMAN_DECL void append_hello_frame(frame_kind kind, const hello& h, gather_buffer& out);
CONFMAN_DECL void append_refusal_frame(const failure& why, gather_buffer& out);

// Errors: bad_frame. If no version is shared, only the versions are filled in, for check_hello() to say so.
[[nodiscard]] CONFMAN_DECL result<hello> decode_hello(std::string_view body);
[[nodiscard]] CONFMAN_DECL result<refusal> decode_refusal(std::string_view body);

// What the reader of a hello or welcome knows of itself and of the other side.
struct hello_expectation {
  cluster_id cluster;
  node_id self;
  node_id peer;             // who should be there; 0: anyone who is known
  bool peer_known = false;  // hello.from is a member; who isn't may come as a guest
  std::string_view where;   // the other side's address, for the message
};

// Whether to talk to the sender of `theirs`: no error, or protocol_mismatch, wrong_cluster, wrong_node or
// unknown_peer with a sentence that says what differs, where, and what to do.
[[nodiscard]] CONFMAN_DECL failure check_hello(const hello& theirs, const hello_expectation& ours);

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/transport/impl/framing.ipp"
#endif
