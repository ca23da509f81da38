// Messages as bytes. docs/format/protocol.md is the layout in words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "confman/core/configuration.hpp"
#include "confman/core/message.hpp"
#include "confman/core/shared_bytes.hpp"
#include "confman/error.hpp"
#include "confman/wire/gather_buffer.hpp"

namespace confman {

// What decode_message() accepts at most: bytes of a snapshot piece (an address in a join message has at most
// max_address_bytes, as in a configuration). The slack leaves later versions room for a head of their own.
inline constexpr std::size_t max_snapshot_piece_bytes = (std::size_t{256} << 10) + 4096;

// Decoded entries up to this size share a block with their neighbours when they are copied: see
// decode_message().
inline constexpr std::size_t shared_block_bytes = 4096;

// How many bytes encode_message() would append. O(entries).
[[nodiscard]] CONFMAN_DECL std::size_t encoded_message_size(const message& m);

// Appends the body of a message frame. Payloads from gather_buffer::reference_from on are referenced, not
// copied. Entries must be consecutive from previous.index + 1: their index doesn't travel, nor does any hash
// but the last.
CONFMAN_DECL void encode_message(const message& m, gather_buffer& out);

// Decodes a frame's body. Payloads are slices of `body`'s block where that wastes little: a payload that
// lives on keeps its whole block, so what is smaller than a quarter of it is copied, and small neighbours
// together into a block of at most shared_block_bytes. So a payload that is kept alone keeps at most four
// times its size, or shared_block_bytes. A command or a piece of a snapshot fills its frame and is never
// copied. Entry indices and chain hashes are computed here, from previous_hash on; the last must equal the
// one sent, so that a payload damaged anywhere between the two logs is found. Errors: bad_frame, for any
// bytes that encode_message() can't have written.
[[nodiscard]] CONFMAN_DECL result<message> decode_message(const shared_bytes& body);

// The same for bytes in a buffer that will be reused: payloads are copied.
[[nodiscard]] CONFMAN_DECL result<message> decode_message(std::string_view body);

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/wire/impl/message_codec.ipp"
#endif
