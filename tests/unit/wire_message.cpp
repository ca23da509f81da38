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
  all.push_back(wrap(vote_response{true}));
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
    if (!bytes.empty()) bytes[0] = static_cast<char>(random() % 18);
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
