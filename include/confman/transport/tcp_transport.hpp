// Messages over TCP.
#pragma once

#include <asio/any_io_executor.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "confman/core/ids.hpp"
#include "confman/core/message.hpp"
#include "confman/error.hpp"
#include "confman/transport/concepts.hpp"
#include "confman/transport/tcp_options.hpp"

namespace confman {

namespace detail {
class tcp_engine;
}

// One outgoing connection per peer to send on; what peers send arrives on connections they made.
//
// Thread safety: all methods must be called on `executor`, which must run one handler at a time (a strand, or
// a context with one thread); the handlers run there too. No thread of its own, except that Asio starts one
// when a peer's host is a name and not a number. Lifetime: the executor's context must outlive this object.
// It may be destroyed, and so may its context, with operations pending.
class tcp_transport {
 public:
  CONFMAN_DECL tcp_transport(asio::any_io_executor executor, tcp_options options);
  tcp_transport(tcp_transport&&) = delete;
  CONFMAN_DECL ~tcp_transport();  // stops

  // Takes the listen address, before anything else starts; nothing is accepted yet. Once.
  // Errors: address_in_use; bad_address (here or of a peer); bad_option.
  [[nodiscard]] CONFMAN_DECL failure listen();

  // Accepts and connects from now on, as this incarnation in this cluster. Precondition: listen() succeeded.
  // Once.
  CONFMAN_DECL void start(cluster_id cluster, incarnation_id incarnation, transport_handlers handlers);

  // Writes what the kernel takes at once, closes every connection, and drops the rest. No handler is called
  // any more once this has returned; pending operations end by themselves on the executor. May be called from
  // a handler, and twice.
  CONFMAN_DECL void stop();

  // Never blocks, never calls a handler, never sends a message twice. Drops the message if the peer is
  // unknown or can't be reached now, if its queue is full, or if it exceeds max_frame_bytes; then
  // on_unreachable(to) follows from the executor (once for a full queue, until it is half empty; not for a
  // full bulk lane: see bulk_room()). Two messages go where others can't: a join_request to a peer that
  // doesn't know this node makes it come there as a guest from its next connection on, and a join_response
  // answers a guest.
  CONFMAN_DECL void send(message&& m);

  // Writes what was sent since the last flush: see flushable_transport.
  CONFMAN_DECL void flush();

  // Connects to a peer, and accepts its connections, at any time. A known peer's address is replaced: what
  // was queued is dropped, and on_unreachable follows. A guest of that id is disconnected, to come back as a
  // member. Errors: bad_address.
  CONFMAN_DECL failure add_peer(node_id peer, const std::string& address);
  // Closes its connections, drops what is queued, and refuses it from now on.
  CONFMAN_DECL void remove_peer(node_id peer);

  // The port listened at, 0 before listen().
  [[nodiscard]] CONFMAN_DECL std::uint16_t port() const noexcept;
  // Whether messages to `peer` can leave now; as a guest only a join_request could, which doesn't count.
  [[nodiscard]] CONFMAN_DECL bool connected(node_id peer) const noexcept;
  // Bytes of bulk messages that send() would take for `peer` now: see paced_transport.
  [[nodiscard]] CONFMAN_DECL std::size_t bulk_room(node_id peer) const noexcept;

 private:
  std::shared_ptr<detail::tcp_engine> engine_;
};

static_assert(flushable_transport<tcp_transport> && paced_transport<tcp_transport>);

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/transport/impl/tcp_transport.ipp"
#endif
