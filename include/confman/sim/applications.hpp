// The applications of a simulated world, one in each running member.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "confman/sim/application.hpp"
#include "confman/sim/node.hpp"

namespace confman::sim {

// They live and die with the processes of their members, call the members' groups as clients do, and are
// called back by events of the world. Every write of theirs is checked like that of any client.
class applications {
 public:
  // `world` must outlive it, and all processes of nodes must end before it does.
  CONFMAN_DECL explicit applications(environment& world);
  CONFMAN_DECL ~applications();
  applications(const applications&) = delete;
  applications& operator=(const applications&) = delete;

  // Before the world runs.
  void use(application_suite suite) { suite_ = std::move(suite); }
  [[nodiscard]] bool used() const noexcept { return static_cast<bool>(suite_.start); }

  // A process of the node begins.
  CONFMAN_DECL void started(node& n);
  // It is about to end; its calls are answered no more.
  CONFMAN_DECL void crashed(const node& n);
  // event_kind::application: something that an application waits for.
  CONFMAN_DECL void call_back(const event& e);
  // From now on all stand still.
  void stop() noexcept { stopped_ = true; }
  // The end of the world, whose nodes have agreed on this.
  CONFMAN_DECL void finish(const map_view& final_state) const;

 private:
  class process;
  class write_call;
  class read_call;

  CONFMAN_DECL void check() const;
  CONFMAN_DECL void submit(process& from, command_view command, application_host::write_handler done);
  CONFMAN_DECL void submit(process& from, application_host::read_handler done);

  environment& world_;
  application_suite suite_;
  std::deque<write_call> writes_;
  std::deque<read_call> reads_;
  std::vector<write_call*> free_writes_;
  std::vector<read_call*> free_reads_;
  std::vector<std::unique_ptr<process>> processes_;  // by id
  bool stopped_ = false;
};

}  // namespace confman::sim

#if !defined(CONFMAN_COMPILED)
#include "confman/sim/impl/applications.ipp"
#endif
