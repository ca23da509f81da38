// Operations of users on their way: type-erased towards the node, typed only where the handler is called.
#pragma once

#include <asio/associated_allocator.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/execution/outstanding_work.hpp>
#include <asio/post.hpp>
#include <asio/prefer.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "confman/runtime/mail.hpp"

namespace confman::detail {

// A handler with what it needs to be called where it wants to be: its executor, kept busy until then.
template <class Handler, class Executor>
class bound_handler {
  using handler_executor = asio::associated_executor_t<Handler, Executor>;
  template <class E>
  using tracked =
      std::decay_t<decltype(asio::prefer(std::declval<E>(), asio::execution::outstanding_work.tracked))>;

 public:
  bound_handler(Handler&& handler, const Executor& executor)
      : handler_(std::move(handler)),
        work_(asio::prefer(asio::get_associated_executor(handler_, executor),
                           asio::execution::outstanding_work.tracked)),
        io_work_(asio::prefer(executor, asio::execution::outstanding_work.tracked)) {}

  [[nodiscard]] Handler& handler() noexcept { return handler_; }

  // Never inline: the caller may hold a lock, and its stack is not the handler's to use.
  template <class... Arguments>
  static void post(bound_handler&& self, Arguments... arguments) {
    auto executor = self.work_;
    asio::post(executor,
               call<Arguments...>{std::move(self), std::tuple<Arguments...>(std::move(arguments)...)});
  }

 private:
  template <class... Arguments>
  struct call {
    bound_handler bound;
    std::tuple<Arguments...> arguments;

    using allocator_type = asio::associated_allocator_t<Handler>;
    [[nodiscard]] allocator_type get_allocator() const noexcept {
      return asio::get_associated_allocator(bound.handler_);
    }
    void operator()() {
      // Here and not on the node's queue: a slot belongs to the handler's executor.
      if (auto slot = asio::get_associated_cancellation_slot(bound.handler_); slot.is_connected())
        slot.clear();
      Handler handler = std::move(bound.handler_);
      std::apply(std::move(handler), std::move(arguments));
    }
  };

  Handler handler_;
  tracked<handler_executor> work_;
  tracked<Executor> io_work_;
};

// Memory from the handler's own allocator, given back before the handler is called.
template <class Operation, class Handler, class... Arguments>
Operation* make_operation(Handler& handler, Arguments&&... arguments) {
  using allocator_type =
      typename std::allocator_traits<asio::associated_allocator_t<Handler>>::template rebind_alloc<Operation>;
  allocator_type allocator(asio::get_associated_allocator(handler));
  Operation* const memory = std::allocator_traits<allocator_type>::allocate(allocator, 1);
  try {
    return ::new (static_cast<void*>(memory)) Operation(std::forward<Arguments>(arguments)...);
  } catch (...) {
    std::allocator_traits<allocator_type>::deallocate(allocator, memory, 1);
    throw;
  }
}

template <class Operation, class Allocator>
void destroy_operation(Operation* operation, const Allocator& associated) noexcept {
  using allocator_type = typename std::allocator_traits<Allocator>::template rebind_alloc<Operation>;
  allocator_type allocator(associated);
  operation->~Operation();
  std::allocator_traits<allocator_type>::deallocate(allocator, operation, 1);
}

template <class Handler, class Executor>
class handler_write final : public write_operation, public mail {
 public:
  handler_write(Handler&& handler, const Executor& executor) : bound_(std::move(handler), executor) {}

  void deliver(mail_receiver& to) override { to.accept(*this); }
  void discard() noexcept override { (void)take(); }
  void abandon() noexcept override { (void)take(); }
  void complete(std::error_code code, const apply_result& outcome) override {
    const apply_result copy = outcome;
    bound_handler<Handler, Executor>::post(take(), code, copy);
  }

 private:
  bound_handler<Handler, Executor> take() {
    bound_handler<Handler, Executor> bound = std::move(bound_);
    destroy_operation(this, asio::get_associated_allocator(bound.handler()));
    return bound;
  }
  bound_handler<Handler, Executor> bound_;
};

// Finish: how an allowed read makes its answer; finish(code) returns the handler's second argument.
template <class Handler, class Executor, class Finish>
class handler_read final : public read_operation, public mail {
 public:
  handler_read(Handler&& handler, const Executor& executor, Finish&& finish)
      : bound_(std::move(handler), executor), finish_(std::move(finish)) {}

