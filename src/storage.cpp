// The compiled bodies of the storage layer.
#include "confman/storage/concepts.hpp"
#include "confman/storage/file_system.hpp"
#include "confman/storage/log.hpp"
#include "confman/storage/log_directory.hpp"
#include "confman/storage/log_format.hpp"
#include "confman/storage/log_options.hpp"
#include "confman/storage/log_replay.hpp"
#include "confman/storage/memory_storage.hpp"

#include "confman/storage/impl/file_system.ipp"
#include "confman/storage/impl/log_format.ipp"
#include "confman/storage/impl/log_replay.ipp"
