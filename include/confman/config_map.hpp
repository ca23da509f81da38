// The public face: a map that the members of a cluster agree on, inside this process.
#pragma once

// Before Asio: 1.22 allocates in another way where no standard header came first, and one program must not
// mix both.
#include "confman/config.hpp"

#include <asio/async_result.hpp>
#include <chrono>
#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/map/map_state.hpp"
#include "confman/options.hpp"
#include "confman/runtime/client_session.hpp"
#include "confman/runtime/consistency.hpp"
#include "confman/runtime/initiate.hpp"
#include "confman/runtime/node.hpp"
#include "confman/runtime/owned_context.hpp"
#include "confman/runtime/watch_handle.hpp"
#include "confman/transport/tcp_transport.hpp"

namespace confman {

namespace detail {

// The user's options, checked, in the runtime's terms. On a failure the node reports it when it is run.
[[nodiscard]] CONFMAN_DECL node_options translate(const options& o);
[[nodiscard]] CONFMAN_DECL tcp_options translate_tcp(const options& o);

// A write by this node, checked and encoded, or why it may not be proposed.
[[nodiscard]] CONFMAN_DECL result<prepared_write> prepare(const options& o, command_kind kind,
                                                          std::string_view key, std::string_view value,
                                                          std::uint64_t expected_revision, const once& token);
// The same for what concerns a session itself: to open one, which stays open while it isn't idle for longer
// than `time_to_live`; or to close or keep alive `session`.
[[nodiscard]] CONFMAN_DECL result<prepared_write> prepare_session(const options& o, command_kind kind,
                                                                  std::uint64_t session,
                                                                  std::chrono::milliseconds time_to_live);

[[noreturn]] CONFMAN_DECL void throw_failure(const failure& error);

}  // namespace detail

// What a write did: result.at is its version, result.previous_revision the key's revision before it (0:
// none).
using write_result = apply_result;

// A replicated configuration map.
//
//   Transport   carries messages between members: tcp_transport, loopback_transport, or your own
//   Storage     makes the log durable: file_storage, memory_storage (not durable), or your own
//
// Thread safety: every member function may be called from any thread, at the same time, except the
// constructor, the destructor, and start(), which is called once, before wait(). Lifetime: the executor's
// context must outlive the map; entries, snapshots and watches may outlive it, guards may not.
//
// Completion: asynchronous operations take any completion token with the signature stated, call the handler
// on its associated executor (by default the map's) and never inline. Keys and values are copied before the
// call returns. Cancelling through the handler's cancellation slot ends the wait with
// asio::error::operation_aborted: reads for any type; what changes something for `terminal` and `partial`,
// since it may still happen once it was sent (`total` would promise that it doesn't, and is ignored).
//
// Errors of every write, asynchronous and blocking.
// Certainly not applied: not_leader, no_leader, busy, stopped, key_*, value_too_large, compare_failed,
// bad_command (members of different versions), bad_option (an impossible `once` or time), upload_expired (a
// large value's pieces came too slowly); storage_failed, sync_failed, log_damaged and log_diverged, which
// end this node while the write still waits in it; of the blocking forms would_deadlock.
// It may or may not have been applied: outcome_unknown (also when this node ends after it sent the write) and
// asio::error::operation_aborted.
template <class Transport, class Storage>
class basic_config_map {
 public:
  using executor_type = asio::any_io_executor;

  // On the host's executor. Starts nothing and opens nothing yet. Further arguments go to the Transport,
  // before node id and executor (for loopback_transport: the network); they must outlive the map and what its
  // executor still has to run for it.
  basic_config_map(executor_type executor, options o);
  template <class First, class... Others>
  basic_config_map(executor_type executor, options o, First& transport_argument, Others&... others);
  template <std::derived_from<asio::execution_context> ExecutionContext>
  basic_config_map(ExecutionContext& context, options o)
      : basic_config_map(context.get_executor(), std::move(o)) {}
  // On one thread of its own, for hosts without an event loop. Use start() and wait().
  explicit basic_config_map(options o);

