// Peers that come and go, and guests that want to become peers.
#include <doctest/doctest.h>

#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "confman/transport/framing.hpp"
#include "transport_harness.hpp"

using namespace confman_test;

namespace {

message make(const tcp_node& from, std::uint64_t to, message_body body) {
  return {from.cluster_of,     group_id(1), node_id(from.self), node_id(to),
          from.incarnation_of, term_t(1),   std::move(body)};
}
join_request ask(const tcp_node& n) {
  return {n.address(), false, 1};
}

// Sends join requests from `guest` to `member` until one arrives.
bool knock(asio::io_context& io, tcp_node& guest, tcp_node& member) {
  const std::size_t before = member.received.size();
  auto next = std::chrono::steady_clock::now();
  return run_until(io, [&] {
    if (std::chrono::steady_clock::now() >= next) {
      guest.transport.send(make(guest, member.self, ask(guest)));
      next = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
    }
    return member.received.size() > before;
  });
}

// A connection made by hand that says hello as a guest.
struct raw_guest {
  raw_guest(asio::io_context& io, std::uint64_t id, const tcp_node& member) : socket(io) {
    hello h;
    h.cluster = the_cluster;
    h.from = node_id(id);
    h.to = node_id(member.self);
    h.incarnation = incarnation_id(5);
    h.address = "192.0.2.1:9";
    h.guest = true;
    gather_buffer out;
    append_hello_frame(frame_kind::hello, h, out);
    socket.connect({asio::ip::make_address("127.0.0.1"), member.transport.port()});
    asio::write(socket, asio::buffer(out.str()));
    read();
  }
  void read() {
    socket.async_read_some(asio::buffer(buffer), [this](std::error_code error, std::size_t size) {
      closed = closed || error;
      got.append(buffer, size);
      if (!error) read();
    });
  }
  void send(const tcp_node& member, message_body body, std::uint64_t id) {
    gather_buffer out;
    append_message_frame({the_cluster, group_id(1), node_id(id), node_id(member.self), incarnation_id(5),
                          term_t(1), std::move(body)},
                         out);
    asio::write(socket, asio::buffer(out.str()));
  }
  [[nodiscard]] bool kind_is(frame_kind kind) const {
    return got.size() > 4 && got[4] == static_cast<char>(kind);
  }
  asio::ip::tcp::socket socket;
  char buffer[4096];
  std::string got;
  bool closed = false;
};

struct listening : tcp_node {
  listening(asio::io_context& io, std::uint64_t id, tcp_options options = {}) : tcp_node(io, id, options) {
    REQUIRE_FALSE(transport.listen());
  }
};

}  // namespace

TEST_CASE(
    "a known peer's address may change while messages are queued: the new place gets only what follows") {
  asio::io_context io;
  listening a(io, 1), old_b(io, 2), new_b(io, 2);
  connect(a, old_b);
  (void)new_b.transport.add_peer(node_id(1), a.address());
  a.start();
  old_b.start();
  new_b.start();
  REQUIRE(run_until(io, [&] { return a.transport.connected(node_id(2)); }));
  a.unreachable.clear();
  for (std::uint64_t i = 0; i < 100; ++i) a.send(2, i, 100000);
  CHECK_FALSE(a.transport.add_peer(node_id(2), new_b.address()));
  CHECK_FALSE(a.transport.connected(node_id(2)));
  REQUIRE(run_until(io, [&] { return a.transport.connected(node_id(2)); }));
  CHECK(a.unreachable == std::vector<node_id>{node_id(2)});  // what was queued may be lost
  a.send(2, 1000);
  REQUIRE(run_until(io, [&] { return !new_b.received.empty(); }));
  CHECK(new_b.request(0) == 1000);
  for (const message& m : old_b.received) CHECK(std::get<forward_request>(m.body).request < 100);
  CHECK_FALSE(a.transport.add_peer(node_id(2), new_b.address()));  // the same again changes nothing
  CHECK(a.transport.connected(node_id(2)));
}

