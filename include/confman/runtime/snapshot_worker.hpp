// What a group asks of its snapshot files, done by whichever thread has the time: take, load, send, receive.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "confman/map/snapshot_encoder.hpp"
#include "confman/map/snapshot_loader.hpp"
#include "confman/runtime/group_snapshots.hpp"
#include "confman/storage/snapshot_backup.hpp"
#include "confman/storage/snapshot_store.hpp"

namespace confman {

// Between the map's stream of blocks and the store's files. Synchronous; one thread at a time.
template <file_system FileSystem>
class snapshot_worker {
 public:
  // `cancelled`: set on any thread, it ends what is under way soon, with errc::stopped. Must outlive this.
  snapshot_worker(std::shared_ptr<FileSystem> system, snapshot_store<FileSystem> store,
                  const std::atomic<bool>& cancelled)
      : system_(std::move(system)), store_(std::move(store)), cancelled_(&cancelled) {}
  snapshot_worker(const snapshot_worker&) = delete;
  snapshot_worker& operator=(const snapshot_worker&) = delete;

  // Errors: those of snapshot_store::open().
  [[nodiscard]] static result<std::unique_ptr<snapshot_worker>> open(std::shared_ptr<FileSystem> system,
                                                                     const std::string& directory,
                                                                     const snapshot_options& options,
                                                                     const std::atomic<bool>& cancelled) {
    auto store = snapshot_store<FileSystem>::open(*system, directory, options);
    if (!store) return store.error();
    return std::make_unique<snapshot_worker>(std::move(system), *std::move(store), cancelled);
  }

  [[nodiscard]] const snapshot_store<FileSystem>& store() const noexcept { return store_; }

  // The newest snapshot, ready to be the state; nothing if there is none. Errors: snapshot_damaged,
  // storage_failed.
  [[nodiscard]] result<std::optional<loaded_snapshot>> load_newest() {
    const snapshot_info* newest = store_.newest();
    if (!newest) return std::optional<loaded_snapshot>();
    result<loaded_snapshot> loaded = load(*newest);
    if (!loaded) return loaded.error();
    return std::optional<loaded_snapshot>(*std::move(loaded));
  }

  // Writes the captured state to a durable file, with the older ones beside it until settle(). Errors:
  // storage_failed (the node goes on without it), stopped; sync_failed ends the node, here as below.
  [[nodiscard]] result<snapshot_file> take(map_capture&& state, const snapshot_meta& meta) {
    auto writer = store_.begin(meta);
    if (!writer) return writer.error();
    snapshot_encoder encoder(std::move(state));
    std::string block;
    while (encoder.next(block)) {
      if (cancelled()) return stopped();
      if (failure f = writer->write(block)) return f;
    }
    const result<snapshot_info> made = writer->commit_beside();
    if (!made) return made.error();
    return file_of(*made);
  }

  // A piece of a file that is being sent. It stays readable when it is replaced by a newer one, see settle().
  // Its receiver verifies it; one that begins anew may have found it damaged, and so it is verified here
  // first. Errors: snapshot_damaged, storage_failed, stopped.
  [[nodiscard]] result<shared_bytes> read(const snapshot_read& what) {
    auto found = std::find_if(sending_.begin(), sending_.end(),
                              [&what](const sent_file& s) { return s.file == what.file; });
    if (found == sending_.end()) {
      auto opened = store_.read(what.file.at);
      if (!opened) return opened.error();
      if (opened->digest() != what.file.digest || opened->size() != what.file.bytes)
        return failure(errc::snapshot_damaged, opened->path() + " is not the snapshot it was");
      found = sending_.insert(sending_.end(), {what.file, *std::move(opened), {}});
    }
    if (failure f = verify_again(*found, what)) {
      sending_.erase(found);
      return f;
    }
    shared_bytes::builder bytes(what.bytes);
    result<std::size_t> got = found->reader.read_raw(what.offset, {bytes.data(), bytes.size()});
    if (got && *got != what.bytes)
      got = failure(errc::snapshot_damaged, found->reader.path() + " ends at offset " +
                                                std::to_string(what.offset + *got) + ", before its end");
    if (got) return std::move(bytes).freeze();
    sending_.erase(found);
    return got.error();
  }

