// The way from any thread to the group's queue: a stack taken whole, so that a submission costs one
// compare-exchange and only who finds it empty has to wake the consumer.
#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

namespace confman {

// Item must have a member `Item* next_item`. Any thread pushes, one thread at a time takes. Items are not
// owned.
template <class Item>
class mailbox {
 public:
  explicit mailbox(std::size_t capacity) noexcept : capacity_(capacity) {}
  mailbox(const mailbox&) = delete;
  mailbox& operator=(const mailbox&) = delete;

  enum class pushed { full, first, behind_others };

  // `first`: the mailbox was empty, the caller must see to it that take() is called. `full`: nothing
  // happened.
  [[nodiscard]] pushed push(Item& item) noexcept {
    if (waiting_.fetch_add(1, std::memory_order_relaxed) >= capacity_) {
      waiting_.fetch_sub(1, std::memory_order_relaxed);
      return pushed::full;
    }
    return link(item);
  }
  // For what must not be refused (acknowledgements, cancellation): room is always kept for it.
  [[nodiscard]] pushed push_always(Item& item) noexcept {
    waiting_.fetch_add(1, std::memory_order_relaxed);
    return link(item);
  }

  // Calls visit(item) for everything pushed so far, oldest first. The item may be destroyed by it.
  template <class Visitor>
  std::size_t take(Visitor&& visit) {
    Item* newest = head_.exchange(nullptr, std::memory_order_acquire);
    Item* oldest = nullptr;
    while (newest) {
      Item* const below = newest->next_item;
      newest->next_item = std::exchange(oldest, newest);
      newest = below;
    }
    std::size_t count = 0;
    while (oldest) {
      Item* const next = oldest->next_item;
      visit(*oldest);
      oldest = next;
      ++count;
    }
    waiting_.fetch_sub(count, std::memory_order_relaxed);
    return count;
  }

 private:
  pushed link(Item& item) noexcept {
    Item* below = head_.load(std::memory_order_relaxed);
    do item.next_item = below;
    while (!head_.compare_exchange_weak(below, &item, std::memory_order_release, std::memory_order_relaxed));
    return below ? pushed::behind_others : pushed::first;
  }

  const std::size_t capacity_;
  std::atomic<Item*> head_{nullptr};
  std::atomic<std::size_t> waiting_{0};
};

}  // namespace confman
