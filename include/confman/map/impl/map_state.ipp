#pragma once

#include <algorithm>
#include <new>
#include <utility>

#include "confman/map/map_state.hpp"
#include "confman/map/snapshot_loader.hpp"

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
  const auto tagged = command_codec::load<std::uint8_t>(e.payload.data() + 1);
  const std::size_t before = command_codec::command_header_bytes + command_codec::section_bytes(tagged);
  return e.payload.size() < before ? std::string_view() : e.payload.view().substr(before, size);
}

CONFMAN_DECL map_core::map_core() {
  published_state* const empty = make_state(garbage.pool());
  empty->epoch = epochs.current();
  epochs.publish(empty, empty->epoch);
  tree.begin_edit(empty->epoch + 1);
}

// Nobody reads any more: the records of the newest version, published or not, are still the tree's.
CONFMAN_DECL map_core::~map_core() {
  tree.clear();
  const auto* const last = static_cast<const published_state*>(epochs.load_published());
  last->~published_state();
  garbage.pool().free(const_cast<published_state*>(last), sizeof(published_state));
}

}  // namespace detail

CONFMAN_DECL map_state::map_state(history_limits history, std::size_t session_limit)
    : core_(std::make_shared<detail::map_core>()),
      watches_(history),
      sessions_(std::make_unique<detail::session_table>(session_limit)) {}

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
  clock_.advance(command->author, command->timestamp, answer.revision);
  if (sessions_->size() != 0 || !uploads_.empty()) expire();
  if (command->session == 0 && detail::command_codec::writes_key(command->kind))
    write(*command, answer);
  else
    apply_special(*command, answer);
  return answer;
}

CONFMAN_DECL void map_state::write(const command_view& command, apply_result& answer) {
  const record* const existing = core_->tree.seek(command.key);
  if (existing) {
    answer.existed = true;
    answer.previous_revision = existing->modify_revision();
  }
  detail::record_builder* upload = nullptr;
  if (command.upload != 0) {
    upload = uploads_.complete(command, answer.revision, clock_.now());
    if (upload == nullptr) {
      answer.code = make_error_code(errc::upload_expired);
      return;
    }
  }
  if (!CONFMAN_MUTANT(compare_ignored) && detail::command_codec::compares(command.kind) &&
      command.expected_revision != answer.previous_revision)
    answer.code = make_error_code(errc::compare_failed);
  else if (detail::command_codec::carries_value(command.kind))
    put(command, existing, upload);
  else if (existing && !CONFMAN_MUTANT(erase_ignored))
    erase(existing);
}

CONFMAN_DECL void map_state::apply_special(const command_view& command, apply_result& answer) {
  const std::uint64_t index = answer.revision;
  const std::int64_t now = clock_.now();
  bool done = true;
  switch (command.kind) {
    case command_kind::session_open:
      return sessions_->open(index, command.time_to_live_ms, now);
    case command_kind::session_close:
      done = sessions_->close(command.session, now);
      break;
    case command_kind::session_keep_alive:
      done = sessions_->keep_alive(command.session, command.acknowledged, index, now);
      break;
    case command_kind::upload_piece:
      if (!uploads_.add(command, index, now, [this](map_entry&& memory) { drop_upload(std::move(memory)); }))
        answer.code = make_error_code(errc::upload_expired);
      return;
    default:
      return write_in_session(command, answer);
  }
  if (!done) answer.code = make_error_code(errc::session_expired);
}

CONFMAN_DECL void map_state::write_in_session(const command_view& command, apply_result& answer) {
  using verdict = detail::session_table::verdict;
  const auto [what, known] = sessions_->use(command, answer.revision, clock_.now());
  switch (what) {
    case verdict::fresh:
      write(command, answer);
      // Like `busy`, this asks for a repetition under the same sequence, which must not get it as its answer.
      if (answer.code != errc::upload_expired && !CONFMAN_MUTANT(answers_not_kept))
        sessions_->remember(command, answer);
      return;
    case verdict::replay:
      if (known->code != 0 && !CONFMAN_MUTANT(replayed_as_success))
        answer.code = make_error_code(static_cast<errc>(known->code));
      answer.at = known->at;
      answer.revision = known->at.index.value();
      answer.previous_revision = known->previous_revision;
      answer.existed = known->previous_revision != 0;
      answer.replayed = true;
      return;
    case verdict::expired:
      answer.code = make_error_code(errc::session_expired);
      return;
    case verdict::full:
      answer.code = make_error_code(errc::busy);
      return;
  }
}

CONFMAN_DECL void map_state::expire() {
  if (CONFMAN_MUTANT(local_expiry))
    sessions_->expire(clock_.now() + static_cast<std::int64_t>(core_->epochs.current() * 100),
                      expired_per_entry);
  sessions_->expire(clock_.now(), expired_per_entry);
  uploads_.expire(next_.at.index.value(), clock_.now(),
                  [this](map_entry&& memory) { drop_upload(std::move(memory)); });
}

