// A run as text: its scenario and its decisions, to be kept, read by people, and carried out again.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "confman/config.hpp"
#include "confman/error.hpp"
#include "confman/sim/decision.hpp"
#include "confman/sim/scenario.hpp"

namespace confman::sim {

// What a world needs to carry out decisions instead of drawing them. A plain value.
struct script {
  scenario plan;
  std::vector<decision> decisions;
};

// The name of a kind, as in the text form.
[[nodiscard]] CONFMAN_DECL const char* name_of(decision_kind kind) noexcept;

// One decision in one line, without its end: "at TIME KIND FIELD=VALUE ...". Fields with their default are
// left out.
[[nodiscard]] CONFMAN_DECL std::string to_text(const decision& d);

// One line per field of the scenario ("NAME VALUE"), then one per decision.
[[nodiscard]] CONFMAN_DECL std::string to_text(const script& s);

// Reads what to_text() wrote. Empty lines and lines that begin with # are passed over; a field of the
// scenario that is missing has its default. errc::bad_option: the text is no script, or one that no world can
// run; the message names the line.
[[nodiscard]] CONFMAN_DECL result<script> read_script(std::string_view text);

// The same of a file; the message names it. errc::bad_option, too, if it can't be read.
[[nodiscard]] CONFMAN_DECL result<script> read_script_file(const std::string& path);

}  // namespace confman::sim

#if !defined(CONFMAN_COMPILED)
#include "confman/sim/impl/script.ipp"
#endif
