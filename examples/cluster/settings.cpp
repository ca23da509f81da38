#include "settings.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

namespace demo {

namespace {

using confman::errc;
using confman::failure;

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

failure bad(std::string_view flag, std::string_view value, std::string_view wanted) {
  return {errc::bad_option,
          std::string(flag) + ": '" + std::string(value) + "' is not " + std::string(wanted)};
}

// "1=127.0.0.1:7401,2=127.0.0.1:7402"
failure parse_members(std::string_view flag, std::string_view text,
                      std::map<std::uint64_t, std::string>& members) {
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    const std::size_t equals = item.find('=');
    const auto id = number(item.substr(0, equals));
    if (equals == std::string_view::npos || !id)
      return bad(flag, item, "ID=HOST:PORT; write --members 1=10.0.0.1:7401,2=10.0.0.2:7401,...");
    if (!members.emplace(*id, item.substr(equals + 1)).second)
      return bad(flag, item, "possible: this id was listed before");
  }
  return {};
}

failure parse_address(std::string_view flag, std::string_view text, std::string& host, int& port) {
  const std::size_t colon = text.rfind(':');
  const auto value = colon == std::string_view::npos ? std::nullopt : number(text.substr(colon + 1));
  if (!value || *value == 0 || *value > 65535 || colon == 0)
    return bad(flag, text, "HOST:PORT with a port from 1 to 65535, such as 127.0.0.1:8401");
  host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  port = static_cast<int>(*value);
  return {};
}

template <class Number>
failure parse_number(std::string_view flag, std::string_view text, std::uint64_t least, std::uint64_t most,
                     Number& out) {
  const auto value = number(text);
  if (!value || *value < least || *value > most)
    return bad(flag, text, "a number from " + std::to_string(least) + " to " + std::to_string(most));
  out = static_cast<Number>(*value);
  return {};
}

failure parse_milliseconds(std::string_view flag, std::string_view text, std::chrono::milliseconds& out) {
  std::uint32_t value = 0;
  if (failure error = parse_number(flag, text, 1, 600'000, value)) return error;
  out = std::chrono::milliseconds(value);
  return {};
}

// "1=2,3=0"
failure parse_priorities(std::string_view text, std::map<std::uint64_t, std::uint8_t>& priorities) {
  std::map<std::uint64_t, std::string> listed;
  if (failure error = parse_members("--priority", text, listed)) return error;
  for (const auto& [id, priority] : listed)
    if (failure error = parse_number("--priority", priority, 0, 255, priorities[id])) return error;
  return {};
}

// A flag without a value; nullptr if this isn't one.
bool* find_switch(settings& s, std::string_view flag) {
  if (flag == "--join") return &s.map.join;
  if (flag == "--learner") return &s.map.join_as_learner;
  if (flag == "--first-election-by-majority") return &s.map.first_election_by_majority;
  if (flag == "--snapshot-on-stop") return &s.map.snapshot_on_stop;
  if (flag == "--compress-snapshots") return &s.map.compress_snapshots;
  if (flag == "--acknowledged-writes-may-be-lost") return &s.may_lose_writes;
  return nullptr;
}

failure set_log(settings& s, std::string_view flag, std::string_view value) {
  constexpr std::uint64_t most = std::uint64_t{1} << 40;
  if (flag == "--snapshot-entries") return parse_number(flag, value, 1, most, s.map.snapshot_log_entries);
  if (flag == "--snapshot-bytes") return parse_number(flag, value, 1024, most, s.map.snapshot_log_bytes);
  if (flag == "--tail-entries") return parse_number(flag, value, 0, most, s.map.log_tail_entries);
  if (flag == "--backup-dir") return s.backup_directory = value, failure{};
  if (flag == "--restore") return s.restore = value, failure{};
  if (flag == "--recover-from") return s.recover_from = value, failure{};
  return {errc::bad_option, "there is no flag '" + std::string(flag) + "'; --help lists them"};
}

failure set(settings& s, std::string_view flag, std::string_view value) {
  if (flag == "--id") return parse_number(flag, value, 1, ~std::uint64_t{0}, s.map.self);
  if (flag == "--members") return parse_members(flag, value, s.map.members);
  if (flag == "--directory") return s.map.directory = value, failure{};
  if (flag == "--cluster") return s.map.cluster = value, failure{};
  if (flag == "--listen") return s.map.listen = value, failure{};
  if (flag == "--priority") return parse_priorities(value, s.map.priorities);
  if (flag == "--http") return parse_address(flag, value, s.http_host, s.http_port);
  if (flag == "--http-peers") return parse_members(flag, value, s.http_peers);
  if (flag == "--http-threads") return parse_number(flag, value, 2, 512, s.http_threads);
  if (flag == "--max-watches") return parse_number(flag, value, 0, 512, s.max_watches);
  if (flag == "--max-value-bytes") return parse_number(flag, value, 1, 128 << 20, s.map.max_value_bytes);
  if (flag == "--request-timeout-ms") return parse_milliseconds(flag, value, s.map.request_timeout);
  if (flag == "--election-ms") {
    if (failure error = parse_milliseconds(flag, value, s.map.election_timeout)) return error;
    // Six to an election timeout, as by default; a lost one or two must not depose the leader.
    s.map.heartbeat_interval = std::max(s.map.election_timeout / 6, std::chrono::milliseconds(1));
    return {};
  }
  return set_log(s, flag, value);
}

failure check_start(const settings& s) {
  if (s.map.join_as_learner && !s.map.join)
    return {errc::bad_option, "--learner belongs to --join: it says what to join as"};
  const int from = s.map.join + !s.restore.empty() + !s.recover_from.empty();
  if (from > 1)
    return {errc::bad_option, "--join, --restore and --recover-from exclude each other: choose one"};
  if ((!s.restore.empty() || !s.recover_from.empty()) && s.map.cluster.empty())
    return {errc::bad_option, "--cluster is missing: a restored or recovered cluster is a new one, name it"};
  if (s.recover_from.empty() && s.may_lose_writes)
    return {errc::bad_option, "--acknowledged-writes-may-be-lost belongs to --recover-from alone"};
  return {};
}

failure check(const settings& s) {
  if (s.map.self == 0) return {errc::bad_option, "--id is missing: which of the members is this process?"};
  if (s.map.members.empty())
    return {errc::bad_option, "--members is missing: list every member as ID=HOST:PORT"};
  if (s.map.directory.empty())
    return {errc::bad_option, "--directory is missing: where this node keeps its log"};
  if (s.http_host.empty()) return {errc::bad_option, "--http is missing: the HOST:PORT to answer HTTP on"};
  for (const auto& [id, address] : s.http_peers) {
    std::string host;
    int port = 0;
    if (failure error = parse_address("--http-peers", address, host, port)) return error;
  }
  if (s.max_watches + 1 >= s.http_threads)
    return {errc::bad_option, "--max-watches is " + std::to_string(s.max_watches) + " of " +
                                  std::to_string(s.http_threads) +
                                  " --http-threads: leave at least two for requests, each watch holds one"};
  if (failure error = check_start(s)) return error;
  return validate(s.map);
}

}  // namespace

confman::result<settings> parse_command_line(int argc, const char* const* argv) {
  settings s;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      s.help = true;
      return s;
    }
    const std::size_t equals = argument.find('=');
    const std::string_view flag = argument.substr(0, equals);
    if (bool* const on = find_switch(s, argument)) {
      *on = true;
    } else if (equals != std::string_view::npos) {
      if (failure error = set(s, flag, argument.substr(equals + 1))) return error;
    } else if (i + 1 < argc) {
      if (failure error = set(s, flag, argv[++i])) return error;
    } else {
      return failure{errc::bad_option, std::string(flag) + " needs a value after it; --help lists the flags"};
    }
  }
  if (failure error = check(s)) return error;
  return s;
}

