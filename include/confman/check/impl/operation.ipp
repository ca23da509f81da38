#pragma once

#include <fmt/core.h>

#include "confman/check/operation.hpp"

namespace confman::check {

CONFMAN_DECL const char* name_of(operation_kind kind) noexcept {
  switch (kind) {
    case operation_kind::put:
      return "put";
    case operation_kind::erase:
      return "erase";
    case operation_kind::cas:
      return "cas";
    case operation_kind::get:
      return "get";
    case operation_kind::list:
      return "list";
    case operation_kind::watch:
      return "watch";
  }
  return "?";
}

namespace detail {

// Values may be long: as much as tells them apart.
inline std::string shown(const std::string& value) {
  return value.size() <= 40 ? '"' + value + '"'
                            : fmt::format("\"{}...\" ({} bytes)", value.substr(0, 40), value.size());
}

inline std::string asked(const operation& op) {
  switch (op.kind) {
    case operation_kind::put:
      return " = " + shown(op.value);
    case operation_kind::cas:
      return fmt::format(" = {} if at revision {}", shown(op.value), op.expect);
    case operation_kind::watch:
      return fmt::format(" after {}", op.after);
    case operation_kind::get:
    case operation_kind::list:
      if (op.mode == read_mode::at_least) return fmt::format(" at least {}", op.at_least);
      return op.mode == read_mode::local ? " local" : "";
    case operation_kind::erase:
      break;
  }
  return {};
}

inline std::string answered(const operation& op) {
  if (op.end == outcome::refused) return "refused";
  if (op.end == outcome::unknown) return "outcome unknown";
  const std::string at = fmt::format(" at {}:{}", op.version.term, op.version.index);
  switch (op.kind) {
    case operation_kind::cas:
      if (op.failed) return fmt::format("failed, current revision {}{}", op.revision, at);
      [[fallthrough]];
    case operation_kind::put:
    case operation_kind::erase:
      return fmt::format("revision {}, previous {}", op.revision, op.previous_revision);
    case operation_kind::get:
      if (op.revision == 0) return "no key" + at;
      return fmt::format("revision {}, {}{}", op.revision, shown(op.found), at);
    case operation_kind::list:
      return fmt::format("{} entries{}", op.entries.size(), at);
    case operation_kind::watch:
      return fmt::format("{} events, until {}{}", op.events.size(), op.until,
                         op.compacted ? ", compacted" : "");
  }
  return {};
}

}  // namespace detail

CONFMAN_DECL std::string describe(const operation& op) {
  const std::string session =
      op.session == 0 ? std::string{} : fmt::format(" (session {}, sequence {})", op.session, op.sequence);
  const std::string end = op.returned == never ? std::string{"..."} : fmt::format("{}", op.returned);
  return fmt::format("line {}: client {}{} [{}, {}] {} {}{} -> {}", op.line, op.client, session, op.called,
                     end, name_of(op.kind), op.key, detail::asked(op), detail::answered(op));
}

}  // namespace confman::check
