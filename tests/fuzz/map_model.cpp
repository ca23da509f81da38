// The map against std::map: writes, reads, lists, versions, snapshots, watches.
#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "confman/map/map_state.hpp"
#include "confman/map/snapshot_encoder.hpp"
#include "confman/map/snapshot_loader.hpp"
#include "fuzz/target.hpp"

namespace {

using namespace confman;

struct known {
  std::string value;
  std::uint64_t created = 0, modified = 0, written = 0;
  friend bool operator==(const known&, const known&) = default;
};
using model = std::map<std::string, known>;

struct event {
  std::uint64_t revision = 0;
  std::string key;
  std::optional<std::string> value;  // nothing: erased
};

known of(const record& r) {
  return {std::string(r.value()), r.create_revision(), r.modify_revision(), r.key_version()};
}

void compare(const map_view& view, const model& expected, std::string_view prefix, std::string_view after) {
  auto at = std::max(
      expected.lower_bound(std::string(prefix)), expected.upper_bound(std::string(after)),
      [&](auto a, auto b) { return std::distance(a, expected.end()) > std::distance(b, expected.end()); });
  view.for_each_prefix(prefix, after, [&](const record& r) {
    fuzz::expect(at != expected.end() && at->first == r.key() && at->second == of(r), "a list is right");
    ++at;
    return true;
  });
  fuzz::expect(at == expected.end() || !at->first.starts_with(prefix), "a list is complete");
}

class world {
 public:
  explicit world(fuzz::input& in) : in_(in) {}

  void run() {
    for (std::size_t step = 0; !in_.empty() && step < 300; ++step) one_step();
    publish();
    take();
    compare(map_->read(), model_, "", "");
    for (const auto& [snapshot, content] : held_) compare(snapshot, content, "", "");
  }

 private:
  std::string key() {
    static constexpr const char* parts[] = {"/", "a", "b", "ab", "/a", "\xff", "\x01", "/a/b/c"};
    std::string made = "/";
    for (std::size_t n = in_.below(5); n > 0; --n) made += parts[in_.below(8)];
    return made;
  }

  void one_step() {
    switch (const std::uint8_t what = in_.byte(); what % 12) {
      case 0:
        publish();
        break;
      case 1:
        publish();
        compare(map_->read(), model_, what < 24 ? "" : key(), what < 64 ? "" : key());
        break;
      case 2:
        publish();
        if (held_.size() < 4) held_.emplace_back(map_->snapshot(), model_);
        break;
      case 3:
        if (!held_.empty()) held_.erase(held_.begin());
        map_->collect(1 + in_.below(50));
        break;
      case 4:
        what < 40 ? reload() : watch(what);
        break;
      case 5:
        publish();
        take();
        break;
      case 6:
        look(key());
        break;
      default:
        write(what);
    }
  }

  void look(const std::string& k) {
    publish();
    const auto found = map_->get(k);
    const auto at = model_.find(k);
    fuzz::expect(static_cast<bool>(found) == (at != model_.end()), "a key is there or not");
    if (found) fuzz::expect(of(**found) == at->second, "and what it should be");
  }

  void write(std::uint8_t what) {
    const std::string k = key();
    const auto at = model_.find(k);
    const std::uint64_t now = at == model_.end() ? 0 : at->second.modified;
    std::string value(in_.bytes(20));
    if (what == 255) value.resize(300, 'l');  // its hash is kept
    command_view c;
    c.kind = static_cast<command_kind>(1 + what % 4);
    c.key = k;
    c.author = node_id(1);
    c.timestamp = static_cast<std::int64_t>(revision_);
    const bool puts = c.kind == command_kind::put || c.kind == command_kind::compare_exchange;
    const bool compares = c.kind == command_kind::compare_exchange || c.kind == command_kind::compare_erase;
    if (puts) c.value = value;
    if (compares) c.expected_revision = in_.below(3) == 0 ? in_.below(20) : now;
    entry e;
    e.term = term_t(3);
    e.index = log_index(++revision_);
    e.type = entry_type::command;
    e.payload = encode(c);
    const apply_result answer = map_->apply(e);
    fuzz::expect(answer.previous_revision == now && answer.existed == (now != 0), "what was there before");
    if (compares && c.expected_revision != now) {
      fuzz::expect(answer.code == make_error_code(errc::compare_failed), "a comparison that fails");
      return;
    }
    fuzz::expect(!answer.code && answer.revision == revision_, "a write that succeeds");
    if (puts) {
      known& n = model_[k];
      n = {value, now == 0 ? revision_ : n.created, revision_, n.written + 1};
      events_.push_back({revision_, k, value});
    } else if (now != 0) {
      events_.push_back({revision_, k, std::nullopt});
      model_.erase(k);
    }
  }

