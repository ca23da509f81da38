#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "confman/config_map.hpp"
#include "confman/restore.hpp"
#include "confman/runtime/snapshot_worker.hpp"
#include "confman/storage/snapshot_backup.hpp"

namespace confman {

namespace detail {

// The options of a member of a new cluster, in the terms of its storage.
inline result<node_options> translate_new_member(const options& o, const char* what) {
  node_options n = translate(o);
  if (n.invalid) return n.invalid;
  const auto bad = [what](const char* why) {
    return failure(errc::bad_option, fmt::format("{}: {}; nothing was changed", what, why));
  };
  if (o.cluster.empty())
    return bad("options.cluster is empty: name the new cluster, as no other is or was named");
  if (o.join) return bad("options.join is set: this makes a new cluster, there is none to join yet");
  return n;
}

inline failure check_directory_is_new(const std::string& directory) {
  std::error_code error;
  const auto status = std::filesystem::status(directory, error);
  if (!std::filesystem::exists(status)) return {};
  if (!std::filesystem::is_directory(status))
    return {errc::directory_not_empty, directory + " is no directory; nothing was changed"};
  posix_file_system fs;
  const auto names = fs.list_directory(directory);
  if (!names) return names.error();
  for (const std::string& name : *names)
    if (name != "lost+found")
      return {errc::directory_not_empty, directory + " is not empty (it holds '" + name +
                                             "'); nothing was changed: choose a new directory"};
  return {};
}

inline failure same_cluster(const std::string& where, const options& o) {
  return {errc::bad_option,
          fmt::format("options.cluster is '{}', the cluster that {} comes from: two clusters would take each "
                      "other's members for their own. Choose a new name; nothing was changed",
                      o.cluster, where)};
}

// Removes a directory that this call has made.
class scratch_directory {
 public:
  explicit scratch_directory(std::string path) : path_(std::move(path)) {}
  scratch_directory(const scratch_directory&) = delete;
  scratch_directory& operator=(const scratch_directory&) = delete;
  ~scratch_directory() {
    std::error_code ignored;
    if (made_) std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  // Copies the files of a data directory here, without its lock. Reads them only.
  [[nodiscard]] failure copy_from(const std::string& from) {
    namespace files = std::filesystem;
    if (failure f = check_directory_is_new(path_)) return f;
    std::error_code error;
    files::create_directories(path_, error);
    if (error) return broken("make", path_, error);
    made_ = true;
    for (files::directory_iterator at(from, error), end; !error && at != end; at.increment(error)) {
      if (at->path().filename() == log_format::lock_name || !at->is_regular_file(error)) continue;
      files::copy_file(at->path(), files::path(path_) / at->path().filename(), error);
      if (error) return broken("copy", at->path().string(), error);
    }
    if (error) return broken("list", from, error);
    return {};
  }

 private:
  [[nodiscard]] static failure broken(const char* what, const std::string& path, const std::error_code& why) {
    return {errc::storage_failed,
            fmt::format("recovery: can't {} '{}': {}; nothing was changed", what, path, why.message())};
  }
  std::string path_;
  bool made_ = false;
};

inline result<log_format::identity> read_identity(const std::string& directory) {
  const std::string path = directory + '/' + log_format::identity_name;
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error))
    return failure(errc::bad_option, "recovery: '" + directory +
                                         "' is no data directory of confman (it has no file '" +
                                         log_format::identity_name + "'); nothing was changed");
  posix_file_system fs;
  auto f = fs.open_file(path, open_mode::existing);
  if (!f) return f.error();
  std::string bytes(log_format::identity_limit + 1, '\0');
  const result<std::size_t> got = fs.read(*f, 0, {bytes.data(), bytes.size()});
  if (!got) return got.error();
  bytes.resize(*got);
  log_format::identity found;
  std::uint32_t version = 0;
  switch (log_format::decode(bytes, found, version)) {
    case log_format::decoded::good:
      return found;
    case log_format::decoded::other_version:
      return failure(errc::format_unsupported, fmt::format("{} has format version {}, this build reads {}",
                                                           path, version, log_format::version));
    case log_format::decoded::damaged:
      break;
  }
  return failure(errc::log_damaged, path + " is damaged: this directory can't be recovered from");
}

// The state of a stopped member, up to its last entry, as a snapshot file in its (copied) directory.
struct survived_state {
  recovery_report report;
  std::string snapshot;  // path
  std::unique_ptr<file_storage> storage;
};

// Applies what the log holds beyond the snapshot. Returns the place and the hash of the last entry.
inline result<log_reset> replay(const recovered_log& found, const std::optional<snapshot_meta>& snapshot,
                                map_state& map) {
  log_reset last{found.base, found.base_hash};
  if (snapshot && snapshot->at.index >= last.at.index) last = {snapshot->at, snapshot->hash};
  std::size_t from = 0;
  while (from < found.entries.size() && found.entries[from].index <= last.at.index) ++from;
  if (from == found.entries.size()) return last;
  const bool reaches = found.base.index == log_index{} || snapshot;
  if (!reaches || found.entries[from].index != last.at.index + 1)
    return failure(errc::log_damaged, fmt::format("the log begins at entry {}, but there is no snapshot of "
                                                  "what came before",
                                                  found.entries[from].index.value()));
  map.apply_all(
      found.entries.size() - from, [&](std::size_t i) -> const entry& { return found.entries[from + i]; },
      [](const entry&, const apply_result&) {});
  map.publish();
  const entry& e = found.entries.back();
  return log_reset{{e.term, e.index}, e.hash};
}

inline void describe(recovery_report& report, const std::string& survivor, const log_format::identity& who,
                     const hard_state& state) {
  const std::uint64_t last = report.last.index.value();
  const std::uint64_t sure = std::min(report.known_committed.value(), last);
  report.what = fmt::format(
      "recovery from a lost majority: '{}' (node {}, in term {}) holds {} keys, up to entry {}:{}. It knows "
      "that entries up to {} were agreed on{}. LOST will be every write that a majority without this node "
      "acknowledged after entry {}, even if its client was told that it succeeded. Look at the directories "
      "of all survivors and use the one with the highest term and then entry. The other members of the old "
      "cluster must be stopped for good: nothing of theirs can be merged later",
      survivor, who.node.value(), state.term.value(), report.keys, report.last.term.value(), last, sure,
      last > sure ? fmt::format("; the {} after that may never have been, and will be kept", last - sure)
                  : "",
      last);
}

inline result<survived_state> load_survivor(const std::string& survivor, const std::string& copy,
                                            const log_format::identity& who, const configuration& members) {
  survived_state out;
  log_options identity;
  identity.cluster = who.cluster;
  identity.node = who.node;
  identity.group = who.group;
  identity.fresh_incarnation = who.incarnation;
  identity.prepare_ahead = false;
  recovered_log found;
  auto opened = storage_traits<file_storage>::open(copy, identity, found);
  if (!opened) return opened.error();
  out.storage = *std::move(opened);
  snapshot_options kept;
  kept.cluster = who.cluster;
  kept.group = who.group;
  const std::atomic<bool> never{false};
  auto snapshots =
      snapshot_worker<posix_file_system>::open(std::make_shared<posix_file_system>(), copy, kept, never);
  if (!snapshots) return snapshots.error();
  auto loaded = (*snapshots)->load_newest();
  if (!loaded) return loaded.error();
  if (!*loaded)
    for (const failure& why : (*snapshots)->store().damaged()) return why;
  map_state map;
  std::optional<snapshot_meta> meta;
  if (*loaded) {
    meta = (*loaded)->meta;
    map.adopt(std::move((*loaded)->map));
  }
  const result<log_reset> last = replay(found, meta, map);
  if (!last) return last.error();
  if (!last->at.index)
    return failure(errc::bad_option, "recovery: '" + survivor + "' holds nothing; nothing was changed");
  out.report.last = last->at;
  out.report.known_committed = std::max(found.state.commit, meta ? meta->at.index : log_index{});
  out.report.keys = map.read().size();
  describe(out.report, survivor, who, found.state);
  if (!meta || meta->at != last->at) {
    auto made = (*snapshots)->take(map.capture(), {last->at, last->hash, members, {}});
    if (!made) return made.error();
  }
  out.snapshot = (*snapshots)->store().newest()->path;
  return out;
}

}  // namespace detail

