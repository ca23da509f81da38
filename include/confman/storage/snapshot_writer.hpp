// Writes one snapshot: aside, synced as it grows, then renamed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "confman/mutants.hpp"
#include "confman/storage/compression.hpp"
#include "confman/storage/snapshot_store.hpp"

namespace confman {

// From snapshot_store::begin(). One thread at a time, the store's. Without a successful commit() the file is
// removed when this is destroyed. The same meta and blocks give the same bytes (with compression: with the
// same version of zstd). After an error every later call fails, the file is gone and the disk's space free
// again; the node goes on without this snapshot, but for sync_failed, see snapshot_store.
template <file_system FileSystem>
class snapshot_writer {
 public:
  snapshot_writer(snapshot_writer&& other) noexcept
      : store_(std::exchange(other.store_, nullptr)),
        file_(std::move(other.file_)),
        path_(std::move(other.path_)),
        info_(std::move(other.info_)),
        created_(other.created_),
        compress_(other.compress_),
        digest_(other.digest_),
        footer_(other.footer_),
        offset_(other.offset_),
        unsynced_(other.unsynced_),
        failed_(std::move(other.failed_)),
        compressed_(std::move(other.compressed_)) {}
  snapshot_writer& operator=(snapshot_writer&&) = delete;
  ~snapshot_writer() { discard(); }

  // Appends a block of 1 to snapshot_format::max_block_bytes bytes; next_block() will return the same blocks.
  // Errors: bad_option (another size), storage_failed.
  [[nodiscard]] failure write(std::string_view block) {
    if (failed_) return failed_;
    if (block.empty() || block.size() > snapshot_format::max_block_bytes)
      return fail({errc::bad_option, "a block of a snapshot has 1 to " +
                                         std::to_string(snapshot_format::max_block_bytes) + " bytes, not " +
                                         std::to_string(block.size())});
    const std::string_view stored = compress_ && compress_block(block, compressed_) ? compressed_ : block;
    snapshot_format::block_head head{static_cast<std::uint32_t>(block.size()),
                                     static_cast<std::uint32_t>(stored.size()), 0};
    char bytes[snapshot_format::block_head_bytes];
    snapshot_format::encode(bytes, head, footer_.blocks, stored);
    digest_.add(stored);
    ++footer_.blocks;
    footer_.raw_bytes += block.size();
    if (failure f = put({bytes, sizeof bytes}, stored)) return fail(f);
    if (unsynced_ < store_->options_.sync_bytes) return {};
    if (failure f = sync()) return fail(f);
    return {};
  }

  // Bytes written so far.
  [[nodiscard]] std::uint64_t bytes() const noexcept { return offset_; }

  // Completes the file and makes it durable under its name; then removes older ones. Errors: storage_failed;
  // sync_failed: the file may have its name, and be durable or not.
  [[nodiscard]] result<snapshot_info> commit() {
    snapshot_store<FileSystem>* const store = store_;
    result<snapshot_info> made = commit_beside();
    if (!made) return made;
    if (failure f = store->remove_older(made->meta.at)) return failed_ = std::move(f);
    return made;
  }
  // The same, but older ones stay until remove_older().
  [[nodiscard]] result<snapshot_info> commit_beside() {
    if (failed_) return failed_;
    footer_.digest = digest_.value();
    if (failure f = put(snapshot_format::encode(footer_), {})) return fail(f);
    if (!CONFMAN_MUTANT(snapshot_not_synced))
      if (failure f = sync()) return fail(f);
    if (CONFMAN_MUTANT(older_removed_first))
      for (const snapshot_info& older : store_->kept_) (void)store_->fs_->remove(older.path);
    file_.reset();
    info_.bytes = offset_;
    info_.raw_bytes = footer_.raw_bytes;
    info_.digest = footer_.digest;
    result<snapshot_info> made = store_->adopt(path_, std::move(info_));
    if (!made) return fail(made.error());
    store_ = nullptr;
    failed_ = {errc::bad_option, "this snapshot was committed"};
    return made;
  }

 private:
  friend snapshot_store<FileSystem>;
  using file = typename FileSystem::file;

  snapshot_writer(snapshot_store<FileSystem>& store, std::string path)
      : store_(&store), path_(std::move(path)) {}

  [[nodiscard]] static result<snapshot_writer> begin(snapshot_store<FileSystem>& store,
                                                     const snapshot_meta& meta) {
    snapshot_writer made(store, store.path_of(snapshot_format::temporary_name(store.next_temporary_++)));
    made.compress_ = store.options_.compress && zstd_available();
    made.info_.meta = meta;
    const result<std::string> head = snapshot_format::encode(
        {store.options_.cluster, store.options_.group,
         made.compress_ ? snapshot_format::compression::zstd : snapshot_format::compression::none, meta});
    if (!head) return made.fail(head.error());
    result<file> f = store.fs_->open_file(made.path_, open_mode::create);
    if (!f) return made.fail(f.error());
    made.file_ = std::move(*f);
    made.created_ = true;
    if (failure e = store.fs_->resize(*made.file_, 0)) return made.fail(e);
    if (failure e = made.put(*head, {})) return made.fail(e);
    made.digest_.add(*head);
    return result<snapshot_writer>(std::move(made));
  }

  [[nodiscard]] failure put(std::string_view first, std::string_view second) {
    const std::string_view pieces[] = {first, second};
    if (failure f = store_->fs_->write(*file_, offset_, {pieces, second.empty() ? 1u : 2u})) return f;
    offset_ += first.size() + second.size();
    unsynced_ += first.size() + second.size();
    return {};
  }

  [[nodiscard]] failure sync() {
    unsynced_ = 0;
    return store_->fs_->sync(*file_);
  }

  failure fail(const failure& f) {
    failed_ = store_->of_one(f, info_.meta.at, "written");
    discard();
    return failed_;
  }

  // What can't be removed now is removed at the next open.
  void discard() noexcept {
    if (store_ == nullptr) return;
    file_.reset();
    if (created_) {
      if (failure ignored = store_->fs_->remove(path_)) ignored.what.clear();
    }
    store_ = nullptr;
  }

  snapshot_store<FileSystem>* store_;  // null once it is over
  std::optional<file> file_;
  std::string path_;
  snapshot_info info_;
  bool created_ = false;
  bool compress_ = false;
  snapshot_format::content_digest digest_;
  snapshot_format::footer footer_;
  std::uint64_t offset_ = 0;
  std::uint64_t unsynced_ = 0;
  failure failed_;
  std::string compressed_;
};

}  // namespace confman
