// Frames and the hello.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "confman/transport/address.hpp"
#include "confman/transport/framing.hpp"
#include "confman/wire/crc32c.hpp"
#include "confman/wire/message_codec.hpp"

namespace {

using namespace confman;

message make_message(std::uint64_t round, std::size_t payload) {
  message m;
  m.cluster = cluster_id(1);
  m.from = node_id(1);
  m.to = node_id(2);
  m.term = term_t(3);
  m.body =
      forward_request{round, shared_bytes::copy(std::string(payload, static_cast<char>('a' + round % 26)))};
  return m;
}

std::string make_frames(const std::vector<std::size_t>& payloads) {
  gather_buffer out;
  std::uint64_t round = 0;
  for (const std::size_t payload : payloads) append_message_frame(make_message(++round, payload), out);
  return out.str();
}

// Copies up to `chunk` bytes to where the reader wants them; returns how many it took.
std::size_t feed(frame_reader& reader, std::string_view bytes, std::size_t chunk) {
  const auto spans = reader.prepare();
  std::size_t done = 0;
  for (const auto& span : spans) {
    const std::size_t part = std::min({span.size(), bytes.size() - done, chunk - done});
    if (part != 0) std::memcpy(span.data(), bytes.data() + done, part);
    done += part;
  }
  reader.commit(done);
  return done;
}

struct outcome {
  std::vector<std::string> bodies;
  std::vector<bool> own_block;
  failure error;
};

outcome read_all(std::string_view bytes, std::size_t chunk, std::size_t capacity,
                 std::size_t max_body = 1 << 20) {
  frame_reader reader(max_body, capacity);
  outcome o;
  frame f;
  while (!bytes.empty() && !reader.error()) {
    const std::size_t taken = feed(reader, bytes, chunk);
    REQUIRE(taken > 0);
    bytes.remove_prefix(taken);
    while (reader.next(f)) {
      o.bodies.emplace_back(f.body);
      o.own_block.push_back(!f.block.empty());
    }
  }
  o.error = reader.error();
  return o;
}

hello make_hello() {
  hello h;
  h.cluster = cluster_id(5);
  h.from = node_id(2);
  h.to = node_id(1);
  h.incarnation = incarnation_id(8);
  h.address = "10.0.0.2:7401";
  h.guest = true;
  return h;
}

hello_expectation expect_from_2() {
  return {cluster_id(5), node_id(1), node_id(0), true, "10.0.0.2"};
}

}  // namespace

TEST_CASE("frames come out whole whatever the size of the chunks they arrive in") {
  const std::vector<std::size_t> payloads{0, 1, 10, 300, 0, 2000, 5000, 3, 40000, 0};
  const std::string bytes = make_frames(payloads);
  for (std::size_t chunk : {1u, 2u, 3u, 7u, 8u, 9u, 10u, 63u, 64u, 100u, 511u, 512u, 1000u, 4096u, 100000u}) {
    for (std::size_t capacity : {512u, 1024u, 4096u, 262144u}) {
      CAPTURE(chunk);
      CAPTURE(capacity);
      const outcome o = read_all(bytes, chunk, capacity);
      CHECK_FALSE(o.error);
      REQUIRE(o.bodies.size() == payloads.size());
      for (std::size_t i = 0; i < payloads.size(); ++i) {
        const auto m = decode_message(o.bodies[i]);
        REQUIRE(m);
        CHECK(std::get<forward_request>(m->body).request == i + 1);
        CHECK(std::get<forward_request>(m->body).command.size() == payloads[i]);
      }
    }
  }
}

TEST_CASE("each chunk size from 1 to 200 gives the same frames") {
  const std::string bytes = make_frames({5, 600, 0, 90, 1200});
  const outcome whole = read_all(bytes, bytes.size(), 65536);
  REQUIRE(whole.bodies.size() == 5);
  for (std::size_t chunk = 1; chunk <= 200; ++chunk)
    CHECK(read_all(bytes, chunk, 512).bodies == whole.bodies);
}

TEST_CASE("a large body is read into its own block and shared by what is decoded from it") {
  const std::string bytes = make_frames({100000, 5});
  frame_reader reader(1 << 20, 4096);
  std::string_view left = bytes;
  frame f;
  while (!reader.next(f)) left.remove_prefix(feed(reader, left, left.size()));
  REQUIRE_FALSE(f.block.empty());
  const auto m = decode_message(f.block);
  REQUIRE(m);
  const shared_bytes& command = std::get<forward_request>(m->body).command;
  CHECK(command.data() > f.block.data());
  CHECK(command.data() + command.size() == f.block.data() + f.block.size());
  CHECK(reader.next(f));  // what followed the large body was read by the same call
  CHECK(f.block.empty());
}

TEST_CASE("a frame beyond the limit is refused by its header alone") {
  const std::string bytes = make_frames({5000});
  const outcome o = read_all(std::string_view(bytes).substr(0, frame_header_bytes), 100, 512, 4096);
  REQUIRE(o.error);
  CHECK(o.error.code == errc::bad_frame);
  CHECK(o.error.what.find("at most 4096") != std::string::npos);
}

TEST_CASE("a length bomb takes no memory") {
  const std::string bomb("\xFF\xFF\xFF\x7F\x04\0\0\0\0", 9);
  const outcome o = read_all(bomb, 9, 512);
  CHECK(o.error.code == errc::bad_frame);
}

TEST_CASE("every flipped bit of a stream is caught, and no frame after it is delivered") {
  const std::string bytes = make_frames({20, 0, 700});
  const outcome good = read_all(bytes, bytes.size(), 512);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      const outcome o = read_all(damaged, damaged.size(), 512);
      REQUIRE(o.bodies.size() < good.bodies.size());  // an error, or a length that waits for bytes
      CHECK(std::equal(o.bodies.begin(), o.bodies.end(), good.bodies.begin()));
    }
}

