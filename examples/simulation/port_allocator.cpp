#include "port_allocator.hpp"

#include <cstdlib>
#include <utility>
#include <vector>

namespace ports {

worker::worker(confman::sim::application_host& host, user& who, const settings& how)
    : host_(host), who_(who), how_(how), wanted_(how.wanted) {
  watch_settings();
  turn();
}

// The process ends, and with it whatever listened.
worker::~worker() {
  for (const auto& [range, revision] : held_) who_.leave(host_.self().value(), range);
}

void worker::watch_settings() {
  host_.watch("/config/", [this](const confman::change_batch& batch) {
    read_settings();
    if (batch.error) host_.after(how_.pause, [this] { watch_settings(); });
  });
  read_settings();
}

void worker::read_settings() {
  const auto found = host_.get("/config/wanted");
  wanted_ = found ? static_cast<unsigned>(std::atoi(std::string(found->value()).c_str())) : how_.wanted;
}

void worker::turn() {
  host_.after(how_.pause + std::chrono::milliseconds(host_.random() % 20), [this] { turn(); });
  if (busy_) return;
  std::vector<std::string> free;
  for (unsigned i = 0; i < how_.ranges; ++i) {
    const std::string range = "/ports/" + std::to_string(i);
    const auto owner = host_.get(range);
    if (!owner)
      free.push_back(range);
    else if (owner->value() == name() && held_.find(range) == held_.end())
      return take(range, owner->modify_revision());
  }
  if (held_.size() > wanted_ || (!held_.empty() && host_.random() % 8 == 0))
    return give_back(held_.begin()->first);
  if (held_.size() < wanted_ && !free.empty()) take(free[host_.random() % free.size()], 0);
}

void worker::take(const std::string& range, std::uint64_t expected_revision) {
  busy_ = true;
  const auto done = [this, range](std::error_code code, std::uint64_t revision) {
    taken(range, code, revision);
  };
  if (how_.read_then_write)
    host_.put(range, name(), done);
  else
    host_.compare_exchange(range, expected_revision, name(), done);
}

void worker::taken(const std::string& range, std::error_code code, std::uint64_t revision) {
  busy_ = false;
  if (code) return;  // somebody else's now; or not known, then the next turn finds it
  held_[range] = revision;
  who_.use(host_.self().value(), range, revision);
}

void worker::give_back(std::string range) {
  busy_ = true;
  const std::uint64_t revision = std::exchange(held_[range], 0);
  held_.erase(range);
  who_.leave(host_.self().value(), range);  // first: from here on it may be another's
  host_.compare_erase(range, revision, [this](std::error_code, std::uint64_t) { busy_ = false; });
}

}  // namespace ports
