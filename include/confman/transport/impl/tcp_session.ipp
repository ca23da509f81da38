#pragma once

#include <array>
#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/write.hpp>
#include <iterator>
#include <utility>
#include <variant>

#include "confman/transport/detail/tcp_session.hpp"
#include "confman/wire/message_codec.hpp"

namespace confman::detail {

CONFMAN_DECL tcp_session::tcp_session(std::shared_ptr<tcp_context> context, tcp_socket socket)
    : context_(std::move(context)),
      socket_(std::move(socket)),
      timer_(context_->executor),
      reader_(max_greeting_bytes, max_greeting_bytes) {
  std::error_code ignored;
  where_ = socket_.remote_endpoint(ignored).address().to_string();
}

CONFMAN_DECL void tcp_session::start() {
  tune_socket(socket_, context_->options.dead_peer_timeout);
  timer_.expires_after(context_->options.hello_timeout);
  timer_.async_wait([self = shared_from_this()](std::error_code error) {
    if (!error && !self->admitted_) self->close();
  });
  read();
}

CONFMAN_DECL void tcp_session::close() {
  if (std::exchange(closed_, true)) return;
  std::error_code ignored;
  socket_.close(ignored);
  timer_.cancel();
}

CONFMAN_DECL void tcp_session::read() {
  const auto spans = reader_.prepare();
  const std::array<asio::mutable_buffer, 2> buffers{asio::buffer(spans[0].data(), spans[0].size()),
                                                    asio::buffer(spans[1].data(), spans[1].size())};
  socket_.async_read_some(buffers, [self = shared_from_this()](std::error_code error, std::size_t size) {
    self->on_read(error, size);
  });
}

CONFMAN_DECL void tcp_session::on_read(std::error_code error, std::size_t size) {
  if (closed_) return;
  if (error) return close();     // the link to this peer notices and reports; here there is nothing to lose
  if (refused_) return close();  // nothing may follow a refused hello
  reader_.commit(size);
  frame f;
  while (!closed_ && !refused_ && reader_.next(f)) on_frame(f);
  if (!closed_ && !refused_ && reader_.error()) fail(reader_.error());
  if (admitted_) context_->end_batch();
  if (!closed_) read();
}

CONFMAN_DECL void tcp_session::on_frame(const frame& f) {
  if (!admitted_) return on_hello(f);
  if (f.kind == frame_kind::message) return on_message_frame(f);
  fail({errc::bad_frame, "unexpected frame of kind " + std::to_string(static_cast<int>(f.kind))});
}

CONFMAN_DECL void tcp_session::on_hello(const frame& f) {
  if (f.kind != frame_kind::hello) return fail({errc::bad_frame, "the first frame is no hello"});
  result<hello> theirs = decode_hello(f.body);
  if (!theirs) return refuse(theirs.error());
  hello_expectation ours;
  ours.cluster = context_->cluster;
  ours.self = context_->options.self;
  ours.peer_known = context_->known.count(theirs->from) != 0;
  ours.where = where_;
  if (failure wrong = check_hello(*theirs, ours)) return refuse(wrong);
  guest_ = !ours.peer_known;
  if (guest_ && context_->guests.count(theirs->from) == 0 && !room_for_guest())
    return refuse({errc::busy, "node " + std::to_string(theirs->from.value()) + " at " + where_ +
                                   " wants to join, but " + std::to_string(context_->options.max_guests) +
                                   " others do so already: try again later"});
  admit(*std::move(theirs));
}

CONFMAN_DECL bool tcp_session::room_for_guest() {
  auto& guests = context_->guests;
  for (auto it = guests.begin(); it != guests.end();) {
    const auto session = it->second.lock();
    it = session && !session->closed() ? std::next(it) : guests.erase(it);
  }
  return guests.size() < context_->options.max_guests;
}

CONFMAN_DECL void tcp_session::admit(hello theirs) {
  peer_ = std::move(theirs);
  admitted_ = true;
  timer_.cancel();
  take_place(guest_ ? context_->guests : context_->incoming);
  if (guest_)
    expect_question();
  else
    reader_.resize(context_->options.max_frame_bytes, read_bytes);
  hello mine = context_->greeting(peer_.from);
  mine.guest = guest_;
  append_hello_frame(frame_kind::welcome, mine, answer_);
  answer(false);
}

// A peer sends on one connection: an older one is left over from before it lost touch, or restarted.
CONFMAN_DECL void tcp_session::take_place(std::map<node_id, std::weak_ptr<tcp_session>>& place) {
  std::weak_ptr<tcp_session>& current = place[peer_.from];
  if (const auto older = current.lock(); older && !older->closed()) {
    if (older->peer_.incarnation != peer_.incarnation)
      context_->report({errc::wrong_incarnation, "two data directories speak as node " +
                                                     std::to_string(peer_.from.value()) + ", from " +
                                                     older->where_ + " and " + where_ +
                                                     ": stop one of them, or give it an id of its own"});
    older->close();
  }
  current = weak_from_this();
}

// A guest that asks nothing for a while has to leave.
CONFMAN_DECL void tcp_session::expect_question() {
  timer_.expires_after(context_->options.guest_timeout);
  timer_.async_wait([self = shared_from_this(), turn = ++timer_turn_](std::error_code error) {
    if (!error && turn == self->timer_turn_) self->close();
  });
}

CONFMAN_DECL void tcp_session::refuse(const failure& why) {
  refused_ = true;
  append_refusal_frame(why, answer_);
  context_->report({why.code, "refused a connection: " + why.what});
  answer(true);
}

// then_close: closes once the answer is out, so that the other side gets to read it.
CONFMAN_DECL void tcp_session::answer(bool then_close) {
  answering_ = true;
  answer_bytes_ = answer_.str();
  answer_.clear();
  asio::async_write(socket_, asio::buffer(answer_bytes_),
                    [self = shared_from_this(), then_close](std::error_code error, std::size_t) {
                      self->answering_ = false;
                      if (error) return self->close();
                      if (!then_close || self->closed_) return;
                      std::error_code ignored;
                      self->socket_.shutdown(tcp_socket::shutdown_send,
                                             ignored);  // hello_timeout ends the rest
                    });
}

CONFMAN_DECL void tcp_session::send_answer(const message& m) {
  if (closed_ || answering_) return;  // the guest repeats its question
  append_message_frame(m, answer_);
  answer(false);
}

CONFMAN_DECL void tcp_session::on_message_frame(const frame& f) {
  result<message> m = f.block.empty() ? decode_message(f.body) : decode_message(f.block);
  if (!m) return fail(m.error());
  if (m->from != peer_.from || m->to != context_->options.self || m->cluster != context_->cluster ||
      m->incarnation != peer_.incarnation) {
    context_->report({errc::unknown_peer, "node " + std::to_string(peer_.from.value()) + " at " + where_ +
                                              " sent a message in the name of another (from " +
                                              std::to_string(m->from.value()) + " to " +
                                              std::to_string(m->to.value()) + "): it was dropped"});
    return;
  }
  if (guest_) {
    if (!std::holds_alternative<join_request>(m->body))
      return fail({errc::unknown_peer, "a guest may only ask to join"});
    expect_question();
  }
  context_->deliver(*std::move(m));
}

CONFMAN_DECL void tcp_session::fail(const failure& why) {
  const std::string who = admitted_ ? "node " + std::to_string(peer_.from.value()) + " at " + where_
                                    : "a connection from " + where_;
  context_->report({why.code, who + " was closed: " + why.what});
  close();
}

}  // namespace confman::detail
