// One simulated member: the real group, log and map over a simulated disk and network.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "confman/map/map_state.hpp"
#include "confman/runtime/group.hpp"
#include "confman/runtime/snapshot_worker.hpp"
#include "confman/sim/disk.hpp"
#include "confman/sim/event.hpp"
#include "confman/sim/history.hpp"
#include "confman/sim/memory_check.hpp"
#include "confman/sim/network.hpp"
#include "confman/sim/oracle.hpp"
#include "confman/sim/scenario.hpp"
#include "confman/sim/settings.hpp"
#include "confman/sim/statistics.hpp"
#include "confman/sim/timeline.hpp"
#include "confman/sim/trace.hpp"
#include "confman/sim/transfer_check.hpp"
#include "confman/storage/log.hpp"

namespace confman::sim {

// What every part of a world shares.
struct environment {
  environment(const scenario& s, bool echo)
      : plan(s),
        log(echo),
        net(plan, time, counts, log),
        judge(plan.nodes + plan.spares, log, counts),
        clients(plan, log, counts) {}

  const scenario plan;
  timeline<event> time;
  statistics counts;
  trace log;
  network net;
  oracle judge;
  history clients;
};

// A process with its disk. The disk lives as long as the world; group, log and map live from start() to
// crash().
//
// The node takes its inputs through the functions below, each of which may end with a blown fuse (dead()):
// then nothing more leaves it, and its owner calls crash().
class node final : private group_observer {
 public:
  // `world` must outlive the node.
  CONFMAN_DECL node(environment& world, node_id id);
  node(const node&) = delete;
  node& operator=(const node&) = delete;

  // Opens the log and starts a process on what it finds. False: the power went meanwhile; call crash().
  [[nodiscard]] CONFMAN_DECL bool start();
  // The process begins to stop as the runtime does: it takes nothing from its own clients any more and hands
  // over what it leads; when that is done or given up, it answers what waits, and its disk finishes the write
  // in flight. Then it has left(): call crash(). Precondition: up(), not paused() and not leaving().
  CONFMAN_DECL void leave();
  // The process is gone, and its disk keeps what a loss of power keeps, see disk::power_off().
  CONFMAN_DECL void crash(survival mode, std::uint64_t seed);
  // The disk is replaced by an empty one; precondition: !up(). The next start() is that of a directory which
  // has never been used, and with `joins` also of a node that is told nobody's name but of some members to
  // ask.
  CONFMAN_DECL void wipe(bool joins);

  // --- inputs; precondition: up() and not paused() ---
  CONFMAN_DECL void tick();
  CONFMAN_DECL void jump(std::uint64_t ticks);
  CONFMAN_DECL void receive(message&& m);
  // The transport has lost its connection to that member.
  CONFMAN_DECL void unreachable(node_id peer);
  CONFMAN_DECL void submit(write_operation& operation);
  CONFMAN_DECL void submit(read_operation& operation);
  CONFMAN_DECL void submit(cluster_operation& operation);
  CONFMAN_DECL void cancel(std::uint64_t operation);
  CONFMAN_DECL void pump();
  // The disk's side: an event of kind append, sync, persisted, maintain, fetch, fetched, work or worked.
  void maintain_log();
  CONFMAN_DECL void disk_event(event_kind kind);

  // --- faults ---
  [[nodiscard]] effect_fuse& fuse() noexcept { return fuse_; }
  [[nodiscard]] disk& platter() noexcept { return disk_; }
  [[nodiscard]] const disk& platter() const noexcept { return disk_; }
  // Damages all that the newest segment of the log holds, see disk::rot_throughout().
  [[nodiscard]] bool rot_log(std::uint64_t seed);
  // Damages the entries of the last sync, see disk::rot_tail(): it may forget that it acknowledged them.
  // Precondition: rottable_tail().
  [[nodiscard]] CONFMAN_DECL bool rot_tail(std::uint64_t seed);
  // The first of the entries that the very last sync has brought, if it brought nothing else. Only when down.
  [[nodiscard]] std::optional<log_index> rottable_tail() const noexcept {
    if (up() || tail_syncs_ == 0 || tail_syncs_ != disk_.counted().syncs) return {};
    return tail_from_;
  }
  void stall_until(micros when) noexcept { stalled_until_ = when; }
  // Its clock stands still for so many ticks, as after a jump back.
  void freeze_clock(std::uint64_t ticks) noexcept { frozen_ticks_ = ticks; }
  void pause() noexcept { paused_ = true; }
  // What waited for the process to go on, in order.
  [[nodiscard]] std::vector<event> resume() {
    paused_ = false;
    return std::exchange(backlog_, {});
  }
  void keep_for_later(const event& e) { backlog_.push_back(e); }
  // How it starts as long as its directory is empty: as one of the founders, or by asking these members to
  // join.
  [[nodiscard]] bool joined() const noexcept { return joins_; }
  void join(std::vector<node_id> contacts, bool as_learner, std::uint8_t priority) {
    joins_ = true;
    contacts_ = std::move(contacts);
    as_learner_ = as_learner;
    priority_ = priority;
  }