  basic_config_map(const basic_config_map&) = delete;
  basic_config_map& operator=(const basic_config_map&) = delete;
  // Cancels everything. Waits for the disk write that is under way, for work on a snapshot to notice (at most
  // a block of it), and for replaced states to be freed.
  ~basic_config_map();

  [[nodiscard]] executor_type get_executor() const { return node_->executor(); }

  // --- life ---

  // Opens the data directory, listens, and takes part in the cluster until stop(). Completes when all has
  // ended: without an error after stop(), else with the reason; last_failure().what says where and what to
  // do. Nothing on disk is changed before options, address and directory are found good. Signature:
  // void(std::error_code). Errors: bad_option, bad_address, address_in_use, directory_in_use, wrong_cluster,
  // wrong_node, format_unsupported, log_damaged, snapshot_damaged, storage_failed, sync_failed, log_diverged;
  // stopped if it ran before. Cancellation (terminal, partial): the same as stop(), also without an error
  // then.
  template <class CompletionToken>
  auto async_run(CompletionToken&& token);

  // The same for hosts without an event loop: returns when this node takes part (not yet: when there is a
  // leader), or why it can't. Must not be called on the executor's threads.
  [[nodiscard]] failure start();
  // Blocks until a map that was start()ed has ended; returns why, nothing after stop().
  failure wait();
  // Refuses new work, hands leadership over, takes a last snapshot with options.snapshot_on_stop, fails what
  // waits (outcome_unknown for writes that were sent), lets the disk write under way end, and closes. Returns
  // at once. The end comes at once on a follower; on a leader when another leads, after an election timeout
  // at most; and when the snapshot is written, if one is wanted.
  void stop() { node_->stop(); }

  // As of the end of the queue's last turn: it may follow the completion of an operation by a moment.
  [[nodiscard]] node_status status() const { return node_->status(); }
  // Why the map ended or did not start; nothing if all is well.
  [[nodiscard]] failure last_failure() const { return node_->last_failure(); }

  // --- writes: durable on a majority when they complete; on a follower forwarded to the leader, once ---

  // Signature of each: void(std::error_code, write_result).
  template <class CompletionToken>
  auto async_put(std::string_view key, std::string_view value, CompletionToken&& token) {
    return write(command_kind::put, key, value, 0, {}, std::forward<CompletionToken>(token));
  }
  // Erasing a key that doesn't exist is no error; result.existed tells.
  template <class CompletionToken>
  auto async_erase(std::string_view key, CompletionToken&& token) {
    return write(command_kind::erase, key, {}, 0, {}, std::forward<CompletionToken>(token));
  }
  // Puts only if the key's modify revision is `expected_revision` (0: only if it doesn't exist); else
  // compare_failed, and result.previous_revision is the current one.
  template <class CompletionToken>
  auto async_compare_exchange(std::string_view key, std::uint64_t expected_revision, std::string_view value,
                              CompletionToken&& token) {
    return write(command_kind::compare_exchange, key, value, expected_revision, {},
                 std::forward<CompletionToken>(token));
  }
  // Erases only if the key's modify revision is `expected_revision`; else compare_failed, and
  // result.previous_revision is the current one. 0 means "doesn't exist", as above: then there is nothing to
  // erase and it succeeds with result.existed false.
  template <class CompletionToken>
  auto async_compare_erase(std::string_view key, std::uint64_t expected_revision, CompletionToken&& token) {
    return write(command_kind::compare_erase, key, {}, expected_revision, {},
                 std::forward<CompletionToken>(token));
  }

  // --- exactly once: a write with a session and a sequence has one effect, however often and wherever it is
  // sent ---

