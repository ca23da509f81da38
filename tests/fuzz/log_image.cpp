// Any bytes as the files of a log's directory. Most of them get right checksums, so that what stands behind
// the checksums is reached.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "fuzz/log_oracle.hpp"

namespace {

using namespace confman;
namespace format = log_format;

// Right most of the time, else close to it, or anything. `right` when the input is used up.
std::uint64_t mostly(fuzz::input& in, std::uint64_t right) {
  const std::uint8_t how = in.byte();
  if (how < 208) return right;
  if (how < 232) return right + how % 5 - 2;
  if (how < 240) return 0;
  if (how < 244) return ~std::uint64_t{0} - how % 2;
  if (how < 248) return highest_index.value() + how % 2;
  return in.word();
}

// Writes what a log would have written, as far as the input lets it.
class image_builder {
 public:
  explicit image_builder(fuzz::input& in) : in_(in), options_(confman_test::small_options()) {
    incarnation_ = options_.fresh_incarnation;
    put("LOCK", {});
    if (in.byte() == 255) start_ = anchor(in.number(1000));
    log_ = {start_};
    const std::size_t segments = 1 + in.below(4);
    const std::string identity = make_identity();
    for (std::size_t i = 0; i < segments; ++i) add_segment(i + 1 == segments);
    put("identity", identity);
    for (std::size_t more = in.below(8); more > 4; --more)
      put(std::string(in.bytes(30)), std::string(in.bytes()));
    for (std::size_t flips = in.below(8); flips > 5; --flips) flip();
  }
  [[nodiscard]] const confman_test::shared_image& files() const { return files_; }

 private:
  void put(const std::string& name, std::string bytes) {
    files_["data/" + name] = std::make_shared<const std::string>(std::move(bytes));
  }
  [[nodiscard]] format::anchor anchor(std::uint64_t index) const {
    return {log_index(index), term_t(1), chain_hash(index * 77)};
  }

  std::string make_identity() {
    format::identity who;
    who.cluster = cluster_id(mostly(in_, options_.cluster.value()));
    who.node = node_id(mostly(in_, options_.node.value()));
    who.group = group_id(mostly(in_, options_.group.value()));
    who.incarnation = incarnation_ = incarnation_id(mostly(in_, incarnation_.value()));
    who.boot = mostly(in_, 1);
    sequence_ = mostly(in_, 1);
    who.first_segment = mostly(in_, sequence_);
    frame_ = mostly(in_, 1);
    who.known_frame = mostly(in_, frame_ - 1);
    return format::encode(who);
  }

  void add_segment(bool last) {
    format::segment_header header;
    header.cluster = options_.cluster;
    header.node = options_.node;
    header.group = options_.group;
    header.incarnation = incarnation_id(mostly(in_, incarnation_.value()));
    header.sequence = mostly(in_, sequence_);
    const std::size_t size = format::segment_header_bytes + 8 * (6 + in_.below(300));
    header.capacity = mostly(in_, size);
    header.first_frame = mostly(in_, frame_);
    header.previous = before_seal_;
    header.state = {term_t(mostly(in_, state_.term.value())), state_.vote, state_.commit};
    header.base = log_.back();
    header.base.index = log_index(mostly(in_, header.base.index.value()));
    header.start = start_;
    std::string bytes = format::encode(header);
    link_ = header.checksum;
    first_ = true;
    for (std::size_t frames = in_.below(10); frames > 0; --frames) add_frame(bytes, size, make_body(), 0);
    if (last ? in_.byte() == 255 : in_.byte() != 255) add_frame(bytes, size, {}, format::frame_header::seal);
    bytes.resize(size);
    put(format::numbered_name("log-", sequence_++), std::move(bytes));
  }

  struct body {
    std::string bytes;
    std::uint32_t records = 0;
  };

  void add_frame(std::string& bytes, std::size_t size, body content, std::uint32_t flags) {
    content.bytes.resize(format::align(content.bytes.size()));
    const std::size_t at = bytes.size(), room = flags == 0 ? format::frame_header_bytes : 0;
    if (at + format::frame_header_bytes + content.bytes.size() + room > size) return;
    const std::uint32_t seed = format::place(incarnation_, sequence_).seed(at);
    format::frame_header header;
    header.number = mostly(in_, frame_++);
    header.synced = mostly(in_, header.number - 1 - std::min<std::uint64_t>(in_.below(3), header.number - 1));
    header.body_bytes = mostly(in_, content.bytes.size());
    header.previous = static_cast<std::uint32_t>(mostly(in_, link_));
    header.flags = static_cast<std::uint32_t>(mostly(in_, flags));
    header.records = static_cast<std::uint32_t>(mostly(in_, content.records));
    header.body_checksum = crc32c(content.bytes, seed);
    bytes.resize(at + format::frame_header_bytes);
    format::encode(bytes.data() + at, header, seed);
    bytes += content.bytes;
    before_seal_ = link_;
    link_ = header.checksum;
    if (flags != 0) before_seal_ = header.previous;
    first_ = false;
  }

