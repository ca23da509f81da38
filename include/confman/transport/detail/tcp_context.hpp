// What the parts of one tcp_transport share.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/ip/tcp.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "confman/core/ids.hpp"
#include "confman/core/message.hpp"
#include "confman/error.hpp"
#include "confman/transport/concepts.hpp"
#include "confman/transport/framing.hpp"
#include "confman/transport/tcp_options.hpp"

namespace confman::detail {

class tcp_session;

using tcp_socket = asio::ip::tcp::socket;

// Who owns whom: the engine owns this, the links and the acceptor; links and sessions own this; pending
// operations own their link, session or engine. Nothing here owns any of those, so there is no cycle. Used on
// `executor` only.
class tcp_context : public std::enable_shared_from_this<tcp_context> {
 public:
  tcp_context(asio::any_io_executor executor_in, tcp_options options_in)
      : executor(std::move(executor_in)), options(std::move(options_in)) {}

  const asio::any_io_executor executor;
  const tcp_options options;
  cluster_id cluster;
  incarnation_id incarnation;
  std::string advertised;
  std::set<node_id> known;                                 // peers that may connect
  std::map<node_id, std::weak_ptr<tcp_session>> incoming;  // the connection each peer sends on
  std::map<node_id, std::weak_ptr<tcp_session>> guests;    // the same of nodes that want to become peers

  CONFMAN_DECL void start(transport_handlers handlers);
  CONFMAN_DECL void stop();
  [[nodiscard]] bool running() const noexcept { return handlers_ != nullptr; }

  // Handlers are called from the top of an executor turn only; each call checks running() again, because the
  // one before may have stopped the transport.
  CONFMAN_DECL void deliver(message&& m);
  CONFMAN_DECL void end_batch();
  // Calls on_unreachable later, once for all calls of this turn.
  CONFMAN_DECL void unreachable(node_id peer);
  // Calls on_event later, unless the same text was reported within the last ten seconds.
  CONFMAN_DECL void report(failure event);

  // What this node says to `to` at the start of a connection.
  [[nodiscard]] CONFMAN_DECL hello greeting(node_id to) const;

 private:
  void schedule_notices();
  void deliver_notices();
  [[nodiscard]] bool admit(const std::string& text);

  std::shared_ptr<const transport_handlers> handlers_;  // empty before start() and after stop()
  std::set<node_id> unreachable_;
  std::vector<failure> events_;
  bool notices_scheduled_ = false;
  std::map<std::string, std::chrono::steady_clock::time_point> reported_;
};

// Options every connection gets; failures are of no consequence. The kernel's send queue is kept short: what
// is in it can't be passed by anything more urgent.
CONFMAN_DECL void tune_socket(tcp_socket& socket, std::chrono::milliseconds dead_peer_timeout);

// A child process of the host must not keep the socket open.
CONFMAN_DECL void close_on_exec(tcp_socket::native_handle_type handle) noexcept;

// "1.2.3.4:5", for messages.
[[nodiscard]] CONFMAN_DECL std::string endpoint_text(const asio::ip::tcp::endpoint& endpoint);

}  // namespace confman::detail

#if !defined(CONFMAN_COMPILED)
#include "confman/transport/impl/tcp_context.ipp"
#endif
