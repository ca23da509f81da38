// The whole cluster as numbers: each node, message and history that ever occurs is stored once and has a
// number; a state is a handful of them. What a node does with an input is worked out once and remembered.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "exhaustive/history.hpp"
#include "exhaustive/node.hpp"
#include "exhaustive/tables.hpp"

namespace confman::exhaustive {

struct state {
  std::array<std::uint32_t, most_nodes> nodes{};
  std::uint32_t past = 0;               // the history
  std::uint32_t used = 0;               // the budgets, see `spent`
  std::vector<std::uint32_t> messages;  // in flight, sorted; two that are equal count as one
};

class cluster {
 public:
  explicit cluster(const scope& s);

  [[nodiscard]] const state& first() const noexcept { return first_; }
  // Calls visit(action) for each step that may come next.
  template <class Visit>
  void for_each_step(const state& s, Visit&& visit) const;
  // Whether the step stays within the scope. `next` is what it leads to; `wrong` says which property doesn't
  // hold then.
  [[nodiscard]] bool take(const state& s, const action& a, state& next, std::string& wrong);

  [[nodiscard]] hash128 fingerprint(const state& s) const noexcept;
  // Words in a row, and back.
  void pack(const state& s, std::vector<std::uint32_t>& words) const;
  void unpack(const std::uint32_t* words, std::size_t count, state& s) const;

  // A step as a word that means the same in every run, such as t1 or d0123abcd, and as a sentence.
  [[nodiscard]] std::string word(const action& a) const;
  [[nodiscard]] std::string sentence(const state& before, const action& a, const state& after) const;
  // The step that a word means in this state. Throws std::invalid_argument if it isn't possible.
  [[nodiscard]] action parse(const state& s, const std::string& word) const;

  [[nodiscard]] const scope& within() const noexcept { return scope_; }
  [[nodiscard]] std::size_t nodes_known() const noexcept { return nodes_.size(); }
  [[nodiscard]] std::size_t messages_known() const noexcept { return messages_.size(); }
  [[nodiscard]] std::size_t steps_known() const noexcept { return results_.size(); }
  // How many of these were worked out by two nodes of one hash, with the same result.
  [[nodiscard]] std::size_t steps_compared() const noexcept { return compared_; }

  // What a step is, for counting: a small number, and its name.
  static constexpr unsigned kinds = 64;
  [[nodiscard]] unsigned kind(const action& a) const noexcept {
    const auto what = static_cast<unsigned>(a.what);
    return a.what == step::deliver ? what + 2 + static_cast<unsigned>(messages_[a.detail].what.body.index())
                                   : what;
  }
  [[nodiscard]] std::string kind_name(const action& a) const;

 private:
  struct known_node {
    node what;
    facts seen;
    // The same state, reached in another way. Each step is taken by both, and must lead to the same: so a
    // part of the state that the hash leaves out is noticed.
    std::unique_ptr<node> twin;
  };
  struct known_message {
    message what;
    std::uint8_t from = 0, to = 0;
    std::uint32_t kind = 0;      // 1 << message_body::index()
    std::uint8_t dead_from = 0;  // a receiver whose disk has this term ignores it for good; 0: never
  };
  struct effect {
    std::vector<std::uint32_t> sent;
    std::vector<std::uint32_t> forged;
    std::vector<const message*> shown;  // `sent` for the history
    std::vector<read_answer> reads;
    std::string wrong;
  };
  struct result_of_step {
    std::uint32_t node = 0;
    std::uint32_t effect = 0;
    bool matters = true;  // to the history
  };

  result_of_step work_out(std::uint32_t node, const action& a);
  [[nodiscard]] bool same_again(const known_node& from, const action& a, const node& after,
                                const output& out);
  std::uint32_t number_of(const message& m);
  std::uint32_t number_of(node&& n);
  void forge(const message& m, effect& e);
  [[nodiscard]] bool matters(const facts& before, const facts& after, const action& a, const effect& e) const;
  bool take_and_store(state& s, const action& a, std::vector<std::uint32_t>& arrived, std::string& wrong);
  bool take_alone(state& s, const action& a, std::vector<std::uint32_t>& arrived, std::string& wrong);
  const result_of_step& look_up(std::uint32_t node, const action& a);
  void send(state& s, const std::vector<std::uint32_t>& sent, std::vector<std::uint32_t>& arrived,
            std::string& wrong);
  void drop_dead(state& s, unsigned to, std::string& wrong);
  bool is_dead(const state& s, std::uint32_t m, std::string& wrong);
  [[nodiscard]] const facts& facts_of(const state& s, unsigned id) const noexcept {
    return nodes_[s.nodes[id - 1]].seen;
  }
  [[nodiscard]] unsigned receiver(const action& a) const noexcept {
    return a.of_message() ? messages_[a.detail].to : a.node;
  }
  [[nodiscard]] bool allows(const state& s, spent::what w, unsigned limit) const noexcept {
    return spent(s.used).of(w) < spent(used_before_).of(w) + limit;
  }
  static void charge(state& s, const action& a, bool leads) noexcept;
  void prepare();
  void settle(state& s, const std::string& only);
  void deliver_all(state& s, int from, int to);
  void must_take(state& s, const action& a);

  scope scope_;
  pool<known_node> nodes_;
  pool<known_message> messages_;
  pool<history> histories_;
  pool<effect> effects_;
  number_table known_steps_;
  std::deque<result_of_step> results_;
  state first_;
  std::vector<std::uint32_t> arrived_;
  std::uint32_t used_before_ = 0;
  std::size_t compared_ = 0;
  bool preparing_ = true;
};

template <class Visit>
void cluster::for_each_step(const state& s, Visit&& visit) const {
  const spent used(s.used);
  for (unsigned id = 1; id <= scope_.nodes; ++id) {
    const facts& f = facts_of(s, id);
    const bool leads = f.as == role::leader;
    if (leads
            ? allows(s, spent::beats, scope_.beats)
            : f.term < scope_.terms && f.voters.incoming != 0 && allows(s, spent::timeouts, scope_.timeouts))
      visit(action{step::tick, id, 0});
    if (leads && allows(s, spent::proposals, scope_.proposals))
      visit(action{step::propose, id, used.of(spent::proposals)});
    if (f.writing != 0) visit(action{step::store, id, 0});
    if (allows(s, spent::crashes, scope_.crashes))
      for (unsigned survives = 0; survives <= 2u * f.writing; ++survives)
        if (survives % 2 == 0 || (f.partial >> (survives / 2) & 1u) != 0)
          visit(action{step::crash, id, survives});
    if (leads && allows(s, spent::changes, scope_.changes))
      visit(action{step::change, id, used.of(spent::changes)});
    if (f.leader && allows(s, spent::reads, scope_.reads))
      visit(action{step::read, id, used.of(spent::reads)});
    if (f.applied > f.snapshot && allows(s, spent::snapshots, scope_.snapshots))
      visit(action{step::snapshot, id, 0});
  }
  const bool again = allows(s, spent::duplicates, scope_.duplicates);
  for (const std::uint32_t m : s.messages) {
    visit(action{step::deliver, 0, m});
    if (again) visit(action{step::duplicate, 0, m});
  }
}

}  // namespace confman::exhaustive
