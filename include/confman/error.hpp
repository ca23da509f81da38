// Errors: std::error_code values, and `failure`, an error_code with a sentence for the person who has to act.
#pragma once

#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <variant>

#include "confman/config.hpp"

namespace confman {

enum class errc {
  // Certainly not applied: safe to try again.
  not_leader = 1,  // this node doesn't lead and must not forward
  no_leader,       // no leader was known in time
  busy,            // a bounded queue is full; retry later
  stopped,         // the map isn't running, or is shutting down
  would_deadlock,  // a blocking call on the thread that must complete it
  // The write may or may not have been applied.
  outcome_unknown,  // the leader changed or the deadline passed while the write was under way
  // Of a read: it changed nothing, ask again.
  timed_out,  // its deadline passed
  // Refused input.
  key_empty,        // keys are paths such as /billing/timeout_ms
  key_not_a_path,   // keys start with '/'
  key_has_nul,      // a NUL byte somewhere in the key
  key_too_long,     // see max_key_bytes
  value_too_large,  // over options.max_value_bytes
  bad_option,       // an option, or the directory it names, can't be used; nothing was changed
  bad_command,      // an entry or forwarded command that can't be decoded
  // Outcomes of operations.
  compare_failed,      // compare-exchange: the key's revision was another
  compacted,           // watch: the history no longer reaches back that far
  watch_lagged,        // watch: the consumer was too slow, its buffer overflowed
  revision_in_future,  // watch: a revision that doesn't exist yet
  // Storage.
  directory_in_use,    // another process, or another map of this one, holds the data directory
  wrong_cluster,       // data directory (or peer) of another cluster
  wrong_node,          // data directory of another node id
  wrong_incarnation,   // this id is bound to another data directory
  format_unsupported,  // written by a newer version of the format
  log_damaged,         // acknowledged data is unreadable
  storage_failed,      // a write or sync failed: the node stops, never retries
  // Peers and transport.
  unknown_peer,       // a message from or to a node that is not a member
  bad_frame,          // bytes that no confman sends: damaged on the way, or from another program
  protocol_mismatch,  // no version of the protocol is known to both sides
  address_in_use,     // another socket listens there
  bad_address,        // not host:port, an unknown host, or none of this machine's addresses
  log_diverged,       // a peer's log has another content at the same place: broken hardware or a bug
  two_leaders,        // two nodes claim to lead one term: a node has lost its vote
  // Membership and leadership.
  change_in_flight,  // another change of members is under way, or the leader is too new
  bad_change,        // a change of members that makes no sense: see the failure's text
  not_a_member,      // the id named is not a member
  already_a_member,  // the id named is one
  last_voter,        // the change would leave no voter
  learner_behind,    // a learner is promoted only once it holds the leader's log
  change_undone,     // another leader's log took the change's place: it did not happen
  transfer_failed,   // the target did not take over in time; the old leader leads on
  // Snapshots, backups.
  snapshot_damaged,     // a snapshot file can't be trusted
  directory_not_empty,  // a restore goes into a new directory only
  // Sessions and large values.
  session_expired,  // closed, or idle for too long: its writes aren't told apart any more
  upload_expired,   // a large value's earlier pieces are gone: put it again
  // Typed values.
  bad_value,  // a value can't be decoded as the type asked for: see decode_value()
  // Storage, too: numbers don't change.
  sync_failed,  // names in the data directory may not be durable: the node stops, never retries
};

[[nodiscard]] CONFMAN_DECL const std::error_category& confman_category() noexcept;

[[nodiscard]] inline std::error_code make_error_code(errc e) noexcept {
  return {static_cast<int>(e), confman_category()};
}

// What went wrong, where, and what to do. Converts to true when it is an error.
struct failure {
  std::error_code code;
  std::string what;

  failure() = default;
  failure(std::error_code c, std::string w) : code(c), what(std::move(w)) {}
  failure(errc c, std::string w) : code(make_error_code(c)), what(std::move(w)) {}
  // With the code's own sentence: where there is nothing more to say.
  explicit failure(errc c) : code(make_error_code(c)), what(code.message()) {}

  explicit operator bool() const noexcept { return static_cast<bool>(code); }
};

// A failure as an exception: code() is its code, what() its sentence and nothing else.
class failure_exception : public std::system_error {
 public:
  explicit failure_exception(failure error)
      : std::system_error(error.code), text_(std::make_shared<const std::string>(std::move(error.what))) {}
  [[nodiscard]] const char* what() const noexcept override { return text_->c_str(); }

 private:
  std::shared_ptr<const std::string> text_;  // shared: copying an exception must not throw
};

// Either a value or a failure.
template <class T>
class result {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): a function returns either as it is
  result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  result(failure error) : state_(std::in_place_index<1>, std::move(error)) {}

  [[nodiscard]] explicit operator bool() const noexcept { return state_.index() == 0; }
  [[nodiscard]] T& operator*() & { return std::get<0>(state_); }
  [[nodiscard]] const T& operator*() const& { return std::get<0>(state_); }
  [[nodiscard]] T&& operator*() && { return std::get<0>(std::move(state_)); }
  [[nodiscard]] T* operator->() { return &std::get<0>(state_); }
  [[nodiscard]] const T* operator->() const { return &std::get<0>(state_); }
  [[nodiscard]] const failure& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, failure> state_;
};

}  // namespace confman

template <>
struct std::is_error_code_enum<confman::errc> : std::true_type {};

#if !defined(CONFMAN_COMPILED)
#include "confman/impl/error.ipp"
#endif
