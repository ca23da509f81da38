#pragma once

#include <fmt/core.h>

#include <charconv>
#include <istream>
#include <optional>
#include <system_error>

// The one that cereal's JSON archive uses: upstream cereal brings its own copy, Debian's takes the package.
#if __has_include(<cereal/external/rapidjson/document.h>)
#include <cereal/external/rapidjson/document.h>
#include <cereal/external/rapidjson/error/en.h>
#include <cereal/external/rapidjson/stringbuffer.h>
#include <cereal/external/rapidjson/writer.h>
#elif __has_include(<rapidjson/document.h>)
#include <rapidjson/document.h>
#include <rapidjson/error/en.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#else
#error "confman/check/history_file.hpp needs RapidJSON (Debian: rapidjson-dev); the checkers themselves don't"
#endif

#include "confman/check/history_file.hpp"

namespace confman::check {
namespace detail {

using json = rapidjson::Value;

// Reads the members of one line; keeps the first complaint.
class line_reader {
 public:
  [[nodiscard]] const std::string& complaint() const noexcept { return complaint_; }

  void complain(std::string what) {
    if (complaint_.empty()) complaint_ = std::move(what);
  }

  [[nodiscard]] const json* member(const json& object, const char* name) {
    if (object.IsObject()) {
      const auto found = object.FindMember(name);
      if (found != object.MemberEnd()) return &found->value;
    }
    complain(fmt::format("\"{}\" is missing: docs/format/history.md says which members each op has", name));
    return nullptr;
  }

  [[nodiscard]] std::uint64_t number(const json& value, const char* name) {
    if (value.IsUint64()) return value.GetUint64();
    complain(fmt::format("\"{}\" must be an integer from 0 to 2^64 - 1", name));
    return 0;
  }
  [[nodiscard]] std::uint64_t number_of(const json& object, const char* name) {
    const json* const value = member(object, name);
    return value ? number(*value, name) : 0;
  }

  [[nodiscard]] std::string text(const json& value, const char* name) {
    if (value.IsString()) return {value.GetString(), value.GetStringLength()};
    complain(fmt::format("\"{}\" must be a string", name));
    return {};
  }
  [[nodiscard]] std::string text_of(const json& object, const char* name) {
    const json* const value = member(object, name);
    return value ? text(*value, name) : std::string{};
  }

  [[nodiscard]] std::int64_t time_of(const json& object, const char* name) {
    const json* const value = member(object, name);
    if (value && value->IsInt64() && value->GetInt64() != never) return value->GetInt64();
    if (value) complain(fmt::format("\"{}\" must be a whole number of nanoseconds", name));
    return 0;
  }

  [[nodiscard]] bool flag_of(const json& object, const char* name) {
    const json* const value = member(object, name);
    if (value && value->IsBool()) return value->GetBool();
    if (value) complain(fmt::format("\"{}\" must be true or false", name));
    return false;
  }

  [[nodiscard]] place place_of(const json& object) {
    const std::string written = text_of(object, "version");
    place at;
    const char* const end = written.data() + written.size();
    const auto [colon, first] = std::from_chars(written.data(), end, at.term);
    if (first == std::errc{} && colon != end && *colon == ':') {
      const auto [last, second] = std::from_chars(colon + 1, end, at.index);
      if (second == std::errc{} && last == end) return at;
    }
    complain("\"version\" must be \"term:index\", such as \"2:9\"");
    return {};
  }

  // A list of lists of `width` members each.
  [[nodiscard]] const json* rows_of(const json& object, const char* name, rapidjson::SizeType width) {
    const json* const rows = member(object, name);
    if (!rows) return nullptr;
    bool good = rows->IsArray();
    if (good) {
      for (const json& row : rows->GetArray()) good = good && row.IsArray() && row.Size() == width;
    }
    if (good) return rows;
    complain(fmt::format("\"{}\" must be a list of lists of {} members", name, width));
    return nullptr;
  }

