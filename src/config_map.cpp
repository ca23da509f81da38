// The compiled bodies of the public face, and the explicit instantiation of the default types: what a user's
// file would otherwise compile again (see the extern templates at the end of config_map.hpp).
#include "confman/config_map.hpp"
#include "confman/options.hpp"
#include "confman/restore.hpp"

#include "confman/impl/config_map.ipp"
#include "confman/impl/options.ipp"
#include "confman/impl/restore.ipp"

namespace confman {

template class group<tcp_transport, node<tcp_transport, file_storage>::storage_port>;
template class node<tcp_transport, file_storage>;
template class basic_config_map<tcp_transport, file_storage>;

}  // namespace confman
