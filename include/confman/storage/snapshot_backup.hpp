// Backup and restore at the level of files: a snapshot leaves the cluster, and a new cluster begins with one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/storage/log.hpp"
#include "confman/storage/snapshot_store.hpp"

namespace confman {

namespace detail {

// The directory and the name of a path.
inline std::pair<std::string, std::string> split_path(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

// Whether a file with this description could be read again.
[[nodiscard]] inline failure check_import(const log_options& identity, const snapshot_meta& meta) {
  if (!identity.cluster || !identity.node || !identity.fresh_incarnation)
    return {errc::bad_option, "restore: cluster, node and fresh_incarnation must not be 0"};
  const configuration& all = meta.members;
  for (const auto* list : {&all.incoming, &all.outgoing, &all.learners, &all.learners_next})
    for (const member& m : *list)
      if (m.address.size() > 0xffff)
        return {errc::bad_option, "restore: the address of member " + std::to_string(m.id.value()) + " has " +
                                      std::to_string(m.address.size()) +
                                      " bytes, at most 65,535 are possible"};
  const auto head = confman::snapshot_format::encode({identity.cluster, identity.group, {}, meta});
  return head ? failure{} : head.error();
}

// Copies the file piece by piece into a new one and syncs that.
template <file_system FileSystem, class GoOn>
[[nodiscard]] failure copy_snapshot(FileSystem& fs, snapshot_reader<FileSystem>& from, const std::string& to,
                                    std::uint64_t sync_bytes, GoOn& go_on) {
  result<typename FileSystem::file> f = fs.open_file(to, open_mode::create);
  if (!f) return f.error();
  if (failure e = fs.resize(*f, 0)) return e;
  std::string piece(confman::snapshot_format::max_block_bytes, '\0');
  std::uint64_t unsynced = 0;
  for (std::uint64_t at = 0; at < from.size();) {
    if (failure e = go_on()) return e;
    const result<std::size_t> got = from.read_raw(at, {piece.data(), piece.size()});
    if (!got) return got.error();
    if (*got == 0) return confman::snapshot_format::damage(from.path(), at, "the file has been cut");
    const std::string_view bytes(piece.data(), *got);
    if (failure e = fs.write(*f, at, {&bytes, 1})) return e;
    at += *got;
    if ((unsynced += *got) < sync_bytes) continue;
    unsynced = 0;
    if (failure e = fs.sync(*f)) return e;
  }
  return fs.sync(*f);
}

}  // namespace detail

// Copies the snapshot at `at`, verified, to `path`: aside (`path` + ".new"), synced, renamed. The file is all
// that import_snapshot() needs. One thread, the store's. Errors: bad_option (there is a file already),
// snapshot_damaged, storage_failed, and what go_on() returns, which is asked before each block; then there is
// no file at `path`.
template <file_system FileSystem, class GoOn>
[[nodiscard]] failure export_snapshot(snapshot_store<FileSystem>& store, version at, const std::string& path,
                                      GoOn&& go_on) {
  FileSystem& fs = store.system();
  result<snapshot_reader<FileSystem>> from = store.read(at);
  if (!from) return from.error();
  if (failure f = from->verify(go_on)) return f;
  const auto [directory, name] = detail::split_path(path);
  const result<std::vector<std::string>> names = fs.list_directory(directory);
  if (!names) return names.error();
  if (name.empty() || std::find(names->begin(), names->end(), name) != names->end())
    return {errc::bad_option,
            "the backup was not written: " + path + " exists already; name a new file, or remove that one"};
  const std::string aside = path + ".new";
  failure f = detail::copy_snapshot(fs, *from, aside, store.options().sync_bytes, go_on);
  if (!f) f = fs.rename(aside, path);
  if (!f) return fs.sync_directory(directory);
  if (failure ignored = fs.remove(aside)) ignored.what.clear();
  return {f.code, "the backup was not written: " + f.what};
}
template <file_system FileSystem>
[[nodiscard]] failure export_snapshot(snapshot_store<FileSystem>& store, version at,
                                      const std::string& path) {
  return export_snapshot(store, at, path, [] { return failure(); });
}

// Makes a new data directory that begins with the snapshot in `file`: of the cluster, group and node in
// `identity`, with the log's base at the snapshot, and with `members`. Every member of the new cluster is
// made in this way, from the same file with the same cluster id and members; the cluster id must be a new
// one. The file is verified completely before anything is created. A crash leaves a directory that open
// refuses or that is complete; after one, or an error, remove the directory and import again. Errors:
// snapshot_damaged, format_unsupported, directory_not_empty (nothing was changed); bad_option,
// value_too_large (members), storage_failed.
template <file_system FileSystem>
[[nodiscard]] result<snapshot_info> import_snapshot(FileSystem& fs, const std::string& file,
                                                    const std::string& directory, log_options identity,
                                                    const configuration& members) {
  result<snapshot_reader<FileSystem>> from = snapshot_reader<FileSystem>::open(fs, file);
  if (!from) return from.error();
  if (failure f = from->verify()) return f;
  snapshot_meta meta = from->meta();
  identity.begin_at = log_reset{meta.at, meta.hash};
  meta.members = members;
  meta.members_at = {};
  if (failure f = detail::check_import(identity, meta)) return f;
  if (failure f = fs.make_directory(directory)) return f;
  const result<std::vector<std::string>> names = fs.list_directory(directory);
  if (!names) return names.error();
  for (const std::string& name : *names)
    if (name != "lost+found")
      return failure(errc::directory_not_empty, directory + " is not empty (" + name +
                                                    "); nothing was changed: restore into a new directory");
  snapshot_options options;
  options.cluster = identity.cluster;
  options.group = identity.group;
  options.compress = from->header().compressed == snapshot_format::compression::zstd;
  auto store = snapshot_store<FileSystem>::open(fs, directory, options);
  if (!store) return store.error();
  auto to = store->begin(meta);
  if (!to) return to.error();
  std::string block;
  for (;;) {
    const result<bool> more = from->next_block(block);
    if (!more) return more.error();
    if (!*more) break;
    if (failure f = to->write(block)) return f;
  }
  result<snapshot_info> made = to->commit();
  if (!made) return made;
  recovered_log found;
  const result<log<FileSystem>> created = log<FileSystem>::open(fs, directory, identity, found);
  if (created) return made;
  // With bad_option nothing was made yet; later on the snapshot has to stay with what was made.
  if (created.error().code == make_error_code(errc::bad_option))
    if (failure ignored = fs.remove(made->path)) ignored.what.clear();
  return created.error();
}

}  // namespace confman
