// The compiled bodies of the public face.
#include "confman/config_map.hpp"
#include "confman/options.hpp"

#include "confman/impl/config_map.ipp"
#include "confman/impl/options.ipp"
