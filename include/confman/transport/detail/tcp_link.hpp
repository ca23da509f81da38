// The sending side of one peer.
#pragma once

#include <asio/buffer.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <system_error>
#include <vector>

#include "confman/core/message.hpp"
#include "confman/transport/address.hpp"
#include "confman/transport/detail/outbox.hpp"
#include "confman/transport/detail/tcp_context.hpp"
#include "confman/transport/framing.hpp"
#include "confman/wire/gather_buffer.hpp"

namespace confman::detail {

// A view of buffers that live elsewhere: Asio copies its buffer sequence, and a vector's copy would allocate.
template <class Buffer>
class buffer_view {
 public:
  buffer_view(const Buffer* begin, std::size_t size) noexcept : begin_(begin), end_(begin + size) {}
  [[nodiscard]] const Buffer* begin() const noexcept { return begin_; }
  [[nodiscard]] const Buffer* end() const noexcept { return end_; }

 private:
  const Buffer* begin_;
  const Buffer* end_;
};

// Keeps a connection to one peer: connects, says hello, sends, and starts over when the connection dies.
//
// Invariants:
//   1. `connection_` is empty while waiting for the next try; then the queue is empty too.
//   2. a portion leaves the queue for exactly one write on one connection, and is dropped with it: no frame
//   is
//      ever sent twice.
//   3. where this node comes as a guest nothing is queued but join requests, until the peer says it knows it.
class tcp_link : public std::enable_shared_from_this<tcp_link> {
 public:
  CONFMAN_DECL tcp_link(std::shared_ptr<tcp_context> context, node_id peer, host_port address);

  CONFMAN_DECL void start();
  CONFMAN_DECL void stop();
  CONFMAN_DECL void send(const message& m);
  CONFMAN_DECL void flush();
  [[nodiscard]] bool up() const noexcept { return connection_ != nullptr && connection_->up; }
  // Up, and not merely as a guest.
  [[nodiscard]] bool member() const noexcept { return up() && !connection_->guest; }
  [[nodiscard]] std::size_t bulk_room() const noexcept {
    return connection_ && !connection_->guest ? queue_.bulk_room() : 0;
  }

 private:
  // One try to connect and what comes of it. Owned by its pending operations as well, because their buffers
  // are in it; after drop_connection() their handlers find that it isn't the link's any more.
  struct connection {
    explicit connection(const asio::any_io_executor& executor)
        : socket(executor), reader(max_greeting_bytes, 512) {}
    tcp_socket socket;
    frame_reader reader;
    gather_buffer greeting;
    outbox::portion in_flight;
    bool writing = false;  // in_flight
    std::vector<asio::const_buffer> buffers;
    std::chrono::steady_clock::time_point up_since;
    incarnation_id theirs;  // the peer's, by its welcome
    bool up = false;        // the peer has welcomed us
    bool guest = false;     // we came as one, and the peer hasn't said that it knows us
  };
  using connection_ptr = std::shared_ptr<connection>;

  void connect();
  void resolve(const connection_ptr& c);
  void on_connect(const connection_ptr& c, std::error_code error);
  void read(const connection_ptr& c);
  void on_read(const connection_ptr& c, std::error_code error, std::size_t size);
  void on_frame(const connection_ptr& c, const frame& f);
  void on_welcome(connection& c, const hello& theirs);
  void write_next();
  void on_written(const connection_ptr& c, std::error_code error);

  void on_answer(const connection_ptr& c, const frame& f);
  void drop_connection();
  void fail(failure why);
  void retry();
  template <class F>
  void arm(std::chrono::milliseconds after, F f);
  [[nodiscard]] std::string name() const;

  std::shared_ptr<tcp_context> context_;
  node_id peer_;
  host_port address_;
  asio::steady_timer timer_;
  std::uint64_t timer_turn_ = 0;  // tells a timer that was armed anew from one that had already fired
  std::unique_ptr<asio::ip::tcp::resolver> resolver_;  // made only for host names
  connection_ptr connection_;
  outbox queue_;
  std::chrono::steady_clock::time_point joining_until_{};  // says "guest" in its hello until then
  bool stopped_ = false;
  std::chrono::milliseconds backoff_;
  std::uint64_t random_;
};

}  // namespace confman::detail

#if !defined(CONFMAN_COMPILED)
#include "confman/transport/impl/tcp_link.ipp"
#endif
