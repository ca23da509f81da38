#include "exhaustive/search.hpp"

#include <cstdio>
#include <sstream>

namespace confman::exhaustive {

search::search(const scope& s, std::uint64_t most, std::optional<clock::time_point> until)
    : cluster_(s), most_(most), until_(until), seen_(most), parent_(most), step_(most) {}

verdict search::run() {
  result_ = {};
  seen_.insert(cluster_.fingerprint(cluster_.first()));
  enqueue(cluster_.first(), 0, {});
  state now;
  std::uint64_t end_of_level = 1;
  for (; !waiting_.empty() && result_.wrong.empty() && result_.states < most_; ++current_) {
    if (until_ && current_ % 4096 == 0 && clock::now() >= *until_) {
      result_.out_of_time = true;
      break;
    }
    if (current_ == end_of_level) {
      end_of_level = result_.states;
      ++result_.depth;
    }
    const std::size_t count = *waiting_.pop(1);
    cluster_.unpack(waiting_.pop(count), count, now);
    expand(now, current_);
  }
  result_.exhausted = waiting_.empty() && result_.wrong.empty();
  return result_;
}

void search::expand(const state& s, std::uint32_t number) {
  cluster_.for_each_step(s, [&](const action& a) {
    if (!result_.wrong.empty() || result_.states >= most_) return;
    pending_ = a;
    ++result_.transitions;
    const unsigned kind = cluster_.kind(a);
    if (++result_.taken[kind] == 1) names_[kind] = cluster_.kind_name(a);
    std::string wrong;
    if (!cluster_.take(s, a, next_, wrong)) return;
    if (!wrong.empty()) {
      result_.path = path_to(number);
      result_.path.push_back(a);
      result_.wrong = wrong;
      return;
    }
    if (seen_.insert(cluster_.fingerprint(next_))) enqueue(next_, number, a);
  });
}

void search::enqueue(const state& s, std::uint32_t parent, const action& a) {
  parent_[result_.states] = parent;
  step_[result_.states] = a.code();
  ++result_.states;
  cluster_.pack(s, words_);
  words_.insert(words_.begin(), static_cast<std::uint32_t>(words_.size()));
  waiting_.push(words_.data(), words_.size());
}

std::vector<action> search::path_to(std::uint32_t number) const {
  std::vector<action> path;
  for (; number != 0; number = parent_[number]) path.push_back(action::from(step_[number]));
  std::reverse(path.begin(), path.end());
  return path;
}

std::vector<action> search::path_to_now() const {
  std::vector<action> path = path_to(current_);
  path.push_back(pending_);
  return path;
}

namespace {

// A node's details follow from the state: the same word may stand for another number in another state.
bool show_step(cluster& c, state& now, unsigned number, const action& a, bool& ended) {
  state next;
  std::string wrong;
  std::printf("%4u %-9s  ", number, c.word(a).c_str());
  std::fflush(stdout);
  const bool within = c.take(now, a, next, wrong);
  std::printf("%s\n", within ? c.sentence(now, a, next).c_str() : "beyond the scope");
  ended = !within || !wrong.empty();
  if (!wrong.empty()) std::printf("     BAD        %s\n", wrong.c_str());
  now = std::move(next);
  return !wrong.empty();
}

}  // namespace

bool show_path(cluster& c, const std::vector<action>& path) {
  if (!c.within().start.empty()) std::printf("   0            begins with: %s\n", c.within().start.c_str());
  state now = c.first();
  bool bad = false, ended = false;
  std::string words;
  for (const action& a : path) words += (words.empty() ? "" : " ") + c.word(a);
  std::printf("replay: ./tests/exhaustive.sh --config %s --replay '%s'\n", c.within().name.c_str(),
              words.c_str());
  std::fflush(stdout);
  for (unsigned i = 0; i < path.size() && !ended; ++i) bad = show_step(c, now, i + 1, path[i], ended);
  return bad;
}

bool show_words(cluster& c, const std::string& words) {
  state now = c.first();
  bool bad = false, ended = false;
  std::istringstream in(words);
  unsigned number = 0;
  for (std::string word; !ended && in >> word;) bad = show_step(c, now, ++number, c.parse(now, word), ended);
  return bad;
}

}  // namespace confman::exhaustive