TEST_CASE("a peer removed with messages queued gets none of them later, and may be added again") {
  asio::io_context io;
  listening a(io, 1), b(io, 2);
  connect(a, b);
  a.start();
  b.start();
  const auto both = [&] { return a.transport.connected(node_id(2)) && b.transport.connected(node_id(1)); };
  REQUIRE(run_until(io, both));
  for (int round = 0; round < 3; ++round) {
    b.received.clear();
    for (std::uint64_t i = 0; i < 200; ++i) a.send(2, i, 100000);
    a.transport.remove_peer(node_id(2));
    a.transport.remove_peer(node_id(2));
    CHECK(a.transport.bulk_room(node_id(2)) == 0);
    REQUIRE(run_until(io, [&] { return !b.transport.connected(node_id(1)); }));
    a.unreachable.clear();
    a.send(2, 500);
    REQUIRE(run_until(io, [&] { return !a.unreachable.empty(); }));
    CHECK_FALSE(a.transport.add_peer(node_id(2), b.address()));
    REQUIRE(run_until(io, both));
    a.send(2, 1000);
    REQUIRE(run_until(io, [&] {
      return !b.received.empty() && std::get<forward_request>(b.received.back().body).request == 1000;
    }));
    // Before it may only be what the kernel had taken when the peer was removed.
    CHECK(b.received.size() < 150);
    for (std::size_t i = 0; i + 1 < b.received.size(); ++i) CHECK(b.request(i) == i);
  }
}

TEST_CASE("peers added before start, while connecting and while in back-off are reached") {
  asio::io_context io;
  listening a(io, 1), b(io, 2), c(io, 3);
  (void)a.transport.add_peer(node_id(2), "127.0.0.1:1");
  a.transport.remove_peer(node_id(2));
  (void)a.transport.add_peer(node_id(2), b.address());
  for (tcp_node* n : {&b, &c}) (void)n->transport.add_peer(node_id(1), a.address());
  for (tcp_node* n : std::vector<tcp_node*>{&a, &b, &c}) n->start();
  REQUIRE(run_until(io, [&] { return a.transport.connected(node_id(2)); }));
  (void)a.transport.add_peer(node_id(3), "127.0.0.1:1");  // nobody there
  (void)a.transport.add_peer(node_id(3), c.address());    // at once another address
  REQUIRE(run_until(io, [&] { return a.transport.connected(node_id(3)); }));
  (void)a.transport.add_peer(node_id(3), "127.0.0.1:1");
  REQUIRE(run_until(io, [&] { return !a.events.empty(); }));  // connection refused
  (void)a.transport.add_peer(node_id(3), c.address());
  REQUIRE(run_until(io, [&] { return a.transport.connected(node_id(3)); }));
}

TEST_CASE("a handler may remove the peer whose message it handles") {
  asio::io_context io;
  listening a(io, 1), b(io, 2);
  connect(a, b);
  b.on_message = [&] { b.transport.remove_peer(node_id(1)); };
  a.start();
  b.start();
  REQUIRE(run_until(io, [&] { return a.transport.connected(node_id(2)); }));
  for (std::uint64_t i = 0; i < 10; ++i) a.send(2, i);
  REQUIRE(run_until(io, [&] { return !a.transport.connected(node_id(2)); }));
  CHECK(b.received.size() == 1);
}

TEST_CASE("a node that isn't known asks to join, is answered, and becomes a member on the way") {
  asio::io_context io;
  listening member(io, 1), joiner(io, 2);
  (void)joiner.transport.add_peer(node_id(1), member.address());
  member.start();
  joiner.start();
  REQUIRE(knock(io, joiner, member));
  const auto* request = std::get_if<join_request>(&member.received[0].body);
  REQUIRE(request);
  CHECK(request->address == joiner.address());
  CHECK(member.received[0].from == node_id(2));
  CHECK(member.batches > 0);                            // the runtime is told to act
  CHECK_FALSE(joiner.transport.connected(node_id(1)));  // as a guest: nothing else could leave
  CHECK(joiner.transport.bulk_room(node_id(1)) == 0);
  joiner.batches = 0;
  member.transport.send(make(member, 2, join_response{join_status::not_leader, 0, node_id(3), "10.0.0.3:1"}));
  REQUIRE(run_until(io, [&] { return !joiner.received.empty(); }));
  const auto* response = std::get_if<join_response>(&joiner.received[0].body);
  REQUIRE(response);
  CHECK(response->leader_address == "10.0.0.3:1");
  CHECK(run_until(io, [&] { return joiner.batches > 0; }));

  REQUIRE(knock(io, joiner, member));  // a second question on the same connection
  CHECK_FALSE(member.transport.add_peer(node_id(2), joiner.address()));
  REQUIRE(run_until(
      io, [&] { return joiner.transport.connected(node_id(1)) && member.transport.connected(node_id(2)); }));
  member.received.clear();
  joiner.send(1, 42);
  REQUIRE(run_until(io, [&] { return !member.received.empty(); }));
  CHECK(member.request(0) == 42);
  joiner.transport.send(make(joiner, 1, ask(joiner)));  // a member may ask again
  REQUIRE(run_until(io, [&] { return member.received.size() == 2; }));
  member.transport.remove_peer(node_id(2));
  REQUIRE(run_until(io, [&] { return !joiner.transport.connected(node_id(1)); }));
}

