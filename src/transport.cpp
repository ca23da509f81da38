// The compiled bodies of the transport layer.
#include "confman/transport/concepts.hpp"
#include "confman/transport/framing.hpp"

#include "confman/transport/impl/framing.ipp"
