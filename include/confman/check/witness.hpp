// The witness: every answer names its place in the log, so the order of operations is known and needs no
// search.
#pragma once

#include <cstddef>

#include "confman/check/operation.hpp"
#include "confman/config.hpp"

namespace confman::check {

struct witness_options {
  // No answer of a client comes from an older state than one that it had before it asked. confman promises
  // that to a client that reads from one process only, or asks with at_least for the newest version it has
  // seen: a member may acknowledge a write that it forwarded before it has applied it.
  bool monotonic_clients = false;
  std::size_t max_findings = 10;  // it stops looking after so many
};

// Replays the writes in the order of their revisions and compares every answer with the replay at its place;
// then checks that this order agrees with real time, which makes it a witness of linearizability (Herlihy and
// Wing, 1990). The rules, by the names that findings carry:
//
//   session       lines of one session and sequence ask the same and are answered the same
//   log           a place in the log has one term, and terms don't go back
//   revision      a revision is one write of one key and value; what is answered, listed or watched of it
//   agrees nowhere       what is seen was written by an operation that may have done so, and only once
//   before_call   nothing takes effect, or is seen, before it was asked for
//   real_time     a write comes after everything that was answered before it was called
//   stale_read    a linearizable read too; one with at_least isn't older than asked for
//   state         an answer is what the replay has at its place: revision, value, previous revision
//   cas           it succeeds exactly if the key is at the expected revision
//   list          each key once, all of the prefix
//   watch         events are of the prefix, after `after`, in order of revision, each once
//   watch_gap     none is missing up to `until`, unless the watch says compacted
//   monotonic     see witness_options
//   lost_write    `final_state` holds every acknowledged write, or a later one of its key
//
// A write of unknown outcome may have taken effect, once and not before its call, or never; its revision
// shows only in what others are answered. Such a write that nobody saw makes a few answers possible that a
// search would rule out: the witness refuses nothing that is right, and with unknown outcomes may accept a
// little that is wrong. `final_state` are reads (get, list) from after everything else; their times don't
// count. In findings their indices follow those of `all`. Time: O(n log n), and for each list and watch the
// keys under its prefix.
[[nodiscard]] CONFMAN_DECL report check_witness(const history& all, const history& final_state = {},
                                                const witness_options& options = {});

}  // namespace confman::check

#if !defined(CONFMAN_COMPILED)
#include "confman/check/impl/witness.ipp"
#include "confman/check/impl/witness_unknown.ipp"
#endif
