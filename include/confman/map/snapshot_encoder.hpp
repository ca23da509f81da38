// A captured state as a stream of blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "confman/config.hpp"
#include "confman/map/map_capture.hpp"
#include "confman/map/trie.hpp"

namespace confman {

// The same state gives the same bytes, whatever its history. Takes memory for two blocks. Thread safety: one
// thread at a time, any thread.
class snapshot_encoder {
 public:
  CONFMAN_DECL explicit snapshot_encoder(map_capture state);
  snapshot_encoder(const snapshot_encoder&) = delete;
  snapshot_encoder& operator=(const snapshot_encoder&) = delete;
  ~snapshot_encoder() = default;

  // Replaces `block` with the next one, of at most max_snapshot_block_bytes. False, with an empty block,
  // after the last. Throws std::bad_alloc.
  [[nodiscard]] CONFMAN_DECL bool next(std::string& block);

  // The last entry the snapshot contains.
  [[nodiscard]] version at() const noexcept { return state_.at(); }

 private:
  enum class section : std::uint8_t { header, clocks, sessions, uploads, entries, end, done };

  void put_header();
  void put_session(const detail::session& s);
  void put_upload(const detail::upload_image& u);
  void put_entry(const record& r);
  // Writes the next item; the caller has made sure that there is room.
  void put_next();
  // As much of the value that was begun as there is room for.
  void put_rest();
  template <class Integer>
  void put(Integer value) noexcept;
  void put_bytes(std::string_view bytes) noexcept;
  [[nodiscard]] std::size_t room() const noexcept { return static_cast<std::size_t>(end_ - at_); }

  map_capture state_;
  std::vector<const detail::session*> sessions_;
  detail::trie_cursor cursor_;
  section section_ = section::header;
  std::size_t place_ = 0;                        // in clocks, sessions or uploads
  const detail::kept_answer* answer_ = nullptr;  // the next of the session before place_
  const record* record_ = nullptr;               // the next entry
  std::string_view rest_;                        // of a value that didn't fit
  std::uint32_t number_ = 0;
  std::unique_ptr<char[]> buffer_;  // for a block: most snapshots of few keys are smaller than one
  char* at_ = nullptr;              // in it
  char* end_ = nullptr;
};

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/map/impl/snapshot_encoder.ipp"
#endif
