// Writes that a follower passes to the leader: at most once, and each answer to the right asker.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "confman/core/read_index.hpp"
#include "confman/mutants.hpp"
#include "confman/runtime/operation.hpp"

namespace confman {

// The follower's side: what was sent and not yet answered. Request numbers begin at first_request() and so
// never repeat, neither after a restart nor after the id has got another data directory.
class forwarded_writes {
 public:
  explicit forwarded_writes(std::uint64_t boot, incarnation_id incarnation = {})
      : next_(CONFMAN_MUTANT(forward_numbers_repeat) ? 0 : first_request(boot, incarnation)) {}

  [[nodiscard]] std::size_t size() const noexcept { return waiting_.size(); }
  [[nodiscard]] bool full(std::size_t max_requests, std::size_t max_bytes) const noexcept {
    return waiting_.size() >= max_requests || bytes_ >= max_bytes;
  }

  // Before the command is taken out of the operation.
  std::uint64_t add(write_operation& operation) {
    bytes_ += operation.command.size();
    waiting_.emplace_hint(waiting_.end(), ++next_, entry{&operation, operation.command.size()});
    return next_;
  }
  // The operation that sent this request, once; null if it is not waiting any more.
  [[nodiscard]] write_operation* take(std::uint64_t request) {
    const auto it = waiting_.find(request);
    if (it == waiting_.end()) return nullptr;
    write_operation* operation = it->second.operation;
    remove(it);
    return operation;
  }
  template <class Pick>
  [[nodiscard]] std::vector<write_operation*> take_if(Pick&& pick) {
    std::vector<write_operation*> taken;
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      if (!pick(*it->second.operation)) {
        ++it;
        continue;
      }
      taken.push_back(it->second.operation);
      it = remove(it);
    }
    return taken;
  }

 private:
  struct entry {
    write_operation* operation = nullptr;
    std::size_t bytes = 0;
  };
  using entries = std::map<std::uint64_t, entry>;

  entries::iterator remove(entries::iterator it) {
    bytes_ -= it->second.bytes;
    return waiting_.erase(it);
  }

  std::uint64_t next_;
  std::size_t bytes_ = 0;
  entries waiting_;
};

// The leader's side: drops a request it has seen. Valid for one term: a request names its term, and is
// refused in any other, so nothing needs to be remembered beyond it.
class forward_filter {
 public:
  // True once per (term, from, request). A request more than 64 behind the newest of the same process counts
  // as seen.
  [[nodiscard]] bool accept(term_t term, node_id from, std::uint64_t request) {
    if (term != term_) {
      term_ = term;
      seen_.clear();
    }
    window& w = seen_[{from, request >> 32}];
    if (request > w.newest) {
      const std::uint64_t step = request - w.newest;
      w.older = step > 64 ? 0 : (step == 64 ? 0 : w.older << step) | (std::uint64_t{1} << (step - 1));
      w.newest = request;
      return true;
    }
    const std::uint64_t behind = w.newest - request;
    if (behind == 0 || behind > 64) return behind > 64 && CONFMAN_MUTANT(forward_filter_forgets);
    const std::uint64_t bit = std::uint64_t{1} << (behind - 1);
    if (w.older & bit) return false;
    w.older |= bit;
    return true;
  }

 private:
  struct window {
    std::uint64_t newest = 0;
    std::uint64_t older = 0;  // bit i: request newest - 1 - i was seen
  };
  term_t term_;
  std::map<std::pair<node_id, std::uint64_t>, window> seen_;  // by process, see first_request()
};

}  // namespace confman