  void publish() { map_->publish(); }

  // Through a snapshot into another map, which begins without history.
  void reload() {
    publish();
    snapshot_loader loader;
    snapshot_encoder encoder(map_->capture());
    for (std::string block; encoder.next(block);) fuzz::expect(!loader.feed(block), "a block is taken");
    auto loaded = loader.finish();
    fuzz::expect(static_cast<bool>(loaded), "a snapshot is loaded");
    take();
    if (in_.flip()) map_ = std::make_unique<map_state>(limits), watch_.reset();
    map_->adopt(std::move(*loaded));
    compare(map_->read(), model_, "", "");
  }

  void watch(std::uint8_t what) {
    publish();
    take();
    if (watch_) map_->watches().remove(*watch_);
    watch_.reset();
    prefix_ = what < 128 ? "" : key();
    const std::uint64_t after =
        in_.flip() ? revision_ : in_.number(revision_ - std::min<std::uint64_t>(revision_, in_.below(20)));
    const auto added = map_->watches().add(prefix_, after, {8, 100'000}, [] {});
    if (!added) {
      const auto code = added.error().code;
      fuzz::expect(after > revision_
                       ? code == make_error_code(errc::revision_in_future)
                       : code == make_error_code(errc::compacted) && after < map_->watches().floor(),
                   "a watch is refused for what it asks");
      return;
    }
    watch_ = *added;
    seen_ = after;
  }

  // No gap, no duplicate, nothing foreign; or it says that it lagged.
  void take() {
    if (!watch_) return;
    const change_batch batch = map_->watches().take(*watch_);
    auto at = std::upper_bound(events_.begin(), events_.end(), seen_,
                               [](std::uint64_t after, const event& e) { return after < e.revision; });
    const auto skip = [&] {
      while (at != events_.end() && !at->key.starts_with(prefix_)) ++at;
    };
    for (const change& c : batch.changes) {
      skip();
      fuzz::expect(at != events_.end() && at->revision == c.revision() && at->key == c.key(),
                   "a watch's next");
      fuzz::expect((c.kind == change_kind::put) == at->value.has_value(), "its kind");
      if (at->value) fuzz::expect(*at->value == c.entry.value(), "its value");
      ++at;
    }
    skip();
    fuzz::expect(at == events_.end() || at->revision > batch.through, "nothing is missing up to `through`");
    seen_ = batch.through;
    if (!batch.error) return;
    fuzz::expect(batch.error.code == make_error_code(errc::watch_lagged) ||
                     batch.error.code == make_error_code(errc::compacted),
                 "a watch ends for a reason");
    map_->watches().remove(*watch_);
    watch_.reset();
  }

  static constexpr history_limits limits{10, 10'000};

  fuzz::input& in_;
  std::unique_ptr<map_state> map_ = std::make_unique<map_state>(limits);
  model model_;
  std::vector<event> events_;
  std::vector<std::pair<map_snapshot, model>> held_;
  std::optional<watch_id> watch_;
  std::string prefix_;
  std::uint64_t seen_ = 0;
  std::uint64_t revision_ = 0;
};

}  // namespace

FUZZ_TARGET(map_model) {
  fuzz::input in(bytes);
  world(in).run();
}
