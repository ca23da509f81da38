// Lanes: what passes what on the way to one peer, without sockets.
#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "confman/transport/detail/outbox.hpp"
#include "confman/transport/framing.hpp"
#include "confman/wire/archive.hpp"
#include "confman/wire/message_codec.hpp"

namespace {

using namespace confman;
using confman::detail::outbox;

message wrap(message_body body) {
  return {cluster_id(1), group_id(1), node_id(1), node_id(2), incarnation_id(1), term_t(1), std::move(body)};
}
message piece(std::uint64_t offset, const shared_bytes& bytes) {
  return wrap(snapshot_piece{{term_t(1), log_index(1)}, 7, ~std::uint64_t{0}, offset, bytes});
}
message ordinary(std::uint64_t request, const shared_bytes& bytes) {
  return wrap(forward_request{request, bytes});
}
message urgent(std::uint64_t round) {
  return wrap(heartbeat{log_index(0), round});
}

outbox::pushed push(outbox& box, const message& m) {
  return box.push(m, encoded_message_size(m));
}

std::vector<message> decode(const outbox::portion& p) {
  std::vector<message> messages;
  for (const auto& batch : p) {
    if (!batch) continue;
    std::string bytes = batch->bytes.str();
    std::string_view left = bytes;
    std::size_t count = 0;
    while (!left.empty()) {
      const auto length = confman::detail::load_integer<std::uint32_t>(left.data());
      auto m = decode_message(left.substr(frame_header_bytes, length));
      REQUIRE(m);
      messages.push_back(*std::move(m));
      left.remove_prefix(frame_header_bytes + length);
      ++count;
    }
    CHECK(count == batch->messages);
  }
  return messages;
}

const shared_bytes kib_256 = shared_bytes::copy(std::string(256 * 1024, 'p'));
const shared_bytes kib_100 = shared_bytes::copy(std::string(100 * 1024, 'o'));

}  // namespace

TEST_CASE("each message has the lane that its waiting asks for") {
  CHECK(lane_of(snapshot_piece{}) == lane::bulk);
  CHECK(lane_of(append_request{}) == lane::ordinary);
  CHECK(lane_of(forward_request{}) == lane::ordinary);
  CHECK(lane_of(commit_notice{}) == lane::ordinary);  // never before the entries it speaks of
  CHECK(lane_of(forward_response{}) == lane::urgent);
  CHECK(lane_of(forward_response{1, forward_status::applied, {}, kib_100}) == lane::ordinary);
  for (const message_body& body :
       std::vector<message_body>{pre_vote_request{}, pre_vote_response{}, vote_request{}, vote_response{},
                                 append_ok{}, append_reject{}, heartbeat{}, heartbeat_response{},
                                 read_index_request{}, read_index_response{}, stale_term{}, refused{},
                                 timeout_now{}, snapshot_piece_response{}, join_request{}, join_response{}})
    CHECK(lane_of(body) == lane::urgent);
}

TEST_CASE("a heartbeat leaves before 64 MiB of pieces and appends that were queued first") {
  tcp_options options;
  options.max_bulk_bytes = std::size_t{40} << 20;
  outbox box(options);
  for (std::uint64_t i = 0; i < 128; ++i) {
    REQUIRE(push(box, piece(i, kib_256)) == outbox::pushed::queued);
    REQUIRE(push(box, ordinary(i, kib_256)) == outbox::pushed::queued);
  }
  REQUIRE(push(box, urgent(9)) == outbox::pushed::queued);
  const auto first = decode(box.take());
  REQUIRE_FALSE(first.empty());
  CHECK(std::holds_alternative<heartbeat>(first[0].body));
}

TEST_CASE("each lane keeps its order, and everything queued leaves once") {
  tcp_options options;
  options.max_bulk_bytes = std::size_t{40} << 20;
  outbox box(options);
  const shared_bytes small = shared_bytes::copy("small");
  for (std::uint64_t i = 0; i < 100; ++i) {
    REQUIRE(push(box, piece(i, kib_256)) == outbox::pushed::queued);
    REQUIRE(push(box, ordinary(i, i % 3 == 0 ? kib_100 : small)) == outbox::pushed::queued);
    REQUIRE(push(box, urgent(i)) == outbox::pushed::queued);
  }
  std::uint64_t pieces = 0, requests = 0, rounds = 0;
  while (!box.empty()) {
    outbox::portion p = box.take();
    for (const message& m : decode(p)) {
      if (const auto* s = std::get_if<snapshot_piece>(&m.body)) CHECK(s->offset == pieces++);
      if (const auto* f = std::get_if<forward_request>(&m.body)) CHECK(f->request == requests++);
      if (const auto* h = std::get_if<heartbeat>(&m.body)) CHECK(h->round == rounds++);
    }
    box.give_back(std::move(p));
  }
  CHECK(pieces == 100);
  CHECK(requests == 100);
  CHECK(rounds == 100);
  for (const lane l : {lane::urgent, lane::ordinary, lane::bulk}) {
    CHECK(box.bytes(l) == 0);
    CHECK(box.messages(l) == 0);
  }
}

