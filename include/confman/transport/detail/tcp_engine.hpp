// What is behind a tcp_transport: the acceptor and one link per peer.
#pragma once

#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "confman/transport/detail/tcp_context.hpp"
#include "confman/transport/detail/tcp_link.hpp"
#include "confman/transport/detail/tcp_session.hpp"

namespace confman::detail {

// See tcp_transport for what each function does.
class tcp_engine : public std::enable_shared_from_this<tcp_engine> {
 public:
  CONFMAN_DECL tcp_engine(asio::any_io_executor executor, tcp_options options);

  [[nodiscard]] CONFMAN_DECL failure listen();
  CONFMAN_DECL void start(cluster_id cluster, incarnation_id incarnation, transport_handlers handlers);
  CONFMAN_DECL void stop();
  CONFMAN_DECL void send(message&& m);
  CONFMAN_DECL void flush();
  CONFMAN_DECL failure add_peer(node_id peer, const std::string& address);
  CONFMAN_DECL void remove_peer(node_id peer);
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  [[nodiscard]] CONFMAN_DECL bool connected(node_id peer) const noexcept;
  [[nodiscard]] CONFMAN_DECL std::size_t bulk_room(node_id peer) const noexcept;

 private:
  [[nodiscard]] result<asio::ip::tcp::endpoint> listen_endpoint();
  [[nodiscard]] failure open_acceptor(const asio::ip::tcp::endpoint& endpoint);
  void accept();
  void on_accept(std::error_code error, tcp_socket socket);
  void accept_later();
  static void close_session(std::map<node_id, std::weak_ptr<tcp_session>>& place, node_id peer);

  std::shared_ptr<tcp_context> context_;
  asio::ip::tcp::acceptor acceptor_;
  asio::steady_timer accept_timer_;
  std::map<node_id, host_port> addresses_;
  std::map<node_id, std::shared_ptr<tcp_link>> links_;
  std::vector<std::weak_ptr<tcp_session>> sessions_;
  std::uint16_t port_ = 0;
  bool flush_scheduled_ = false;
  bool stopped_ = false;
};

}  // namespace confman::detail

#if !defined(CONFMAN_COMPILED)
#include "confman/transport/impl/tcp_engine.ipp"
#endif
