// The files of one log: who the directory belongs to, its segments, and spare segments for reuse.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/mutants.hpp"
#include "confman/storage/file_system.hpp"
#include "confman/storage/log_format.hpp"
#include "confman/storage/log_options.hpp"

namespace confman {

// Used by log<FileSystem> only. One thread at a time.
template <file_system FileSystem>
class log_directory {
 public:
  using file = typename FileSystem::file;

  log_directory(FileSystem& fs, std::string path, const log_options& options)
      : fs_(&fs), path_(std::move(path)), options_(options) {}

  // Locks the directory and checks or creates its identity. Changes nothing in a directory that isn't ours.
  [[nodiscard]] failure claim() {
    if (failure f = check_options()) return f;
    if (failure f = fs_->make_directory(path_)) return f;
    if (result<bool> ours = read_identity(); !ours) return ours.error();
    result<file> lock = fs_->lock(name(log_format::lock_name));
    if (!lock) return lock.error();
    lock_ = std::move(*lock);
    const result<bool> ours =
        read_identity();  // again: before the lock another process could have changed it
    if (!ours) return ours.error();
    // What was read may be in the page cache only, the disk still holding an older identity or none: it has
    // to be durable before anything is built on it or removed because of it.
    if (*ours) return fs_->sync_directory(path_);
    log_format::identity who;
    who.cluster = options_.cluster;
    who.node = options_.node;
    who.group = options_.group;
    who.incarnation = options_.fresh_incarnation;
    return save(who);
  }

  [[nodiscard]] const log_format::identity& who() const noexcept { return who_; }

  // Replaces the identity file, durably: after a crash the old one or the new one is found.
  [[nodiscard]] failure save(const log_format::identity& who) {
    const std::string aside = name(log_format::new_identity_name);
    {
      result<file> f = fs_->open_file(aside, open_mode::create);
      if (!f) return f.error();
      if (failure e = fs_->resize(*f, 0)) return e;
      const std::string bytes = log_format::encode(who);
      const std::string_view piece = bytes;
      if (failure e = fs_->write(*f, 0, {&piece, 1})) return e;
      if (!CONFMAN_MUTANT(identity_not_synced))
        if (failure e = fs_->sync(*f)) return e;
    }
    if (failure e = fs_->rename(aside, name(log_format::identity_name))) return e;
    if (!CONFMAN_MUTANT(identity_name_not_synced))
      if (failure e = fs_->sync_directory(path_)) return e;
    who_ = who;
    return {};
  }

  // Sequence numbers of all segment files, ascending.
  [[nodiscard]] result<std::vector<std::uint64_t>> segments() { return numbered(segment_prefix); }

  // Removes what earlier runs left behind: segments up to `last`, and spares, which may exist in the page
  // cache only, if a sync failed.
  [[nodiscard]] failure remove_leftovers(std::uint64_t last) {
    const auto old = segments();
    const auto spares = numbered(spare_prefix);
    if (CONFMAN_MUTANT(leftovers_kept)) return {};
    if (!old) return old.error();
    if (!spares) return spares.error();
    for (const std::uint64_t sequence : *old)
      if (sequence <= last)
        if (failure f = fs_->remove(segment_path(sequence))) return f;
    for (const std::uint64_t number : *spares)
      if (failure f = fs_->remove(spare_path(number))) return f;
    return {};
  }

  // Makes a segment and opens it. When this returns, its blocks, header and name are durable.
  [[nodiscard]] result<file> create_segment(log_format::segment_header& header) {
    const result<std::string> aside = take_spare(header.capacity);
    if (!aside) return aside.error();
    {
      result<file> f = fs_->open_file(*aside, open_mode::existing);
      if (!f) return f.error();
      const std::string bytes = log_format::encode(header);
      const std::string_view piece = bytes;
      if (failure e = fs_->write(*f, 0, {&piece, 1})) return e;
      if (!CONFMAN_MUTANT(segment_header_not_synced))
        if (failure e = fs_->sync(*f)) return e;
    }
    if (failure e = fs_->rename(*aside, segment_path(header.sequence))) return e;
    if (!CONFMAN_MUTANT(segment_name_not_synced))
      if (failure e = fs_->sync_directory(path_)) return e;
    return open_segment(header.sequence);
  }

  [[nodiscard]] result<file> open_segment(std::uint64_t sequence) {
    return fs_->open_file(segment_path(sequence), open_mode::existing);
  }

