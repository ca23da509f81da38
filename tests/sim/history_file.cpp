#include "history_file.hpp"

#include <fstream>
#include <optional>

#include "confman/check/history_file.hpp"

namespace history_file {
namespace {

using confman::command_kind;
using confman::check::operation;
using confman::check::operation_kind;
using confman::sim::recorded_call;

std::optional<operation_kind> kind_of(const recorded_call& call) {
  if (!call.write) return operation_kind::get;
  if (!call.sent) return std::nullopt;
  switch (call.command) {
    case command_kind::put:
      return operation_kind::put;
    case command_kind::erase:
    case command_kind::compare_erase:  // the format has none
      return operation_kind::erase;
    case command_kind::compare_exchange:
      return operation_kind::cas;
    default:
      return std::nullopt;
  }
}

void add_answer(operation& op, const recorded_call& call) {
  op.version = {call.place.term.value(), call.place.index.value()};
  op.failed = static_cast<bool>(call.code);
  op.revision = !call.write ? call.revision : op.failed ? call.previous_revision : op.version.index;
  op.previous_revision = op.failed ? 0 : call.previous_revision;
  op.found = call.found;
}

operation operation_of(const recorded_call& call, operation_kind kind) {
  using confman::check::outcome;
  using confman::check::read_mode;
  operation op;
  op.client = call.at.value();
  op.kind = kind;
  op.key = call.key;
  op.session = call.session;
  op.sequence = call.sequence;
  op.value = call.value;
  op.expect = call.expected_revision;
  using freshness = recorded_call::freshness;
  op.mode = call.fresh == freshness::local      ? read_mode::local
            : call.fresh == freshness::at_least ? read_mode::at_least
                                                : read_mode::linearizable;
  op.at_least = call.at_least;
  op.called = static_cast<std::int64_t>(call.called) * 1000;
  using ending = recorded_call::ending;
  // An erase that compared and found another revision has done nothing.
  const bool vain = kind == operation_kind::erase && call.end == ending::answered && call.code;
  const ending end = vain ? ending::refused : call.end;
  if (end == ending::answered || end == ending::refused)
    op.returned = static_cast<std::int64_t>(call.returned) * 1000;
  op.end = end == ending::answered  ? outcome::answered
           : end == ending::refused ? outcome::refused
                                    : outcome::unknown;
  if (op.end == outcome::answered) add_answer(op, call);
  return op;
}

}  // namespace

confman::check::history operations_of(const std::vector<recorded_call>& calls) {
  confman::check::history all;
  for (const recorded_call& call : calls) {
    if (const auto kind = kind_of(call); kind && !call.key.empty()) all.push_back(operation_of(call, *kind));
    if (!all.empty()) all.back().line = all.size();
  }
  return all;
}

bool write(const std::string& path, const confman::check::history& all) {
  std::ofstream file(path);
  for (const operation& op : all) file << write_operation(op) << '\n';
  file.close();
  return static_cast<bool>(file);
}

}  // namespace history_file
