// The frame reader: a stream cut anywhere gives what the whole stream gives, and never memory for a length
// above the limit.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "confman/transport/framing.hpp"
#include "confman/wire/archive.hpp"
#include "confman/wire/crc32c.hpp"
#include "confman/wire/message_codec.hpp"
#include "fuzz/target.hpp"

namespace {

using namespace confman;

struct stream_end {
  std::vector<std::pair<frame_kind, std::string>> frames;
  bool bad = false;

  friend bool operator==(const stream_end&, const stream_end&) = default;
};

void put_u32(std::string& out, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

// Frames with right checksums around parts of the input, some of them then damaged.
std::string build(fuzz::input& in) {
  std::string stream;
  while (!in.empty()) {
    const std::uint8_t how = in.byte();
    if (how >= 250) {  // as they are
      stream += in.bytes(40);
      continue;
    }
    std::string body(in.bytes(how % 8 == 7 ? 300 : 40));
    if (how % 16 == 15) body.resize(body.size() * 40 + 700, 'x');  // read straight into a block of its own
    std::string head;
    put_u32(head, static_cast<std::uint32_t>(body.size()));
    head.push_back(static_cast<char>(how >= 240 ? in.byte() : 1 + how % 4));
    put_u32(head, crc32c(body, crc32c(head)));
    if (how >= 230 && how < 240 && !body.empty()) body.front() = static_cast<char>(body.front() ^ 1);
    stream += head + body;
  }
  return stream;
}

// The same in a few lines, over the whole stream at once.
stream_end reference(std::string_view stream, std::size_t max_body) {
  stream_end end;
  while (stream.size() >= frame_header_bytes) {
    const std::size_t length = detail::load_integer<std::uint32_t>(stream.data());
    const auto kind = static_cast<std::uint8_t>(stream[4]);
    end.bad = kind < 1 || kind > 4 || length > max_body;
    if (end.bad || stream.size() - frame_header_bytes < length) break;
    const std::string_view body = stream.substr(frame_header_bytes, length);
    end.bad = crc32c(body, crc32c(stream.substr(0, 5))) != detail::load_integer<std::uint32_t>(&stream[5]);
    if (end.bad) break;
    end.frames.emplace_back(static_cast<frame_kind>(kind), body);
    stream.remove_prefix(frame_header_bytes + length);
  }
  return end;
}

stream_end read(std::string_view stream, std::size_t max_body, std::size_t capacity,
                std::string_view chunks) {
  stream_end end;
  frame_reader reader(max_body, capacity);
  frame f;
  for (std::size_t turn = 0;; ++turn) {
    while (reader.next(f)) end.frames.emplace_back(f.kind, f.body);
    end.bad = static_cast<bool>(reader.error());
    if (end.bad || stream.empty()) return end;
    std::size_t most = chunks.empty() ? 1 : 1 + static_cast<unsigned char>(chunks[turn % chunks.size()]);
    if (most > 200) most *= 50;
    if (turn == 3 && most % 7 == 0) reader.resize(max_body, capacity + 100 * most);
    std::size_t filled = 0;
    for (const std::span<char> place : reader.prepare()) {
      fuzz::expect(place.size() <= std::max({max_body, capacity + 300 * 200 * 50, std::size_t{512}}),
                   "no memory beyond the limit");
      const std::size_t part = std::min({place.size(), stream.size(), most - filled});
      if (part != 0) std::memcpy(place.data(), stream.data(), part);
      stream.remove_prefix(part);
      filled += part;
      if (part < place.size()) break;
    }
    fuzz::expect(filled != 0, "there is always room for more");
    reader.commit(filled);
  }
}

void use(const stream_end& end) {
  for (const auto& [kind, body] : end.frames) {
    if (kind == frame_kind::message) (void)decode_message(body);
    if (kind == frame_kind::refusal) (void)decode_refusal(body);
    if (kind != frame_kind::hello && kind != frame_kind::welcome) continue;
    if (const auto h = decode_hello(body))
      (void)check_hello(*h, {cluster_id(1), node_id(2), node_id(), false, "a:1"});
  }
}

}  // namespace

FUZZ_TARGET(frames) {
  fuzz::input in(bytes);
  const std::size_t max_body = in.flip() ? 1 + in.below(3000) : 100'000;
  const std::size_t capacity = in.below(5000);
  const std::string_view chunks = in.bytes(15);
  const std::string stream = build(in);
  const stream_end expected = reference(stream, max_body);
  fuzz::expect(read(stream, max_body, capacity, chunks) == expected, "cuts change nothing");
  use(expected);
}
