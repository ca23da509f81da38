#pragma once

#include <algorithm>
#include <new>
#include <utility>

#include "confman/map/map_state.hpp"

namespace confman {

namespace detail {

[[nodiscard]] inline published_state* make_state(node_pool& pool) {
  return ::new (pool.allocate(sizeof(published_state))) published_state();
}

inline void prefetch(const void* from, std::size_t lines) noexcept {
  for (std::size_t i = 0; i < lines; ++i) __builtin_prefetch(static_cast<const char*>(from) + i * 64);
}

// The key of a command, or nothing if the entry isn't a plausible one.
[[nodiscard]] inline std::string_view peek_key(const entry& e) noexcept {
  if (e.type != entry_type::command || e.payload.size() < command_codec::command_header_bytes) return {};
  const std::size_t size = command_codec::load<std::uint16_t>(e.payload.data() + 2);
  return e.payload.view().substr(command_codec::command_header_bytes, size);
}

CONFMAN_DECL map_core::map_core() {
  published_state* const empty = make_state(pool);
  empty->epoch = epochs.current();
  epochs.publish(empty, empty->epoch);
  tree.begin_edit(empty->epoch + 1);
}

// Nobody reads any more: the records of the newest version, published or not, are still the tree's.
CONFMAN_DECL map_core::~map_core() {
  tree.clear();
  const auto* const last = static_cast<const published_state*>(epochs.load_published());
  last->~published_state();
  pool.free(const_cast<published_state*>(last), sizeof(published_state));
}

}  // namespace detail

CONFMAN_DECL map_state::map_state(history_limits history)
    : core_(std::make_shared<detail::map_core>()), watches_(history) {}

CONFMAN_DECL apply_result map_state::apply(const entry& e) {
  CONFMAN_ASSERT(e.index > next_.at.index, "entries are applied once, in order");
  next_.at = {e.term, e.index};
  changed_ = true;
  apply_result answer;
  answer.at = next_.at;
  answer.revision = e.index.value();
  if (e.type != entry_type::command) return answer;

  const result<command_view> command = decode(e.payload);
  if (!command) {
    answer.code = command.error().code;
    return answer;
  }
  const record* const existing = core_->tree.seek(command->key);
  if (existing) {
    answer.existed = true;
    answer.previous_revision = existing->modify_revision();
  }
  const bool compares =
      command->kind == command_kind::compare_exchange || command->kind == command_kind::compare_erase;
  if (compares && command->expected_revision != answer.previous_revision)
    answer.code = make_error_code(errc::compare_failed);
  else if (command->kind == command_kind::put || command->kind == command_kind::compare_exchange)
    put(*command, existing);
  else if (existing)
    erase(existing);
  return answer;
}

// One step down for each entry in turn: while the line of one is on its way, the others go on.
CONFMAN_DECL void map_state::prepare(const entry* const* entries, std::size_t count) const noexcept {
  constexpr std::size_t worth_it = std::size_t{256} << 10;  // smaller maps stay in the cache by themselves
  if (next_.record_bytes < worth_it) return;
  struct walk {
    std::string_view key;
    detail::trie_ref at;
  };
  walk walks[prepared_together];
  std::size_t active = 0;
  for (std::size_t i = 0; i < count; ++i)
    if (entries[i]->type == entry_type::command) __builtin_prefetch(entries[i]->payload.data());
  for (std::size_t i = 0; i < count; ++i)
    if (const std::string_view key = detail::peek_key(*entries[i]); !key.empty())
      walks[active++] = {key, core_->tree.root()};
  while (active != 0) {
    for (std::size_t i = 0; i < active;) {
      walk& w = walks[i];
      if (w.at && !w.at.is_record()) w.at = detail::child_towards(w.at, w.key);
      if (w.at && !w.at.is_record()) {
        detail::prefetch(w.at.as_node(), 2);
        ++i;
        continue;
      }
      if (w.at) detail::prefetch(w.at.as_record(), 3);
      w = walks[--active];
    }
  }
}

CONFMAN_DECL void map_state::put(const command_view& command, const record* existing) {
  record::origin from;
  from.at = next_.at;
  from.timestamp = command.timestamp;
  from.author = command.author;
  from.create_revision = existing ? existing->create_revision() : next_.at.index.value();
  from.key_version = existing ? existing->key_version() + 1 : 1;
  // Two references: the tree's and that of the change event.
  const record* const added = core_->records.create(command.key, command.value, from, 2);
  ++records_created_;
  change event{change_kind::put, next_.at, map_entry::adopt(added)};
  core_->tree.put(added);
  next_.hash += added->content_hash();
  next_.record_bytes += added->allocated_bytes();
  if (existing)
    discard(existing);
  else
    ++next_.count;
  watches_.stage(std::move(event));
}

CONFMAN_DECL void map_state::erase(const record* existing) {
  change event{change_kind::erase, next_.at, map_entry(*existing)};
  core_->tree.erase();
  --next_.count;
  discard(existing);
  watches_.stage(std::move(event));
}

// A record of the running batch was never published, so no reader can hold it without a reference.
CONFMAN_DECL void map_state::discard(const record* replaced) {
  next_.hash -= replaced->content_hash();
  next_.record_bytes -= replaced->allocated_bytes();
  if (replaced->modify_revision() > published_revision_) {
    ++records_discarded_;
    core_->records.release(replaced);
  } else {
    core_->garbage.retire(detail::trie_ref(replaced));
  }
}

CONFMAN_DECL void map_state::publish() {
  if (!changed_) return;
  changed_ = false;
  detail::epoch_domain& epochs = core_->epochs;
  const auto* const old = static_cast<const detail::published_state*>(epochs.load_published());
  const std::uint64_t epoch = old->epoch + 1;
  detail::published_state* const state = detail::make_state(core_->pool);
  state->root = core_->tree.root();
  state->at = next_.at;
  state->count = next_.count;
  state->state_hash = next_.hash;
  state->bytes = next_.record_bytes + core_->tree.node_bytes();
  state->epoch = epoch;
  watches_.announce(state->revision());
  epochs.publish(state, epoch);
  core_->garbage.superseded(old, epoch);
  published_revision_ = state->revision();
  core_->tree.begin_edit(epoch + 1);
  watches_.dispatch();
  for (map_entry& forgotten : watches_.forgotten()) core_->records.release(forgotten.detach());
  std::vector<map_entry>().swap(watches_.forgotten());
  // In portions that pay for the fence, and faster than this batch added to it.
  const std::size_t retired = core_->garbage.waiting();
  if (retired < collect_at_) return;
  collect(collect_portion * 4 + 2 * (retired - retired_before_));
  collect_at_ = core_->garbage.waiting() + collect_portion;
  retired_before_ = core_->garbage.waiting();
}

CONFMAN_DECL std::size_t map_state::collect(std::size_t max_work) {
  return core_->garbage.collect(max_work);
}

CONFMAN_DECL map_state::memory_figures map_state::memory() const noexcept {
  memory_figures figures;
  figures.live_records = records_created_ - records_discarded_ - core_->garbage.records_released();
  figures.live_nodes = core_->pool.blocks_in_use();
  figures.node_bytes = core_->pool.bytes_in_use();
  figures.backlog = core_->garbage.backlog();
  return figures;
}

}  // namespace confman