  void deliver(mail_receiver& to) override { to.accept(*this); }
  void discard() noexcept override { (void)take(); }
  void abandon() noexcept override { (void)take(); }
  void complete(std::error_code code) override {
    Finish finish = std::move(finish_);
    finish(take(), code);
  }

 private:
  bound_handler<Handler, Executor> take() {
    bound_handler<Handler, Executor> bound = std::move(bound_);
    destroy_operation(this, asio::get_associated_allocator(bound.handler()));
    return bound;
  }
  bound_handler<Handler, Executor> bound_;
  Finish finish_;
};

// Finish: as above; finish(bound handler, failure, version).
template <class Handler, class Executor, class Finish>
class handler_cluster final : public cluster_operation, public mail {
 public:
  handler_cluster(Handler&& handler, const Executor& executor, Finish&& finish)
      : bound_(std::move(handler), executor), finish_(std::move(finish)) {}

  void deliver(mail_receiver& to) override { to.accept(*this); }
  void discard() noexcept override { (void)take(); }
  void abandon() noexcept override { (void)take(); }
  void complete(const failure& error, version at) override {
    Finish finish = std::move(finish_);
    const failure copy = error;
    finish(take(), copy, at);
  }

 private:
  bound_handler<Handler, Executor> take() {
    bound_handler<Handler, Executor> bound = std::move(bound_);
    destroy_operation(this, asio::get_associated_allocator(bound.handler()));
    return bound;
  }
  bound_handler<Handler, Executor> bound_;
  Finish finish_;
};

// Asks the queue to end an operation that still waits.
class cancel_letter final : public mail {
 public:
  explicit cancel_letter(std::uint64_t operation) : operation_(operation) {}
  void deliver(mail_receiver& to) override {
    const std::unique_ptr<cancel_letter> self(this);
    to.accept_cancel(operation_);
  }
  void discard() noexcept override { delete this; }

 private:
  std::uint64_t operation_;
};

// Blocks threads until the queue has an answer. Signalled under the lock, so that the waiter can't leave and
// destroy it while the queue still touches it.
template <class Answer>
class rendezvous {
 public:
  void set(Answer answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
    done_ = true;
    ready_.notify_all();
  }
  [[nodiscard]] Answer wait() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [this] { return done_; });
    return answer_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  bool done_ = false;
  Answer answer_{};
};

struct write_answer {
  std::error_code code;
  apply_result outcome;
};

class blocking_write final : public write_operation, public mail {
 public:
  void deliver(mail_receiver& to) override { to.accept(*this); }
  void discard() noexcept override { answer.set({errc::stopped, {}}); }
  void abandon() noexcept override { answer.set({errc::outcome_unknown, {}}); }
  void complete(std::error_code code, const apply_result& outcome) override { answer.set({code, outcome}); }
  rendezvous<write_answer> answer;
};

class blocking_read final : public read_operation, public mail {
 public:
  void deliver(mail_receiver& to) override { to.accept(*this); }
  void discard() noexcept override { answer.set(errc::stopped); }
  void abandon() noexcept override { answer.set(errc::stopped); }
  void complete(std::error_code code) override { answer.set(code); }
  rendezvous<std::error_code> answer;
};

struct cluster_answer {
  failure error;
  version at;
};

class blocking_cluster final : public cluster_operation, public mail {
 public:
  void deliver(mail_receiver& to) override { to.accept(*this); }
  void discard() noexcept override { abandon(); }
  void abandon() noexcept override { answer.set({{errc::stopped, "the map was destroyed"}, {}}); }
  void complete(const failure& error, version at) override { answer.set({error, at}); }
  rendezvous<cluster_answer> answer;
};

// A snapshot, then its copy.
template <class Node>
class blocking_backup final : public cluster_operation, public mail {
 public:
  blocking_backup(Node& node, std::string path) : node_(node), path_(std::move(path)) {}
  void deliver(mail_receiver& to) override { to.accept(*this); }
  void discard() noexcept override { abandon(); }
  void abandon() noexcept override { answer.set({errc::stopped, "the map was destroyed"}); }
  void complete(const failure& error, version at) override {
    if (error) return answer.set(error);
    node_.copy_snapshot(at, std::move(path_), [this](const result<version>& copied) {
      answer.set(copied ? failure() : copied.error());
    });
  }
  rendezvous<failure> answer;

 private:
  Node& node_;
  std::string path_;
};

}  // namespace confman::detail
