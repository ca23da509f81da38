#pragma once

#include <asio/post.hpp>
#include <utility>
#include <vector>

#include "confman/transport/detail/tcp_context.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#endif

namespace confman::detail {

CONFMAN_DECL void tcp_context::start(transport_handlers handlers) {
  handlers_ = std::make_shared<const transport_handlers>(std::move(handlers));
}

CONFMAN_DECL void tcp_context::stop() {
  unreachable_.clear();
  events_.clear();
  // One of the handlers may be running right now: they are destroyed after it.
  if (handlers_) asio::post(executor, [held = std::move(handlers_)] {});
  handlers_.reset();
}

CONFMAN_DECL void tcp_context::deliver(message&& m) {
  if (handlers_ && handlers_->on_message) handlers_->on_message(std::move(m));
}

CONFMAN_DECL void tcp_context::end_batch() {
  if (handlers_ && handlers_->on_batch_end) handlers_->on_batch_end();
}

CONFMAN_DECL void tcp_context::unreachable(node_id peer) {
  if (!running()) return;
  unreachable_.insert(peer);
  schedule_notices();
}

CONFMAN_DECL void tcp_context::report(failure event) {
  if (!running() || !admit(event.what)) return;
  events_.push_back(std::move(event));
  schedule_notices();
}

CONFMAN_DECL void tcp_context::schedule_notices() {
  if (notices_scheduled_) return;
  notices_scheduled_ = true;
  asio::post(executor, [self = shared_from_this()] { self->deliver_notices(); });
}

CONFMAN_DECL void tcp_context::deliver_notices() {
  notices_scheduled_ = false;
  if (!running()) return;
  std::vector<failure> events;
  std::set<node_id> peers;
  events.swap(events_);
  peers.swap(unreachable_);
  for (const failure& event : events)
    if (handlers_ && handlers_->on_event) handlers_->on_event(event);
  for (const node_id peer : peers)
    if (handlers_ && handlers_->on_unreachable) handlers_->on_unreachable(peer);
  if (!peers.empty()) end_batch();
}

CONFMAN_DECL bool tcp_context::admit(const std::string& text) {
  constexpr std::chrono::seconds quiet{10};
  constexpr std::size_t max_texts = 128;
  const auto now = std::chrono::steady_clock::now();
  const auto it = reported_.find(text);
  if (it != reported_.end() && now - it->second < quiet) return false;
  if (reported_.size() >= max_texts) {
    for (auto old = reported_.begin(); old != reported_.end();)
      old = now - old->second >= quiet ? reported_.erase(old) : std::next(old);
    if (reported_.size() >= max_texts) return false;  // a flood of distinct texts: say no more for a while
  }
  reported_[text] = now;
  return true;
}

CONFMAN_DECL hello tcp_context::greeting(node_id to) const {
  hello h;
  h.cluster = cluster;
  h.from = options.self;
  h.to = to;
  h.incarnation = incarnation;
  h.address = advertised;
  return h;
}

CONFMAN_DECL void tune_socket(tcp_socket& socket, std::chrono::milliseconds dead_peer_timeout) {
  std::error_code ignored;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  close_on_exec(socket.native_handle());
#if defined(TCP_NOTSENT_LOWAT)
  // Bytes that aren't on their way yet; those that are don't count, so it costs no throughput on long links.
  const int unsent = 256 * 1024;
  (void)::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
#else
  socket.set_option(asio::socket_base::send_buffer_size(512 * 1024), ignored);
#endif
#if defined(TCP_USER_TIMEOUT)
  // Without it a connection cut by a partition lives on for 15 minutes and retries ever more rarely, so that
  // the peer stays away long after the network has healed.
  const auto timeout = static_cast<unsigned>(dead_peer_timeout.count());
  (void)::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
#else
  (void)dead_peer_timeout;
#endif
}

CONFMAN_DECL void close_on_exec(tcp_socket::native_handle_type handle) noexcept {
#if defined(__unix__) || defined(__APPLE__)
  (void)::fcntl(handle, F_SETFD, FD_CLOEXEC);
#else
  (void)handle;
#endif
}

CONFMAN_DECL std::string endpoint_text(const asio::ip::tcp::endpoint& endpoint) {
  const std::string host = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(endpoint.port());
}

}  // namespace confman::detail
