// An event loop with a thread of its own, for hosts that have none.
#pragma once

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <memory>
#include <thread>

namespace confman::detail {

// The thread ends with this object, the context with the last who keeps it alive.
class owned_context {
 public:
  owned_context()
      : context_(std::make_shared<asio::io_context>(1)),
        work_(asio::make_work_guard(*context_)),
        thread_([context = context_] { context->run(); }) {}
  owned_context(const owned_context&) = delete;
  owned_context& operator=(const owned_context&) = delete;
  // Runs what is pending, then ends the thread. On that thread itself: the pending runs after this.
  ~owned_context() {
    work_.reset();
    if (running_in_this_thread())
      thread_.detach();
    else
      thread_.join();
  }
  [[nodiscard]] asio::io_context::executor_type get_executor() { return context_->get_executor(); }
  [[nodiscard]] bool running_in_this_thread() const noexcept {
    return thread_.get_id() == std::this_thread::get_id();
  }
  // What objects of this context need to be destroyed safely.
  [[nodiscard]] std::shared_ptr<void> keep_alive() const noexcept { return context_; }

 private:
  std::shared_ptr<asio::io_context> context_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::thread thread_;
};

}  // namespace confman::detail