CONFMAN_DECL failure restore(const std::string& backup, const options& o) {
  const result<node_options> n = detail::translate_new_member(o, "restore");
  if (!n) return n.error();
  if (failure f = detail::check_directory_is_new(o.directory)) return f;
  posix_file_system fs;
  const auto from = snapshot_reader<posix_file_system>::open(fs, backup);
  if (!from) return from.error();
  if (from->header().cluster == n->log.cluster) return detail::same_cluster("the backup '" + backup + "'", o);
  const auto made = import_snapshot(fs, backup, o.directory, n->log, n->members);
  return made ? failure{} : made.error();
}

CONFMAN_DECL result<recovery_report> recover_lost_majority(const std::string& survivor, const options& o,
                                                           lost_writes confirmation) {
  const result<node_options> n = detail::translate_new_member(o, "recovery");
  if (!n) return n.error();
  if (o.members.size() != 1)
    return failure(errc::bad_option,
                   "recovery: options.members must name this node alone; the others join "
                   "with empty directories when it runs. Nothing was changed");
  if (failure f = detail::check_directory_is_new(o.directory)) return f;
  const result<log_format::identity> who = detail::read_identity(survivor);
  if (!who) return who.error();
  if (who->cluster == n->log.cluster) return detail::same_cluster("'" + survivor + "'", o);
  posix_file_system fs;
  const auto lock = fs.lock(survivor + '/' + log_format::lock_name);
  if (!lock) return lock.error();
  std::string scratch_path = o.directory;
  while (scratch_path.size() > 1 && scratch_path.back() == '/') scratch_path.pop_back();
  detail::scratch_directory scratch(scratch_path + ".recovery");
  if (failure f = scratch.copy_from(survivor)) return f;
  const auto state = detail::load_survivor(survivor, scratch.path(), *who, n->members);
  if (!state) return state.error();
  if (confirmation != lost_writes::i_know_that_acknowledged_writes_may_be_lost)
    return failure(errc::bad_option, state->report.what +
                                         ". Nothing was changed: to go on, confirm with "
                                         "lost_writes::i_know_that_acknowledged_writes_may_be_lost");
  if (o.on_event) o.on_event({errc::outcome_unknown, state->report.what});
  const auto made = import_snapshot(fs, state->snapshot, o.directory, n->log, n->members);
  if (!made) return made.error();
  return state->report;
}

}  // namespace confman
