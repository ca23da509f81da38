// The node in memory that the other tests use, compiled once.
#include "net_harness.hpp"

template class confman::group<
    confman::loopback_transport,
    confman::node<confman::loopback_transport, confman::memory_storage>::storage_port>;
template class confman::node<confman::loopback_transport, confman::memory_storage>;