CONFMAN_DECL void map_state::drop_upload(map_entry&& memory) {
  core_->records.release(memory.detach());
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

CONFMAN_DECL void map_state::put(const command_view& command, const record* existing,
                                 detail::record_builder* upload) {
  record::origin from;
  from.at = next_.at;
  from.timestamp = command.timestamp;
  from.author = command.author;
  from.create_revision =
      existing && !CONFMAN_MUTANT(created_anew) ? existing->create_revision() : next_.at.index.value();
  from.key_version = existing && !CONFMAN_MUTANT(writes_uncounted) ? existing->key_version() + 1 : 1;
  // Two references: the tree's and that of the change event.
  const record* const added =
      upload ? upload->seal(from, 2) : core_->records.create(command.key, command.value, from, 2);
  if (upload) uploads_.taken(command);
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
  detail::published_state* const state = detail::make_state(core_->garbage.pool());
  state->root = core_->tree.root();
  state->at = next_.at;
  state->count = next_.count;
  state->state_hash = next_.hash;
  state->replica_hash = replica_hash();
  state->bytes = next_.record_bytes + core_->tree.node_bytes() + sessions_->bytes() + uploads_.bytes();
  state->epoch = epoch;
  state->generation = core_->garbage.generation();
  watches_.announce(state->revision());
  epochs.publish(state, epoch);
  core_->garbage.superseded(old, epoch);
  published_revision_ = state->revision();
  core_->tree.begin_edit(epoch + 1);
  watches_.dispatch();
  for (map_entry& forgotten : watches_.forgotten()) core_->records.release(forgotten.detach());
  std::vector<map_entry>().swap(watches_.forgotten());
  std::vector<map_entry>& large = core_->records.large();
  if (large.size() > kept_discarded)
    large.erase(large.begin(), large.end() - static_cast<std::ptrdiff_t>(kept_discarded));
  // In portions that pay for the fence, and faster than this batch added to it.
  const std::size_t retired = core_->garbage.waiting();
  if (retired < collect_at_) return;
  collect(collect_portion * 4 + 2 * (retired - retired_before_));
  collect_at_ = core_->garbage.waiting() + collect_portion;
  retired_before_ = core_->garbage.waiting();
}

CONFMAN_DECL std::size_t map_state::collect(std::size_t max_work) {
  const std::size_t freed = core_->garbage.collect(max_work);
  if (!core_->records.large().empty())
    core_->records.large().pop_back();
  else if (!core_->garbage.empty_pools().empty())
    core_->garbage.empty_pools().pop_back();
  else if (!old_sessions_.empty())
    old_sessions_.pop_back();
  return freed;
}

CONFMAN_DECL discarded_memory map_state::take_discarded() {
  discarded_memory all;
  all.records_.swap(core_->records.large());
  all.pools_.swap(core_->garbage.empty_pools());
  all.sessions_.swap(old_sessions_);
  return all;
}

CONFMAN_DECL std::uint64_t map_state::replica_hash() const noexcept {
  return next_.hash + sessions_->hash() + uploads_.hash() + clock_.hash();
}

CONFMAN_DECL map_capture map_state::capture() const {
  CONFMAN_ASSERT(!changed_, "a capture is made of what is published");
  return map_capture(
      snapshot(), CONFMAN_MUTANT(sessions_not_in_snapshot) ? detail::session_image() : sessions_->image(),
      CONFMAN_MUTANT(uploads_not_in_snapshot) ? std::vector<detail::upload_image>() : uploads_.images(),
      CONFMAN_MUTANT(clock_not_in_snapshot) ? detail::log_clock() : clock_);
}

CONFMAN_DECL void map_state::adopt(loaded_map&& loaded) {
  CONFMAN_ASSERT(loaded.state_ != nullptr, "a loaded state is adopted once");
  detail::loaded_state& from = *loaded.state_;
  CONFMAN_ASSERT(!changed_ && from.at.index >= next_.at.index, "a state is replaced by a later one");
  detail::epoch_domain& epochs = core_->epochs;
  const auto* const old = static_cast<const detail::published_state*>(epochs.load_published());
  const std::uint64_t epoch = old->epoch + 1;
  detail::published_state* const state = detail::make_state(*from.pool);
  from.sessions->set_limit(sessions_->limit());
  old_sessions_.push_back(std::exchange(sessions_, std::move(from.sessions)));
  uploads_.clear([this](map_entry&& memory) { drop_upload(std::move(memory)); });
  std::swap(uploads_, from.uploads);
  clock_ = from.clock;
  next_ = {from.at, from.count, from.hash, from.record_bytes};
  records_created_ += from.count;

  detail::node_pool& pool = *from.pool;
  core_->garbage.replaced(old, epoch, std::move(from.pool));
  core_->tree.replace(pool, from.tree.root(), from.tree.node_bytes());
  from.tree.replace(pool, {}, 0);
  loaded.state_.reset();

  state->root = core_->tree.root();
  state->at = next_.at;
  state->count = next_.count;
  state->state_hash = next_.hash;
  state->replica_hash = replica_hash();
  state->bytes = next_.record_bytes + core_->tree.node_bytes() + sessions_->bytes() + uploads_.bytes();
  state->epoch = epoch;
  state->generation = core_->garbage.generation();
  watches_.announce(state->revision());
  epochs.publish(state, epoch);
  published_revision_ = state->revision();
  core_->tree.begin_edit(epoch + 1);
  watches_.restart(published_revision_);
  for (map_entry& forgotten : watches_.forgotten()) core_->records.release(forgotten.detach());
  std::vector<map_entry>().swap(watches_.forgotten());
}

CONFMAN_DECL map_state::memory_figures map_state::memory() const noexcept {
  memory_figures figures;
  figures.live_records = records_created_ - records_discarded_ - core_->garbage.records_released();
  figures.live_nodes = core_->garbage.blocks_in_use();
  figures.node_bytes = core_->garbage.bytes_in_use();
  figures.backlog = core_->garbage.backlog();
  figures.sessions = sessions_->size();
  figures.session_bytes = sessions_->bytes();
  figures.uploads = uploads_.size();
  figures.upload_bytes = uploads_.bytes();
  figures.discarded =
      core_->records.large().size() + core_->garbage.empty_pools().size() + old_sessions_.size();
  return figures;
}

}  // namespace confman
