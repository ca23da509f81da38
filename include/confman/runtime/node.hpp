// The Asio adapter of one group: gives it time, a mailbox, a disk thread and a transport on the host's
// executor.
#pragma once

#include <algorithm>
#include <array>
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
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "confman/runtime/background_thread.hpp"
#include "confman/runtime/disk_queue.hpp"
#include "confman/runtime/mail.hpp"
#include "confman/runtime/mailbox.hpp"
#include "confman/runtime/node_options.hpp"
#include "confman/runtime/peer_book.hpp"
#include "confman/runtime/snapshot_worker.hpp"
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
    void fetch(const entry_fetch& what) { owner.start_fetch(what); }
    void take_snapshot(map_capture&& state, const snapshot_meta& meta) {
      owner.start_snapshot(std::move(state), meta);
    }
    void read_snapshot(const snapshot_read& what) {
      owner.in_background([what](worker& w) { return w.read(what); },
                          [what](node& n, result<shared_bytes> bytes) {
                            n.group_->snapshot_read_done(what, std::move(bytes));
                          });
    }
    void receive_snapshot(snapshot_write&& piece) {
      const node_id from = piece.from;
      owner.in_background([piece = std::move(piece)](worker& w) { return w.receive(piece); },
                          [from](node& n, result<snapshot_received_piece> outcome) {
                            n.group_->snapshot_received(from, std::move(outcome));
                          });
    }
    void settle_snapshot(const snapshot_file& file, bool good, std::vector<snapshot_file>&& sent) {
      owner.in_background(
          [file, good, sent = std::move(sent)](worker& w) { return w.settle(file, good, sent); },
          [](node& n, const failure& error) { n.group_->snapshot_settled(error); });
    }
    void destroy(loaded_map&& state) { owner.free_elsewhere(std::move(state)); }
  };

  using worker = snapshot_worker<typename storage_traits<Storage>::file_system>;
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

  // Orderly: refuses new work, hands leadership over, takes a last snapshot if the options say so, fails what
  // waits, lets the write in flight end, closes.
  void stop() {
    asio::post(strand_, [self = this->shared_from_this()] { self->leave(); });
  }

  // For the owner's destructor: after it nothing of the host's is touched but the executor.
  void close() {
    {
      const std::lock_guard lock(event_mutex_);
      silenced_ = true;
    }
    cancelled_.store(true, std::memory_order_relaxed);
    disk_.close();
    background_.close();
    freeing_.close();
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
  // Copies the snapshot at `at`, or a newer one, to `path`, then done(result<version>) on the queue, also if
  // the node ends meanwhile.
  // Precondition: called on the queue, by an operation that the group completes.
  template <class Done>
  void copy_snapshot(version at, std::string path, Done done) {
    const auto shared = std::make_shared<Done>(std::move(done));
    if (!in_background([at, path = std::move(path)](worker& w) { return w.copy(at, path); },
                       [shared](node&, result<version> copied) { (*shared)(std::move(copied)); }))
      (*shared)(failure(errc::stopped, "the map is shutting down: the backup was not written"));
  }
  // Never the same twice, also not after a restart (but for one chance in 2^64).
  [[nodiscard]] std::uint64_t next_upload() noexcept {
    return (upload_salt_ ^ next_operation()) | std::uint64_t{1} << 63;
  }
  [[nodiscard]] std::uint64_t next_operation() noexcept {
    return operations_.fetch_add(1, std::memory_order_relaxed) + 1;
  }

 private:
  enum class state { idle, opening, running, leaving, stopping, stopped };
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
        strand_, [this] { return open_storage(); },
        [self = this->shared_from_this()](failure error) { self->opened(std::move(error)); });
  }

  // On the disk's thread, before anything else is: the log, then the newest snapshot, which may be large.
  result<std::unique_ptr<Storage>> open_storage() {
    auto opened = traits::open(options_.directory, options_.log, recovered_);
    if (!opened) return opened;
    auto snapshots =
        worker::open(traits::make_file_system(), options_.directory, options_.snapshots, cancelled_);
    if (!snapshots) return snapshots.error();
    worker_ = *std::move(snapshots);
    auto loaded = worker_->load_newest();
    if (!loaded) return loaded.error();
    if (*loaded) {
      recovered_.snapshot = (*loaded)->meta;
      loaded_ = std::move(*loaded);
    } else if (recovered_.base.index) {
      for (const failure& why : worker_->store().damaged()) return why;
    }
    return opened;
  }

  void opened(failure error) {
    if (state_ != state::opening) return finish_stop();
    if (!error) error = check_recovered(recovered_);
    if (error) return begin_stop(std::move(error));
    group_options g = options_.group;
    g.raft.incarnation = recovered_.incarnation;
    g.raft.boot = recovered_.boot;
    g.raft.seed = g.raft.self.value() ^ recovered_.incarnation.value() ^ (recovered_.boot << 20);
    std::optional<snapshot_file> newest;
    if (loaded_) {
      newest = loaded_->file;
      map_.adopt(std::move(loaded_->map));
      loaded_.reset();
    }
    // Links were made for these; whoever of them is no member any more is parted from.
    peers_.begin_with(options_.members.ids());
    group_.emplace(g, options_.members, std::move(recovered_), *transport_, port_, map_,
                   static_cast<group_observer&>(*this), newest);
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
    if (group_->failed() && takes_part()) {
      failure why = group_->failed();
      if (why.code != errc::storage_failed && why.code != errc::sync_failed)
        why.what += " (directory '" + options_.directory + "')";
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

  void start_fetch(const entry_fetch& what) {
    auto done = [self = this->shared_from_this(), what](result<std::vector<entry>> entries) {
      if (!self->group_) return;
      self->group_->fetched(what, std::move(entries));
      self->pump();
    };
    if constexpr (traits::blocks)
      disk_.read(strand_, what, std::move(done));
    else
      asio::post(strand_, [done = std::move(done), entries = disk_.read_now(what)]() mutable {
        done(std::move(entries));
      });
  }

  void start_snapshot(map_capture&& captured, const snapshot_meta& meta) {
    in_background([captured = std::move(captured),
                   meta](worker& w) mutable { return w.take(std::move(captured), meta); },
                  [](node& n, result<snapshot_file> outcome) { n.group_->snapshot_taken(outcome); });
  }

  // Runs work(worker) on the background thread, then done(node, its result) on the queue. False: it doesn't,
  // this node has ended.
  template <class Work, class Done>
  bool in_background(Work work, Done done) {
    return background_.run(
        strand_, [w = worker_.get(), work = std::move(work)]() mutable { return work(*w); },
        [self = this->shared_from_this(), done = std::move(done)](auto outcome) mutable {
          if (!self->group_) return;
          done(*self, std::move(outcome));
          self->pump();
        });
  }

  // Destroys what takes long to destroy, on a thread that does nothing else: it never waits for a snapshot.
  template <class Memory>
  void free_elsewhere(Memory memory) {
    freeing_.run(
        strand_,
        [memory = std::optional<Memory>(std::move(memory))]() mutable {
          memory.reset();
          return 0;
        },
        [](int) {});
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
      if (error || !self->takes_part()) return;
      self->group_->tick();
      self->pump();
      self->tidy_up();
      if (self->state_ == state::leaving) self->go_on_leaving();
      if (self->takes_part()) self->arm_timer();
    });
  }

  void tidy_up() {
    map_.collect(collect_per_tick);
    if (discarded_memory discarded = map_.take_discarded(); !discarded.empty())
      free_elsewhere(std::move(discarded));
    maintain_if_idle();
    if constexpr (requires(Transport & t) { t.remove_peer(node_id{}); })
      peers_.tick([this](node_id gone) {
        if (!group_->core().members().contains(gone)) transport_->remove_peer(gone);
      });
  }

  // --- stopping ---

  [[nodiscard]] bool takes_part() const noexcept {
    return state_ == state::running || state_ == state::leaving;
  }

  void leave() {
    if (state_ != state::running) return begin_stop({});
    state_ = state::leaving;
    group_->hand_over();
    pump();
    go_on_leaving();
  }
  // Called until there is nothing to wait for; each step has a bound of its own.
  void go_on_leaving() {
    if (group_->handing_over()) return;
    if (options_.snapshot_on_stop && !final_snapshot_.asked && group_->core().applied()) {
      final_snapshot_.asked = true;
      final_snapshot_.deadline = no_deadline;
      group_->submit(final_snapshot_);
      pump();
    }
    if (final_snapshot_.asked && !final_snapshot_.ended) return;
    begin_stop({});
  }

  void begin_stop(failure why) {
    const state before = state_;
    if (before == state::stopping || before == state::stopped || before == state::idle) return;
    state_ = state::stopping;
    cancelled_.store(true, std::memory_order_relaxed);
    if (why) {
      report(why);
      const std::lock_guard lock(event_mutex_);
      last_failure_ = why;
    }
    timer_.cancel();
    if (group_) group_->stop();
    // Else the storage is still being opened.
    if (before == state::running || before == state::leaving || why) finish_stop();
  }

  void finish_stop() {
    if (group_ && group_->write_in_flight()) return;  // persisted() comes back here
    if (transport_) transport_->stop();
    disk_.close();
    background_.close();
    freeing_.close();
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
    // A large write between two of its pieces was nowhere to be found when it was cancelled.
    if (std::find(cancelled_lately_.begin(), cancelled_lately_.end(), operation.id) !=
        cancelled_lately_.end())
      return operation.complete(asio::error::operation_aborted, {});
    operation.deadline = deadline();
    group_->submit(operation);
  }
  void accept(read_operation& operation) override {
    if (!group_ || state_ != state::running) return operation.complete(errc::stopped);
    operation.deadline = deadline();
    group_->submit(operation);
  }
  void accept(cluster_operation& operation) override {
    if (!group_ || state_ != state::running) return operation.complete(failure(errc::stopped), {});
    // Nobody could dial a newcomer without an address.
    for (const member_change& c : operation.changes)
      if ((c.what == member_change::action::add_voter || c.what == member_change::action::add_learner) &&
          c.who.address.empty() && !group_->core().members().contains(c.who.id))
        return operation.complete(check_member_address(c.who.id.value(), c.who.address), {});
    operation.deadline = operation.what == cluster_operation::action::snapshot ? no_deadline : deadline();
    group_->submit(operation);
  }
  void accept_cancel(std::uint64_t operation) override {
    cancelled_lately_[next_cancelled_++ % cancelled_lately_.size()] = operation;
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
                                         "bring the original directory back, or remove the member and add "
                                         "it again, then it joins with this one"});
  }
  void on_event(const failure& event) override { report(event); }
  void on_contact(node_id peer, const std::string& address) override { add_peer(peer, address); }
  void on_members(const configuration& members) override {
    peers_.follow(members, [this](node_id id, const std::string& address) { add_peer(id, address); });
    const std::lock_guard lock(status_mutex_);
    status_.members = members;
  }
  void add_peer(node_id peer, const std::string& address) {
    if constexpr (requires(Transport & t) { t.add_peer(peer, address); }) {
      if (peer == options_.group.raft.self || !transport_) return;
      if (const failure bad = transport_->add_peer(peer, address)) report(bad);
    }
  }
  void update_status() {
    if (!group_) return;
    const std::lock_guard lock(status_mutex_);
    status_.show(group_->core());
    status_.running = state_ == state::running;
  }

  [[nodiscard]] static std::uint64_t random_salt() {
    std::random_device device;
    return std::uint64_t{device()} << 32 | device();
  }

  // Of snapshots: how long one takes depends on the state and the disk, and the disk's errors end it.
  static constexpr tick_count no_deadline = ~tick_count{0};
  static constexpr std::size_t collect_per_tick = 4096;
  static constexpr int idle_before_maintenance = 3;  // ticks

  struct last_snapshot final : cluster_operation {
    void complete(const failure&, version) override { ended = true; }
    void abandon() noexcept override { ended = true; }
    bool asked = false;
    bool ended = false;
  };

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
  const std::uint64_t upload_salt_ = random_salt();
  read_operation* run_ = nullptr;
  std::shared_ptr<void> run_owner_;
  std::shared_ptr<read_operation> started_;
  recovered_log recovered_;
  std::optional<loaded_snapshot> loaded_;  // found at the start
  std::atomic<bool> cancelled_{false};     // ends the work on snapshots
  std::unique_ptr<worker> worker_;         // used on the background thread from the start on
  peer_book peers_;
  last_snapshot final_snapshot_;  // before the group, which may abandon it
  std::unique_ptr<Transport> transport_;
  storage_port port_{*this};
  std::optional<group<Transport, storage_port>> group_;
  std::array<std::uint64_t, 16> cancelled_lately_{};  // operations; 0 is none
  std::size_t next_cancelled_ = 0;
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
  background_thread background_;
  background_thread freeing_;
  disk_queue<Storage> disk_;  // last: the threads end before anything else goes
};

}  // namespace confman
