#include "watch_stream.hpp"

#include <utility>

#include "http_request.hpp"
#include "json.hpp"
#include "problem.hpp"

namespace demo {

namespace {

constexpr auto heartbeat = std::chrono::seconds(5);
// How soon a client that went away is noticed.
constexpr auto look_again = std::chrono::milliseconds(500);
constexpr std::size_t text_at_once = 1 << 18;

bool is_large(const confman::change& c) {
  return c.entry->allocated_bytes() > largest_value_in_json;
}

std::string event_of(const confman::change& c) {
  const bool put = c.kind == confman::change_kind::put;
  json_writer data;
  data.bytes("key", c.key()).number("revision", c.revision()).string("version", to_string(c.at));
  if (put)
    value_in_json(data, c.entry.value())
        .number("key_version", c.entry.key_version())
        .number("create_revision", c.entry.create_revision());
  else
    data.number("previous_revision", c.entry.modify_revision());
  return "id: " + std::to_string(c.revision()) + "\nevent: " + (put ? "put" : "erase") +
         "\ndata: " + data.finish() + "\n\n";
}

std::string error_event(const confman::failure& why, std::uint64_t through) {
  const problem p = problem_of(why.code);
  json_writer data;
  data.string("code", p.code)
      .string("title", p.title)
      .string("detail", why.what.empty() ? p.detail : why.what);
  data.number("through", through);
  return "event: error\ndata: " + data.finish() + "\n\n";
}

}  // namespace

void watch_stream::begin(confman::config_map& map, std::string prefix, std::uint64_t after) {
  opening_ = ": changes after revision " + std::to_string(after) + "\n\n";
  through_ = after;
  watch_ = map.watch(prefix, after, [weak = weak_from_this()](const confman::change_batch& batch) {
    if (const auto self = weak.lock()) self->offer(batch);
  });
}

void watch_stream::close() {
  const std::lock_guard lock(mutex_);
  end_with({confman::errc::stopped, "this node is shutting down: watch on at another, after the last id"},
           through_);
}

void watch_stream::offer(const confman::change_batch& batch) {
  const std::lock_guard lock(mutex_);
  if (ended_) return;
  for (const confman::change& c : batch.changes) {
    // What is large is written out at once, which leaves its value out: the queue must not hold that.
    waiting w;
    if (is_large(c))
      w.text = event_of(c);
    else
      w.change = c;
    w.cost = sizeof(w) + (is_large(c) ? w.text.size() : c.entry->allocated_bytes());
    if (queue_.size() >= limits_.max_changes || queued_bytes_ + w.cost > limits_.max_bytes)
      return end_with(
          {confman::errc::watch_lagged,
           "the client reads more slowly than changes are made, and what may wait for it is full: watch on "
           "after the revision `through`"},
          through_);
    queued_bytes_ += w.cost;
    through_ = c.revision();
    queue_.push_back(std::move(w));
  }
  through_ = std::max(through_, batch.through);
  if (batch.error) end_with(batch.error, through_);
  changed_.notify_one();
}

void watch_stream::end_with(confman::failure why, std::uint64_t through) {
  if (ended_) return;
  ended_ = std::move(why);
  through_ = through;
  changed_.notify_one();
}

std::string watch_stream::take_text() {
  std::string text = std::exchange(opening_, {});
  while (!queue_.empty() && text.size() < text_at_once) {
    const waiting& next = queue_.front();
    text += next.text.empty() ? event_of(next.change) : next.text;
    queued_bytes_ -= next.cost;
    queue_.pop_front();
  }
  return text;
}

bool watch_stream::write_some(httplib::DataSink& sink) {
  std::string text;
  bool last = false;
  {
    std::unique_lock lock(mutex_);
    if (opening_.empty()) changed_.wait_for(lock, look_again, [&] { return ended_ || !queue_.empty(); });
    text = take_text();
    last = ended_ && queue_.empty();
    if (last) text += error_event(ended_, through_);
  }
  const auto now = clock::now();
  if (text.empty() && now - last_write_ >= heartbeat) text = ": still here\n\n";
  if (text.empty()) return sink.is_writable();
  last_write_ = now;
  if (!sink.write(text.data(), text.size())) return false;
  if (last) sink.done();
  return true;
}

}  // namespace demo
