// The members of basic_config_map that are templates.
#pragma once

#include "confman/config_map.hpp"

namespace confman {

template <class Transport, class Storage>
basic_config_map<Transport, Storage>::basic_config_map(executor_type executor, options o)
    : options_(std::move(o)),
      node_(std::make_shared<node_type>(std::move(executor), detail::translate(options_),
                                        [tcp = detail::translate_tcp(options_)](executor_type queue) {
                                          return std::make_unique<Transport>(std::move(queue), tcp);
                                        })) {}

template <class Transport, class Storage>
template <class First, class... Others>
basic_config_map<Transport, Storage>::basic_config_map(executor_type executor, options o,
                                                       First& transport_argument, Others&... others)
    : options_(std::move(o)),
      node_(std::make_shared<node_type>(
          std::move(executor), detail::translate(options_),
          [self = node_id(options_.self), &transport_argument, &others...](executor_type queue) {
            return std::make_unique<Transport>(transport_argument, others..., self, std::move(queue));
          })) {}

template <class Transport, class Storage>
basic_config_map<Transport, Storage>::basic_config_map(options o)
    : options_(std::move(o)),
      owned_(std::make_shared<detail::owned_context>()),
      node_(std::make_shared<node_type>(owned_->get_executor(), detail::translate(options_),
                                        [tcp = detail::translate_tcp(options_)](executor_type queue) {
                                          return std::make_unique<Transport>(std::move(queue), tcp);
                                        })) {}

template <class Transport, class Storage>
basic_config_map<Transport, Storage>::~basic_config_map() {
  node_->close();
}

template <class Transport, class Storage>
template <class CompletionToken>
auto basic_config_map<Transport, Storage>::async_run(CompletionToken&& token) {
  return asio::async_initiate<CompletionToken, void(std::error_code)>(detail::initiate_run<node_type>(node_),
                                                                      token, detail::finish_plain{});
}

template <class Transport, class Storage>
failure basic_config_map<Transport, Storage>::start() {
  if (must_not_block())
    return {errc::would_deadlock, "config_map::start() was called on the map's own thread"};
  if (ended_) return {errc::stopped, "config_map::start() was called before: make a new map to start again"};
  ended_ = std::make_shared<detail::blocking_read>();
  const auto started = std::make_shared<detail::blocking_read>();
  node_->run(*ended_, ended_, started);
  return reason(started->answer.wait());
}

template <class Transport, class Storage>
failure basic_config_map<Transport, Storage>::wait() {
  if (!ended_) return {errc::stopped, "config_map::wait(): the map was not started with start()"};
  if (must_not_block())
    return {errc::would_deadlock, "config_map::wait() was called on the map's own thread"};
  return reason(ended_->answer.wait());
}

template <class Transport, class Storage>
failure basic_config_map<Transport, Storage>::reason(std::error_code code) const {
  if (!code) return {};
  failure last = last_failure();
  return last.code == code ? last : failure(code, "config_map: " + code.message());
}

template <class Transport, class Storage>
bool basic_config_map<Transport, Storage>::must_not_block() const noexcept {
  return node_->on_queue() || (owned_ && owned_->running_in_this_thread());
}

template <class Transport, class Storage>
std::vector<map_entry> basic_config_map<Transport, Storage>::list(std::string_view prefix) const {
  std::vector<map_entry> entries;
  const map_snapshot view = node_->map().snapshot();
  view.for_each_prefix(prefix, {}, [&](const record& r) {
    entries.emplace_back(r);
    return true;
  });
  return entries;
}

template <class Transport, class Storage>
template <class CompletionToken>
auto basic_config_map<Transport, Storage>::async_get(std::string_view key, consistency freshness,
                                                     CompletionToken&& token) {
  const std::error_code refused = validate_key(key).code;
  return asio::async_initiate<CompletionToken, void(std::error_code, std::optional<map_entry>)>(
      detail::initiate_read<node_type>(node_), token, refused ? std::nullopt : freshness.wait_for,
      freshness.token, detail::finish_get{&node_->map(), std::string(key), refused});
}

template <class Transport, class Storage>
template <class CompletionToken>
auto basic_config_map<Transport, Storage>::async_read_barrier(consistency freshness,
                                                              CompletionToken&& token) {
  return asio::async_initiate<CompletionToken, void(std::error_code)>(
      detail::initiate_read<node_type>(node_), token, freshness.wait_for, freshness.token,
      detail::finish_plain{});
}

template <class Transport, class Storage>
void basic_config_map<Transport, Storage>::read_barrier(consistency freshness, std::error_code& error) const {
  error.clear();
  const std::optional<read_mode> mode = freshness.wait_for;
  if (!mode) return;
  if (must_not_block()) {
    error = errc::would_deadlock;
    return;
  }
  detail::blocking_read operation;
  operation.id = node_->next_operation();
  operation.mode = *mode;
  operation.token = freshness.token;
  error = node_->send(operation);
  if (!error) error = operation.answer.wait();
}

template <class Transport, class Storage>
std::optional<map_entry> basic_config_map<Transport, Storage>::get(std::string_view key,
                                                                   consistency freshness,
                                                                   std::error_code& error) const {
  error = validate_key(key).code;
  if (!error) read_barrier(freshness, error);
  if (error) return std::nullopt;
  return get(key);
}

template <class Transport, class Storage>
template <class CompletionToken>
auto basic_config_map<Transport, Storage>::write(command_kind kind, std::string_view key,
                                                 std::string_view value, std::uint64_t expected,
                                                 const once& token_of_session, CompletionToken&& token) {
  return asio::async_initiate<CompletionToken, void(std::error_code, write_result)>(
      detail::initiate_write<node_type>(node_), token,
      detail::prepare(options_, kind, key, value, expected, token_of_session));
}

template <class Transport, class Storage>
template <class CompletionToken>
auto basic_config_map<Transport, Storage>::session(command_kind kind, std::uint64_t id,
                                                   std::chrono::milliseconds time_to_live,
                                                   CompletionToken&& token) {
  return asio::async_initiate<CompletionToken, void(std::error_code, write_result)>(
      detail::initiate_write<node_type>(node_), token,
      detail::prepare_session(options_, kind, id, time_to_live));
}

template <class Transport, class Storage>
detail::cluster_answer basic_config_map<Transport, Storage>::cluster_blocking(
    detail::cluster_request request) {
  if (must_not_block()) return {failure(errc::would_deadlock), {}};
  detail::blocking_cluster operation;
  operation.id = node_->next_operation();
  operation.what = request.what;
  operation.changes = std::move(request.changes);
  operation.target = request.target;
  if (const std::error_code refused = node_->send(operation)) return {{refused, refused.message()}, {}};
  return operation.answer.wait();
}

template <class Transport, class Storage>
failure basic_config_map<Transport, Storage>::backup(std::string path) {
  if (must_not_block()) return failure(errc::would_deadlock);
  detail::blocking_backup<node_type> operation(*node_, std::move(path));
  operation.id = node_->next_operation();
  if (const std::error_code refused = node_->send(operation)) return {refused, refused.message()};
  return operation.answer.wait();
}

template <class Transport, class Storage>
write_result basic_config_map<Transport, Storage>::run_blocking(result<detail::prepared_write> write,
                                                                std::error_code& error) {
  if (!write) return error = write.error().code, write_result{};
  if (must_not_block()) return error = errc::would_deadlock, write_result{};
  detail::blocking_write operation;
  operation.id = node_->next_operation();
  error = detail::send_write(node_, operation, *std::move(write));
  if (error) return {};
  const detail::write_answer answer = operation.answer.wait();
  error = answer.code;
  return answer.outcome;
}

template <class Transport, class Storage>
write_result basic_config_map<Transport, Storage>::write_throwing(command_kind kind, std::string_view key,
                                                                  std::string_view value,
                                                                  std::uint64_t expected) {
  std::error_code error;
  const write_result outcome = write_blocking(kind, key, value, expected, error);
  if (error) {
    // Refused before it was sent: then there is more to say than the code does.
    const result<detail::prepared_write> write = detail::prepare(options_, kind, key, value, expected, {});
    detail::throw_failure(write ? failure{error, "key " + detail::quoted(key) + ": " + error.message()}
                                : write.error());
  }
  return outcome;
}

template <class Transport, class Storage>
template <class OnChange>
watch_handle basic_config_map<Transport, Storage>::watch(std::string_view prefix, OnChange on_change) {
  return detail::start_watch(node_, prefix, std::nullopt, std::move(on_change),
                             owned_ ? owned_->keep_alive() : nullptr);
}

template <class Transport, class Storage>
template <class OnChange>
watch_handle basic_config_map<Transport, Storage>::watch(std::string_view prefix,
                                                         std::uint64_t after_revision, OnChange on_change) {
  return detail::start_watch(node_, prefix, after_revision, std::move(on_change),
                             owned_ ? owned_->keep_alive() : nullptr);
}

}  // namespace confman
