// The receiving side: one connection that a peer made.
#pragma once

#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <system_error>

#include "confman/transport/detail/tcp_context.hpp"
#include "confman/transport/framing.hpp"
#include "confman/wire/gather_buffer.hpp"

namespace confman::detail {

// Reads a hello, answers it, then reads messages. Owned by its pending operations: it ends when the
// connection does.
class tcp_session : public std::enable_shared_from_this<tcp_session> {
 public:
  CONFMAN_DECL tcp_session(std::shared_ptr<tcp_context> context, tcp_socket socket);

  CONFMAN_DECL void start();
  CONFMAN_DECL void close();
  [[nodiscard]] bool closed() const noexcept { return closed_; }
  [[nodiscard]] node_id peer() const noexcept { return peer_.from; }

 private:
  static constexpr std::size_t read_bytes = 256 * 1024;

  void read();
  void on_read(std::error_code error, std::size_t size);
  void on_frame(const frame& f);
  void on_hello(const frame& f);
  void on_message_frame(const frame& f);
  void admit(hello theirs);
  void refuse(const failure& why);
  void answer(bool then_close);
  void fail(const failure& why);

  std::shared_ptr<tcp_context> context_;
  tcp_socket socket_;
  asio::steady_timer timer_;  // limits the wait for the hello
  frame_reader reader_;
  gather_buffer answer_;
  std::string answer_bytes_;
  std::string where_;  // the peer's host; its port says nothing
  hello peer_;
  bool admitted_ = false;
  bool refused_ = false;
  bool closed_ = false;
};

}  // namespace confman::detail

#if !defined(CONFMAN_COMPILED)
#include "confman/transport/impl/tcp_session.ipp"
#endif