TEST_CASE("random bytes never give a frame") {
  std::mt19937_64 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(random() % 600, '\0');
    for (char& c : bytes) c = static_cast<char>(random() % 4 == 0 ? random() : 0);
    if (bytes.size() > 4) bytes[4] = static_cast<char>(1 + random() % 4);
    CHECK(read_all(bytes, 1 + random() % 64, 512).bodies.empty());
  }
}

TEST_CASE("the reader keeps unread bytes when its limits change") {
  const std::string bytes = make_frames({5, 6, 3000});
  frame_reader reader(4096, 4096);
  std::string_view left = bytes;
  frame f;
  left.remove_prefix(feed(reader, left, 200));
  REQUIRE(reader.next(f));
  reader.resize(1 << 20, 65536);
  int frames = 1;
  while (!left.empty()) {
    while (reader.next(f)) ++frames;
    left.remove_prefix(feed(reader, left, 100));
  }
  while (reader.next(f)) ++frames;
  CHECK(frames == 3);
  CHECK_FALSE(reader.error());
}

TEST_CASE("a hello comes back, and every truncation is refused") {
  gather_buffer out;
  append_hello_frame(frame_kind::hello, make_hello(), out);
  const outcome o = read_all(out.str(), 1000, 512);
  REQUIRE(o.bodies.size() == 1);
  const std::string& body = o.bodies[0];
  const auto h = decode_hello(body);
  REQUIRE(h);
  CHECK(h->cluster == cluster_id(5));
  CHECK(h->from == node_id(2));
  CHECK(h->to == node_id(1));
  CHECK(h->incarnation == incarnation_id(8));
  CHECK(h->address == "10.0.0.2:7401");
  CHECK(h->guest);
  CHECK_FALSE(check_hello(*h, expect_from_2()));
  for (std::size_t size = 0; size < body.size(); ++size) CHECK_FALSE(decode_hello(body.substr(0, size)));
  CHECK(decode_hello(body + "a later version's field"));
  CHECK(decode_hello("GET / HTTP/1.1\r\n").error().code == errc::bad_frame);
}

TEST_CASE("a hello is refused with what differs, where, and what to do") {
  hello h = make_hello();
  h.cluster = cluster_id(6);
  failure f = check_hello(h, expect_from_2());
  CHECK(f.code == errc::wrong_cluster);
  CHECK(f.what.find("node 2 at 10.0.0.2 belongs to cluster 6, node 1 to cluster 5") == 0);

  h = make_hello();
  h.to = node_id(7);
  CHECK(check_hello(h, expect_from_2()).code == errc::wrong_node);

  h = make_hello();
  h.from = node_id(1);
  CHECK(check_hello(h, expect_from_2()).code == errc::wrong_node);

  hello_expectation dialled = expect_from_2();
  dialled.peer = node_id(3);
  CHECK(check_hello(make_hello(), dialled).code == errc::wrong_node);

  hello_expectation stranger = expect_from_2();
  stranger.peer_known = false;
  CHECK_FALSE(check_hello(make_hello(), stranger));  // it comes as a guest
  h = make_hello();
  h.from = node_id(0);
  CHECK(check_hello(h, stranger).code == errc::wrong_node);
  h = make_hello();
  h.guest = false;
  f = check_hello(h, stranger);
  CHECK(f.code == errc::unknown_peer);
  CHECK(f.what.find("add it to the cluster first") != std::string::npos);
}

TEST_CASE("a peer of another protocol version is told so, whatever else its hello holds") {
  hello h = make_hello();
  h.newest_version = 9;
  h.oldest_version = 8;
  gather_buffer out;
  append_hello_frame(frame_kind::hello, h, out);
  const std::string body = out.str().substr(frame_header_bytes, 8) + "an unknown layout";
  const auto decoded = decode_hello(body);
  REQUIRE(decoded);
  const failure f = check_hello(*decoded, expect_from_2());
  CHECK(f.code == errc::protocol_mismatch);
  CHECK(f.what.find("versions 8 to 9") != std::string::npos);
  h.oldest_version = 1;  // a newer peer that still speaks ours
  CHECK_FALSE(check_hello(h, expect_from_2()));
}

TEST_CASE("a refusal carries its reason, printable and short") {
  for (const errc code :
       {errc::wrong_cluster, errc::wrong_node, errc::unknown_peer, errc::protocol_mismatch, errc::busy}) {
    gather_buffer out;
    append_refusal_frame({code, "why\nnot"}, out);
    const auto r = decode_refusal(out.str().substr(frame_header_bytes));
    REQUIRE(r);
    CHECK(r->code == code);
    CHECK(r->text == "why?not");
  }
  gather_buffer out;
  append_refusal_frame({errc::storage_failed, std::string(100000, 'x')}, out);
  CHECK(out.size() < max_greeting_bytes);
  const auto r = decode_refusal(out.str().substr(frame_header_bytes));
  REQUIRE(r);
  CHECK(r->code == errc::bad_frame);
  CHECK(r->text.size() == 512);
}

TEST_CASE("addresses are host and port") {
  CHECK(parse_address("10.0.0.1:7401")->port == 7401);
  CHECK(parse_address("[::1]:7401")->host == "::1");
  CHECK(parse_address("db-1.example:0")->host == "db-1.example");
  for (const char* bad :
       {"", "host", "host:", ":7401", "host:x", "host:65536", "host:-1", "::1:7401", "h:1 "}) {
    const auto parsed = parse_address(bad);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == errc::bad_address);
  }
}
