// Messages as bytes.
#include <doctest/doctest.h>

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "confman/core/message.hpp"
#include "confman/wire/message_codec.hpp"

namespace {

using namespace confman;

append_request make_append(const std::vector<std::string>& payloads) {
  append_request m;
  m.previous = {term_t(3), log_index(41)};
  m.previous_hash = chain_hash(0x1234567890ABCDEFu);
  m.commit = log_index(40);
  chain_hash hash = m.previous_hash;
  log_index index = m.previous.index;
  for (const std::string& payload : payloads) {
    entry e;
    e.term = term_t(5);
    e.index = ++index;
    e.type = payload.empty() ? entry_type::noop : entry_type::command;
    e.payload = shared_bytes::copy(payload);
    e.hash = hash = extend_chain(hash, e.term, static_cast<std::uint8_t>(e.type), payload);
    m.entries.push_back(std::move(e));
  }
  return m;
}

message wrap(message_body body) {
  return {cluster_id(11),     group_id(2), node_id(1),     node_id(3),
          incarnation_id(77), term_t(5),   std::move(body)};
}

std::vector<message> one_of_each() {
  const version at{term_t(4), log_index(9)};
  std::vector<message> all;
  all.push_back(wrap(pre_vote_request{term_t(6), at}));
  all.push_back(wrap(pre_vote_response{term_t(6), true}));
  all.push_back(wrap(vote_request{at}));
  all.push_back(wrap(vote_request{at, true}));
  all.push_back(wrap(vote_response{true, incarnation_id(78)}));
  all.push_back(wrap(make_append({})));
  all.push_back(wrap(make_append({"", "put", std::string(3000, 'x'), "y", std::string(1024, 'z')})));
  all.push_back(wrap(append_ok{log_index(8)}));
  all.push_back(wrap(append_reject{log_index(8), at}));
  all.push_back(wrap(heartbeat{log_index(8), 12}));
  all.push_back(wrap(heartbeat_response{12}));
  all.push_back(wrap(commit_notice{log_index(8)}));
  all.push_back(wrap(read_index_request{99}));
  all.push_back(wrap(read_index_response{99, log_index(8)}));
  all.push_back(wrap(stale_term{}));
  all.push_back(wrap(refused{incarnation_id(5)}));
  all.push_back(wrap(forward_request{7, shared_bytes::copy("command")}));
  all.push_back(wrap(forward_response{7, forward_status::applied, at, shared_bytes::copy("answer")}));
  all.push_back(wrap(timeout_now{}));
  all.push_back(wrap(snapshot_piece{at, 0x1122334455667788u, 5000, 1900, shared_bytes::copy("piece")}));
  all.push_back(wrap(snapshot_piece{at, 1, 5000, 1900, shared_bytes::copy(std::string(3100, 's'))}));
  all.push_back(wrap(snapshot_piece{at, 1, 5000, 5000, {}}));
  all.push_back(wrap(snapshot_piece_response{at, 0x1122334455667788u, 4096, true}));
  all.push_back(wrap(join_request{"10.0.0.9:7401", true, 3}));
  all.push_back(wrap(join_response{join_status::not_leader, 17, node_id(2), "10.0.0.2:7401"}));
  return all;
}

std::string encode(const message& m) {
  gather_buffer out;
  encode_message(m, out);
  CHECK(out.size() == encoded_message_size(m));
  return out.str();
}

}  // namespace

TEST_CASE("every message comes back as the same message, and each type occurs in this test") {
  std::vector<bool> seen(std::variant_size_v<message_body>);
  for (const message& in : one_of_each()) {
    seen[in.body.index()] = true;
    const std::string bytes = encode(in);
    for (const bool shared : {true, false}) {
      const result<message> out = shared ? decode_message(shared_bytes::copy(bytes)) : decode_message(bytes);
      REQUIRE(out);
      CHECK(out->cluster == in.cluster);
      CHECK(out->group == in.group);
      CHECK(out->from == in.from);
      CHECK(out->to == in.to);
      CHECK(out->incarnation == in.incarnation);
      CHECK(out->term == in.term);
      CHECK(out->body.index() == in.body.index());
      CHECK(encode(*out) == bytes);  // the encoding is a function of all fields
    }
  }
  for (const bool s : seen) CHECK(s);
}

TEST_CASE("entries come back with index and chain hash, as slices of the frame's block") {
  const message in = wrap(make_append({"", "put", std::string(3000, 'x')}));
  const shared_bytes body = shared_bytes::copy(encode(in));
  const result<message> out = decode_message(body);
  REQUIRE(out);
  const auto& sent = std::get<append_request>(in.body).entries;
  const auto& got = std::get<append_request>(out->body).entries;
  CHECK(got == sent);
  for (const entry& e : got)
    if (!e.payload.empty()) {
      CHECK(e.payload.data() >= body.data());
      CHECK(e.payload.data() + e.payload.size() <= body.data() + body.size());
    }
}

