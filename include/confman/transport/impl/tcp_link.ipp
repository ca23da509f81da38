#pragma once

#include <algorithm>
#include <array>
#include <asio/connect.hpp>
#include <asio/ip/address.hpp>
#include <asio/write.hpp>
#include <string>
#include <utility>

#include "confman/transport/detail/tcp_link.hpp"
#include "confman/wire/message_codec.hpp"

namespace confman::detail {

// How long after its last join request a node comes as a guest where it isn't known.
inline constexpr std::chrono::seconds joining_lasts{10};

CONFMAN_DECL tcp_link::tcp_link(std::shared_ptr<tcp_context> context, node_id peer, host_port address)
    : context_(std::move(context)),
      peer_(peer),
      address_(std::move(address)),
      timer_(context_->executor),
      queue_(context_->options),
      backoff_(context_->options.backoff_min),
      random_(context_->options.seed ^ (peer.value() * 0x9E3779B97F4A7C15u) ^
              context_->options.self.value()) {}

CONFMAN_DECL void tcp_link::start() {
  connect();
}

CONFMAN_DECL void tcp_link::stop() {
  if (stopped_) return;
  flush();
  stopped_ = true;
  ++timer_turn_;
  timer_.cancel();
  if (resolver_) resolver_->cancel();
  drop_connection();
}

CONFMAN_DECL void tcp_link::send(const message& m) {
  if (stopped_) return;
  const tcp_options& options = context_->options;
  const std::size_t size = encoded_message_size(m);
  if (size > options.max_frame_bytes) {
    context_->report({errc::value_too_large, "a message of " + std::to_string(size) + " bytes to " + name() +
                                                 " was dropped: max_frame_bytes is " +
                                                 std::to_string(options.max_frame_bytes)});
    return context_->unreachable(peer_);
  }
  const bool joining = std::holds_alternative<join_request>(m.body);
  if (joining) joining_until_ = std::chrono::steady_clock::now() + joining_lasts;
  if (!connection_ || (connection_->guest && !joining)) return context_->unreachable(peer_);  // invariant 3
  if (queue_.push(m, size) != outbox::pushed::full) return;
  const lane l = lane_of(m.body);
  if (l == lane::bulk) return;  // its sender paces itself by bulk_room()
  context_->report({errc::busy, "the queue to " + name() + " is full with " +
                                    std::to_string(queue_.messages(l)) + " messages and " +
                                    std::to_string(queue_.bytes(l)) +
                                    " bytes: messages are dropped until the peer or the network keeps up"});
  context_->unreachable(peer_);
}

CONFMAN_DECL void tcp_link::flush() {
  if (up() && !connection_->writing && !queue_.empty()) write_next();
}

CONFMAN_DECL void tcp_link::connect() {
  if (stopped_) return;
  const auto c = connection_ = std::make_shared<connection>(context_->executor);
  c->guest = std::chrono::steady_clock::now() < joining_until_;
  arm(context_->options.connect_timeout, [this] {
    fail({errc::timed_out, name() + " did not answer within " +
                               std::to_string(context_->options.connect_timeout.count()) +
                               " ms: is it running, and is the address right?"});
  });
  std::error_code not_numeric;
  const asio::ip::address ip = asio::ip::make_address(address_.host, not_numeric);
  if (not_numeric) return resolve(c);
  c->socket.async_connect({ip, address_.port}, [self = shared_from_this(), c](std::error_code error) {
    self->on_connect(c, error);
  });
}

CONFMAN_DECL void tcp_link::resolve(const connection_ptr& c) {
  using asio::ip::tcp;
  if (!resolver_) resolver_ = std::make_unique<tcp::resolver>(context_->executor);
  resolver_->async_resolve(
      address_.host, std::to_string(address_.port),
      [self = shared_from_this(), c](std::error_code error, const tcp::resolver::results_type& found) {
        if (c != self->connection_) return;
        if (error) return self->on_connect(c, error);
        asio::async_connect(c->socket, found, [self, c](std::error_code failed, const tcp::endpoint&) {
          self->on_connect(c, failed);
        });
      });
}

CONFMAN_DECL void tcp_link::on_connect(const connection_ptr& c, std::error_code error) {
  if (c != connection_) return;
  if (error) return fail({error, "can't connect to " + name() + ": " + error.message()});
  tune_socket(c->socket, context_->options.dead_peer_timeout);
  hello mine = context_->greeting(peer_);
  mine.guest = c->guest;
  append_hello_frame(frame_kind::hello, mine, c->greeting);
  c->buffers.clear();
  c->greeting.for_each_piece(
      {}, [&](std::string_view piece) { c->buffers.emplace_back(piece.data(), piece.size()); });
  asio::async_write(c->socket, buffer_view(c->buffers.data(), c->buffers.size()),
                    [self = shared_from_this(), c](std::error_code failed, std::size_t) {
                      if (c != self->connection_) return;
                      if (failed) self->fail({failed, self->name() + " closed: " + failed.message()});
                    });
  read(c);
}

// After the welcome nothing arrives but answers to a guest; and a pending read notices at once when the peer
// goes away.
CONFMAN_DECL void tcp_link::read(const connection_ptr& c) {
  const auto spans = c->reader.prepare();
  const std::array<asio::mutable_buffer, 2> buffers{asio::buffer(spans[0].data(), spans[0].size()),
                                                    asio::buffer(spans[1].data(), spans[1].size())};
  c->socket.async_read_some(buffers, [self = shared_from_this(), c](std::error_code error, std::size_t size) {
    self->on_read(c, error, size);
  });
}

CONFMAN_DECL void tcp_link::on_read(const connection_ptr& c, std::error_code error, std::size_t size) {
  if (c != connection_) return;
  if (error) return fail({error, "the connection to " + name() + " ended: " + error.message()});
  c->reader.commit(size);
  frame f;
  while (c->reader.next(f)) {
    on_frame(c, f);
    if (c != connection_) return;
  }
  if (c->reader.error()) return fail({errc::bad_frame, name() + ": " + c->reader.error().what});
  read(c);
}

CONFMAN_DECL void tcp_link::on_frame(const connection_ptr& c, const frame& f) {
  if (f.kind == frame_kind::refusal) {
    const result<refusal> why = decode_refusal(f.body);
    if (!why) return fail({why.error().code, name() + ": " + why.error().what});
    return fail({why->code, name() + " refused this connection: " + why->text});
  }
  if (f.kind == frame_kind::message && c->up && c->guest) return on_answer(c, f);
  if (f.kind != frame_kind::welcome || c->up)
    return fail({errc::bad_frame, name() + " sent an unexpected frame of kind " +
                                      std::to_string(static_cast<int>(f.kind)) +
                                      ": do both run the same version?"});
  const result<hello> theirs = decode_hello(f.body);
  if (!theirs) return fail({theirs.error().code, name() + ": " + theirs.error().what});
  on_welcome(*c, *theirs);
}

// What a member says to a guest comes back on the guest's own connection: it knows no address of it that it
// should trust.
CONFMAN_DECL void tcp_link::on_answer(const connection_ptr& c, const frame& f) {
  result<message> m = decode_message(f.body);
  if (!m) return fail({m.error().code, name() + ": " + m.error().what});
  if (!std::holds_alternative<join_response>(m->body) || m->from != peer_ ||
      m->to != context_->options.self || m->cluster != context_->cluster || m->incarnation != c->theirs)
    return fail({errc::bad_frame, name() + " sent a guest something else than its answer"});
  context_->deliver(*std::move(m));
  context_->end_batch();
}

CONFMAN_DECL void tcp_link::on_welcome(connection& c, const hello& theirs) {
  const std::string where = address_.host + ":" + std::to_string(address_.port);
  hello_expectation ours{context_->cluster, context_->options.self, peer_, true, where};
  if (failure wrong = check_hello(theirs, ours)) return fail(std::move(wrong));
  if (theirs.guest && !c.guest)
    return fail({errc::bad_frame, name() + " takes this node for a guest, though it came as a member"});
  ++timer_turn_;
  timer_.cancel();
  c.up = true;
  c.guest = theirs.guest;
  c.theirs = theirs.incarnation;
  c.up_since = std::chrono::steady_clock::now();
  flush();
}

CONFMAN_DECL void tcp_link::write_next() {
  const connection_ptr c = connection_;
  c->in_flight = queue_.take();
  c->writing = true;
  c->buffers.clear();
  for (const auto& batch : c->in_flight)
    if (batch)
      batch->bytes.for_each_piece(
          {}, [&](std::string_view piece) { c->buffers.emplace_back(piece.data(), piece.size()); });
  // The condition is here because Asio's default would cut the write into system calls of 64 KiB.
  asio::async_write(
      c->socket, buffer_view(c->buffers.data(), c->buffers.size()),
      [](std::error_code error, std::size_t) { return error ? std::size_t{0} : std::size_t{1} << 30; },
      [self = shared_from_this(), c](std::error_code error, std::size_t) { self->on_written(c, error); });
}

CONFMAN_DECL void tcp_link::on_written(const connection_ptr& c, std::error_code error) {
  if (c != connection_) return;  // drop_connection() has already counted its portion out
  if (error) return fail({error, "can't send to " + name() + ": " + error.message()});
  c->writing = false;
  queue_.give_back(std::move(c->in_flight));
  flush();
}

CONFMAN_DECL void tcp_link::drop_connection() {
  if (const connection_ptr c = std::exchange(connection_, nullptr)) {
    std::error_code ignored;
    c->socket.close(ignored);  // the portion in flight stays with the connection until its handler has run
  }
  queue_.clear();
}

// The connection is lost, with all that was queued. After a life of some length the next try comes soon.
CONFMAN_DECL void tcp_link::fail(failure why) {
  if (up() && std::chrono::steady_clock::now() - connection_->up_since > std::chrono::seconds(1))
    backoff_ = context_->options.backoff_min;
  if (resolver_) resolver_->cancel();
  drop_connection();
  context_->report(std::move(why));
  context_->unreachable(peer_);
  retry();
}

CONFMAN_DECL void tcp_link::retry() {
  if (stopped_) return;
  random_ += 0x9E3779B97F4A7C15u;  // splitmix64 (Steele, Lea, Flood 2014)
  std::uint64_t z = random_;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  const auto half = static_cast<std::uint64_t>(std::max<std::int64_t>(backoff_.count() / 2, 1));
  const std::chrono::milliseconds wait(static_cast<std::int64_t>(half + z % (half + 1)));
  backoff_ = std::min(backoff_ * 2, context_->options.backoff_max);
  arm(wait, [this] { connect(); });
}

// Runs `f` after a while, unless armed again or cancelled before, whatever Asio had already queued.
template <class F>
void tcp_link::arm(std::chrono::milliseconds after, F f) {
  const std::uint64_t turn = ++timer_turn_;
  timer_.expires_after(after);
  timer_.async_wait([self = shared_from_this(), turn, f = std::move(f)](std::error_code error) {
    if (!error && turn == self->timer_turn_) f();
  });
}

CONFMAN_DECL std::string tcp_link::name() const {
  return "node " + std::to_string(peer_.value()) + " at " + address_.host + ":" +
         std::to_string(address_.port);
}

}  // namespace confman::detail
