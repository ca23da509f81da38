// Any stream of blocks into the map's loader. One that is taken is saved and loaded again without a
// difference, and the map goes on from it as from any other.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "confman/map/map_state.hpp"
#include "confman/map/snapshot_encoder.hpp"
#include "confman/map/snapshot_loader.hpp"
#include "confman/wire/archive.hpp"
#include "confman/wire/crc32c.hpp"
#include "fuzz/target.hpp"

namespace {

using namespace confman;
namespace layout = confman::detail::snapshot_format;
using layout::tag;

template <class Integer>
void put(std::string& out, Integer value) {
  out.resize(out.size() + sizeof value);
  detail::store_integer(out.data() + out.size() - sizeof value, value);
}
void put_tag(std::string& out, tag t) {
  out.push_back(static_cast<char>(t));
}

// Right most of the time, else close to it, or anything.
std::uint64_t mostly(fuzz::input& in, std::uint64_t right) {
  const std::uint8_t how = in.byte();
  if (how < 224) return right;
  if (how < 240) return right + how % 5 - 2;
  if (how < 248) return how % 2 == 0 ? 0 : ~std::uint64_t{0};
  return in.word();
}

// Items as the encoder writes them, as far as the input lets it; the hash is that of what they say.
class stream_builder {
 public:
  explicit stream_builder(fuzz::input& in) : in_(in) {
    index_ = 1 + in_.below(60000);
    term_ = 1 + in_.below(5);
    now_ = static_cast<std::int64_t>(in_.below(60000)) * 1000;
    (void)clock_.restore_time(now_);
    const std::size_t clocks = in_.below(5), sessions = in_.below(5), uploads = in_.below(4),
                      entries = in_.below(12);
    for (std::size_t i = 0; i < clocks; ++i) clock(i);
    for (std::size_t i = 0; i < sessions; ++i) session(i);
    for (std::size_t i = 0; i < uploads; ++i) upload(i);
    std::string key = "/";
    for (std::size_t i = 0; i < entries; ++i) entry(key);
    (void)sessions_->restored();
    const std::uint64_t hash = mostly(in_, hash_ + sessions_->hash() + uploads_.hash() + clock_.hash());
    std::string head;
    put_tag(head, tag::header);
    put(head, static_cast<std::uint32_t>(mostly(in_, layout::version)));
    put(head, term_), put(head, index_), put(head, mostly(in_, index_));
    put(head, mostly(in_, static_cast<std::uint64_t>(now_)));
    put(head, mostly(in_, entries)), put(head, hash);
    for (const std::size_t n : {clocks, sessions, uploads})
      put(head, static_cast<std::uint32_t>(mostly(in_, n)));
    items_.insert(items_.begin(), head);
    std::string end;
    put_tag(end, tag::end);
    put(end, mostly(in_, hash));
    items_.push_back(end);
  }

  // The items in blocks of any size.
  std::vector<std::string> blocks() {
    if (in_.byte() == 255) std::swap(items_[in_.below(items_.size())], items_[in_.below(items_.size())]);
    std::vector<std::string> all;
    std::string block(layout::block_header_bytes, '\0');
    const auto close = [&] {
      detail::store_integer(block.data() + 4, static_cast<std::uint32_t>(mostly(in_, all.size())));
      detail::store_integer(block.data(), crc32c(std::string_view(block).substr(4)));
      all.push_back(block);
      block.assign(layout::block_header_bytes, '\0');
    };
    for (const std::string& item : items_) {
      block += item;
      if (in_.below(4) == 3) close();
    }
    if (block.size() > layout::block_header_bytes) close();
    if (in_.byte() == 255) {
      std::string& any = all[in_.below(all.size())];
      any[in_.below(any.size())] = static_cast<char>(in_.byte());
    }
    return all;
  }

 private:
  void clock(std::size_t i) {
    detail::log_clock::author_clock c{mostly(in_, i + 1), static_cast<std::int64_t>(mostly(in_, i)),
                                      mostly(in_, index_ - std::min<std::uint64_t>(index_, i))};
    (void)clock_.restore_author(c);
    std::string item;
    put_tag(item, tag::clock);
    put(item, c.author), put(item, static_cast<std::uint64_t>(c.offset)), put(item, c.used_by);
    items_.push_back(item);
  }

