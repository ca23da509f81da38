// The compiled bodies of the map layer.
#include "confman/map/command.hpp"
#include "confman/map/limits.hpp"

#include "confman/map/impl/command.ipp"
#include "confman/map/impl/limits.ipp"
