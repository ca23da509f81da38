#pragma once

#include <algorithm>
#include <asio/error.hpp>
#include <asio/ip/address.hpp>
#include <asio/post.hpp>
#include <cerrno>
#include <utility>
#include <variant>

#include "confman/transport/detail/tcp_engine.hpp"
#include "confman/wire/message_codec.hpp"

namespace confman::detail {

inline constexpr std::size_t smallest_bulk_lane = max_snapshot_piece_bytes + 1024;

CONFMAN_DECL tcp_engine::tcp_engine(asio::any_io_executor executor, tcp_options options)
    : context_(std::make_shared<tcp_context>(std::move(executor), std::move(options))),
      acceptor_(context_->executor),
      accept_timer_(context_->executor) {}

CONFMAN_DECL failure tcp_engine::listen() {
  const tcp_options& options = context_->options;
  if (!options.self) return {errc::bad_option, "tcp_options.self is 0: give each member an id from 1 up"};
  if (options.max_frame_bytes < max_greeting_bytes || options.max_frame_bytes > std::size_t{1} << 31)
    return {errc::bad_option, "tcp_options.max_frame_bytes is " + std::to_string(options.max_frame_bytes) +
                                  ": it must be from 4096 to 2^31"};
  if (options.max_bulk_bytes < smallest_bulk_lane)
    return {errc::bad_option, "tcp_options.max_bulk_bytes is " + std::to_string(options.max_bulk_bytes) +
                                  ": it must be at least " + std::to_string(smallest_bulk_lane) +
                                  ", for one piece of a snapshot"};
  for (const auto& [peer, text] : options.peers) {
    if (peer == options.self) continue;
    result<host_port> address = parse_address(text);
    if (!address)
      return {address.error().code, "node " + std::to_string(peer.value()) + ": " + address.error().what};
    addresses_[peer] = *std::move(address);
  }
  const result<asio::ip::tcp::endpoint> endpoint = listen_endpoint();
  if (!endpoint) return endpoint.error();
  if (failure error = open_acceptor(*endpoint)) {
    std::error_code ignored;
    acceptor_.close(ignored);
    return error;
  }
  std::error_code ignored;
  const auto bound = acceptor_.local_endpoint(ignored);
  port_ = bound.port();
  context_->advertised = options.advertise.empty() ? endpoint_text(bound) : options.advertise;
  return {};
}

CONFMAN_DECL result<asio::ip::tcp::endpoint> tcp_engine::listen_endpoint() {
  const std::string& text = context_->options.listen;
  const result<host_port> address = parse_address(text);
  if (!address) return address.error();
  std::error_code error;
  const asio::ip::address ip = asio::ip::make_address(address->host, error);
  if (!error) return asio::ip::tcp::endpoint(ip, address->port);
  asio::ip::tcp::resolver resolver(context_->executor);  // the blocking form: no thread
  const auto found = resolver.resolve(address->host, std::to_string(address->port), error);
  if (error || found.empty())
    return failure(errc::bad_address,
                   "listen address '" + text + "': the host is unknown (" + error.message() +
                       "); write an address of this machine (options.listen: 0.0.0.0 for all of them)");
  return found.begin()->endpoint();
}

CONFMAN_DECL failure tcp_engine::open_acceptor(const asio::ip::tcp::endpoint& endpoint) {
  const std::string where = "listen address " + endpoint_text(endpoint) + ": ";
  std::error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (!error) {
    close_on_exec(acceptor_.native_handle());
    return {};
  }
  if (error == asio::error::address_in_use)
    return {errc::address_in_use, where +
                                      "another process listens there; stop it (ss -ltnp shows which), or "
                                      "choose another port"};
  if (error == std::error_code(EADDRNOTAVAIL, asio::error::get_system_category()))
    return {errc::bad_address,
            where +
                "no interface of this machine has it; where peers reach it by another address, set "
                "options.listen to 0.0.0.0 and the port"};
  if (error == asio::error::access_denied)
    return {errc::bad_address, where + "permission denied; choose a port from 1024 up"};
  return {error, where + error.message()};
}

CONFMAN_DECL void tcp_engine::start(cluster_id cluster, incarnation_id incarnation,
                                    transport_handlers handlers) {
  CONFMAN_ASSERT(acceptor_.is_open() && !context_->running() && !stopped_,
                 "start() is called once, after listen()");
  context_->cluster = cluster;
  context_->incarnation = incarnation;
  context_->start(std::move(handlers));
  for (const auto& [peer, address] : addresses_) {
    context_->known.insert(peer);
    const auto link = links_[peer] = std::make_shared<tcp_link>(context_, peer, address);
    link->start();
  }
  accept();
}

CONFMAN_DECL void tcp_engine::stop() {
  if (std::exchange(stopped_, true)) return;
  std::error_code ignored;
  acceptor_.close(ignored);
  accept_timer_.cancel();
  for (const auto& [peer, link] : links_) link->stop();
  links_.clear();
  for (const auto& weak : sessions_)
    if (const auto session = weak.lock()) session->close();
  sessions_.clear();
  context_->incoming.clear();
  context_->guests.clear();
  context_->stop();
}

CONFMAN_DECL void tcp_engine::send(message&& m) {
  if (stopped_ || !context_->running()) return;
  const auto it = links_.find(m.to);
  if (it == links_.end()) {
    if (const auto guest = context_->guests.find(m.to);
        guest != context_->guests.end() && std::holds_alternative<join_response>(m.body)) {
      if (const auto session = guest->second.lock()) session->send_answer(m);
      return;
    }
    context_->report(
        {errc::unknown_peer, "a message to node " + std::to_string(m.to.value()) +
                                 " was dropped: its address is not known here; add it as a peer"});
    return context_->unreachable(m.to);
  }
  it->second->send(m);
  if (std::exchange(flush_scheduled_, true)) return;
  asio::post(context_->executor, [self = shared_from_this()] {
    self->flush_scheduled_ = false;
    self->flush();
  });
}

CONFMAN_DECL void tcp_engine::flush() {
  for (const auto& [peer, link] : links_) link->flush();
}

CONFMAN_DECL failure tcp_engine::add_peer(node_id peer, const std::string& address) {
  result<host_port> parsed = parse_address(address);
  if (!parsed)
    return {parsed.error().code, "node " + std::to_string(peer.value()) + ": " + parsed.error().what};
  if (stopped_ || peer == context_->options.self) return {};
  host_port& known = addresses_[peer];
  const bool same = known.host == parsed->host && known.port == parsed->port;
  known = *std::move(parsed);
  if (!context_->running() || (same && links_.count(peer) != 0)) return {};
  context_->known.insert(peer);
  close_session(context_->guests, peer);  // it comes back as a member
  std::shared_ptr<tcp_link>& link = links_[peer];
  if (link) {
    link->stop();
    context_->unreachable(peer);  // what was queued for the old address is lost
  }
  link = std::make_shared<tcp_link>(context_, peer, known);
  link->start();
  return {};
}

CONFMAN_DECL void tcp_engine::remove_peer(node_id peer) {
  addresses_.erase(peer);
  context_->known.erase(peer);
  if (const auto it = links_.find(peer); it != links_.end()) {
    it->second->stop();
    links_.erase(it);
  }
  close_session(context_->incoming, peer);
  close_session(context_->guests, peer);
}

CONFMAN_DECL void tcp_engine::close_session(std::map<node_id, std::weak_ptr<tcp_session>>& place,
                                            node_id peer) {
  const auto it = place.find(peer);
  if (it == place.end()) return;
  if (const auto session = it->second.lock()) session->close();
  place.erase(it);
}

CONFMAN_DECL std::size_t tcp_engine::bulk_room(node_id peer) const noexcept {
  const auto it = links_.find(peer);
  return it != links_.end() ? it->second->bulk_room() : 0;
}

CONFMAN_DECL bool tcp_engine::connected(node_id peer) const noexcept {
  const auto it = links_.find(peer);
  return it != links_.end() && it->second->member();
}

CONFMAN_DECL void tcp_engine::accept() {
  acceptor_.async_accept(context_->executor,
                         [self = shared_from_this()](std::error_code error, tcp_socket socket) {
                           self->on_accept(error, std::move(socket));
                         });
}

CONFMAN_DECL void tcp_engine::on_accept(std::error_code error, tcp_socket socket) {
  if (stopped_) return;
  if (error) {
    context_->report({error, "can't accept a connection: " + error.message() + "; trying again"});
    return accept_later();
  }
  sessions_.erase(std::remove_if(sessions_.begin(), sessions_.end(),
                                 [](const std::weak_ptr<tcp_session>& weak) { return weak.expired(); }),
                  sessions_.end());
  if (sessions_.size() >= context_->options.max_incoming) {
    context_->report({errc::busy, "closed a connection at once: " + std::to_string(sessions_.size()) +
                                      " are open already; is something other than a member connecting?"});
  } else {
    const auto session = std::make_shared<tcp_session>(context_, std::move(socket));
    sessions_.push_back(session);
    session->start();
  }
  accept();
}

// Out of descriptors, say: without a pause this would spin.
CONFMAN_DECL void tcp_engine::accept_later() {
  accept_timer_.expires_after(std::chrono::milliseconds(100));
  accept_timer_.async_wait([self = shared_from_this()](std::error_code error) {
    if (!error && !self->stopped_) self->accept();
  });
}

}  // namespace confman::detail
