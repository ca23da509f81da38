// The blocking disk on a thread of its own: a slow sync never stops heartbeats.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/post.hpp>
#include <asio/thread_pool.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "confman/core/hard_state.hpp"
#include "confman/core/ready.hpp"
#include "confman/error.hpp"

namespace confman {

// Storage: append(const write_batch&) and sync(), see storage/concepts.hpp. One write at a time.
template <class Storage>
class disk_queue {
 public:
  // done(seq, failure) runs on `executor` after each write.
  using completion = std::function<void(write_seq, failure)>;

  // Starts the thread, runs open() on it, then opened(result) on `executor`.
  template <class Open, class Opened>
  void open(const asio::any_io_executor& executor, Open open_storage, Opened opened) {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    thread_ = std::make_unique<asio::thread_pool>(1);
    asio::post(*thread_, [this, executor, open_storage = std::move(open_storage),
                          opened = std::move(opened)]() mutable {
      auto result = open_storage();
      failure error;
      if (result)
        storage_ = *std::move(result);
      else
        error = result.error();
      asio::post(executor,
                 [opened = std::move(opened), error = std::move(error)]() mutable { opened(error); });
    });
  }

  // Dropped after close(). Precondition: open() succeeded.
  void write(const asio::any_io_executor& executor, write_batch&& batch, completion done) {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    asio::post(*thread_, [this, executor, batch = std::move(batch), done = std::move(done)]() mutable {
      failure error = storage_->append(batch);
      if (!error) error = storage_->sync();
      const write_seq seq = batch.seq;
      asio::post(executor, [done = std::move(done), seq, error = std::move(error)]() mutable {
        done(seq, std::move(error));
      });
      batch = {};  // payloads are freed here, off the queue
    });
  }

  // What lies in the log on disk; done(entries or failure) runs on `executor`. Dropped after close().
  template <class Done>
  void read(const asio::any_io_executor& executor, const entry_fetch& what, Done done) {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    asio::post(*thread_, [this, executor, what, done = std::move(done)]() mutable {
      auto entries = storage_->read(what.from, what.last, what.max_bytes);
      asio::post(executor, [done = std::move(done), entries = std::move(entries)]() mutable {
        done(std::move(entries));
      });
    });
  }
  // The same on this thread, for storage that doesn't block.
  [[nodiscard]] result<std::vector<entry>> read_now(const entry_fetch& what) {
    const std::lock_guard lock(mutex_);
    if (closed_) return failure(errc::stopped, "the storage is closed");
    return storage_->read(what.from, what.last, what.max_bytes);
  }

  // What storage wants to do while nothing waits; done(more or failure) runs on `executor`. Dropped after
  // close().
  template <class Done>
  void maintain(const asio::any_io_executor& executor, Done done) {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    asio::post(*thread_, [this, executor, done = std::move(done)]() mutable {
      result<bool> more = storage_->maintain();
      asio::post(executor,
                 [done = std::move(done), more = std::move(more)]() mutable { done(std::move(more)); });
    });
  }

  // A write on this thread, for storage that doesn't block. Nothing: dropped, after close().
  [[nodiscard]] std::optional<failure> write_now(const write_batch& batch) {
    const std::lock_guard lock(mutex_);
    if (closed_) return std::nullopt;
    failure error = storage_->append(batch);
    return error ? error : storage_->sync();
  }

  // Waits for the write in flight, drops what wasn't begun and closes the storage. Any thread but the disk's;
  // after it nothing is posted to `executor` any more.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    if (thread_) {
      thread_->stop();
      thread_->join();
    }
    thread_.reset();  // with what it never began: its completions own the node, which owns this
    // A note that the last batch was synced: damage to it while the node is down can't pass for a torn tail.
    if constexpr (requires(Storage & s) { s.maintain(); })
      if (storage_) (void)storage_->maintain();
    storage_.reset();
  }

  ~disk_queue() { close(); }

 private:
  std::unique_ptr<Storage>
      storage_;       // touched on the thread (or under the lock), and by close() after it ended
  std::mutex mutex_;  // close() comes from any thread
  bool closed_ = false;
  std::unique_ptr<asio::thread_pool> thread_;  // from open() on
};

}  // namespace confman