  // Keeps the file for reuse, or removes it. The segment must not count any more (identity.first_segment).
  [[nodiscard]] failure recycle(std::uint64_t sequence, std::uint64_t capacity) {
    if (capacity != options_.segment_bytes || spares_.size() >= options_.recycled_segments)
      return fs_->remove(segment_path(sequence));
    if (failure f = fs_->rename(segment_path(sequence), spare_path(next_spare_))) return f;
    spares_.push_back(next_spare_++);
    return {};
  }

  // Zero-fills the next segment up to `target` bytes, at most `step` of them now. A failure (a full disk) is
  // not one of the log: nothing is tried again until the segment is needed.
  void prepare(std::uint64_t target, std::uint64_t step) {
    if (!preparable()) return;
    target = std::min(target, options_.segment_bytes);
    if (filled_ >= target) return;
    if (failure f = fill(std::min(step, target - filled_))) abandon();
  }

  // True when prepare() has something left to do.
  [[nodiscard]] bool preparable() const noexcept {
    return options_.prepare_ahead && spares_.empty() && !preparation_failed_;
  }

  [[nodiscard]] std::string segment_path(std::uint64_t sequence) const {
    return name(log_format::numbered_name(segment_prefix, sequence));
  }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  static constexpr std::string_view segment_prefix = "log-";
  static constexpr std::string_view spare_prefix = "spare-";

  [[nodiscard]] std::string name(std::string_view file_name) const {
    return path_ + '/' + std::string(file_name);
  }
  [[nodiscard]] std::string spare_path(std::uint64_t number) const {
    return name(log_format::numbered_name(spare_prefix, number));
  }

  [[nodiscard]] failure check_options() const {
    const auto bad = [](const char* what) {
      return failure(errc::bad_option, std::string("log_options: ") + what);
    };
    if (path_.empty()) return bad("the directory is empty; name one for this node alone");
    if (!options_.cluster) return bad("cluster is 0; use the cluster's id");
    if (!options_.node) return bad("node is 0; ids begin at 1");
    if (!options_.fresh_incarnation) return bad("fresh_incarnation is 0; draw it at random");
    if (options_.segment_bytes < 1024 || options_.segment_bytes > std::uint64_t{1} << 30 ||
        options_.segment_bytes % log_format::alignment != 0)
      return bad("segment_bytes must be a multiple of 8 from 1 KiB to 1 GiB");
    if (options_.max_entry_bytes > (std::uint64_t{4} << 30) - 1024)
      return bad("max_entry_bytes must be at most 4 GiB - 1 KiB");
    if (options_.begin_at && options_.begin_at->at.index > highest_index)
      return bad("begin_at is a place that no log gets to");
    return {};
  }

  // True when the directory has our identity (then in who_), false when it is new, a failure when it isn't
  // ours.
  [[nodiscard]] result<bool> read_identity() {
    const result<std::vector<std::string>> names = fs_->list_directory(path_);
    if (!names) return names.error();
    if (std::find(names->begin(), names->end(), log_format::identity_name) == names->end()) {
      if (failure f = check_new(*names)) return f;
      return false;
    }
    const std::string path = name(log_format::identity_name);
    std::string bytes(log_format::identity_limit + 1, '\0');
    result<file> f = fs_->open_file(path, open_mode::existing);
    if (!f) return f.error();
    const result<std::size_t> got = fs_->read(*f, 0, {bytes.data(), bytes.size()});
    if (!got) return got.error();
    bytes.resize(*got);
    log_format::identity found;
    std::uint32_t version = 0;
    switch (log_format::decode(bytes, found, version)) {
      case log_format::decoded::good:
        break;
      case log_format::decoded::damaged:
        return failure(errc::log_damaged,
                       path + " (" + std::to_string(bytes.size()) +
                           " bytes) is damaged or not confman's. Nothing was changed. If this is "
                           "the node's directory, put back this file from a copy, or remove the "
                           "member and let it join again with an empty directory; else choose another "
                           "directory");
      case log_format::decoded::other_version:
        return failure(errc::format_unsupported,
                       path + " has format version " + std::to_string(version) +
                           ", this build reads version " + std::to_string(log_format::version) +
                           ". Nothing was changed. Start the confman that wrote it");
    }
    if (failure mismatch = check_owner(found)) return mismatch;
    who_ = found;
    return true;
  }

