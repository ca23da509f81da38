// The Asio adapter of one group: gives it time, a mailbox, a disk thread and a transport on the host's
// executor.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "confman/runtime/disk_queue.hpp"
#include "confman/runtime/mail.hpp"
#include "confman/runtime/mailbox.hpp"
#include "confman/runtime/node_options.hpp"
#include "confman/runtime/storage_traits.hpp"
#include "confman/transport/concepts.hpp"

namespace confman {

// Thread safety: the public functions may be called from any thread; everything else happens on one strand of
// the host's executor. Lifetime: shared; handlers under way keep it alive. The host's context must outlive
// it.
template <class Transport, class Storage>
class node final : public std::enable_shared_from_this<node<Transport, Storage>>,
                   private mail_receiver,
                   private group_observer {
 public:
  // What the group sees as its storage: hands the write to the disk's thread, or does it at once.
  struct storage_port {
    node& owner;
    void write(write_batch&& batch) { owner.start_write(std::move(batch)); }
  };

  using transport_factory = std::function<std::unique_ptr<Transport>(asio::any_io_executor)>;

  node(asio::any_io_executor host, node_options options, transport_factory make_transport)
      : host_(std::move(host)),
        strand_(asio::make_strand(host_)),
        options_(std::move(options)),
        map_(options_.history),
        make_transport_(std::move(make_transport)),
        mailbox_(options_.mailbox_capacity),
        timer_(strand_) {
    status_.id = options_.group.raft.self;
  }

  ~node() {
    mailbox_.take([](mail& m) { m.discard(); });
    if (run_) run_->abandon();
  }

  [[nodiscard]] const asio::any_io_executor& executor() const noexcept { return host_; }
  [[nodiscard]] map_state& map() noexcept { return map_; }
  [[nodiscard]] const watch_limits& limits_of_watches() const noexcept { return options_.watch; }
  [[nodiscard]] bool on_queue() const noexcept { return strand_.running_in_this_thread(); }

  // Opens the storage, listens and takes part until stop(). `finished` completes at the end: without an error
  // after stop(), else with what went wrong, on which last_failure() has more to say. `started`, if given,
  // completes as soon as the node takes part, or can't. Once. `owner`, if given, owns `finished`.
  void run(read_operation& finished, std::shared_ptr<void> owner = {},
           std::shared_ptr<read_operation> started = {}) {
    state expected = state::idle;
    if (!state_.compare_exchange_strong(expected, state::opening)) {
      if (started) started->complete(errc::stopped);
      return finished.complete(errc::stopped);
    }
    // Here and not on the strand: if the context never runs, ~node still finds it.
    run_ = &finished;
    run_owner_ = std::move(owner);
    started_ = std::move(started);
    asio::post(strand_, [self = this->shared_from_this()] { self->open(); });
  }

  // Orderly: refuses new work, fails what waits, lets the write in flight end, closes.
  void stop() {
    asio::post(strand_, [self = this->shared_from_this()] { self->begin_stop({}); });
  }

  // For the owner's destructor: after it nothing of the host's is touched but the executor.
  void close() {
    {
      const std::lock_guard lock(event_mutex_);
      silenced_ = true;
    }
    disk_.close();
    asio::post(strand_, [self = this->shared_from_this()] { self->abort(); });
  }

  // errc::stopped or errc::busy: the letter was not taken.
  [[nodiscard]] std::error_code send(mail& letter) {
    const state s = state_.load(std::memory_order_acquire);
    if (s == state::idle || s == state::stopped) return errc::stopped;
    return wake(mailbox_.push(letter));
  }
  void send_always(mail& letter) { (void)wake(mailbox_.push_always(letter)); }

  [[nodiscard]] node_status status() const {
    const std::lock_guard lock(status_mutex_);
    return status_;
  }
  [[nodiscard]] failure last_failure() const {
    const std::lock_guard lock(event_mutex_);
    return last_failure_;
  }
  [[nodiscard]] std::uint64_t next_operation() noexcept {
    return operations_.fetch_add(1, std::memory_order_relaxed) + 1;
  }

 private:
  enum class state { idle, opening, running, stopping, stopped };
  using traits = storage_traits<Storage>;

  std::error_code wake(typename mailbox<mail>::pushed outcome) {
    if (outcome == mailbox<mail>::pushed::full) return errc::busy;
    if (outcome == mailbox<mail>::pushed::first)
      asio::post(strand_, [self = this->shared_from_this()] { self->drain(); });
    return {};
  }

  // --- starting ---

  void open() {
    if (options_.invalid) return begin_stop(options_.invalid);
    transport_ = make_transport_(strand_);
    if constexpr (requires { transport_->listen(); })
      if (failure error = transport_->listen()) return begin_stop(std::move(error));
    disk_.open(
        strand_,
        [directory = options_.directory, log = options_.log, recovered = &recovered_] {
          return traits::open(directory, log, *recovered);
        },
        [self = this->shared_from_this()](failure error) { self->opened(std::move(error)); });
  }

  void opened(failure error) {
    if (state_ != state::opening) return finish_stop();
    if (!error) error = check_recovered(recovered_);
    if (error) return begin_stop(std::move(error));
    group_options g = options_.group;
    g.raft.incarnation = recovered_.incarnation;
    g.raft.boot = recovered_.boot;
    g.raft.seed = g.raft.self.value() ^ recovered_.incarnation.value() ^ (recovered_.boot << 20);
    group_.emplace(g, options_.members, std::move(recovered_), *transport_, port_, map_,
                   static_cast<group_observer&>(*this));
    recovered_ = {};
    transport_handlers handlers;
    handlers.on_message = [this](message&& m) { receive(std::move(m)); };
    handlers.on_unreachable = [this](node_id peer) {
      group_->unreachable(peer);
      pump();
    };
    handlers.on_batch_end = [this] { pump(); };
    handlers.on_event = [this](const failure& event) { report(event); };
    if constexpr (requires { transport_->listen(); })
      transport_->start(g.raft.cluster, g.raft.incarnation, std::move(handlers));
    else
      transport_->start(std::move(handlers));
    state_ = state::running;
    next_tick_ = std::chrono::steady_clock::now();
    arm_timer();
    update_status();  // before anybody who waited for the start can ask
    if (const auto started = std::exchange(started_, nullptr)) started->complete({});
    drain();
  }

  // --- running ---

  void receive(message&& m) {
    if (const std::error_code error = group_->receive(std::move(m)); error == errc::two_leaders)
      report({error, "node " + std::to_string(options_.group.raft.self.value()) + ": " + error.message()});
  }

  void drain() {
    if (state_ == state::opening) return;
    mailbox_.take([this](mail& m) { m.deliver(*this); });
    pump();
  }

  void pump() {
    if (!group_ || !transport_ || pumping_) return;
    pumping_ = true;
    bool more = group_->pump();
    if constexpr (!traits::blocks) {
      while (written_) {
        group_->persisted(*std::exchange(written_, std::nullopt), std::exchange(write_failure_, {}));
        more = group_->pump() || more;
      }
    }
    pumping_ = false;
    flush_if_possible(*transport_);
    update_status();
    if (group_->failed() && state_ == state::running) {
      failure why = group_->failed();
      if (why.code != errc::storage_failed) why.what += " (directory '" + options_.directory + "')";
      return begin_stop(std::move(why));
    }
    if (more) asio::post(strand_, [self = this->shared_from_this()] { self->pump(); });
  }

  void start_write(write_batch&& batch) {
    maintainable_ = true;
    if constexpr (traits::blocks) {
      disk_.write(strand_, std::move(batch), [self = this->shared_from_this()](write_seq seq, failure error) {
        self->persisted(seq, std::move(error));
      });
    } else if (auto outcome = disk_.write_now(batch)) {
      write_failure_ = *std::move(outcome);
      written_ = batch.seq;
    }
  }

  void persisted(write_seq seq, failure error) {
    group_->persisted(seq, error);
    if (state_ == state::stopping) return finish_stop();
    pump();
  }

  // When the disk has had nothing to do for a while, it may tidy up: see log::maintain().
  void maintain_if_idle() {
    if constexpr (traits::blocks && requires(Storage & s) { s.maintain(); }) {
      if (group_->write_in_flight() || maintaining_ || !maintainable_) {
        idle_ticks_ = 0;
        return;
      }
      if (++idle_ticks_ < idle_before_maintenance || state_ != state::running) return;
      maintaining_ = true;
      disk_.maintain(strand_, [self = this->shared_from_this()](result<bool> more) {
        self->maintaining_ = false;
        if (!more) {
          self->group_->storage_failed(more.error());
          return self->pump();
        }
        self->maintainable_ = *more || self->group_->write_in_flight();
      });
    }
  }

  void arm_timer() {
    using clock = std::chrono::steady_clock;
    next_tick_ += options_.tick;
    // After a pause of the process, time goes on from now: a burst of ticks would depose a leader that is
    // there.
    if (const auto now = clock::now(); next_tick_ + 2 * options_.tick < now) next_tick_ = now;
    timer_.expires_at(next_tick_);
    timer_.async_wait([self = this->shared_from_this()](std::error_code error) {
      if (error || self->state_ != state::running) return;
      self->group_->tick();
      self->pump();
      self->map_.collect(collect_per_tick);
      self->maintain_if_idle();
      if (self->state_ == state::running) self->arm_timer();
    });
  }

  // --- stopping ---

  void begin_stop(failure why) {
    const state before = state_;
    if (before == state::stopping || before == state::stopped || before == state::idle) return;
    state_ = state::stopping;
    if (why) {
      report(why);
      const std::lock_guard lock(event_mutex_);
      last_failure_ = why;
    }
    timer_.cancel();
    if (group_) group_->stop();
    if (before == state::running || why) finish_stop();  // else the storage is still being opened
  }

  void finish_stop() {
    if (group_ && group_->write_in_flight()) return;  // persisted() comes back here
    if (transport_) transport_->stop();
    disk_.close();
    finish();
  }

  void abort() {
    if (state_ == state::stopped) return;
    state_ = state::stopping;
    timer_.cancel();
    if (group_) group_->stop();
    if (transport_) transport_->stop();
    finish();
  }

  void finish() {
    state_ = state::stopped;
    mailbox_.take([this](mail& m) { m.deliver(*this); });
    update_status();
    map_.watches().close();
    const std::error_code code = last_failure().code;
    if (const auto started = std::exchange(started_, nullptr))
      started->complete(code ? code : make_error_code(errc::stopped));
    if (read_operation* finished = std::exchange(run_, nullptr)) finished->complete(code);
    // Its destructor belongs on the strand as all its methods do, and one of its handlers may be on the
    // stack.
    if (transport_) asio::post(strand_, [gone = std::move(transport_)] {});
  }

  // --- mail ---

  void accept(write_operation& operation) override {
    if (!group_ || state_ != state::running) return operation.complete(errc::stopped, {});
    operation.deadline = deadline();
    group_->submit(operation);
  }
  void accept(read_operation& operation) override {
    if (!group_ || state_ != state::running) return operation.complete(errc::stopped);
    operation.deadline = deadline();
    group_->submit(operation);
  }
  void accept_cancel(std::uint64_t operation) override {
    if (group_) group_->cancel(operation, asio::error::operation_aborted);
  }
  [[nodiscard]] tick_count deadline() const {
    return group_->now() +
           static_cast<tick_count>((options_.request_timeout + options_.tick) / options_.tick);
  }

  // --- reports ---

  void report(const failure& event) {
    const std::lock_guard lock(event_mutex_);
    if (!silenced_ && options_.on_event) options_.on_event(event);
  }
  void on_refused(node_id by) override {
    report({errc::wrong_incarnation, "node " + std::to_string(options_.group.raft.self.value()) +
                                         ", directory '" + options_.directory + "': node " +
                                         std::to_string(by.value()) +
                                         " refuses it, because this id is bound to another data directory; "
                                         "bring the original directory back"});
  }
  void update_status() {
    if (!group_) return;
    const raft_core& core = group_->core();
    const std::lock_guard lock(status_mutex_);
    status_.role = core.role();
    status_.leader = core.leader();
    status_.term = core.term();
    status_.last = core.log().last_index();
    status_.stable = core.stable();
    status_.commit = core.commit();
    status_.applied = core.applied();
    status_.running = state_ == state::running;
  }

  static constexpr std::size_t collect_per_tick = 4096;
  static constexpr int idle_before_maintenance = 3;  // ticks

  asio::any_io_executor host_;
  asio::strand<asio::any_io_executor> strand_;
  node_options options_;
  map_state map_;
  transport_factory make_transport_;
  mailbox<mail> mailbox_;
  asio::steady_timer timer_;
  std::chrono::steady_clock::time_point next_tick_;
  std::atomic<state> state_{state::idle};
  std::atomic<std::uint64_t> operations_{0};
  read_operation* run_ = nullptr;
  std::shared_ptr<void> run_owner_;
  std::shared_ptr<read_operation> started_;
  recovered_log recovered_;
  std::unique_ptr<Transport> transport_;
  storage_port port_{*this};
  std::optional<group<Transport, storage_port>> group_;
  bool pumping_ = false;
  bool maintainable_ = true;  // something was written since the disk last had nothing to tidy up
  bool maintaining_ = false;
  int idle_ticks_ = 0;
  std::optional<write_seq> written_;  // storage that doesn't block: done, to be acknowledged after the pump
  failure write_failure_;
  mutable std::mutex status_mutex_;
  node_status status_;
  mutable std::mutex event_mutex_;
  bool silenced_ = false;
  failure last_failure_;
  disk_queue<Storage> disk_;  // last: its thread ends before anything else goes
};

}  // namespace confman
