// confman: a replicated configuration map inside your own process. This is the one header to include.
#pragma once

#include "confman/config_map.hpp"
#include "confman/restore.hpp"
