// Receives one snapshot in pieces, and goes on after a broken connection or a restart.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/storage/snapshot_store.hpp"

namespace confman {

// From snapshot_store::receive(). One thread at a time, the store's. When it is destroyed before a successful
// finish(), the part received stays for the next attempt. A restart trusts of it only the blocks whose
// checksums are right, so that what a crash took is asked for again. No memory depends on what the peer says.
template <file_system FileSystem>
class snapshot_receiver {
 public:
  // The offset of the piece to send next; after a restart what counts before it is proven.
  [[nodiscard]] std::uint64_t next() const noexcept { return next_; }
  [[nodiscard]] std::uint64_t total() const noexcept { return key_.bytes; }

  // Takes the piece at next(). Errors: bad_frame (another offset, or beyond the end: nothing happened, send
  // the piece at next()); wrong_cluster, snapshot_damaged, format_unsupported (the header: the part is
  // removed, every later call fails); storage_failed (likewise).
  [[nodiscard]] failure write(std::uint64_t offset, std::string_view bytes) {
    if (failed_) return failed_;
    if (offset != next_ || bytes.size() > key_.bytes - next_)
      return {errc::bad_frame, "a piece of " + std::to_string(bytes.size()) + " bytes at offset " +
                                   std::to_string(offset) + " of a snapshot of " +
                                   std::to_string(key_.bytes) + " bytes, of which " + std::to_string(next_) +
                                   " are here: send the piece that follows these"};
    if (bytes.empty()) return {};
    if (failure f = store_->fs_->write(*file_, offset, {&bytes, 1})) return fail(f);
    next_ += bytes.size();
    unsynced_ += bytes.size();
    if (!header_known_)
      if (failure f = look_at_header()) return fail(f);
    if (unsynced_ < store_->options_.sync_bytes) return {};
    unsynced_ = 0;
    if (failure f = store_->fs_->sync(*file_)) return fail(f);
    return {};
  }

  // Verifies the whole file against its checksums, the digest, and the place that was offered; then makes it
  // durable under its name and removes older ones. Errors: bad_frame (not all pieces are here; go on);
  // snapshot_damaged, wrong_cluster, format_unsupported, storage_failed: the file is removed; sync_failed: it
  // may have its name, and be durable or not, see snapshot_store.
  [[nodiscard]] result<snapshot_info> finish() {
    auto made = finish_with([](snapshot_reader<FileSystem>& whole) { return whole.verify(); });
    if (!made) return made;
    if (failure f = store_->remove_older(made->meta.at)) return f;
    return made;
  }

  // The same, but accept(reader) reads the file, to its last block, before it gets its name, and older ones
  // stay until remove_older(). Its failure is one of the file, which is removed, earlier ones stay; with
  // errc::stopped the part stays as well, and finish_with() may be called again.
  template <class Accept>
  [[nodiscard]] result<snapshot_info> finish_with(Accept&& accept) {
    if (failed_) return failed_;
    if (next_ != key_.bytes)
      return failure(errc::bad_frame, "the snapshot ends after " + std::to_string(next_) + " of " +
                                          std::to_string(key_.bytes) + " bytes");
    snapshot_info info;
    if (failure f = examine(info, accept)) return f.code == make_error_code(errc::stopped) ? f : fail(f);
    if (!CONFMAN_MUTANT(received_not_synced))
      if (failure f = store_->fs_->sync(*file_)) return fail(f);
    file_.reset();
    result<snapshot_info> made = store_->adopt(path_, std::move(info));
    if (!made) return fail(made.error());
    failed_ = {errc::bad_option, "this snapshot was received completely"};
    return made;
  }

 private:
  friend snapshot_store<FileSystem>;
  using file = typename FileSystem::file;

  snapshot_receiver(snapshot_store<FileSystem>& store, const snapshot_format::partial_key& key)
      : store_(&store), key_(key), path_(store.path_of(snapshot_format::partial_name(key))) {}

