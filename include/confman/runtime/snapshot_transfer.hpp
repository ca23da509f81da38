// Snapshots on their way from one member to another, in pieces: what to read and to send next, what to ask
// for.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "confman/core/ids.hpp"
#include "confman/core/message.hpp"
#include "confman/mutants.hpp"
#include "confman/runtime/operation.hpp"

namespace confman {

// A durable snapshot file: what it contains, and which bytes exactly.
struct snapshot_file {
  version at;
  std::uint64_t digest = 0;
  std::uint64_t bytes = 0;

  friend bool operator==(const snapshot_file&, const snapshot_file&) = default;
};

struct snapshot_transfer_options {
  std::size_t piece_bytes = std::size_t{256} << 10;
  std::size_t window = 16;         // pieces on their way to one follower
  std::size_t bytes_per_tick = 0;  // to all followers together; 0: no limit
  tick_count retry = 50;           // without an answer to what was sent for so long: offer again
  tick_count give_up = 1000;       // ... and for so long: the transfer has failed
};

// A piece of a file to be read, for one follower.
struct snapshot_read {
  node_id to;
  snapshot_file file;
  std::uint64_t offset = 0;
  std::size_t bytes = 0;
};

// The leader's side. The follower says what it wants next, so that a transfer goes on where it stopped,
// whoever of the two was restarted; what gets lost is sent again. Free of I/O: reads() says what to read,
// read() takes what was read and gives the message.
class outgoing_snapshots {
 public:
  explicit outgoing_snapshots(const snapshot_transfer_options& options = {}) : options_(options) {}

  [[nodiscard]] bool sending(node_id to) const noexcept { return transfers_.count(to) != 0; }
  [[nodiscard]] bool sending(node_id to, const snapshot_file& file) const noexcept {
    const auto it = transfers_.find(to);
    return it != transfers_.end() && it->second.file == file;
  }
  [[nodiscard]] bool empty() const noexcept { return transfers_.empty(); }
  // What is being sent; a file as often as there are followers who get it.
  [[nodiscard]] std::vector<snapshot_file> files() const {
    std::vector<snapshot_file> all;
    for (const auto& [to, t] : transfers_) all.push_back(t.file);
    return all;
  }
  // The oldest place that a follower will need entries from, once its transfer is over.
  [[nodiscard]] std::optional<log_index> oldest() const noexcept {
    std::optional<log_index> least;
    for (const auto& [to, t] : transfers_)
      least = least ? std::min(*least, t.file.at.index) : t.file.at.index;
    return least;
  }

  // Begins, unless one to this follower is under way: that goes on, even if its file is older. What follows
  // it is kept in the log, see oldest().
  void start(node_id to, const snapshot_file& file, tick_count now) {
    if (sending(to)) return;
    transfer t;
    t.file = file;
    t.heard = now_ = now;
    transfers_[to] = t;
  }
  // A newer file is there: who was not read anything for yet is sent that.
  void renew(const snapshot_file& newest) {
    if (CONFMAN_MUTANT(transfers_not_renewed)) return;
    for (auto& [to, t] : transfers_)
      if (!t.begun) t.file = newest;
  }
  void stop(node_id to) { transfers_.erase(to); }
  // Ends all transfers of a file. Returns to whom, ascending.
  [[nodiscard]] std::vector<node_id> stop_all(const snapshot_file& file) {
    std::vector<node_id> stopped;
    for (const auto& [to, t] : transfers_)
      if (t.file == file) stopped.push_back(to);
    for (const node_id to : stopped) transfers_.erase(to);
    return stopped;
  }
  void clear() noexcept { transfers_.clear(); }

  // One unit of time passed. Returns the followers that have been silent for too long, and forgets them.
  [[nodiscard]] std::vector<node_id> tick(tick_count now) {
    std::vector<node_id> failed;
    if (options_.bytes_per_tick != 0)
      allowance_ = std::min(allowance_ + options_.bytes_per_tick,
                            options_.bytes_per_tick * burst_ticks + options_.piece_bytes);
    now_ = now;
    for (auto& [to, t] : transfers_) {
      // Who waits for its turn under the limit of bytes has nothing to answer.
      const bool asked = t.next > t.confirmed || t.confirmed == t.file.bytes;
      if (!asked || now - std::max(t.heard, t.sent) < options_.retry) continue;
      if (now - t.heard >= options_.give_up) failed.push_back(to);
      // Who has said that it has all of it, and nothing since, is asked once more.
      if (t.confirmed == t.file.bytes) t.confirmed = 0;
      t.next = t.confirmed;
      t.known = false;
    }
    for (const node_id to : failed) transfers_.erase(to);
    return failed;
  }

