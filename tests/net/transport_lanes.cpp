// Lanes of a tcp_transport on real loopback sockets.
#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <variant>

#include "transport_harness.hpp"

using namespace confman_test;

namespace {

const shared_bytes piece_bytes = shared_bytes::copy(std::string(256 * 1024, 'p'));

void send(tcp_node& from, std::uint64_t to, message_body body) {
  from.transport.send({from.cluster_of, group_id(1), node_id(from.self), node_id(to), from.incarnation_of,
                       term_t(1), std::move(body)});
}
void send_piece(tcp_node& from, std::uint64_t to, std::uint64_t offset) {
  send(from, to, snapshot_piece{{term_t(1), log_index(1)}, 7, ~std::uint64_t{0}, offset, piece_bytes});
}

template <class Body>
std::size_t count_of(const tcp_node& n) {
  std::size_t count = 0;
  for (const message& m : n.received) count += std::holds_alternative<Body>(m.body) ? 1 : 0;
  return count;
}

struct lanes_pair {
  explicit lanes_pair(asio::io_context& io, tcp_options options = {}) : a(io, 1, options), b(io, 2) {
    REQUIRE_FALSE(a.transport.listen());
    REQUIRE_FALSE(b.transport.listen());
    connect(a, b);
    a.start();
    b.start();
    REQUIRE(run_until(io, [&] { return a.transport.connected(node_id(2)); }));
  }
  tcp_node a, b;
};

}  // namespace

TEST_CASE("a heartbeat overtakes 64 MiB of pieces and appends that are under way") {
  asio::io_context io;
  tcp_options options;
  options.max_bulk_bytes = std::size_t{40} << 20;
  lanes_pair pair(io, options);
  const std::size_t each = 120;
  for (std::uint64_t i = 0; i < each; ++i) {
    send_piece(pair.a, 2, i);
    pair.a.send(2, i, 256 * 1024);
  }
  // Midway, with the kernel's buffers full.
  REQUIRE(run_until(io, [&] { return pair.b.received.size() >= 20; }));
  const std::size_t before = pair.b.received.size();
  send(pair.a, 2, heartbeat{log_index(0), 5});
  REQUIRE(run_until(io, [&] { return count_of<heartbeat>(pair.b) == 1; }));
  CHECK(pair.b.received.size() - before <
        60);  // 180 MiB / 3: what kernels buffer on their way, not the queue
  REQUIRE(run_until(io, [&] { return pair.b.received.size() == 2 * each + 1; }));
  std::uint64_t offset = 0, request = 0;
  for (const message& m : pair.b.received) {
    if (const auto* p = std::get_if<snapshot_piece>(&m.body)) CHECK(p->offset == offset++);
    if (const auto* f = std::get_if<forward_request>(&m.body)) CHECK(f->request == request++);
  }
  CHECK(offset == each);
  CHECK(request == each);
}

TEST_CASE("queued together, a heartbeat arrives first and appends before pieces, which still get a share") {
  asio::io_context io;
  tcp_options options;
  options.max_bulk_bytes = std::size_t{40} << 20;
  lanes_pair pair(io, options);
  for (std::uint64_t i = 0; i < 100; ++i) send_piece(pair.a, 2, i);
  for (std::uint64_t i = 0; i < 200; ++i) pair.a.send(2, i, 100 * 1024);
  send(pair.a, 2, heartbeat{log_index(0), 5});
  REQUIRE(run_until(io, [&] { return pair.b.received.size() == 301; }));
  CHECK(std::holds_alternative<heartbeat>(pair.b.received[0].body));
  std::size_t appends = 0, pieces_among = 0, row = 0, longest_row = 0;
  for (const message& m : pair.b.received) {
    if (std::holds_alternative<forward_request>(m.body)) {
      ++appends;
      row = 0;
    } else if (std::holds_alternative<snapshot_piece>(m.body) && appends < 200) {
      ++pieces_among;
      longest_row = std::max(longest_row, ++row);
    }
  }
  CHECK(pieces_among >= 10);  // 20 MiB of appends
  CHECK(pieces_among <= 25);
  CHECK(longest_row == 1);  // an append waits for one piece at most
}

TEST_CASE("a full bulk lane drops silently, says its room, and takes nothing from the others") {
  asio::io_context io;
  lanes_pair pair(io);
  CHECK(pair.a.transport.bulk_room(node_id(2)) == default_max_bulk_bytes);
  CHECK(bulk_room_if_paced(pair.a.transport, node_id(2)) == default_max_bulk_bytes);
  CHECK(pair.a.transport.bulk_room(node_id(9)) == 0);
  std::uint64_t fit = 0;
  while (fit < 50 && pair.a.transport.bulk_room(node_id(2)) >= piece_bytes.size() + 128)
    send_piece(pair.a, 2, fit++);
  CHECK(fit == default_max_bulk_bytes / piece_bytes.size() - 1);  // each costs a little more than its bytes
  for (std::uint64_t i = 0; i < 100; ++i) send_piece(pair.a, 2, 1000);
  pair.a.send(2, 1, 100);
  REQUIRE(run_until(io, [&] { return pair.b.received.size() == fit + 1; }));
  io.poll();
  CHECK(pair.a.unreachable.empty());
  CHECK_FALSE(pair.a.reported(errc::busy));
  CHECK(pair.a.transport.bulk_room(node_id(2)) == default_max_bulk_bytes);  // written: all room again
  send_piece(pair.a, 2, fit);
  REQUIRE(run_until(io, [&] { return pair.b.received.size() == fit + 2; }));
}

TEST_CASE("pieces don't pile up for a peer that reads nothing, and heartbeats still have room") {
  asio::io_context io;
  asio::io_context frozen;
  tcp_node a(io, 1), b(frozen, 2);
  REQUIRE_FALSE(a.transport.listen());
  REQUIRE_FALSE(b.transport.listen());
  connect(a, b);
  a.start();
  b.start();
  REQUIRE(run_until(io, [&] {
    frozen.restart();
    frozen.poll();
    return a.transport.connected(node_id(2));
  }));
  a.unreachable.clear();
  for (std::uint64_t i = 0; i < 1000; ++i) {
    send_piece(a, 2, i);
    io.poll();
  }
  CHECK(a.transport.bulk_room(node_id(2)) < piece_bytes.size());
  for (std::uint64_t i = 0; i < 1000; ++i) send(a, 2, heartbeat{log_index(0), i});
  run_until(
      io, [] { return false; }, std::chrono::milliseconds(30));
  CHECK(a.unreachable.empty());
  a.transport.stop();
  b.transport.stop();
}

TEST_CASE("a bulk lane too small for one piece is refused by listen") {
  asio::io_context io;
  tcp_options options;
  options.max_bulk_bytes = 100000;
  tcp_node a(io, 1, options);
  CHECK(a.transport.listen().code == errc::bad_option);
}
