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
#include "problem.hpp"
#include "settings.hpp"
#include "watch_stream.hpp"

namespace demo {

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
  using handler = void (http_api::*)(const route&, const request&, response&);

  class server : public httplib::Server {
   public:
    // httplib listens with room for five connections; a burst of clients would wait for a second.
    bool widen_backlog(int connections);
  };

  void set_up_server();
  void dispatch(const request& req, response& res, std::string body);
  void receive(const request& req, response& res, const httplib::ContentReader& reader);
  void refuse(const problem& p, const request& req, response& res) const;

  void get_key(const route& r, const request& req, response& res);
  void list_keys(const request& req, response& res);
  void watch(const request& req, response& res);
  void status(const request& req, response& res) const;
  void healthz(const request& req, response& res) const;
  void readyz(const request& req, response& res);
  void write(const route& r, const request& req, response& res, const std::string& body);

  // 307 to the leader if that was asked for and is possible.
  [[nodiscard]] bool redirected(const request& req, response& res) const;
  [[nodiscard]] confman::write_result apply(const route& r, const request& req, const std::string& body,
                                            std::error_code& error);
  // Only if the key has that revision, or only if it exists at all.
  [[nodiscard]] confman::write_result apply_at(const route& r, std::uint64_t revision, const request& req,
                                               const std::string& body, std::error_code& error);
  [[nodiscard]] confman::write_result apply_if_exists(const route& r, const request& req,
                                                      const std::string& body, std::error_code& error);
  // Waits until this node is as fresh as asked.
  void wait_for(const freshness& wanted) const;
  [[nodiscard]] bool leader_known() const { return static_cast<bool>(map_.status().leader); }

  confman::config_map& map_;
  const settings& settings_;
  server server_;
  mutable std::mutex watches_mutex_;
  std::unordered_set<std::shared_ptr<watch_stream>> watches_;
  bool stopping_ = false;  // guarded by watches_mutex_
};

}  // namespace demo
