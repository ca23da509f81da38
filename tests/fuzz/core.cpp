// A raft core that is told anything a peer could say in a well-formed message, and anything else its runtime
// may tell it: its own assertions and invariants must hold, and so must the disk's view of what it writes.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/target.hpp"
#include "lib/core_harness.hpp"

namespace {

using namespace confman;
using namespace confman::testing;

class peers {
 public:
  explicit peers(fuzz::input& in) : in_(in), node_(1, first(), tweak()) {}

  void run() {
    for (int step = 0; !in_.empty() && step < 400 && node_.running(); ++step) one_step();
    if (!node_.running()) return;
    node_.work();
    restart(0, 0);
  }

 private:
  configuration first() {
    const std::uint8_t how = in_.byte();
    configuration members = how % 2 == 0 ? voters(1 + how / 2 % 4) : bound_voters(1 + how / 2 % 4);
    if (how > 200) members.learners.push_back({node_id(6), incarnation_of(6)});
    return members;
  }
  test_node::tweak tweak() {
    return [this](raft_options& o) {
      o.seed = in_.byte();
      o.election_ticks = 4;
      o.heartbeat_ticks = 2;
      o.max_window_appends = 1 + in_.below(4);
      o.max_append_entries = 1 + in_.below(4);
      o.max_apply_entries = 1 + in_.below(8);
      o.max_pending_reads = 8;
      o.max_cached_bytes = in_.flip() ? 1 : 500;
      o.priority_check_ticks = 8;
      o.first_election_by_majority = in_.flip();
    };
  }

  std::uint64_t number(std::uint64_t near) { return in_.number(near); }

  version place() {
    const log_index i(number(in_.below(
        static_cast<std::size_t>(std::min<std::uint64_t>(node_->log().last_index().value() + 2, 250)))));
    const auto term = node_->log().term_at(i);
    return {term && in_.below(4) != 0 ? *term : term_t(number(node_->term().value())), i};
  }
  // The end of the log, or any place in it or near it.
  version previous() { return in_.below(3) == 0 ? place() : node_->log().last(); }

  append_request append() {
    append_request body;
    body.previous = previous();
    const auto hash = node_->log().hash_at(body.previous.index);
    body.previous_hash = hash && in_.below(8) != 7 ? *hash : chain_hash(number(0));
    body.commit = log_index(number(body.previous.index.value()));
    term_t term = body.previous.term;
    log_index index = body.previous.index;
    for (std::size_t n = in_.below(5); n > 0; --n) {
      const std::uint8_t how = in_.byte();
      if (how % 2 == 1) term = std::max(term, std::min(node_->term(), term + how / 128));
      index = how == 255 ? log_index(number(index.value())) : index + 1;
      const auto type = how % 16 == 3   ? entry_type::configuration
                        : how % 16 == 5 ? entry_type::noop
                                        : entry_type::command;
      shared_bytes payload = text("x");
      if (type == entry_type::configuration)
        payload = how > 240 ? text("?") : encode_configuration(members());
      body.entries.push_back({how == 254 ? term_t(number(0)) : term, index, type, payload, {}});
    }
    return body;
  }

  configuration members() {
    configuration made = voters(1 + in_.below(4));
    const std::uint8_t how = in_.byte();
    for (member& m : made.incoming)
      if (how % 2 == 0) m.incarnation = incarnation_of(m.id.value());
    if (how % 8 == 1) made.outgoing = bound_voters(1 + how / 64).incoming;
    if (how % 8 == 2) made.learners.push_back({node_id(6), incarnation_of(6)});
    made.auto_leave = how % 8 == 1 && how > 100;
    return check_configuration(made) ? voters(3) : made;
  }

  // What a sound peer would answer, so that the node gets somewhere.
  message_body answer() {
    if (node_->role() == role::pre_candidate) return pre_vote_response{node_->term() + 1, true};
    if (node_->role() == role::candidate) return vote_response{true, node_->options().incarnation};
    if (node_->role() != role::leader) return append();
    const std::uint8_t how = in_.byte();
    if (how % 4 == 0) return heartbeat_response{std::uint64_t{how} / 4};
    const std::uint64_t last = node_->log().last_index().value();
    return append_ok{log_index(last - std::min<std::uint64_t>(last, how / 32))};
  }

