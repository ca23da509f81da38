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
    if (e.type == entry_type::configuration) note_change(e);
    if (same_term == here.end())
      here.push_back({e.term, e.hash});
    else if (same_term->hash != e.hash)
      trace_.fail(invariant::log_matching,
                  text(node) + " appends an entry at " + show({e.term, e.index}) +
                      " after a log that differs from another node's with the same entry");
  }
}

CONFMAN_DECL void oracle::note_change(const entry& e) {
  std::erase_if(changes_, [this](const change& c) { return !may_follow(c); });
  const auto same = [&e](const change& c) { return c.at == e.index && c.hash == e.hash; };
  if (std::any_of(changes_.begin(), changes_.end(), same)) return;
  if (auto members = decode_configuration(e.payload.view()))
    changes_.push_back({e.index, e.hash, *std::move(members)});
}

CONFMAN_DECL void oracle::on_append(node_id node, const write_batch& batch) {
  stage s;
  const node_account& account = nodes_[node.value()];
  using detail::text;
  s.truncate_from = batch.truncate_from;
  s.state = batch.state;
  s.reset = batch.reset;
  if (batch.release_before) {
    s.release_before = *batch.release_before;
    counts_.add(counted::releases);
    if (*batch.release_before > account.snapshot + 1)
      trace_.fail(invariant::durable_first, text(node) + " releases its log up to " +
                                                text(*batch.release_before) +
                                                ", its durable snapshot ends at " + text(account.snapshot));
  }
  if (batch.reset && (batch.reset->at.index > account.snapshot || batch.reset->at.index > committed() ||
                      batch.reset->hash != committed_hash(batch.reset->at.index)))
    trace_.fail(invariant::durable_first, text(node) + " gives up its log for a snapshot at " +
                                              show(batch.reset->at) +
                                              " that isn't durable, or isn't of what was committed");
  s.entries.reserve(batch.entries.size());
  for (const entry& e : batch.entries) s.entries.push_back({e.term, e.hash});
  if (!batch.entries.empty()) s.first = batch.entries.front().index;
  nodes_[node.value()].appended.push_back(std::move(s));
}

CONFMAN_DECL void oracle::apply(const stage& s, node_account& account) const {
  if (s.reset) {
    account.log.clear();
    for (std::size_t i = 0; i <= s.reset->at.index.value(); ++i)
      account.log.push_back({committed_[i].term, committed_[i].hash});
    account.released = s.reset->at.index;
  }
  if (s.release_before) account.released = std::max(account.released, s.release_before - 1);
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
  if (found.base.index.value() + found.entries.size() + 1 != account.log.size()) return false;
  if (found.base.index > account.released) return false;
  if (found.entries.empty()) return account.log.back() == place{found.base.term, found.base_hash};
  return account.log.back() == place{found.entries.back().term, found.entries.back().hash};
}

CONFMAN_DECL void oracle::on_recovered(node_id node, const recovered_log& found, bool shadow, bool rotten) {
  using detail::text;
  node_account& account = nodes_[node.value()];
  const std::string synced = "term " + text(account.durable.term) + ", vote " +
                             std::to_string(account.durable.vote.value()) + ", last entry " +
                             show({account.log.back().term, log_index(account.log.size() - 1)});
  const std::string recovered =
      "term " + text(found.state.term) + ", vote " + std::to_string(found.state.vote.value()) +
      ", last entry " +
      (found.entries.empty() ? show(found.base)
                             : show({found.entries.back().term, found.entries.back().index}));
  const log_index snapshot = found.snapshot ? found.snapshot->at.index : log_index{};
  if (snapshot < account.snapshot && !rotten)
    trace_.fail(invariant::durable_first, text(node) + " had a durable snapshot at " +
                                              text(account.snapshot) + ", now its newest one is at " +
                                              text(snapshot));
  if (found.snapshot) check_snapshot(node, *found.snapshot);
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
  account.snapshot = snapshot;
  account.boot = found.boot;
  account.incarnation = found.incarnation;
  trace_.note(step::recovered, node, found.state.term.value(), found.state.vote.value(),
              found.entries.size());
}