  [[nodiscard]] failure check_new(const std::vector<std::string>& names) const {
    for (const std::string& n : names) {
      if (log_format::parse_name(segment_prefix, n))
        return {errc::log_damaged, path_ + " holds the log segment " + n + " but no file '" +
                                       log_format::identity_name +
                                       "'. Nothing was changed. Restore that file from a "
                                       "copy of the directory, or let the node join again as a new member"};
      if (options_.begin_at && n.rfind(log_format::snapshot_prefix, 0) == 0) continue;
      if (n != log_format::lock_name && n != log_format::new_identity_name && n != "lost+found")
        return {errc::bad_option, path_ + " is no confman data directory and holds other files (" + n +
                                      "). Nothing was changed. Choose an empty or new directory"};
    }
    return {};
  }

  [[nodiscard]] failure check_owner(const log_format::identity& found) const {
    const auto differs = [this](errc code, const char* what, std::uint64_t theirs, std::uint64_t ours,
                                const char* where) {
      return failure(code, path_ + " belongs to " + what + " " + std::to_string(theirs) +
                               ", this node is set up as " + what + " " + std::to_string(ours) +
                               ". Nothing was changed. " + where + ", or choose another directory");
    };
    if (found.cluster != options_.cluster)
      return differs(
          errc::wrong_cluster, "cluster", found.cluster.value(), options_.cluster.value(),
          "The number comes from options.cluster, or from options.members where that is empty: set "
          "them to what they were");
    if (found.group != options_.group)
      return differs(errc::wrong_cluster, "group", found.group.value(), options_.group.value(),
                     "Start what wrote it");
    if (found.node != options_.node)
      return differs(errc::wrong_node, "node", found.node.value(), options_.node.value(),
                     "The id is options.self: correct it");
    return {};
  }

  [[nodiscard]] result<std::vector<std::uint64_t>> numbered(std::string_view prefix) {
    const result<std::vector<std::string>> names = fs_->list_directory(path_);
    if (!names) return names.error();
    std::vector<std::uint64_t> found;
    for (const std::string& n : *names)
      if (const auto number = log_format::parse_name(prefix, n)) found.push_back(*number);
    std::sort(found.begin(), found.end());
    return found;
  }

  // The path of a file of `capacity` bytes that is free for use.
  [[nodiscard]] result<std::string> take_spare(std::uint64_t capacity) {
    if (capacity != options_.segment_bytes) return make_large(capacity);
    if (spares_.empty()) {
      if (failure f = fill(options_.segment_bytes - filled_)) {
        abandon();
        return f;
      }
    }
    preparation_failed_ = false;
    const std::uint64_t number = spares_.back();
    spares_.pop_back();
    return spare_path(number);
  }

  // Not zero-filled: it is written once, in one piece, so that this would only double the work.
  [[nodiscard]] result<std::string> make_large(std::uint64_t capacity) {
    std::string path = spare_path(next_spare_++);
    result<file> f = fs_->open_file(path, open_mode::create);
    if (!f) return f.error();
    if (failure e = fs_->resize(*f, capacity)) return e;
    return path;
  }

  [[nodiscard]] failure fill(std::uint64_t bytes) {
    if (!filling_) {
      const std::uint64_t number = next_spare_++;
      result<file> f = fs_->open_file(spare_path(number), open_mode::create);
      if (!f) return f.error();
      filling_ = std::move(*f);
      filling_number_ = number;
    }
    if (failure e = fs_->zero_fill(*filling_, filled_, bytes)) return e;
    filled_ += bytes;
    if (filled_ < options_.segment_bytes) return {};
    spares_.push_back(filling_number_);
    filling_.reset();
    filled_ = 0;
    return {};
  }

  // Gives the space back; a failure here is of no consequence, the next open removes the file.
  void abandon() {
    if (filling_) {
      filling_.reset();
      if (failure ignored = fs_->remove(spare_path(filling_number_))) ignored.what.clear();
    }
    filled_ = 0;
    preparation_failed_ = true;
  }

  FileSystem* fs_;
  std::string path_;
  log_options options_;
  log_format::identity who_;
  std::optional<file> lock_;
  std::vector<std::uint64_t> spares_;  // complete files, ready for use
  std::uint64_t next_spare_ = 1;
  std::optional<file> filling_;  // a spare while it grows
  std::uint64_t filling_number_ = 0;
  std::uint64_t filled_ = 0;
  bool preparation_failed_ = false;
};

}  // namespace confman