  message_body body() {
    const std::uint64_t term = node_->term().value(), last = node_->log().last_index().value();
    switch (in_.below(24)) {
      case 0:
        return pre_vote_request{term_t(number(term + 1)), place()};
      case 1:
        return pre_vote_response{term_t(number(term)), in_.flip()};
      case 2:
        return vote_request{place(), in_.flip()};
      case 3:
        return vote_response{in_.flip(),
                             incarnation_of(node_->options().self.value() + (in_.flip() ? 0u : 1u))};
      case 4:
        return append_ok{log_index(number(last))};
      case 5:
        return append_reject{log_index(number(last)), place()};
      case 6:
        return heartbeat{log_index(number(node_->commit().value())), number(0)};
      case 7:
        return heartbeat_response{number(1)};
      case 8:
        return commit_notice{log_index(number(last))};
      case 9:
        return read_index_request{number(5)};
      case 10:
        return read_index_response{number((node_.disk.boot << 32) + 1), log_index(number(last))};
      case 11:
        return refused{incarnation_id(number(incarnation_of(1).value()))};
      case 12:
        return stale_term{};
      case 13:
        return timeout_now{};
      case 14:
        return forward_request{number(1), text("f")};
      case 15:
        return join_request{"a:1", in_.flip(), 1};
      case 16:
      case 17:
      case 18:
        return append();
      default:
        return answer();
    }
  }

  void receive() {
    const std::uint64_t now = node_->term().value();
    const std::uint8_t how = in_.byte();
    const std::uint64_t term = how < 200 ? now : how < 230 ? now + 1 : how < 240 ? now - 1 : number(now);
    const std::uint64_t from = how % 32 == 31 ? number(3) : 2 + how % 3;
    const bool foreign = in_.byte() == 255;
    const log_index commit = node_->commit();
    (void)node_.receive(
        from, term, body(),
        foreign ? incarnation_id(number(incarnation_of(from).value())) : incarnation_of(from));
    fuzz::expect(node_->commit() >= commit, "what is committed stays so");
  }

  void propose_change() {
    std::vector<member_change> changes;
    for (std::size_t n = 1 + in_.below(3); n > 0; --n) {
      const std::uint8_t how = in_.byte();
      changes.push_back({static_cast<member_change::action>(how % 4),
                         {node_id(1 + how / 4 % 7), incarnation_of(1 + how / 4 % 7), {}, 1}});
    }
    (void)node_->propose_change(changes);
  }

  void install() {
    snapshot_meta meta;
    meta.at = in_.below(3) == 0 ? place() : version{node_->term(), node_->log().last_index() + in_.below(5)};
    const auto hash = node_->log().hash_at(meta.at.index);
    meta.hash = hash ? *hash : chain_hash(in_.byte());
    if (in_.byte() == 255) meta.hash = chain_hash(number(9));
    meta.members = members();
    meta.members_at = log_index(std::min(number(1), meta.at.index.value()));
    // The store lets no other through.
    if (decode_snapshot_meta(encode_snapshot_meta(meta).view())) (void)node_.install(meta, in_.byte());
  }

  void fetched() {
    for (const entry_fetch& f : std::exchange(node_.fetches, {})) {
      std::vector<entry> found = node_.read(f);
      const std::uint8_t how = in_.byte();
      if (how > 240) found.clear();
      if (how < 8 && !found.empty()) found.pop_back();
      node_->entries_fetched(f.peer, f.from, std::move(found));
    }
  }

  // What is durable makes a core again, or is refused: a snapshot that the core wouldn't have is on the disk.
  void restart(std::size_t whole, int parts) {
    node_.crash(whole, parts);
    if (!check_recovered(node_.disk)) node_.restart();
  }

  void one_step() {
    switch (in_.below(24)) {
      case 0:
        return node_.tick(static_cast<std::uint32_t>(in_.below(10)));
      case 1:
        return (void)node_->propose(text("p"));
      case 2:
        return (void)node_->read(read_id(++reads_));
      case 3:
        return (void)node_.persist_one();
      case 4:
        return node_.pump(in_.flip());
      case 5:
        return node_->unreachable(node_id(in_.below(6)));
      case 6:
      case 7:
        return node_.work();
      case 8:
        if (in_.below(4) == 0) restart(in_.below(3), static_cast<int>(in_.below(4)));
        return;
      case 9:
        return propose_change();
      case 10:
        return (void)node_->transfer_leadership(node_id(in_.below(6)));
      case 11:
        return in_.below(4) == 0 ? node_->resign() : node_->snapshot_failed(node_id(in_.below(6)));
      case 12:
        if (node_->applied()) node_.work(), node_.compact(in_.below(6));
        return;
      case 13:
        return install();
      case 14:
        return fetched();
      case 15:
        return node_->forget_reads({read_id(reads_ - in_.below(4) % (reads_ + 1))});
      case 16:
        return node_.time_out();
      default:
        return receive();
    }
  }

  fuzz::input& in_;
  test_node node_;
  std::uint64_t reads_ = 0;
};

}  // namespace

FUZZ_TARGET(core) {
  fuzz::input in(bytes);
  peers(in).run();
}
