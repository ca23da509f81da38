// tcp_transport on real loopback sockets.
#include <doctest/doctest.h>

#include <asio/connect.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>
#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include "confman/transport/framing.hpp"
#include "transport_harness.hpp"

using namespace confman_test;

namespace {

// Two nodes that know each other and are connected both ways.
struct connected_pair {
  explicit connected_pair(asio::io_context& io, tcp_options options = {})
      : a(io, 1, options), b(io, 2, options) {
    REQUIRE_FALSE(a.transport.listen());
    REQUIRE_FALSE(b.transport.listen());
    connect(a, b);
    a.start();
    b.start();
    REQUIRE(run_until(
        io, [&] { return a.transport.connected(node_id(2)) && b.transport.connected(node_id(1)); }));
  }
  tcp_node a, b;
};

}  // namespace

TEST_CASE("two transports exchange thousands of messages, each once and in order") {
  asio::io_context io;
  connected_pair pair(io);
  const std::uint64_t count = 10000;
  for (std::uint64_t i = 0; i < count; ++i) {
    pair.a.send(2, i, i % 50);
    pair.b.send(1, i, i % 3000);
    if (i % 100 == 0) io.poll();
  }
  REQUIRE(run_until(io, [&] { return pair.a.received.size() >= count && pair.b.received.size() >= count; }));
  for (std::uint64_t i = 0; i < count; ++i) {
    REQUIRE(pair.a.request(i) == i);
    REQUIRE(pair.b.request(i) == i);
  }
  CHECK(pair.a.received.size() == count);
  CHECK(pair.b.batches < count);  // many messages per read
  CHECK(pair.b.batches > 0);
}

TEST_CASE("messages sent together arrive together, and flush sends without waiting for the executor") {
  asio::io_context io;
  connected_pair pair(io);
  pair.b.batches = 0;
  for (std::uint64_t i = 0; i < 50; ++i) pair.a.send(2, i);
  pair.a.transport.flush();
  REQUIRE(run_until(io, [&] { return pair.b.received.size() == 50; }));
  CHECK(pair.b.batches == 1);
}

TEST_CASE("large frames arrive unchanged between small ones") {
  asio::io_context io;
  connected_pair pair(io);
  const std::size_t large = std::size_t{20} << 20;
  pair.a.send(2, 1, 10);
  pair.a.send(2, 2, large);
  pair.a.send(2, 3, 300000);
  pair.a.send(2, 4, 10);
  REQUIRE(run_until(io, [&] { return pair.b.received.size() == 4; }));
  for (std::size_t i = 0; i < 4; ++i) CHECK(pair.b.request(i) == i + 1);
  CHECK(std::get<forward_request>(pair.b.received[1].body).command.view() == std::string(large, '\x02'));
}

TEST_CASE("a message with hundreds of large payloads is one frame") {
  asio::io_context io;
  connected_pair pair(io);
  append_request append;
  chain_hash hash;
  for (std::uint64_t i = 1; i <= 300; ++i) {
    entry e{term_t(1),
            log_index(i),
            entry_type::command,
            shared_bytes::copy(std::string(1500, static_cast<char>(i))),
            {}};
    e.hash = hash = extend_chain(hash, e.term, 1, e.payload.view());
    append.entries.push_back(e);
  }
  const auto sent = append.entries;
  pair.a.transport.send(
      {the_cluster, group_id(4), node_id(1), node_id(2), incarnation_id(1), term_t(1), append});
  REQUIRE(run_until(io, [&] { return pair.b.received.size() == 1; }));
  CHECK(pair.b.received[0].group == group_id(4));
  CHECK(std::get<append_request>(pair.b.received[0].body).entries == sent);
}

TEST_CASE("a message beyond max_frame_bytes is dropped and reported, and the connection stays") {
  asio::io_context io;
  tcp_options options;
  options.max_frame_bytes = 10000;
  connected_pair pair(io, options);
  pair.a.send(2, 1, 20000);
  pair.a.send(2, 2, 9000);
  REQUIRE(run_until(io, [&] { return pair.b.received.size() == 1; }));
  CHECK(pair.b.request(0) == 2);
  CHECK(pair.a.reported(errc::value_too_large));
  CHECK(pair.a.unreachable.size() == 1);
}