  // What to read now. Each is answered by read() or by stop(). The followers take turns.
  [[nodiscard]] std::vector<snapshot_read> reads() {
    std::vector<snapshot_read> wanted;
    for (std::size_t idle = 0; idle < transfers_.size();) {
      auto it = transfers_.upper_bound(turn_);
      if (it == transfers_.end()) it = transfers_.begin();
      auto& [to, t] = *it;
      const std::uint64_t window = (t.known ? options_.window : 1) * options_.piece_bytes;
      const std::uint64_t limit =
          CONFMAN_MUTANT(piece_window_ignored) ? t.file.bytes : std::min(t.confirmed + window, t.file.bytes);
      if (t.next < limit && t.reading < options_.window) {
        const auto bytes =
            static_cast<std::size_t>(std::min<std::uint64_t>(options_.piece_bytes, t.file.bytes - t.next));
        if (options_.bytes_per_tick != 0 && !CONFMAN_MUTANT(rate_unlimited)) {
          if (allowance_ < bytes) return wanted;  // it is first when there is more
          allowance_ -= bytes;
        }
        wanted.push_back({to, t.file, t.next, bytes});
        t.next += bytes;
        t.sent = now_;
        t.begun = true;
        ++t.reading;
        idle = 0;
      } else {
        ++idle;
      }
      turn_ = to;
    }
    return wanted;
  }

  // The bytes that were asked for, as a message body; nothing if the transfer has ended or gone elsewhere
  // since.
  [[nodiscard]] std::optional<snapshot_piece> read(const snapshot_read& what, shared_bytes bytes) {
    const auto it = transfers_.find(what.to);
    if (it == transfers_.end() || it->second.file != what.file) return std::nullopt;
    if (it->second.reading != 0) --it->second.reading;
    return snapshot_piece{what.file.at, what.file.digest, what.file.bytes, what.offset, std::move(bytes)};
  }

  // The follower's answer. True: it holds the snapshot or more, the transfer has ended.
  bool answered(node_id from, const snapshot_piece_response& answer, tick_count now) {
    const auto it = transfers_.find(from);
    if (it == transfers_.end()) return false;
    transfer& t = it->second;
    if (answer.at != t.file.at || answer.digest != t.file.digest) return false;
    t.heard = now_ = now;
    if (answer.installed) {
      transfers_.erase(it);
      return true;
    }
    if (answer.next > t.file.bytes) return false;
    // The first answer says where to go on, whatever was sent to learn that. After it one that names an
    // earlier place is late: followed, it would have everything behind that place sent again, and their
    // answers as often. Of a follower that has lost what it had all are such, until it is offered again.
    const bool first = !std::exchange(t.known, true);
    if (!first && answer.next < t.confirmed) return false;
    // The same place again: a piece came that doesn't follow, so one is lost. It is sent again once; what
    // else was on its way brings the same answer.
    const bool news = answer.next != t.confirmed;
    const bool lost = !news && !std::exchange(t.repeated, true);
    if (news) t.repeated = false;
    t.confirmed = answer.next;
    if (first || lost || t.next < t.confirmed) t.next = t.confirmed;
    return false;
  }

 private:
  struct transfer {
    snapshot_file file;
    std::uint64_t confirmed = 0;  // the follower has everything before
    std::uint64_t next = 0;       // not read yet
    bool begun = false;           // something was read for it
    bool known = false;           // it has said where it stands: until then one piece is sent, to ask
    bool repeated = false;        // the last answer named the same place as the one before it
    std::size_t reading = 0;      // pieces that the storage was asked for
    tick_count heard = 0;         // the last answer
    tick_count sent = 0;          // the last piece
  };
  static constexpr std::size_t burst_ticks = 10;

