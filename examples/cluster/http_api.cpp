#include "http_api.hpp"

#include <asio/use_future.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <thread>

#include "json.hpp"

namespace demo {

namespace {

constexpr char json_type[] = "application/json";
constexpr char version_header[] = "X-Confman-Version";
constexpr std::size_t default_page = 1000, largest_page = 10'000;
constexpr std::size_t page_bytes = 8 << 20;  // a page ends early behind this

std::string etag_of(std::uint64_t revision) {
  return '"' + std::to_string(revision) + '"';
}

const char* role_name(confman::role r) {
  switch (r) {
    case confman::role::follower:
      return "follower";
    case confman::role::pre_candidate:
      return "pre_candidate";
    case confman::role::candidate:
      return "candidate";
    case confman::role::leader:
      return "leader";
  }
  return "unknown";
}

void answer(httplib::Response& res, json_writer json) {
  res.set_content(json.finish() + "\n", json_type);
}

void allow_method(const httplib::Request& req, httplib::Response& res, const char* allowed, bool good) {
  if (good) return;
  res.set_header("Allow", allowed);
  throw problem_of_status(405, req.method + " is not possible here; there is: " + allowed);
}

bool is_read(const httplib::Request& req) {
  return req.method == "GET" || req.method == "HEAD";
}

// httplib would slice any answer for a Range header, parse bodies that call themselves forms, and match the
// path by regular expressions that recurse per byte. Here ranges are ignored, as a server may, a value is
// bytes whatever its type, and the path is taken from the request's target.
void simplify(const httplib::Request& req) {
  auto& mutable_request = const_cast<httplib::Request&>(req);
  mutable_request.ranges.clear();
  mutable_request.headers.erase("Content-Type");
  mutable_request.path = "/";
}

}  // namespace

bool http_api::server::widen_backlog(int connections) {
  return ::listen(svr_sock_, connections) == 0;
}

http_api::http_api(confman::config_map& map, const settings& s) : map_(map), settings_(s) {
  set_up_server();
}

void http_api::set_up_server() {
  const auto read = [this](const request& req, response& res) { dispatch(req, res, {}); };
  const auto write = [this](const request& req, response& res, const httplib::ContentReader& reader) {
    receive(req, res, reader);
  };
  server_.Get("/", read).Options("/", read);
  server_.Put("/", write).Delete("/", write).Post("/", write).Patch("/", write);
  server_.set_pre_routing_handler([](const request& req, response&) {
    simplify(req);
    return httplib::Server::HandlerResponse::Unhandled;
  });
  // What httplib refuses by itself.
  server_.set_error_handler(httplib::Server::Handler([this](const request& req, response& res) {
    if (!res.body.empty()) return;
    std::string detail = "the request could not be understood";
    if (res.status == 413)
      detail = "a value may have at most " + std::to_string(settings_.map.max_value_bytes) + " bytes";
    refuse(problem_of_status(res.status, detail), req, res);
  }));
  server_.set_exception_handler([this](const request& req, response& res, std::exception_ptr) {
    refuse(problem_of_status(500, "an unexpected failure inside the server"), req, res);
  });
  server_.set_post_routing_handler([this](const request&, response& res) {
    if (!res.has_header(version_header)) res.set_header(version_header, to_string(map_.read().at()));
  });
  server_.new_task_queue = [this] { return new httplib::ThreadPool(settings_.http_threads); };
  server_.set_payload_max_length(settings_.map.max_value_bytes);
  server_.set_keep_alive_max_count(1'000'000);
  server_.set_keep_alive_timeout(2);  // also how long an idle connection can delay the end of serve()
  server_.set_write_timeout(10);      // a client that takes nothing for so long is cut off
  server_.set_tcp_nodelay(true);
  // httplib's default would let two processes share the port without a word.
  server_.set_socket_options([](socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
}

confman::failure http_api::bind() {
  errno = 0;
  if (server_.bind_to_port(settings_.http_host, settings_.http_port) && server_.widen_backlog(256)) return {};
  const int reason = errno;
  const std::string address = settings_.http_host + ":" + std::to_string(settings_.http_port);
  if (reason == EADDRINUSE)
    return {
        confman::errc::address_in_use,
        "--http " + address + ": the port is in use by another process; choose another or end that process"};
  return {confman::errc::bad_address,
          "--http " + address + ": can't listen there: " + (reason ? std::strerror(reason) : "no such host") +
              "; use an address of this machine"};
}

void http_api::serve() {
  server_.listen_after_bind();
}

void http_api::stop() {
  {
    const std::lock_guard lock(watches_mutex_);
    stopping_ = true;
    for (const auto& w : watches_) w->close();
  }
  const auto wait_until = [](auto&& done) {
    for (int i = 0; i < 200 && !done(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  };
  // A moment for their last events: httplib cuts streams off once it is stopped.
  wait_until([this] {
    const std::lock_guard lock(watches_mutex_);
    return watches_.empty();
  });
  // A stop before httplib has begun would be lost.
  wait_until([this] { return server_.is_running(); });
  server_.stop();
}

void http_api::refuse(const problem& p, const request& req, response& res) const {
  res.status = p.status;
  if (p.retry_after_seconds > 0) res.set_header("Retry-After", std::to_string(p.retry_after_seconds));
  if (p.current_revision && *p.current_revision) res.set_header("ETag", etag_of(*p.current_revision));
  res.set_content(to_json(p, req.target), "application/problem+json");
}

void http_api::receive(const request& req, response& res, const httplib::ContentReader& reader) {
  std::string body;
  bool too_large = false;
  // Without either header there is no body; httplib would wait for the connection's end.
  if (req.has_header("Content-Length") || req.has_header("Transfer-Encoding")) {
    const std::size_t limit = settings_.map.max_value_bytes;
    // Read to the end even if too large, so that the connection stays usable.
    const bool complete = reader([&](const char* data, std::size_t size) {
      too_large = too_large || body.size() + size > limit;
      if (!too_large) body.append(data, size);
      return true;
    });
    if (!complete) return;  // the error handler answers
  }
  if (too_large) {
    res.status = 413;
    return;
  }
  dispatch(req, res, std::move(body));
}

void http_api::dispatch(const request& req, response& res, std::string body) {
  try {
    const route r = find_route(req.target);
    const char* const methods =
        r.what == resource::key ? "GET, HEAD, PUT, DELETE, OPTIONS" : "GET, HEAD, OPTIONS";
    if (r.what == resource::none)
      throw problem_of_status(404,
                              "there is nothing here; see /v1/kv, /v1/watch, /v1/status, /healthz, /readyz");
    if (req.method == "OPTIONS") {
      res.set_header("Allow", methods);
      res.status = 204;
      return;
    }
    const bool writes = r.what == resource::key && (req.method == "PUT" || req.method == "DELETE");
    allow_method(req, res, methods, is_read(req) || writes);
    if (writes) return write(r, req, res, body);
    switch (r.what) {
      case resource::key:
        return get_key(r, req, res);
      case resource::keys:
        return list_keys(req, res);
      case resource::watch:
        return watch(req, res);
      case resource::status:
        return status(req, res);
      case resource::healthz:
        return healthz(req, res);
      case resource::readyz:
        return readyz(req, res);
      case resource::none:
        return;
    }
  } catch (const problem& p) {
    refuse(p, req, res);
  }
}

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
  res.set_content(entry->value().data(), entry->value().size(), "application/octet-stream");
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
    if (!keys_only) entry.bytes("value", r.value());
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

void http_api::status(const request& req, response& res) const {
  allow_parameters(req, {});
  const confman::node_status s = map_.status();
  json_writer members;
  for (const auto& [id, address] : settings_.map.members) {
    json_writer member;
    member.string("address", address);
    if (const auto http = settings_.http_peers.find(id); http != settings_.http_peers.end())
      member.string("http", http->second);
    members.raw(std::to_string(id), member.finish());
  }
  json_writer json;
  json.number("id", s.id.value())
      .string("role", role_name(s.role))
      .number("leader", s.leader.value())
      .number("term", s.term.value())
      .boolean("running", s.running)
      .number("last", s.last.value())
      .number("stable", s.stable.value())
      .number("commit", s.commit.value())
      .number("applied", s.applied.value());
  {
    const confman::map_snapshot now = map_.snapshot();
    json.string("version", to_string(now.at()))
        .number("keys", now.size())
        .number("bytes", now.approximate_bytes())
        // As text: a number of 64 bits doesn't survive every JSON reader.
        .string("state_hash", std::to_string(now.state_hash()));
    res.set_header(version_header, to_string(now.at()));
  }
  {
    const std::lock_guard lock(watches_mutex_);
    json.number("watches", static_cast<std::uint64_t>(watches_.size()));
  }
  json.raw("members", members.finish());
  answer(res, std::move(json));
}

void http_api::healthz(const request& req, response& res) const {
  allow_parameters(req, {});
  answer(res, std::move(json_writer().boolean("alive", true)));
}

void http_api::readyz(const request& req, response& res) {
  allow_parameters(req, {});
  const auto not_ready = [](const char* why) {
    problem p = problem_of(confman::errc::no_leader);
    p.code = "not_ready";
    p.title = "The node is not ready";
    p.detail = why;
    return p;
  };
  if (!leader_known()) throw not_ready("no leader is known");
  // Caught up means: this node has applied all that the leader had committed when it was asked.
  std::future<void> caught_up = map_.async_read_barrier(confman::linearizable, asio::use_future);
  if (caught_up.wait_for(std::chrono::seconds(1)) != std::future_status::ready)
    throw not_ready("this node hasn't caught up with the leader yet");
  try {
    caught_up.get();
  } catch (const std::system_error& e) {
    throw not_ready(e.code().message().c_str());
  }
  answer(res, std::move(json_writer().boolean("ready", true).number("leader", map_.status().leader.value())));
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
  if (wanted.exists) return apply_if_exists(r, req, body, error);
  const bool put = req.method == "PUT";
  if (!wanted.revision) return put ? map_.put(r.key, body, error) : map_.erase(r.key, error);
  if (!put && *wanted.revision == 0)
    throw bad_request("DELETE with If-None-Match would only erase what is not there");
  return apply_at(r, *wanted.revision, req, body, error);
}

confman::write_result http_api::apply_at(const route& r, std::uint64_t revision, const request& req,
                                         const std::string& body, std::error_code& error) {
  return req.method == "PUT" ? map_.compare_exchange(r.key, revision, body, error)
                             : map_.compare_erase(r.key, revision, error);
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
    result = apply_at(r, result.previous_revision, req, body, error);
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