TEST_CASE("a peer that restarts is reached again, and what was queued for the dead one is not sent again") {
  asio::io_context io;
  tcp_node a(io, 1);
  REQUIRE_FALSE(a.transport.listen());
  auto b = std::make_unique<tcp_node>(io, 2);
  REQUIRE_FALSE(b->transport.listen());
  const std::string address = b->address();
  connect(a, *b);
  a.start();
  b->start();
  REQUIRE(run_until(io, [&] { return a.transport.connected(node_id(2)); }));
  a.send(2, 1);
  REQUIRE(run_until(io, [&] { return b->received.size() == 1; }));
  b->transport.stop();
  b.reset();
  REQUIRE(run_until(io, [&] { return !a.transport.connected(node_id(2)); }));
  REQUIRE(run_until(io, [&] { return !a.unreachable.empty(); }));
  a.send(2, 2);  // nobody there: dropped

  tcp_options options;
  options.listen = address;
  tcp_node again(io, 2, options);
  REQUIRE_FALSE(again.transport.listen());
  (void)again.transport.add_peer(node_id(1), a.address());
  again.start(the_cluster, 2);
  REQUIRE(run_until(io, [&] { return a.transport.connected(node_id(2)); }));
  a.send(2, 3);
  REQUIRE(run_until(io, [&] { return !again.received.empty(); }));
  CHECK(again.request(0) == 3);
  again.send(1, 4);
  REQUIRE(run_until(io, [&] { return a.received.size() == 1; }));
}

TEST_CASE("a member of another cluster is refused, and both sides are told why") {
  asio::io_context io;
  tcp_node a(io, 1), b(io, 2);
  REQUIRE_FALSE(a.transport.listen());
  REQUIRE_FALSE(b.transport.listen());
  (void)a.transport.add_peer(node_id(2), b.address());
  (void)b.transport.add_peer(node_id(1), "127.0.0.1:1");
  a.start(cluster_id(5));
  b.start(cluster_id(6));
  REQUIRE(run_until(io, [&] { return a.reported(errc::wrong_cluster) && b.reported(errc::wrong_cluster); }));
  CHECK(a.text_of(errc::wrong_cluster)
            .find("refused this connection: node 1 at 127.0.0.1 belongs to cluster 5, "
                  "node 2 to cluster 6") != std::string::npos);
  CHECK_FALSE(a.transport.connected(node_id(2)));
  const std::size_t events = a.events.size();
  run_until(
      io, [] { return false; }, std::chrono::milliseconds(400));  // several more tries
  CHECK(a.events.size() == events);                               // the same sentence isn't repeated
}

TEST_CASE("a wrong node at an address, and a stranger, are refused") {
  asio::io_context io;
  tcp_node a(io, 1), b(io, 2), c(io, 3);
  for (tcp_node* n : {&a, &b, &c}) REQUIRE_FALSE(n->transport.listen());
  (void)a.transport.add_peer(node_id(9), b.address());  // 2 is there, not 9
  (void)c.transport.add_peer(node_id(2), b.address());  // 2 doesn't know 3
  for (tcp_node* n : {&a, &b, &c}) n->start();
  REQUIRE(run_until(io, [&] { return a.reported(errc::wrong_node) && c.reported(errc::unknown_peer); }));
  CHECK_FALSE(a.transport.connected(node_id(9)));
  CHECK_FALSE(c.transport.connected(node_id(2)));
  // Once it is added, the stranger gets in at its next try.
  (void)b.transport.add_peer(node_id(3), c.address());
  REQUIRE(run_until(io, [&] { return c.transport.connected(node_id(2)); }));
  b.transport.remove_peer(node_id(3));
  REQUIRE(run_until(io, [&] { return !c.transport.connected(node_id(2)); }));
}

TEST_CASE("messages in another's name are dropped and reported") {
  asio::io_context io;
  connected_pair pair(io);
  pair.a.incarnation_of = incarnation_id(99);
  pair.a.send(2, 1);
  pair.a.incarnation_of = incarnation_id(1);
  pair.a.send(2, 2);
  REQUIRE(run_until(io, [&] { return !pair.b.received.empty(); }));
  CHECK(pair.b.request(0) == 2);
  CHECK(run_until(io, [&] { return pair.b.reported(errc::unknown_peer); }));
}

TEST_CASE("a full queue drops messages and says so once") {
  asio::io_context io;
  tcp_options options;
  options.max_queued_messages = 100;
  tcp_node a(io, 1, options), b(io, 2);
  REQUIRE_FALSE(a.transport.listen());
  REQUIRE_FALSE(b.transport.listen());
  connect(a, b);
  a.start();
  b.start();
  REQUIRE(run_until(io, [&] { return a.transport.connected(node_id(2)); }));
  a.unreachable.clear();
  for (std::uint64_t i = 0; i < 1000; ++i) a.send(2, i);  // without giving the executor a turn
  REQUIRE(run_until(io, [&] { return b.received.size() == 100; }));
  CHECK(a.unreachable == std::vector<node_id>{node_id(2)});
  CHECK(a.reported(errc::busy));
  CHECK(b.request(99) == 99);
  io.poll();  // the completion of the last write makes room
  a.send(2, 5000);
  REQUIRE(run_until(io, [&] { return b.received.size() == 101; }));
  CHECK(b.request(100) == 5000);
}

