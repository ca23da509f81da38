// The receiving side: one connection that a peer made.
#pragma once

#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <system_error>

#include "confman/transport/detail/tcp_context.hpp"
#include "confman/transport/framing.hpp"
#include "confman/wire/gather_buffer.hpp"

namespace confman::detail {

// Reads a hello, answers it, then reads messages. Owned by its pending operations: it ends when the
// connection does.
//
// A node that isn't known may be let in as a guest. Invariants of that:
//   1. nothing from a guest is delivered but join requests in its own name, and nothing is said to it but
//   join
//      responses, on this very connection: no address that it claims is ever dialled.
//   2. a guest takes a bounded amount of memory: frames of at most max_greeting_bytes, and one answer at a
//      time.
class tcp_session : public std::enable_shared_from_this<tcp_session> {
 public:
  CONFMAN_DECL tcp_session(std::shared_ptr<tcp_context> context, tcp_socket socket);

  CONFMAN_DECL void start();
  CONFMAN_DECL void close();
  [[nodiscard]] bool closed() const noexcept { return closed_; }
  // Sends a guest its answer; dropped while the one before is on its way. Precondition: admitted as a guest.
  CONFMAN_DECL void send_answer(const message& m);

 private:
  static constexpr std::size_t read_bytes = 256 * 1024;

  void read();
  void on_read(std::error_code error, std::size_t size);
  void on_frame(const frame& f);
  void on_hello(const frame& f);
  void on_message_frame(const frame& f);
  void admit(hello theirs);
  void take_place(std::map<node_id, std::weak_ptr<tcp_session>>& place);
  [[nodiscard]] bool room_for_guest();
  void expect_question();
  void refuse(const failure& why);
  void answer(bool then_close);
  void fail(const failure& why);

  std::shared_ptr<tcp_context> context_;
  tcp_socket socket_;
  asio::steady_timer timer_;      // limits the wait for the hello, then for a guest's questions
  std::uint64_t timer_turn_ = 0;  // tells a wait that was begun anew from one that had already ended
  frame_reader reader_;
  gather_buffer answer_;
  std::string answer_bytes_;
  std::string where_;  // the peer's host; its port says nothing
  hello peer_;
  bool admitted_ = false;
  bool guest_ = false;
  bool answering_ = false;  // answer_bytes_ are on their way
  bool refused_ = false;
  bool closed_ = false;
};

}  // namespace confman::detail

#if !defined(CONFMAN_COMPILED)
#include "confman/transport/impl/tcp_session.ipp"
#endif
