// When may memory that readers might still see be used again? Epochs, with the cost on the writer's side.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "confman/config.hpp"

// Where readers may skip their fence because the writer can make every thread of the process execute one.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CONFMAN_NO_ASYMMETRIC_FENCE 1  // it would report races, because it doesn't know membarrier
#endif
#endif
#if defined(__SANITIZE_THREAD__) || !defined(__linux__)
#define CONFMAN_NO_ASYMMETRIC_FENCE 1
#endif

namespace confman::detail {

// Where a thread says what it may be reading. Two cache lines: neighbours are fetched in pairs.
struct alignas(128) reader_slot {
  std::atomic<std::uint64_t> epoch{0};  // 0: not reading
  std::atomic<bool> taken{false};
  bool transient = false;   // given back as soon as the thread stops reading
  std::uint32_t depth = 0;  // guards of this thread, which may be nested
};

// The slots of one map. They outlive the map for as long as a thread remembers one.
class slot_table {
 public:
  slot_table() = default;
  slot_table(const slot_table&) = delete;
  slot_table& operator=(const slot_table&) = delete;
  CONFMAN_DECL ~slot_table();

  // A free slot; the table grows when there is none. Throws std::bad_alloc. Any thread.
  [[nodiscard]] CONFMAN_DECL reader_slot* acquire();
  // The slot may go to another thread.
  static void release(reader_slot* slot) noexcept { slot->taken.store(false, std::memory_order_release); }
  // The smallest epoch of a thread that is reading; UINT64_MAX if none is.
  [[nodiscard]] CONFMAN_DECL std::uint64_t oldest() const noexcept;

  std::atomic<bool> closed{false};  // the map is gone

 private:
  struct block {
    static constexpr std::size_t size = 8;
    reader_slot slots[size];
    std::atomic<block*> next{nullptr};
  };

  block first_;
};

// Protocol, for state k published in epoch k:
//   reader: e := epoch; slot := e; [fence]; state := published; ... ; slot := 0
//   writer: published := state k; epoch := k; [fence]; frees what state k-1 alone used once no slot is
//   in 1..k-1
// Either the writer sees the slot, or the reader's load of `published` comes after the writer's fence and
// gets state k or a later one. A reader that read epoch k sees state k or a later one, so its slot never
// claims too much. With the asymmetric fence the reader's is free and the writer's is membarrier(2);
// otherwise both use seq_cst accesses. Thread safety: enter() and leave() any thread, the rest the writer's.
class epoch_domain {
 public:
  CONFMAN_DECL epoch_domain();
  CONFMAN_DECL ~epoch_domain();
  epoch_domain(const epoch_domain&) = delete;
  epoch_domain& operator=(const epoch_domain&) = delete;

  // Starts reading on this thread; may be nested. What is loaded with load_published() stays until leave().
  [[nodiscard]] reader_slot* enter() const;
  static void leave(reader_slot* slot) noexcept {
    if (--slot->depth != 0) return;
    slot->epoch.store(0, std::memory_order_release);
    if (slot->transient) {
      slot->transient = false;
      slot_table::release(slot);
    }
  }

  [[nodiscard]] std::uint64_t current() const noexcept { return epoch_.load(std::memory_order_relaxed); }

  [[nodiscard]] const void* load_published() const noexcept {
    return published_.load(std::memory_order_seq_cst);
  }

  void publish(const void* state, std::uint64_t epoch) noexcept {
    published_.store(state, std::memory_order_seq_cst);
    epoch_.store(epoch, std::memory_order_seq_cst);
  }

  // The smallest epoch in which a thread may be reading, current() if none is. What was replaced in an epoch
  // up to this one is no longer seen by guards. Costs a system call. 0 if the kernel refuses the fence: frees
  // nothing.
  [[nodiscard]] CONFMAN_DECL std::uint64_t oldest_reader() const noexcept;

 private:
  CONFMAN_DECL reader_slot* find_slot() const;

  // One cache line that readers load and only a publication changes.
  alignas(128) std::atomic<const void*> published_{nullptr};
  std::atomic<std::uint64_t> epoch_{1};
  std::uint64_t id_;  // never used twice in a process
  bool asymmetric_;
  std::shared_ptr<slot_table> slots_;
};

// The slots this thread used last, by domain. Plain data: no initialisation on access, nothing to destroy.
struct remembered_slot {
  std::uint64_t domain = 0;
  reader_slot* slot = nullptr;
};
inline constexpr std::size_t remembered_slots = 16;
inline thread_local constinit remembered_slot slots_of_this_thread[remembered_slots] = {};

inline reader_slot* epoch_domain::enter() const {
  const remembered_slot& remembered = slots_of_this_thread[id_ % remembered_slots];
  reader_slot* const slot = remembered.domain == id_ ? remembered.slot : find_slot();
  if (slot->depth++ == 0) {
    const std::uint64_t epoch = epoch_.load(std::memory_order_acquire);
#if !defined(CONFMAN_NO_ASYMMETRIC_FENCE)
    if (asymmetric_) {
      slot->epoch.store(epoch, std::memory_order_release);
      std::atomic_signal_fence(std::memory_order_seq_cst);
      return slot;
    }
#endif
    slot->epoch.store(epoch, std::memory_order_seq_cst);
  }
  return slot;
}

}  // namespace confman::detail

#if !defined(CONFMAN_COMPILED)
#include "confman/map/impl/epoch.ipp"
#endif
