// Values in pieces as they should be, by the rules alone: which are there, and how much of each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "confman/map/command.hpp"
#include "confman/map/limits.hpp"

namespace confman::sim {

// Fed with the commands in the order of the log; `now` is log time.
class upload_model {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return uploads_.size(); }
  // Before each command: what nobody has used for too long is gone.
  void expire(std::uint64_t index, std::int64_t now) {
    std::erase_if(uploads_, [&](const auto& u) {
      return index - u.second.used_by > max_upload_idle_entries ||
             now - u.second.used_at > max_upload_idle_time;
    });
  }
  // A piece. False: it is refused as upload_expired.
  [[nodiscard]] bool add(const command_view& piece, std::uint64_t index, std::int64_t now) {
    const id name{piece.author.value(), piece.upload};
    auto found = uploads_.find(name);
    if (found == uploads_.end()) {
      if (piece.offset != 0) return false;
      make_room(piece.total_bytes);
      found = uploads_.emplace(name, upload{std::string(piece.key), piece.total_bytes, 0, 0, 0}).first;
    }
    upload& u = found->second;
    if (u.total != piece.total_bytes || u.key != piece.key) return false;
    const std::uint64_t end = piece.offset + piece.value.size();
    if (end > u.filled && piece.offset != u.filled) return false;
    u.filled = std::max(u.filled, end);
    u.used_by = index;
    u.used_at = now;
    return true;
  }
  // A write names an upload. False: it is refused as upload_expired.
  [[nodiscard]] bool complete(const command_view& write, std::uint64_t index, std::int64_t now) {
    const auto found = uploads_.find({write.author.value(), write.upload});
    if (found == uploads_.end() || found->second.key != write.key ||
        found->second.filled != found->second.total)
      return false;
    found->second.used_by = index;
    found->second.used_at = now;
    return true;
  }
  // ... and has taken its value.
  void taken(const command_view& write) { uploads_.erase({write.author.value(), write.upload}); }

 private:
  using id = std::pair<std::uint64_t, std::uint64_t>;  // author and number
  struct upload {
    std::string key;
    std::uint64_t total;
    std::uint64_t filled;
    std::uint64_t used_by;
    std::int64_t used_at;
  };

  // The longest unused go first.
  void make_room(std::uint64_t bytes) {
    for (;;) {
      std::uint64_t sum = bytes;
      for (const auto& u : uploads_) sum += u.second.total;
      if (uploads_.size() < max_uploads && sum <= max_upload_bytes) return;
      uploads_.erase(std::min_element(uploads_.begin(), uploads_.end(), [](const auto& a, const auto& b) {
        return a.second.used_by < b.second.used_by;
      }));
    }
  }

  std::map<id, upload> uploads_;
};

}  // namespace confman::sim
