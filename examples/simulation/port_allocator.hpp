// A small application: in every member of a cluster a worker that needs ranges of ports, of which there are
// fewer than all want. No two workers may use one range at the same time. It knows nothing of simulations.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "confman/sim/application.hpp"

namespace ports {

// Who uses which range right now; in a real process, whoever listens on the ports.
class user {
 public:
  virtual ~user() = default;
  virtual void use(std::uint64_t worker, std::string_view range, std::uint64_t revision) = 0;
  virtual void leave(std::uint64_t worker, std::string_view range) = 0;
};

struct settings {
  unsigned ranges = 4;
  unsigned wanted = 2;  // by each worker, unless /config/wanted says another number
  std::chrono::milliseconds pause{30};
  // The mistake that looks harmless: look whether a range is free, then put one's name there.
  bool read_then_write = false;
};

// Range "/ports/n" belongs to the worker whose name it holds. A worker
//   - takes one by a compare-exchange that expects no key, and gives it back by a compare-erase of the
//   revision
//     at which it took it, so that neither can touch what another has taken meanwhile;
//   - uses one only when it was answered that the range is its own. What it finds under its name without such
//     an answer (from before a restart, or of a write whose answer was lost) it takes once more, by a
//     compare-exchange of that revision: whatever it sent before can no longer match.
class worker final : public confman::sim::application {
 public:
  // `host` and `who` must outlive it.
  worker(confman::sim::application_host& host, user& who, const settings& how);
  ~worker() override;

 private:
  void watch_settings();
  void read_settings();
  void turn();
  void take(const std::string& range, std::uint64_t expected_revision);
  void taken(const std::string& range, std::error_code code, std::uint64_t revision);
  void give_back(std::string range);
  [[nodiscard]] std::string name() const { return std::to_string(host_.self().value()); }

  confman::sim::application_host& host_;
  user& who_;
  settings how_;
  unsigned wanted_;
  std::map<std::string, std::uint64_t> held_;  // and the revisions at which they were taken
  bool busy_ = false;                          // waits for an answer
};

}  // namespace ports