CONFMAN_DECL void oracle::on_fetched(node_id node, log_index from, const std::vector<entry>& entries,
                                     const raft_core& core) {
  using detail::text;
  std::optional<chain_hash> hash = hash_at(core, from - 1);
  for (log_index i = from; const entry& e : entries) {
    // What it read may have left the log since, and a snapshot stands for it.
    if (hash) hash = extend_chain(*hash, e.term, static_cast<std::uint8_t>(e.type), e.payload.view());
    const std::optional<chain_hash> known = hash_at(core, i);
    if (e.index != i || (known && (e.hash != *known || (hash && *hash != *known))))
      trace_.fail(invariant::log_matching, text(node) + " reads back an entry at " + show({e.term, e.index}) +
                                               " that is not the one of its log at " + text(i));
    hash = e.hash;
    ++i;
  }
}

CONFMAN_DECL void oracle::on_snapshot_durable(node_id node, const snapshot_meta& meta) {
  check_snapshot(node, meta);
  log_index& newest = nodes_[node.value()].snapshot;
  newest = std::max(newest, meta.at.index);
}

// A snapshot is of what was committed, and says which configuration was in force there.
CONFMAN_DECL void oracle::check_snapshot(node_id node, const snapshot_meta& meta) {
  using detail::text;
  if (meta.at.index > committed() || committed_hash(meta.at.index) != meta.hash ||
      committed_term(meta.at.index) != meta.at.term)
    trace_.fail(invariant::committed_immutable,
                text(node) + " has a snapshot at " + show(meta.at) + ", which is not what was committed");
  const auto after = configurations_.upper_bound(meta.at.index);
  if (after == configurations_.begin()
          ? meta.members_at != log_index{}
          : std::prev(after)->first != meta.members_at || std::prev(after)->second != meta.members)
    trace_.fail(invariant::configuration_safety, text(node) + " has a snapshot at " + show(meta.at) +
                                                     " with the configuration of " + text(meta.members_at) +
                                                     ", which isn't the one that was committed last by then");
}

CONFMAN_DECL void oracle::on_tail_damaged(node_id node, log_index from) {
  node_account& account = nodes_[node.value()];
  stage last;
  last.first = from;
  last.entries.assign(account.log.begin() + static_cast<std::ptrdiff_t>(from.value()), account.log.end());
  account.forgotten = std::max(account.forgotten, log_index(account.log.size() - 1));
  account.log.resize(from.value());
  account.appended.push_back(std::move(last));
}

CONFMAN_DECL void oracle::on_wiped(node_id node) {
  node_account fresh;
  std::swap(fresh, nodes_[node.value()]);
  lost_[{node, fresh.incarnation}] = std::move(fresh);
}

// --- nodes

// What a node's log has at a place; below what it keeps, what everybody has there.
CONFMAN_DECL std::optional<chain_hash> oracle::hash_at(const raft_core& core, log_index i) const {
  if (i < core.log().base().index && i <= committed()) return committed_hash(i);
  return core.log().hash_at(i);
}

CONFMAN_DECL void oracle::on_start(node_id node, const raft_core& core) {
  using detail::text;
  node_account& account = nodes_[node.value()];
  account.term = core.term();
  account.applied = core.applied();
  account.commit = core.commit();
  account.leads = term_t{};
  account.members = core.members();
  account.members_at = core.members_at();
  const log_index commit = core.commit();
  if (commit >= log_index(committed_.size()) || core.log().hash_at(commit) != committed_hash(commit))
    trace_.fail(invariant::committed_immutable, text(node) + " starts with commit index " + text(commit) +
                                                    ", where its log is not what was committed");
}

CONFMAN_DECL bool oracle::on_platter(node_id node, log_index index, chain_hash hash) const {
  return holds(nodes_[node.value()], index, hash);
}

CONFMAN_DECL bool oracle::has_held(const member& m, log_index index, chain_hash hash) const {
  if (!m.incarnation || m.incarnation == nodes_[m.id.value()].incarnation)
    return on_platter(m.id, index, hash);
  const auto lost = lost_.find({m.id, m.incarnation});
  return lost != lost_.end() && holds(lost->second, index, hash);
}

