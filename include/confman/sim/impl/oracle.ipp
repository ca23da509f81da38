#pragma once

#include <algorithm>

#include "confman/sim/oracle.hpp"

namespace confman::sim {

namespace detail {

inline std::string text(node_id n) {
  return "node " + std::to_string(n.value());
}
inline std::string text(log_index i) {
  return std::to_string(i.value());
}
inline std::string text(term_t t) {
  return std::to_string(t.value());
}

}  // namespace detail

CONFMAN_DECL std::string oracle::show(version v) {
  return std::to_string(v.term.value()) + ":" + std::to_string(v.index.value());
}

// --- disks

CONFMAN_DECL void oracle::on_write(node_id node, const write_batch& batch, const raft_core& core) {
  using detail::text;
  counts_.add(counted::writes_to_disk);
  if (batch.truncate_from) {
    counts_.add(counted::truncations);
    if (core.role() == role::leader)
      trace_.fail(invariant::leader_appends_only, text(node) + " leads term " + text(core.term()) +
                                                      " and truncates its log from " +
                                                      text(*batch.truncate_from));
  }
  for (const entry& e : batch.entries) {
    const auto index = static_cast<std::size_t>(e.index.value());
    if (seen_.size() <= index) seen_.resize(index + 1);
    std::vector<place>& here = seen_[index];
    const auto same_term =
        std::find_if(here.begin(), here.end(), [&](const place& p) { return p.term == e.term; });
    if (same_term == here.end())
      here.push_back({e.term, e.hash});
    else if (same_term->hash != e.hash)
      trace_.fail(invariant::log_matching,
                  text(node) + " appends an entry at " + show({e.term, e.index}) +
                      " after a log that differs from another node's with the same entry");
  }
}

CONFMAN_DECL void oracle::on_append(node_id node, const write_batch& batch) {
  stage s;
  s.truncate_from = batch.truncate_from;
  s.state = batch.state;
  s.entries.reserve(batch.entries.size());
  for (const entry& e : batch.entries) s.entries.push_back({e.term, e.hash});
  if (!batch.entries.empty()) s.first = batch.entries.front().index;
  nodes_[node.value()].appended.push_back(std::move(s));
}

CONFMAN_DECL void oracle::apply(const stage& s, node_account& account) {
  if (s.truncate_from)
    account.log.resize(std::min<std::size_t>(account.log.size(), s.truncate_from->value()));
  if (!s.entries.empty()) {
    account.log.resize(s.first.value());
    account.log.insert(account.log.end(), s.entries.begin(), s.entries.end());
  }
  if (s.state) account.durable = *s.state;
}

CONFMAN_DECL void oracle::on_synced(node_id node) {
  node_account& account = nodes_[node.value()];
  for (const stage& s : account.appended) apply(s, account);
  account.appended.clear();
  trace_.note(step::synced, node, account.durable.term.value(), account.durable.vote.value(),
              account.log.size() - 1);
}

CONFMAN_DECL bool oracle::matches(const node_account& account, const recovered_log& found) {
  if (found.state.term != account.durable.term || found.state.vote != account.durable.vote) return false;
  if (found.entries.size() + 1 != account.log.size()) return false;
  return found.entries.empty() ||
         account.log.back() == place{found.entries.back().term, found.entries.back().hash};
}

CONFMAN_DECL void oracle::on_recovered(node_id node, const recovered_log& found, bool shadow) {
  using detail::text;
  node_account& account = nodes_[node.value()];
  const std::string synced = "term " + text(account.durable.term) + ", vote " +
                             std::to_string(account.durable.vote.value()) + ", last entry " +
                             show({account.log.back().term, log_index(account.log.size() - 1)});
  const std::string recovered =
      "term " + text(found.state.term) + ", vote " + std::to_string(found.state.vote.value()) +
      ", last entry " +
      (found.entries.empty() ? "0:0" : show({found.entries.back().term, found.entries.back().index}));
  if (shadow) {
    if (!matches(account, found))
      trace_.fail(invariant::durable_first, text(node) + " has synced " + synced +
                                                ", but its platter at this moment holds " + recovered);
    return;
  }
  // Every batch survives wholly or not at all, and none without those before it.
  std::size_t kept = 0;
  while (!matches(account, found)) {
    if (account.appended.empty())
      trace_.fail(invariant::durable_first,
                  text(node) + " had synced " + synced + " and " + std::to_string(kept) +
                      " more batches may have survived, but it recovered " + recovered);
    apply(account.appended.front(), account);
    account.appended.pop_front();
    ++kept;
  }
  if (kept != 0) counts_.add(counted::tails_kept);
  if (!account.appended.empty()) counts_.add(counted::tails_lost);
  account.appended.clear();
  if (found.boot <= account.boot)
    trace_.fail(invariant::never_backwards, text(node) + " counts boot " + std::to_string(found.boot) +
                                                " after boot " + std::to_string(account.boot));
  if (account.incarnation && account.incarnation != found.incarnation)
    trace_.fail(invariant::durable_first, text(node) + " has lost its incarnation");
  account.boot = found.boot;
  account.incarnation = found.incarnation;
  trace_.note(step::recovered, node, found.state.term.value(), found.state.vote.value(),
              found.entries.size());
}

// --- nodes

CONFMAN_DECL void oracle::on_start(node_id node, const raft_core& core) {
  using detail::text;
  node_account& account = nodes_[node.value()];
  account.term = core.term();
  account.applied = core.applied();
  account.commit = core.commit();
  account.leads = term_t{};
  const log_index commit = core.commit();
  if (commit >= log_index(committed_.size()) || core.log().hash_at(commit) != committed_hash(commit))
    trace_.fail(invariant::committed_immutable, text(node) + " starts with commit index " + text(commit) +
                                                    ", where its log is not what was committed");
}

CONFMAN_DECL bool oracle::on_platter(node_id node, log_index index, chain_hash hash) const {
  const node_account& account = nodes_[node.value()];
  return index.value() < account.log.size() && account.log[index.value()].hash == hash;
}

CONFMAN_DECL void oracle::record_vote(node_id node, term_t term, node_id candidate) {
  using detail::text;
  const auto [it, first] = nodes_[node.value()].votes.emplace(term, candidate);
  if (!first && it->second != candidate)
    trace_.fail(invariant::one_vote, text(node) + " votes for " + text(candidate) + " in term " + text(term) +
                                         ", in which it has voted for " + text(it->second));
}

CONFMAN_DECL void oracle::on_send(node_id node, const message& m, const raft_core& core) {
  const std::size_t type = m.body.index();
  trace_.note(step::sent, node, m.to.value(), m.term.value() << 8 | type, digest(m));
  check_promise(node, m, core);
}

// Paper, figure 2: persistent state is updated on stable storage before responding.
CONFMAN_DECL void oracle::check_promise(node_id node, const message& m, const raft_core& core) {
  using detail::text;
  const node_account& account = nodes_[node.value()];
  node_id candidate;
  if (const auto* vote = std::get_if<vote_response>(&m.body); vote && vote->granted) candidate = m.to;
  if (std::holds_alternative<vote_request>(m.body)) candidate = node;
  if (candidate) {
    record_vote(node, m.term, candidate);
    const bool kept = account.durable.term > m.term ||
                      (account.durable.term == m.term && account.durable.vote == candidate);
    if (!kept)
      trace_.fail(invariant::durable_first, text(node) + " sends a " + message_name(m.body.index()) +
                                                " that stands for its vote for " + text(candidate) +
                                                " in term " + text(m.term) + ", but its platter has term " +
                                                text(account.durable.term) + " and vote " +
                                                std::to_string(account.durable.vote.value()));
    return;
  }
  const auto* ok = std::get_if<append_ok>(&m.body);
  if (!ok) return;
  const std::optional<chain_hash> hash = core.log().hash_at(ok->match);
  if (account.durable.term < m.term || !hash || !on_platter(node, ok->match, *hash))
    trace_.fail(invariant::durable_first,
                text(node) + " acknowledges entries up to " + text(ok->match) + " in term " + text(m.term) +
                    ", but its platter has term " + text(account.durable.term) + " and ends with " +
                    show({account.log.back().term, log_index(account.log.size() - 1)}));
}

// What a leader counts for a follower is what that follower's platter holds, unless a later leader has been
// there.
CONFMAN_DECL void oracle::on_acknowledged(node_id node, node_id from, const raft_core& core) {
  using detail::text;
  const progress* peer = core.progress_of(from);
  if (!peer || nodes_[from.value()].durable.term > core.term()) return;
  const std::optional<chain_hash> hash = core.log().hash_at(peer->match);
  if (hash && on_platter(from, peer->match, *hash)) return;
  const node_account& account = nodes_[from.value()];
  trace_.fail(invariant::durable_first,
              text(node) + " leads term " + text(core.term()) + " and counts entries of " + text(from) +
                  " up to " + text(peer->match) + ", but the platter there ends with " +
                  show({account.log.back().term, log_index(account.log.size() - 1)}) + " or holds others");
}

CONFMAN_DECL void oracle::on_step(node_id node, const raft_core& core) {
  using detail::text;
  node_account& account = nodes_[node.value()];
  if (core.term() < account.term || core.commit() < account.commit || core.applied() < account.applied)
    trace_.fail(invariant::never_backwards, text(node) + " had term " + text(account.term) + ", commit " +
                                                text(account.commit) + ", applied " + text(account.applied) +
                                                "; now term " + text(core.term()) + ", commit " +
                                                text(core.commit()) + ", applied " + text(core.applied()));
  if (core.log().hash_at(account.commit) != committed_hash(account.commit))
    trace_.fail(invariant::committed_immutable,
                text(node) + " has lost or changed an entry at or before its commit " + "index " +
                    text(account.commit) + "; its log ends with " + show(core.log().last()));
  account.term = core.term();
  account.applied = core.applied();
  if (core.applied() + 1 < core.log().first_index() || core.applied() > core.commit() ||
      core.commit() > core.log().last_index() || core.stable() > core.log().last_index())
    trace_.fail(invariant::bounds, text(node) + ": first " + text(core.log().first_index()) + ", applied " +
                                       text(core.applied()) + ", commit " + text(core.commit()) + ", last " +
                                       text(core.log().last_index()));
  if (core.role() == role::leader)
    check_leader(node, account, core);
  else
    account.leads = term_t{};
  if (core.commit() != account.commit) {
    check_committed(node, account.commit + 1, core);
    account.commit = core.commit();
  }
}

CONFMAN_DECL void oracle::check_leader(node_id node, node_account& account, const raft_core& core) {
  using detail::text;
  if (account.leads != core.term()) {
    account.leads = core.term();
    counts_.add(counted::elections);
    if (terms_.size() <= core.term().value()) terms_.resize(core.term().value() + 1);
    node_id& leader = terms_[core.term().value()];
    if (leader && leader != node)
      trace_.fail(invariant::one_leader,
                  text(node) + " leads term " + text(core.term()) + ", which " + text(leader) + " has led");
    leader = node;
    record_vote(node, core.term(), node);
    if (account.durable.term != core.term() || account.durable.vote != node)
      trace_.fail(invariant::durable_first, text(node) + " leads term " + text(core.term()) +
                                                " by its own vote, which is not on its platter: term " +
                                                text(account.durable.term) + ", vote " +
                                                std::to_string(account.durable.vote.value()));
    // What a later term has committed a late winner of an older one may lack.
    log_index known = committed();
    while (known && committed_[known.value()].by >= core.term()) --known;
    if (core.log().hash_at(known) != committed_hash(known))
      trace_.fail(invariant::leader_completeness, text(node) + " leads term " + text(core.term()) +
                                                      " without the committed entry " +
                                                      show({committed_term(known), known}));
  } else if (core.log().last_index() < account.last_as_leader.index ||
             core.log().hash_at(account.last_as_leader.index) != account.last_hash_as_leader) {
    trace_.fail(invariant::leader_appends_only, text(node) + " leads term " + text(core.term()) +
                                                    " and has changed its entry " +
                                                    show(account.last_as_leader));
  }
  account.last_as_leader = core.log().last();
  account.last_hash_as_leader = core.log().last_hash();
}

CONFMAN_DECL void oracle::check_committed(node_id node, log_index from, const raft_core& core) {
  using detail::text;
  const log_index commit = core.commit();
  if (commit > committed()) {
    if (core.role() != role::leader)
      trace_.fail(invariant::commit_soundness,
                  text(node) + " has commit index " + text(commit) + ", no leader has");
    check_quorum(node, commit, core);
  }
  for (log_index i = from; i <= commit; ++i) {
    const entry& e = core.log().at(i);
    if (i == log_index(committed_.size())) {
      committed_.push_back({e.term, e.hash, core.term()});
      counts_.add(counted::committed);
    } else if (committed_hash(i) != e.hash) {
      trace_.fail(invariant::committed_immutable, text(node) + " commits " + show({e.term, i}) + ", but " +
                                                      show({committed_term(i), i}) +
                                                      " (or another history before it) was committed there");
    }
  }
  trace_.note(step::committed, node, commit.value(), core.log().at(commit).term.value());
}

// Paper, 5.4.2: only entries of the leader's own term are committed by counting, and each counted copy is
// durable.
CONFMAN_DECL void oracle::check_quorum(node_id node, log_index index, const raft_core& core) {
  using detail::text;
  const entry& e = core.log().at(index);
  if (e.term != core.term())
    trace_.fail(invariant::commit_soundness, text(node) + " leads term " + text(core.term()) +
                                                 " and commits by counting " + show({e.term, index}) +
                                                 ", an entry of an earlier term");
  for (const auto* voters : {&core.members().incoming, &core.members().outgoing}) {
    std::size_t copies = 0;
    for (const member& m : *voters) copies += on_platter(m.id, index, e.hash) ? 1 : 0;
    if (!voters->empty() && 2 * copies <= voters->size())
      trace_.fail(invariant::commit_soundness,
                  text(node) + " commits " + show({e.term, index}) + ", which " + std::to_string(copies) +
                      " of " + std::to_string(voters->size()) + " voters have on their platters");
  }
}

CONFMAN_DECL void oracle::on_published(node_id node, log_index index, std::uint64_t state_hash) {
  const auto i = static_cast<std::size_t>(index.value());
  trace_.note(step::applied, node, index.value(), 0, state_hash);
  if (states_.size() <= i) states_.resize(i + 1);
  if (!states_[i]) states_[i] = state_hash;
  if (*states_[i] != state_hash)
    trace_.fail(
        invariant::state_machine_safety,
        detail::text(node) + " has another state than others had at applied index " + detail::text(index));
}

}  // namespace confman::sim
