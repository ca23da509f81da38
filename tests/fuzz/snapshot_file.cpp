// Any bytes as a snapshot file: found in a directory, and received in pieces from a peer. Both ways agree
// about it, and a file that was not damaged gives back what was put into it.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "confman/storage/memory_file_system.hpp"
#include "confman/storage/snapshot_store.hpp"
#include "fuzz/target.hpp"

namespace {

using namespace confman;
namespace format = confman::snapshot_format;
using file_system_type = memory_file_system;
using store_type = snapshot_store<file_system_type>;

struct made_file {
  version at;
  std::uint64_t digest = 0;
  std::string bytes;
  std::vector<std::string> blocks;
  bool sound = true;  // made as the writer makes it
};

class file_builder {
 public:
  explicit file_builder(fuzz::input& in) : in_(in) {}

  made_file run() {
    const std::uint8_t how = in_.byte();
    made_file made;
    if (how == 255) {
      made.bytes = in_.rest();
      made.sound = false;
      return made;
    }
    header(made, how);
    format::footer foot;
    format::content_digest digest;
    digest.add(made.bytes);
    for (std::size_t n = in_.below(6); n > 0; --n) block(made, foot, digest);
    foot.digest = digest.value();
    change(made, foot.blocks), change(made, foot.raw_bytes), change(made, foot.digest);
    made.digest = foot.digest;
    made.bytes += format::encode(foot);
    for (std::size_t flips = in_.below(8); flips > 6; --flips) {
      char& c = made.bytes[in_.below(made.bytes.size())];
      const char was = c;
      c = static_cast<char>(c ^ in_.byte());
      made.sound = made.sound && c == was;
    }
    if (in_.byte() == 255) made.bytes.resize(in_.below(made.bytes.size())), made.sound = false;
    return made;
  }

 private:
  template <class Number>
  void change(made_file& made, Number& value) {
    const std::uint8_t how = in_.byte();
    if (how < 240) return;
    const auto was = value;
    value = static_cast<Number>(how < 248 ? value + how - 244 : in_.word());
    made.sound = made.sound && value == was;
  }

  void header(made_file& made, std::uint8_t how) {
    format::header head;
    head.cluster = cluster_id(how == 254 ? 8 : 7);
    head.group = group_id(how == 253 ? 1 : 3);
    if (how % 4 == 1 && zstd_available()) head.compressed = format::compression::zstd;
    head.meta.at = {term_t(in_.number(3)), log_index(in_.number(9))};
    head.meta.hash = chain_hash(in_.byte());
    for (std::size_t n = 1 + in_.below(3), id = 1; n > 0; --n, ++id)
      head.meta.members.incoming.push_back(
          {node_id(id), incarnation_id(in_.byte()), std::string(in_.bytes(20))});
    head.meta.members_at = log_index(std::min(in_.number(1), head.meta.at.index.value()));
    made.at = head.meta.at;
    compressed_ = head.compressed == format::compression::zstd;
    if (auto bytes = format::encode(head)) {
      made.bytes = *std::move(bytes);
      made.sound = how < 253;
    } else {
      made.sound = false;
    }
  }

  void block(made_file& made, format::footer& foot, format::content_digest& digest) {
    const std::uint8_t how = in_.byte();
    std::string raw(in_.bytes(how < 128 ? 60 : 1000));
    if (raw.empty()) raw = "x";
    if (how % 8 == 7) raw.resize(raw.size() * (how == 127 ? 3000 : 30), 'r');
    raw.resize(std::min(raw.size(), format::max_block_bytes));
    std::string stored = raw, shorter;
    if (compressed_ && how % 4 != 3 && compress_block(raw, shorter)) stored = shorter;
    format::block_head head;
    head.raw_bytes = static_cast<std::uint32_t>(raw.size());
    head.stored_bytes = static_cast<std::uint32_t>(stored.size());
    // Bytes that a decompressor has to survive.
    if (compressed_ && how >= 240) stored[in_.below(stored.size())] = static_cast<char>(in_.byte());
    if (how >= 240) made.sound = false;
    change(made, head.raw_bytes), change(made, head.stored_bytes);
    char bytes[format::block_head_bytes];
    format::encode(bytes, head, foot.blocks, stored);
    made.bytes.append(bytes, sizeof bytes) += stored;
    made.blocks.push_back(raw);
    digest.add(stored);
    ++foot.blocks;
    foot.raw_bytes += raw.size();
  }