TEST_CASE("the queue is bounded in bytes when the peer reads nothing") {
  asio::io_context io;
  asio::io_context frozen;  // never run after the hello: a stopped process
  tcp_options options;
  options.max_queued_bytes = std::size_t{8} << 20;
  tcp_node a(io, 1, options), b(frozen, 2);
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
  for (std::uint64_t i = 0; i < 400; ++i) {
    a.send(2, i, 100000);  // 40 MB in all
    io.poll();
  }
  REQUIRE(run_until(io, [&] { return !a.unreachable.empty(); }));
  CHECK(a.reported(errc::busy));
  a.transport.stop();
  b.transport.stop();
}

TEST_CASE("an address in use is said before anything starts") {
  asio::io_context io;
  tcp_node a(io, 1);
  REQUIRE_FALSE(a.transport.listen());
  tcp_options options;
  options.listen = a.address();
  tcp_node b(io, 2, options);
  const failure f = b.transport.listen();
  CHECK(f.code == errc::address_in_use);
  CHECK(f.what.find(a.address()) != std::string::npos);
  CHECK(f.what.find("choose another port") != std::string::npos);
}

TEST_CASE("impossible addresses are refused by listen and add_peer") {
  asio::io_context io;
  for (const char* bad : {"127.0.0.1", "nonsense", "192.0.2.1:0", "no-such-host.invalid:1"}) {
    tcp_options options;
    options.listen = bad;
    tcp_node n(io, 1, options);
    CHECK(n.transport.listen().code == errc::bad_address);
  }
  tcp_options options;
  options.peers[node_id(2)] = "10.0.0.1";
  tcp_node n(io, 1, options);
  const failure f = n.transport.listen();
  CHECK(f.code == errc::bad_address);
  CHECK(f.what.find("node 2: address '10.0.0.1'") != std::string::npos);
  tcp_node m(io, 1);
  REQUIRE_FALSE(m.transport.listen());
  CHECK(m.transport.add_peer(node_id(2), "x").code == errc::bad_address);
}

TEST_CASE("peers named by a host name are found") {
  asio::io_context io;
  tcp_options options;
  options.listen = "localhost:0";
  tcp_node b(io, 2, options);
  REQUIRE_FALSE(b.transport.listen());
  tcp_node a(io, 1);
  REQUIRE_FALSE(a.transport.listen());
  (void)a.transport.add_peer(node_id(2), "localhost:" + std::to_string(b.transport.port()));
  (void)b.transport.add_peer(node_id(1), a.address());
  a.start();
  b.start();
  CHECK(run_until(io, [&] { return a.transport.connected(node_id(2)); }));
}

TEST_CASE("bytes that are no frames close the connection and nothing else") {
  asio::io_context io;
  connected_pair pair(io);
  for (const std::string& bytes : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(9, '\xFF'),
                                   std::string("\x05\0\0\0\x04xxxxhello", 14)}) {
    asio::ip::tcp::socket socket(io);
    socket.connect({asio::ip::make_address("127.0.0.1"), pair.b.transport.port()});
    asio::write(socket, asio::buffer(bytes));
    bool closed = false;
    char reply[4096];
    socket.async_read_some(asio::buffer(reply),
                           [&](std::error_code error, std::size_t) { closed = bool(error); });
    REQUIRE(run_until(io, [&] { return closed; }));
  }
  CHECK(run_until(io, [&] { return pair.b.reported(errc::bad_frame); }));
  pair.a.send(2, 1);
  CHECK(run_until(io, [&] { return pair.b.received.size() == 1; }));
}

TEST_CASE("who connects and says nothing is cut off") {
  asio::io_context io;
  tcp_options options;
  options.hello_timeout = std::chrono::milliseconds(50);
  tcp_node a(io, 1, options);
  REQUIRE_FALSE(a.transport.listen());
  a.start();
  asio::ip::tcp::socket socket(io);
  socket.connect({asio::ip::make_address("127.0.0.1"), a.transport.port()});
  bool closed = false;
  char byte;
  socket.async_read_some(asio::buffer(&byte, 1),
                         [&](std::error_code error, std::size_t) { closed = bool(error); });
  CHECK(run_until(io, [&] { return closed; }));
}

