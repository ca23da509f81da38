// An asynchronous write whose outcome a thread waits for.
#pragma once

#include <future>
#include <memory>
#include <system_error>
#include <utility>

#include "confman/config_map.hpp"

namespace demo {

// Calls start(handler) and waits until the handler was called. Unlike a future of the library's own it has
// the outcome beside an error. Not for the map's own thread.
template <class Start>
[[nodiscard]] confman::write_result wait_for_write(Start&& start, std::error_code& error) {
  using outcome = std::pair<std::error_code, confman::write_result>;
  const auto promise = std::make_shared<std::promise<outcome>>();
  std::future<outcome> done = promise->get_future();
  start([promise](std::error_code e, const confman::write_result& w) { promise->set_value({e, w}); });
  auto [code, result] = done.get();
  error = code;
  return result;
}

}  // namespace demo
