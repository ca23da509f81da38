// An event loop with a thread of its own, for hosts that have none.
#pragma once

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <thread>

namespace confman::detail {

class owned_context {
 public:
  owned_context() : work_(asio::make_work_guard(context_)), thread_([this] { context_.run(); }) {}
  owned_context(const owned_context&) = delete;
  owned_context& operator=(const owned_context&) = delete;
  // Runs what is pending, then ends the thread.
  ~owned_context() {
    work_.reset();
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] asio::io_context::executor_type get_executor() { return context_.get_executor(); }

 private:
  asio::io_context context_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::thread thread_;
};

}  // namespace confman::detail
