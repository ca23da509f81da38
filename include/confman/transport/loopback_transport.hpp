// Messages between nodes of one process, without sockets: for tests and examples.
#pragma once

#include <asio/any_io_executor.hpp>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "confman/core/ids.hpp"
#include "confman/core/message.hpp"
#include "confman/transport/concepts.hpp"
#include "confman/transport/lane.hpp"

namespace confman {

namespace detail {

// One node's side of the network. Shared by its transport, by the network for as long as the transport lives,
// and by deliveries on their way. Thread safety: post() from any thread; what the handlers touch only on
// `executor`.
class loopback_endpoint : public std::enable_shared_from_this<loopback_endpoint> {
 public:
  static constexpr std::size_t max_queued_messages = 16384;

  explicit loopback_endpoint(asio::any_io_executor executor) : executor_(std::move(executor)) {}

  CONFMAN_DECL void start(transport_handlers handlers);
  CONFMAN_DECL void stop();
  // Queues a message for this node. False: the queue is full. A bulk message without room is dropped, and
  // nothing said.
  CONFMAN_DECL bool post(message&& m);
  // Bytes of bulk messages that this node would still take from `sender`.
  [[nodiscard]] CONFMAN_DECL std::size_t bulk_room(node_id sender);
  // Queues on_unreachable(peer) for this node.
  CONFMAN_DECL void post_unreachable(node_id peer);

 private:
  void schedule_locked();
  void deliver();

  asio::any_io_executor executor_;
  std::shared_ptr<const transport_handlers> handlers_;  // touched on the executor only; empty when stopped
  std::mutex mutex_;
  std::vector<message> queue_;                 // guarded by mutex_
  std::map<node_id, std::size_t> bulk_bytes_;  // guarded by mutex_: in queue_, per sender
  std::set<node_id> unreachable_;              // guarded by mutex_
  bool scheduled_ = false;                     // guarded by mutex_: a delivery is on its way
  bool open_ = false;                          // guarded by mutex_
};

}  // namespace detail

// Connects loopback_transports. Must outlive them. Any thread.
class loopback_network {
 public:
  // Loses everything `from` sends to `to`, until heal().
  CONFMAN_DECL void cut(node_id from, node_id to);
  // Loses everything between `node` and all others, both ways, until heal().
  CONFMAN_DECL void isolate(node_id node);
  // Every link works again.
  CONFMAN_DECL void heal();

 private:
  friend class loopback_transport;
  void attach(node_id node, const std::shared_ptr<detail::loopback_endpoint>& endpoint);
  void detach(node_id node, const std::shared_ptr<detail::loopback_endpoint>& endpoint);
  [[nodiscard]] std::shared_ptr<detail::loopback_endpoint> route(node_id from, node_id to);

  std::mutex mutex_;
  std::map<node_id, std::weak_ptr<detail::loopback_endpoint>> endpoints_;
  std::set<std::pair<node_id, node_id>> cut_;
  std::set<node_id> isolated_;
};

// A transport over a loopback_network. All methods must be called on `executor`, on which the handlers run
// too; it must run one handler at a time (a strand, or the only thread of a context). Its context must
// outlive this object.
class loopback_transport {
 public:
  CONFMAN_DECL loopback_transport(loopback_network& network, node_id self, asio::any_io_executor executor);
  loopback_transport(loopback_transport&&) = delete;
  CONFMAN_DECL ~loopback_transport();  // stops

  // Receives from now on.
  CONFMAN_DECL void start(transport_handlers handlers);
  // No handler is called any more once this has returned. May be called from a handler. What was not
  // delivered is dropped.
  CONFMAN_DECL void stop();

  // Never blocks, never calls a handler. Drops the message, and has on_unreachable called, if the link is
  // cut, the receiver hasn't started, or its queue is full.
  CONFMAN_DECL void send(message&& m);

  // Bytes of bulk messages that send() would take for `peer` now: see paced_transport.
  [[nodiscard]] CONFMAN_DECL std::size_t bulk_room(node_id peer) const;

 private:
  loopback_network& network_;
  node_id self_;
  std::shared_ptr<detail::loopback_endpoint> endpoint_;
};

static_assert(paced_transport<loopback_transport>);

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/transport/impl/loopback_transport.ipp"
#endif