  void session(std::size_t i) {
    detail::session s;
    s.id = mostly(in_, 1 + i);
    s.time_to_live = static_cast<std::int64_t>(mostly(in_, 1000 * (1 + in_.byte())));
    s.used_at = now_ - static_cast<std::int64_t>(in_.byte()) * 100;
    s.used_at = s.used_at < 0 ? 0 : s.used_at;
    s.used_by = mostly(in_, std::min(index_, 1 + i + in_.byte()));
    s.acknowledged = in_.below(4);
    const std::size_t answers = in_.below(4);
    std::string item;
    put_tag(item, tag::session);
    put(item, s.id), put(item, static_cast<std::uint64_t>(s.time_to_live));
    put(item, static_cast<std::uint64_t>(s.used_at)), put(item, s.used_by), put(item, s.acknowledged);
    put(item, static_cast<std::uint32_t>(mostly(in_, answers)));
    for (std::size_t n = 0; n < answers; ++n) {
      detail::kept_answer a{mostly(in_, s.acknowledged + 1 + n),
                            {term_t(term_), log_index(mostly(in_, index_))},
                            in_.byte(),
                            static_cast<std::uint16_t>(in_.below(4) == 3 ? in_.word() : 0)};
      s.answers.push_back(a);
      put_tag(item, tag::answer);
      put(item, a.sequence), put(item, a.at.term.value()), put(item, a.at.index.value());
      put(item, a.previous_revision), put(item, a.code);
    }
    (void)sessions_->restore(s);
    items_.push_back(item);
  }

