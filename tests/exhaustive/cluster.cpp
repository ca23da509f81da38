#include "exhaustive/cluster.hpp"

#include <sstream>
#include <stdexcept>

namespace confman::exhaustive {

namespace {

// The receiver's term never falls below the one on its disk, and what answers a lower term is ignored without
// a trace (raft_core::pass_term_gate), so such a message is as good as lost.
std::uint8_t dead_from(const message& m, const scope& s) {
  const bool wrongly = s.rule == broken::alive_is_dead && std::holds_alternative<append_request>(m.body);
  if ((s.rule != broken::nothing && s.rule != broken::alive_is_dead) || s.keep_ignored) return 0;
  const auto term = static_cast<std::uint8_t>(m.term.value());
  if (const auto* p = std::get_if<pre_vote_response>(&m.body))
    return std::max(term, static_cast<std::uint8_t>(p->campaign_term.value()));
  if (std::holds_alternative<stale_term>(m.body)) return term;
  const bool ignored =
      wrongly || std::holds_alternative<vote_response>(m.body) || std::holds_alternative<append_ok>(m.body) ||
      std::holds_alternative<append_reject>(m.body) || std::holds_alternative<heartbeat_response>(m.body) ||
      std::holds_alternative<read_index_request>(m.body) ||
      std::holds_alternative<read_index_response>(m.body) || std::holds_alternative<timeout_now>(m.body);
  return ignored ? static_cast<std::uint8_t>(term + 1) : 0;
}

}  // namespace

cluster::cluster(const scope& s) : scope_(s) {
  for (unsigned id = 1; id <= s.nodes; ++id) first_.nodes[id - 1] = number_of(node(s, id));
  const history nothing;
  first_.past = histories_.number(nothing.hash(), [&] { return nothing; });
  prepare();
}

std::uint32_t cluster::number_of(node&& n) {
  const hash128 h = n.hash();
  const std::size_t known = nodes_.size();
  const std::uint32_t number = nodes_.number(h, [&] {
    facts f = n.describe();
    return known_node{std::move(n), f, nullptr};
  });
  if (nodes_.size() == known && !nodes_[number].twin)
    nodes_[number].twin = std::make_unique<node>(std::move(n));
  return number;
}

std::uint32_t cluster::number_of(const message& m) {
  return messages_.number(testing::hash_of_message(m), [&] {
    return known_message{m, static_cast<std::uint8_t>(m.from.value()),
                         static_cast<std::uint8_t>(m.to.value()), std::uint32_t{1} << m.body.index(),
                         dead_from(m, scope_)};
  });
}

// Messages that a broken rule adds to those that were sent.
void cluster::forge(const message& m, effect& e) {
  message extra = m;
  if (const auto* vote = std::get_if<vote_response>(&m.body);
      scope_.rule == broken::refusal_grants && vote && !vote->granted) {
    extra.body = vote_response{true, vote->candidate};
    e.forged.push_back(number_of(extra));
  }
  if (auto* append = std::get_if<append_request>(&extra.body); append && !append->entries.empty()) {
    entry& e0 = append->entries.front();
    const bool tampers = scope_.rule == broken::entry_tampered && e0.type == entry_type::command;
    const bool jumps = scope_.rule == broken::members_jump && e0.type == entry_type::configuration;
    if (tampers) e0.payload = shared_bytes::copy("tampered");
    if (jumps) {
      configuration alone = *decode_configuration(e0.payload.view());
      alone.incoming = {alone.incoming.back()};
      e0.payload = encode_configuration(alone);
    }
    append->entries.resize(1);
    e0.hash =
        extend_chain(append->previous_hash, e0.term, static_cast<std::uint8_t>(e0.type), e0.payload.view());
    if (tampers || jumps) e.forged.push_back(number_of(extra));
  }
  if (const auto* beat = std::get_if<heartbeat>(&m.body); scope_.rule == broken::echoed_beat && beat) {
    std::swap(extra.from, extra.to);
    extra.incarnation = incarnation_id(1000 + extra.from.value());
    extra.body = heartbeat_response{beat->round};
    e.forged.push_back(number_of(extra));
  }
}

bool cluster::matters(const facts& before, const facts& after, const action& a, const effect& e) const {
  if (a.what == step::crash || a.what == step::read || !e.reads.empty()) return true;
  if (before.as != after.as || before.term != after.term || before.commit != after.commit ||
      before.snapshot != after.snapshot || !(before.log == after.log))
    return true;
  return std::any_of(e.sent.begin(), e.sent.end(), [this](std::uint32_t m) {
    const message_body& body = messages_[m].what.body;
    return std::holds_alternative<vote_response>(body) || std::holds_alternative<vote_request>(body);
  });
}

namespace {

hash128 summary(const node& n, const output& out) {
  testing::state_hasher h;
  const hash128 state = n.hash();
  h(state.high), h(state.low), h(out.messages.size());
  for (const message& m : out.messages) testing::state_hasher::append(h, m);
  h(out.reads.size());
  for (const read_answer& r : out.reads) h.values(r);
  h.bytes(out.wrong);
  return h.result();
}

}  // namespace

bool cluster::same_again(const known_node& from, const action& a, const node& after, const output& out) {
  ++compared_;
  node other = *from.twin;
  const output again = other.take(scope_, a, a.of_message() ? &messages_[a.detail].what : nullptr);
  return summary(other, again) == summary(after, out);
}

cluster::result_of_step cluster::work_out(std::uint32_t from, const action& a) {
  node copy = nodes_[from].what;
  output out = copy.take(scope_, a, a.of_message() ? &messages_[a.detail].what : nullptr);
  if (nodes_[from].twin && !same_again(nodes_[from], a, copy, out))
    out.wrong = "hidden state: " + word(a) + " leads two nodes of the same hash to different ends";
  effect e;
  testing::state_hasher h;
  for (const message& m : out.messages) {
    if (m.to.value() < 1 || m.to.value() > scope_.nodes) continue;
    e.sent.push_back(number_of(m));
    e.shown.push_back(&messages_[e.sent.back()].what);
    h(e.sent.back());
    forge(m, e);
  }
  e.reads = std::move(out.reads);
  e.wrong = std::move(out.wrong);
  h(e.reads.size());
  for (const read_answer& r : e.reads) h.values(r);
  h.bytes(e.wrong);
  result_of_step result;
  result.node = number_of(std::move(copy));
  result.matters = matters(nodes_[from].seen, nodes_[result.node].seen, a, e);
  result.effect = effects_.number(h.result(), [&] { return std::move(e); });
  return result;
}

const cluster::result_of_step& cluster::look_up(std::uint32_t node, const action& a) {
  const std::uint64_t key = std::uint64_t{node} << 32 | a.code();
  if (const std::uint32_t* known = known_steps_.find(key)) return results_[*known];
  results_.push_back(work_out(node, a));
  known_steps_.insert(key, static_cast<std::uint32_t>(results_.size() - 1));
  return results_.back();
}

bool cluster::take(const state& s, const action& a, state& next, std::string& wrong) {
  next = s;
  if (a.of_message() && a.what != step::duplicate)
    next.messages.erase(std::lower_bound(next.messages.begin(), next.messages.end(), a.detail));
  arrived_.clear();
  charge(next, a, !a.of_message() && facts_of(s, a.node).as == role::leader);
  action first = a;
  if (a.what == step::duplicate) first.what = step::deliver;
  if (!take_and_store(next, first, arrived_, wrong)) return false;
  for (std::size_t i = 0; i < arrived_.size() && wrong.empty(); ++i)
    if (!take_and_store(next, {step::deliver, 0, arrived_[i]}, arrived_, wrong)) return false;
  return true;
}

bool cluster::take_and_store(state& s, const action& a, std::vector<std::uint32_t>& arrived,
                             std::string& wrong) {
  const unsigned id = receiver(a);
  if (!take_alone(s, a, arrived, wrong)) return false;
  while (scope_.stored_at_once && wrong.empty() && facts_of(s, id).writing != 0)
    if (!take_alone(s, {step::store, id, 0}, arrived, wrong)) return false;
  return true;
}

bool cluster::take_alone(state& s, const action& a, std::vector<std::uint32_t>& arrived, std::string& wrong) {
  const unsigned id = receiver(a);
  const std::uint32_t from = s.nodes[id - 1];
  const result_of_step result = look_up(from, a);
  const effect& done = effects_[result.effect];
  const facts &before = nodes_[from].seen, &after = nodes_[result.node].seen;
  if (after.term > scope_.terms) return false;
  wrong = done.wrong;
  if (wrong.empty() && result.matters) {
    happening h{scope_, a, {}, id, after, done.shown, done.reads};
    for (unsigned n = 1; n <= scope_.nodes; ++n) h.nodes[n] = &facts_of(s, n);
    history past = histories_[s.past];
    wrong = past.judge(h);
    s.past = histories_.number(past.hash(), [&] { return past; });
  }
  s.nodes[id - 1] = result.node;
  if (after.durable_term != before.durable_term) drop_dead(s, id, wrong);
  send(s, done.sent, arrived, wrong);
  send(s, done.forged, arrived, wrong);
  return true;
}

void cluster::charge(state& s, const action& a, bool leads) noexcept {
  spent used(s.used);
  switch (a.what) {
    case step::tick:
      used.one(leads ? spent::beats : spent::timeouts);
      break;
    case step::propose:
      used.one(spent::proposals);
      break;
    case step::crash:
      used.one(spent::crashes);
      break;
    case step::change:
      used.one(spent::changes);
      break;
    case step::read:
      used.one(spent::reads);
      break;
    case step::snapshot:
      used.one(spent::snapshots);
      break;
    case step::duplicate:
      used.one(spent::duplicates);
      break;
    case step::store:
    case step::deliver:
      break;
  }
  s.used = used.packed();
}

// Whether the receiver ignores the message for good. That it does so now is tried.
bool cluster::is_dead(const state& s, std::uint32_t m, std::string& wrong) {
  const known_message& k = messages_[m];
  if (k.dead_from == 0 || facts_of(s, k.to).durable_term < k.dead_from) return false;
  const std::uint32_t receiver = s.nodes[k.to - 1];
  const result_of_step& result = look_up(receiver, {step::deliver, 0, m});
  const effect& done = effects_[result.effect];
  if (wrong.empty() && (result.node != receiver || !done.sent.empty() || !done.reads.empty())) {
    wrong = "not ignored: " + to_text(k.what);
    if (!scope_.looks_for(wrong)) wrong.clear();
  }
  return true;
}

void cluster::send(state& s, const std::vector<std::uint32_t>& sent, std::vector<std::uint32_t>& arrived,
                   std::string& wrong) {
  for (const std::uint32_t m : sent) {
    const known_message& k = messages_[m];
    if ((k.kind & scope_.lost) != 0 || is_dead(s, m, wrong)) continue;
    if ((k.kind & scope_.at_once) != 0) {
      arrived.push_back(m);
      continue;
    }
    if (scope_.newest_only)
      std::erase_if(s.messages, [&](std::uint32_t older) {
        const known_message& o = messages_[older];
        return o.kind == k.kind && o.from == k.from && o.to == k.to;
      });
    const auto at = std::lower_bound(s.messages.begin(), s.messages.end(), m);
    if (at == s.messages.end() || *at != m) s.messages.insert(at, m);
  }
}

void cluster::drop_dead(state& s, unsigned to, std::string& wrong) {
  std::erase_if(s.messages, [&](std::uint32_t m) { return messages_[m].to == to && is_dead(s, m, wrong); });
}

hash128 cluster::fingerprint(const state& s) const noexcept {
  testing::state_hasher h;
  for (unsigned i = 0; i < scope_.nodes; i += 2)
    h(std::uint64_t{s.nodes[i]} << 32 | (i + 1 < scope_.nodes ? s.nodes[i + 1] : 0));
  h(std::uint64_t{s.past} << 32 | s.used);
  h(s.messages.size());
  for (std::size_t i = 0; i < s.messages.size(); i += 2)
    h(std::uint64_t{s.messages[i]} << 32 | (i + 1 < s.messages.size() ? s.messages[i + 1] : 0));
  return h.result();
}

void cluster::pack(const state& s, std::vector<std::uint32_t>& words) const {
  words.clear();
  words.insert(words.end(), s.nodes.begin(), s.nodes.begin() + scope_.nodes);
  words.push_back(s.past);
  words.push_back(s.used);
  words.insert(words.end(), s.messages.begin(), s.messages.end());
}

void cluster::unpack(const std::uint32_t* words, std::size_t count, state& s) const {
  std::copy(words, words + scope_.nodes, s.nodes.begin());
  s.past = words[scope_.nodes];
  s.used = words[scope_.nodes + 1];
  s.messages.assign(words + scope_.nodes + 2, words + count);
}

// --- before the search begins

void cluster::must_take(state& s, const action& a) {
  state next;
  std::string wrong;
  if (!take(s, a, next, wrong) || !wrong.empty())
    throw std::invalid_argument("configuration " + scope_.name + ": its start fails at " + word(a) + ": " +
                                wrong);
  s = std::move(next);
}

// All that is written and sent arrives, as far as it stays among the nodes named by their digits.
void cluster::settle(state& s, const std::string& only) {
  const auto has = [&only](unsigned id) {
    return only.find(static_cast<char>('0' + id)) != std::string::npos;
  };
  for (bool again = true; again;) {
    again = false;
    for (unsigned id = 1; id <= scope_.nodes; ++id)
      for (; has(id) && facts_of(s, id).writing != 0; again = true) must_take(s, {step::store, id, 0});
    const auto m = std::find_if(s.messages.begin(), s.messages.end(), [&](std::uint32_t n) {
      return has(messages_[n].from) && has(messages_[n].to);
    });
    if (m == s.messages.end()) continue;
    again = true;
    must_take(s, {step::deliver, 0, *m});
  }
}

void cluster::deliver_all(state& s, int from, int to) {
  const std::vector<std::uint32_t> now = s.messages;
  for (const std::uint32_t m : now)
    if (messages_[m].from == from && messages_[m].to == to) must_take(s, {step::deliver, 0, m});
}

// scope.start: words of steps as in a path; `>12`: what is in flight from 1 to 2 arrives, oldest first;
// `*123`: everything settles among these nodes; `!`: what is in flight is lost.
void cluster::prepare() {
  std::istringstream words(scope_.start);
  for (std::string next; words >> next;) {
    if (next[0] == '!')
      first_.messages.clear();
    else if (next[0] == '*')
      settle(first_, next);
    else if (next[0] == '>' && next.size() == 3)
      deliver_all(first_, next[1] - '0', next[2] - '0');
    else
      must_take(first_, parse(first_, next));
  }
  used_before_ = first_.used;
  preparing_ = false;
}

}  // namespace confman::exhaustive
