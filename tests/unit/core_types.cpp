#include <doctest/doctest.h>

#include <thread>
#include <unordered_set>

#include "confman/core/joint_change.hpp"
#include "confman/core/random.hpp"
#include "lib/core_harness.hpp"

using namespace confman;
using namespace confman::testing;

TEST_CASE("ids of different kinds don't mix, and 0 means none") {
  CHECK_FALSE(std::is_convertible_v<term_t, log_index>);
  CHECK_FALSE(std::is_convertible_v<std::uint64_t, node_id>);
  CHECK_FALSE(std::is_constructible_v<node_id, term_t>);
  CHECK_FALSE(node_id{});
  CHECK(node_id(1));
  log_index i(4);
  CHECK(++i == log_index(5));
  CHECK(--i == log_index(4));
  CHECK(i + 3 == log_index(7));
  CHECK(i - 3 == log_index(1));
  CHECK(log_index(9) - i == 5u);
  CHECK(std::unordered_set<node_id>{node_id(1), node_id(2), node_id(1)}.size() == 2);
}

TEST_CASE("versions are ordered by term, then index") {
  CHECK(version{term_t(1), log_index(9)} < version{term_t(2), log_index(1)});
  CHECK(version{term_t(2), log_index(1)} < version{term_t(2), log_index(2)});
  CHECK(version{term_t(2), log_index(2)} == version{term_t(2), log_index(2)});
}

TEST_CASE("the chain hash depends on the log before, the term, the type and every byte of the payload") {
  const chain_hash base = extend_chain({}, term_t(1), 1, "some payload of more than sixteen bytes");
  CHECK(base == extend_chain({}, term_t(1), 1, "some payload of more than sixteen bytes"));
  CHECK(base != extend_chain(chain_hash(1), term_t(1), 1, "some payload of more than sixteen bytes"));
  CHECK(base != extend_chain({}, term_t(2), 1, "some payload of more than sixteen bytes"));
  CHECK(base != extend_chain({}, term_t(1), 2, "some payload of more than sixteen bytes"));
  std::unordered_set<chain_hash> seen;
  for (std::size_t length = 0; length <= 40; ++length) {
    const std::string zeros(length, '\0');
    CHECK(seen.insert(extend_chain({}, term_t(1), 1, zeros)).second);  // trailing zeros count
    for (std::size_t bit = 0; bit < 8 * length; ++bit) {
      std::string flipped = zeros;
      flipped[bit / 8] = static_cast<char>(1 << bit % 8);
      CHECK(seen.insert(extend_chain({}, term_t(1), 1, flipped)).second);
    }
  }
}

TEST_CASE("the chain hash is a fixed function: logs written by one build are read by the next") {
  CHECK(extend_chain({}, term_t(1), 0, "") != chain_hash{});
  const chain_hash first = extend_chain({}, term_t(1), 0, "");
  const chain_hash second = extend_chain(first, term_t(2), 1, "confman");
  CHECK(first.value() == 14891940696393646728u);
  CHECK(second.value() == 12019667687280219992u);
}

TEST_CASE("the seeded generator repeats itself and stays below its bound") {
  random_source a(42), b(42), c(43);
  bool differs = false;
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t value = a.below(10);
    CHECK(value == b.below(10));
    CHECK(value < 10);
    differs = differs || value != c.below(10);
  }
  CHECK(differs);
  CHECK(a.below(0) == 0);
}

TEST_CASE("shared_bytes: copies and slices share one block, and outlive the original") {
  shared_bytes part;
  {
    const shared_bytes whole = shared_bytes::copy("hello world");
    const shared_bytes again = whole;
    CHECK(again.data() == whole.data());
    CHECK(again == whole);
    part = whole.slice(6, 5);
    CHECK(part.data() == whole.data() + 6);
  }
  CHECK(part.view() == "world");
  CHECK(part.slice(5, 0).empty());
}

TEST_CASE("shared_bytes: empty ones, moves and self-assignment") {
  shared_bytes nothing;
  CHECK(nothing.empty());
  CHECK(nothing.view().empty());
  CHECK(shared_bytes::copy("") == nothing);
  CHECK(nothing.slice(0, 0) == nothing);
  shared_bytes a = shared_bytes::copy("a");
  shared_bytes b = std::move(a);
  CHECK(a.empty());  // NOLINT(bugprone-use-after-move): moved-from is empty on purpose
  CHECK(b.view() == "a");
  shared_bytes& same = b;
  b = same;
  CHECK(b.view() == "a");
  b = shared_bytes::copy("other");
  CHECK(b.view() == "other");
}

