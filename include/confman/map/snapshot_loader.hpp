// A stream of blocks back to a state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "confman/config.hpp"
#include "confman/core/ids.hpp"
#include "confman/error.hpp"
#include "confman/map/log_clock.hpp"
#include "confman/map/node_pool.hpp"
#include "confman/map/record_builder.hpp"
#include "confman/map/record_cache.hpp"
#include "confman/map/session_table.hpp"
#include "confman/map/snapshot_format.hpp"
#include "confman/map/trie_editor.hpp"
#include "confman/map/upload_table.hpp"

namespace confman {

namespace detail {

// A state without a map around it.
struct loaded_state {
  // Everything is made under one edit, so nothing is ever retired.
  struct nothing_retired {
    void retire(trie_ref) const { CONFMAN_ASSERT(false, "a tree that is being loaded has no reader"); }
  };

  loaded_state() { tree.begin_edit(1); }
  ~loaded_state() { tree.clear(); }
  loaded_state(const loaded_state&) = delete;
  loaded_state& operator=(const loaded_state&) = delete;

  version at;
  std::uint64_t count = 0;
  std::uint64_t hash = 0;  // of the keys
  std::uint64_t record_bytes = 0;
  log_clock clock;
  std::unique_ptr<session_table> sessions = std::make_unique<session_table>();
  upload_table uploads;
  record_cache records;
  nothing_retired retire;
  std::unique_ptr<node_pool> pool = std::make_unique<node_pool>();
  trie_editor<nothing_retired> tree{*pool, retire};
};

}  // namespace detail

// A state that was loaded and checked, to be adopted by a map. Thread safety: none; may go to another thread.
class loaded_map {
 public:
  // The last entry it contains.
  [[nodiscard]] version at() const noexcept { return state_->at; }
  // How many keys there are.
  [[nodiscard]] std::uint64_t size() const noexcept { return state_->count; }

 private:
  friend class map_state;
  friend class snapshot_loader;
  explicit loaded_map(std::unique_ptr<detail::loaded_state> state) noexcept : state_(std::move(state)) {}

  std::unique_ptr<detail::loaded_state> state_;
};

// Builds a state beside the running map. Any bytes may be fed: they give snapshot_damaged (format_unsupported
// for a stream of another format), and never more memory than the bytes fed, one value of at most
// max_large_value_bytes and the uploads' max_upload_bytes (untouched, where the stream doesn't fill it).
// Thread safety: one thread at a time, any thread.
class snapshot_loader {
 public:
  CONFMAN_DECL snapshot_loader();
  snapshot_loader(const snapshot_loader&) = delete;
  snapshot_loader& operator=(const snapshot_loader&) = delete;
  ~snapshot_loader() = default;

  // The next block, exactly as snapshot_encoder::next() gave it. The first error sticks. Throws
  // std::bad_alloc.
  CONFMAN_DECL failure feed(std::string_view block);
  // After the last block, once. Checks that nothing is missing and that the hash is the one captured.
  [[nodiscard]] CONFMAN_DECL result<loaded_map> finish();

 private:
  using tag = detail::snapshot_format::tag;

  // Each reads one item after its tag; what is wrong, or nullptr.
  const char* read_items();
  const char* read_item(tag t);
  const char* read_header();
  const char* read_clock();
  const char* read_session();
  const char* read_answer();
  const char* read_upload();
  const char* read_entry();
  const char* read_more();
  const char* read_end();
  const char* check_place(tag t) noexcept;
  const char* finish_session();
  void add(const record* r);
  template <class Integer>
  Integer get() noexcept;
  [[nodiscard]] std::string_view get_bytes(std::size_t size) noexcept;
  failure fail(const char* why);

  std::unique_ptr<detail::loaded_state> state_;
  failure failed_;
  std::string_view rest_;  // of the block being read
  std::uint64_t block_ = 0;
  tag last_ = tag{0};
  bool ended_ = false;
  // From the header: what is still to come.
  std::uint64_t entries_ = 0;
  std::uint32_t clocks_ = 0, sessions_ = 0, uploads_ = 0;
  std::uint64_t expected_hash_ = 0;
  std::string key_;  // of the last entry
  detail::session session_;
  std::uint32_t answers_ = 0;  // still to come of session_
  // The value that isn't complete: an entry's own, or the last upload's.
  std::optional<detail::record_builder> builder_;
  record::origin origin_;
  std::uint64_t missing_ = 0;
};

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/map/impl/snapshot_loader.ipp"
#endif