  body make_body() {
    body made;
    for (std::size_t n = in_.below(6); made.records < n; ++made.records) add_record(made.bytes);
    return made;
  }

  void add_record(std::string& bytes) {
    const std::size_t at = bytes.size();
    switch (const std::uint8_t kind = in_.byte(); kind % 8) {
      case 4:
        bytes.resize(at + format::truncate_bytes);
        return truncate(bytes.data() + at);
      case 5:
        bytes.resize(at + format::state_bytes);
        state_ = {term_t(mostly(in_, state_.term.value() + kind / 128)), node_id(in_.below(4)),
                  log_index(in_.number(3))};
        return format::put_state(bytes.data() + at, state_);
      case 6:
        if (!first_ && kind < 250) return entry_record(bytes, at);
        bytes.resize(at + format::reset_bytes);
        start_ = anchor(mostly(in_, log_.back().index.value() + in_.below(5)));
        log_ = {start_};
        return format::put_reset(bytes.data() + at, {{start_.term, start_.index}, start_.hash});
      case 7:
        if (kind < 200) return entry_record(bytes, at);
        bytes.resize(at + format::record_head_bytes);
        format::put(bytes.data() + at, static_cast<std::uint32_t>(in_.number(8)));
        bytes[at + 4] = static_cast<char>(in_.byte());
        bytes += in_.bytes(40);
        return;
      default:
        return entry_record(bytes, at);
    }
  }

  void entry_record(std::string& bytes, std::size_t at) {
    const format::anchor before = log_.back();
    entry e;
    e.term = std::max(before.term, term_t(mostly(in_, state_.term.value())));
    e.index = log_index(mostly(in_, before.index.value() + 1));
    e.type = static_cast<entry_type>(mostly(in_, 1));
    e.payload = shared_bytes::copy(in_.bytes(60));
    e.hash = extend_chain(before.hash, e.term, static_cast<std::uint8_t>(e.type), e.payload.view());
    e.hash = chain_hash(mostly(in_, e.hash.value()));
    bytes.resize(at + format::entry_head_bytes);
    format::put_entry(bytes.data() + at, e);
    bytes += e.payload.view();
    log_.push_back({e.index, e.term, e.hash});
  }

  void truncate(char* at) {
    const std::size_t keep = log_.size() - in_.below(std::min<std::size_t>(log_.size(), 6));
    const std::uint64_t from = mostly(in_, log_[keep - 1].index.value() + 1);
    log_.resize(keep);
    format::put_truncate(at, log_index(from));
  }

  void flip() {
    auto it = files_.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(in_.below(files_.size())));
    if (it->second->empty()) return;
    std::string bytes = *it->second;
    char& c = bytes[in_.below(bytes.size())];
    c = static_cast<char>(c ^ in_.byte());
    it->second = std::make_shared<const std::string>(std::move(bytes));
  }

  fuzz::input& in_;
  log_options options_;
  confman_test::shared_image files_;
  incarnation_id incarnation_;
  std::uint64_t sequence_ = 1, frame_ = 1;
  std::uint32_t link_ = 0, before_seal_ = 0;
  hard_state state_{term_t(1), {}, {}};
  format::anchor start_;
  std::vector<format::anchor> log_;  // the place before the first entry, then each entry
  bool first_ = true;                // no frame in this segment yet
};

}  // namespace

FUZZ_TARGET(log_image) {
  fuzz::input in(bytes);
  const image_builder image(in);
  confman_test::image_file_system fs(image.files());
  log_options options = confman_test::small_options();
  options.segment_bytes = 1024;
  recovered_log found;
  auto opened = fuzz::image_log::open(fs, "data", options, found);
  if (!opened) return fuzz::check_refusal(opened.error(), fs);
  fuzz::check_opened(fs, options, std::move(*opened), found);
}
