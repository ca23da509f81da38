// The state of a core as a sequence of numbers: two cores with the same options that give the same sequence
// behave the same from then on. For tools that search all states or compare copies; nothing in the library
// itself uses it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "confman/core/raft_core.hpp"

namespace confman {

// Takes values apart and calls sink(std::uint64_t) for each number in them. An entry's payload is not shown:
// its hash stands for it. `Message`: called as show(state_visitor&, const message&) for the messages that a
// core still holds.
template <class Sink, class Message>
class state_visitor {
 public:
  state_visitor(Sink& sink, Message& show) : sink_(sink), show_(show) {}

  template <class... Values>
  void operator()(const Values&... values) {
    (take(values), ...);
  }

 private:
  template <class T>
  void take(const T& value) {
    if constexpr (std::is_enum_v<T> || std::is_integral_v<T>)
      sink_(static_cast<std::uint64_t>(value));
    else if constexpr (requires { value.visit_state(*this); })
      value.visit_state(*this);
    else
      take_all(value);
  }
  template <class Range>
  void take_all(const Range& values) {
    take(values.size());
    for (const auto& value : values) take(value);
  }
  template <class Tag>
  void take(tagged<Tag> value) {
    sink_(value.value());
  }
  template <class T>
  void take(const std::optional<T>& value) {
    take(value.has_value());
    if (value) take(*value);
  }
  template <class A, class B>
  void take(const std::pair<A, B>& value) {
    (*this)(value.first, value.second);
  }
  void take(const version& v) { (*this)(v.term, v.index); }
  void take(const log_place& p) { (*this)(p.at, p.hash); }
  void take(const entry& e) { (*this)(e.term, e.index, e.type, e.payload.size(), e.hash); }
  void take(const hard_state& s) { (*this)(s.term, s.vote, s.commit); }
  void take(const log_reset& r) { (*this)(r.at, r.hash); }
  void take(const member& m) { (*this)(m.id, m.incarnation, m.address, m.priority); }
  void take(const configuration& c) {
    (*this)(c.incoming, c.outgoing, c.learners, c.learners_next, c.auto_leave);
  }
  void take(const snapshot_meta& s) { (*this)(s.at, s.hash, s.members, s.members_at); }
  void take(const remote_read& r) { (*this)(r.from, r.context); }
  void take(const read_answer& a) { (*this)(a.id, a.index); }
  void take(const entry_fetch& f) { (*this)(f.peer, f.from, f.last, f.max_bytes); }
  void take(const write_batch& b) { (*this)(b.truncate_from, b.entries, b.state, b.reset, b.release_before); }
  void take(const recovered_log& r) {
    (*this)(r.state, r.entries, r.boot, r.incarnation, r.cluster, r.base, r.base_hash, r.snapshot);
  }
  void take(const message& m) { show_(*this, m); }

  Sink& sink_;
  Message& show_;
};

// Not shown: clocks that the role doesn't look at, the dice when every throw gives the same, and the number
// of a write, apart from its distance to those that are durable.
template <class Visitor>
void raft_core::visit_state(Visitor& visit) const {
  visit(state_, log_, configurations_, writes_, role_.index(), leader_, voted_for_, refused_by_, applied_,
        apply_handed_, uncommitted_bytes_, heartbeat_elapsed_, refused_behind_);
  // Two missed leaders and more are the same, see may_campaign().
  visit(std::min<std::uint32_t>(missed_leaders_, 2));
  if (options_.election_ticks > 1) visit(random_);
  if (const auto* self = std::get_if<leader_role>(&role_)) {
    visit(self->peers, self->rounds, self->quorum_elapsed, self->transfer_to);
    if (options_.priority_check_ticks != 0) visit(self->priority_elapsed);
    if (self->transfer_to) visit(self->transfer_elapsed);
  } else {
    visit(election_elapsed_, election_timeout_);
  }
  if (const auto* self = std::get_if<pre_candidate_role>(&role_)) visit(self->answers);
  if (const auto* self = std::get_if<candidate_role>(&role_)) visit(self->answers);
  visit(new_reads_, new_remote_reads_, follower_reads_, answered_reads_, outbox_, held_.size());
  for (const held_message& h : held_) visit(h.after - writes_.durable(), h.m);
  visit(snapshot_, stored_first_, stored_base_, snapshots_wanted_, fetches_, checked_term_, checked_vote_,
        checked_commit_, checked_applied_);
}

}  // namespace confman
