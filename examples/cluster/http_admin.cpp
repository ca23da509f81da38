// The cluster itself: status, members, leadership, snapshots, sessions.
#include <asio/use_future.hpp>
#include <chrono>
#include <future>
#include <thread>

#include "http_api.hpp"
#include "json.hpp"
#include "wait_for_write.hpp"

namespace demo {

namespace {

using confman::errc;

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

const char* kind_of(const confman::configuration& c, confman::node_id id) {
  const auto in = [id](const std::vector<confman::member>& list) {
    return std::any_of(list.begin(), list.end(), [id](const confman::member& m) { return m.id == id; });
  };
  if (in(c.incoming)) return "voter";
  return in(c.learners) ? "learner" : "leaving";  // the voters of a joint configuration's way out
}

std::string text_of(const std::vector<confman::member_change>& changes) {
  using action = confman::member_change::action;
  std::string text;
  for (const confman::member_change& c : changes) {
    text += text.empty() ? "" : ", ";
    switch (c.what) {
      case action::add_voter:
        text += "voter ";
        break;
      case action::add_learner:
        text += "learner ";
        break;
      case action::remove:
        text += "remove ";
        break;
      case action::update:
        text += "update ";
        break;
    }
    text += std::to_string(c.who.id.value());
  }
  return text;
}

}  // namespace

// --- what there is ---

std::string http_api::members_json(const confman::configuration& c) const {
  json_writer members;
  for (const confman::node_id id : c.ids()) {
    const confman::member& m = *c.find_member(id);
    json_writer json;
    json.string("address", m.address);
    if (const auto http = settings_.http_peers.find(id.value()); http != settings_.http_peers.end())
      json.string("http", http->second);
    json.string("kind", kind_of(c, id)).number("priority", std::uint64_t{m.priority});
    members.raw(std::to_string(id.value()), json.finish());
  }
  return members.finish();
}

void http_api::members(const request& req, response& res) const {
  allow_parameters(req, {});
  const confman::node_status s = map_.status();
  json_writer json;
  json.number("leader", s.leader.value())
      .boolean("change_under_way", s.change_under_way)
      .boolean("joint", s.members.joint())
      .raw("members", members_json(s.members));
  answer(res, std::move(json));
}

void http_api::status(const request& req, response& res) const {
  allow_parameters(req, {});
  const confman::node_status s = map_.status();
  json_writer json;
  json.number("id", s.id.value())
      .string("role", role_name(s.role))
      .number("leader", s.leader.value())
      .number("term", s.term.value())
      .boolean("running", s.running)
      .number("first", s.first.value())
      .number("last", s.last.value())
      .number("stable", s.stable.value())
      .number("commit", s.commit.value())
      .number("applied", s.applied.value())
      .number("snapshot", s.snapshot.value())
      .boolean("change_under_way", s.change_under_way)
      .number("refused_by", s.refused_by.value());
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
  json.raw("members", members_json(s.members));
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

// --- what the leader does ---

bool http_api::sent_to_leader(const request& req, response& res) const {
  const confman::node_status s = map_.status();
  if (!s.leader) throw problem_of(errc::no_leader);
  if (s.leader == s.id) return false;
  const auto leader = settings_.http_peers.find(s.leader.value());
  if (leader == settings_.http_peers.end()) {
    problem p = problem_of_status(421, "only the leader does this, node " + std::to_string(s.leader.value()) +
                                           ": ask it; --http-peers would tell its address");
    p.leader = s.leader.value();
    throw p;
  }
  res.status = 307;
  res.set_header("Location", "http://" + leader->second + req.target);
  return true;
}

void http_api::change_members(const route& r, const request& req, response& res) {
  using action = confman::member_change::action;
  const confman::configuration now = map_.members();
  std::vector<confman::member_change> changes;
  if (r.what == resource::members) {
    changes = wanted_changes(req, now);
  } else {
    allow_parameters(req, {});
    const confman::node_id id(r.id);
    if (!now.contains(id)) throw problem_of(errc::not_a_member, "node " + std::to_string(r.id));
    const action what = r.what == resource::member    ? action::remove
                        : r.what == resource::promote ? action::add_voter
                                                      : action::add_learner;
    changes.push_back({what, {id, {}, {}, 1}});
  }
  if (sent_to_leader(req, res)) return;
  const std::string text = text_of(changes);
  const confman::failure error = map_.change_members(std::move(changes));
  if (error.code == errc::not_leader && sent_to_leader(req, res)) return;
  if (error) throw with_text(error);
  json_writer json;
  json.string("changed", text).raw("members", members_json(map_.members()));
  answer(res, std::move(json));
}

problem http_api::with_text(const confman::failure& error) {
  problem p = problem_of(error.code);
  if (!error.what.empty()) p.detail = error.what;
  return p;
}

void http_api::transfer(const request& req, response& res) {
  allow_parameters(req, {"to"});
  const std::uint64_t to = number_parameter(req, "to").value_or(0);
  const confman::configuration now = map_.members();
  if (to != 0 && !now.is_voter(confman::node_id(to)))
    throw problem_of(errc::not_a_member, "node " + std::to_string(to) + " is no voter");
  if (sent_to_leader(req, res)) return;
  const confman::node_status before = map_.status();
  if (to != before.id.value() || before.leader != before.id) {
    const confman::failure error = map_.transfer_leadership(to);
    if (error.code == errc::not_leader && sent_to_leader(req, res)) return;
    if (error) throw with_text(error);
  }
  // This node has stepped down; who leads it hears a moment later.
  for (int i = 0; i < 100 && !leader_known(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  answer(res, std::move(json_writer().number("leader", map_.status().leader.value())));
}

// --- what each node does for itself ---

void http_api::snapshot(const request& req, response& res) {
  allow_parameters(req, {});
  const confman::result<confman::version> at = map_.take_snapshot();
  if (!at) throw with_text(at.error());
  answer(res, std::move(json_writer().string("version", to_string(*at))));
}

void http_api::backup(const request& req, response& res) {
  allow_parameters(req, {"name"});
  if (settings_.backup_directory.empty()) {
    problem p = problem_of_status(403, "this node takes no backups: start it with --backup-dir");
    p.code = "backups_disabled";
    throw p;
  }
  const std::string name = file_name_parameter(req, "name");
  using outcome = std::pair<std::error_code, confman::version>;
  const auto promise = std::make_shared<std::promise<outcome>>();
  std::future<outcome> done = promise->get_future();
  map_.async_backup(settings_.backup_directory + "/" + name,
                    [promise](std::error_code e, confman::version at) {
                      promise->set_value({e, at});
                    });
  const auto [error, at] = done.get();
  if (error == errc::bad_option) {
    problem p = problem_of_status(409, "there is a file " + name + " already: choose another name");
    p.code = "backup_exists";
    p.title = "There is such a backup already";
    throw p;
  }
  if (error) throw problem_of(error);
  res.status = 201;
  answer(res, std::move(json_writer().string("name", name).string("version", to_string(at))));
}

// --- sessions ---

void http_api::open_session(const request& req, response& res) {
  allow_parameters(req, {"ttl_ms"});
  const std::uint64_t time_to_live = number_parameter(req, "ttl_ms").value_or(60'000);
  if (time_to_live == 0 || time_to_live > confman::max_session_ttl_ms)
    throw bad_request("ttl_ms=" + std::to_string(time_to_live) + " is not from 1 to " +
                      std::to_string(confman::max_session_ttl_ms));
  std::error_code error;
  const confman::write_result opened = wait_for_write(
      [&](auto done) { map_.async_open_session(std::chrono::milliseconds(time_to_live), std::move(done)); },
      error);
  if (error) throw problem_of(error);
  res.status = 201;
  res.set_header("Location", "/v1/sessions/" + std::to_string(opened.revision));
  set_version(res, opened.at);
  answer(res, std::move(json_writer().number("session", opened.revision).number("ttl_ms", time_to_live)));
}

void http_api::use_session(const route& r, const request& req, response& res) {
  allow_parameters(req, {});
  std::error_code error;
  const confman::write_result result = wait_for_write(
      [&](auto done) {
        if (req.method == "DELETE")
          map_.async_close_session(r.id, std::move(done));
        else
          map_.async_keep_session(r.id, std::move(done));
      },
      error);
  if (error) throw problem_of(error);
  set_version(res, result.at);
  answer(res, std::move(json_writer().number("session", r.id).boolean("open", req.method == "POST")));
}

}  // namespace demo
