// What is done while no member runs: a new cluster from a backup, or from what one survivor holds.
#pragma once

#include <cstdint>
#include <string>

#include "confman/core/ids.hpp"
#include "confman/error.hpp"
#include "confman/options.hpp"

namespace confman {

// Makes o.directory, from a file that async_backup() wrote, for one member of a NEW cluster that begins with
// the state in it. Call it for each member, with the same file, o.cluster and o.members; then start them all.
// Sessions, and what they remember, are part of the state. Blocks, for as long as it takes to read the file
// twice and to write it; touches nothing but o.directory. Any thread.
//
// o.cluster must be a name that no cluster with a common origin ever had: two clusters under one name would
// take each other's messages, data directories and backups for their own. The name of the backup's cluster is
// refused.
//
// Errors. Nothing was changed: bad_option, bad_address (what validate() refuses; no o.cluster, or the
// backup's; o.join), snapshot_damaged, format_unsupported, storage_failed (the file can't be read),
// directory_not_empty. o.directory may hold a part, which no map starts from: storage_failed (the disk is
// full, for example), sync_failed; remove it and call again.
[[nodiscard]] CONFMAN_DECL failure restore(const std::string& backup, const options& o);

// A value for whoever has read what recover_lost_majority() says.
enum class lost_writes : std::uint8_t {
  must_not_happen,
  i_know_that_acknowledged_writes_may_be_lost,
};

// What recover_lost_majority() has found, or made.
struct recovery_report {
  version last;               // of the survivor's log; the new cluster begins after it
  log_index known_committed;  // what lies between may never have been acknowledged to anybody
  std::uint64_t keys = 0;     // in the state
  std::string what;           // all that in words, with what may be lost
};

// The last resort, when a majority of the voters is gone for good. Makes o.directory for the only voter of a
// NEW cluster that begins with everything in `survivor`, the data directory of a member that is stopped: its
// snapshot and its log, to the last entry. `survivor` itself is only read. Then start a map with these
// options, and let others join it with empty directories (options.join).
//
// Writes that were acknowledged but never reached this survivor are lost, and entries that were never agreed
// on become part of the state. Choose the survivor with the largest `last` (term first). Old members that
// still run can't talk to the new cluster, but they may still answer their own clients: stop them first.
//
// Without the confirmation nothing is made: the failure (bad_option) says in words what is there and what may
// be lost. With it the same words go to o.on_event too.
//
// o: self is the new voter's id (the old one or another), members is exactly that, directory doesn't exist or
// is empty, cluster is new (see restore()). Beside o.directory it makes o.directory + ".recovery", for a copy
// of the survivor's files, and removes it in the end. Blocks. Any thread.
//
// Errors. Nothing was changed: bad_option (also: `survivor` is no data directory, or holds nothing),
// bad_address, directory_not_empty, directory_in_use (the survivor runs), log_damaged, snapshot_damaged,
// format_unsupported, storage_failed. As restore(), storage_failed and sync_failed may leave a part of
// o.directory.
[[nodiscard]] CONFMAN_DECL result<recovery_report> recover_lost_majority(const std::string& survivor,
                                                                         const options& o,
                                                                         lost_writes confirmation);

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/impl/restore.ipp"
#endif
