// Messages as bytes. docs/format/protocol.md is the layout in words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "confman/core/message.hpp"
#include "confman/core/shared_bytes.hpp"
#include "confman/error.hpp"
#include "confman/wire/gather_buffer.hpp"

namespace confman {

// How many bytes encode_message() would append. O(entries).
[[nodiscard]] CONFMAN_DECL std::size_t encoded_message_size(const message& m);

// Appends the body of a message frame. Payloads from gather_buffer::reference_from on are referenced, not
// copied. Entries must be consecutive from previous.index + 1: their index doesn't travel, nor does any hash
// but the last.
CONFMAN_DECL void encode_message(const message& m, gather_buffer& out);

// Decodes a frame's body. Entry and command payloads are slices of `body`'s block: nothing is copied.
// Entry indices and chain hashes are computed here, from previous_hash on; the last must equal the one sent,
// so that a payload damaged anywhere between the two logs is found. Errors: bad_frame, for any bytes that
// encode_message() can't have written.
[[nodiscard]] CONFMAN_DECL result<message> decode_message(const shared_bytes& body);

// The same for bytes in a buffer that will be reused: a message with payloads is first copied into one block.
[[nodiscard]] CONFMAN_DECL result<message> decode_message(std::string_view body);

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/wire/impl/message_codec.ipp"
#endif
