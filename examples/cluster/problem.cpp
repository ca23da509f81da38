#include "problem.hpp"

#include "confman/error.hpp"
#include "json.hpp"

namespace demo {

namespace {

using confman::errc;

struct row {
  errc code;
  int status;
  int retry_after_seconds;
  const char* name;
  const char* title;
};

// 503: certainly not done, try again. 504: not known, look before trying again.
constexpr row table[] = {
    {errc::not_leader, 503, 1, "not_leader", "This node does not lead"},
    {errc::no_leader, 503, 1, "no_leader", "There is no leader"},
    {errc::busy, 503, 1, "busy", "The node is overloaded"},
    {errc::stopped, 503, 1, "stopped", "The node is shutting down"},
    {errc::timed_out, 504, 0, "timed_out", "The read took too long"},
    {errc::outcome_unknown, 504, 0, "outcome_unknown", "The write may or may not have been applied"},
    {errc::key_empty, 400, 0, "key_empty", "The key is empty"},
    {errc::key_not_a_path, 400, 0, "key_not_a_path", "The key is not a path"},
    {errc::key_has_nul, 400, 0, "key_has_nul", "The key has a NUL byte"},
    {errc::key_too_long, 400, 0, "key_too_long", "The key is too long"},
    {errc::value_too_large, 413, 0, "value_too_large", "The value is too large"},
    {errc::compare_failed, 412, 0, "compare_failed", "The key has another revision"},
    {errc::compacted, 410, 0, "compacted", "The history does not reach back that far"},
    {errc::watch_lagged, 503, 0, "watch_lagged", "The watch was too slow"},
    {errc::revision_in_future, 400, 0, "revision_in_future", "That revision does not exist yet"},
    {errc::change_in_flight, 409, 0, "change_in_flight", "Another change of members is under way"},
    {errc::bad_change, 400, 0, "bad_change", "The change of members makes no sense"},
    {errc::not_a_member, 404, 0, "not_a_member", "There is no such member"},
    {errc::already_a_member, 409, 0, "already_a_member", "There is such a member already"},
    {errc::last_voter, 409, 0, "last_voter", "No voter would be left"},
    {errc::learner_behind, 409, 0, "learner_behind", "The learner has not caught up"},
    {errc::change_undone, 503, 1, "change_undone", "The change of members did not happen"},
    {errc::transfer_failed, 503, 1, "transfer_failed", "Leadership was not handed over"},
    {errc::session_expired, 410, 0, "session_expired", "The session is closed"},
    {errc::upload_expired, 503, 1, "upload_expired", "The value's earlier pieces are gone"},
    {errc::snapshot_damaged, 500, 0, "snapshot_damaged", "The snapshot can't be trusted"},
    {errc::bad_option, 400, 0, "bad_request", "The request is malformed"},
    {errc::storage_failed, 500, 0, "storage_failed", "The node's disk failed"},
    {errc::sync_failed, 500, 0, "sync_failed", "The node's disk failed"},
    {errc::bad_command, 500, 0, "bad_command", "The leader did not understand the command"},
};

const row* find_row(std::error_code error) noexcept {
  if (error.category() != confman::confman_category()) return nullptr;
  for (const row& r : table)
    if (static_cast<int>(r.code) == error.value()) return &r;
  return nullptr;
}

const char* title_of_status(int status) {
  switch (status) {
    case 400:
      return "The request is malformed";
    case 404:
      return "There is no such resource";
    case 405:
      return "The method is not allowed here";
    case 413:
      return "The body is too large";
    case 414:
      return "The URL is too long";
    case 403:
      return "This is switched off";
    case 421:
      return "Another node leads";
    case 416:
      return "The range is malformed";
    case 501:
      return "The method is not implemented";
    default:
      return status < 500 ? "The request was refused" : "The server failed";
  }
}

}  // namespace

std::string_view code_name(std::error_code error) noexcept {
  const row* const r = find_row(error);
  return r ? r->name : "internal";
}

problem problem_of(std::error_code error, std::string_view detail) {
  problem p;
  p.detail = error.message();
  if (!detail.empty()) p.detail = std::string(detail) + ": " + p.detail;
  if (const row* const r = find_row(error)) {
    p.status = r->status;
    p.code = r->name;
    p.title = r->title;
    p.retry_after_seconds = r->retry_after_seconds;
  } else {
    p.code = "internal";
    p.title = "The server failed";
  }
  return p;
}

problem bad_request(std::string detail) {
  problem p = problem_of_status(400, std::move(detail));
  return p;
}

problem problem_of_status(int status, std::string detail) {
  problem p;
  p.status = status;
  switch (status) {
    case 404:
      p.code = "not_found";
      break;
    case 405:
      p.code = "method_not_allowed";
      break;
    case 413:
      p.code = "value_too_large";
      break;
    case 414:
      p.code = "url_too_long";
      break;
    case 421:
      p.code = "not_leader";
      break;
    default:
      p.code = status < 500 ? "bad_request" : "internal";
      break;
  }
  p.title = title_of_status(status);
  p.detail = std::move(detail);
  return p;
}

std::string to_json(const problem& p, std::string_view instance) {
  json_writer json;
  json.string("type", "urn:confman:problem:" + p.code)
      .string("title", p.title)
      .number("status", static_cast<std::uint64_t>(p.status))
      .string("detail", p.detail)
      .string("code", p.code);
  // Unknown when the request line could not be read.
  if (!instance.empty()) json.string("instance", instance);
  if (p.leader) json.number("leader", p.leader);
  if (p.current_revision) json.number("current_revision", *p.current_revision);
  return json.finish() + "\n";
}

}  // namespace demo