 private:
  std::string complaint_;
};

inline void read_kind(line_reader& in, const json& line, operation& op) {
  const std::string name = in.text_of(line, "op");
  for (const auto kind : {operation_kind::put, operation_kind::erase, operation_kind::cas,
                          operation_kind::get, operation_kind::list, operation_kind::watch}) {
    if (name == name_of(kind)) {
      op.kind = kind;
      return;
    }
  }
  in.complain("\"op\" must be put, erase, cas, get, list or watch, not \"" + name + '"');
}

inline void read_asked(line_reader& in, const json& line, operation& op) {
  if (op.kind == operation_kind::erase) return;
  const json* const asked = in.member(line, "in");
  if (!asked) return;
  if (op.kind == operation_kind::put || op.kind == operation_kind::cas)
    op.value = in.text_of(*asked, "value");
  if (op.kind == operation_kind::cas) op.expect = in.number_of(*asked, "expect");
  if (op.kind == operation_kind::watch) op.after = in.number_of(*asked, "after");
  if (op.kind != operation_kind::get && op.kind != operation_kind::list) return;
  const std::string mode = in.text_of(*asked, "mode");
  if (mode == "at_least") {
    op.mode = read_mode::at_least;
    op.at_least = in.number_of(*asked, "at_least");
  } else if (mode == "local") {
    op.mode = read_mode::local;
  } else if (mode != "linearizable") {
    in.complain("\"mode\" must be linearizable, at_least or local, not \"" + mode + '"');
  }
}

inline void read_write_answer(line_reader& in, const json& out, operation& op) {
  const auto failed = op.kind == operation_kind::cas ? out.FindMember("failed") : out.MemberEnd();
  op.failed = failed != out.MemberEnd() && failed->value.IsBool() && failed->value.GetBool();
  op.revision = in.number_of(out, op.failed ? "current_revision" : "revision");
  if (!op.failed) op.previous_revision = in.number_of(out, "previous_revision");
  op.version = in.place_of(out);
}

inline void read_events(line_reader& in, const json& out, operation& op) {
  if (const json* const rows = in.rows_of(out, "events", 4)) {
    for (const json& row : rows->GetArray()) {
      const std::string kind = in.text(row[0], "events");
      if (kind != "put" && kind != "erase")
        in.complain("an event is \"put\" or \"erase\", not \"" + kind + '"');
      watched event{kind == "erase", in.text(row[1], "events"), in.number(row[2], "events"), {}};
      if (!event.erased) event.value = in.text(row[3], "events");
      op.events.push_back(std::move(event));
    }
  }
  op.until = in.number_of(out, "until");
  op.compacted = in.flag_of(out, "compacted");
}

inline void read_answer(line_reader& in, const json& out, operation& op) {
  if (!out.IsObject()) return in.complain("\"out\" must be an object if \"ok\" is true");
  switch (op.kind) {
    case operation_kind::put:
    case operation_kind::erase:
    case operation_kind::cas:
      return read_write_answer(in, out, op);
    case operation_kind::get:
      op.revision = in.number_of(out, "revision");
      if (const json* const value = in.member(out, "value"); value && op.revision != 0)
        op.found = in.text(*value, "value");
      op.version = in.place_of(out);
      return;
    case operation_kind::list:
      if (const json* const rows = in.rows_of(out, "entries", 3)) {
        for (const json& row : rows->GetArray()) {
          op.entries.push_back(
              {in.text(row[0], "entries"), in.number(row[1], "entries"), in.text(row[2], "entries")});
        }
      }
      op.version = in.place_of(out);
      return;
    case operation_kind::watch:
      return read_events(in, out, op);
  }
}

inline void read_end(line_reader& in, const json& line, operation& op) {
  const json* const ok = in.member(line, "ok");
  if (!ok) return;
  if (!ok->IsBool() && !ok->IsNull()) return in.complain("\"ok\" must be true, false or null");
  op.end = ok->IsNull() ? outcome::unknown : ok->GetBool() ? outcome::answered : outcome::refused;
  op.called = in.time_of(line, "call_ns");
  if (op.end != outcome::unknown) op.returned = in.time_of(line, "return_ns");
  if (op.returned < op.called)
    in.complain("\"return_ns\" is before \"call_ns\": both must be of one monotonic clock");
  if (op.end != outcome::answered) return;
  if (const json* const out = in.member(line, "out")) read_answer(in, *out, op);
}

inline failure bad_line(std::string why) {
  return {std::make_error_code(std::errc::bad_message), std::move(why)};
}

}  // namespace detail

CONFMAN_DECL result<operation> read_operation(std::string_view text) {
  rapidjson::Document line;
  // Iterative: what is nested deeply must not cost the stack.
  line.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag>(text.data(),
                                                                                     text.size());
  if (line.HasParseError()) {
    return detail::bad_line(
        fmt::format("not JSON, at byte {}: {} Each line must be one whole JSON object in UTF-8.",
                    line.GetErrorOffset(), rapidjson::GetParseError_En(line.GetParseError())));
  }
  if (!line.IsObject()) return detail::bad_line("each line must be one JSON object");
  detail::line_reader in;
  operation op;
  op.client = in.number_of(line, "client");
  detail::read_kind(in, line, op);
  op.key = in.text_of(line, "key");
  if (in.complaint().empty()) detail::read_asked(in, line, op);
  if (line.HasMember("session") && !line["session"].IsNull()) {
    op.session = in.number_of(line, "session");
    op.sequence = in.number_of(line, "sequence");
    if (!op.is_write()) in.complain("only writes have a \"session\"");
  }
  if (in.complaint().empty()) detail::read_end(in, line, op);
  if (!in.complaint().empty()) return detail::bad_line(in.complaint());
  return op;
}

CONFMAN_DECL result<history> read_history(std::istream& in, std::size_t first_line) {
  history all;
  std::string text;
  for (std::size_t number = first_line + 1; std::getline(in, text); ++number) {
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    result<operation> op = read_operation(text);
    if (!op) return failure(op.error().code, fmt::format("line {}: {}", number, op.error().what));
    op->line = number;
    all.push_back(std::move(*op));
  }
  if (in.bad())
    return failure(std::make_error_code(std::errc::io_error), "the history can't be read to its end");
  return all;
}

namespace detail {

using json_writer = rapidjson::Writer<rapidjson::StringBuffer>;

inline void put_text(json_writer& out, const std::string& text) {
  out.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}
inline void put_text(json_writer& out, const char* name, const std::string& text) {
  out.Key(name);
  put_text(out, text);
}
inline void put_number(json_writer& out, const char* name, std::uint64_t number) {
  out.Key(name);
  out.Uint64(number);
}

inline void write_asked(json_writer& out, const operation& op) {
  out.Key("in");
  out.StartObject();
  if (op.kind == operation_kind::put || op.kind == operation_kind::cas) put_text(out, "value", op.value);
  if (op.kind == operation_kind::cas) put_number(out, "expect", op.expect);
  if (op.kind == operation_kind::watch) put_number(out, "after", op.after);
  if (op.kind == operation_kind::get || op.kind == operation_kind::list) {
    static constexpr const char* names[] = {"linearizable", "at_least", "local"};
    put_text(out, "mode", names[static_cast<std::size_t>(op.mode)]);
    if (op.mode == read_mode::at_least) put_number(out, "at_least", op.at_least);
  }
  out.EndObject();
}

inline void write_rows(json_writer& out, const operation& op) {
  out.StartArray();
  for (const listed& entry : op.entries) {
    out.StartArray();
    put_text(out, entry.key);
    out.Uint64(entry.revision);
    put_text(out, entry.value);
    out.EndArray();
  }
  for (const watched& event : op.events) {
    out.StartArray();
    out.String(event.erased ? "erase" : "put");
    put_text(out, event.key);
    out.Uint64(event.revision);
    if (event.erased)
      out.Null();
    else
      put_text(out, event.value);
    out.EndArray();
  }
  out.EndArray();
}

inline void write_answer(json_writer& out, const operation& op) {
  out.StartObject();
  if (op.kind == operation_kind::watch) {
    out.Key("events");
    write_rows(out, op);
    put_number(out, "until", op.until);
    out.Key("compacted");
    out.Bool(op.compacted);
  } else {
    if (op.failed) {
      out.Key("failed");
      out.Bool(true);
    }
    if (op.kind == operation_kind::list) {
      out.Key("entries");
      write_rows(out, op);
    } else {
      put_number(out, op.failed ? "current_revision" : "revision", op.revision);
    }
    if (op.is_write() && !op.failed) put_number(out, "previous_revision", op.previous_revision);
    if (op.kind == operation_kind::get) {
      out.Key("value");
      if (op.revision == 0)
        out.Null();
      else
        put_text(out, op.found);
    }
    put_text(out, "version", fmt::format("{}:{}", op.version.term, op.version.index));
  }
  out.EndObject();
}

}  // namespace detail

CONFMAN_DECL std::string write_operation(const operation& op) {
  rapidjson::StringBuffer buffer;
  detail::json_writer out(buffer);
  out.StartObject();
  detail::put_number(out, "client", op.client);
  detail::put_text(out, "op", name_of(op.kind));
  detail::put_text(out, "key", op.key);
  detail::write_asked(out, op);
  out.Key("out");
  if (op.end == outcome::answered)
    detail::write_answer(out, op);
  else
    out.Null();
  out.Key("ok");
  if (op.end == outcome::unknown)
    out.Null();
  else
    out.Bool(op.end == outcome::answered);
  out.Key("call_ns");
  out.Int64(op.called);
  out.Key("return_ns");
  if (op.end == outcome::unknown)
    out.Null();
  else
    out.Int64(op.returned);
  if (op.session != 0) {
    detail::put_number(out, "session", op.session);
    detail::put_number(out, "sequence", op.sequence);
  }
  out.EndObject();
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace confman::check