  // The same writes with a token of a client_session. A repeated one gets the first one's answer; while it
  // waits it is passed on again by itself when the leader changes. Further errors: session_expired, busy (too
  // many without an end).
  template <class CompletionToken>
  auto async_put(std::string_view key, std::string_view value, const once& token_of_session,
                 CompletionToken&& token) {
    return write(command_kind::put, key, value, 0, token_of_session, std::forward<CompletionToken>(token));
  }
  template <class CompletionToken>
  auto async_erase(std::string_view key, const once& token_of_session, CompletionToken&& token) {
    return write(command_kind::erase, key, {}, 0, token_of_session, std::forward<CompletionToken>(token));
  }
  template <class CompletionToken>
  auto async_compare_exchange(std::string_view key, std::uint64_t expected_revision, std::string_view value,
                              const once& token_of_session, CompletionToken&& token) {
    return write(command_kind::compare_exchange, key, value, expected_revision, token_of_session,
                 std::forward<CompletionToken>(token));
  }
  template <class CompletionToken>
  auto async_compare_erase(std::string_view key, std::uint64_t expected_revision,
                           const once& token_of_session, CompletionToken&& token) {
    return write(command_kind::compare_erase, key, {}, expected_revision, token_of_session,
                 std::forward<CompletionToken>(token));
  }
  write_result put(std::string_view key, std::string_view value, const once& token_of_session,
                   std::error_code& error) {
    return write_blocking(command_kind::put, key, value, 0, error, token_of_session);
  }
  write_result erase(std::string_view key, const once& token_of_session, std::error_code& error) {
    return write_blocking(command_kind::erase, key, {}, 0, error, token_of_session);
  }

  // Opens a session: result.revision is its id, for a client_session. It ends when it has not been used for
  // `time_to_live` (1 ms to 7 days) of the cluster's time, or is closed, or 65,536 newer ones are in use.
  // Signature of each: void(std::error_code, write_result). Errors: those of writes; session_expired of the
  // last two. An open whose outcome is unknown may leave a session that ends by itself.
  template <class CompletionToken>
  auto async_open_session(std::chrono::milliseconds time_to_live, CompletionToken&& token) {
    return session(command_kind::session_open, 0, time_to_live, std::forward<CompletionToken>(token));
  }
  template <class CompletionToken>
  auto async_close_session(std::uint64_t session_id, CompletionToken&& token) {
    return session(command_kind::session_close, session_id, {}, std::forward<CompletionToken>(token));
  }
  template <class CompletionToken>
  auto async_keep_session(std::uint64_t session_id, CompletionToken&& token) {
    return session(command_kind::session_keep_alive, session_id, {}, std::forward<CompletionToken>(token));
  }
  // Blocking; 0 with an error.
  std::uint64_t open_session(std::chrono::milliseconds time_to_live, std::error_code& error) {
    return run_blocking(detail::prepare_session(options_, command_kind::session_open, 0, time_to_live), error)
        .revision;
  }

  // The same, blocking the calling thread. Without `error` they throw failure_exception, a std::system_error
  // whose what() is one sentence: the key, what is wrong and what to do. On the map's own
  // queue or thread they fail with would_deadlock; on threads of the host's executor they block it, for ever
  // if it has no other: use the asynchronous ones there.
  write_result put(std::string_view key, std::string_view value, std::error_code& error) {
    return write_blocking(command_kind::put, key, value, 0, error);
  }
  write_result put(std::string_view key, std::string_view value) {
    return write_throwing(command_kind::put, key, value, 0);
  }
  write_result erase(std::string_view key, std::error_code& error) {
    return write_blocking(command_kind::erase, key, {}, 0, error);
  }
  write_result erase(std::string_view key) { return write_throwing(command_kind::erase, key, {}, 0); }
  write_result compare_exchange(std::string_view key, std::uint64_t expected_revision, std::string_view value,
                                std::error_code& error) {
    return write_blocking(command_kind::compare_exchange, key, value, expected_revision, error);
  }
  write_result compare_erase(std::string_view key, std::uint64_t expected_revision, std::error_code& error) {
    return write_blocking(command_kind::compare_erase, key, {}, expected_revision, error);
  }

  // --- reads of this node's state: never block, never wait for a writer ---

  // An entry, owned by whoever holds it; it never changes. Nothing for a key that can't exist, as for one
  // that doesn't: validate_key() tells them apart.
  [[nodiscard]] std::optional<map_entry> get(std::string_view key) const { return node_->map().get(key); }
  // A consistent view for a short while, without even a reference count: keep it no longer than a function
  // call. `const auto guard = map.read(); guard.find(key)`: what it finds is valid while the guard lives.
  [[nodiscard]] read_guard read() const { return node_->map().read(); }
  // A consistent view for as long as you like.
  [[nodiscard]] map_snapshot snapshot() const { return node_->map().snapshot(); }
  // The entries whose key begins with `prefix`, in the order of their keys.
  [[nodiscard]] std::vector<map_entry> list(std::string_view prefix) const;

