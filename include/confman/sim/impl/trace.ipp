#pragma once

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <string_view>

#include "confman/sim/trace.hpp"

namespace confman::sim {

namespace detail {

struct step_words {
  const char* name;
  const char* a;
  const char* b;
  const char* c;
};

inline constexpr step_words words_of_step[] = {
    {"start", "run", nullptr, nullptr},
    {"recovered", "term", "vote", "last"},
    {"crash", "survival", nullptr, nullptr},
    {"leaves", "hands_over_to", nullptr, nullptr},
    {"stop", "handed_over", nullptr, nullptr},
    {"clock jumps", "ticks", "or_frozen_for", nullptr},
    {"disk rots", nullptr, nullptr, nullptr},
    {"pause", "until_us", nullptr, nullptr},
    {"resume", nullptr, nullptr, nullptr},
    {"power loss of all", nullptr, nullptr, nullptr},
    {"power cut armed", "effects", "performed", nullptr},
    {"disk error armed", "calls", nullptr, nullptr},
    {"disk stall", "until_us", nullptr, nullptr},
    {"partition", "kind", "links_cut", nullptr},
    {"network heals", nullptr, nullptr, nullptr},
    {"phase", "phase", nullptr, nullptr},
    {"send", "to", "message", "digest"},
    {"drop", "to", "why", nullptr},
    {"unreachable", "peer", nullptr, nullptr},
    {"deliver", "from", "message", "digest"},
    {"write", "truncate_from", "entries", "last"},
    {"appended", "last", nullptr, nullptr},
    {"synced", "term", "vote", "last"},
    {"role", "role", "term", "leader"},
    {"commit", "index", "term", nullptr},
    {"apply", "index", "term", "state_hash"},
    {"call", "operation", "kind", "key"},
    {"answer", "operation", "error", "index"},
    {"fail", "error", nullptr, nullptr},
    {"snapshot begins", "index", nullptr, nullptr},
    {"snapshot taken", "index", "error", nullptr},
    {"receives piece", "index", "next", "error"},
    {"snapshot installed", "index", "term", nullptr},
    {"reads entries", "peer_node", "from", "count"},
    {"members", "at", "voters_bits", "outgoing_bits"},
    {"change", "kind", "target", "number"},
    {"change ends", "number", "error", nullptr},
    {"event", "error", nullptr, nullptr},
    {"disk wiped", "times", nullptr, nullptr},
    {"refused", "by", nullptr, nullptr},
    {"watch begins", "watcher", "after", "error"},
    {"watch gives", "watcher", "through", "count_and_error"},
};

inline constexpr const char* names_of_messages[] = {
    "pre_vote_request",   "pre_vote_response", "vote_request",       "vote_response",
    "append_request",     "append_ok",         "append_reject",      "heartbeat",
    "heartbeat_response", "commit_notice",     "read_index_request", "read_index_response",
    "stale_term",         "refused",           "forward_request",    "forward_response",
    "timeout_now",        "snapshot_piece",    "snapshot_response",  "join_request",
    "join_response"};

inline constexpr const char* reasons[] = {"cut", "lost", "connection broke", "damaged", "nobody there"};

struct message_digest {
  std::uint64_t operator()(const pre_vote_request& b) const noexcept { return b.last.index.value(); }
  std::uint64_t operator()(const pre_vote_response& b) const noexcept {
    return b.campaign_term.value() << 24 | (b.granted ? 1u : 0u);
  }
  std::uint64_t operator()(const vote_request& b) const noexcept { return b.last.index.value(); }
  std::uint64_t operator()(const vote_response& b) const noexcept {
    return (b.candidate.value() & 0xffffff) << 24 | (b.granted ? 1u : 0u);
  }
  std::uint64_t operator()(const append_request& b) const noexcept {
    return b.previous.index.value() << 24 | b.entries.size() << 48 | (b.commit.value() & 0xffffff);
  }
  std::uint64_t operator()(const append_ok& b) const noexcept { return b.match.value(); }
  std::uint64_t operator()(const append_reject& b) const noexcept { return b.rejected.value(); }
  std::uint64_t operator()(const heartbeat& b) const noexcept { return b.commit.value() << 24 | b.round; }
  std::uint64_t operator()(const heartbeat_response& b) const noexcept { return b.round; }
  std::uint64_t operator()(const commit_notice& b) const noexcept { return b.commit.value(); }
  std::uint64_t operator()(const read_index_request& b) const noexcept { return b.context; }
  std::uint64_t operator()(const read_index_response& b) const noexcept { return b.index.value(); }
  std::uint64_t operator()(const stale_term&) const noexcept { return 0; }
  std::uint64_t operator()(const refused& b) const noexcept { return b.bound.value(); }
  std::uint64_t operator()(const forward_request& b) const noexcept { return b.request; }
  std::uint64_t operator()(const forward_response& b) const noexcept { return b.request; }
  std::uint64_t operator()(const timeout_now&) const noexcept { return 0; }
  std::uint64_t operator()(const snapshot_piece& b) const noexcept {
    return b.at.index.value() << 48 | (b.offset & 0xffffff) << 24 | (b.total & 0xffffff);
  }
  std::uint64_t operator()(const snapshot_piece_response& b) const noexcept {
    return b.at.index.value() << 48 | (b.next & 0xffffff) << 24 | (b.installed ? 1u : 0u);
  }
  std::uint64_t operator()(const join_request& b) const noexcept { return b.as_learner ? 1 : 0; }
  std::uint64_t operator()(const join_response& b) const noexcept {
    return static_cast<std::uint64_t>(b.status) << 24 | b.code;
  }
};

}  // namespace detail

CONFMAN_DECL const char* message_name(std::size_t index) noexcept {
  static_assert(std::size(detail::names_of_messages) == std::variant_size_v<message_body>);
  return index < std::size(detail::names_of_messages) ? detail::names_of_messages[index] : "unknown message";
}

CONFMAN_DECL std::uint64_t digest(const message& m) noexcept {
  return std::visit(detail::message_digest{}, m.body);
}

CONFMAN_DECL std::string describe(const trace_record& r) {
  const detail::step_words& words = detail::words_of_step[static_cast<std::size_t>(r.what)];
  char line[256];
  int size = std::snprintf(line, sizeof line, "%12.6f s  ", static_cast<double>(r.at) * 1e-6);
  std::string text(line, static_cast<std::size_t>(size));
  text += r.node == 0 ? "world   " : "node " + std::to_string(r.node) + "  ";
  text += words.name;
  const auto value = [&](const char* name, std::uint64_t v) {
    if (!name) return;
    text += ' ';
    text += name;
    text += '=';
    if (name[0] == 'm') {
      text += message_name(v & 0xff);
      text += " term=" + std::to_string(v >> 8);
    } else if (name == std::string_view("why")) {
      text += detail::reasons[v];
    } else if (name[0] == 'd') {
      size = std::snprintf(line, sizeof line, "%llu:%llu:%llu", static_cast<unsigned long long>(v >> 48),
                           static_cast<unsigned long long>(v >> 24 & 0xffffff),
                           static_cast<unsigned long long>(v & 0xffffff));
      text.append(line, static_cast<std::size_t>(size));
    } else {
      text += std::to_string(v);
    }
  };
  value(words.a, r.a);
  value(words.b, r.b);
  value(words.c, r.c);
  return text;
}

CONFMAN_DECL std::string trace::tail() const {
  std::string text;
  for (std::uint64_t i = count_ > kept ? count_ - kept : 0; i < count_; ++i)
    text += describe(ring_[i % kept]) + '\n';
  return text;
}

CONFMAN_DECL void trace::print(const trace_record& r) {
  std::puts(describe(r).c_str());
}

}  // namespace confman::sim
