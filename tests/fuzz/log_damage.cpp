// The disk of a sound log, damaged as the input says: an open refuses it, or finds what the log once held and
// no less than what its identity file vouches for. (That single bytes cost nothing that was acknowledged,
// every one of them is tried in tests/storage/log_damage_test.cpp.)
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "fuzz/log_oracle.hpp"
#include "storage/log_image.hpp"

namespace {

using namespace confman;
using confman_test::log_image;
using confman_test::voided;

constexpr std::size_t sector = 512;

class damager {
 public:
  damager(fuzz::input& in, const log_image& image) : in_(in), image_(image), files_(image.files) {
    for (const auto& file : image.files)
      if (!file.first.ends_with("LOCK")) paths_.push_back(file.first);
  }

  confman_test::shared_image run() {
    for (std::size_t ops = 0; !in_.empty() && ops < 8; ++ops) one();
    return std::move(files_);
  }

 private:
  void one() {
    const std::uint8_t how = in_.byte();
    const std::string path = paths_[in_.below(paths_.size())];
    std::string bytes = files_.count(path) == 0 ? std::string() : *files_.at(path);
    const std::size_t at = in_.below(bytes.size() + 1), begin = at / sector * sector;
    const std::size_t part = std::min(sector, bytes.size() - begin);
    switch (how % 10) {
      case 0:
      case 1:
        // Three turned bits no CRC32C of a frame overlooks; more could make another valid frame in the end.
        if (at < bytes.size() && ++flips_ <= 3) bytes[at] = static_cast<char>(bytes[at] ^ (1 << how % 8));
        break;
      case 2:
        std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(begin), part, '\0');
        break;
      case 3:
        std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end(), '\0');
        break;
      case 4:
        bytes.resize(at);
        break;
      case 5:
        bytes.resize(bytes.size() + in_.below(2000), how < 128 ? '\0' : 'x');
        break;
      case 6:
        stale(path, bytes, begin, part);
        break;
      case 7:
        moved(bytes, begin, part);
        break;
      case 8:
        garbage(bytes, begin, part);
        break;
      default:
        return whole_file(how, path);
    }
    put(path, std::move(bytes));
  }

  // A write that was lost: the sector as it was before.
  void stale(const std::string& path, std::string& bytes, std::size_t begin, std::size_t part) {
    const auto before = image_.earlier.find(path);
    if (before == image_.earlier.end() || begin + part > before->second->size()) return;
    bytes.replace(begin, part, *before->second, begin, part);
  }
  // A write that went to the wrong place.
  void moved(std::string& bytes, std::size_t begin, std::size_t part) {
    const std::string& from = *image_.files.at(paths_[in_.below(paths_.size())]);
    const std::size_t start = in_.below(from.size() / sector + 1) * sector;
    if (start + part <= from.size()) bytes.replace(begin, part, from, start, part);
  }
  // The input chooses the seed only: it shall not learn to write checksums.
  void garbage(std::string& bytes, std::size_t begin, std::size_t part) {
    std::uint64_t state = in_.byte() + 1u;
    for (std::size_t i = 0; i < part; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      bytes[begin + i] = static_cast<char>(state >> 56);
    }
  }
  // Not of the identity file: without it, and without segments, a directory is a new one.
  void whole_file(std::uint8_t how, const std::string& path) {
    const std::string other = paths_[in_.below(paths_.size())];
    if (path == "data/identity" || files_.count(other) == 0) return;
    if (how < 100)
      files_.erase(path);
    else if (how < 200)
      files_[path] = files_.at(other);
    else
      files_["data/log-" + std::string(15, '0') + "0123456789abcdef"[how % 16]] = files_.at(other);
  }
  void put(const std::string& path, std::string bytes) {
    files_[path] = std::make_shared<const std::string>(std::move(bytes));
  }

  fuzz::input& in_;
  const log_image& image_;
  confman_test::shared_image files_;
  std::vector<std::string> paths_;
  int flips_ = 0;
};

void open_it(const log_image& image, const confman_test::shared_image& files) {
  confman_test::image_file_system fs(files);
  recovered_log found;
  auto opened = fuzz::image_log::open(fs, "data", image.options, found);
  if (!opened) return fuzz::check_refusal(opened.error(), fs);
  bool known = false;
  for (std::size_t i = image.known; i < image.history.size() && !known; ++i)
    known = found.entries == image.history[i].entries && found.state == image.history[i].state &&
            found.base == image.history[i].start.at;
  fuzz::expect(known, "what is found is what the log once held");
  fuzz::check_opened(fs, image.options, std::move(*opened), found);
}

}  // namespace

FUZZ_TARGET(log_damage) {
  static const log_image images[] = {confman_test::log_image_writer(2048, voided::freed).image(),
                                     confman_test::log_image_writer(2048, voided::there).image()};
  fuzz::input in(bytes);
  const log_image& image = images[in.below(2)];
  open_it(image, damager(in, image).run());
}
