#pragma once

#include "confman/error.hpp"

namespace confman {

namespace detail {

class category_t final : public std::error_category {
 public:
  const char* name() const noexcept override { return "confman"; }
  std::string message(int value) const override { return text(static_cast<errc>(value)); }

 private:
  // tidy: long-function one line per error
  static const char* text(errc e) {
    switch (e) {
      case errc::not_leader:
        return "this node is not the leader: send the write to the leader, or allow forwarding";
      case errc::no_leader:
        return "no leader is known: a majority of the members must run and reach each other";
      case errc::busy:
        return "a bounded queue is full: certainly not applied, retry later";
      case errc::stopped:
        return "the map is not running or is shutting down: last_failure() says why";
      case errc::would_deadlock:
        return "a blocking call on the thread that completes it: use the async form here, or call from "
               "another thread";
      case errc::outcome_unknown:
        return "the leader changed or the deadline passed while the write was under way: it may or may not "
               "have been applied; read the key before retrying";
      case errc::timed_out:
        return "the deadline passed: no majority answered, or that version was not reached here, in time";
      case errc::key_empty:
        return "the key is empty: keys are paths such as /billing/timeout_ms";
      case errc::key_not_a_path:
        return "the key does not start with '/': keys are paths such as /billing/timeout_ms";
      case errc::key_has_nul:
        return "the key contains a NUL byte: remove it";
      case errc::key_too_long:
        return "the key is longer than 512 bytes: shorten it (validate_key() says which)";
      case errc::value_too_large:
        return "the value is larger than options.max_value_bytes: raise it on every member, or split the "
               "value";
      case errc::bad_option:
        return "an option, or what it names, can't be used";
      case errc::bad_command:
        return "a command could not be decoded";
      case errc::compare_failed:
        return "the key's revision is not the expected one: read it again and retry";
      case errc::compacted:
        return "the history no longer reaches back to that revision: read the prefix, then watch on";
      case errc::watch_lagged:
        return "the watch fell behind and its buffer overflowed: read the prefix, then watch on";
      case errc::revision_in_future:
        return "that revision does not exist yet on this cluster";
      case errc::directory_in_use:
        return "the data directory is used by another process, or by another map of this one";
      case errc::wrong_cluster:
        return "the data directory or peer belongs to another cluster";
      case errc::wrong_node:
        return "the data directory belongs to another node id";
      case errc::wrong_incarnation:
        return "this node id is bound to another data directory: the disk was wiped or replaced";
      case errc::format_unsupported:
        return "the file has a format version that this build does not read";
      case errc::log_damaged:
        return "acknowledged data in the log is damaged";
      case errc::storage_failed:
        return "the disk or file system refused an operation";
      case errc::unknown_peer:
        return "a peer that is not a member of this cluster";
      case errc::bad_frame:
        return "a malformed frame was received";
      case errc::protocol_mismatch:
        return "the peer speaks another protocol version";
      case errc::address_in_use:
        return "the listen address is in use";
      case errc::change_in_flight:
        return "another change of members is under way, or the leader is too new: wait for it to end, then "
               "retry";
      case errc::bad_change:
        return "that change of members makes no sense";
      case errc::not_a_member:
        return "the node id is not a member of the cluster";
      case errc::already_a_member:
        return "the node id is already a member of the cluster: remove it first, or use another id";
      case errc::last_voter:
        return "the change would leave the cluster without a voter: add another voter first";
      case errc::learner_behind:
        return "the learner does not hold the leader's log yet: wait until it has caught up, then promote it";
      case errc::change_undone:
        return "the change of members was undone by a change of leader: it did not happen, retry it";
      case errc::transfer_failed:
        return "the leadership was not taken over in time: the old leader leads on, if it still can";
      case errc::snapshot_damaged:
        return "a snapshot file is damaged or incomplete";
      case errc::directory_not_empty:
        return "the data directory is not empty: restore into a new one";
      case errc::session_expired:
        return "the session has expired or was closed: open another; whether its last write happened must be "
               "read";
      case errc::upload_expired:
        return "the earlier pieces of this large value have expired: put it again";
      case errc::bad_value:
        return "a value can't be decoded as the type asked for";
      case errc::sync_failed:
        return "a sync of the data directory failed, and nobody knows what the disk holds: check it, then "
               "start the node again";
      case errc::bad_address:
        return "the address is not of the form host:port, is unknown, or is not of this machine";
      case errc::two_leaders:
        return "two nodes claim to lead one term: a data directory was restored or shared, see the nodes' "
               "logs";
      case errc::log_diverged:
        return "a peer's log differs at the same place: suspect hardware, then report a bug";
    }
    return "unknown confman error";
  }
};

}  // namespace detail

CONFMAN_DECL const std::error_category& confman_category() noexcept {
  static const detail::category_t instance;
  return instance;
}

}  // namespace confman
