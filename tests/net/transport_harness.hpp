// Nodes with a tcp_transport each, on one io_context.
#pragma once

#include <asio/io_context.hpp>
#include <asio/strand.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "confman/transport/tcp_transport.hpp"

namespace confman_test {

using namespace confman;

inline const cluster_id the_cluster{7};

// A transport and all that it reported. Everything happens on one thread, that of run_until().
struct tcp_node {
  tcp_node(asio::io_context& io, std::uint64_t id, tcp_options options = {})
      : self(id), transport(asio::make_strand(io), prepare(std::move(options), id)) {}

  static tcp_options prepare(tcp_options options, std::uint64_t id) {
    options.self = node_id(id);
    if (options.listen.empty()) options.listen = "127.0.0.1:0";
    options.seed = id;
    return options;
  }

  void start(cluster_id cluster = the_cluster, std::uint64_t incarnation = 1) {
    incarnation_of = incarnation_id(incarnation);
    cluster_of = cluster;
    transport_handlers handlers;
    handlers.on_message = [this](message&& m) {
      received.push_back(std::move(m));
      if (on_message) on_message();
    };
    handlers.on_unreachable = [this](node_id peer) { unreachable.push_back(peer); };
    handlers.on_batch_end = [this] { ++batches; };
    handlers.on_event = [this](const failure& f) { events.push_back(f); };
    transport.start(cluster, incarnation_of, std::move(handlers));
  }

  void send(std::uint64_t to, std::uint64_t request, std::size_t payload = 0) {
    message m;
    m.cluster = cluster_of;
    m.from = node_id(self);
    m.to = node_id(to);
    m.incarnation = incarnation_of;
    m.term = term_t(1);
    m.body = forward_request{request, shared_bytes::copy(std::string(payload, static_cast<char>(request)))};
    transport.send(std::move(m));
  }

  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(transport.port()); }
  [[nodiscard]] std::uint64_t request(std::size_t i) const {
    return std::get<forward_request>(received[i].body).request;
  }
  [[nodiscard]] bool reported(errc code) const {
    for (const failure& f : events)
      if (f.code == code) return true;
    return false;
  }
  [[nodiscard]] std::string text_of(errc code) const {
    for (const failure& f : events)
      if (f.code == code) return f.what;
    return {};
  }

  std::uint64_t self;
  cluster_id cluster_of;
  incarnation_id incarnation_of;
  std::vector<message> received;
  std::vector<node_id> unreachable;
  std::vector<failure> events;
  std::size_t batches = 0;
  std::function<void()> on_message;
  tcp_transport transport;
};

// Runs handlers until `done()`, at most ten seconds. Returns done().
template <class F>
bool run_until(asio::io_context& io, F done, std::chrono::milliseconds limit = std::chrono::seconds(10)) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!done() && std::chrono::steady_clock::now() < deadline) {
    io.restart();
    io.run_one_for(std::chrono::milliseconds(20));
  }
  return done();
}

inline void connect(tcp_node& a, tcp_node& b) {
  (void)a.transport.add_peer(node_id(b.self), b.address());
  (void)b.transport.add_peer(node_id(a.self), a.address());
}

}  // namespace confman_test
