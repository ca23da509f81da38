// The member of a real cluster as an application's host: a few lines over config_map.
#pragma once

#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <utility>

#include "confman/confman.hpp"
#include "confman/sim/application.hpp"

// For a map on an executor with one thread (or a strand), which the application runs on as well. Destroy it
// with the application, after the executor has ended.
class config_map_host final : public confman::sim::application_host {
  static auto answer(write_handler done) {
    return [tell = std::move(done)](std::error_code code, const confman::write_result& result) {
      tell(code, code == confman::errc::compare_failed ? result.previous_revision : result.revision);
    };
  }

 public:
  config_map_host(confman::config_map& map, confman::node_id self) : map_(map), self_(self) {}

  [[nodiscard]] confman::node_id self() const override { return self_; }
  [[nodiscard]] std::optional<confman::map_entry> get(std::string_view key) const override {
    return map_.get(key);
  }
  [[nodiscard]] std::vector<confman::map_entry> list(std::string_view prefix) const override {
    return map_.list(prefix);
  }
  void read_barrier(read_handler done) override {
    map_.async_read_barrier(confman::linearizable, std::move(done));
  }
  void put(std::string_view key, std::string_view value, write_handler done) override {
    map_.async_put(key, value, answer(std::move(done)));
  }
  void erase(std::string_view key, write_handler done) override {
    map_.async_erase(key, answer(std::move(done)));
  }
  void compare_exchange(std::string_view key, std::uint64_t expected_revision, std::string_view value,
                        write_handler done) override {
    map_.async_compare_exchange(key, expected_revision, value, answer(std::move(done)));
  }
  void compare_erase(std::string_view key, std::uint64_t expected_revision, write_handler done) override {
    map_.async_compare_erase(key, expected_revision, answer(std::move(done)));
  }
  void watch(std::string_view prefix, watch_handler on_change) override {
    watches_.push_back(map_.watch(prefix, std::move(on_change)));
  }
  void after(std::chrono::microseconds delay, std::function<void()> what) override {
    const auto timer = std::make_shared<asio::steady_timer>(map_.get_executor(), delay);
    timer->async_wait([timer, run = std::move(what)](std::error_code code) {
      if (!code) run();
    });
  }
  [[nodiscard]] std::uint64_t random() override { return source_(); }

 private:
  confman::config_map& map_;
  confman::node_id self_;
  std::mt19937_64 source_{std::random_device{}()};
  std::deque<confman::watch_handle> watches_;  // the handles of ended watches stay; they are small
};
