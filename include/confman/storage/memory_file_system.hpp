// A file system in memory: gives what has no directory a place for its snapshots.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/storage/file_system.hpp"

namespace confman {

// NOT DURABLE: gone with the object. One thread at a time. Files that are removed or replaced stay readable
// for whoever has them open.
class memory_file_system {
 public:
  class file {
   public:
    file() = default;
    file(file&&) noexcept = default;
    file& operator=(file&&) noexcept = default;

   private:
    friend memory_file_system;
    explicit file(std::shared_ptr<std::string> bytes) : bytes_(std::move(bytes)) {}
    std::shared_ptr<std::string> bytes_;
  };

  [[nodiscard]] failure make_directory(const std::string&) { return {}; }
  [[nodiscard]] result<std::vector<std::string>> list_directory(const std::string& path) {
    std::vector<std::string> names;
    for (const auto& [name, bytes] : files_)
      if (name.size() > path.size() + 1 && name.compare(0, path.size(), path) == 0 &&
          name[path.size()] == '/')
        names.push_back(name.substr(path.size() + 1));
    return names;
  }
  [[nodiscard]] failure sync_directory(const std::string&) { return {}; }
  [[nodiscard]] result<file> open_file(const std::string& path, open_mode mode) {
    const auto it = files_.find(path);
    if (it != files_.end()) return file(it->second);
    if (mode == open_mode::existing)
      return failure(errc::storage_failed, "open " + path + ": there is no such file in memory");
    return file(files_[path] = std::make_shared<std::string>());
  }
  [[nodiscard]] failure rename(const std::string& from, const std::string& to) {
    const auto it = files_.find(from);
    if (it == files_.end())
      return {errc::storage_failed, "rename " + from + ": there is no such file in memory"};
    std::shared_ptr<std::string> bytes = std::move(it->second);
    files_.erase(it);
    files_[to] = std::move(bytes);
    return {};
  }
  [[nodiscard]] failure remove(const std::string& path) {
    if (files_.erase(path) != 0) return {};
    return {errc::storage_failed, "remove " + path + ": there is no such file in memory"};
  }
  [[nodiscard]] result<file> lock(const std::string& path) { return open_file(path, open_mode::create); }
  [[nodiscard]] result<std::uint64_t> size(file& f) { return std::uint64_t{f.bytes_->size()}; }
  [[nodiscard]] result<std::size_t> read(file& f, std::uint64_t offset, std::span<char> into) {
    const std::string& bytes = *f.bytes_;
    if (offset >= bytes.size()) return std::size_t{0};
    const std::size_t got = std::min(into.size(), bytes.size() - static_cast<std::size_t>(offset));
    std::memcpy(into.data(), bytes.data() + offset, got);
    return got;
  }
  [[nodiscard]] failure write(file& f, std::uint64_t offset, std::span<const std::string_view> pieces) {
    std::string& bytes = *f.bytes_;
    auto at = static_cast<std::size_t>(offset);
    for (const std::string_view piece : pieces) {
      if (bytes.size() < at + piece.size()) bytes.resize(at + piece.size());
      std::copy(piece.begin(), piece.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
      at += piece.size();
    }
    return {};
  }
  [[nodiscard]] failure zero_fill(file& f, std::uint64_t offset, std::uint64_t bytes) {
    const std::string zeros(static_cast<std::size_t>(bytes), '\0');
    const std::string_view piece(zeros);
    return write(f, offset, {&piece, 1});
  }
  [[nodiscard]] failure resize(file& f, std::uint64_t bytes) {
    f.bytes_->resize(static_cast<std::size_t>(bytes));
    return {};
  }
  [[nodiscard]] failure sync(file&) { return {}; }

 private:
  std::map<std::string, std::shared_ptr<std::string>> files_;
};

static_assert(file_system<memory_file_system>);

}  // namespace confman