TEST_CASE("large payloads are referenced and small ones copied") {
  const message m = wrap(make_append({"small", std::string(5000, 'x'), "small"}));
  gather_buffer out;
  encode_message(m, out);
  const shared_bytes& large = std::get<append_request>(m.body).entries[1].payload;
  int pieces = 0;
  bool referenced = false;
  out.for_each_piece({}, [&](std::string_view piece) {
    ++pieces;
    referenced = referenced || piece.data() == large.data();
  });
  CHECK(pieces == 3);
  CHECK(referenced);
}

TEST_CASE("every truncation and every lengthening of a message is a bad frame") {
  for (const message& m : one_of_each()) {
    const std::string bytes = encode(m);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      const auto out = decode_message(std::string_view(bytes).substr(0, size));
      REQUIRE_FALSE(out);
      CHECK(out.error().code == errc::bad_frame);
    }
    CHECK_FALSE(decode_message(bytes + '\0'));
  }
}

TEST_CASE("a changed payload is found by the chain hash, even behind a right frame checksum") {
  const std::string bytes = encode(wrap(make_append({"put /a 1", std::string(40, 'x'), "y"})));
  const std::size_t table = 1 + 48 + 16 + 8 + 8 + 8 + 4;
  for (std::size_t i = table; i < bytes.size(); ++i)
    for (const int flip : {1, 0x10, 0x80}) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      const auto out = decode_message(damaged);
      REQUIRE_FALSE(out);
      CHECK(out.error().code == errc::bad_frame);
    }
}

TEST_CASE("any flipped byte decodes to a message or a bad frame") {
  for (const message& m : one_of_each()) {
    const std::string bytes = encode(m);
    for (std::size_t i = 0; i < bytes.size(); ++i)
      for (int bit = 0; bit < 8; ++bit) {
        std::string damaged = bytes;
        damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
        const auto out = decode_message(damaged);
        if (!out) CHECK(out.error().code == errc::bad_frame);
      }
  }
}

TEST_CASE("random bytes decode to a message or a bad frame") {
  std::mt19937_64 random(20);
  for (int round = 0; round < 50000; ++round) {
    std::string bytes(random() % 200, '\0');
    for (char& c : bytes) c = static_cast<char>(random() % 3 == 0 ? 0 : random());
    if (!bytes.empty()) bytes[0] = static_cast<char>(random() % 23);
    const auto out = decode_message(bytes);
    if (out) {
      CHECK(encode(*out) == bytes);  // only canonical bytes are accepted
    } else {
      CHECK(out.error().code == errc::bad_frame);
    }
  }
}

TEST_CASE("a count of entries beyond the input is refused") {
  std::string bytes = encode(wrap(make_append({})));
  bytes.replace(bytes.size() - 4, 4, "\xFF\xFF\xFF\xFF");
  CHECK_FALSE(decode_message(bytes));
  std::string one = encode(wrap(make_append({"abc"})));
  one.replace(one.size() - 7, 4, "\xFF\xFF\xFF\x7F");  // the payload's length
  CHECK_FALSE(decode_message(one));
}

TEST_CASE("an index that would overflow is refused") {
  append_request m = make_append({"x"});
  m.previous.index = log_index(~std::uint64_t{0});
  const auto out = decode_message(encode(wrap(m)));
  REQUIRE_FALSE(out);
  CHECK(out.error().what.find("overflows") != std::string::npos);
}

namespace {

snapshot_piece make_piece(std::size_t size) {
  snapshot_piece p;
  p.at = {term_t(4), log_index(9)};
  p.digest = 7;
  p.total = std::uint64_t{1} << 30;
  p.offset = 1 << 20;
  p.bytes = shared_bytes::copy(std::string(size, 's'));
  return p;
}

constexpr std::size_t envelope_bytes = 1 + 48;

}  // namespace

TEST_CASE("a snapshot piece is sent by reference and received as a slice of its frame's block") {
  const message in = wrap(make_piece(256 * 1024));
  const shared_bytes& sent = std::get<snapshot_piece>(in.body).bytes;
  gather_buffer out;
  encode_message(in, out);
  CHECK(out.pieces() == 3);
  bool referenced = false;
  out.for_each_piece({},
                     [&](std::string_view piece) { referenced = referenced || piece.data() == sent.data(); });
  CHECK(referenced);
  const shared_bytes body = shared_bytes::copy(out.str());
  const auto back = decode_message(body);
  REQUIRE(back);
  const shared_bytes& got = std::get<snapshot_piece>(back->body).bytes;
  CHECK(got == sent);
  CHECK(got.data() + got.size() == body.data() + body.size());
}

TEST_CASE("a snapshot piece that is too long, or reaches beyond its file, is refused") {
  CHECK(decode_message(shared_bytes::copy(encode(wrap(make_piece(max_snapshot_piece_bytes))))));
  const auto out = decode_message(shared_bytes::copy(encode(wrap(make_piece(max_snapshot_piece_bytes + 1)))));
  REQUIRE_FALSE(out);
  CHECK(out.error().code == errc::bad_frame);
  CHECK(out.error().what.find("too long") != std::string::npos);
  snapshot_piece beyond = make_piece(100);
  beyond.total = beyond.offset + 99;
  CHECK_FALSE(decode_message(encode(wrap(beyond))));
  beyond.total = beyond.offset + 100;
  CHECK(decode_message(encode(wrap(beyond))));
  beyond.offset = ~std::uint64_t{0};  // offset + size would wrap
  CHECK_FALSE(decode_message(encode(wrap(beyond))));
}

