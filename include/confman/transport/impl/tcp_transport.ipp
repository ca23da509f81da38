#pragma once

#include <utility>

#include "confman/transport/detail/tcp_engine.hpp"
#include "confman/transport/tcp_transport.hpp"

namespace confman {

CONFMAN_DECL tcp_transport::tcp_transport(asio::any_io_executor executor, tcp_options options)
    : engine_(std::make_shared<detail::tcp_engine>(std::move(executor), std::move(options))) {}

CONFMAN_DECL tcp_transport::~tcp_transport() {
  engine_->stop();
}

CONFMAN_DECL failure tcp_transport::listen() {
  return engine_->listen();
}

CONFMAN_DECL void tcp_transport::start(cluster_id cluster, incarnation_id incarnation,
                                       transport_handlers handlers) {
  engine_->start(cluster, incarnation, std::move(handlers));
}

CONFMAN_DECL void tcp_transport::stop() {
  engine_->stop();
}
CONFMAN_DECL void tcp_transport::send(message&& m) {
  engine_->send(std::move(m));
}
CONFMAN_DECL void tcp_transport::flush() {
  engine_->flush();
}

CONFMAN_DECL failure tcp_transport::add_peer(node_id peer, const std::string& address) {
  return engine_->add_peer(peer, address);
}
CONFMAN_DECL void tcp_transport::remove_peer(node_id peer) {
  engine_->remove_peer(peer);
}

CONFMAN_DECL std::uint16_t tcp_transport::port() const noexcept {
  return engine_->port();
}
CONFMAN_DECL bool tcp_transport::connected(node_id peer) const noexcept {
  return engine_->connected(peer);
}
CONFMAN_DECL std::size_t tcp_transport::bulk_room(node_id peer) const noexcept {
  return engine_->bulk_room(peer);
}

}  // namespace confman
