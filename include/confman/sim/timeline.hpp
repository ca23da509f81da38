// Virtual time and what is going to happen.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace confman::sim {

// Microseconds since the world began. No relation to any clock of the machine.
using micros = std::uint64_t;

// A clock and a queue of events in one: time moves only by taking the next event. Events of the same
// microsecond happen in the order in which they were scheduled, so a run depends on nothing but what was
// scheduled.
//
// Event: cheap to move. Single-threaded.
template <class Event>
class timeline {
 public:
  [[nodiscard]] micros now() const noexcept { return now_; }
  [[nodiscard]] bool empty() const noexcept { return heap_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return heap_.size(); }
  [[nodiscard]] std::uint64_t taken() const noexcept { return taken_; }
  // When the next event happens. Precondition: !empty().
  [[nodiscard]] micros next_at() const noexcept { return heap_.front().at; }

  // Nothing happens until then. Precondition: no event is due before.
  void wait_until(micros when) noexcept { now_ = std::max(now_, when); }

  // In `delay` microseconds.
  void schedule(micros delay, Event event) {
    heap_.push_back({now_ + delay, scheduled_++, std::move(event)});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }

  // Moves the clock to the next event and hands it out. Precondition: !empty().
  Event take() {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    item next = std::move(heap_.back());
    heap_.pop_back();
    now_ = next.at;
    ++taken_;
    return std::move(next.event);
  }

 private:
  struct item {
    micros at;
    std::uint64_t order;
    Event event;
  };
  static bool later(const item& a, const item& b) noexcept {
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  }

  std::vector<item> heap_;
  micros now_ = 0;
  std::uint64_t scheduled_ = 0;
  std::uint64_t taken_ = 0;
};

}  // namespace confman::sim
