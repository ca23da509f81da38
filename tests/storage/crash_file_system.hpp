// A disk in memory that can lose power: every file has a volatile and a durable image.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/storage/file_system.hpp"

namespace confman_test {

using confman::errc;
using confman::failure;
using confman::open_mode;
using confman::result;

// Paths to contents: what a disk holds.
using disk_image = std::map<std::string, std::string>;

// Sectors of 512 bytes survive a loss of power one by one unless they were synced; so do a changed size and
// each name changed since the last directory sync. A failed sync, of a file or directory, behaves as on
// Linux: what was to be written stays readable but is clean from then on, so that a later sync doesn't write
// it.
class crash_file_system {
  struct node {
    std::string current;
    std::string durable;
    std::set<std::size_t> dirty;  // sectors
  };
  using names = std::map<std::string, std::shared_ptr<node>>;

 public:
  static constexpr std::size_t sector = 512;

  class file {
   public:
    file() = default;
    file(file&&) = default;
    file& operator=(file&&) = default;

   private:
    friend crash_file_system;
    std::shared_ptr<node> node_;
    std::string path_;
    std::shared_ptr<int> lock_;
  };

  crash_file_system() = default;
  explicit crash_file_system(const disk_image& image) {
    for (const auto& [path, bytes] : image) {
      auto n = std::make_shared<node>();
      n->current = n->durable = bytes;
      current_[path] = n;
    }
    durable_ = current_;
  }

  // Faults. Effects are the calls that change something, counted from 1.
  std::uint64_t effects = 0;
  std::uint64_t dies_at = ~std::uint64_t{0};  // from this effect on every call fails: the process is gone
  std::uint64_t failing_sync = 0;             // counts down: the sync that reaches 0 fails
  std::uint64_t failing_directory_sync = 0;   // the same, of directories only
  std::uint64_t space = ~std::uint64_t{0};    // bytes that all files together may take
  std::string unreadable;                     // reads of this path fail
  std::function<bool()> dying_write_lands = [] { return true; };
  std::uint64_t syncs = 0, writes = 0;

  // The power goes off: each thing not synced survives if `coin` says so. The process is gone too.
  void lose_power(const std::function<bool()>& coin) {
    for (const auto& change : pending_)
      if (coin()) change(durable_);
    pending_.clear();
    lost_.clear();
    std::set<node*> nodes;
    for (const auto* map : {&current_, &durable_})
      for (const auto& entry : *map) nodes.insert(entry.second.get());
    for (node* n : nodes) n->durable = survivor(*n, coin);
    for (node* n : nodes) {
      n->current = n->durable;
      n->dirty.clear();
    }
    current_ = durable_;
    dies_at = ~std::uint64_t{0};
    locks_.clear();
  }

  // The process is killed; the kernel keeps what it was given. The next one's sync of a directory makes
  // durable what a failed one of this process has left; a disk can be worse.
  void kill() {
    pending_.insert(pending_.begin(), lost_.begin(), lost_.end());
    lost_.clear();
    dies_at = ~std::uint64_t{0};
    locks_.clear();
  }

  [[nodiscard]] disk_image image() const {
    disk_image all;
    for (const auto& [path, n] : current_) all[path] = n->current;
    return all;
  }

