#include "http_api.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "json.hpp"

namespace demo {

namespace {

// What the large bodies under way may take together: a few of the largest values. Small ones are bounded by
// the number of threads, and never wait for room.
constexpr std::size_t bodies_at_once = 4;
constexpr std::size_t small_body = 1 << 20;

// httplib would slice any answer for a Range header, parse bodies that call themselves forms, and match the
// path by regular expressions that recurse per byte. Here ranges are ignored, as a server may, a value is
// bytes whatever its type, and the path is taken from the request's target.
void simplify(const httplib::Request& req) {
  auto& mutable_request = const_cast<httplib::Request&>(req);
  mutable_request.ranges.clear();
  mutable_request.headers.erase("Content-Type");
  mutable_request.path = "/";
}

struct methods_of {
  resource what;
  const char* methods;
};

constexpr methods_of methods_there_are[] = {
    {resource::key, "GET, HEAD, PUT, DELETE, OPTIONS"},
    {resource::members, "GET, HEAD, POST, OPTIONS"},
    {resource::member, "DELETE, OPTIONS"},
    {resource::promote, "POST, OPTIONS"},
    {resource::demote, "POST, OPTIONS"},
    {resource::leader, "POST, OPTIONS"},
    {resource::snapshot, "POST, OPTIONS"},
    {resource::backup, "POST, OPTIONS"},
    {resource::sessions, "POST, OPTIONS"},
    {resource::session, "POST, DELETE, OPTIONS"},
};

const char* methods_for(resource what) {
  for (const methods_of& m : methods_there_are)
    if (m.what == what) return m.methods;
  return "GET, HEAD, OPTIONS";
}

bool contains_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::string_view item = list.substr(0, list.find(", "));
    if (item == word) return true;
    list.remove_prefix(std::min(list.size(), item.size() + 2));
  }
  return false;
}

// Room for one request's body, given back at its end.
class body_room {
 public:
  body_room(std::atomic<std::size_t>& taken, std::size_t limit) : taken_(taken), limit_(limit) {}
  body_room(const body_room&) = delete;
  body_room& operator=(const body_room&) = delete;
  ~body_room() { taken_ -= mine_; }

  [[nodiscard]] bool take(std::size_t bytes) {
    asked_ += bytes;
    if (asked_ <= small_body) return true;
    const std::size_t more = asked_ - mine_;
    mine_ = asked_;
    return taken_.fetch_add(more) + more <= limit_;
  }

 private:
  std::atomic<std::size_t>& taken_;
  const std::size_t limit_;
  std::size_t asked_ = 0;
  std::size_t mine_ = 0;  // of taken_
};

}  // namespace

void answer(httplib::Response& res, json_writer json) {
  res.set_content(json.finish() + "\n", json_type);
}

std::string etag_of(std::uint64_t revision) {
  return '"' + std::to_string(revision) + '"';
}

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
  const std::size_t limit = settings_.map.max_value_bytes;
  body_room room(body_bytes_, bodies_at_once * std::max(limit, small_body));
  bool too_large = false, no_room = false;
  // Without either header there is no body; httplib would wait for the connection's end.
  if (req.has_header("Content-Length") || req.has_header("Transfer-Encoding")) {
    // Read to the end even if not kept, so that the connection stays usable.
    const bool complete = reader([&](const char* data, std::size_t size) {
      if (too_large || no_room) return true;
      if (body.empty() && size < limit) {
        const auto announced = req.get_header_value<std::uint64_t>("Content-Length");
        const std::size_t expected = std::max<std::size_t>(size, std::min<std::uint64_t>(announced, limit));
        no_room = !room.take(expected);
        if (!no_room) body.reserve(expected);
      } else if (body.size() + size > body.capacity()) {
        no_room = !room.take(std::max(size, body.capacity()));  // as much as the string grows by
      }
      too_large = body.size() + size > limit;
      if (!too_large && !no_room) body.append(data, size);
      return true;
    });
    if (!complete) return;  // the error handler answers
  }
  if (too_large) {
    res.status = 413;
    return;
  }
  if (no_room) return refuse(problem_of(confman::errc::busy, "too many large values at once"), req, res);
  dispatch(req, res, std::move(body));
}

void http_api::dispatch(const request& req, response& res, std::string body) {
  try {
    const route r = find_route(req.target);
    if (r.what == resource::none)
      throw problem_of_status(404,
                              "there is nothing here; see /v1/kv, /v1/watch, /v1/status, /v1/members, "
                              "/v1/leader, /v1/snapshot, /v1/backup, /v1/sessions, /healthz, /readyz");
    const std::string_view methods = methods_for(r.what);
    if (req.method == "OPTIONS") {
      res.set_header("Allow", std::string(methods));
      res.status = 204;
      return;
    }
    if (!contains_word(methods, req.method)) {
      res.set_header("Allow", std::string(methods));
      throw problem_of_status(405, req.method + " is not possible here; there is: " + std::string(methods));
    }
    answer_request(r, req, res, body);
  } catch (const problem& p) {
    refuse(p, req, res);
  }
}

void http_api::answer_request(const route& r, const request& req, response& res, const std::string& body) {
  const bool reads = req.method == "GET" || req.method == "HEAD";
  switch (r.what) {
    case resource::key:
      return reads ? get_key(r, req, res) : write(r, req, res, body);
    case resource::keys:
      return list_keys(req, res);
    case resource::watch:
      return watch(req, res);
    case resource::status:
      return status(req, res);
    case resource::members:
      return reads ? members(req, res) : change_members(r, req, res);
    case resource::member:
    case resource::promote:
    case resource::demote:
      return change_members(r, req, res);
    case resource::leader:
      return transfer(req, res);
    case resource::snapshot:
      return snapshot(req, res);
    case resource::backup:
      return backup(req, res);
    case resource::sessions:
      return open_session(req, res);
    case resource::session:
      return use_session(r, req, res);
    case resource::healthz:
      return healthz(req, res);
    case resource::readyz:
      return readyz(req, res);
    case resource::none:
      return;
  }
}

}  // namespace demo
