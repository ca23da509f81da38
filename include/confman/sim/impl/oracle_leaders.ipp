#pragma once

#include <algorithm>
#include <initializer_list>

#include "confman/sim/oracle.hpp"

namespace confman::sim {

namespace detail {

[[nodiscard]] inline bool ends_in(const log_view& log, entry_type type) {
  return log.last_index() >= log.first_index() && log.at(log.last_index()).type == type;
}

}  // namespace detail

// What a node takes for durable of its own log is what it would count if it led.
CONFMAN_DECL void oracle::check_stable(node_id node, const raft_core& core) {
  using detail::text;
  const std::optional<chain_hash> hash = hash_at(core, core.stable());
  if (hash && on_platter(node, core.stable(), *hash)) return;
  const node_account& account = nodes_[node.value()];
  trace_.fail(invariant::durable_first,
              text(node) + " takes its entries up to " + text(core.stable()) + " of " +
                  text(core.log().last_index()) + " for durable, but its platter ends with " +
                  show({account.log.back().term, log_index(account.log.size() - 1)}) + " or holds others");
}

// Only a voter leads, by its log or by what is committed of it (thesis, 4.2.2), and its first entry is there
// at once: nothing that earlier terms left is committed before (paper, 5.4.2).
CONFMAN_DECL void oracle::check_elected(node_id node, const raft_core& core) {
  using detail::text;
  if (core.log().last().term != core.term())
    trace_.fail(invariant::liveness,
                text(node) + " leads term " + text(core.term()) + " and doesn't begin it with an entry");
  // ... for the directory it runs on, unless its log says that another one speaks for it.
  const auto bound_to = [&](const configuration& c) {
    const member* m = c.find_member(node);
    return m ? m->incarnation : incarnation_id{};
  };
  const incarnation_id own = core.options().incarnation, by_log = bound_to(core.members());
  const auto votes = [&](const configuration& c) {
    return c.is_voter(node) && (!bound_to(c) || bound_to(c) == own);
  };
  const auto after = configurations_.upper_bound(core.commit());
  if ((!by_log || by_log == own) &&
      (votes(core.members()) || after == configurations_.begin() || votes(std::prev(after)->second)))
    return;
  trace_.fail(invariant::configuration_safety, text(node) + " leads term " + text(core.term()) +
                                                   " and is no voter, neither by its log nor by " +
                                                   "what is committed of it, or another directory is");
}

// What it takes from clients stays within its limits, and waits while leadership is handed over.
CONFMAN_DECL void oracle::check_leading(node_id node, const node_account& account, const raft_core& core) {
  using detail::text;
  const log_index last = core.log().last_index();
  if (last == account.last_as_leader.index || !detail::ends_in(core.log(), entry_type::command)) return;
  if (account.hands_over_to && account.hands_over_to == core.transferring_to())
    trace_.fail(invariant::liveness, text(node) + " takes a command at " + text(last) +
                                         " while it hands over to " + text(account.hands_over_to));
  if (last - core.commit() > core.options().max_uncommitted_entries)
    trace_.fail(invariant::bounded_memory, text(node) + " takes a command at " + text(last) +
                                               ", with entries from " + text(core.commit()) +
                                               " on not committed: more than " +
                                               std::to_string(core.options().max_uncommitted_entries));
}

// A hand-over without success is given up after an election timeout (thesis, 3.10). For the sake of
// priorities one of the same kind may begin with the tick that ends one; where that may happen at each,
// nothing is said.
CONFMAN_DECL void oracle::on_tick(node_id node, const raft_core& core) {
  using detail::text;
  node_account& account = nodes_[node.value()];
  const raft_options& o = core.options();
  const node_id to = core.transferring_to();
  if (!to || account.handed_over != std::pair(core.term(), to) ||
      o.priority_check_ticks == o.election_ticks) {
    account.hand_over_ticks = 0;
    return;
  }
  const std::uint64_t most = o.priority_check_ticks == 0 ? o.election_ticks : 2 * o.election_ticks;
  if (++account.hand_over_ticks <= most) return;
  trace_.fail(invariant::liveness, text(node) + " hands over to " + text(to) + " for " +
                                       std::to_string(account.hand_over_ticks) + " ticks, at most " +
                                       std::to_string(most) + " are allowed");
}

// The directory that speaks for this member has given its vote, or, as long as none is bound, any of them.
CONFMAN_DECL bool oracle::has_voted(const member& m, term_t term, const ballot& vote) const {
  const auto gave = [&](incarnation_id directory, const node_account& account) {
    if (m.incarnation && m.incarnation != directory) return false;
    const auto given = account.votes.find(term);
    return given != account.votes.end() && given->second == vote;
  };
  const node_account& now = nodes_[m.id.value()];
  return gave(now.incarnation, now) || std::any_of(lost_.begin(), lost_.end(), [&](const auto& lost) {
           return lost.first.first == m.id && gave(lost.first.second, lost.second);
         });
}

// Once per term, and for one directory: the next one of the same id may have lost what it was given for.
CONFMAN_DECL void oracle::record_vote(node_id node, term_t term, const ballot& vote) {
  using detail::text;
  const auto [it, first] = nodes_[node.value()].votes.emplace(term, vote);
  if (first || it->second == vote) return;
  const bool other_directory = it->second.candidate == vote.candidate;
  trace_.fail(invariant::one_vote,
              text(node) + " votes for " + text(vote.candidate) + " in term " + text(term) +
                  ", in which it has voted for " +
                  (other_directory ? "another directory of it" : text(it->second.candidate)));
}

// A majority of those who may vote have given their votes to this very directory (paper, 5.2; docs/adr/0002).
CONFMAN_DECL void oracle::check_votes(node_id node, const raft_core& core) {
  using detail::text;
  const ballot own{node, core.options().incarnation};
  for (const auto* voters : {&core.members().incoming, &core.members().outgoing}) {
    const auto given = std::count_if(voters->begin(), voters->end(),
                                     [&](const member& m) { return has_voted(m, core.term(), own); });
    if (!voters->empty() && 2 * static_cast<std::size_t>(given) <= voters->size())
      trace_.fail(invariant::one_vote, text(node) + " leads term " + text(core.term()) + " by the votes of " +
                                           std::to_string(given) + " of " + std::to_string(voters->size()) +
                                           " voters for its directory");
  }
}

// Whose word counts for a voter changes like the voters do: after a commit of the leader's own term; or with
// the first entry of a leader that all voters have elected (docs/adr/0002).
CONFMAN_DECL void oracle::check_binding(node_id node, const configuration& before, log_index before_at,
                                        const raft_core& core) {
  using detail::text;
  const configuration& now = core.members();
  const auto binds = [&](const member& m) {
    const member* known = before.find_member(m.id);
    return known && !known->incarnation && m.incarnation;
  };
  if (!before_at || core.options().first_election_by_majority) return;
  if (std::none_of(now.incoming.begin(), now.incoming.end(), binds) &&
      std::none_of(now.outgoing.begin(), now.outgoing.end(), binds))
    return;
  if (core.log().term_at(core.commit()) == core.term()) return;
  const auto elects = [&](const member& m) {
    return has_voted(m, core.term(), {node, core.options().incarnation});
  };
  if (core.log().term_at(core.members_at() - 1) != core.term() &&
      std::all_of(now.incoming.begin(), now.incoming.end(), elects) &&
      std::all_of(now.outgoing.begin(), now.outgoing.end(), elects))
    return;
  trace_.fail(invariant::configuration_safety,
              text(node) + " binds voters to directories in term " + text(core.term()) +
                  ", of which nothing is committed yet, and which not all voters have given it");
}

// A learner becomes a voter when it is close behind (thesis, 4.2.1).
CONFMAN_DECL void oracle::check_promotions(node_id node, const configuration& before, log_index commit_before,
                                           const raft_core& core) {
  using detail::text;
  // What isn't committed no learner is sent.
  const log_index end = std::min(commit_before, core.members_at() - 1);
  for (const member& m : core.members().incoming) {
    if (!configuration::find(before.learners, m.id)) continue;
    const progress* peer = core.progress_of(m.id);
    if (peer && peer->match && peer->match + core.options().promotion_lag >= end) continue;
    trace_.fail(invariant::configuration_safety,
                text(node) + " promotes " + text(m.id) + ", whose log is known up to " +
                    text(peer ? peer->match : log_index{}) + ", by the entry at " + text(core.members_at()));
  }
}

// What follows a joint configuration is what that announces, and nobody is lost (thesis, 4.3).
CONFMAN_DECL void oracle::check_left(node_id node, const configuration& joint, const raft_core& core) {
  using detail::text;
  const auto ids = [](std::initializer_list<const std::vector<member>*> lists) {
    std::vector<node_id> all;
    for (const auto* list : lists)
      for (const member& m : *list) all.push_back(m.id);
    std::sort(all.begin(), all.end());
    return all;
  };
  if (ids({&joint.incoming}) == ids({&core.members().incoming}) &&
      ids({&joint.learners, &joint.learners_next}) == ids({&core.members().learners}))
    return;
  trace_.fail(invariant::configuration_safety,
              text(node) + " leaves a joint configuration by the entry at " + text(core.members_at()) +
                  ", which doesn't have the voters and learners that it was to have");
}

// What a leader counts for a follower is what that follower's platter holds, unless a later leader has been
// there.
CONFMAN_DECL void oracle::on_acknowledged(node_id node, node_id from, const raft_core& core) {
  using detail::text;
  const progress* peer = core.progress_of(from);
  if (!peer) return;
  check_progress(node, nodes_[node.value()], *peer, core);
  // What it says of a directory that was wiped since was true then.
  const incarnation_id by = peer->incarnation ? peer->incarnation : peer->answered_by;
  const auto lost = by ? lost_.find({from, by}) : lost_.end();
  const node_account& account = lost == lost_.end() ? nodes_[from.value()] : lost->second;
  if (by && by != account.incarnation) return;
  if (account.durable.term > core.term() || peer->match <= account.forgotten) return;
  const std::optional<chain_hash> hash = hash_at(core, peer->match);
  if (hash && holds(account, peer->match, *hash)) return;
  trace_.fail(invariant::durable_first,
              text(node) + " leads term " + text(core.term()) + " and counts entries of " + text(from) +
                  " up to " + text(peer->match) + ", but the platter there ends with " +
                  show({account.log.back().term, log_index(account.log.size() - 1)}) + " or holds others");
}

CONFMAN_DECL void oracle::check_progress(node_id node, node_account& account, const progress& peer,
                                         const raft_core& core) {
  using detail::text;
  matched& before = account.followers[peer.id];
  if (before.term == core.term() && before.bound == peer.incarnation && before.answered == peer.answered_by &&
      peer.match < before.match)
    trace_.fail(invariant::never_backwards, text(node) + " knew that " + text(peer.id) +
                                                " has entries up to " + text(before.match) + ", now up to " +
                                                text(peer.match));
  if (peer.match >= peer.next)
    trace_.fail(invariant::bounds, text(node) + " sends entries from " + text(peer.next) + " to " +
                                       text(peer.id) + ", which has them up to " + text(peer.match));
  before = {core.term(), peer.incarnation, peer.answered_by, peer.match};
}

CONFMAN_DECL void oracle::check_window(node_id node, const message& m, const raft_core& core) {
  using detail::text;
  const progress* peer = core.term() == m.term ? core.progress_of(m.to) : nullptr;
  if (peer && peer->window.count() > core.options().max_window_appends)
    trace_.fail(invariant::bounded_memory, text(node) + " has " + std::to_string(peer->window.count()) +
                                               " appends on their way to " + text(m.to) + ", at most " +
                                               std::to_string(core.options().max_window_appends) + " may be");
  const auto& entries = std::get<append_request>(m.body).entries;
  if (peer && !entries.empty() && !core.members().is_voter(m.to) && entries.back().index > core.commit())
    trace_.fail(invariant::configuration_safety,
                text(node) + " sends learner " + text(m.to) + " entries up to " + text(entries.back().index) +
                    ", but those after " + text(core.commit()) + " aren't committed");
}

// Who is told to stand must hold all that the leader has, or its election is lost time (thesis, 3.10).
CONFMAN_DECL void oracle::check_transfer(node_id node, const message& m, const raft_core& core) {
  using detail::text;
  const progress* target = core.role() == role::leader ? core.progress_of(m.to) : nullptr;
  if (!target || core.term() != m.term) return;
  // It was under way, and was given up after this was said, within one drain of the queue: then the leader
  // takes commands again.
  if (nodes_[node.value()].handed_over == std::pair(m.term, m.to) && core.transferring_to() != m.to) return;
  // A joint configuration may have been left since it was told: one entry, which the target can do without.
  const log_view& log = core.log();
  const bool configured = detail::ends_in(log, entry_type::configuration);
  if (target->match + (configured ? 1u : 0u) >= log.last_index()) return;
  trace_.fail(invariant::leader_completeness, text(node) + " hands term " + text(m.term) + " over to " +
                                                  text(m.to) + ", which has entries up to " +
                                                  text(target->match) + " of " +
                                                  text(core.log().last_index()));
}

}  // namespace confman::sim
