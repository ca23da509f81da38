// The snapshots of one data directory: written, received, kept and read.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/mutants.hpp"
#include "confman/storage/snapshot_format.hpp"
#include "confman/storage/snapshot_reader.hpp"

namespace confman {

struct snapshot_options {
  // Whose snapshots these are: what every member of the cluster agrees on.
  cluster_id cluster;
  group_id group;
  // How many snapshots are kept, at least 1.
  std::size_t keep = 1;
  // Compress blocks with zstd, where this build has it. Off by default: all members must have it then, and it
  // costs about a second of a core per GiB or two. What is there is read either way.
  bool compress = false;
  // The file is synced each time this many bytes were written, so that the last sync is short and the log's
  // syncs don't queue behind gigabytes. At least 1.
  std::uint64_t sync_bytes = std::uint64_t{4} << 20;
  // The largest file that is received, in bytes. A peer's word takes no memory in any case.
  std::uint64_t max_receive_bytes = ~std::uint64_t{0};
};

struct snapshot_info {
  snapshot_meta meta;
  std::uint64_t bytes = 0;      // of the file
  std::uint64_t raw_bytes = 0;  // of the blocks before compression
  std::uint64_t digest = 0;     // names the content: equal files have equal digests
  std::string path;
};

template <file_system FileSystem>
class snapshot_writer;
template <file_system FileSystem>
class snapshot_receiver;

// Lives in the directory of a log, with files of its own, and needs the log to be open: that holds the lock.
// One thread at a time, which may be another one than the log's. Neither it nor FileSystem may be moved or
// destroyed while a writer or receiver lives; readers are independent of it. Format: docs/format/snapshot.md.
//
// Invariants:
//   1. A file with a snapshot's name is complete and was synced before it got the name.
//   2. A snapshot is removed only when a newer one is durable under its name, and, where that was received,
//      was found to be good.
//   3. A failure concerns this one snapshot, and the caller goes on without it, unless it is sync_failed: a
//      sync of the directory failed, which the log's names are in, too. The system may report that once, to
//      whoever syncs first; the log's own next sync may then succeed, and prove nothing. The caller stops
//      writing to the log, as after a failed sync of the log itself. Here it is never tried again: every
//      later call that would sync the directory fails with it.
template <file_system FileSystem>
class snapshot_store {
 public:
  using reader = snapshot_reader<FileSystem>;
  using writer = snapshot_writer<FileSystem>;
  using receiver = snapshot_receiver<FileSystem>;

  // Finds the snapshots in `directory` by header and footer; their blocks are verified when they are read.
  // Removes what an interrupted write left, and all but the newest partly received file. Errors: bad_option,
  // wrong_cluster, format_unsupported, storage_failed, sync_failed. Damaged files are no error: see
  // damaged().
  [[nodiscard]] static result<snapshot_store> open(FileSystem& fs, std::string directory,
                                                   const snapshot_options& options) {
    if (!options.cluster || options.keep == 0 || options.sync_bytes == 0)
      return failure(errc::bad_option, "snapshot_options: cluster, keep and sync_bytes must not be 0");
    snapshot_store store(fs, std::move(directory), options);
    if (failure f = store.find()) return f;
    return result<snapshot_store>(std::move(store));
  }

  // The newest sound snapshot, or nullptr. Valid until the next call that isn't const.
  [[nodiscard]] const snapshot_info* newest() const noexcept {
    return kept_.empty() ? nullptr : &kept_.back();
  }
  // All of them, oldest first.
  [[nodiscard]] const std::vector<snapshot_info>& all() const noexcept { return kept_; }
  // Why files that should be snapshots were left out. They stay until a newer snapshot is durable.
  [[nodiscard]] std::vector<failure> damaged() const {
    std::vector<failure> found;
    for (const bad_file& bad : damaged_) found.push_back(bad.why);
    return found;
  }

  // Begins a snapshot aside. Errors: bad_option (an impossible description), value_too_large (the members'
  // addresses), storage_failed.
  [[nodiscard]] result<writer> begin(const snapshot_meta& meta) { return writer::begin(*this, meta); }

