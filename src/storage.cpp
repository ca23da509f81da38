// The compiled bodies of the storage layer.
#include "confman/storage/concepts.hpp"
#include "confman/storage/crc32c.hpp"
#include "confman/storage/file_system.hpp"
#include "confman/storage/memory_storage.hpp"

#include "confman/storage/impl/crc32c.ipp"
#include "confman/storage/impl/file_system.ipp"
