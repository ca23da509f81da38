// The public face: a map that the members of a cluster agree on, inside this process.
#pragma once

// Before Asio: 1.22 allocates in another way where no standard header came first, and one program must not
// mix both.
#include "confman/config.hpp"

#include <asio/async_result.hpp>
#include <concepts>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/map/map_state.hpp"
#include "confman/options.hpp"
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

// The bytes of a command by this node, or why it may not be proposed.
[[nodiscard]] CONFMAN_DECL result<shared_bytes> make_command(const options& o, command_kind kind,
                                                             std::string_view key, std::string_view value,
                                                             std::uint64_t expected_revision);

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
// constructor and the destructor. Lifetime: the executor's context must outlive the map; entries, snapshots
// and watches may outlive it, guards may not.
//
// Completion: asynchronous operations take any completion token with the signature stated, call the handler
// on its associated executor (by default the map's) and never inline. Cancelling through the handler's
// cancellation slot (any type) ends the wait with asio::error::operation_aborted; a write that was already
// sent may still be applied.
//
// Errors of every write, asynchronous and blocking.
// Certainly not applied: not_leader, no_leader, busy, stopped, key_*, value_too_large, compare_failed,
// bad_command (members of different versions); storage_failed, log_damaged and log_diverged, which end this
// node while the write still waits in it; of the blocking forms would_deadlock.
// It may or may not have been applied: outcome_unknown (also when this node ends after it sent the write) and
// asio::error::operation_aborted.
template <class Transport, class Storage>
class basic_config_map {
 public:
  using executor_type = asio::any_io_executor;

  // On the host's executor. Starts nothing and opens nothing yet. Further arguments go to the Transport,
  // before node id and executor (for loopback_transport: the network); they must outlive the map.
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
  // Cancels everything. Waits at most for the disk write that is under way.
  ~basic_config_map();

  [[nodiscard]] executor_type get_executor() const { return node_->executor(); }

  // --- life ---

  // Opens the data directory, listens, and takes part in the cluster until stop(). Completes when all has
  // ended: without an error after stop(), else with the reason; last_failure().what says where and what to
  // do. Nothing on disk is changed before options, address and directory are found good. Signature:
  // void(std::error_code). Errors: bad_option, bad_address, address_in_use, directory_in_use, wrong_cluster,
  // wrong_node, format_unsupported, log_damaged, storage_failed, log_diverged; stopped if it ran before.
  // Cancellation: the same as stop().
  template <class CompletionToken>
  auto async_run(CompletionToken&& token);

  // The same for hosts without an event loop: returns when this node takes part (not yet: when there is a
  // leader), or why it can't. Must not be called on the executor's threads.
  [[nodiscard]] failure start();
  // Blocks until a map that was start()ed has ended; returns why, nothing after stop().
  failure wait();
  // Refuses new work, fails what waits (outcome_unknown for writes that were sent), lets the disk write under
  // way end, and closes. Returns at once.
  void stop() { node_->stop(); }

  [[nodiscard]] node_status status() const { return node_->status(); }
  // Why the map ended or did not start; nothing if all is well.
  [[nodiscard]] failure last_failure() const { return node_->last_failure(); }

  // --- writes: durable on a majority when they complete; on a follower forwarded to the leader, once ---

  // Signature of each: void(std::error_code, write_result).
  template <class CompletionToken>
  auto async_put(std::string_view key, std::string_view value, CompletionToken&& token) {
    return write(command_kind::put, key, value, 0, std::forward<CompletionToken>(token));
  }
  // Erasing a key that doesn't exist is no error; result.existed tells.
  template <class CompletionToken>
  auto async_erase(std::string_view key, CompletionToken&& token) {
    return write(command_kind::erase, key, {}, 0, std::forward<CompletionToken>(token));
  }
  // Puts only if the key's modify revision is `expected_revision` (0: only if it doesn't exist); else
  // compare_failed, and result.previous_revision is the current one.
  template <class CompletionToken>
  auto async_compare_exchange(std::string_view key, std::uint64_t expected_revision, std::string_view value,
                              CompletionToken&& token) {
    return write(command_kind::compare_exchange, key, value, expected_revision,
                 std::forward<CompletionToken>(token));
  }
  // Erases only if the key's modify revision is `expected_revision`; else compare_failed, and
  // result.previous_revision is the current one. 0 means "doesn't exist", as above: then there is nothing to
  // erase and it succeeds with result.existed false.
  template <class CompletionToken>
  auto async_compare_erase(std::string_view key, std::uint64_t expected_revision, CompletionToken&& token) {
    return write(command_kind::compare_erase, key, {}, expected_revision,
                 std::forward<CompletionToken>(token));
  }

  // The same, blocking the calling thread. Without `error` they throw std::system_error. On the map's own
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

  // An entry, owned by whoever holds it; it never changes.
  [[nodiscard]] std::optional<map_entry> get(std::string_view key) const { return node_->map().get(key); }
  // A consistent view for a short while, without even a reference count: keep it no longer than a function
  // call.
  [[nodiscard]] read_guard read() const { return node_->map().read(); }
  // A consistent view for as long as you like.
  [[nodiscard]] map_snapshot snapshot() const { return node_->map().snapshot(); }
  // The entries whose key begins with `prefix`, in the order of their keys.
  [[nodiscard]] std::vector<map_entry> list(std::string_view prefix) const;

  // --- reads as fresh as asked ---

  // local: this node's state; linearizable: after every write acknowledged anywhere before this call began
  // (one round to the leader's quorum, on any member); at_least(version): after that version, on any member.
  // Signature: void(std::error_code, std::optional<map_entry>); no entry without an error: there is no such
  // key. Errors: timed_out (no majority answered in time, or the version was not reached), busy, stopped;
  // storage_failed, log_damaged, log_diverged when this node ends meanwhile; operation_aborted. Safe to
  // repeat.
  template <class CompletionToken>
  auto async_get(std::string_view key, consistency freshness, CompletionToken&& token);
  // Completes when this node's state is that fresh: then get(), read(), list() see it. Signature:
  // void(std::error_code).
  template <class CompletionToken>
  auto async_read_barrier(consistency freshness, CompletionToken&& token);

  // The same, blocking the calling thread for up to options.request_timeout; with `local` they never block.
  // Errors as above; would_deadlock on the map's own queue or thread. Nothing is returned with an error.
  [[nodiscard]] std::optional<map_entry> get(std::string_view key, consistency freshness,
                                             std::error_code& error) const;
  void read_barrier(consistency freshness, std::error_code& error) const;

  // --- watches ---

  // Calls on_change(const change_batch&) for every change under `prefix`, in order, without gap or duplicate,
  // until the handle is destroyed: from now on, or from after a revision within the history kept. It runs on
  // the map's executor, one call at a time. A batch with an error (compacted, watch_lagged,
  // revision_in_future, stopped) is the last.
  template <class OnChange>
  [[nodiscard]] watch_handle watch(std::string_view prefix, OnChange on_change);
  template <class OnChange>
  [[nodiscard]] watch_handle watch(std::string_view prefix, std::uint64_t after_revision, OnChange on_change);

 private:
  using node_type = node<Transport, Storage>;

  template <class CompletionToken>
  auto write(command_kind kind, std::string_view key, std::string_view value, std::uint64_t expected,
             CompletionToken&& token);
  write_result write_blocking(command_kind kind, std::string_view key, std::string_view value,
                              std::uint64_t expected, std::error_code& error);
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
