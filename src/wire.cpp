// The compiled bodies of the wire layer.
#include "confman/wire/archive.hpp"
#include "confman/wire/crc32c.hpp"
#include "confman/wire/gather_buffer.hpp"
#include "confman/wire/message_codec.hpp"
#include "confman/wire/value_codec.hpp"

#include "confman/wire/impl/crc32c.ipp"
#include "confman/wire/impl/message_codec.ipp"