  void upload(std::size_t i) {
    detail::upload_image u;
    const std::string key = "/u" + std::string(in_.bytes(20)), value(1 + in_.below(60), 'u');
    u.author = node_id(in_.below(3));
    u.number = mostly(in_, 1 + i);
    u.used_at = std::min(now_, static_cast<std::int64_t>(i) * 1000);
    u.used_by = mostly(in_, std::min(index_, 1 + i));
    u.total = mostly(in_, value.size() + in_.below(50));
    u.key = key;
    const std::uint64_t filled = mostly(in_, value.size());
    std::string item;
    put_tag(item, tag::upload);
    put(item, u.author.value()), put(item, u.number), put(item, static_cast<std::uint64_t>(u.used_at));
    put(item, u.used_by), put(item, u.total), put(item, filled);
    put(item, static_cast<std::uint16_t>(mostly(in_, key.size())));
    item += key;
    const std::size_t here = in_.flip() ? value.size() : in_.below(value.size());
    item += value.substr(0, here);
    items_.push_back(item);
    more(std::string_view(value).substr(here));
    if (u.total > 10'000 || u.total < value.size() || !uploads_.restore(u)) return;
    uploads_.last().append(value);
  }

  void more(std::string_view rest) {
    while (!rest.empty()) {
      const std::string_view part = rest.substr(0, 1 + in_.below(rest.size()));
      std::string item;
      put_tag(item, tag::more);
      put(item, static_cast<std::uint32_t>(mostly(in_, part.size())));
      items_.push_back(item + std::string(part));
      rest.remove_prefix(part.size());
    }
  }

  void entry(std::string& key) {
    if (in_.flip()) key.resize(1 + in_.below(key.size()));
    key += static_cast<char>(1 + in_.below(255));
    key += in_.bytes(in_.byte() == 255 ? 500 : 10);
    const std::string value(in_.bytes(in_.byte() > 240 ? 2000 : 40));
    record::origin from;
    from.create_revision = mostly(in_, 1 + in_.byte() % index_);
    from.at = {term_t(mostly(in_, 1)), log_index(mostly(in_, from.create_revision))};
    from.key_version = mostly(in_, 1 + in_.byte());
    from.timestamp = static_cast<std::int64_t>(mostly(in_, 5));
    from.author = node_id(mostly(in_, 1));
    std::string item;
    put_tag(item, tag::entry);
    put(item, from.create_revision), put(item, from.at.index.value()), put(item, from.at.term.value());
    put(item, from.key_version), put(item, static_cast<std::uint64_t>(from.timestamp));
    put(item, from.author.value()), put(item, static_cast<std::uint16_t>(mostly(in_, key.size())));
    put(item, static_cast<std::uint32_t>(mostly(in_, value.size())));
    const std::size_t here = in_.flip() ? value.size() : in_.below(value.size() + 1);
    items_.push_back(item + key + value.substr(0, here));
    more(std::string_view(value).substr(here));
    if (!detail::is_valid_key(key)) return;
    const record* r = record::create(key, value, from, 1);
    hash_ += r->content_hash();
    r->release();
  }

  fuzz::input& in_;
  std::uint64_t index_ = 0, term_ = 0;
  std::int64_t now_ = 0;
  std::uint64_t hash_ = 0;  // of the keys
  detail::log_clock clock_;
  std::unique_ptr<detail::session_table> sessions_ = std::make_unique<detail::session_table>();
  detail::upload_table uploads_;
  std::vector<std::string> items_;
};

// The map that these blocks make, or nothing.
std::unique_ptr<map_state> loaded(const std::vector<std::string>& blocks) {
  snapshot_loader loader;
  const auto known = [](const failure& f) {
    fuzz::expect(f.code == make_error_code(errc::snapshot_damaged) ||
                     f.code == make_error_code(errc::format_unsupported),
                 "a stream is refused for what it is");
  };
  for (const std::string& block : blocks)
    if (const failure f = loader.feed(block)) return known(f), nullptr;
  auto state = loader.finish();
  if (!state) return known(state.error()), nullptr;
  auto map = std::make_unique<map_state>(history_limits{16, 4096});
  map->adopt(std::move(*state));
  return map;
}

std::vector<std::string> saved(const map_state& map) {
  std::vector<std::string> all;
  snapshot_encoder encoder(map.capture());
  for (std::string block; encoder.next(block);) all.push_back(block);
  return all;
}

// Commands on whatever sessions, uploads and keys there are: both maps answer alike.
void go_on(fuzz::input& in, map_state& one, map_state& two) {
  std::uint64_t index = one.read().revision();
  for (std::size_t n = 0; n < 20 && !in.empty(); ++n) {
    command_view c;
    c.kind = static_cast<command_kind>(1 + in.below(8));
    c.author = node_id(in.below(4));
    c.timestamp = static_cast<std::int64_t>(in.number(1'000'000'000));
    const bool writes = c.kind <= command_kind::compare_erase;
    if (writes || c.kind == command_kind::upload_piece) c.key = "/u";
    if (!writes || in.flip()) c.session = writes || c.kind == command_kind::session_close ? in.below(8) : 0;
    if (writes && c.session != 0) c.sequence = 1 + in.below(8);
    if (c.kind == command_kind::put && in.flip()) c.upload = 1 + in.below(4);
    if (c.kind == command_kind::session_keep_alive) c.session = 1 + in.below(6);
    if (c.kind == command_kind::session_open) c.time_to_live_ms = 1 + in.below(1000);
    if (c.kind == command_kind::upload_piece) {
      c.value = "piece";
      c.upload = 1 + in.below(4);
      c.offset = in.below(60);
      c.total_bytes = c.offset + 5 + in.below(20);
    }
    entry e;
    e.index = log_index(++index);
    e.term = term_t(9);
    e.type = entry_type::command;
    e.payload = encode(c);
    fuzz::expect(one.apply(e) == two.apply(e), "both answer alike");
    one.publish(), two.publish();
  }
  fuzz::expect(saved(one) == saved(two), "and are the same after it");
}

}  // namespace

FUZZ_TARGET(map_snapshot) {
  fuzz::input in(bytes);
  if (in.byte() == 255) return (void)loaded({std::string(in.bytes(2000)), std::string(in.rest())});
  const std::unique_ptr<map_state> map = loaded(stream_builder(in).blocks());
  if (!map) return;
  map->publish();
  const std::vector<std::string> blocks = saved(*map);
  const std::unique_ptr<map_state> again = loaded(blocks);
  fuzz::expect(again != nullptr, "what was loaded can be saved and loaded");
  again->publish();
  fuzz::expect(again->read().replica_hash() == map->read().replica_hash() && saved(*again) == blocks,
               "without a difference");
  go_on(in, *map, *again);
}
