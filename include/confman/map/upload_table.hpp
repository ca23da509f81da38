// Large values on their way into the map, piece by piece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "confman/config.hpp"
#include "confman/core/ids.hpp"
#include "confman/map/command.hpp"
#include "confman/map/record_builder.hpp"
#include "confman/mutants.hpp"

namespace confman::detail {

// One upload as it was at one entry. Thread safety: any thread may read and drop its own.
struct upload_image {
  node_id author;
  std::uint64_t number = 0;
  std::uint64_t total = 0;
  std::int64_t used_at = 0;     // log time
  std::uint64_t used_by = 0;    // index of the last entry that used it
  std::string_view key, value;  // in `memory`; the value as far as it was there
  map_entry memory;
};

// The rules, which depend on the entries alone: a piece at offset 0 of an unknown upload begins one; a piece
// at the end of what is there is added; one that is there already changes nothing; any other, or one that
// names another key or size, is upload_expired and changes nothing. To make room for a new upload those used
// longest ago are dropped; so are those not used for a while (limits.hpp). Thread safety: the writer's
// thread.
class upload_table {
 public:
  // Drops what wasn't used for too long. `dropped(map_entry&&)` gets the memory.
  template <class Dropped>
  void expire(std::uint64_t index, std::int64_t now, Dropped&& dropped) {
    if (CONFMAN_MUTANT(upload_outlives)) return;
    while (!uploads_.empty() && (index - uploads_.front().used_by > max_upload_idle_entries ||
                                 now - uploads_.front().used_at > max_upload_idle_time))
      dropped(drop(0));
  }
  // Applies an upload_piece. False: upload_expired. Throws std::bad_alloc.
  template <class Dropped>
  [[nodiscard]] bool add(const command_view& piece, std::uint64_t index, std::int64_t now,
                         Dropped&& dropped) {
    std::size_t at = find(piece.author, piece.upload);
    if (at == uploads_.size()) {
      if (piece.offset != 0) return false;
      while (uploads_.size() >= max_uploads || total_ + piece.total_bytes > max_upload_bytes)
        dropped(drop(0));
      at = begin(piece);
    }
    return append(at, piece, index, now);
  }
  // The upload that `write` names, if it is complete and for that key; it is used by this. Or nullptr.
  [[nodiscard]] CONFMAN_DECL record_builder* complete(const command_view& write, std::uint64_t index,
                                                      std::int64_t now);
  // Takes out the upload that complete() returned, after it was sealed.
  CONFMAN_DECL void taken(const command_view& write);

  [[nodiscard]] bool empty() const noexcept { return uploads_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return uploads_.size(); }
  // What they take.
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  // A sum over all uploads; 0 without any.
  [[nodiscard]] CONFMAN_DECL std::uint64_t hash() const noexcept;
  // In the order of their last use.
  [[nodiscard]] CONFMAN_DECL std::vector<upload_image> images() const;

  // For loading, in the order of images(); then append() to last() until it has its prefix. False, and no
  // change, if this can't be an upload.
  [[nodiscard]] CONFMAN_DECL bool restore(const upload_image& u);
  [[nodiscard]] record_builder& last() noexcept { return uploads_.back().value; }
  // Hands over the memory of all.
  template <class Dropped>
  void clear(Dropped&& dropped) {
    while (!uploads_.empty()) dropped(drop(uploads_.size() - 1));
  }

 private:
  struct upload {
    node_id author;
    std::uint64_t number;
    std::int64_t used_at;
    std::uint64_t used_by;
    record_builder value;
  };

  [[nodiscard]] CONFMAN_DECL std::size_t find(node_id author, std::uint64_t number) const noexcept;
  CONFMAN_DECL std::size_t begin(const command_view& piece);
  [[nodiscard]] CONFMAN_DECL bool append(std::size_t at, const command_view& piece, std::uint64_t index,
                                         std::int64_t now);
  CONFMAN_DECL upload& touch(std::size_t at, std::uint64_t index, std::int64_t now);
  [[nodiscard]] CONFMAN_DECL map_entry drop(std::size_t at);

  std::vector<upload> uploads_;  // longest unused first: by entry and so by time
  std::uint64_t total_ = 0;      // of the values
  std::size_t bytes_ = 0;
};

}  // namespace confman::detail

#if !defined(CONFMAN_COMPILED)
#include "confman/map/impl/upload_table.ipp"
#endif