  // Opens a snapshot that is kept. Errors: snapshot_damaged (also when there is none), storage_failed.
  [[nodiscard]] result<reader> read(version at) {
    for (const snapshot_info& info : kept_)
      if (info.meta.at == at) return reader::open(*fs_, info.path);
    return failure(errc::snapshot_damaged, directory_ + " holds no snapshot at " + text(at));
  }

  // Begins to receive the snapshot that a peer offers, or goes on with a part of the same one (same place,
  // digest and size) that an earlier attempt left, even before a restart; parts of others are removed.
  // Errors: value_too_large (above max_receive_bytes), bad_frame (impossible size), wrong_cluster and
  // format_unsupported (of the part), storage_failed; and what go_on() returns, which is asked before each
  // block of the part is read: with errc::stopped the part stays.
  template <class GoOn>
  [[nodiscard]] result<receiver> receive(version at, std::uint64_t digest, std::uint64_t total,
                                         GoOn&& go_on) {
    return receiver::begin(*this, {at, digest, total}, go_on);
  }
  [[nodiscard]] result<receiver> receive(version at, std::uint64_t digest, std::uint64_t total) {
    return receive(at, digest, total, [] { return failure(); });
  }

  // Removes what is older than the newest `keep`, but not the snapshot at `made`. A file that can't be
  // removed now is left to the next time; it does no harm. Durable: a host that loses power after each
  // snapshot must not find one more of them each time. Errors: sync_failed.
  [[nodiscard]] failure remove_older(version made) {
    const std::size_t before = kept_.size() + damaged_.size();
    const std::size_t excess = kept_.size() > options_.keep && !CONFMAN_MUTANT(older_snapshots_kept)
                                   ? kept_.size() - options_.keep
                                   : 0;
    std::size_t seen = 0;
    std::erase_if(kept_, [&](const snapshot_info& k) {
      return ++seen <= excess && k.meta.at != made && !fs_->remove(k.path);
    });
    std::erase_if(damaged_,
                  [&](const bad_file& bad) { return older(bad.at, made) && !fs_->remove(bad.path); });
    return kept_.size() + damaged_.size() != before ? sync_directory() : failure{};
  }

  // Takes the snapshot at `at` out of the store, durably: its file stays beside, as NAME.refused, and is
  // never read again. Errors: storage_failed (it is still there), sync_failed.
  [[nodiscard]] failure set_aside(version at) {
    const auto found = std::find_if(kept_.begin(), kept_.end(),
                                    [at](const snapshot_info& info) { return info.meta.at == at; });
    if (found == kept_.end()) return {};
    if (failure f = fs_->rename(found->path, found->path + ".refused")) return f;
    kept_.erase(found);
    return sync_directory();
  }

  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
  [[nodiscard]] const snapshot_options& options() const noexcept { return options_; }
  [[nodiscard]] FileSystem& system() const noexcept { return *fs_; }

 private:
  friend snapshot_writer<FileSystem>;
  friend snapshot_receiver<FileSystem>;

  struct bad_file {
    version at;
    std::string path;
    failure why;
  };

  snapshot_store(FileSystem& fs, std::string directory, const snapshot_options& options)
      : fs_(&fs), directory_(std::move(directory)), options_(options) {}

  [[nodiscard]] static std::string text(version at) {
    return std::to_string(at.term.value()) + ":" + std::to_string(at.index.value());
  }
  [[nodiscard]] std::string path_of(const std::string& name) const { return directory_ + '/' + name; }

  // `f` as the end of one snapshot, which is all that it concerns, unless it is of the directory.
  [[nodiscard]] static failure of_one(const failure& f, version at, const char* how) {
    if (f.code == errc::sync_failed) return f;
    return {f.code, "the snapshot at " + text(at) + " was not " + how +
                        "; the log and earlier snapshots are as before: " + f.what};
  }

  // By place in the log.
  [[nodiscard]] static bool older(version a, version b) noexcept {
    return a.index != b.index ? a.index < b.index : a.term < b.term;
  }