  fuzz::input& in_;
  bool compressed_ = false;
};

snapshot_options options() {
  snapshot_options o;
  o.cluster = cluster_id(7);
  o.group = group_id(3);
  o.sync_bytes = 512;
  return o;
}

void check_error(const failure& f) {
  const auto is = [&f](errc code) { return f.code == make_error_code(code); };
  fuzz::expect(is(errc::snapshot_damaged) || is(errc::format_unsupported) || is(errc::wrong_cluster),
               "a file that is refused is refused for what it is");
}

// The blocks, if all of them are sound.
std::optional<std::vector<std::string>> load(store_type& store, version at) {
  auto reader = store.read(at);
  if (!reader) return check_error(reader.error()), std::nullopt;
  std::vector<std::string> blocks;
  for (std::string block;;) {
    const result<bool> more = reader->next_block(block);
    if (!more) return check_error(more.error()), std::nullopt;
    if (!*more) return blocks;
    fuzz::expect(block.size() <= format::max_block_bytes, "a block keeps its bound");
    blocks.push_back(block);
  }
}

std::optional<std::vector<std::string>> found(const made_file& made) {
  file_system_type fs;
  auto file = fs.open_file("data/" + format::file_name(made.at), open_mode::create);
  const std::string_view whole = made.bytes;
  fuzz::expect(file && !fs.write(*file, 0, {&whole, 1}), "memory takes it");
  auto store = store_type::open(fs, "data", options());
  if (!store) return check_error(store.error()), std::nullopt;
  for (const failure& f : store->damaged()) check_error(f);
  if (store->newest() == nullptr) return std::nullopt;
  fuzz::expect(store->newest()->meta.at == made.at && store->newest()->bytes == made.bytes.size(),
               "what is kept is what its name says");
  return load(*store, made.at);
}

std::optional<std::vector<std::string>> received(fuzz::input& in, const made_file& made) {
  file_system_type fs;
  auto store = store_type::open(fs, "data", options());
  fuzz::expect(static_cast<bool>(store), "an empty store opens");
  for (int attempts = 0; attempts < 3; ++attempts) {
    auto receiver = store->receive(made.at, made.digest, made.bytes.size());
    if (!receiver) {
      fuzz::expect(receiver.error().code == make_error_code(errc::bad_frame) || made.bytes.size() >= 80,
                   "only an impossible size is refused at once");
      return std::nullopt;
    }
    fuzz::expect(receiver->next() <= made.bytes.size(), "a part is no longer than the whole");
    while (receiver->next() < made.bytes.size()) {
      const std::size_t piece = 1 + in.below(3000) * (made.bytes.size() / 20'000 + 1),
                        at = static_cast<std::size_t>(receiver->next());
      if (in.byte() == 255) break;  // the connection is lost
      fuzz::expect(static_cast<bool>(receiver->write(at + 1, "x")), "a piece elsewhere is refused");
      if (const failure f = receiver->write(at, std::string_view(made.bytes).substr(at, piece)))
        return check_error(f), std::nullopt;
    }
    if (receiver->next() < made.bytes.size()) continue;
    const auto done = receiver->finish();
    if (!done) return check_error(done.error()), std::nullopt;
    return load(*store, made.at);
  }
  return std::nullopt;
}

}  // namespace

FUZZ_TARGET(snapshot_file) {
  fuzz::input in(bytes);
  const made_file made = file_builder(in).run();
  const auto first = found(made), second = received(in, made);
  fuzz::expect(!second || second == first, "what is received is what is found");
  fuzz::expect(!made.sound || first == made.blocks, "a sound file gives back what was put into it");
}
