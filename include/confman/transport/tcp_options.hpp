// What can be set of a tcp_transport.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "confman/core/ids.hpp"
#include "confman/transport/lane.hpp"

namespace confman {

struct tcp_options {
  node_id self;
  std::string listen;                    // "host:port" to accept connections at; port 0: any free one
  std::string advertise;                 // what peers are told; empty: the address listened at
  std::map<node_id, std::string> peers;  // "host:port"; an entry for self is ignored

  std::size_t max_frame_bytes = std::size_t{64} << 20;  // larger messages are neither sent nor accepted
  // What may wait for one peer until the kernel takes it, in bytes, per lane (see lane.hpp).
  std::size_t max_urgent_bytes = std::size_t{4} << 20;
  std::size_t max_queued_bytes = std::size_t{64} << 20;  // of the ordinary lane
  std::size_t max_bulk_bytes = default_max_bulk_bytes;
  std::size_t max_queued_messages = 16384;         // per peer and lane
  std::size_t max_incoming = 256;                  // connections accepted at a time
  std::size_t max_guests = 16;                     // of those, from nodes that want to join
  std::chrono::milliseconds guest_timeout{10000};  // after a guest's last question

  std::chrono::milliseconds backoff_min{50};  // before the first try to connect again; then doubling
  std::chrono::milliseconds backoff_max{2000};
  std::chrono::milliseconds connect_timeout{2000};  // looking up, connecting and the hello together
  std::chrono::milliseconds hello_timeout{2000};    // for who connects here to say who it is
  std::chrono::milliseconds dead_peer_timeout{
      5000};               // sent bytes not acknowledged for so long: connect anew (Linux)
  std::uint64_t seed = 0;  // of the jitter in the back-off: draw one per process
};

}  // namespace confman
