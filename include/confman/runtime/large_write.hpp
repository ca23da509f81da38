// A value too large for one entry of the log, on its way in pieces.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "confman/map/command.hpp"
#include "confman/map/limits.hpp"
#include "confman/runtime/mail.hpp"

namespace confman::detail {

// A write as the caller asked for it, checked and encoded.
struct prepared_write {
  shared_bytes command;     // of a write that fits one entry; else of none
  bool repeatable = false;  // it has a session and a sequence
  // A larger one: what the last entry says, and the value, which goes before it.
  command_view last;
  std::string key;
  shared_bytes value;
};

// Sends piece after piece, each when the one before is applied, then the write that names them all. So pieces
// of many writers and small writes take turns in the log, on the wire and on the disk, and no heartbeat waits
// for more than one. A piece may be applied twice without harm; it is passed on again where the leader
// changes.
//
// Node: send_always(mail&), next_upload(), and accept() for what is delivered. Owns itself until it has
// completed `user`.
template <class Node>
class large_write final : public write_operation, public mail {
 public:
  // `upload`: a number that this node never uses twice.
  large_write(std::weak_ptr<Node> node, write_operation& user, prepared_write&& what, std::uint64_t upload)
      : node_(std::move(node)), user_(&user), what_(std::move(what)), upload_(upload) {
    id = user.id;
    prepare();
  }

  void deliver(mail_receiver& to) override { to.accept(static_cast<write_operation&>(*this)); }
  void discard() noexcept override { end(); }
  void abandon() noexcept override { end(); }

  void complete(std::error_code code, const apply_result& outcome) override {
    if (code == errc::upload_expired && may_begin_anew()) return begin_anew();
    if (last_) return finish(code, outcome);
    // Only pieces were sent, and they change no key: whatever became of this one, the write did not happen.
    if (code) return finish(code == errc::outcome_unknown ? make_error_code(errc::no_leader) : code, {});
    sent_ += piece_bytes();
    send_next();
  }

 private:
  static constexpr int max_uploads_begun = 3;

  // What was there of it had to make room for others, or a piece arrived out of turn. The answer to the last
  // entry is kept by the session, if there is one: it would be the same again.
  [[nodiscard]] bool may_begin_anew() const noexcept {
    return begun_ < max_uploads_begun && !(last_ && repeatable);
  }
  void begin_anew() {
    if (const std::shared_ptr<Node> node = node_.lock()) upload_ = node->next_upload();
    ++begun_;
    sent_ = 0;
    last_ = false;
    send_next();
  }
  void send_next() {
    const std::shared_ptr<Node> node = node_.lock();
    if (!node) return abandon();
    prepare();
    node->send_always(*this);  // never inline: the group is in the middle of its work
  }

  [[nodiscard]] std::size_t piece_bytes() const noexcept {
    return std::min(max_piece_bytes, what_.value.size() - sent_);
  }

  void prepare() {
    command_view next = what_.last;
    if (sent_ < what_.value.size()) {
      next = {};
      next.kind = command_kind::upload_piece;
      next.author = what_.last.author;
      next.timestamp = what_.last.timestamp;
      next.total_bytes = what_.value.size();
      next.offset = sent_;
      next.value = what_.value.view().substr(sent_, piece_bytes());
      repeatable = true;
    } else {
      last_ = true;
      repeatable = what_.repeatable;
    }
    next.key = what_.key;
    next.upload = upload_;
    in_doubt = false;
    command = encode(next);
  }

  void finish(std::error_code code, const apply_result& outcome) {
    write_operation* const user = user_;
    const apply_result copy = outcome;
    delete this;
    user->complete(code, copy);
  }
  void end() noexcept {
    write_operation* const user = user_;
    delete this;
    user->abandon();
  }

  std::weak_ptr<Node> node_;
  write_operation* user_;
  prepared_write what_;
  std::uint64_t upload_;
  std::size_t sent_ = 0;  // applied
  bool last_ = false;
  int begun_ = 1;  // uploads
};

}  // namespace confman::detail