  snapshot_transfer_options options_;
  std::map<node_id, transfer> transfers_;
  std::size_t allowance_ = 0;
  tick_count now_ = 0;
  node_id turn_;  // who was served last
};

// A piece for the file that is being received, or the end of one.
struct snapshot_write {
  node_id from;
  snapshot_file file;
  std::uint64_t offset = 0;
  shared_bytes bytes;
};

// What became of it.
struct snapshot_written {
  snapshot_file file;
  std::uint64_t next = 0;  // everything before is in the file
  bool complete = false;   // the file is whole, verified and durable
};

// The follower's side: one file at a time, one write at a time; the newest offer wins. Free of I/O: accept()
// says what to write and what to answer.
class incoming_snapshot {
 public:
  explicit incoming_snapshot(std::size_t max_waiting = 16) : max_waiting_(max_waiting) {}

  struct step {
    std::optional<snapshot_write> write;            // answered by written() or failed()
    std::optional<snapshot_piece_response> answer;  // to the sender of the piece
  };

  [[nodiscard]] bool busy() const noexcept { return writing_; }
  [[nodiscard]] node_id from() const noexcept { return from_; }

  // `held`: this node's state already contains everything up to there.
  [[nodiscard]] step accept(node_id from, snapshot_piece&& piece, log_index held) {
    const snapshot_file file{piece.at, piece.digest, piece.total};
    if (piece.at.index <= held && !CONFMAN_MUTANT(install_old_snapshot))
      return {std::nullopt, answer_for(file, piece.total, true)};
    if (piece.offset > piece.total || piece.bytes.size() > piece.total - piece.offset) return {};
    if (file != file_) {
      // A write is under way: the offer will be repeated.
      if (writing_) return {};
      file_ = file;
      next_.reset();
      waiting_.clear();
    }
    from_ = from;
    if (!writing_) {
      if (next_ && piece.offset != *next_) return {std::nullopt, answer_for(file_, *next_, false)};
      return {begin({from, file_, piece.offset, std::move(piece.bytes)}), std::nullopt};
    }
    // The last piece is there, and the whole file is verified and loaded, which takes its time: silence would
    // be taken for a failure. Nothing more is wanted meanwhile.
    if (next_ && waiting_.empty() && expected_ == file_.bytes)
      return {std::nullopt, answer_for(file_, file_.bytes, false)};
    // The write's answer will say what to send next, if this isn't it.
    if (next_ && piece.offset == expected_ && waiting_.size() < max_waiting_) {
      expected_ += piece.bytes.size();
      waiting_.push_back({from, file_, piece.offset, std::move(piece.bytes)});
    }
    return {};
  }

  // A write is done. `outcome.next` is how far the file goes, which after a restart may be further, or not as
  // far, as what was written.
  [[nodiscard]] step written(const snapshot_written& outcome) {
    writing_ = false;
    if (outcome.file != file_) return {};
    next_ = outcome.next;
    step s;
    if (!outcome.complete) s.answer = answer_for(file_, outcome.next, false);
    if (!waiting_.empty() && waiting_.front().offset == outcome.next && !outcome.complete) {
      const std::uint64_t expected = expected_;
      s.write = begin(std::move(waiting_.front()));
      waiting_.erase(waiting_.begin());
      expected_ = expected;
    } else {
      waiting_.clear();
    }
    return s;
  }

  // The file is installed, or was found needless.
  [[nodiscard]] snapshot_piece_response installed() {
    const snapshot_piece_response done = answer_for(file_, file_.bytes, true);
    reset();
    return done;
  }

  // The disk or the file was bad: forget it, the next offer begins anew.
  void failed() {
    if (!CONFMAN_MUTANT(failed_piece_blocks)) writing_ = false;
    reset();
  }

 private:
  void reset() {
    file_ = {};
    next_.reset();
    waiting_.clear();
  }
  [[nodiscard]] snapshot_write begin(snapshot_write&& write) {
    writing_ = true;
    expected_ = write.offset + write.bytes.size();
    return std::move(write);
  }
  [[nodiscard]] static snapshot_piece_response answer_for(const snapshot_file& file, std::uint64_t next,
                                                          bool installed) {
    return {file.at, file.digest, next, installed};
  }

  std::size_t max_waiting_;
  node_id from_;
  snapshot_file file_;
  std::optional<std::uint64_t> next_;  // unknown until the first write told how far the file goes
  bool writing_ = false;
  std::uint64_t expected_ = 0;  // while writing: the offset after it and what waits
  std::vector<snapshot_write> waiting_;
};

}  // namespace confman
