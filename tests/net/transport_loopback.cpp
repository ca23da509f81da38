// loopback_transport: nodes of one process.
#include <doctest/doctest.h>

#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/strand.hpp>
#include <asio/thread_pool.hpp>
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "confman/transport/loopback_transport.hpp"

namespace {

using namespace confman;

message make_message(std::uint64_t from, std::uint64_t to, std::uint64_t round) {
  return {cluster_id(1),     group_id(1), node_id(from),       node_id(to),
          incarnation_id(1), term_t(1),   heartbeat{{}, round}};
}

struct loopback_node {
  loopback_node(loopback_network& network, asio::io_context& io, std::uint64_t id)
      : transport(network, node_id(id), io.get_executor()) {
    transport_handlers handlers;
    handlers.on_message = [this](message&& m) {
      rounds.push_back(std::get<heartbeat>(m.body).round);
      if (on_message) on_message();
    };
    handlers.on_unreachable = [this](node_id peer) { unreachable.push_back(peer); };
    handlers.on_batch_end = [this] { ++batches; };
    transport.start(std::move(handlers));
  }
  std::vector<std::uint64_t> rounds;
  std::vector<node_id> unreachable;
  int batches = 0;
  std::function<void()> on_message;
  loopback_transport transport;
};

}  // namespace

TEST_CASE("loopback messages arrive in order, in one batch, and never inside send") {
  asio::io_context io;
  loopback_network network;
  loopback_node a(network, io, 1), b(network, io, 2);
  for (std::uint64_t i = 0; i < 5; ++i) a.transport.send(make_message(1, 2, i));
  CHECK(b.rounds.empty());
  io.run();
  CHECK(b.rounds == std::vector<std::uint64_t>{0, 1, 2, 3, 4});
  CHECK(b.batches == 1);
  CHECK(a.unreachable.empty());
}

TEST_CASE("a cut loopback link loses messages one way, an isolated node both ways, until healed") {
  asio::io_context io;
  loopback_network network;
  loopback_node a(network, io, 1), b(network, io, 2);
  network.cut(node_id(1), node_id(2));
  a.transport.send(make_message(1, 2, 1));
  b.transport.send(make_message(2, 1, 2));
  io.run();
  CHECK(b.rounds.empty());
  CHECK(a.rounds == std::vector<std::uint64_t>{2});
  CHECK(a.unreachable == std::vector<node_id>{node_id(2)});
  network.heal();
  network.isolate(node_id(1));
  a.transport.send(make_message(1, 2, 3));
  b.transport.send(make_message(2, 1, 4));
  io.restart();
  io.run();
  CHECK(b.rounds.empty());
  CHECK(a.rounds.size() == 1);
  network.heal();
  a.transport.send(make_message(1, 2, 5));
  io.restart();
  io.run();
  CHECK(b.rounds == std::vector<std::uint64_t>{5});
}

TEST_CASE("a loopback receiver's queue is bounded") {
  asio::io_context io;
  loopback_network network;
  loopback_node a(network, io, 1), b(network, io, 2);
  for (std::uint64_t i = 0; i < 20000; ++i) a.transport.send(make_message(1, 2, i));
  io.run();
  CHECK(b.rounds.size() == 16384);
  CHECK(a.unreachable.size() == 1);
}

TEST_CASE("a loopback receiver's bulk lane is bounded per sender, silently, and says its room") {
  asio::io_context io;
  loopback_network network;
  loopback_node a(network, io, 1), b(network, io, 2), c(network, io, 3);
  std::size_t pieces = 0;
  const auto piece_to_2 = [](std::uint64_t from) {
    message m = make_message(from, 2, 0);
    m.body = snapshot_piece{{}, 1, 1 << 20, 0, shared_bytes::copy(std::string(256 * 1024, 'p'))};
    return m;
  };
  transport_handlers handlers;
  handlers.on_message = [&](message&& m) {
    pieces += std::holds_alternative<snapshot_piece>(m.body) ? 1 : 0;
  };
  b.transport.stop();
  CHECK(a.transport.bulk_room(node_id(2)) == 0);
  b.transport.start(std::move(handlers));
  CHECK(a.transport.bulk_room(node_id(2)) == default_max_bulk_bytes);
  for (int i = 0; i < 50; ++i) a.transport.send(piece_to_2(1));
  CHECK(a.transport.bulk_room(node_id(2)) < 256 * 1024);
  CHECK(c.transport.bulk_room(node_id(2)) == default_max_bulk_bytes);
  c.transport.send(piece_to_2(3));
  io.run();
  // Each costs a little more than its bytes.
  CHECK(pieces == default_max_bulk_bytes / (256 * 1024) - 1 + 1);
  CHECK(a.unreachable.empty());
  CHECK(a.transport.bulk_room(node_id(2)) == default_max_bulk_bytes);
}

TEST_CASE("a stopped or absent loopback node is unreachable, and hears nothing more") {
  asio::io_context io;
  loopback_network network;
  loopback_node a(network, io, 1), b(network, io, 2);
  b.on_message = [&b] { b.transport.stop(); };
  a.transport.send(make_message(1, 2, 1));
  a.transport.send(make_message(1, 2, 2));
  a.transport.send(make_message(1, 3, 3));
  io.run();
  CHECK(b.rounds.size() == 1);
  CHECK(b.batches == 0);
  CHECK(a.unreachable == std::vector<node_id>{node_id(3)});
  a.transport.send(make_message(1, 2, 4));
  io.restart();
  io.run();
  CHECK(a.unreachable.size() == 2);
}

TEST_CASE("loopback nodes on strands of a thread pool exchange messages") {
  asio::thread_pool pool(2);
  loopback_network network;
  const auto strand_1 = asio::make_strand(pool), strand_2 = asio::make_strand(pool);
  loopback_transport a(network, node_id(1), strand_1), b(network, node_id(2), strand_2);
  std::atomic<int> rounds{0};
  transport_handlers bounce_a, bounce_b;
  bounce_a.on_message = [&](message&&) {
    if (++rounds < 1000) a.send(make_message(1, 2, 0));
  };
  bounce_b.on_message = [&](message&&) { b.send(make_message(2, 1, 0)); };
  asio::post(strand_2, [&] {
    b.start(std::move(bounce_b));
    asio::post(strand_1, [&] {
      a.start(std::move(bounce_a));
      a.send(make_message(1, 2, 0));
    });
  });
  pool.join();
  CHECK(rounds == 1000);
}