  // --- reads as fresh as asked ---

  // local: this node's state; linearizable: after every write acknowledged anywhere before this call began
  // (one round to the leader's quorum, on any member); at_least(version): after that version, on any member.
  // A version is one that a write or read of this cluster has given out: it is committed, so its index says
  // it all, and the term isn't looked at. Signature: void(std::error_code, std::optional<map_entry>); no
  // entry without an error: there is no such key. Errors: key_* (no such key can exist), timed_out (no
  // majority answered in time, or the version was not reached), busy, stopped; storage_failed, sync_failed,
  // log_damaged, log_diverged when this node ends meanwhile; operation_aborted. Safe to repeat.
  template <class CompletionToken>
  auto async_get(std::string_view key, consistency freshness, CompletionToken&& token);
  // Completes when this node's state is that fresh: then get(), read(), list() see it. Signature:
  // void(std::error_code). Errors: those of async_get() but key_*.
  template <class CompletionToken>
  auto async_read_barrier(consistency freshness, CompletionToken&& token);

  // The same, blocking the calling thread for up to options.request_timeout; with `local` they never block.
  // Errors as above; would_deadlock on the map's own queue or thread. Nothing is returned with an error.
  [[nodiscard]] std::optional<map_entry> get(std::string_view key, consistency freshness,
                                             std::error_code& error) const;
  void read_barrier(consistency freshness, std::error_code& error) const;

  // --- the cluster ---

  // Who the members are, by this node's log; see also status().change_under_way.
  [[nodiscard]] configuration members() const { return node_->status().members; }

  // Changes the members: add, remove, promote, demote, several at once; through a joint phase where needed,
  // no restart. On the leader. Completes when the new configuration is committed. Signature:
  // void(std::error_code, version). Errors: refused, nothing happened: not_leader (status().leader is),
  // change_in_flight, bad_change, bad_address, already_a_member, not_a_member, last_voter, learner_behind,
  // busy, stopped; undone: change_undone; it may still happen, see members(): outcome_unknown. Cancelling
  // ends the wait, not the change.
  template <class CompletionToken>
  auto async_change_members(std::vector<member_change> changes, CompletionToken&& token) {
    return cluster({cluster_operation::action::change_members, std::move(changes), {}}, detail::finish_at{},
                   std::forward<CompletionToken>(token));
  }
  // Hands leadership to `to` (0: to the best of the others). On the leader. Completes when it has taken over,
  // or after an election timeout. Writes wait meanwhile. Signature: void(std::error_code). Errors: busy,
  // not_leader, not_a_member (also of 0, when no other voter has been heard from yet), transfer_failed (this
  // node leads on), stopped; outcome_unknown (no leader was seen in time). Cancelling ends the wait, not the
  // transfer.
  template <class CompletionToken>
  auto async_transfer_leadership(std::uint64_t to, CompletionToken&& token) {
    return cluster<void(std::error_code)>({cluster_operation::action::transfer, {}, node_id(to)},
                                          detail::finish_without_place{},
                                          std::forward<CompletionToken>(token));
  }
  // Takes a snapshot of this node's state now. Readers and writers go on. Completes when it is durable, with
  // what it contains; there is no deadline. Signature: void(std::error_code, version). Errors: bad_option
  // (nothing was ever applied here), busy, storage_failed (the node goes on), sync_failed (it ends), stopped.
  // Cancelling ends the wait, not the snapshot.
  template <class CompletionToken>
  auto async_snapshot(CompletionToken&& token) {
    return cluster({cluster_operation::action::snapshot, {}, {}}, detail::finish_at{},
                   std::forward<CompletionToken>(token));
  }
  // A snapshot, copied to a new file: what restore() makes a new cluster of. As async_snapshot(); further
  // errors: bad_option (there is such a file), snapshot_damaged. Nothing is at `path` after an error.
  // Cancelling ends the wait for the snapshot; a copy that has begun goes on to its end.
  template <class CompletionToken>
  auto async_backup(std::string path, CompletionToken&& token) {
    return cluster({cluster_operation::action::snapshot, {}, {}},
                   detail::finish_backup<node_type>{node_.get(), std::move(path)},
                   std::forward<CompletionToken>(token));
  }

