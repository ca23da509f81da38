// Keys: reads, lists, watches, writes.
#include <utility>

#include "http_api.hpp"
#include "json.hpp"
#include "wait_for_write.hpp"

namespace demo {

namespace {

constexpr std::size_t default_page = 1000, largest_page = 10'000;
constexpr std::size_t page_bytes = 8 << 20;     // a page ends early behind this
constexpr std::size_t copied_value = 64 << 10;  // a larger value goes to the socket from where it lies

void give_value(httplib::Response& res, confman::map_entry entry) {
  constexpr char type[] = "application/octet-stream";
  const std::string_view value = entry.value();
  if (value.size() <= copied_value) return res.set_content(value.data(), value.size(), type);
  res.set_content_provider(
      value.size(), type,
      [entry = std::move(entry)](std::size_t at, std::size_t size, httplib::DataSink& to) {
        return to.write(entry.value().data() + at, size);
      });
}

}  // namespace

// --- reads ---

void http_api::wait_for(const freshness& wanted) const {
  std::error_code error;
  if (wanted.linearizable) map_.read_barrier(confman::linearizable, error);
  if (!error && wanted.at_least) map_.read_barrier(confman::at_least(*wanted.at_least), error);
  if (!error) return;
  if (error == confman::errc::timed_out && wanted.linearizable && !leader_known())
    error = confman::errc::no_leader;
  throw problem_of(error);
}

void http_api::get_key(const route& r, const request& req, response& res) {
  allow_parameters(req, {"consistency", "at_least"});
  if (const confman::failure bad = confman::validate_key(r.key)) throw problem_of(bad.code, bad.what);
  wait_for(wanted_freshness(req));
  std::optional<confman::map_entry> entry;
  {
    // One guard, so that the version is that of the state which has this entry.
    const confman::read_guard now = map_.read();
    entry = now.get(r.key);
    res.set_header(version_header, to_string(now.at()));
  }
  if (!entry) {
    problem missing = problem_of_status(404, "there is no key " + r.key);
    missing.code = "key_not_found";
    missing.title = "There is no such key";
    throw missing;
  }
  const std::string etag = etag_of(entry->modify_revision());
  res.set_header("ETag", etag);
  res.set_header("Confman-Create-Revision", std::to_string(entry->create_revision()));
  res.set_header("Confman-Key-Version", std::to_string(entry->key_version()));
  res.set_header("Confman-Written-At", to_string(entry->at()));
  res.set_header("Confman-Author", std::to_string(entry->author().value()));
  if (has_already(req, etag)) {
    res.status = 304;
    return;
  }
  give_value(res, *std::move(entry));
}

void http_api::list_keys(const request& req, response& res) {
  allow_parameters(req, {"prefix", "limit", "start_after", "keys_only", "consistency", "at_least"});
  const std::string prefix = parameter(req, "prefix").value_or("");
  const std::string start_after = parameter(req, "start_after").value_or("");
  const bool keys_only = flag_parameter(req, "keys_only");
  const std::uint64_t limit = number_parameter(req, "limit").value_or(default_page);
  if (limit == 0 || limit > largest_page)
    throw bad_request("limit=" + std::to_string(limit) + " is not from 1 to " + std::to_string(largest_page));
  wait_for(wanted_freshness(req));

  const confman::map_snapshot now = map_.snapshot();
  json_writer entries('[');
  std::uint64_t count = 0;
  bool more = false;
  std::string last;
  now.for_each_prefix(prefix, start_after, [&](const confman::record& r) {
    more = count == limit || entries.size() > page_bytes;
    if (more) return false;
    json_writer entry;
    entry.bytes("key", r.key());
    if (!keys_only) value_in_json(entry, r.value());
    entry.number("revision", r.modify_revision())
        .number("create_revision", r.create_revision())
        .number("key_version", r.key_version())
        .string("version", to_string(r.at()));
    entries.raw({}, entry.finish());
    last = r.key();
    ++count;
    return true;
  });
  json_writer json;
  json.string("version", to_string(now.at())).number("count", count).boolean("more", more);
  if (more) json.bytes("next_start_after", last);
  json.raw("entries", entries.finish());
  res.set_header(version_header, to_string(now.at()));
  answer(res, std::move(json));
}

void http_api::watch(const request& req, response& res) {
  allow_parameters(req, {"prefix", "after"});
  // A browser that reconnects says where it was, beside the `after` of its first request.
  const auto asked = number_parameter(req, "after"), seen = last_event_id(req);
  const auto after = seen ? seen : asked;
  res.set_header("Cache-Control", "no-store");
  if (req.method == "HEAD") return;
  const auto stream = std::make_shared<watch_stream>(
      watch_stream::limits{settings_.map.watch_buffer_changes, settings_.map.watch_buffer_bytes / 4});
  {
    const std::lock_guard lock(watches_mutex_);
    if (stopping_) throw problem_of(confman::errc::stopped);
    if (watches_.size() >= settings_.max_watches) {
      problem full = problem_of(confman::errc::busy);
      full.code = "too_many_watches";
      full.title = "Too many watches";
      full.detail = "this process serves at most " + std::to_string(settings_.max_watches) +
                    " watches (--max-watches): try another member, or later";
      full.retry_after_seconds = 5;
      throw full;
    }
    watches_.insert(stream);
  }
  stream->begin(map_, parameter(req, "prefix").value_or(""), after.value_or(map_.read().revision()));
  res.set_chunked_content_provider(
      "text/event-stream",
      [stream](std::size_t, httplib::DataSink& sink) { return stream->write_some(sink); },
      [this, stream](bool) {
        const std::lock_guard lock(watches_mutex_);
        watches_.erase(stream);
      });
}

// --- writes ---

bool http_api::redirected(const request& req, response& res) const {
  if (!flag_parameter(req, "redirect")) return false;
  const confman::node_status s = map_.status();
  if (!s.leader) throw problem_of(confman::errc::no_leader);
  const auto leader = settings_.http_peers.find(s.leader.value());
  if (s.leader == s.id || leader == settings_.http_peers.end()) return false;
  res.status = 307;
  res.set_header("Location", "http://" + leader->second + req.target);
  return true;
}

confman::write_result http_api::apply(const route& r, const request& req, const std::string& body,
                                      std::error_code& error) {
  const condition wanted = wanted_condition(req);
  const std::optional<confman::once> token = wanted_once(req);
  if (wanted.exists && token)
    throw bad_request(
        "If-Match: * can't be repeated exactly once, it stands for the revision of the moment: name the "
        "revision beside an Idempotency-Key");
  if (wanted.exists) return apply_if_exists(r, req, body, error);
  const bool put = req.method == "PUT";
  if (!put && wanted.revision == 0u)
    throw bad_request("DELETE with If-None-Match would only erase what is not there");
  if (wanted.revision) return apply_at(r, *wanted.revision, req, body, token, error);
  const confman::once once = token.value_or(confman::once{});
  return wait_for_write(
      [&](auto done) {
        if (put)
          map_.async_put(r.key, body, once, std::move(done));
        else
          map_.async_erase(r.key, once, std::move(done));
      },
      error);
}

confman::write_result http_api::apply_at(const route& r, std::uint64_t revision, const request& req,
                                         const std::string& body, const std::optional<confman::once>& token,
                                         std::error_code& error) {
  const confman::once once = token.value_or(confman::once{});
  return wait_for_write(
      [&](auto done) {
        if (req.method == "PUT")
          map_.async_compare_exchange(r.key, revision, body, once, std::move(done));
        else
          map_.async_compare_erase(r.key, revision, once, std::move(done));
      },
      error);
}

confman::write_result http_api::apply_if_exists(const route& r, const request& req, const std::string& body,
                                                std::error_code& error) {
  wait_for({true, std::nullopt});
  confman::write_result result;
  {
    const confman::read_guard now = map_.read();
    const auto entry = now.get(r.key);
    result.at = now.at();
    result.previous_revision = entry ? entry->modify_revision() : 0;
  }
  // Others may write the key in between, each time another one: give up some time.
  for (int tries = 0; tries < 16; ++tries) {
    if (result.previous_revision == 0) return error = confman::errc::compare_failed, result;
    result = apply_at(r, result.previous_revision, req, body, std::nullopt, error);
    if (error != confman::errc::compare_failed) return result;
  }
  error = confman::errc::busy;
  return result;
}

void http_api::write(const route& r, const request& req, response& res, const std::string& body) {
  allow_parameters(req, {"redirect"});
  if (const confman::failure bad = confman::validate_key(r.key)) throw problem_of(bad.code, bad.what);
  if (redirected(req, res)) return;
  std::error_code error;
  const confman::write_result result = apply(r, req, body, error);
  if (result.at.index) res.set_header(version_header, to_string(result.at));
  if (error) {
    problem p = problem_of(error);
    if (error == confman::errc::compare_failed) p.current_revision = result.previous_revision;
    throw p;
  }
  const bool put = req.method == "PUT";
  if (put) res.set_header("ETag", etag_of(result.revision));
  if (put && !result.existed) res.status = 201;
  json_writer json;
  json.bytes("key", r.key).number("revision", result.revision).string("version", to_string(result.at));
  json.number("previous_revision", result.previous_revision).boolean("existed", result.existed);
  answer(res, std::move(json));
}

}  // namespace demo
