// The writes that wait on one node: in the leader's log, on their way to a leader, or for one.
#pragma once

#include <utility>
#include <variant>
#include <vector>

#include "confman/core/raft_core.hpp"
#include "confman/mutants.hpp"
#include "confman/runtime/forwarding.hpp"
#include "confman/runtime/proposals.hpp"

namespace confman {

struct write_limits {
  std::size_t max_waiting;  // more are refused with errc::busy
  // On their way to the leader; more is kept back, in order.
  std::size_t max_forwarded;
  std::size_t max_forwarded_bytes;
};

// Belongs to a group and follows its rules: one owner, free of I/O. Each write that is submitted or received
// is answered once, or given back by the functions that end it.
template <class Transport>
class group_writes {
 public:
  group_writes(const write_limits& limits, raft_core& core, Transport& transport)
      : limits_(limits),
        core_(core),
        transport_(transport),
        forwarded_(core.options().boot, core.options().incarnation) {}

  [[nodiscard]] std::size_t waiting() const noexcept {
    return proposals_.size() + forwarded_.size() + unsent_.size() + held_.size();
  }

  void submit(write_operation& operation) {
    if (waiting() >= limits_.max_waiting) return operation.complete(errc::busy, {});
    // Behind those that are kept back: writes of one caller keep their order.
    if (!unsent_.empty() || !offer(operation)) unsent_.push_back(&operation);
  }

  // A forward_request or forward_response.
  std::error_code receive(message&& m) {
    message_body body = std::exchange(m.body, stale_term{});
    const node_id from = m.from;
    const term_t term = m.term;
    if (const std::error_code error = core_.step(std::move(m))) return error;
    if (auto* request = std::get_if<forward_request>(&body)) {
      accept(from, term, std::move(*request));
    } else if (write_operation* w = forwarded_.take(std::get<forward_response>(body).request)) {
      answered(*w, std::get<forward_response>(body));
    }
    return {};
  }

  // --- what became of entries ---

  // An entry was executed. Answered by tell(): who is told may read at once and must see its write.
  void applied(version place, const apply_result& result) {
    proposals_.applied(place, [&](const proposal& p, bool own) { outcomes_.push_back({p, own, result}); });
  }
  void tell() {
    for (const outcome& o : std::exchange(outcomes_, {})) answer(o.p, o.applied, o.result);
  }
  // The state was replaced: what became of the entries up to `at` isn't known here.
  void jumped(log_index at) {
    std::vector<write_operation*> lost;
    proposals_.jumped(at, [&](const proposal& p) {
      if (p.local) lost.push_back(p.local);
      if (p.remote) respond(p.remote, {p.request, forward_status::unknown, {}, {}});
    });
    for (write_operation* w : lost) lose(*w);
  }

  // --- the leader ---

  void leader_heard() {
    if (std::exchange(reachable_, true)) return;
    offer_unsent();
  }
  void leader_unreachable() {
    reachable_ = false;
    lose_forwarded();
  }
  // Another one, or none: what waited for one is passed on, what an old one has may or may not have happened.
  void leader_changed() {
    leader_ = core_.leader();
    term_ = core_.term();
    reachable_ = true;
    lose_forwarded();
    offer_unsent();
  }
  // Passes on what was kept back, when it is time: not for one answer each, that would go through all of it
  // each time.
  void pass_on() {
    if (!held_.empty() && !core_.transferring_to()) release_held();
    if (unsent_.empty()) return;
    const bool now = core_.role() == role::leader
                         ? !core_.transferring_to()
                         : knows_leader() && !forwarded_.full(limits_.max_forwarded / 2 + 1,
                                                              limits_.max_forwarded_bytes / 2 + 1);
    if (now) offer_unsent();
  }

  // --- ends ---

  // Completes those that `pick(operation)` chooses: with `sent` what may be applied, with `unsent` what
  // certainly isn't.
  template <class Pick>
  void finish(Pick&& pick, std::error_code sent, std::error_code unsent) {
    const taken writes = take(pick);
    for (write_operation* w : writes.sent) w->complete(sent, {});
    for (write_operation* w : writes.unsent) w->complete(unsent, {});
  }
  void abandon() noexcept {
    const taken writes = take([](const write_operation&) { return true; });
    for (write_operation* w : writes.sent) w->abandon();
    for (write_operation* w : writes.unsent) w->abandon();
  }

 private:
  // A write that another node has sent here.
  struct held_write {
    node_id from;
    term_t term;
    forward_request request;
  };
  struct outcome {
    proposal p;
    bool applied;
    apply_result result;
  };
  struct taken {
    std::vector<write_operation*> sent;
    std::vector<write_operation*> unsent;
  };
  template <class Pick>
  taken take(Pick&& pick) {
    taken found;
    found.sent = forwarded_.take_if(pick);
    for (const proposal& p : proposals_.take_if([&](const proposal& q) { return q.local && pick(*q.local); }))
      found.sent.push_back(p.local);
    std::vector<write_operation*> kept;
    for (write_operation* w : unsent_) {
      if (!pick(*w))
        kept.push_back(w);
      else
        (w->in_doubt ? found.sent : found.unsent).push_back(w);
    }
    unsent_ = std::move(kept);
    return found;
  }

