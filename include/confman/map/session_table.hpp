// Sessions: the answers to a client's writes, so that a write sent twice has one effect (thesis, 6.3).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "confman/config.hpp"
#include "confman/core/ids.hpp"
#include "confman/map/command.hpp"
#include "confman/map/limits.hpp"
#include "confman/map/shared_piece.hpp"
#include "confman/mutants.hpp"

namespace confman::detail {

// An answer as it was given, for the client that asks again.
struct kept_answer {
  std::uint64_t sequence = 0;
  version at;
  std::uint64_t previous_revision = 0;
  std::uint16_t code = 0;  // errc
};

struct session {
  std::uint64_t id = 0;            // index of the entry that opened it
  std::int64_t time_to_live = 0;   // microseconds of log time
  std::int64_t used_at = 0;        // log time
  std::uint64_t used_by = 0;       // index of the last entry that used it
  std::uint64_t acknowledged = 0;  // answers to sequences below are forgotten
  std::vector<kept_answer> answers;
  std::size_t forgotten = 0;  // how many at the front of `answers` are; erased now and then

  [[nodiscard]] const kept_answer* begin() const noexcept { return answers.data() + forgotten; }
  [[nodiscard]] const kept_answer* end() const noexcept { return answers.data() + answers.size(); }
  [[nodiscard]] std::size_t size() const noexcept { return answers.size() - forgotten; }
  [[nodiscard]] std::int64_t deadline() const noexcept { return used_at + time_to_live; }
};

// All sessions as they were at one entry. Thread safety: any thread may read and drop its own.
class session_image {
 public:
  // Sorted by id; valid as long as the image.
  [[nodiscard]] CONFMAN_DECL std::vector<const session*> sorted() const;

 private:
  friend class session_table;
  static constexpr std::size_t fan_out = 256;
  using chunk = std::array<shared_piece<session>, fan_out>;
  using directory = std::array<shared_piece<chunk>, fan_out>;

  shared_piece<directory> all_;
};

// The rules, in the order in which a write of a session meets them:
//   1. The session isn't there, or log time is past its last use by more than its time to live:
//      session_expired, no effect.
//   2. Its `acknowledged` lets go of all answers to lower sequences.
//   3. Its sequence is below what was ever acknowledged: session_expired, no effect. Only a late duplicate
//   can
//      be there, and nobody waits for its answer. The session lives on.
//   4. Its sequence has an answer: that one again, no effect.
//   5. max_kept_answers are kept: busy, no effect, and no answer is kept: send it again with the same
//   sequence
//      after acknowledging more.
//   6. It is applied, whatever the order of sequences, and its answer is kept; but for upload_expired, after
//      which the value is sent again with the same sequence.
// All of it depends on the entries alone. Thread safety: the writer's thread; image() is made there.
class session_table {
 public:
  enum class verdict : std::uint8_t { fresh, replay, expired, full };
  // What to do with a write, and for `replay` the answer.
  struct use_result {
    verdict what = verdict::expired;
    const kept_answer* answer = nullptr;
  };

  // At most `limit` sessions at once, at least 1: the same on all members.
  explicit session_table(std::size_t limit = max_sessions) noexcept : limit_(limit) {}

  [[nodiscard]] std::size_t limit() const noexcept { return limit_; }
  // After loading, when the limit is another one than that of the loader.
  void set_limit(std::size_t limit) noexcept { limit_ = limit; }

  // Closes at most `most` sessions that are past their time, in the order of their deadlines.
  CONFMAN_DECL void expire(std::int64_t now, std::size_t most);
  // Opens session `index`; if there are as many as may be, the one used longest ago is closed. Throws
  // std::bad_alloc.
  CONFMAN_DECL void open(std::uint64_t index, std::uint64_t time_to_live_ms, std::int64_t now);
  // False: there is no such session (any more).
  [[nodiscard]] CONFMAN_DECL bool close(std::uint64_t id, std::int64_t now);
  [[nodiscard]] CONFMAN_DECL bool keep_alive(std::uint64_t id, std::uint64_t acknowledged,
                                             std::uint64_t index, std::int64_t now);
  // Rules 1 to 5. A fresh write is followed by remember(), if its answer is to be kept.
  [[nodiscard]] CONFMAN_DECL use_result use(const command_view& write, std::uint64_t index, std::int64_t now);
  // The answer to the write that use() called fresh.
  CONFMAN_DECL void remember(const command_view& write, const apply_result& answer);

  [[nodiscard]] std::size_t size() const noexcept { return by_id_.size(); }
  // A sum over all sessions and answers; 0 without any.
  [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }
  // Approximately what the table takes.
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] const session_image& image() const noexcept { return image_; }

  // For loading. False, and no change, if there is such a session, or too many.
  [[nodiscard]] CONFMAN_DECL bool restore(const session& s);
  // After the last restore(): the order of use. False if two were used by the same entry.
  [[nodiscard]] CONFMAN_DECL bool restored();

 private:
  struct place {
    std::uint32_t slot;
    std::list<std::uint64_t>::iterator used;
  };
  using places = std::unordered_map<std::uint64_t, place>;

  [[nodiscard]] const session& at(std::uint32_t slot) const noexcept;
  [[nodiscard]] session& own(std::uint32_t slot);
  [[nodiscard]] places::iterator find_alive(std::uint64_t id, std::int64_t now);
  session& touch(places::iterator found, std::uint64_t acknowledged, std::uint64_t index, std::int64_t now);
  void add(const session& s);
  void remove(places::iterator found);
  void forget(session& s, std::uint64_t below);

  std::size_t limit_;
  session_image image_;
  std::uint64_t hash_ = 0;
  std::size_t bytes_ = 0;
  // The rest follows from the image.
  places by_id_;
  std::list<std::uint64_t> used_;                               // longest ago first
  std::set<std::pair<std::int64_t, std::uint64_t>> deadlines_;  // with the id
  std::vector<std::uint32_t> free_;
  std::uint32_t slots_ = 0;
};

}  // namespace confman::detail

#if !defined(CONFMAN_COMPILED)
#include "confman/map/impl/session_table.ipp"
#endif
