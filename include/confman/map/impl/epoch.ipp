#pragma once

#include <algorithm>
#include <iterator>
#include <limits>
#include <unordered_map>

#include "confman/map/epoch.hpp"

#if !defined(CONFMAN_NO_ASYMMETRIC_FENCE)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace confman::detail {

CONFMAN_DECL slot_table::~slot_table() {
  for (block* b = first_.next.load(std::memory_order_acquire); b != nullptr;) {
    block* const next = b->next.load(std::memory_order_acquire);
    delete b;
    b = next;
  }
}

CONFMAN_DECL reader_slot* slot_table::acquire() {
  for (block* b = &first_;;) {
    for (reader_slot& slot : b->slots)
      if (!slot.taken.load(std::memory_order_relaxed) &&
          !slot.taken.exchange(true, std::memory_order_acquire))
        return &slot;
    block* next = b->next.load(std::memory_order_seq_cst);
    if (next == nullptr) {
      auto grown = std::make_unique<block>();
      if (b->next.compare_exchange_strong(next, grown.get(), std::memory_order_seq_cst))
        next = grown.release();
    }
    b = next;
  }
}

CONFMAN_DECL std::uint64_t slot_table::oldest() const noexcept {
  std::uint64_t oldest = std::numeric_limits<std::uint64_t>::max();
  for (const block* b = &first_; b != nullptr; b = b->next.load(std::memory_order_seq_cst))
    for (const reader_slot& slot : b->slots)
      if (const std::uint64_t epoch = slot.epoch.load(std::memory_order_seq_cst); epoch != 0)
        oldest = std::min(oldest, epoch);
  return oldest;
}

// Gives the thread's slots back when it ends, and forgets the slots of maps that are gone.
class thread_slots {
 public:
  thread_slots() = default;
  thread_slots(const thread_slots&) = delete;
  thread_slots& operator=(const thread_slots&) = delete;
  ~thread_slots() {
    ended_ = true;
    std::fill(std::begin(slots_of_this_thread), std::end(slots_of_this_thread), remembered_slot{});
    for (auto& [id, h] : held_) give_back(h);
  }

  // Whether this thread is past the destruction of its thread-local objects: then nothing can be remembered.
  [[nodiscard]] static bool ended() noexcept { return ended_; }

  [[nodiscard]] reader_slot* get(std::uint64_t domain, const std::shared_ptr<slot_table>& table) {
    if (const auto known = held_.find(domain); known != held_.end()) return known->second.slot;
    for (auto it = held_.begin(); it != held_.end();)
      it = it->second.table->closed.load(std::memory_order_relaxed) ? held_.erase(it) : std::next(it);
    held& fresh = held_[domain];
    fresh.table = table;
    try {
      fresh.slot = table->acquire();
    } catch (...) {
      held_.erase(domain);
      throw;
    }
    return fresh.slot;
  }

 private:
  struct held {
    std::shared_ptr<slot_table> table;
    reader_slot* slot = nullptr;
  };

  // A guard that outlives the thread-local objects (held by another of them) keeps the slot until it leaves.
  static void give_back(held& h) noexcept {
    if (h.slot->depth == 0)
      slot_table::release(h.slot);
    else
      h.slot->transient = true;
  }

  static inline thread_local constinit bool ended_ = false;
  std::unordered_map<std::uint64_t, held> held_;
};

#if !defined(CONFMAN_NO_ASYMMETRIC_FENCE)
// Registers the process for expedited private barriers; false where the kernel has none.
[[nodiscard]] inline bool register_membarrier() noexcept {
  return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

// Every running thread of the process has executed a full fence when this returns true.
[[nodiscard]] inline bool fence_all_threads() noexcept {
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0) return true;
  // A registration can be missing after a fork on old kernels.
  return register_membarrier() && syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}

[[nodiscard]] inline bool has_asymmetric_fence() noexcept {
  static const bool available = register_membarrier();
  return available;
}
#else
[[nodiscard]] inline bool fence_all_threads() noexcept {
  return true;
}
[[nodiscard]] inline bool has_asymmetric_fence() noexcept {
  return false;
}
#endif

[[nodiscard]] inline std::uint64_t next_domain_id() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

CONFMAN_DECL epoch_domain::epoch_domain()
    : id_(next_domain_id()), asymmetric_(has_asymmetric_fence()), slots_(std::make_shared<slot_table>()) {}

CONFMAN_DECL epoch_domain::~epoch_domain() {
  slots_->closed.store(true, std::memory_order_relaxed);
}

CONFMAN_DECL std::uint64_t epoch_domain::oldest_reader() const noexcept {
  if (asymmetric_ && !fence_all_threads()) return 0;
  return std::min(slots_->oldest(), current());
}

CONFMAN_DECL reader_slot* epoch_domain::find_slot() const {
  if (thread_slots::ended()) {
    reader_slot* const slot = slots_->acquire();
    slot->transient = true;
    return slot;
  }
  static thread_local thread_slots mine;
  reader_slot* const slot = mine.get(id_, slots_);
  slots_of_this_thread[id_ % remembered_slots] = {id_, slot};
  return slot;
}

}  // namespace confman::detail
