#include "load_client.hpp"

#include <charconv>
#include <chrono>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "percent.hpp"

namespace demo {

namespace {

std::uint64_t to_number(std::string_view text, const std::string& name) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size())
    throw std::runtime_error(name + ": '" + std::string(text) + "' is not a number");
  return value;
}

}  // namespace

arguments::arguments(int argc, char** argv, int first) {
  for (int i = first; i < argc; i += 2) {
    const std::string name = argv[i];
    if (name.substr(0, 2) != "--" || i + 1 >= argc)
      throw std::runtime_error("expected --name value at '" + name + "'");
    values_[name] = argv[i + 1];
  }
}

const std::string& arguments::text(const std::string& name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) throw std::runtime_error(name + " is missing");
  return found->second;
}

std::string arguments::text(const std::string& name, const std::string& fallback) const {
  const auto found = values_.find(name);
  return found == values_.end() ? fallback : found->second;
}

std::uint64_t arguments::number(const std::string& name, std::uint64_t fallback) const {
  const auto found = values_.find(name);
  return found == values_.end() ? fallback : to_number(found->second, name);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const std::size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<token> to_token(std::string_view text) {
  const auto parts = split(text, ':');
  if (parts.size() != 2) return std::nullopt;
  try {
    return token{to_number(parts[0], "term"), to_number(parts[1], "index")};
  } catch (const std::runtime_error&) {
    return std::nullopt;
  }
}

std::string to_string(token t) {
  return std::to_string(t.term) + ":" + std::to_string(t.index);
}

load_client::load_client(const std::string& address)
    : http_(std::make_unique<httplib::Client>("http://" + address)) {
  http_->set_keep_alive(true);
  http_->set_tcp_nodelay(true);
  http_->set_url_encode(false);  // done here, by this API's rules
  http_->set_connection_timeout(1);
  http_->set_read_timeout(10);
  http_->set_write_timeout(10);
}

written load_client::put(std::string_view key, const std::string& value) {
  const httplib::Result answer =
      http_->Put(("/v1/kv" + percent_encode(key)).c_str(), value, "application/octet-stream");
  if (!answer) {
    // Without a connection nothing was sent; after that anything may have happened.
    const bool sent =
        answer.error() != httplib::Error::Connection && answer.error() != httplib::Error::ConnectionTimeout;
    return {sent ? outcome::unknown : outcome::failed, {}, httplib::to_string(answer.error())};
  }
  if (answer->status == 200 || answer->status == 201) {
    if (const auto at = to_token(answer->get_header_value("X-Confman-Version")))
      return {outcome::acknowledged, *at, {}};
    return {outcome::unknown, {}, "an answer without X-Confman-Version"};
  }
  // 5xx but 503 leaves it open.
  const bool open = answer->status >= 500 && answer->status != 503;
  return {open ? outcome::unknown : outcome::failed, {}, std::to_string(answer->status) + " " + answer->body};
}

load_client::reading load_client::get(std::string_view key, std::optional<token> at_least) {
  std::string target = "/v1/kv" + percent_encode(key);
  if (at_least) target += "?at_least=" + to_string(*at_least);
  const httplib::Result answer = http_->Get(target.c_str());
  if (!answer) return {0, httplib::to_string(answer.error()), 0};
  reading found{answer->status, answer->body, 0};
  const std::string etag = answer->get_header_value("ETag");
  if (etag.size() > 2) found.revision = to_number(std::string_view(etag).substr(1, etag.size() - 2), "ETag");
  return found;
}

std::optional<std::string> load_client::fetch(const std::string& target) {
  const httplib::Result answer = http_->Get(target.c_str());
  if (!answer || answer->status != 200) return std::nullopt;
  return answer->body;
}

void in_parallel(std::size_t threads, const std::function<void(std::size_t first, std::size_t step)>& work) {
  std::mutex mutex;
  std::exception_ptr failed;
  std::vector<std::thread> running;
  for (std::size_t i = 0; i < threads; ++i)
    running.emplace_back([&, i] {
      try {
        work(i, threads);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failed) failed = std::current_exception();
      }
    });
  for (std::thread& t : running) t.join();
  if (failed) std::rethrow_exception(failed);
}

std::int64_t now_us() {
  using namespace std::chrono;
  return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
}

}  // namespace demo