  // Adds a piece to the file that is being received. The last one completes, verifies and loads it, and only
  // then it counts as a snapshot, with the older ones beside it until settle().
  [[nodiscard]] result<snapshot_received_piece> receive(const snapshot_write& piece) {
    if (!receiving_ || !(receiving_file_ == piece.file)) {
      receiving_.reset();
      const auto go_on = [this] { return cancelled() ? stopped() : failure(); };
      auto begun = store_.receive(piece.file.at, piece.file.digest, piece.file.bytes, go_on);
      if (!begun) return begun.error();
      receiving_.emplace(*std::move(begun));
      receiving_file_ = piece.file;
    }
    if (piece.offset == receiving_->next())
      if (failure f = receiving_->write(piece.offset, piece.bytes.view())) return give_up(std::move(f));
    snapshot_received_piece outcome;
    outcome.written.file = piece.file;
    outcome.written.next = receiving_->next();
    if (receiving_->next() < piece.file.bytes) return outcome;
    std::optional<loaded_map> state;
    const result<snapshot_info> made = receiving_->finish_with([&](reader_type& whole) -> failure {
      result<loaded_map> loaded = load(whole);
      if (!loaded) return loaded.error();
      state.emplace(*std::move(loaded));
      return {};
    });
    if (!made) return give_up(made.error());
    receiving_.reset();
    outcome.written.complete = true;
    outcome.loaded.emplace(loaded_snapshot{made->meta, file_of(*made), *std::move(state)});
    return outcome;
  }

  // What became of a snapshot: `good`, then it replaces older ones, else it is set aside and the older ones
  // stay. Files that were begun to be sent stay open if they are in `sent`; the others only keep their place
  // on the disk. Errors: storage_failed, sync_failed.
  [[nodiscard]] failure settle(const snapshot_file& file, bool good, const std::vector<snapshot_file>& sent) {
    if (!good) return store_.set_aside(file.at);
    std::erase_if(sending_, [&sent](const sent_file& s) {
      return CONFMAN_MUTANT(sent_files_closed) || std::find(sent.begin(), sent.end(), s.file) == sent.end();
    });
    return store_.remove_older(file.at);
  }

  // Copies the snapshot at `at` to a file of its own, see export_snapshot(); a newer one, if that has
  // replaced it meanwhile. Returns what was copied. Further error: stopped.
  [[nodiscard]] result<version> copy(version at, const std::string& path) {
    const auto& all = store_.all();
    const bool there =
        std::any_of(all.begin(), all.end(), [at](const snapshot_info& info) { return info.meta.at == at; });
    if (!there && !all.empty() && all.back().meta.at.index > at.index) at = all.back().meta.at;
    const auto go_on = [this] { return cancelled() ? stopped() : failure(); };
    if (failure f = export_snapshot(store_, at, path, go_on)) return f;
    return at;
  }

 private:
  using reader_type = snapshot_reader<FileSystem>;
  struct sent_file {
    snapshot_file file;
    snapshot_reader<FileSystem> reader;
    std::set<node_id> passed;  // who was given more than its beginning, or all of it
  };

  [[nodiscard]] bool cancelled() const noexcept { return cancelled_->load(std::memory_order_relaxed); }
  [[nodiscard]] failure verify_again(sent_file& sent, const snapshot_read& what) {
    failure bad;
    if (what.offset == 0)
      bad = sent.passed.erase(what.to) == 0
                ? sent.reader.rewind()
                : sent.reader.verify([this] { return cancelled() ? stopped() : failure(); });
    if (what.offset != 0 || what.bytes == what.file.bytes) sent.passed.insert(what.to);
    return bad;
  }
  [[nodiscard]] static failure stopped() {
    return {errc::stopped, "the node is shutting down: the work on a snapshot was given up"};
  }
  [[nodiscard]] static snapshot_file file_of(const snapshot_info& info) {
    return {info.meta.at, info.digest, info.bytes};
  }
  [[nodiscard]] failure give_up(failure why) {
    receiving_.reset();
    return why;
  }

  [[nodiscard]] result<loaded_snapshot> load(const snapshot_info& info) {
    auto reader = store_.read(info.meta.at);
    if (!reader) return reader.error();
    result<loaded_map> map = load(*reader);
    if (!map) return map.error();
    return loaded_snapshot{info.meta, file_of(info), *std::move(map)};
  }
  // Verifies every block on the way.
  [[nodiscard]] result<loaded_map> load(reader_type& from) {
    snapshot_loader loader;
    std::string block;
    for (;;) {
      if (cancelled()) return stopped();
      const result<bool> more = from.next_block(block);
      if (!more) return more.error();
      if (!*more) break;
      if (failure f = loader.feed(block)) return failure(f.code, from.path() + ": " + f.what);
    }
    result<loaded_map> map = loader.finish();
    if (!map) return failure(map.error().code, from.path() + ": " + map.error().what);
    if (map->at() != from.meta().at)
      return failure(errc::snapshot_damaged,
                     from.path() + ": the state in it is of another place in the log");
    return map;
  }

  std::shared_ptr<FileSystem> system_;
  snapshot_store<FileSystem> store_;
  const std::atomic<bool>* cancelled_;
  std::vector<sent_file> sending_;
  std::optional<snapshot_receiver<FileSystem>> receiving_;
  snapshot_file receiving_file_;
};

}  // namespace confman
