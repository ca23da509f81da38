// Clients that watch: what they are given must be what was committed, in order, or an end that says why.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "confman/map/watch.hpp"
#include "confman/sim/history.hpp"
#include "confman/sim/node.hpp"

namespace confman::sim {

// What one watcher was given so far, next to the committed changes of its prefix (invariant 17). Survives the
// watches that it was given by: whoever goes on at another node continues the same account.
class watch_account {
 public:
  watch_account(const history& committed, const trace& log) : committed_(committed), trace_(log) {}

  // From here on everything under `prefix` after this revision is expected.
  void begin(std::string_view prefix, std::uint64_t after) {
    prefix_ = prefix;
    skip_to(after);
  }
  // It was told that changes are missing, and has read the prefix at this revision instead.
  CONFMAN_DECL void skip_to(std::uint64_t revision);
  // All of what was there has been taken: so many changes, of a buffer (and, at first, a history) for `most`.
  CONFMAN_DECL void on_taken(node_id at, std::size_t changes, std::size_t most) const;
  // What a watch gave. Throws violation.
  CONFMAN_DECL void on_batch(node_id at, const change_batch& batch);

  [[nodiscard]] const std::string& prefix() const noexcept { return prefix_; }
  // Where another watch may go on.
  [[nodiscard]] std::uint64_t through() const noexcept { return through_; }

 private:
  // The next change of the prefix that hasn't been given; null at the end.
  CONFMAN_DECL const history::key_change* next();
  [[noreturn]] CONFMAN_DECL void fail(node_id at, const std::string& what) const;

  const history& committed_;
  const trace& trace_;
  std::string prefix_;
  std::uint64_t through_ = 0;
  std::size_t next_ = 0;  // in the committed changes
};

// All watchers of a world. They come and go, take early or late, and go on at other nodes.
class watchers {
 public:
  // `world` and `nodes` must outlive it, and the nodes' processes must end before it does.
  CONFMAN_DECL watchers(environment& world, const std::vector<std::unique_ptr<node>>& nodes);
  watchers(const watchers&) = delete;
  watchers& operator=(const watchers&) = delete;

  CONFMAN_DECL void start();
  // event_kind::watcher: it ends its watch, or begins one.
  CONFMAN_DECL void turn(std::uint32_t who);
  // event_kind::watched: it takes what it was told of, some time ago.
  CONFMAN_DECL void look(std::uint32_t who);
  // The end of the world: everything was given, and nobody waits for a notification that never comes.
  CONFMAN_DECL void finish();

 private:
  struct watcher {
    dice own{0};
    node* at = nullptr;     // null: no watch
    std::uint32_t run = 0;  // of the process there
    watch_id id;
    std::uint64_t number = 0;  // counts its watches
    bool begun = false;
    bool notified = false;  // and hasn't looked yet
    std::unique_ptr<watch_account> account;
  };

  [[nodiscard]] static bool attached(const watcher& w) noexcept {
    return w.at && w.at->up() && w.at->run() == w.run;
  }
  [[nodiscard]] CONFMAN_DECL node* pick(watcher& w) const;
  CONFMAN_DECL void connect(std::uint32_t who, node& at);
  CONFMAN_DECL void refused(watcher& w, node& at, const failure& why);
  CONFMAN_DECL void on_notified(std::uint32_t who, std::uint64_t number);
  // `history`: so many changes of it may be there beside those of the buffer.
  CONFMAN_DECL void take(std::uint32_t who, std::size_t history = 0);
  CONFMAN_DECL void ended(watcher& w, const change_batch& batch);
  CONFMAN_DECL static std::string draw_prefix(dice& own, unsigned keys);

  environment& world_;
  const std::vector<std::unique_ptr<node>>& nodes_;
  std::vector<watcher> all_;
};

}  // namespace confman::sim

#if !defined(CONFMAN_COMPILED)
#include "confman/sim/impl/watchers.ipp"
#endif
