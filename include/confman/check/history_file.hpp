// Reads and writes histories as JSON lines (docs/format/history.md). Needs RapidJSON: a confman::check built
// without it has none of these functions, and with headers alone this one doesn't compile.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>

#include "confman/check/operation.hpp"
#include "confman/config.hpp"
#include "confman/error.hpp"

namespace confman::check {

// One line, without its end. A failure (std::errc::bad_message) says what is wrong with it and what to do;
// members that the format doesn't know are ignored.
[[nodiscard]] CONFMAN_DECL result<operation> read_operation(std::string_view line);

// Every line of a stream; empty lines are skipped. The operations carry their line numbers plus `first_line`,
// a failure names that of its line. Errors: as read_operation(); std::errc::io_error.
[[nodiscard]] CONFMAN_DECL result<history> read_history(std::istream& in, std::size_t first_line = 0);

// The line of an operation, without its end. Reads back as the same operation, but for `line`.
[[nodiscard]] CONFMAN_DECL std::string write_operation(const operation& op);

}  // namespace confman::check

#if !defined(CONFMAN_COMPILED)
#include "confman/check/impl/history_file.ipp"
#endif
