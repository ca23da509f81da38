#pragma once

#include <algorithm>
#include <map>
#include <utility>

#include "confman/check/writes.hpp"

namespace confman::check {
namespace detail {

inline bool same_request(const operation& a, const operation& b) {
  return a.kind == b.kind && a.key == b.key && a.value == b.value && a.expect == b.expect;
}

inline bool same_answer(const operation& a, const operation& b) {
  return a.failed == b.failed && a.revision == b.revision && a.previous_revision == b.previous_revision &&
         a.version == b.version;
}

inline void add_line(logical_write& write, const history& all, std::size_t at,
                     std::vector<finding>& findings) {
  const operation& line = all[at];
  const operation& first = all[write.operation];
  write.lines.push_back(at);
  if (!same_request(first, line)) {
    findings.push_back(
        {"session", "one sequence of a session asks two different things", {write.operation, at}});
    return;
  }
  if (line.end == outcome::refused) return;
  if (write.end == outcome::refused) {
    write.end = line.end;
    write.operation = at;
    write.called = line.called;
    write.returned = line.end == outcome::answered ? line.returned : never;
    return;
  }
  write.called = std::min(write.called, line.called);
  if (line.end != outcome::answered) return;
  write.returned = std::min(write.returned, line.returned);
  if (write.end == outcome::answered) {
    if (!same_answer(first, line))
      findings.push_back({"session", "a repeated write was answered differently", {write.operation, at}});
    return;
  }
  write.end = outcome::answered;
  write.operation = at;
}

}  // namespace detail

CONFMAN_DECL std::vector<logical_write> writes_of(const history& all, std::vector<finding>& findings) {
  std::vector<logical_write> writes;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::size_t> sessions;
  for (std::size_t at = 0; at < all.size(); ++at) {
    const operation& op = all[at];
    if (!op.is_write()) continue;
    if (op.session != 0) {
      const auto [known, added] = sessions.try_emplace({op.session, op.sequence}, writes.size());
      if (!added) {
        detail::add_line(writes[known->second], all, at, findings);
        continue;
      }
    }
    writes.push_back({at, {at}, op.end, op.called, op.end == outcome::answered ? op.returned : never});
  }
  return writes;
}

}  // namespace confman::check
