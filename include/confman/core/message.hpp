// What members say to each other: one struct per message, no field that means two things.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "confman/core/entry.hpp"
#include "confman/core/ids.hpp"

namespace confman {

// Would you vote for me in `campaign_term`? (thesis, 9.6). Binds neither side.
struct pre_vote_request {
  term_t campaign_term;
  version last;  // (term, index) of the candidate's last entry
};
struct pre_vote_response {
  term_t campaign_term;
  bool granted = false;
};

// RequestVote (paper, figure 2), for the term of the envelope.
struct vote_request {
  version last;
  bool transfer =
      false;  // the leader itself asked for this election: stickiness doesn't apply (thesis, 4.2.3)
};
struct vote_response {
  bool granted = false;
  incarnation_id candidate = {};  // the data directory that asked: another one of its id must not count this
};

// AppendEntries with entries, or a probe without (paper, figure 2).
struct append_request {
  version previous;            // place just before `entries`
  chain_hash previous_hash;    // the leader's chain hash there
  log_index commit;            // the leader's commit index
  std::vector<entry> entries;  // consecutive, from previous.index + 1
};
// Everything up to `match` equals the leader's log and is durable at the sender.
struct append_ok {
  log_index match;
};
// The sender has no entry `rejected` of the term the leader named. `hint` is the last place at which the two
// logs may still agree, found by skipping a whole term at a time (paper, 5.3, end).
struct append_reject {
  log_index rejected;
  version hint;
};

// I still lead. `commit` never exceeds what the receiver is known to hold. `round` numbers the read-index
// rounds.
struct heartbeat {
  log_index commit;
  std::uint64_t round = 0;
};
struct heartbeat_response {
  std::uint64_t round = 0;
};
// The commit index moved and nothing else is on its way to tell you. Needs no answer.
struct commit_notice {
  log_index commit;
};

// A follower asks for a read index (thesis, 6.4); `context` comes back with the answer.
struct read_index_request {
  std::uint64_t context = 0;
};
struct read_index_response {
  std::uint64_t context = 0;
  log_index index;
};

// From a leader to the voter that should take over, once it holds the whole log: stand for election now
// (thesis, 3.10).
struct timeout_now {};

// A part of a snapshot file, at most 256 KiB. `digest` names the file: pieces of two files never mix, and a
// transfer goes on where it stopped when the same file is offered again.
struct snapshot_piece {
  version at;  // what the snapshot contains
  std::uint64_t digest = 0;
  std::uint64_t total = 0;   // bytes of the file
  std::uint64_t offset = 0;  // of `bytes` in it
  shared_bytes bytes;
};
// The receiver wants `next` (what is before it, it has); next == total: it has the whole file. `installed`:
// it needs no more of it, the snapshot, or more, is in its state.
struct snapshot_piece_response {
  version at;
  std::uint64_t digest = 0;
  std::uint64_t next = 0;
  bool installed = false;
};

// A node that is no member asks any member to be made one.
struct join_request {
  std::string address;
  bool as_learner = false;  // stay a learner; else it is promoted when it has caught up
  std::uint8_t priority = 1;
};
enum class join_status : std::uint8_t {
  accepted = 0,    // the change is on its way; ask again until the log says so
  not_leader = 1,  // ask `leader`, at `leader_address`, if it is known
  refused = 2,     // `code`, an errc, says why
};
struct join_response {
  join_status status = join_status::refused;
  std::uint16_t code = 0;
  node_id leader;
  std::string leader_address;
};

// The sender's term (in the envelope) is higher than the receiver's message was: step down.
struct stale_term {};

// The sender doesn't accept this incarnation of the receiver: another data directory is bound to its id.
struct refused {
  incarnation_id bound;
};

// A write offered to a follower, passed to the leader of the envelope's term, once. `request` never repeats
// per sender, across restarts: the leader drops duplicates, and other terms don't accept it at all.
struct forward_request {
  std::uint64_t request = 0;
  shared_bytes command;
};
enum class forward_status : std::uint8_t {
  applied = 0,      // `at` and `result` say how
  not_applied = 1,  // certainly not: no leader here
  unknown = 2,
  busy = 3,  // certainly not: the leader has no room for it now
};
struct forward_response {
  std::uint64_t request = 0;
  forward_status status = forward_status::unknown;
  version at;
  shared_bytes result;  // the state machine's encoded answer
};

using message_body =
    std::variant<pre_vote_request, pre_vote_response, vote_request, vote_response, append_request, append_ok,
                 append_reject, heartbeat, heartbeat_response, commit_notice, read_index_request,
                 read_index_response, stale_term, refused, forward_request, forward_response, timeout_now,
                 snapshot_piece, snapshot_piece_response, join_request, join_response>;

struct message {
  cluster_id cluster;
  group_id group;
  node_id from;
  node_id to;
  incarnation_id incarnation;  // of the sender
  term_t term;                 // the sender's current term
  message_body body;
};

}  // namespace confman
