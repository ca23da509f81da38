// What the runtime asks of a transport.
#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <limits>
#include <utility>

#include "confman/core/ids.hpp"
#include "confman/core/message.hpp"
#include "confman/error.hpp"

namespace confman {

// A transport carries messages between members, at most once each, in order per pair of nodes and lane (see
// lane.hpp) as long as none is lost. Raft needs no more: it repeats itself. send() never blocks and may drop,
// when a queue is full or the peer can't be reached; it never calls a handler before it returns.
template <class T>
concept transport = requires(T& t, message&& m) {
  { t.send(std::move(m)) } -> std::same_as<void>;
};

// A transport that gathers what was sent since the last flush() into one write. Calling flush() is never
// needed, only quicker: without it the transport flushes when the executor comes to its next handler.
template <class T>
concept flushable_transport = transport<T> && requires(T& t) {
  { t.flush() } -> std::same_as<void>;
};

template <transport T>
void flush_if_possible(T& t) {
  if constexpr (flushable_transport<T>) t.flush();
}

// A transport whose bulk lane is bounded on its own: bulk_room(peer) is how many bytes of bulk messages
// send() would take for this peer now, 0 if it can't be reached. What exceeds it is dropped without
// on_unreachable; so a sender of snapshots paces itself. A piece takes up to 128 bytes more than it carries.
template <class T>
concept paced_transport = transport<T> && requires(const T& t, node_id peer) {
  { t.bulk_room(peer) } -> std::same_as<std::size_t>;
};

template <transport T>
[[nodiscard]] std::size_t bulk_room_if_paced(const T& t, node_id peer) {
  if constexpr (paced_transport<T>)
    return t.bulk_room(peer);
  else
    return std::numeric_limits<std::size_t>::max();
}

// What a transport calls, always on the node's executor, never from inside send(), and never after stop()
// returned. Empty functions are allowed. Handlers may call any method of the transport.
struct transport_handlers {
  // A message for this node, from the peer it says it is from.
  std::function<void(message&&)> on_message;
  // What was queued or sent lately for this peer may be lost.
  std::function<void(node_id)> on_unreachable;
  // The calls that came together are over: drain now, once for all of them.
  std::function<void()> on_batch_end;
  // Something a person may have to know. The same sentence at most every ten seconds.
  std::function<void(const failure&)> on_event;
};

}  // namespace confman