  // Passes a write on. False: there is no leader to pass it to yet, or it is just handing over.
  bool offer(write_operation& operation) {
    if (core_.role() == role::leader) {
      if (hands_over()) return false;
      const raft_core::proposed proposed = core_.propose(take_command(operation));
      if (proposed.code)
        refuse(operation, proposed.code);
      else if (CONFMAN_MUTANT(ack_before_commit))
        answer({proposed.at, &operation, {}, 0}, true,
               {{}, proposed.at, proposed.at.index.value(), 0, false, false});
      else
        proposals_.add({proposed.at, &operation, {}, 0});
      return true;
    }
    if (!operation.may_forward) return refuse(operation, errc::not_leader), true;
    if (!knows_leader() || forwarded_.full(limits_.max_forwarded, limits_.max_forwarded_bytes)) return false;
    const std::uint64_t request = forwarded_.add(operation);
    send(core_.leader(), forward_request{request, take_command(operation)});
    return true;
  }
  [[nodiscard]] static shared_bytes take_command(write_operation& operation) {
    return operation.repeatable ? operation.command : std::move(operation.command);
  }
  // It doesn't happen this time; an earlier try may have.
  static void refuse(write_operation& operation, std::error_code why) {
    operation.complete(operation.in_doubt ? make_error_code(errc::outcome_unknown) : why, {});
  }
  // Nobody knows whether it will be applied: an error for the caller, unless it may be tried again.
  void lose(write_operation& operation) {
    if (!operation.repeatable)
      return operation.complete(CONFMAN_MUTANT(lost_is_refused) ? errc::not_leader : errc::outcome_unknown,
                                {});
    operation.in_doubt = !CONFMAN_MUTANT(doubt_forgotten);
    unsent_.push_back(&operation);
  }

  // News of a leader comes before writes for it: else they would count as lost with those sent to the old
  // one. And while the connection to it is down a write would be lost, its outcome unknown for no reason.
  [[nodiscard]] bool knows_leader() const noexcept {
    return core_.leader() && core_.leader() == leader_ && core_.term() == term_ && reachable_;
  }

  void offer_unsent() {
    const std::vector<write_operation*> waiting = std::exchange(unsent_, {});
    for (write_operation* w : waiting)
      if (!offer(*w)) unsent_.push_back(w);
  }
  void lose_forwarded() {
    for (write_operation* w : forwarded_.take_if([](const write_operation&) { return true; })) lose(*w);
  }

  void answer(const proposal& p, bool applied, const apply_result& result) {
    if (p.local && applied) return p.local->complete(result.code, result);
    // Another entry took the place: this one can never be applied.
    if (p.local && p.local->repeatable) return unsent_.push_back(p.local);
    if (p.local) return refuse(*p.local, errc::not_leader);
    if (!p.remote) return;
    if (applied)
      respond(p.remote, {p.request, forward_status::applied, result.at, encode(result)});
    else
      respond(p.remote, {p.request, forward_status::not_applied, {}, {}});
  }

  void accept(node_id from, term_t term, forward_request&& request) {
    // No answer: this may be the duplicate of a request that was accepted when this node led, so "certainly
    // not applied" would be a guess. The sender learns of the change of leader and reports an unknown
    // outcome.
    if ((term != core_.term() && !CONFMAN_MUTANT(forward_any_term)) || core_.role() != role::leader) return;
    if (!filter_.accept(term, from, request.request) && !CONFMAN_MUTANT(forward_twice)) return;
    if (waiting() >= limits_.max_waiting)
      return respond(from, {request.request, forward_status::busy, {}, {}});
    if (hands_over()) return held_.push_back({from, term, std::move(request)});
    propose(from, std::move(request));
  }
  void propose(node_id from, forward_request&& request) {
    const raft_core::proposed proposed = core_.propose(std::move(request.command));
    if (proposed.code) {
      const bool full = proposed.code == errc::busy;
      return respond(from,
                     {request.request, full ? forward_status::busy : forward_status::not_applied, {}, {}});
    }
    proposals_.add({proposed.at, nullptr, from, request.request});
  }

  // The hand-over has failed, and they are proposed; or another leads, and they certainly aren't applied.
  void release_held() {
    for (held_write& w : std::exchange(held_, {})) {
      if (core_.role() == role::leader && core_.term() == w.term)
        propose(w.from, std::move(w.request));
      else
        respond(w.from, {w.request.request, forward_status::not_applied, {}, {}});
    }
  }

  void answered(write_operation& operation, const forward_response& response) {
    const result<apply_result> decoded = decode_apply_result(response.result);
    switch (response.status) {
      case forward_status::applied:
        if (!decoded) return operation.complete(errc::outcome_unknown, {});
        return operation.complete(decoded->code, *decoded);
      case forward_status::not_applied:
        return operation.repeatable ? unsent_.push_back(&operation) : refuse(operation, errc::not_leader);
      case forward_status::busy:
        return refuse(operation, errc::busy);
      case forward_status::unknown:
        return lose(operation);
    }
    lose(operation);  // a status of a later version
  }

  [[nodiscard]] bool hands_over() const noexcept {
    return core_.transferring_to() && !CONFMAN_MUTANT(propose_in_transfer);
  }
  void respond(node_id to, forward_response response) { send(to, std::move(response)); }
  void send(node_id to, message_body body) {
    const raft_options& o = core_.options();
    transport_.send({o.cluster, o.group, o.self, to, o.incarnation, core_.term(), std::move(body)});
  }

  write_limits limits_;
  raft_core& core_;
  Transport& transport_;
  proposals proposals_;
  forwarded_writes forwarded_;
  forward_filter filter_;
  std::vector<outcome> outcomes_;         // of the entries that are just being applied
  std::vector<write_operation*> unsent_;  // wait for a leader, or for room on the way to it
  std::vector<held_write> held_;          // came while leadership was being handed over
  // Who leads, as was last noticed, and whether the transport has said nothing against it since.
  node_id leader_;
  term_t term_;
  bool reachable_ = true;
};

}  // namespace confman