CONFMAN_DECL bool oracle::holds(const node_account& account, log_index index, chain_hash hash) const {
  // A snapshot that has arrived stands beside a log that it hasn't replaced yet.
  if (index <= account.snapshot && index <= committed() && committed_hash(index) == hash) return true;
  return index.value() < account.log.size() && account.log[index.value()].hash == hash;
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
  ballot given;
  if (const auto* vote = std::get_if<vote_response>(&m.body); vote && vote->granted)
    given = {m.to, vote->candidate};
  if (std::holds_alternative<vote_request>(m.body)) given = {node, m.incarnation};
  if (const node_id candidate = given.candidate) {
    record_vote(node, m.term, given);
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
  if (std::holds_alternative<timeout_now>(m.body)) return check_transfer(node, m, core);
  if (std::holds_alternative<append_request>(m.body)) return check_window(node, m, core);
  const auto* ok = std::get_if<append_ok>(&m.body);
  if (!ok) return;
  // Promised in an earlier term, and kept then: a leader of that term who counts it finds every majority met
  // by voters who knew these entries when they voted for the later one.
  if (m.term < core.term()) return;
  const std::optional<chain_hash> hash = hash_at(core, ok->match);
  if (account.durable.term < m.term || !hash || !on_platter(node, ok->match, *hash))
    trace_.fail(invariant::durable_first,
                text(node) + " acknowledges entries up to " + text(ok->match) + " in term " + text(m.term) +
                    ", but its platter has term " + text(account.durable.term) + " and ends with " +
                    show({account.log.back().term, log_index(account.log.size() - 1)}));
}

CONFMAN_DECL void oracle::on_step(node_id node, const raft_core& core) {
  using detail::text;
  node_account& account = nodes_[node.value()];
  if (core.term() < account.term || core.commit() < account.commit || core.applied() < account.applied)
    trace_.fail(invariant::never_backwards, text(node) + " had term " + text(account.term) + ", commit " +
                                                text(account.commit) + ", applied " + text(account.applied) +
                                                "; now term " + text(core.term()) + ", commit " +
                                                text(core.commit()) + ", applied " + text(core.applied()));
  if (hash_at(core, account.commit) != committed_hash(account.commit))
    trace_.fail(invariant::committed_immutable,
                text(node) + " has lost or changed an entry at or before its commit " + "index " +
                    text(account.commit) + "; its log ends with " + show(core.log().last()));
  account.term = core.term();
  account.applied = core.applied();
  if (core.applied() + 1 < core.log().first_index() ||
      (core.snapshot() && core.snapshot()->at.index > core.applied()) || core.applied() > core.commit() ||
      core.commit() > core.log().last_index() || core.stable() > core.log().last_index())
    trace_.fail(invariant::bounds, text(node) + ": first " + text(core.log().first_index()) + ", applied " +
                                       text(core.applied()) + ", commit " + text(core.commit()) + ", last " +
                                       text(core.log().last_index()));
  check_stable(node, core);
  // One that commits its own removal leads no more afterwards.
  const bool leads = core.role() == role::leader || account.leads == core.term();
  if (core.role() == role::leader)
    check_leader(node, account, core);
  else
    account.leads = term_t{};
  const log_index commit_before = std::exchange(account.commit, core.commit());
  if (core.commit() != commit_before) check_committed(node, commit_before + 1, core, leads);
  check_members(node, account, commit_before, core);
  check_memory(node, core);
}

namespace detail {

// The learners and the priorities, whichever directories they are bound to.
[[nodiscard]] inline bool same_rest(const configuration& a, const configuration& b) {
  const auto alike = [](const member& x, const member& y) {
    return x.id == y.id && x.priority == y.priority;
  };
  const auto all = [&](const std::vector<member>& x, const std::vector<member>& y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), alike);
  };
  return all(a.incoming, b.incoming) && all(a.outgoing, b.outgoing) && all(a.learners, b.learners);
}

}  // namespace detail