TEST_CASE("after stop with traffic in flight no handler is called, and the context runs out of work") {
  asio::io_context io;
  auto pair = std::make_unique<connected_pair>(io);
  for (std::uint64_t i = 0; i < 5000; ++i) {
    pair->a.send(2, i, 2000);
    pair->b.send(1, i, 2000);
  }
  REQUIRE(run_until(io, [&] { return pair->a.received.size() > 100; }));
  pair->a.transport.stop();
  const std::size_t received = pair->a.received.size();
  run_until(
      io, [] { return false; }, std::chrono::milliseconds(50));
  CHECK(pair->a.received.size() == received);
  CHECK_FALSE(pair->b.transport.connected(node_id(1)));
  pair->b.transport.stop();
  pair.reset();
  io.restart();
  const auto begin = std::chrono::steady_clock::now();
  io.run();  // returns as soon as every pending operation has ended
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(1));
}

TEST_CASE("a handler may stop the transport") {
  asio::io_context io;
  connected_pair pair(io);
  pair.b.on_message = [&] {
    if (pair.b.received.size() == 3) pair.b.transport.stop();
  };
  for (std::uint64_t i = 0; i < 100; ++i) pair.a.send(2, i);
  REQUIRE(run_until(io, [&] { return !pair.a.transport.connected(node_id(2)); }));
  CHECK(pair.b.received.size() == 3);
}

TEST_CASE("the context may die with operations pending, after the transports") {
  auto io = std::make_unique<asio::io_context>();
  auto pair = std::make_unique<connected_pair>(*io);
  for (std::uint64_t i = 0; i < 2000; ++i) pair->a.send(2, i, 2000);
  run_until(*io, [&] { return pair->b.received.size() > 10; });
  pair.reset();  // not run any more: handlers are destroyed, never called
  io.reset();
}

TEST_CASE("a full mesh on several threads, with one strand per node, exchanges messages in order") {
  asio::io_context io;
  constexpr std::uint64_t nodes = 3, count = 2000;
  struct member_state {
    asio::strand<asio::io_context::executor_type> strand;
    std::unique_ptr<tcp_transport> transport;
    std::map<node_id, std::uint64_t> next{};
    std::uint64_t sent = 0;
    bool in_order = true;
  };
  std::vector<std::unique_ptr<member_state>> mesh;
  std::atomic<std::uint64_t> total{0};
  for (std::uint64_t i = 1; i <= nodes; ++i) {
    auto m = std::make_unique<member_state>(member_state{asio::make_strand(io), nullptr});
    m->transport = std::make_unique<tcp_transport>(m->strand, tcp_node::prepare({}, i));
    REQUIRE_FALSE(m->transport->listen());
    mesh.push_back(std::move(m));
  }
  std::vector<std::string> addresses;
  for (auto& m : mesh) addresses.push_back("127.0.0.1:" + std::to_string(m->transport->port()));
  const auto send_all = [&](std::uint64_t self) {
    member_state& m = *mesh[self - 1];
    for (std::uint64_t to = 1; to <= nodes; ++to)
      for (std::uint64_t i = 0; to != self && i < count; ++i)
        m.transport->send({the_cluster, group_id(1), node_id(self), node_id(to), incarnation_id(1), term_t(1),
                           forward_request{i, shared_bytes::copy(std::string(i % 2000, 'x'))}});
  };
  std::function<void(std::uint64_t)> when_connected = [&](std::uint64_t self) {
    bool all = true;
    for (std::uint64_t to = 1; to <= nodes; ++to)
      all = all && (to == self || mesh[self - 1]->transport->connected(node_id(to)));
    if (all) return send_all(self);
    auto timer = std::make_shared<asio::steady_timer>(mesh[self - 1]->strand, std::chrono::milliseconds(5));
    timer->async_wait([&, self, timer](std::error_code) { when_connected(self); });
  };
  for (std::uint64_t self = 1; self <= nodes; ++self)
    asio::post(mesh[self - 1]->strand, [&, self] {
      member_state& m = *mesh[self - 1];
      for (std::uint64_t to = 1; to <= nodes; ++to)
        if (to != self) (void)m.transport->add_peer(node_id(to), addresses[to - 1]);
      transport_handlers handlers;
      handlers.on_message = [&](message&& in) {
        m.in_order = m.in_order && std::get<forward_request>(in.body).request == m.next[in.from]++;
        ++total;
      };
      m.transport->start(the_cluster, incarnation_id(1), std::move(handlers));
      when_connected(self);
    });
  std::atomic<bool> give_up{false};
  std::thread watchdog([&] {
    for (int i = 0; i < 3000 && total < nodes * (nodes - 1) * count; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    give_up = total < nodes * (nodes - 1) * count;
    for (auto& m : mesh) asio::post(m->strand, [&m] { m->transport->stop(); });
  });
  std::thread second([&] { io.run(); });
  io.run();
  second.join();
  watchdog.join();
  io.restart();
  io.run();
  CHECK_FALSE(give_up);
  CHECK(total == nodes * (nodes - 1) * count);
  for (auto& m : mesh) CHECK(m->in_order);
}