  // --- observers ---
  [[nodiscard]] node_id id() const noexcept { return id_; }
  [[nodiscard]] bool up() const noexcept { return group_.has_value(); }
  [[nodiscard]] bool paused() const noexcept { return paused_; }
  [[nodiscard]] bool leaving() const noexcept { return leaving_; }
  [[nodiscard]] bool left() const noexcept { return up() && group_->stopped() && !writing_now_; }
  // Its power is gone, or it has failed for good: it has to be taken down.
  [[nodiscard]] bool dead() const noexcept { return fuse_.blown() || failed_; }
  [[nodiscard]] std::uint32_t run() const noexcept { return run_; }
  [[nodiscard]] micros tick_length() const noexcept { return tick_length_; }
  // The scenario as this node sees it.
  [[nodiscard]] const scenario& settings() const noexcept { return settings_; }
  [[nodiscard]] bool slow() const noexcept { return slow_; }
  // Precondition: up().
  [[nodiscard]] const raft_core& core() const noexcept { return group_->core(); }
  [[nodiscard]] const map_state& map() const noexcept { return *map_; }
  [[nodiscard]] watch_hub& watches() noexcept { return map_->watches(); }
  [[nodiscard]] tick_count now() const noexcept { return group_->now(); }
  // The entry that this process has executed last, published or not.
  [[nodiscard]] log_index executed() const noexcept { return executed_; }
  [[nodiscard]] bool leads() const noexcept { return up() && core().role() == role::leader; }
  // Which directory it runs on, or would.
  [[nodiscard]] incarnation_id incarnation() const noexcept {
    return incarnation_id(0xA000 + id_.value() + (std::uint64_t{wipes_} << 24));
  }
  // It may have lost what it acknowledged, in this directory: nothing may hang on its word.
  [[nodiscard]] bool forgetful() const noexcept { return forgetful_; }
  // ... and was told so by a leader: it stops as often as it is started, until somebody replaces its disk.
  [[nodiscard]] bool stopped_for_loss() const noexcept { return forgetful_ && loss_noticed_; }
  // How often its disk was replaced.
  [[nodiscard]] std::uint32_t wipes() const noexcept { return wipes_; }

 private:
  struct transport {
    node* self;
    void send(message&& m) const { self->send(std::move(m)); }
  };
  struct storage {
    node* self;
    void write(write_batch&& batch) const { self->write(std::move(batch)); }
    void fetch(const entry_fetch& what) const { self->fetch(what); }
    void take_snapshot(map_capture&& state, const snapshot_meta& meta) const {
      self->take_snapshot(std::move(state), meta);
    }
    void read_snapshot(const snapshot_read& what) const {
      self->transfers_.on_read(what, self->now());
      self->add_job(read_job{what, {}});
    }
    void receive_snapshot(snapshot_write&& piece) const { self->add_job(receive_job{std::move(piece), {}}); }
    void settle_snapshot(const snapshot_file& file, bool good, std::vector<snapshot_file>&& sent) const {
      self->add_job(settle_job{file, good, std::move(sent)});
    }
    void destroy(loaded_map&& state) const { const loaded_map gone = std::move(state); }
  };
  // What the thread for snapshots has to do, and what came of it.
  struct take_job {
    map_capture state;
    snapshot_meta meta;
    std::optional<result<snapshot_file>> outcome;
  };
  struct read_job {
    snapshot_read what;
    std::optional<result<shared_bytes>> outcome;
  };
  struct receive_job {
    snapshot_write piece;
    std::optional<result<snapshot_received_piece>> outcome;
  };
  struct settle_job {
    snapshot_file file;
    bool good;
    std::vector<snapshot_file> sent;
  };
  using job = std::variant<take_job, read_job, receive_job, settle_job>;
  struct fetch_job {
    entry_fetch what;
    std::optional<result<std::vector<entry>>> outcome;
  };
  using group_type = group<transport, storage>;

