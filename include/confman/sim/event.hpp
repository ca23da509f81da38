// What can happen in a simulated world.
#pragma once

#include <cstdint>

namespace confman::sim {

enum class event_kind : std::uint8_t {
  tick,         // a node's clock
  deliver,      // a message arrives
  unreachable,  // a node hears that a connection broke
  pump,         // a node drains its queue
  append,       // a write reaches the node's page cache
  sync,         // ... and its platter
  persisted,    // the node hears of it
  maintain,     // the node's disk thread has nothing to do
  fetch,        // the node's disk thread reads entries
  fetched,      // ... and the node hears of it
  work,         // the node's snapshot thread does what is next
  worked,       // ... and the node hears of it
  restart,
  resume,
  client,       // a client starts something
  heal,         // the network heals
  watcher,      // a watcher begins or ends a watch
  watched,      // ... and takes what it was told of
  application,  // an application is called back
};

struct event {
  event_kind kind = event_kind::tick;
  std::uint8_t node = 0;   // whose; 0: the world's
  std::uint32_t run = 0;   // of which life of the node, where that matters
  std::uint32_t slot = 0;  // which message, client, partition or peer
};

}  // namespace confman::sim