  template <class GoOn>
  [[nodiscard]] static result<snapshot_receiver> begin(snapshot_store<FileSystem>& store,
                                                       const snapshot_format::partial_key& key, GoOn& go_on) {
    if (key.bytes > store.options_.max_receive_bytes)
      return failure(errc::value_too_large, "a snapshot of " + std::to_string(key.bytes) +
                                                " bytes is offered, snapshot_options.max_receive_bytes is " +
                                                std::to_string(store.options_.max_receive_bytes));
    if (key.bytes < snapshot_format::preamble_bytes + snapshot_format::footer_bytes)
      return failure(errc::bad_frame,
                     "a snapshot of " + std::to_string(key.bytes) + " bytes is offered: none is so short");
    snapshot_receiver made(store, key);
    if (failure f = made.remove_others()) return f;
    result<file> f = store.fs_->open_file(made.path_, open_mode::create);
    if (!f) return f.error();
    made.file_ = std::move(*f);
    if (failure bad = made.resume(go_on))
      return bad.code == make_error_code(errc::stopped) ? bad : made.fail(bad);
    return result<snapshot_receiver>(std::move(made));
  }

  [[nodiscard]] failure remove_others() {
    if (CONFMAN_MUTANT(parts_kept)) return {};
    const result<std::vector<std::string>> names = store_->fs_->list_directory(store_->directory_);
    if (!names) return names.error();
    for (const std::string& name : *names)
      if (const auto other = snapshot_format::parse_partial_name(name); other && *other != key_)
        if (failure f = store_->fs_->remove(store_->path_of(name))) return f;
    return {};
  }

  // Finds how much of the part is sound and cuts the rest.
  template <class GoOn>
  [[nodiscard]] failure resume(GoOn& go_on) {
    const result<std::uint64_t> size = store_->fs_->size(*file_);
    if (!size) return size.error();
    if (*size == 0) return {};
    const std::uint64_t limit = std::min(*size, key_.bytes - snapshot_format::footer_bytes);
    snapshot_blocks<FileSystem> blocks(*store_->fs_, *file_, path_, limit);
    const result<snapshot_format::header> head = blocks.header();
    if (head) {
      if (failure f = store_->check_owner(*head, path_)) return f;
      header_known_ = true;
      snapshot_format::block_head block;
      std::string stored;
      result<bool> more = true;
      while (more && *more) {
        if (failure f = go_on()) return f;
        more = blocks.next(block, stored);
      }
      if (!more && more.error().code != make_error_code(errc::snapshot_damaged)) return more.error();
    } else if (head.error().code != make_error_code(errc::snapshot_damaged)) {
      return head.error();
    }
    next_ = blocks.offset();
    return store_->fs_->resize(*file_, next_);
  }

  // As soon as the header is complete: a foreign snapshot is refused before gigabytes of it were sent.
  [[nodiscard]] failure look_at_header() {
    char preamble[snapshot_format::preamble_bytes] = {};
    if (next_ < sizeof preamble) return {};
    const result<std::size_t> got = store_->fs_->read(*file_, 0, preamble);
    if (!got) return got.error();
    const auto size = snapshot_format::header_size({preamble, *got});
    if (size && next_ < *size) return {};
    const result<snapshot_format::header> head =
        snapshot_blocks<FileSystem>(*store_->fs_, *file_, path_, next_).header();
    if (!head) return head.error();
    header_known_ = true;
    return store_->check_owner(*head, path_);
  }

  template <class Accept>
  [[nodiscard]] failure examine(snapshot_info& info, Accept& accept) {
    result<snapshot_reader<FileSystem>> found = snapshot_reader<FileSystem>::open(*store_->fs_, path_);
    if (!found) return found.error();
    if (failure f = store_->check(*found, key_.at)) return f;
    if (found->size() != key_.bytes || found->digest() != key_.digest)
      return snapshot_format::damage(path_, found->size(), "it is not the one that was offered");
    if (failure f = accept(*found)) return f;
    info = {found->meta(), found->size(), found->raw_bytes(), found->digest(), {}};
    return {};
  }

  failure fail(const failure& f) {
    failed_ = store_->of_one(f, key_.at, "received");
    file_.reset();
    if (failure ignored = store_->fs_->remove(path_)) ignored.what.clear();
    return failed_;
  }

  snapshot_store<FileSystem>* store_;
  snapshot_format::partial_key key_;
  std::string path_;
  std::optional<file> file_;
  std::uint64_t next_ = 0;
  std::uint64_t unsynced_ = 0;
  bool header_known_ = false;
  failure failed_;
};

}  // namespace confman
