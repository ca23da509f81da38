// One HTTP/1.1 connection to a confmand, with deadlines, that knows whether a request can have been executed.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

namespace faults {

struct address {
  std::string host;
  std::uint16_t port = 0;
};

struct answer {
  int status = 0;
  std::string head, body;

  // The value of a header, by its name with the capitals that confmand writes.
  [[nodiscard]] std::string header(std::string_view name) const {
    const std::string line = "\r\n" + std::string(name) + ": ";
    const std::size_t at = head.find(line);
    if (at == std::string::npos) return {};
    const std::size_t begin = at + line.size();
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
};

// Not for use by several threads at once.
class http_connection {
 public:
  enum class outcome { answered, not_sent, cut };

  http_connection() = default;
  http_connection(const http_connection&) = delete;
  http_connection& operator=(const http_connection&) = delete;
  ~http_connection() { close(); }

  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
    buffer_.clear();
  }

  // not_sent: there was no connection, so nothing was executed; cut: it may have been.
  outcome request(const address& to, const std::string& text, int patience_ms, answer& out) {
    if (socket_ < 0 && !connect(to)) return outcome::not_sent;
    const std::int64_t deadline = now_ms() + patience_ms;
    if (!send(text, deadline) || !read_head(deadline, out) || !read_body(deadline, out)) {
      close();
      return outcome::cut;
    }
    if (out.header("Connection") == "close") close();
    return outcome::answered;
  }

  // For an answer without an end: the head alone, then pieces of the body as they come.
  outcome open_stream(const address& to, const std::string& text, int patience_ms, answer& out) {
    close();
    if (!connect(to)) return outcome::not_sent;
    const std::int64_t deadline = now_ms() + patience_ms;
    if (!send(text, deadline) || !read_head(deadline, out)) return outcome::cut;
    return outcome::answered;
  }

  // The next piece of a chunked body: empty at a timeout, nothing when the stream has ended.
  std::optional<std::string> read_chunk(int patience_ms) {
    const std::int64_t deadline = now_ms() + patience_ms;
    for (;;) {
      if (const std::size_t end = buffer_.find("\r\n"); end != std::string::npos) {
        const std::size_t size = std::strtoul(buffer_.c_str(), nullptr, 16);
        if (size == 0) return std::nullopt;
        if (buffer_.size() >= end + 4 + size) {
          std::string piece = buffer_.substr(end + 2, size);
          buffer_.erase(0, end + 4 + size);
          return piece;
        }
      }
      const int got = receive(deadline);
      if (got < 0) return std::nullopt;
      if (got == 0) return std::string();
    }
  }

 private:
  static std::int64_t now_ms() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1'000'000;
  }

  static bool wait(int socket, short events, std::int64_t deadline) {
    pollfd p{socket, events, 0};
    const std::int64_t left = deadline - now_ms();
    return left > 0 && ::poll(&p, 1, static_cast<int>(left)) > 0;
  }

  bool connect(const address& to) {
    close();
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(to.port);
    inet_pton(AF_INET, to.host.c_str(), &where.sin_addr);
    const int on = 1;
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    int error = 0;
    socklen_t size = sizeof(error);
    const bool done = ::connect(socket_, reinterpret_cast<sockaddr*>(&where), sizeof(where)) == 0;
    if (done || (errno == EINPROGRESS && wait(socket_, POLLOUT, now_ms() + 1000) &&
                 getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0))
      return true;
    close();
    return false;
  }

  bool send(std::string_view text, std::int64_t deadline) {
    while (!text.empty()) {
      const ssize_t n = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n > 0)
        text.remove_prefix(static_cast<std::size_t>(n));
      else if (errno != EAGAIN || !wait(socket_, POLLOUT, deadline))
        return false;
    }
    return true;
  }

  // 1: there is more in the buffer; 0: the deadline; -1: the connection has ended.
  int receive(std::int64_t deadline) {
    char bytes[65536];
    for (;;) {
      const ssize_t n = ::recv(socket_, bytes, sizeof(bytes), 0);
      if (n > 0) return buffer_.append(bytes, static_cast<std::size_t>(n)), 1;
      if (n == 0 || errno != EAGAIN) return -1;
      if (!wait(socket_, POLLIN, deadline)) return 0;
    }
  }

  bool read_head(std::int64_t deadline, answer& out) {
    std::size_t end = 0;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
      if (receive(deadline) <= 0) return false;
    out.head = buffer_.substr(0, end + 2);
    buffer_.erase(0, end + 4);
    out.status = out.head.size() > 12 ? std::atoi(out.head.c_str() + 9) : 0;
    return out.status != 0;
  }

  bool read_body(std::int64_t deadline, answer& out) {
    const std::size_t size = std::strtoul(out.header("Content-Length").c_str(), nullptr, 10);
    while (buffer_.size() < size)
      if (receive(deadline) <= 0) return false;
    out.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return true;
  }

  int socket_ = -1;
  std::string buffer_;
};

}  // namespace faults