  void on_role(role r, term_t term, node_id leader) override;
  void on_applied(const entry& e, const apply_result& result) override;
  void on_failed(const failure& why) override;
  void on_refused(node_id by) override;
  void on_members(const configuration& members) override;
  void on_installed(const snapshot_meta& meta) override;
  void on_event(const failure& event) override;

  CONFMAN_DECL void send(message&& m);
  CONFMAN_DECL void write(write_batch&& batch);
  CONFMAN_DECL void fetch(const entry_fetch& what);
  CONFMAN_DECL void take_snapshot(map_capture&& state, const snapshot_meta& meta);
  CONFMAN_DECL void add_job(job&& what);
  void do_fetch();
  void finish_fetch();
  void do_job();
  void finish_job();
  void note_published();
  void go_on_leaving();
  void check_round_trip(const map_capture& state);
  [[nodiscard]] bool open_snapshots(recovered_log& found, std::optional<snapshot_file>& newest);
  void after_input();
  void check_step();
  void check_sent(const message& m);
  void pass_tick();
  void check_disk_watched() const;
  void check_refusals(const message& m);
  void check_told(node_id leader, log_index commit) const;
  void choose_settings();
  void note_arrived(version snapshot);
  void schedule(event_kind kind, micros delay);
  void note_tail();
  [[nodiscard]] bool damage_noticed(const failure& why) const;
  void check_fetched(const fetch_job& done);
  void disk_failed(const failure& f);
  void check_read(const read_job& done, std::uint64_t damaged_before);
  void check_shadow();
  [[nodiscard]] log_options options_of_log() const;
  [[nodiscard]] snapshot_options options_of_snapshots() const;
  [[nodiscard]] group_options options_of_group(const recovered_log& found) const;
  [[nodiscard]] configuration bootstrap() const;

  environment& world_;
  node_id id_;
  dice dice_;
  effect_fuse fuse_;
  disk disk_;
  micros tick_length_;
  dice settings_dice_;
  bool slow_;
  scenario settings_;
  std::uint32_t run_ = 0;  // counts the processes
  bool paused_ = false;
  bool failed_ = false;
  bool leaving_ = false;
  node_id hands_over_to_;  // while it leaves: to whom it began to
  term_t leaves_in_;       // ... and in which term
  bool pump_scheduled_ = false;
  bool maintenance_scheduled_ = false;
  micros stalled_until_ = 0;
  std::uint64_t frozen_ticks_ = 0;
  std::uint64_t errors_before_ = 0;  // of the disk, when this process began
  std::vector<event> backlog_;
  write_batch writing_;
  bool writing_now_ = false;
  failure write_failure_;
  log_index published_;
  log_index executed_;
  tick_count write_began_ = 0;
  bool was_member_ = false;  // this process knows that it was one
  memory_check memory_;
  transfer_check transfers_;
  bool snapshotting_ = false;
  log_index snapshot_begun_;
  std::deque<fetch_job> fetches_;
  std::deque<job> jobs_;
  std::uint32_t wipes_ = 0;
  bool forgetful_ = false;
  bool loss_noticed_ = false;
  bool tail_hurt_ = false;            // since the last start
  std::uint64_t appended_syncs_ = 0;  // of the disk, when the batch that is written came
  std::uint64_t tail_syncs_ = 0;      // ... after a sync of entries alone; 0: it wasn't one
  log_index tail_from_;
  hard_state synced_state_;
  bool joins_ = false;
  bool as_learner_ = false;
  std::uint8_t priority_ = 1;
  std::vector<node_id> contacts_;
  std::atomic<bool> never_cancelled_{false};
  // The process. The group refers to the others, so it goes first.
  std::optional<log<disk>> log_;
  std::unique_ptr<snapshot_worker<disk>> worker_;
  std::optional<map_state> map_;
  transport transport_{this};
  storage storage_{this};
  std::optional<group_type> group_;
};

}  // namespace confman::sim

#if !defined(CONFMAN_COMPILED)
#include "confman/sim/impl/node.ipp"
#include "confman/sim/impl/node_checks.ipp"
#include "confman/sim/impl/node_disk.ipp"
#endif
