#include "exhaustive/history.hpp"

namespace confman::exhaustive {

namespace {

std::string place(unsigned term, unsigned index) {
  return std::to_string(term) + ':' + std::to_string(index);
}
std::string node_name(unsigned id) {
  return "node " + std::to_string(id);
}

}  // namespace

std::string history::judge(const happening& h) {
  std::string all[] = {check_log(h),    check_votes(h),    check_leader(h),
                       check_commit(h), check_snapshot(h), check_reads(h)};
  for (std::string& wrong : all)
    if (!wrong.empty() && h.within.looks_for(wrong)) return std::move(wrong);
  return {};
}

hash128 history::hash() const {
  testing::state_hasher h;
  for (const std::uint8_t l : leader_) h(l);
  for (const auto& of_node : vote_)
    for (const std::uint8_t v : of_node) h(v);
  h(committed_);
  for (unsigned i = 1; i <= committed_; ++i) h(by_[i]), h(hash_[i]);
  for (const std::uint8_t r : asked_at_) h(r);
  return h.result();
}

// Equal index and term: equal history (paper, 5.3).
std::string history::check_log(const happening& h) const {
  if (h.after.log == h.nodes[h.at]->log) return {};
  for (unsigned id = 1; id <= h.within.nodes; ++id) {
    if (id == h.at) continue;
    const log_image& other = h.nodes[id]->log;
    for (unsigned i = 1; i <= std::min(other.last, h.after.log.last); ++i)
      if (other.knows(i) && h.after.log.knows(i) && other.terms[i] == h.after.log.terms[i] &&
          other.hashes[i] != h.after.log.hashes[i])
        return "log matching: " + node_name(h.at) + " and " + node_name(id) + " differ at " +
               place(other.terms[i], i);
  }
  return {};
}

// At most one vote per term, across restarts (paper, 5.2).
std::string history::check_votes(const happening& h) {
  for (const message* m : h.sent) {
    unsigned candidate = 0;
    if (const auto* vote = std::get_if<vote_response>(&m->body); vote && vote->granted)
      candidate = static_cast<unsigned>(m->to.value());
    if (std::holds_alternative<vote_request>(m->body)) candidate = h.at;
    if (candidate == 0) continue;
    std::uint8_t& vote = vote_[h.at][m->term.value()];
    if (vote != 0 && vote != candidate)
      return "one vote: " + node_name(h.at) + " votes for " + std::to_string(candidate) + " in term " +
             std::to_string(m->term.value()) + ", before it was " + std::to_string(vote);
    vote = static_cast<std::uint8_t>(candidate);
  }
  return {};
}

// One leader per term, and it holds what earlier terms have committed (paper, 5.4.3).
std::string history::check_leader(const happening& h) {
  if (h.after.as != role::leader) return {};
  std::uint8_t& leader = leader_[h.after.term];
  if (leader != 0 && leader != h.at)
    return "one leader: " + node_name(h.at) + " and " + node_name(leader) + " lead term " +
           std::to_string(h.after.term);
  if (leader != 0) return {};
  leader = static_cast<std::uint8_t>(h.at);
  for (unsigned i = 1; i <= committed_; ++i)
    if (by_[i] < h.after.term && i >= h.after.log.base &&
        (i > h.after.log.last || h.after.log.hashes[i] != hash_[i]))
      return "leader completeness: " + node_name(h.at) + " leads term " + std::to_string(h.after.term) +
             " without entry " + std::to_string(i) + ", committed in term " + std::to_string(by_[i]);
  return {};
}

unsigned history::holders(const happening& h, unsigned index) {
  unsigned found = 0;
  for (unsigned id = 1; id <= h.within.nodes; ++id) {
    const facts& f = id == h.at ? h.after : *h.nodes[id];
    const bool held =
        index <= f.snapshot || (f.disk.knows(index) && f.disk.hashes[index] == h.after.log.hashes[index]);
    if (held) found |= 1u << id;
  }
  return found;
}

// What is committed never changes; it is committed by a leader, by an entry of its own term on the disks of a
// majority (paper, 5.4.2).
std::string history::check_commit(const happening& h) {
  const facts& before = *h.nodes[h.at];
  const bool crashed = h.what.what == step::crash;
  if (h.after.commit == before.commit && !crashed) return {};
  for (unsigned i = crashed ? 1 : before.commit + 1; i <= std::min<unsigned>(h.after.commit, committed_); ++i)
    if (h.after.log.knows(i) && h.after.log.hashes[i] != hash_[i])
      return "committed is immutable: " + node_name(h.at) + " commits another entry " + std::to_string(i);
  if (h.after.commit <= committed_) return {};
  const unsigned top = h.after.commit;
  if (before.as != role::leader || crashed)
    return "commit: " + node_name(h.at) + " commits " + std::to_string(top) + " and no leader has";
  if (h.after.log.terms[top] != before.term)
    return "commit: the leader of term " + std::to_string(before.term) + " commits " +
           place(h.after.log.terms[top], top) + " by counting";
  if (!before.voters.decided_by(holders(h, top)))
    return "commit: " + place(before.term, top) + " isn't on the disks of a majority";
  while (committed_ < top) {
    ++committed_;
    by_[committed_] = before.term;
    hash_[committed_] = h.after.log.hashes[committed_];
  }
  return {};
}

std::string history::check_snapshot(const happening& h) const {
  const unsigned at = h.after.snapshot;
  if (at == h.nodes[h.at]->snapshot) return {};
  if (at > committed_ || hash_[at] != h.after.snapshot_hash)
    return "snapshot: that of " + node_name(h.at) + " at " + std::to_string(at) + " isn't what was committed";
  return {};
}

// A linearizable read sees what was committed before it began (thesis, 6.4).
std::string history::check_reads(const happening& h) {
  if (h.what.what == step::read) asked_at_[h.what.detail] = static_cast<std::uint8_t>(committed_);
  for (const read_answer& r : h.reads) {
    const unsigned asked = asked_at_[r.id.value()];
    if (r.index.value() < asked || r.index.value() > committed_)
      return "read: asked when " + std::to_string(asked) + " was committed, answered by " +
             std::to_string(r.index.value()) + " of " + std::to_string(committed_);
  }
  return {};
}

}  // namespace confman::exhaustive
