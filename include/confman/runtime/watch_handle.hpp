// A watch as its owner holds it, and the delivery of its changes on the host's executor.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/post.hpp>
#include <asio/strand.hpp>
#include <atomic>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "confman/map/watch.hpp"

namespace confman {

namespace detail {

// Takes batches from the hub and calls back, one call at a time.
class watch_consumer : public std::enable_shared_from_this<watch_consumer> {
 public:
  watch_consumer(std::shared_ptr<watch_hub> hub, const asio::any_io_executor& executor)
      : hub_(std::move(hub)), strand_(asio::make_strand(executor)) {}
  virtual ~watch_consumer() = default;

  void begin(std::string_view prefix, std::optional<std::uint64_t> after, watch_limits limits) {
    auto added = hub_->add(prefix, after, limits, [weak = this->weak_from_this()] {
      if (const auto self = weak.lock()) self->schedule();
    });
    if (added)
      id_.store(added->value(), std::memory_order_release);
    else
      refused_ = added.error();
    schedule();  // what the history held, or the refusal
  }

  // No call begins after this; one may be running on another thread.
  void end() noexcept {
    ended_.store(true, std::memory_order_release);
    if (const watch_id id = this->id()) hub_->remove(id);
  }

 protected:
  virtual void call(const change_batch& batch) = 0;

 private:
  static constexpr std::size_t changes_per_call = 1024;

  [[nodiscard]] watch_id id() const noexcept { return watch_id(id_.load(std::memory_order_acquire)); }

  void schedule() {
    asio::post(strand_, [self = this->shared_from_this()] { self->deliver(); });
  }

  void deliver() {
    if (ended_.load(std::memory_order_acquire)) return;
    change_batch batch;
    if (refused_)
      batch.error = std::exchange(refused_, {});
    else if (const watch_id id = this->id())
      batch = hub_->take(id, changes_per_call);
    if (ended_.load(std::memory_order_acquire)) return;  // the owner ended it meanwhile: that is no news
    if (batch.changes.empty() && !batch.error) return;
    if (batch.error) ended_.store(true, std::memory_order_release);
    call(batch);
    // Others on this executor get their turn in between. Without more the next change schedules again; a look
    // that finds nothing arms the watch.
    if (!batch.error) schedule();
  }

  std::shared_ptr<watch_hub> hub_;
  asio::strand<asio::any_io_executor> strand_;
  std::atomic<std::uint64_t> id_{0};  // a change may be announced before add() has returned
  failure refused_;
  std::atomic<bool> ended_{false};
};

template <class OnChange>
class typed_watch_consumer final : public watch_consumer {
 public:
  typed_watch_consumer(std::shared_ptr<watch_hub> hub, const asio::any_io_executor& executor,
                       OnChange on_change)
      : watch_consumer(std::move(hub), executor), on_change_(std::move(on_change)) {}

 private:
  void call(const change_batch& batch) override { on_change_(batch); }
  OnChange on_change_;
};

}  // namespace detail

// Keeps a watch going: destroying it ends the watch. After that no call begins; one that is running on
// another thread may still end: what the callback refers to must outlive that. Must be destroyed before the
// context of the callback's executor; may outlive a map with a thread
// of its own.
class watch_handle {
 public:
  watch_handle() noexcept = default;
  watch_handle(std::shared_ptr<detail::watch_consumer> consumer, std::shared_ptr<void> context) noexcept
      : context_(std::move(context)), consumer_(std::move(consumer)) {}
  watch_handle(watch_handle&&) noexcept = default;
  watch_handle& operator=(watch_handle&& other) noexcept {
    cancel();
    consumer_ = std::move(other.consumer_);
    context_ = std::move(other.context_);
    return *this;
  }
  ~watch_handle() { cancel(); }

  // Ends the watch as the destructor does; does nothing without one. May be called from within on_change. Not
  // from two threads at once.
  void cancel() noexcept {
    if (consumer_) consumer_->end();
    consumer_.reset();
    context_.reset();
  }
  // Whether there is a watch to end; it may have ended by itself, with an error in its last batch.
  [[nodiscard]] explicit operator bool() const noexcept { return consumer_ != nullptr; }

 private:
  std::shared_ptr<void> context_;  // of a map with a thread of its own; must outlive the consumer
  std::shared_ptr<detail::watch_consumer> consumer_;
};

namespace detail {

template <class Node, class OnChange>
watch_handle start_watch(const std::shared_ptr<Node>& node, std::string_view prefix,
                         std::optional<std::uint64_t> after, OnChange on_change,
                         std::shared_ptr<void> context) {
  const asio::any_io_executor executor = asio::get_associated_executor(on_change, node->executor());
  auto consumer = std::make_shared<typed_watch_consumer<OnChange>>(
      std::shared_ptr<watch_hub>(node, &node->map().watches()), executor, std::move(on_change));
  consumer->begin(prefix, after, node->limits_of_watches());
  return watch_handle(std::move(consumer), std::move(context));
}

}  // namespace detail
}  // namespace confman