TEST_CASE("what else a guest's node would send is dropped at home, and said to be") {
  asio::io_context io;
  listening member(io, 1), joiner(io, 2);
  (void)joiner.transport.add_peer(node_id(1), member.address());
  member.start();
  joiner.start();
  REQUIRE(knock(io, joiner, member));
  run_until(
      io, [] { return false; }, std::chrono::milliseconds(20));
  joiner.unreachable.clear();
  const std::size_t before = member.received.size();
  joiner.send(1, 1);
  REQUIRE(run_until(io, [&] { return !joiner.unreachable.empty(); }));
  REQUIRE(knock(io, joiner, member));
  for (std::size_t i = before; i < member.received.size(); ++i)
    CHECK(std::holds_alternative<join_request>(member.received[i].body));
}

TEST_CASE("a guest that sends anything but a join request, or a large frame, is thrown out") {
  asio::io_context io;
  listening member(io, 1);
  member.start();
  const std::vector<message_body> wrong{
      heartbeat{log_index(1), 1}, vote_request{}, forward_request{1, shared_bytes::copy("x")},
      snapshot_piece{{}, 1, 1 << 20, 0, shared_bytes::copy(std::string(100000, 'x'))},
      join_request{std::string(5000, 'a'), false, 1}};
  for (const message_body& body : wrong) {
    raw_guest guest(io, 9, member);
    REQUIRE(run_until(io, [&] { return guest.kind_is(frame_kind::welcome); }));
    guest.send(member, body, 9);
    REQUIRE(run_until(io, [&] { return guest.closed; }));
  }
  raw_guest liar(io, 9, member);
  liar.send(member, join_request{"a:1", false, 1}, 8);  // in the name of another
  liar.send(member, join_request{"b:1", false, 1}, 9);
  REQUIRE(run_until(io, [&] { return !member.received.empty(); }));
  CHECK(member.received.size() == 1);
  CHECK(std::get<join_request>(member.received[0].body).address == "b:1");
}

TEST_CASE("guests of the wrong cluster, or without an id, are refused") {
  asio::io_context io;
  listening member(io, 1), joiner(io, 2);
  member.start();
  (void)joiner.transport.add_peer(node_id(1), member.address());
  joiner.start(cluster_id(99));
  joiner.transport.send(make(joiner, 1, ask(joiner)));
  REQUIRE(run_until(io, [&] { return joiner.reported(errc::wrong_cluster); }));
  raw_guest nobody(io, 0, member);
  REQUIRE(run_until(io, [&] { return nobody.closed; }));
  CHECK(nobody.kind_is(frame_kind::refusal));
  CHECK(member.received.empty());
}

TEST_CASE("guests are bounded in number and leave when they ask nothing") {
  asio::io_context io;
  tcp_options options;
  options.max_guests = 3;
  options.guest_timeout = std::chrono::milliseconds(300);
  listening member(io, 1, options);
  member.start();
  std::vector<std::unique_ptr<raw_guest>> guests;
  for (std::uint64_t id = 11; id < 14; ++id) {
    guests.push_back(std::make_unique<raw_guest>(io, id, member));
    REQUIRE(run_until(io, [&] { return guests.back()->kind_is(frame_kind::welcome); }));
  }
  raw_guest again(io, 12, member);  // takes the place of its older connection
  REQUIRE(run_until(io, [&] { return again.kind_is(frame_kind::welcome) && guests[1]->closed; }));
  raw_guest fourth(io, 14, member);
  REQUIRE(run_until(io, [&] { return fourth.kind_is(frame_kind::refusal); }));
  CHECK(member.text_of(errc::busy).find("wants to join, but 3 others do so already") != std::string::npos);
  REQUIRE(run_until(io, [&] { return guests[0]->closed && guests[2]->closed && again.closed; }));
  raw_guest later(io, 14, member);
  REQUIRE(run_until(io, [&] { return later.kind_is(frame_kind::welcome); }));
}

TEST_CASE("an answer to a guest that has left, and other messages to guests, go nowhere") {
  asio::io_context io;
  listening member(io, 1);
  member.start();
  {
    raw_guest guest(io, 9, member);
    REQUIRE(run_until(io, [&] { return guest.kind_is(frame_kind::welcome); }));
    const std::size_t before = guest.got.size();
    member.send(9, 1);  // not for a guest
    REQUIRE(run_until(io, [&] { return member.unreachable.size() == 1; }));
    CHECK(guest.got.size() == before);
    guest.socket.close();
    run_until(
        io, [] { return false; }, std::chrono::milliseconds(20));
  }
  member.transport.send(make(member, 9, join_response{join_status::accepted, 0, {}, ""}));
  member.transport.stop();
}
