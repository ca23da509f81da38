// A disk that begins as an image and shares its bytes: tests that open thousands of damaged images copy none.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/storage/file_system.hpp"

namespace confman_test {

// Paths to contents, shared by every disk made of it.
using shared_bytes_of_file = std::shared_ptr<const std::string>;
using shared_image = std::map<std::string, shared_bytes_of_file>;

// Files are copied when they are written to. Whatever changes a file or a name is counted. Nothing fails. One
// thread at a time.
class image_file_system {
  using bytes_ptr = shared_bytes_of_file;

 public:
  class file {
   public:
    file() = default;
    file(file&&) noexcept = default;
    file& operator=(file&&) noexcept = default;

   private:
    friend image_file_system;
    explicit file(std::shared_ptr<bytes_ptr> place) : place_(std::move(place)) {}
    std::shared_ptr<bytes_ptr> place_;
  };

  image_file_system() = default;
  explicit image_file_system(const shared_image& image) {
    for (const auto& [path, bytes] : image) files_[path] = std::make_shared<bytes_ptr>(bytes);
  }

  // Effects so far: syncs don't count.
  std::uint64_t changes = 0;

  // A file of this content instead of what is there.
  void put(const std::string& path, bytes_ptr bytes) {
    files_[path] = std::make_shared<bytes_ptr>(std::move(bytes));
  }
  [[nodiscard]] shared_image image() const {
    shared_image all;
    for (const auto& [path, place] : files_) all[path] = *place;
    return all;
  }

  // ---- the file_system concept
  [[nodiscard]] confman::failure make_directory(const std::string&) { return {}; }
  [[nodiscard]] confman::result<std::vector<std::string>> list_directory(const std::string& path) {
    std::vector<std::string> found;
    for (const auto& entry : files_)
      if (entry.first.size() > path.size() + 1 && entry.first.starts_with(path) &&
          entry.first[path.size()] == '/')
        found.push_back(entry.first.substr(path.size() + 1));
    return found;
  }
  [[nodiscard]] confman::failure sync_directory(const std::string&) { return {}; }
  [[nodiscard]] confman::result<file> open_file(const std::string& path, confman::open_mode mode) {
    const auto found = files_.find(path);
    if (found != files_.end()) return file(found->second);
    if (mode == confman::open_mode::existing)
      return confman::failure(confman::errc::storage_failed, "open " + path + ": no such file");
    ++changes;
    return file(files_[path] = std::make_shared<bytes_ptr>(std::make_shared<std::string>()));
  }
  [[nodiscard]] confman::failure rename(const std::string& from, const std::string& to) {
    const auto found = files_.find(from);
    if (found == files_.end()) return {confman::errc::storage_failed, "rename " + from + ": no such file"};
    ++changes;
    const std::shared_ptr<bytes_ptr> moved = found->second;
    files_.erase(found);
    files_[to] = moved;
    return {};
  }
  [[nodiscard]] confman::failure remove(const std::string& path) {
    ++changes;
    if (files_.erase(path) != 0) return {};
    return {confman::errc::storage_failed, "remove " + path + ": no such file"};
  }
  [[nodiscard]] confman::result<file> lock(const std::string& path) {
    return open_file(path, confman::open_mode::create);
  }
  [[nodiscard]] confman::result<std::uint64_t> size(file& f) { return std::uint64_t{(*f.place_)->size()}; }
  [[nodiscard]] confman::result<std::size_t> read(file& f, std::uint64_t offset, std::span<char> into) {
    const std::string& bytes = **f.place_;
    if (offset >= bytes.size()) return std::size_t{0};
    const std::size_t got = std::min(into.size(), bytes.size() - static_cast<std::size_t>(offset));
    std::copy_n(bytes.data() + offset, got, into.data());
    return got;
  }
  [[nodiscard]] confman::failure write(file& f, std::uint64_t offset,
                                       std::span<const std::string_view> pieces) {
    std::string& bytes = writable(f);
    auto at = static_cast<std::size_t>(offset);
    for (const std::string_view piece : pieces) {
      if (bytes.size() < at + piece.size()) bytes.resize(at + piece.size());
      std::copy(piece.begin(), piece.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
      at += piece.size();
    }
    return {};
  }
  [[nodiscard]] confman::failure zero_fill(file& f, std::uint64_t offset, std::uint64_t count) {
    std::string& bytes = writable(f);
    bytes.resize(std::max<std::size_t>(bytes.size(), static_cast<std::size_t>(offset + count)));
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), count, '\0');
    return {};
  }
  [[nodiscard]] confman::failure resize(file& f, std::uint64_t count) {
    writable(f).resize(static_cast<std::size_t>(count));
    return {};
  }
  [[nodiscard]] confman::failure sync(file&) { return {}; }

 private:
  std::string& writable(file& f) {
    ++changes;
    auto own = std::make_shared<std::string>(**f.place_);
    std::string& bytes = *own;
    *f.place_ = std::move(own);
    return bytes;
  }

  std::map<std::string, std::shared_ptr<bytes_ptr>> files_;
};

static_assert(confman::file_system<image_file_system>);

}  // namespace confman_test
