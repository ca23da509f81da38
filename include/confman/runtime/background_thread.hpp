// Work that may take long, on a thread of its own, one piece after the other.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/post.hpp>
#include <asio/thread_pool.hpp>
#include <memory>
#include <mutex>
#include <utility>

namespace confman {

// Thread safety: all methods may be called from any thread, close() not from the thread itself.
class background_thread {
 public:
  background_thread() = default;
  background_thread(const background_thread&) = delete;
  background_thread& operator=(const background_thread&) = delete;
  ~background_thread() { close(); }

  // Runs work() on the thread, then done(its result) on `executor`. False: it was not taken, after close().
  template <class Work, class Done>
  bool run(const asio::any_io_executor& executor, Work work, Done done) {
    const std::lock_guard lock(mutex_);
    if (closed_) return false;
    if (!thread_) thread_ = std::make_unique<asio::thread_pool>(1);
    asio::post(*thread_, [executor, work = std::move(work), done = std::move(done)]() mutable {
      auto outcome = work();
      asio::post(executor, [done = std::move(done), outcome = std::move(outcome)]() mutable {
        done(std::move(outcome));
      });
    });
    return true;
  }

  // Waits for all work that was taken, which should end early by then; nothing is posted any more once it has
  // returned. Nothing is dropped: somebody may wait for each `done`.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    if (!thread_) return;
    thread_->join();
    thread_.reset();
  }

 private:
  std::mutex mutex_;
  bool closed_ = false;
  std::unique_ptr<asio::thread_pool> thread_;
};

}  // namespace confman