// At most one uncommitted change; none before the leader's own term has committed; and whoever can be
// elected or can commit by the next configuration must ask somebody of the one before.
CONFMAN_DECL void oracle::check_members(node_id node, node_account& account, log_index commit_before,
                                        const raft_core& core) {
  using detail::text;
  if (core.members_at() == account.members_at && core.members() == account.members) return;
  const configuration before = std::exchange(account.members, core.members());
  const log_index before_at = std::exchange(account.members_at, core.members_at());
  // Who is removed and comes back begins anew.
  std::erase_if(account.followers, [&](const auto& f) { return !core.members().contains(f.first); });
  if (core.role() != role::leader || core.members_at() <= before_at) return;
  const auto voters = [](const std::vector<member>& list) {
    std::vector<node_id> ids;
    ids.reserve(list.size());
    for (const member& m : list) ids.push_back(m.id);
    return ids;
  };
  const auto same = [&](const configuration& c) {
    return voters(c.incoming) == voters(core.members().incoming) &&
           voters(c.outgoing) == voters(core.members().outgoing);
  };
  if (same(before) && detail::same_rest(before, core.members()))
    return check_binding(node, before, before_at, core);
  if (!same(before)) counts_.add(counted::voter_changes);
  count_kinds(before, core.members());
  if (core.members().joint()) counts_.add(counted::joint_changes);
  if (before_at > core.commit())
    trace_.fail(invariant::configuration_safety, text(node) + " begins a change of members at " +
                                                     text(core.members_at()) + " while that at " +
                                                     text(before_at) + " isn't committed");
  if (core.log().term_at(core.commit()) != core.term())
    trace_.fail(invariant::configuration_safety, text(node) + " begins a change of members in term " +
                                                     text(core.term()) +
                                                     ", of which nothing is committed yet");
  check_promotions(node, before, commit_before, core);
  if (before.joint() && !core.members().joint())
    check_left(node, before, core);
  else if (core.transferring_to())
    trace_.fail(invariant::configuration_safety, text(node) + " begins a change of members at " +
                                                     text(core.members_at()) + " while it hands over to " +
                                                     text(core.transferring_to()));
  if (!majorities_meet(before, core.members()))
    trace_.fail(invariant::configuration_safety, text(node) + ": majorities of the configurations at " +
                                                     text(before_at) + " and " + text(core.members_at()) +
                                                     " need not meet");
}

// What kinds of changes begin, each once: leaving a joint configuration is none.
CONFMAN_DECL void oracle::count_kinds(const configuration& before, const configuration& after) {
  if (before.joint()) return;
  const auto& among = configuration::find;
  for (const member& m : after.incoming) {
    if (!before.contains(m.id)) counts_.add(counted::voters_added);
    if (among(before.learners, m.id)) counts_.add(counted::promotions);
  }
  for (const member& m : after.learners)
    if (!before.contains(m.id)) counts_.add(counted::learners_added);
  for (const member& m : before.incoming) {
    if (among(after.incoming, m.id)) continue;
    const bool stays = among(after.learners, m.id) || among(after.learners_next, m.id);
    counts_.add(stays ? counted::demotions : counted::voters_removed);
  }
  for (const member& m : before.learners)
    if (!after.contains(m.id)) counts_.add(counted::learners_removed);
}

// Each pair of deciding sets, by trying all subsets of the voters of both.
CONFMAN_DECL bool oracle::majorities_meet(const configuration& a, const configuration& b) {
  std::vector<node_id> all;
  for (const configuration* c : {&a, &b})
    for (const auto* list : {&c->incoming, &c->outgoing})
      for (const member& m : *list)
        if (std::find(all.begin(), all.end(), m.id) == all.end()) all.push_back(m.id);
  const auto decides = [&](const configuration& c, std::uint32_t set) {
    for (const auto* list : {&c.incoming, &c.outgoing}) {
      std::size_t in = 0;
      for (const member& m : *list) in += set >> (std::find(all.begin(), all.end(), m.id) - all.begin()) & 1;
      if (!list->empty() && 2 * in <= list->size()) return false;
    }
    return true;
  };
  // If a set decides in `a`, what is left over must not decide in `b`.
  const std::uint32_t everybody = (std::uint32_t{1} << all.size()) - 1;
  for (std::uint32_t set = 0; set <= everybody; ++set)
    if (decides(a, set) && decides(b, everybody & ~set)) return false;
  return true;
}

