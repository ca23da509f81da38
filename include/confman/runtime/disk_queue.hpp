// The blocking disk on a thread of its own: a slow sync never stops heartbeats.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/post.hpp>
#include <asio/thread_pool.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "confman/core/hard_state.hpp"
#include "confman/error.hpp"

namespace confman {

// Storage: append(const write_batch&) and sync(), see storage/concepts.hpp. One write at a time.
template <class Storage>
class disk_queue {
 public:
  // done(seq, failure) runs on `executor` after each write.
  using completion = std::function<void(write_seq, failure)>;

  // Runs open() on the disk's thread, then opened(result) on `executor`.
  template <class Open, class Opened>
  void open(const asio::any_io_executor& executor, Open open_storage, Opened opened) {
    asio::post(thread_, [this, executor, open_storage = std::move(open_storage), opened = std::move(opened)]() mutable {
      auto result = open_storage();
      failure error;
      if (result)
        storage_ = *std::move(result);
      else
        error = result.error();
      asio::post(executor, [opened = std::move(opened), error = std::move(error)]() mutable { opened(error); });
    });
  }

  void write(const asio::any_io_executor& executor, write_batch&& batch, completion done) {
    asio::post(thread_, [this, executor, batch = std::move(batch), done = std::move(done)]() mutable {
      failure error = storage_->append(batch);
      if (!error) error = storage_->sync();
      const write_seq seq = batch.seq;
      asio::post(executor,
                 [done = std::move(done), seq, error = std::move(error)]() mutable { done(seq, std::move(error)); });
      batch = {};  // payloads are freed here, off the queue
    });
  }

  // The same on this thread, for storage that doesn't block.
  [[nodiscard]] failure write_now(const write_batch& batch) {
    failure error = storage_->append(batch);
    return error ? error : storage_->sync();
  }

  // Waits for the write in flight, drops what wasn't begun and closes the storage. Any thread but the disk's; after
  // it nothing is posted to `executor` any more.
  void close() {
    const std::lock_guard lock(closing_);
    thread_.stop();
    thread_.join();
    storage_.reset();
  }

  ~disk_queue() { close(); }

 private:
  std::unique_ptr<Storage> storage_;  // touched on the thread only, and by close() after it ended
  std::mutex closing_;
  asio::thread_pool thread_{1};
};

}  // namespace confman
