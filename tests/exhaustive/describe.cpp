// Steps and messages as text.
#include <cinttypes>
#include <cstdio>
#include <stdexcept>

#include "exhaustive/cluster.hpp"

namespace confman::exhaustive {

namespace {

std::string number(std::uint64_t n) {
  return std::to_string(n);
}
std::string text(version v) {
  return number(v.term.value()) + ':' + number(v.index.value());
}

struct body_text {
  std::string operator()(const pre_vote_request& b) const {
    return "pre_vote_request for term " + number(b.campaign_term.value()) + ", last " + text(b.last);
  }
  std::string operator()(const pre_vote_response& b) const {
    return std::string("pre_vote_response ") + (b.granted ? "yes" : "no") + " for term " +
           number(b.campaign_term.value());
  }
  std::string operator()(const vote_request& b) const { return "vote_request, last " + text(b.last); }
  std::string operator()(const vote_response& b) const {
    return std::string("vote_response ") + (b.granted ? "yes" : "no");
  }
  std::string operator()(const append_request& b) const {
    std::string all = "append after " + text(b.previous) + ":";
    for (const entry& e : b.entries)
      all += ' ' + text({e.term, e.index}) +
             (e.type == entry_type::noop      ? ""
              : e.type == entry_type::command ? "(command)"
                                              : "(members)");
    return all + ", commit " + number(b.commit.value());
  }
  std::string operator()(const append_ok& b) const { return "append_ok " + number(b.match.value()); }
  std::string operator()(const append_reject& b) const {
    return "append_reject " + number(b.rejected.value()) + ", hint " + text(b.hint);
  }
  std::string operator()(const heartbeat& b) const {
    return "heartbeat, commit " + number(b.commit.value()) + ", round " + number(b.round);
  }
  std::string operator()(const heartbeat_response& b) const {
    return "heartbeat_response, round " + number(b.round);
  }
  std::string operator()(const commit_notice& b) const { return "commit_notice " + number(b.commit.value()); }
  std::string operator()(const read_index_request&) const { return "read_index_request"; }
  std::string operator()(const read_index_response& b) const {
    return "read_index_response " + number(b.index.value());
  }
  std::string operator()(const stale_term&) const { return "stale_term"; }
  std::string operator()(const refused&) const { return "refused"; }
  std::string operator()(const timeout_now&) const { return "timeout_now"; }
  std::string operator()(const snapshot_piece& b) const { return "snapshot " + text(b.at); }
  template <class Other>
  std::string operator()(const Other&) const {
    return "a message of the runtime";
  }
};

std::string name_of(const facts& f) {
  static constexpr const char* roles[] = {"follower", "pre-candidate", "candidate", "leader"};
  std::string log;
  for (unsigned i = f.log.base + 1u; i <= f.log.last; ++i) {
    log += i == f.log.base + 1u ? "" : " ";
    log += number(f.log.terms[i]);
  }
  std::string disk =
      f.disk.last == f.log.last && f.disk.hashes == f.log.hashes ? "" : ", disk to " + number(f.disk.last);
  return std::string(roles[static_cast<int>(f.as)]) + " of term " + number(f.term) + ", log [" + log + "]" +
         disk + ", commit " + number(f.commit);
}

}  // namespace

std::string to_text(const message& m) {
  return number(m.from.value()) + " to " + number(m.to.value()) + " (term " + number(m.term.value()) +
         "): " + std::visit(body_text{}, m.body);
}

std::string cluster::kind_name(const action& a) const {
  static constexpr const char* names[] = {"tick",   "propose", "store",        "crash",
                                          "change", "read",    "take_snapshot"};
  if (!a.of_message()) return names[static_cast<int>(a.what)];
  if (a.what == step::duplicate) return "duplicate";
  const std::string text = std::visit(body_text{}, messages_[a.detail].what.body);
  return text.substr(0, text.find_first_of(" ,"));
}

std::string cluster::word(const action& a) const {
  std::string all(1, step_letters[static_cast<int>(a.what)]);
  if (!a.of_message()) {
    all += number(a.node);
    return a.what == step::crash ? all + '.' + number(a.detail) : all;
  }
  char hash[17];
  std::snprintf(hash, sizeof hash, "%08" PRIx64, messages_.hash(a.detail).high >> 32);
  return all + hash;
}

action cluster::parse(const state& s, const std::string& wanted) const {
  action found;
  bool known = false;
  for_each_step(s, [&](const action& a) {
    if (word(a) == wanted) found = a, known = true;
  });
  // Before the search begins no budget limits the steps.
  const std::size_t kind = std::string(step_letters).find(wanted.empty() ? '?' : wanted[0]);
  if (!known && preparing_ && kind < steps_without_message && wanted.size() >= 2) {
    found.what = static_cast<step>(kind);
    found.node = static_cast<std::uint32_t>(wanted[1] - '0');
    if (found.what == step::propose) found.detail = spent(s.used).of(spent::proposals);
    if (found.what == step::change) found.detail = spent(s.used).of(spent::changes);
    known = found.node >= 1 && found.node <= scope_.nodes;
  }
  if (!known) throw std::invalid_argument("no step '" + wanted + "' is possible here");
  return found;
}

std::string cluster::sentence(const state& before, const action& a, const state& after) const {
  static constexpr const char* what[] = {"an election timeout or heartbeat of",
                                         "a command is proposed to",
                                         "the oldest write is stored at",
                                         "crash and restart of",
                                         "a change of members is proposed to",
                                         "a read is asked of",
                                         "a snapshot is taken by",
                                         "arrives: ",
                                         "arrives, and will again: "};
  const int kind = static_cast<int>(a.what);
  std::string all = a.of_message() ? what[kind] + to_text(messages_[a.detail].what)
                                   : std::string(what[kind]) + " node " + number(a.node);
  if (a.what == step::crash)
    all += ", " + number(a.detail / 2) + (a.detail % 2 != 0 ? " and a half" : "") +
           " of the writes under way survive";
  for (unsigned id = 1; id <= scope_.nodes; ++id)
    if (before.nodes[id - 1] != after.nodes[id - 1])
      all += "\n                node " + number(id) + ": " + name_of(facts_of(after, id));
  return all;
}

}  // namespace confman::exhaustive