  // ---- the file_system concept
  failure make_directory(const std::string& path) {
    directories_.insert(path);
    return {};
  }
  result<std::vector<std::string>> list_directory(const std::string& path) {
    std::vector<std::string> found;
    for (const auto& entry : current_)
      if (entry.first.rfind(path + "/", 0) == 0) found.push_back(entry.first.substr(path.size() + 1));
    return found;
  }
  failure sync_directory(const std::string& path) {
    if (failure f = effect("sync directory", path)) return f;
    failure f = failed_sync(path);
    if (failing_directory_sync != 0 && --failing_directory_sync == 0)
      f = error("sync directory", path, "Input/output error");
    if (f) {
      lost_.insert(lost_.end(), pending_.begin(), pending_.end());
      pending_.clear();
      return f;
    }
    for (const auto& change : pending_) change(durable_);
    pending_.clear();
    return {};
  }
  result<file> open_file(const std::string& path, open_mode mode) {
    if (current_.count(path) == 0) {
      if (mode == open_mode::existing) return error("open", path, "no such file");
      if (failure f = effect("create", path)) return f;
      const auto created = std::make_shared<node>();
      change([path, created](names& all) { all[path] = created; });
    }
    file f;
    f.node_ = current_[path];
    f.path_ = path;
    return result<file>(std::move(f));
  }
  failure rename(const std::string& from, const std::string& to) {
    if (failure f = effect("rename", from)) return f;
    if (current_.count(from) == 0) return error("rename", from, "no such file");
    const auto moved = current_[from];
    change([from, to, moved](names& all) {
      const auto it = all.find(from);
      if (it != all.end() && it->second == moved) all.erase(it);
      all[to] = moved;
    });
    return {};
  }
  failure remove(const std::string& path) {
    if (failure f = effect("remove", path)) return f;
    if (current_.count(path) == 0) return error("remove", path, "no such file");
    const auto removed = current_[path];
    change([path, removed](names& all) {
      const auto it = all.find(path);
      if (it != all.end() && it->second == removed) all.erase(it);
    });
    return {};
  }
  result<file> lock(const std::string& path) {
    result<file> f = open_file(path, open_mode::create);
    if (!f) return f;
    if (!locks_[path].expired()) return failure(errc::directory_in_use, path + " is locked");
    f->lock_ = std::make_shared<int>(0);
    locks_[path] = f->lock_;
    return f;
  }
  result<std::uint64_t> size(file& f) { return std::uint64_t{f.node_->current.size()}; }
  result<std::size_t> read(file& f, std::uint64_t offset, std::span<char> into) {
    if (f.path_ == unreadable) return error("read", f.path_, "Input/output error");
    const std::string& bytes = f.node_->current;
    if (offset >= bytes.size()) return std::size_t{0};
    const std::size_t count = std::min<std::size_t>(into.size(), bytes.size() - offset);
    std::copy_n(bytes.data() + offset, count, into.data());
    return count;
  }
  failure write(file& f, std::uint64_t offset, std::span<const std::string_view> pieces) {
    ++writes;
    std::string all;
    for (const std::string_view piece : pieces) all += piece;
    return put(f, offset, all);
  }
  failure zero_fill(file& f, std::uint64_t offset, std::uint64_t bytes) {
    return put(f, offset, std::string(bytes, '\0'));
  }
  failure resize(file& f, std::uint64_t bytes) {
    if (failure e = effect("resize", f.path_)) return e;
    f.node_->current.resize(bytes);
    return {};
  }
  failure sync(file& f) {
    if (failure e = effect("sync", f.path_)) return e;
    ++syncs;
    node& n = *f.node_;
    if (failure e = failed_sync(f.path_)) {
      n.dirty.clear();
      return e;
    }
    n.durable.resize(n.current.size());
    for (const std::size_t s : n.dirty) copy_sector(n, n.durable, s);
    n.dirty.clear();
    return {};
  }

 private:
  static failure error(const char* operation, const std::string& path, const char* reason) {
    return {errc::storage_failed, std::string(operation) + " " + path + ": " + reason};
  }
  failure effect(const char* operation, const std::string& path) {
    return ++effects >= dies_at ? error(operation, path, "the process is dead") : failure{};
  }
  failure failed_sync(const std::string& path) {
    if (failing_sync == 0 || --failing_sync != 0) return {};
    return error("sync", path, "Input/output error");
  }
  void change(const std::function<void(names&)>& what) {
    what(current_);
    pending_.push_back(what);
  }
  [[nodiscard]] std::uint64_t used() const {
    std::uint64_t all = 0;
    for (const auto& entry : current_) all += entry.second->current.size();
    return all;
  }
  failure put(file& f, std::uint64_t offset, const std::string& bytes) {
    const failure dead = effect("write", f.path_);
    if (dead && (effects != dies_at || !dying_write_lands())) return dead;
    std::string& content = f.node_->current;
    const std::uint64_t end = offset + bytes.size();
    if (end > content.size() && used() + (end - content.size()) > space)
      return error("write", f.path_, "No space left on device; free space");
    if (end > content.size()) content.resize(end);
    std::copy(bytes.begin(), bytes.end(), content.begin() + static_cast<std::ptrdiff_t>(offset));
    for (std::size_t s = offset / sector; s * sector < end; ++s) f.node_->dirty.insert(s);
    return dead;
  }
  static void copy_sector(const node& n, std::string& to, std::size_t s) {
    const std::size_t from = s * sector;
    if (from >= n.current.size() || from >= to.size()) return;
    const std::size_t count = std::min({sector, n.current.size() - from, to.size() - from});
    std::copy_n(n.current.data() + from, count, to.data() + from);
  }
  static std::string survivor(const node& n, const std::function<bool()>& coin) {
    std::string left = n.durable;
    if (n.current.size() != left.size() && coin()) left.resize(n.current.size());
    for (const std::size_t s : n.dirty)
      if (coin()) copy_sector(n, left, s);
    return left;
  }

  names current_, durable_;
  std::vector<std::function<void(names&)>> pending_;
  std::vector<std::function<void(names&)>> lost_;  // by a failed sync: a later one doesn't make them durable
  std::map<std::string, std::weak_ptr<int>> locks_;
  std::set<std::string> directories_;
};

static_assert(confman::file_system<crash_file_system>);

}  // namespace confman_test