TEST_CASE("hostile lengths in pieces and join messages are refused before memory is taken") {
  std::string piece = encode(wrap(make_piece(100)));
  piece.replace(piece.size() - 104, 4, "\xFF\xFF\xFF\xFF");
  CHECK_FALSE(decode_message(piece));
  for (message_body body :
       std::vector<message_body>{join_request{"10.0.0.9:7401", false, 1},
                                 join_response{join_status::not_leader, 0, node_id(2), "10.0.0.2:7401"}}) {
    const bool request = std::holds_alternative<join_request>(body);
    std::string bytes = encode(wrap(std::move(body)));
    bytes.replace(envelope_bytes + (request ? 0 : 1 + 2 + 8), 4, "\xFF\xFF\xFF\x7F");
    const auto out = decode_message(bytes);
    REQUIRE_FALSE(out);
    CHECK(out.error().what.find("exceeds the bytes that are left") != std::string::npos);
  }
}

TEST_CASE("an address in a join message has a limit") {
  const std::string longest(max_address_bytes, 'a');
  CHECK(decode_message(encode(wrap(join_request{longest, false, 1}))));
  CHECK_FALSE(decode_message(encode(wrap(join_request{longest + "a", false, 1}))));
  CHECK(decode_message(encode(wrap(join_response{join_status::not_leader, 0, node_id(2), longest}))));
  CHECK_FALSE(
      decode_message(encode(wrap(join_response{join_status::not_leader, 0, node_id(2), longest + "a"}))));
}

TEST_CASE("an unknown join status is refused") {
  std::string bytes = encode(wrap(join_response{join_status::accepted, 0, node_id(0), ""}));
  bytes[envelope_bytes] = 3;
  CHECK_FALSE(decode_message(bytes));
}

namespace {

// The block a payload lies in, as far as the test can tell: consecutive payloads whose bytes touch.
bool touches(const shared_bytes& a, const shared_bytes& b) {
  return a.data() + a.size() == b.data();
}
bool lies_in(const shared_bytes& part, const shared_bytes& block) {
  return part.data() >= block.data() && part.data() + part.size() <= block.data() + block.size();
}

}  // namespace

TEST_CASE("an entry kept from a large frame doesn't keep the frame: at most four times its size or 4 KiB") {
  std::vector<std::string> payloads;
  for (int i = 0; i < 1000; ++i) payloads.emplace_back(static_cast<std::size_t>(i % 7) * 30, 'e');
  payloads.emplace_back(2000, 'm');    // too large to share a block, too small for a slice
  payloads.emplace_back(900000, 'L');  // most of the frame
  payloads.emplace_back(100000, 'm');
  payloads.emplace_back("last");
  const message in = wrap(make_append(payloads));
  const std::string bytes = encode(in);
  const shared_bytes body = shared_bytes::copy(bytes);
  for (const bool from_block : {true, false}) {
    const auto out = from_block ? decode_message(body) : decode_message(std::string_view(bytes));
    REQUIRE(out);
    const auto& entries = std::get<append_request>(out->body).entries;
    CHECK(entries == std::get<append_request>(in.body).entries);
    std::size_t run = 0;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const shared_bytes& payload = entries[i].payload;
      CHECK(lies_in(payload, body) == (from_block && payload.size() * 4 >= body.size()));
      run = i > 0 && touches(entries[i - 1].payload, payload) ? run + payload.size() : payload.size();
      if (payload.size() <= 1024) CHECK(run <= shared_block_bytes);
    }
    CHECK(touches(entries[1].payload, entries[2].payload));  // small ones share a block: no allocation each
  }
}

TEST_CASE("the payloads of a small frame share its block, however many they are") {
  const shared_bytes body =
      shared_bytes::copy(encode(wrap(make_append(std::vector<std::string>(100, "put")))));
  REQUIRE(body.size() <= shared_block_bytes);
  const auto out = decode_message(body);
  REQUIRE(out);
  for (const entry& e : std::get<append_request>(out->body).entries) CHECK(lies_in(e.payload, body));
}

TEST_CASE("truncating a large append anywhere near a payload's edge is a bad frame") {
  std::vector<std::string> payloads(200, std::string(100, 'e'));
  payloads.emplace_back(9000, 'x');
  payloads.emplace_back(2000, 'y');
  const std::string bytes = encode(wrap(make_append(payloads)));
  for (std::size_t cut = 1; cut < bytes.size(); cut += 37) {
    const std::string_view part = std::string_view(bytes).substr(0, bytes.size() - cut);
    CHECK_FALSE(decode_message(part));
    CHECK_FALSE(decode_message(shared_bytes::copy(part)));
  }
}