TEST_CASE("under constant load the bulk lane gets its share, one piece at a time, and no more") {
  tcp_options options;
  outbox box(options);
  std::size_t ordinary_bytes = 0, pieces = 0, between = 0;
  std::uint64_t next = 0;
  for (int round = 0; round < 400; ++round) {
    while (box.bytes(lane::ordinary) < (std::size_t{2} << 20))
      REQUIRE(push(box, ordinary(next++, kib_100)) == outbox::pushed::queued);
    while (box.bulk_room() > kib_256.size() + 128)
      REQUIRE(push(box, piece(0, kib_256)) == outbox::pushed::queued);
    outbox::portion p = box.take();
    REQUIRE(p[number(lane::ordinary)]);  // always gets on
    CHECK(p[number(lane::ordinary)]->bytes.size() <= outbox::max_batch_bytes);
    ordinary_bytes += p[number(lane::ordinary)]->bytes.size();
    between += p[number(lane::ordinary)]->bytes.size();
    if (p[number(lane::bulk)]) {
      CHECK(p[number(lane::bulk)]->messages == 1);
      CHECK(between >= outbox::bulk_turn_bytes);
      between = 0;
      ++pieces;
    }
    box.give_back(std::move(p));
  }
  CHECK(pieces >= ordinary_bytes / (outbox::bulk_turn_bytes + outbox::max_batch_bytes));
  CHECK(pieces > 50);
}

TEST_CASE("alone, the bulk lane sends one piece per write, so that what comes next waits for one at most") {
  tcp_options options;
  outbox box(options);
  for (std::uint64_t i = 0; i < 3; ++i) REQUIRE(push(box, piece(i, kib_256)) == outbox::pushed::queued);
  outbox::portion first = box.take();
  CHECK(decode(first).size() == 1);
  REQUIRE(push(box, ordinary(5, kib_100)) == outbox::pushed::queued);
  box.give_back(std::move(first));
  const auto second = decode(box.take());
  REQUIRE(second.size() == 2);
  CHECK(std::holds_alternative<forward_request>(second[0].body));
  CHECK(std::get<snapshot_piece>(second[1].body).offset == 1);
}

TEST_CASE("each lane has a bound of its own: a full one takes no room from the others") {
  tcp_options options;
  options.max_queued_bytes = std::size_t{1} << 20;
  options.max_urgent_bytes = 10000;
  options.max_bulk_bytes = std::size_t{2} << 20;
  outbox box(options);
  int queued = 0;
  while (push(box, ordinary(1, kib_100)) == outbox::pushed::queued) ++queued;
  CHECK(queued == 10);
  CHECK(push(box, ordinary(1, kib_100)) == outbox::pushed::still_full);
  CHECK(box.bytes(lane::ordinary) <= options.max_queued_bytes);
  queued = 0;
  while (push(box, piece(1, kib_256)) == outbox::pushed::queued) ++queued;
  CHECK(queued == 7);
  CHECK(box.bytes(lane::bulk) <= options.max_bulk_bytes);
  CHECK(box.bulk_room() == options.max_bulk_bytes - box.bytes(lane::bulk));
  CHECK(push(box, urgent(1)) == outbox::pushed::queued);
  queued = 1;
  while (push(box, urgent(1)) == outbox::pushed::queued) ++queued;
  CHECK(queued > 50);
  CHECK(box.bytes(lane::urgent) <= 10000);
  // What is out for writing counts until it is given back; half empty, the next overflow is news again.
  const shared_bytes whole = shared_bytes::copy(std::string(1 << 20, 'x'));
  outbox::portion first = box.take();
  const std::size_t held = box.bytes(lane::ordinary);
  CHECK(push(box, ordinary(2, whole)) == outbox::pushed::still_full);
  box.give_back(std::move(first));
  CHECK(box.bytes(lane::ordinary) < held);
  CHECK(push(box, ordinary(2, whole)) == outbox::pushed::still_full);
  while (!box.empty()) box.give_back(box.take());
  CHECK(box.bulk_room() == options.max_bulk_bytes);
  CHECK(push(box, ordinary(2, whole)) == outbox::pushed::full);
}

TEST_CASE("a piece is queued and taken without a copy of its bytes") {
  tcp_options options;
  outbox box(options);
  REQUIRE(push(box, piece(0, kib_256)) == outbox::pushed::queued);
  const outbox::portion p = box.take();
  bool referenced = false;
  p[number(lane::bulk)]->bytes.for_each_piece(
      {}, [&](std::string_view bytes) { referenced = referenced || bytes.data() == kib_256.data(); });
  CHECK(referenced);
}

TEST_CASE("a cleared outbox is empty and takes messages again") {
  tcp_options options;
  options.max_queued_bytes = 200000;
  outbox box(options);
  while (push(box, ordinary(1, kib_100)) == outbox::pushed::queued) {
  }
  const outbox::portion lost = box.take();  // as with a connection that ends in the middle of a write
  box.clear();
  CHECK(box.empty());
  CHECK(box.bytes(lane::ordinary) == 0);
  CHECK(push(box, ordinary(1, kib_100)) == outbox::pushed::queued);
}
