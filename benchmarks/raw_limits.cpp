#include "raw_limits.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace bench {
namespace {

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

bool transfer_all(int fd, char* data, std::size_t size, bool sending) {
  for (std::size_t done = 0; done < size;) {
    const ssize_t n =
        sending ? ::send(fd, data + done, size - done, 0) : ::recv(fd, data + done, size - done, 0);
    if (n <= 0) return false;
    done += static_cast<std::size_t>(n);
  }
  return true;
}

void set_no_delay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void echo(int listener, std::size_t bytes) {
  const int fd = ::accept(listener, nullptr, nullptr);
  if (fd < 0) ::_exit(1);
  set_no_delay(fd);
  std::string buffer(bytes, '\0');
  while (transfer_all(fd, buffer.data(), bytes, false) && transfer_all(fd, buffer.data(), bytes, true)) {
  }
  ::_exit(0);
}

}  // namespace

samples sync_appends(const std::string& directory, std::size_t bytes, bool zero_filled, double seconds) {
  const std::string path = fmt::format("{}/raw-{}", directory, ::gettid());
  const int fd = ::open(path.c_str(), O_CREAT | O_RDWR | O_TRUNC, 0644);
  if (fd < 0) die(path.c_str());
  constexpr std::size_t size = 64 << 20;
  if (zero_filled) {
    const std::string zeros(1 << 20, '\0');
    for (std::size_t at = 0; at < size; at += zeros.size())
      if (::pwrite(fd, zeros.data(), zeros.size(), static_cast<off_t>(at)) < 0) die("pwrite");
    if (::fsync(fd) != 0) die("fsync");
  }
  const std::string record(bytes, 'x');
  samples result;
  std::size_t at = 0;
  for (const auto begin = clock::now(); microseconds_since(begin) < seconds * 1e6 && at + bytes <= size;
       at += bytes) {
    const auto start = clock::now();
    if (::pwrite(fd, record.data(), bytes, static_cast<off_t>(at)) < 0 || ::fdatasync(fd) != 0) die("append");
    result.values.push_back(microseconds_since(start));
  }
  ::close(fd);
  ::unlink(path.c_str());
  return result;
}

samples sync_appends_beside_others(const std::string& directory, std::size_t bytes, double seconds) {
  samples all[3];
  std::vector<std::thread> threads;
  for (samples& s : all)
    threads.emplace_back([&, seconds] { s = sync_appends(directory, bytes, true, seconds); });
  for (std::thread& t : threads) t.join();
  return all[0];
}

samples tcp_round_trips(std::size_t bytes, double seconds) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 || ::listen(listener, 1) != 0)
    die("listen");
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  const pid_t child = ::fork();
  if (child == 0) echo(listener, bytes);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), length) != 0) die("connect");
  set_no_delay(fd);
  std::string buffer(bytes, 'x');
  samples result;
  for (const auto begin = clock::now(); microseconds_since(begin) < seconds * 1e6;) {
    const auto start = clock::now();
    if (!transfer_all(fd, buffer.data(), bytes, true) || !transfer_all(fd, buffer.data(), bytes, false))
      die("echo");
    result.values.push_back(microseconds_since(start));
  }
  ::close(fd);
  ::close(listener);
  ::waitpid(child, nullptr, 0);
  return result;
}

}  // namespace bench