  // The same, blocking; the failure's text says more than its code. Further error: would_deadlock, on the
  // map's own queue or thread.
  failure change_members(std::vector<member_change> changes) {
    return cluster_blocking({cluster_operation::action::change_members, std::move(changes), {}}).error;
  }
  failure transfer_leadership(std::uint64_t to) {
    return cluster_blocking({cluster_operation::action::transfer, {}, node_id(to)}).error;
  }
  [[nodiscard]] result<version> take_snapshot() {
    const detail::cluster_answer answer = cluster_blocking({cluster_operation::action::snapshot, {}, {}});
    if (answer.error) return answer.error;
    return answer.at;
  }
  [[nodiscard]] failure backup(std::string path);

  // --- watches ---

  // Calls on_change(const change_batch&) for every change under `prefix` (one with which no key can begin
  // never has any), in order, without gap or duplicate, until the handle is destroyed: from now on, or from
  // after a revision within the history kept. It runs on on_change's associated executor (by default the
  // map's), one call at a time, and must not throw. A batch with an error (compacted, watch_lagged,
  // revision_in_future, stopped) is the last. "Now" is what this member's map has: a watch from before the
  // log is replayed, after a restart, is called for those old changes, too, as a reader of the map sees them
  // come. Who knows a revision already skips what it stands for by watching after that.
  template <class OnChange>
  [[nodiscard]] watch_handle watch(std::string_view prefix, OnChange on_change);
  template <class OnChange>
  [[nodiscard]] watch_handle watch(std::string_view prefix, std::uint64_t after_revision, OnChange on_change);

 private:
  using node_type = node<Transport, Storage>;

  template <class CompletionToken>
  auto write(command_kind kind, std::string_view key, std::string_view value, std::uint64_t expected,
             const once& token_of_session, CompletionToken&& token);
  template <class CompletionToken>
  auto session(command_kind kind, std::uint64_t id, std::chrono::milliseconds time_to_live,
               CompletionToken&& token);
  template <class Signature = void(std::error_code, version), class Finish, class CompletionToken>
  auto cluster(detail::cluster_request request, Finish finish, CompletionToken&& token) {
    return asio::async_initiate<CompletionToken, Signature>(detail::initiate_cluster<node_type>(node_), token,
                                                            std::move(request), std::move(finish));
  }
  detail::cluster_answer cluster_blocking(detail::cluster_request request);
  write_result run_blocking(result<detail::prepared_write> write, std::error_code& error);
  write_result write_blocking(command_kind kind, std::string_view key, std::string_view value,
                              std::uint64_t expected, std::error_code& error,
                              const once& token_of_session = {}) {
    return run_blocking(detail::prepare(options_, kind, key, value, expected, token_of_session), error);
  }
  write_result write_throwing(command_kind kind, std::string_view key, std::string_view value,
                              std::uint64_t expected);
  // What is known about why the map ended with this code.
  [[nodiscard]] failure reason(std::error_code code) const;
  // On this thread a blocking call would wait for itself.
  [[nodiscard]] bool must_not_block() const noexcept;

  options options_;
  std::shared_ptr<detail::owned_context> owned_;  // null on the host's executor
  std::shared_ptr<node_type> node_;
  std::shared_ptr<detail::blocking_read> ended_;  // of start(); shared with the queue
};

// The map most hosts want: TCP between the members, a write-ahead log in a directory.
using config_map = basic_config_map<tcp_transport, file_storage>;

}  // namespace confman

#include "confman/impl/config_map_members.hpp"

#if defined(CONFMAN_COMPILED)
// Compiled once, in the library: a user's file only instantiates what depends on its own handlers.
namespace confman {
extern template class group<tcp_transport, node<tcp_transport, file_storage>::storage_port>;
extern template class node<tcp_transport, file_storage>;
extern template class basic_config_map<tcp_transport, file_storage>;
}  // namespace confman
#else
#include "confman/impl/config_map.ipp"
#endif
