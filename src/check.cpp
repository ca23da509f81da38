// The compiled bodies of the checkers of histories.
#include "confman/check/history_file.hpp"
#include "confman/check/linearizability.hpp"
#include "confman/check/operation.hpp"
#include "confman/check/witness.hpp"
#include "confman/check/writes.hpp"

#include "confman/check/impl/linearizability.ipp"
#include "confman/check/impl/operation.ipp"
#include "confman/check/impl/witness.ipp"
#include "confman/check/impl/witness_unknown.ipp"
#include "confman/check/impl/writes.ipp"

// Histories as values can be judged without RapidJSON, files can't be read.
#if defined(CONFMAN_HAS_RAPIDJSON)
#include "confman/check/impl/history_file.ipp"
#endif
