// What travels through the mailbox to the group's queue.
#pragma once

#include "confman/runtime/member_operations.hpp"
#include "confman/runtime/operation.hpp"

namespace confman {

class mail {
 public:
  mail* next_item = nullptr;  // the mailbox's

  // On the queue: hand yourself to the group. The object may be gone when this returns.
  virtual void deliver(class mail_receiver& to) = 0;
  // The node is destroyed, the letter was never opened.
  virtual void discard() noexcept = 0;

 protected:
  ~mail() = default;
};

// The node, as seen by its mail.
class mail_receiver {
 public:
  virtual void accept(write_operation& operation) = 0;
  virtual void accept(read_operation& operation) = 0;
  virtual void accept(cluster_operation& operation) = 0;
  virtual void accept_cancel(std::uint64_t operation) = 0;

 protected:
  ~mail_receiver() = default;
};

}  // namespace confman
