// The mailbox: order, bounds, and that no letter waits without its consumer being woken.
#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "confman/runtime/mailbox.hpp"

namespace {

struct letter {
  letter* next_item = nullptr;
  std::size_t sender = 0;
  std::size_t number = 0;
};

using box = confman::mailbox<letter>;

}  // namespace

TEST_CASE("a mailbox hands out its letters in the order they came") {
  box b(10);
  std::vector<letter> letters(5);
  for (std::size_t i = 0; i < letters.size(); ++i) {
    letters[i].number = i;
    CHECK(b.push(letters[i]) == (i == 0 ? box::pushed::first : box::pushed::behind_others));
  }
  std::size_t expected = 0;
  CHECK(b.take([&](letter& l) { CHECK(l.number == expected++); }) == 5);
  CHECK(b.take([](letter&) { FAIL("nothing is left"); }) == 0);
}

TEST_CASE("only who finds a mailbox empty is told to wake the consumer, also again after a take") {
  box b(10);
  letter one, two, three;
  CHECK(b.push(one) == box::pushed::first);
  CHECK(b.push(two) == box::pushed::behind_others);
  b.take([](letter&) {});
  CHECK(b.push(three) == box::pushed::first);
}

TEST_CASE("a full mailbox refuses and stays as it was, but has room for what must not be refused") {
  box b(2);
  letter one, two, three, urgent, later;
  CHECK(b.push(one) == box::pushed::first);
  CHECK(b.push(two) == box::pushed::behind_others);
  CHECK(b.push(three) == box::pushed::full);
  CHECK(b.push(three) == box::pushed::full);
  CHECK(b.push_always(urgent) == box::pushed::behind_others);
  std::vector<letter*> taken;
  CHECK(b.take([&](letter& l) { taken.push_back(&l); }) == 3);
  CHECK(taken == std::vector<letter*>{&one, &two, &urgent});
  CHECK(b.push(later) == box::pushed::first);
}

TEST_CASE("a mailbox of capacity nought takes only what must not be refused") {
  box b(0);
  letter one;
  CHECK(b.push(one) == box::pushed::full);
  CHECK(b.push_always(one) == box::pushed::first);
}

TEST_CASE("a letter may be destroyed by who takes it, and may be pushed while others are taken") {
  box b(10);
  for (std::size_t i = 0; i < 3; ++i) {
    auto* l = new letter;
    l->number = i;
    (void)b.push(*l);
  }
  letter from_inside;
  bool pushed = false;
  CHECK(b.take([&](letter& l) {
    const std::unique_ptr<letter> gone(&l);
    if (!pushed) {
      CHECK(b.push(from_inside) == box::pushed::first);  // the consumer has to come back for this one
      pushed = true;
    }
  }) == 3);
  CHECK(b.take([&](letter& l) { CHECK(&l == &from_inside); }) == 1);
}

TEST_CASE("letters of several threads all arrive, in order per thread, and each wake-up is needed") {
  constexpr std::size_t senders = 3, each = 20000;
  box b(senders * each);
  std::vector<std::vector<letter>> letters(senders, std::vector<letter>(each));
  std::atomic<std::size_t> wakes{0};
  std::vector<std::thread> threads;
  for (std::size_t s = 0; s < senders; ++s)
    threads.emplace_back([&, s] {
      for (std::size_t i = 0; i < each; ++i) {
        letters[s][i].sender = s;
        letters[s][i].number = i;
        if (b.push(letters[s][i]) == box::pushed::first) wakes.fetch_add(1);
      }
    });
  std::vector<std::size_t> next(senders, 0);
  std::size_t seen = 0, answered = 0, empty_after_wake = 0;
  while (seen < senders * each) {
    if (wakes.load() == answered) {  // never look without having been woken
      std::this_thread::yield();
      continue;
    }
    ++answered;
    const std::size_t count = b.take([&](letter& l) { CHECK_UNARY(l.number == next[l.sender]++); });
    if (count == 0) ++empty_after_wake;
    seen += count;
  }
  for (std::thread& t : threads) t.join();
  CHECK(seen == senders * each);
  CHECK(empty_after_wake == 0);
  CHECK(wakes.load() == answered);
}

TEST_CASE("the bound holds with several threads, and what was taken makes room") {
  constexpr std::size_t capacity = 64;
  box b(capacity);
  std::vector<std::vector<letter>> letters(2, std::vector<letter>(5000));
  std::atomic<std::size_t> accepted{0}, running{2};
  std::vector<std::thread> threads;
  for (auto& mine : letters)
    threads.emplace_back([&] {
      for (letter& l : mine)
        if (b.push(l) != box::pushed::full) accepted.fetch_add(1);
      running.fetch_sub(1);
    });
  std::size_t seen = 0;
  for (bool more = true; more;) {
    more = running.load() != 0;
    const std::size_t count = b.take([](letter&) {});
    CHECK_UNARY(count <= capacity);
    seen += count;
  }
  for (std::thread& t : threads) t.join();
  seen += b.take([](letter&) {});
  CHECK(seen == accepted.load());
  CHECK(seen >= capacity);
}