const char* usage() noexcept {
  return R"(usage: confmand --id N --members 1=HOST:PORT,... --http HOST:PORT --directory PATH [...]

  --id N                   which of the members this process is
  --members LIST           every first member and the address it listens on for the others; the same on all.
                           With --join: this node, and members to ask
  --http HOST:PORT         where to answer HTTP
  --directory PATH         where this node keeps its log; belongs to this node of this cluster for ever
  --cluster NAME           keeps clusters apart; needed to join, and if members or addresses may ever change
  --listen HOST:PORT       where to accept the other members, if not at the address in --members
  --priority LIST          1=2,3=0: who should lead; 0: only if asked (1 each)
  --http-peers LIST        1=HOST:PORT,...: HTTP addresses, also of members to come, for redirects

  --join                   this node is new to a cluster that runs: ask to be taken in
  --learner                ... and stay a learner
  --first-election-by-majority   a new cluster may begin before every member is up

  --snapshot-entries N     take a snapshot after so many entries of the log (1000000)
  --snapshot-bytes N       ... or so many bytes of it (268435456)
  --tail-entries N         how many entries to keep behind a snapshot, for followers (50000)
  --snapshot-on-stop       take one before the process ends
  --compress-snapshots     with zstd; all members must have it
  --backup-dir PATH        where POST /v1/backup may write; without it, it is refused
  --restore FILE           make --directory, which must be new, of a backup; then start
  --recover-from PATH      make --directory, which must be new, of the directory of a member that is left of a
                           cluster which lost its majority; then start. Only together with
  --acknowledged-writes-may-be-lost

  --election-ms N          how long without a leader's word until an election (300)
  --request-timeout-ms N   how long a write or a linearizable read may take (5000)
  --max-value-bytes N      the largest value; the same on all (134217728)
  --http-threads N         how many connections may be open at once (64)
  --max-watches N          how many of them may be watches (16)
)";
}

}  // namespace demo
