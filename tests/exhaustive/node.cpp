#include "exhaustive/node.hpp"

#include <bit>

namespace confman::exhaustive {

namespace {

constexpr cluster_id cluster{7};
constexpr group_id group{1};

incarnation_id directory_of(std::uint64_t id) {
  return incarnation_id(1000 + id);
}

// One tick is an election timeout and a heartbeat: who times out when is the search's decision, and the dice
// have one side.
raft_options options_of(unsigned id, std::uint64_t boot) {
  raft_options o;
  o.cluster = cluster;
  o.group = group;
  o.self = node_id(id);
  o.incarnation = directory_of(id);
  o.boot = boot;
  o.heartbeat_ticks = 1;
  o.election_ticks = 1;
  o.priority_check_ticks = 0;
  return o;
}

configuration members_of(const scope& s) {
  configuration c;
  for (unsigned id = 1; id <= s.voters; ++id)
    c.incoming.push_back({node_id(id), s.bound ? directory_of(id) : incarnation_id{}});
  return c;
}

configuration bootstrap_of(const scope& s, unsigned id) {
  return id <= s.voters ? members_of(s) : configuration{};
}

recovered_log empty_disk(unsigned id) {
  recovered_log disk;
  disk.boot = 1;
  disk.cluster = cluster;
  disk.incarnation = directory_of(id);
  return disk;
}

std::uint8_t set_of(const std::vector<member>& list) {
  unsigned all = 0;
  for (const member& m : list) all |= 1u << m.id.value();
  return static_cast<std::uint8_t>(all);
}

voter_sets voters_of(const configuration& c) {
  return {set_of(c.incoming), set_of(c.outgoing)};
}

std::uint8_t small(std::uint64_t value) {
  CONFMAN_ASSERT(value < 256, "the scope is small");
  return static_cast<std::uint8_t>(value);
}

void put(log_image& image, version at, chain_hash hash) {
  CONFMAN_ASSERT(at.index.value() <= most_entries, "the scope is small");
  const auto i = static_cast<std::size_t>(at.index.value());
  image.terms[i] = small(at.term.value());
  image.hashes[i] = hash.value();
  image.last = small(i);
}

bool is_fatal(const std::error_code& e) {
  return e == errc::two_leaders || e == errc::log_diverged || e == errc::log_damaged ||
         e == errc::bad_command;
}

std::string name(const facts& f, const char* what) {
  return std::string(what) + " (term " + std::to_string(f.term) + ", commit " + std::to_string(f.commit) +
         ")";
}

}  // namespace

bool voter_sets::decided_by(unsigned nodes) const noexcept {
  const auto majority_of = [nodes](unsigned set) {
    return 2 * std::popcount(set & nodes) > std::popcount(set);
  };
  return incoming != 0 && majority_of(incoming) && (outgoing == 0 || majority_of(outgoing));
}

bool majorities_meet(const voter_sets& a, const voter_sets& b) noexcept {
  const unsigned all = a.incoming | a.outgoing | b.incoming | b.outgoing;
  for (unsigned some = 0; some <= all; ++some)
    if ((some & ~all) == 0 && a.decided_by(some) && b.decided_by(all & ~some)) return false;
  return true;
}

node::node(const scope& s, unsigned id)
    : disk_(empty_disk(id)),
      voters_at_start_(voters_of(bootstrap_of(s, id))),
      core_(options_of(id, disk_.boot), bootstrap_of(s, id), disk_) {}

output node::take(const scope& s, const action& a, const message* m) {
  output out;
  const facts before = describe();
  input(s, a, m, out);
  pump(s, out);
  ++taken_;
  if (s.rule == broken::hidden_state && taken_ % 2 == 0) out.messages.clear();
  for (const message& sent : out.messages)
    if (out.wrong.empty()) out.wrong = check_promise(sent);
  if (out.wrong.empty()) out.wrong = check_step(before, describe(), a);
  if (!s.looks_for(out.wrong)) out.wrong.clear();
  return out;
}

void node::input(const scope& s, const action& a, const message* m, output& out) {
  switch (a.what) {
    case step::tick:
      return core_.tick();
    case step::propose:
      (void)core_.propose(shared_bytes::copy(std::string(1, static_cast<char>('a' + a.detail))));
      return;
    case step::store:
      return store(s);
    case step::crash:
      return restart(s, a.detail, out);
    case step::change:
      (void)core_.propose_change(s.change[a.detail]);
      return;
    case step::read:
      (void)core_.read(read_id(a.detail));
      return;
    case step::snapshot:
      return take_snapshot(out);
    case step::deliver:
    case step::duplicate:
      return deliver(s, *m, out);
  }
}

void node::deliver(const scope& s, message m, output& out) {
  const auto* piece = std::get_if<snapshot_piece>(&m.body);
  const std::optional<snapshot_piece> snapshot = piece ? std::optional(*piece) : std::nullopt;
  const term_t term = m.term;
  if (s.rule == broken::old_append_ok && std::holds_alternative<append_ok>(m.body)) m.term = core_.term();
  if (const std::error_code error = core_.step(std::move(m)); is_fatal(error))
    out.wrong = "a sound message is refused: " + error.message();
  // The core follows a later term; of an earlier one no snapshot is taken.
  if (snapshot && term == core_.term()) install(*snapshot);
}

void node::store(const scope& s) {
  const write_batch batch = std::move(writing_.front());
  writing_.erase(writing_.begin());
  write(batch, true);
  if (s.rule == broken::store_claims) return;
  core_.persisted(batch.seq);
  if (s.rule == broken::stored_twice) core_.persisted(batch.seq);
}

// `survives` / 2 writes in flight, and of the next one the entries without the state if it is odd.
void node::restart(const scope& s, unsigned survives, output& out) {
  for (unsigned i = 0; i < survives / 2; ++i) write(writing_[i], true);
  if (survives % 2 != 0) write(writing_[survives / 2], false);
  writing_.clear();
  ++disk_.boot;
  recovered_log found = disk_;
  if (s.rule == broken::vote_forgotten) disk_.state.vote = found.state.vote = node_id{};
  if (s.rule == broken::store_loses && !disk_.entries.empty()) {
    disk_.entries.pop_back();
    found.entries.pop_back();
  }
  if (const failure why = check_recovered(found)) out.wrong = "the log can't be recovered: " + why.what;
  const auto id = static_cast<unsigned>(core_.options().self.value());
  core_ = raft_core(options_of(id, disk_.boot), bootstrap_of(s, id), std::move(found));
}

void node::take_snapshot(output& out) {
  const snapshot_meta meta = core_.describe_snapshot();
  if (voters_of(meta.members) != voters_in_log(meta.at.index))
    out.wrong = "a snapshot names voters that were not in force at its last entry";
  disk_.snapshot = meta;
  core_.compacted(meta, meta.at.index + 1);
}

// The store keeps the newest one, and says that it is durable.
void node::install(const snapshot_piece& piece) {
  const result<snapshot_meta> meta = decode_snapshot_meta(piece.bytes.view());
  CONFMAN_ASSERT(bool(meta), "the harness sends whole snapshots");
  if (!disk_.snapshot || disk_.snapshot->at.index < meta->at.index) disk_.snapshot = *meta;
  (void)core_.install(*meta);
}

void node::pump(const scope& s, output& out) {
  const raft_options& o = core_.options();
  do {
    ready work = core_.take_ready(writing_.size() < s.writes);
    for (message& m : work.messages) out.messages.push_back(std::move(m));
    for (const read_answer& answer : work.reads) out.reads.push_back(answer);
    for (const node_id peer : work.snapshots_wanted) {
      snapshot_piece all;
      all.at = disk_.snapshot->at;
      all.bytes = encode_snapshot_meta(*disk_.snapshot);
      out.messages.push_back({o.cluster, o.group, o.self, peer, o.incarnation, core_.term(), std::move(all)});
    }
    for (const entry_fetch& f : work.fetches) core_.entries_fetched(f.peer, f.from, {});
    if (work.apply_last >= work.apply_first) core_.applied(work.apply_last);
    if (work.write.empty()) continue;
    const write_seq seq = work.write.seq;
    writing_.push_back(std::move(work.write));
    if (s.rule == broken::store_claims) core_.persisted(seq);
  } while (core_.has_ready(writing_.size() < s.writes));
}

void node::write(const write_batch& batch, bool state_too) {
  if (batch.reset) {
    disk_.entries.clear();
    disk_.base = batch.reset->at;
    disk_.base_hash = batch.reset->hash;
  }
  if (batch.truncate_from)
    while (!disk_.entries.empty() && disk_.entries.back().index >= *batch.truncate_from)
      disk_.entries.pop_back();
  disk_.entries.insert(disk_.entries.end(), batch.entries.begin(), batch.entries.end());
  if (!state_too) return;
  if (batch.state) disk_.state = *batch.state;
  while (batch.release_before && !disk_.entries.empty() &&
         disk_.entries.front().index < *batch.release_before) {
    disk_.base = {disk_.entries.front().term, disk_.entries.front().index};
    disk_.base_hash = disk_.entries.front().hash;
    disk_.entries.erase(disk_.entries.begin());
  }
}

facts node::describe() const {
  facts f;
  f.as = core_.role();
  f.term = small(core_.term().value());
  f.commit = small(core_.commit().value());
  f.applied = small(core_.applied().value());
  f.durable_term = small(disk_.state.term.value());
  if (disk_.snapshot) {
    f.snapshot = small(disk_.snapshot->at.index.value());
    f.snapshot_hash = disk_.snapshot->hash.value();
  }
  f.leader = core_.leader();
  f.voters = voters_of(core_.members());
  f.writing = small(writing_.size());
  for (std::size_t k = 0; k < writing_.size(); ++k)
    if (!writing_[k].entries.empty() && writing_[k].state) f.partial |= static_cast<std::uint8_t>(1u << k);
  const log_view& log = core_.log();
  f.log.base = small(log.base().index.value());
  put(f.log, log.base(), *log.hash_at(log.base().index));
  if (f.voters != voters_in_log(log.last_index())) f.members_differ = true;
  voter_sets voters = disk_.snapshot ? voters_of(disk_.snapshot->members) : voters_at_start_;
  for (log_index i = log.first_index(); i <= log.last_index(); ++i) {
    const entry& e = log.at(i);
    put(f.log, {e.term, i}, e.hash);
    if (e.type != entry_type::configuration) continue;
    const voter_sets next = voters_of(*decode_configuration(e.payload.view()));
    if (small(i.value()) > f.commit && next != voters) ++f.open_changes;
    if (small(i.value()) > f.snapshot && voters.incoming != 0 && !majorities_meet(voters, next))
      f.members_apart = true;
    voters = next;
  }
  f.disk.base = small(disk_.base.index.value());
  put(f.disk, disk_.base, disk_.base_hash);
  for (const entry& e : disk_.entries) put(f.disk, {e.term, e.index}, e.hash);
  return f;
}

voter_sets node::voters_in_log(log_index last) const {
  voter_sets voters = disk_.snapshot ? voters_of(disk_.snapshot->members) : voters_at_start_;
  const log_view& log = core_.log();
  for (log_index i = log.first_index(); i <= last; ++i)
    if (log.at(i).type == entry_type::configuration)
      voters = voters_of(*decode_configuration(log.at(i).payload.view()));
  return voters;
}

hash128 node::hash() const {
  testing::state_hasher h;
  h.values(core_, disk_, writing_);
  return h.result();
}

// "Updated on stable storage before responding" (paper, figure 2).
std::string node::check_promise(const message& m) const {
  node_id candidate;
  if (const auto* vote = std::get_if<vote_response>(&m.body); vote && vote->granted) candidate = m.to;
  if (std::holds_alternative<vote_request>(m.body)) candidate = m.from;
  if (candidate && (disk_.state.term != m.term || disk_.state.vote != candidate))
    return "durable first: " + to_text(m) + " leaves, the disk has term " +
           std::to_string(disk_.state.term.value()) + ", vote " + std::to_string(disk_.state.vote.value());
  if (const auto* ok = std::get_if<append_ok>(&m.body)) {
    const facts f = describe();
    const auto match = static_cast<unsigned>(ok->match.value());
    const bool held =
        match <= f.disk.base || match <= f.snapshot ||
        (match <= f.disk.last && f.log.knows(match) && f.disk.hashes[match] == f.log.hashes[match]);
    if (!held) return "durable first: " + to_text(m) + " leaves, the disk doesn't hold that";
  }
  return {};
}

std::string check_step(const facts& before, const facts& after, const action& a) {
  if (after.term < before.durable_term) return name(after, "the term goes back");
  if (after.log.base > after.applied || after.applied > after.commit || after.commit > after.log.last ||
      after.snapshot > after.applied || after.disk.base > after.snapshot)
    return name(after, "not in order: first, snapshot, applied, commit, last");
  if (after.members_differ) return name(after, "the voters in force are not those of the log's last change");
  if (after.members_apart) return name(after, "majorities that don't meet");
  if (a.what == step::crash) return {};
  if (after.term < before.term || after.commit < before.commit || after.applied < before.applied)
    return name(after, "term, commit or applied go back");
  if (before.as != role::leader || after.as != role::leader || before.term != after.term) return {};
  for (unsigned i = after.log.base; i <= before.log.last; ++i)
    if (before.log.knows(i) && (i > after.log.last || after.log.hashes[i] != before.log.hashes[i]))
      return name(after, "a leader changes its log");
  if (after.voters == before.voters) return {};
  if (after.open_changes > 1) return name(after, "a second change of members before the first is committed");
  const unsigned sure = after.commit;
  if (after.log.terms[sure] != after.term)
    return name(after, "a change of members before an entry of the leader's own term is committed");
  return {};
}

}  // namespace confman::exhaustive
