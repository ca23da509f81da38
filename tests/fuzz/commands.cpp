// Entries of the log applied to the map, well-formed and not. Two replicas that take them by different ways,
// one of them through a snapshot in the middle, give the same answers and the same state.
#include <memory>
#include <string>
#include <vector>

#include "confman/map/map_state.hpp"
#include "confman/map/snapshot_encoder.hpp"
#include "confman/map/snapshot_loader.hpp"
#include "fuzz/target.hpp"

namespace {

using namespace confman;

std::vector<std::string> saved(const map_state& map) {
  std::vector<std::string> all;
  snapshot_encoder encoder(map.capture());
  for (std::string block; encoder.next(block);) all.push_back(block);
  return all;
}

std::string key_of(fuzz::input& in) {
  constexpr const char* names[] = {"/a", "/ab", "/abc", "/b/1", "/b/2", "/b", "/\xff\x80", "/"};
  const std::size_t which = in.below(10);
  if (which < 8) return names[which];
  std::string key = "/";
  key += in.bytes(40);
  for (char& c : key)
    if (c == '\0') c = '0';
  return which == 9 ? key + std::string(in.below(470), 'k') : key;
}

// A command that decodes: only the state decides what becomes of it. `place`: the index it gets.
shared_bytes well_formed(fuzz::input& in, std::uint64_t place) {
  const std::string key = key_of(in);
  std::string value(in.bytes(60));
  command_view c;
  c.kind = static_cast<command_kind>(1 + in.below(8));
  c.author = node_id(in.number(2));
  c.timestamp = static_cast<std::int64_t>(in.flip() ? in.number(place * 1'000'000) : in.word());
  const bool writes = c.kind <= command_kind::compare_erase;
  const bool carries = c.kind == command_kind::put || c.kind == command_kind::compare_exchange;
  if (writes || c.kind == command_kind::upload_piece) c.key = key;
  if (carries && in.below(4) == 0) c.upload = 1 + in.below(5);
  if (carries && c.upload == 0) c.value = value;
  if (c.kind == command_kind::compare_exchange || c.kind == command_kind::compare_erase)
    c.expected_revision = in.number(place - 1 - in.below(8));
  if (writes ? in.flip()
             : c.kind == command_kind::session_close || c.kind == command_kind::session_keep_alive)
    c.session = 1 + in.below(20);
  if (writes && c.session != 0) {
    c.sequence = 1 + in.below(12);
    c.acknowledged = in.below(static_cast<std::size_t>(c.sequence) + 1);
  } else if (c.session != 0) {
    c.acknowledged = in.below(12);
  }
  if (c.kind == command_kind::session_open) c.time_to_live_ms = 1 + in.below(60'000);
  if (c.kind == command_kind::upload_piece) {
    value += 'v';
    c.value = value;
    c.upload = 1 + in.below(5);
    c.offset = in.below(80);
    c.total_bytes = c.offset + value.size() + in.below(80);
    if (in.byte() == 255) c.total_bytes = max_large_value_bytes;  // untouched memory, but it counts
  }
  return encode(c);
}

std::vector<entry> entries_of(fuzz::input& in) {
  std::vector<entry> all;
  std::uint64_t index = 0, term = 1;
  while (!in.empty() && all.size() < 200) {
    const std::uint8_t how = in.byte();
    entry e;
    index += how % 32 == 31 ? 1 + in.below(2000) * 1000 : 1;
    term += how % 16 == 15 ? 1 : 0;
    e.index = log_index(index);
    e.term = term_t(term);
    e.type = how < 8 ? entry_type::noop : how < 12 ? entry_type::configuration : entry_type::command;
    e.payload = how < 32 ? shared_bytes::copy(in.bytes(100)) : well_formed(in, index);
    all.push_back(e);
  }
  return all;
}

void through_a_snapshot(std::unique_ptr<map_state>& map) {
  map->publish();
  const std::vector<std::string> blocks = saved(*map);
  snapshot_loader loader;
  for (const std::string& block : blocks) fuzz::expect(!loader.feed(block), "a saved block is taken");
  auto loaded = loader.finish();
  fuzz::expect(static_cast<bool>(loaded), "a saved state is loaded");
  auto other = std::make_unique<map_state>(history_limits{16, 4096});
  other->adopt(std::move(*loaded));
  fuzz::expect(other->read().replica_hash() == map->read().replica_hash(), "a loaded state is the saved one");
  fuzz::expect(saved(*other) == blocks, "save, load, save gives the same bytes");
  map = std::move(other);
}

void check_bounds(const map_state& map) {
  const auto used = map.memory();
  fuzz::expect(used.sessions <= max_sessions && used.uploads <= max_uploads, "tables keep their bounds");
  fuzz::expect(used.upload_bytes <= max_upload_bytes + max_uploads * 2048, "uploads keep theirs");
  std::uint64_t keys = 0, sum = 0;
  std::string last;
  map.read().for_each_prefix("", [&](const record& r) {
    fuzz::expect(last < r.key(), "keys are in order");
    fuzz::expect(r.modify_revision() >= r.create_revision() && r.key_version() > 0, "revisions make sense");
    last = r.key();
    sum += r.content_hash();
    ++keys;
    return true;
  });
  fuzz::expect(keys == map.read().size() && sum == map.read().state_hash(), "count and hash are the map's");
}

}  // namespace

FUZZ_TARGET(commands) {
  fuzz::input in(bytes);
  const std::size_t portion = 1 + in.below(7), half = in.below(100);
  const std::vector<entry> entries = entries_of(in);
  map_state one(history_limits{8, 2048});
  auto two = std::make_unique<map_state>(history_limits{16, 4096});
  std::vector<apply_result> answers;
  for (const entry& e : entries) {
    answers.push_back(one.apply(e));
    one.publish();
  }
  for (std::size_t at = 0; at < entries.size();) {
    const std::size_t count = std::min(portion, entries.size() - at);
    std::size_t next = at;
    two->apply_all(
        count, [&](std::size_t i) -> const entry& { return entries[at + i]; },
        [&](const entry&, const apply_result& answer) {
          fuzz::expect(answer == answers[next++], "replicas answer alike");
        });
    two->publish();
    if (at <= half && half < at + count) through_a_snapshot(two);
    at += count;
  }
  fuzz::expect(one.read().replica_hash() == two->read().replica_hash(), "replicas hold the same");
  fuzz::expect(saved(one) == saved(*two), "to the last byte");
  check_bounds(one);
  check_bounds(*two);
}