TEST_CASE("shared_bytes: a builder that is never frozen releases its block, a moved one does not") {
  shared_bytes::builder first(100);
  first.data()[0] = 'x';
  shared_bytes::builder second(std::move(first));
  CHECK(second.size() == 100);
  CHECK(first.data() == nullptr);  // NOLINT(bugprone-use-after-move): moved-from is empty on purpose
  const shared_bytes frozen = std::move(second).freeze();
  CHECK(frozen.data()[0] == 'x');
  const shared_bytes::builder unused(10);
  CHECK(unused.size() == 10);
}

TEST_CASE("shared_bytes: many threads copy, slice and drop one block") {
  const shared_bytes whole = shared_bytes::copy(std::string(1000, 'z'));
  std::vector<std::thread> threads;
  std::atomic<std::size_t> wrong{0};
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([whole, t, &wrong] {
      std::vector<shared_bytes> mine;
      for (std::size_t i = 0; i < 5000; ++i) {
        mine.push_back(whole.slice(i % 900, 1 + t));
        if (mine.back().view() != std::string(1 + t, 'z')) ++wrong;
        if (mine.size() > 16) mine.clear();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(whole.view() == std::string(1000, 'z'));
}

TEST_CASE("the configuration codec: what is encoded is decoded, random configurations") {
  random_source random(1);
  for (int i = 0; i < 500; ++i) {
    configuration members;
    for (auto* list : {&members.incoming, &members.outgoing, &members.learners}) {
      // apart from each other: a learner is no voter, and a member of two lists has one incarnation
      std::uint64_t id = list == &members.incoming ? 0u : list == &members.outgoing ? 10'000u : 20'000u;
      for (std::uint64_t n = random.below(6) + (list == &members.incoming ? 1u : 0u); n > 0; --n) {
        id += 1 + random.below(1000);
        list->push_back({node_id(id), incarnation_id(random.next()), std::string(random.below(40), 'h'),
                         static_cast<std::uint8_t>(random.below(256))});
      }
    }
    members.auto_leave = members.joint() && random.below(2) == 0;
    for (const member& m : members.outgoing)
      if (random.below(2) == 0) members.learners_next.push_back(m);
    const shared_bytes bytes = encode_configuration(members);
    const auto decoded = decode_configuration(bytes.view());
    REQUIRE(decoded);
    CHECK(*decoded == members);
    for (std::size_t cut = 0; cut < bytes.size(); ++cut)
      CHECK_FALSE(decode_configuration(bytes.view().substr(0, cut)));
    CHECK_FALSE(decode_configuration(std::string(bytes.view()) + '\0'));
  }
}

TEST_CASE("the configuration codec: arbitrary and flipped bytes are refused or give a sound configuration") {
  random_source random(2);
  const shared_bytes good = encode_configuration(bound_voters(3));
  for (int i = 0; i < 20000; ++i) {
    std::string bytes(good.view());
    if (i % 2 == 0) {
      for (std::uint64_t n = 1 + random.below(4); n > 0; --n)
        bytes[random.below(bytes.size())] = static_cast<char>(random.next());
    } else {
      bytes.assign(random.below(80), '\1');
      for (char& c : bytes) c = random.below(2) ? '\0' : static_cast<char>(random.below(4));
      if (!bytes.empty()) bytes[0] = 1;
    }
    const auto decoded = decode_configuration(bytes);
    if (!decoded) {
      CHECK(decoded.error().code == errc::bad_command);
      continue;
    }
    CHECK_FALSE(decoded->incoming.empty());
    CHECK_FALSE(check_configuration(*decoded));
    CHECK(encode_configuration(*decoded).view() == bytes);  // one encoding for each
  }
}

TEST_CASE("a configuration knows its members; an id in several lists is one member") {
  configuration members = bound_voters(3);
  members.outgoing = {{node_id(3), incarnation_of(3)}, {node_id(4), incarnation_of(4)}};
  members.learners = {{node_id(7), incarnation_of(7)}};
  CHECK(members.joint());
  CHECK(members.is_voter(node_id(4)));
  CHECK_FALSE(members.is_voter(node_id(7)));
  CHECK(members.contains(node_id(7)));
  CHECK_FALSE(members.contains(node_id(8)));
  CHECK(members.ids() == std::vector<node_id>{node_id(1), node_id(2), node_id(3), node_id(4), node_id(7)});
}

TEST_CASE("a configuration is effective from its append to its truncation") {
  configuration_log log(log_index(0), voters(3));
  log.append(log_index(4), voters(4));
  log.append(log_index(6), voters(5));
  CHECK(log.effective() == voters(5));
  log.truncate_from(log_index(6));
  CHECK(log.effective() == voters(4));
  CHECK(log.effective_index() == log_index(4));
  log.truncate_from(log_index(1));
  CHECK(log.effective() == voters(3));
  log.truncate_from(log_index(0));
  CHECK(log.effective() == voters(3));
}
