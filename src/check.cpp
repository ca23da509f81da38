// The compiled bodies of the checkers of histories.
#include "confman/check/history_file.hpp"
#include "confman/check/operation.hpp"

#include "confman/check/impl/history_file.ipp"
#include "confman/check/impl/operation.ipp"
