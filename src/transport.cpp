// The compiled bodies of the transport layer.
#include "confman/transport/address.hpp"
#include "confman/transport/concepts.hpp"
#include "confman/transport/framing.hpp"
#include "confman/transport/loopback_transport.hpp"
#include "confman/transport/tcp_transport.hpp"

#include "confman/transport/impl/framing.ipp"
#include "confman/transport/impl/loopback_transport.ipp"
#include "confman/transport/impl/tcp_context.ipp"
#include "confman/transport/impl/tcp_engine.ipp"
#include "confman/transport/impl/tcp_link.ipp"
#include "confman/transport/impl/tcp_session.ipp"
#include "confman/transport/impl/tcp_transport.ipp"
