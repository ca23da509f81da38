// The HTTP face of a map. README.md beside this file describes it for users.
#pragma once

#include <httplib.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>

#include "confman/confman.hpp"
#include "http_request.hpp"
#include "json.hpp"
#include "problem.hpp"
#include "settings.hpp"
#include "watch_stream.hpp"

namespace demo {

inline constexpr char json_type[] = "application/json";
inline constexpr char version_header[] = "X-Confman-Version";

void answer(httplib::Response& res, json_writer json);
[[nodiscard]] std::string etag_of(std::uint64_t revision);

class http_api {
 public:
  // Both must outlive this.
  http_api(confman::config_map& map, const settings& s);

  // Takes the port, or says why not. From here on connections queue in the kernel.
  [[nodiscard]] confman::failure bind();
  // Answers until stop(); then what was asked is still answered.
  void serve();
  // Ends the watches, takes no more connections. From any thread, once serve() was called.
  void stop();

 private:
  using request = httplib::Request;
  using response = httplib::Response;

  class server : public httplib::Server {
   public:
    // httplib listens with room for five connections; a burst of clients would wait for a second.
    bool widen_backlog(int connections);
  };

  void set_up_server();
  void dispatch(const request& req, response& res, std::string body);
  void answer_request(const route& r, const request& req, response& res, const std::string& body);
  void receive(const request& req, response& res, const httplib::ContentReader& reader);
  void refuse(const problem& p, const request& req, response& res) const;

  void get_key(const route& r, const request& req, response& res);
  void list_keys(const request& req, response& res);
  void watch(const request& req, response& res);
  void status(const request& req, response& res) const;
  void members(const request& req, response& res) const;
  void change_members(const route& r, const request& req, response& res);
  void transfer(const request& req, response& res);
  void snapshot(const request& req, response& res);
  void backup(const request& req, response& res);
  void open_session(const request& req, response& res);
  void use_session(const route& r, const request& req, response& res);
  void healthz(const request& req, response& res) const;
  void readyz(const request& req, response& res);
  void write(const route& r, const request& req, response& res, const std::string& body);

  // For what only the leader does: false on the leader, else 307 to it; throws if its address is not known.
  [[nodiscard]] bool sent_to_leader(const request& req, response& res) const;
  [[nodiscard]] std::string members_json(const confman::configuration& c) const;
  [[nodiscard]] static problem with_text(const confman::failure& error);
  static void set_version(response& res, confman::version at) {
    res.set_header(version_header, to_string(at));
  }
  // 307 to the leader if that was asked for and is possible.
  [[nodiscard]] bool redirected(const request& req, response& res) const;
  [[nodiscard]] confman::write_result apply(const route& r, const request& req, const std::string& body,
                                            std::error_code& error);
  // Only if the key has that revision, or only if it exists at all.
  [[nodiscard]] confman::write_result apply_at(const route& r, std::uint64_t revision, const request& req,
                                               const std::string& body,
                                               const std::optional<confman::once>& token,
                                               std::error_code& error);
  [[nodiscard]] confman::write_result apply_if_exists(const route& r, const request& req,
                                                      const std::string& body, std::error_code& error);
  // Waits until this node is as fresh as asked.
  void wait_for(const freshness& wanted) const;
  [[nodiscard]] bool leader_known() const { return static_cast<bool>(map_.status().leader); }

  confman::config_map& map_;
  const settings& settings_;
  server server_;
  std::atomic<std::size_t> body_bytes_ = 0;  // of requests under way
  mutable std::mutex watches_mutex_;
  std::unordered_set<std::shared_ptr<watch_stream>> watches_;
  bool stopping_ = false;  // guarded by watches_mutex_
};

}  // namespace demo