  [[nodiscard]] failure find() {
    const result<std::vector<std::string>> names = fs_->list_directory(directory_);
    if (!names) return names.error();
    std::vector<snapshot_format::partial_key> parts;
    for (const std::string& name : *names) {
      if (const auto at = snapshot_format::parse_file_name(name)) {
        if (failure f = examine(*at, path_of(name))) return f;
      } else if (const auto key = snapshot_format::parse_partial_name(name)) {
        parts.push_back(*key);
      }
    }
    std::sort(kept_.begin(), kept_.end(),
              [](const auto& a, const auto& b) { return older(a.meta.at, b.meta.at); });
    for (const std::string& name : *names)
      if (snapshot_format::is_temporary_name(name))
        if (failure f = fs_->remove(path_of(name))) return f;
    std::sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return older(a.at, b.at); });
    if (!parts.empty() && (!newest() || older(newest()->meta.at, parts.back().at))) parts.pop_back();
    for (const snapshot_format::partial_key& key : parts)
      if (failure f = fs_->remove(path_of(snapshot_format::partial_name(key)))) return f;
    // A name that an earlier run's rename made may not be durable yet, and the caller will build on it.
    return kept_.empty() ? failure{} : sync_directory();
  }

  // Makes the names here durable, or fails for good: a second try could succeed though they are lost.
  [[nodiscard]] failure sync_directory() {
    if (unsynced_) return unsynced_;
    const failure f = fs_->sync_directory(directory_);
    if (f && !CONFMAN_MUTANT(directory_sync_ignored))
      unsynced_ = {errc::sync_failed,
                   f.what + ". The names of new files in " + directory_ +
                       ", the log's too, may not be durable, and a later sync can't tell: this node has to "
                       "stop. Check the disk, then start it again"};
    return unsynced_;
  }

  [[nodiscard]] failure examine(version at, const std::string& path) {
    const result<reader> found = reader::open(*fs_, path);
    failure f = found ? check(*found, at) : found.error();
    if (!f)
      kept_.push_back({found->meta(), found->size(), found->raw_bytes(), found->digest(), path});
    else if (f.code == make_error_code(errc::snapshot_damaged))
      damaged_.push_back({at, path, std::move(f)});
    else
      return f;
    return {};
  }

  // Whether this is a snapshot of our cluster at that place.
  [[nodiscard]] failure check(const reader& found, version at) const {
    if (failure f = check_owner(found.header(), found.path())) return f;
    if (found.meta().at == at) return {};
    return snapshot_format::damage(found.path(), 0,
                                   "it is of " + text(found.meta().at) + ", not of " + text(at));
  }

  [[nodiscard]] failure check_owner(const snapshot_format::header& head, const std::string& path) const {
    const auto differs = [&path](const char* what, std::uint64_t theirs, std::uint64_t ours) {
      return failure(errc::wrong_cluster,
                     path + " is a snapshot of " + what + " " + std::to_string(theirs) +
                         ", this node is of " + what + " " + std::to_string(ours) +
                         ". To begin a new cluster with it, restore it into a new directory");
    };
    if (head.cluster != options_.cluster)
      return differs("cluster", head.cluster.value(), options_.cluster.value());
    if (head.group != options_.group) return differs("group", head.group.value(), options_.group.value());
    return {};
  }

  // Gives a complete, synced file its name, durably. After a failure of the last step (sync_failed) the file
  // has its name, perhaps not durably; the next open settles that.
  [[nodiscard]] result<snapshot_info> adopt(const std::string& from, snapshot_info info) {
    info.path = path_of(snapshot_format::file_name(info.meta.at));
    if (failure f = fs_->rename(from, info.path)) return f;
    if (!CONFMAN_MUTANT(snapshot_name_not_synced))
      if (failure f = sync_directory()) return f;
    std::erase_if(kept_, [&info](const snapshot_info& k) { return k.path == info.path; });
    std::erase_if(damaged_, [&info](const bad_file& bad) { return bad.path == info.path; });
    const auto place = std::upper_bound(kept_.begin(), kept_.end(), info.meta.at,
                                        [](version at, const auto& k) { return older(at, k.meta.at); });
    kept_.insert(place, info);
    return info;
  }

  FileSystem* fs_;
  std::string directory_;
  snapshot_options options_;
  std::vector<snapshot_info> kept_;  // oldest first
  std::vector<bad_file> damaged_;
  failure unsynced_;  // why the directory must not be synced any more
  std::uint64_t next_temporary_ = 1;
};

}  // namespace confman

#include "confman/storage/snapshot_receiver.hpp"
#include "confman/storage/snapshot_writer.hpp"
