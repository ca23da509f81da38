#pragma once

#include <asio/post.hpp>

#include "confman/transport/loopback_transport.hpp"
#include "confman/wire/message_codec.hpp"

namespace confman {

namespace detail {

CONFMAN_DECL void loopback_endpoint::start(transport_handlers handlers) {
  handlers_ = std::make_shared<const transport_handlers>(std::move(handlers));
  const std::lock_guard lock(mutex_);
  open_ = true;
}

CONFMAN_DECL void loopback_endpoint::stop() {
  std::vector<message> dropped;
  {
    const std::lock_guard lock(mutex_);
    open_ = false;
    dropped.swap(queue_);
    bulk_bytes_.clear();
    unreachable_.clear();
  }
  // One of the handlers may be running right now: they are destroyed after it.
  if (handlers_) asio::post(executor_, [held = std::move(handlers_)] {});
  handlers_.reset();
}

CONFMAN_DECL bool loopback_endpoint::post(message&& m) {
  const std::lock_guard lock(mutex_);
  if (!open_ || queue_.size() >= max_queued_messages) return false;
  if (lane_of(m.body) == lane::bulk) {
    const std::size_t size = encoded_message_size(m);
    std::size_t& queued = bulk_bytes_[m.from];
    if (size > default_max_bulk_bytes - queued) return true;
    queued += size;
  }
  queue_.push_back(std::move(m));
  schedule_locked();
  return true;
}

CONFMAN_DECL std::size_t loopback_endpoint::bulk_room(node_id sender) {
  const std::lock_guard lock(mutex_);
  if (!open_) return 0;
  const auto it = bulk_bytes_.find(sender);
  return default_max_bulk_bytes - (it == bulk_bytes_.end() ? 0 : it->second);
}

CONFMAN_DECL void loopback_endpoint::post_unreachable(node_id peer) {
  const std::lock_guard lock(mutex_);
  if (!open_) return;
  unreachable_.insert(peer);
  schedule_locked();
}

CONFMAN_DECL void loopback_endpoint::schedule_locked() {
  if (scheduled_) return;
  scheduled_ = true;
  asio::post(executor_, [self = shared_from_this()] { self->deliver(); });
}

CONFMAN_DECL void loopback_endpoint::deliver() {
  std::vector<message> messages;
  std::set<node_id> unreachable;
  {
    const std::lock_guard lock(mutex_);
    scheduled_ = false;
    messages.swap(queue_);
    bulk_bytes_.clear();
    unreachable.swap(unreachable_);
  }
  const auto handlers = handlers_;  // a handler may call stop(), which empties handlers_
  for (message& m : messages)
    if (handlers_ && handlers->on_message) handlers->on_message(std::move(m));
  for (const node_id peer : unreachable)
    if (handlers_ && handlers->on_unreachable) handlers->on_unreachable(peer);
  if (handlers_ && handlers->on_batch_end) handlers->on_batch_end();
}

}  // namespace detail

CONFMAN_DECL void loopback_network::cut(node_id from, node_id to) {
  const std::lock_guard lock(mutex_);
  cut_.insert({from, to});
}

CONFMAN_DECL void loopback_network::isolate(node_id node) {
  const std::lock_guard lock(mutex_);
  isolated_.insert(node);
}

CONFMAN_DECL void loopback_network::heal() {
  const std::lock_guard lock(mutex_);
  cut_.clear();
  isolated_.clear();
}

CONFMAN_DECL void loopback_network::attach(node_id node,
                                           const std::shared_ptr<detail::loopback_endpoint>& endpoint) {
  const std::lock_guard lock(mutex_);
  endpoints_[node] = endpoint;
}

CONFMAN_DECL void loopback_network::detach(node_id node,
                                           const std::shared_ptr<detail::loopback_endpoint>& endpoint) {
  const std::lock_guard lock(mutex_);
  const auto it = endpoints_.find(node);
  if (it != endpoints_.end() && it->second.lock() == endpoint) endpoints_.erase(it);
}

CONFMAN_DECL std::shared_ptr<detail::loopback_endpoint> loopback_network::route(node_id from, node_id to) {
  const std::lock_guard lock(mutex_);
  if (cut_.count({from, to}) != 0 || isolated_.count(from) != 0 || isolated_.count(to) != 0) return nullptr;
  const auto it = endpoints_.find(to);
  return it == endpoints_.end() ? nullptr : it->second.lock();
}

CONFMAN_DECL loopback_transport::loopback_transport(loopback_network& network, node_id self,
                                                    asio::any_io_executor executor)
    : network_(network),
      self_(self),
      endpoint_(std::make_shared<detail::loopback_endpoint>(std::move(executor))) {}

CONFMAN_DECL loopback_transport::~loopback_transport() {
  stop();
}

CONFMAN_DECL void loopback_transport::start(transport_handlers handlers) {
  endpoint_->start(std::move(handlers));
  network_.attach(self_, endpoint_);
}

CONFMAN_DECL void loopback_transport::stop() {
  network_.detach(self_, endpoint_);
  endpoint_->stop();
}

CONFMAN_DECL void loopback_transport::send(message&& m) {
  const node_id to = m.to;
  const auto receiver = network_.route(self_, to);
  if (!receiver || !receiver->post(std::move(m))) endpoint_->post_unreachable(to);
}

CONFMAN_DECL std::size_t loopback_transport::bulk_room(node_id peer) const {
  const auto receiver = network_.route(self_, peer);
  return receiver ? receiver->bulk_room(self_) : 0;
}

}  // namespace confman