// What is in memory: what is neither applied nor durable yet, and as much more as the limit allows.
CONFMAN_DECL void oracle::check_memory(node_id node, const raft_core& core) {
  using detail::text;
  const log_view& log = core.log();
  if (core.commit() == log.last_index() && core.uncommitted_bytes() != 0)
    trace_.fail(invariant::bounded_memory, text(node) + " counts " +
                                               std::to_string(core.uncommitted_bytes()) +
                                               " bytes as not committed, although all is");
  const log_index needed = std::min(core.applied(), core.stable());
  if (log.bytes() <= core.options().max_cached_bytes) return;
  std::size_t bytes = 0;
  for (log_index i = log.first_index(); i <= needed; ++i) bytes += cost(log.at(i));
  if (bytes > core.options().max_cached_bytes)
    trace_.fail(invariant::bounded_memory, text(node) + " keeps " + std::to_string(bytes) +
                                               " bytes of entries in memory from " + text(log.first_index()) +
                                               " on, although all up to " + text(needed) +
                                               " are applied and durable");
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
    record_vote(node, core.term(), {node, core.options().incarnation});
    if (account.durable.term != core.term() || account.durable.vote != node)
      trace_.fail(invariant::durable_first, text(node) + " leads term " + text(core.term()) +
                                                " by its own vote, which is not on its platter: term " +
                                                text(account.durable.term) + ", vote " +
                                                std::to_string(account.durable.vote.value()));
    // What a later term has committed a late winner of an older one may lack.
    log_index known = committed();
    while (known && committed_[known.value()].by >= core.term()) --known;
    if (hash_at(core, known) != committed_hash(known))
      trace_.fail(invariant::leader_completeness, text(node) + " leads term " + text(core.term()) +
                                                      " without the committed entry " +
                                                      show({committed_term(known), known}));
    check_elected(node, core);
    check_votes(node, core);
  } else if (core.log().last_index() < account.last_as_leader.index ||
             hash_at(core, account.last_as_leader.index) != account.last_hash_as_leader) {
    trace_.fail(invariant::leader_appends_only, text(node) + " leads term " + text(core.term()) +
                                                    " and has changed its entry " +
                                                    show(account.last_as_leader));
  } else {
    check_leading(node, account, core);
  }
  account.hands_over_to = core.transferring_to();
  if (const std::pair under_way{core.term(), account.hands_over_to};
      under_way.second && under_way != account.handed_over) {
    account.handed_over = under_way;
    account.hand_over_ticks = 0;
  }
  account.last_as_leader = core.log().last();
  account.last_hash_as_leader = core.log().last_hash();
}

CONFMAN_DECL void oracle::check_committed(node_id node, log_index from, const raft_core& core, bool leads) {
  using detail::text;
  const log_index commit = core.commit();
  if (commit > committed()) {
    if (!leads)
      trace_.fail(invariant::commit_soundness,
                  text(node) + " has commit index " + text(commit) + ", no leader has");
    // By the configuration that was effective when this input came: what follows from the commit may have
    // changed it already.
    check_quorum(node, commit, core, nodes_[node.value()].members);
  }
  const log_index base = core.log().base().index;
  if (from <= base) {
    // An installed snapshot stands for these.
    if (base > committed() || core.log().hash_at(base) != committed_hash(base))
      trace_.fail(invariant::committed_immutable, text(node) + " has a log that begins after " + text(base) +
                                                      ", which is not what was committed there");
    from = base + 1;
  }
  for (log_index i = from; i <= commit; ++i) {
    const entry& e = core.log().at(i);
    if (i == log_index(committed_.size())) {
      committed_.push_back({e.term, e.hash, core.term()});
      counts_.add(counted::committed);
      if (e.type == entry_type::configuration)
        configurations_.emplace(i, *decode_configuration(e.payload.view()));
    } else if (committed_hash(i) != e.hash) {
      trace_.fail(invariant::committed_immutable, text(node) + " commits " + show({e.term, i}) + ", but " +
                                                      show({committed_term(i), i}) +
                                                      " (or another history before it) was committed there");
    }
  }
  trace_.note(step::committed, node, commit.value(), committed_term(commit).value());
}

// Paper, 5.4.2: only entries of the leader's own term are committed by counting, and each counted copy is
// durable.
CONFMAN_DECL void oracle::check_quorum(node_id node, log_index index, const raft_core& core,
                                       const configuration& members) {
  using detail::text;
  const entry& e = core.log().at(index);
  if (e.term != core.term())
    trace_.fail(invariant::commit_soundness, text(node) + " leads term " + text(core.term()) +
                                                 " and commits by counting " + show({e.term, index}) +
                                                 ", an entry of an earlier term");
  for (const auto* voters : {&members.incoming, &members.outgoing}) {
    std::size_t copies = 0;
    for (const member& m : *voters) copies += has_held(m, index, e.hash) ? 1 : 0;
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

CONFMAN_DECL void oracle::on_captured(node_id node, const snapshot_meta& meta, std::uint64_t state_hash) {
  check_snapshot(node, meta);
  on_published(node, meta.at.index, state_hash);
}

}  // namespace confman::sim
