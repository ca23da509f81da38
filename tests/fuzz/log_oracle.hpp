// What must hold whatever the files of a log's directory are.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "confman/core/raft_core.hpp"
#include "confman/storage/log.hpp"
#include "fuzz/target.hpp"
#include "lib/image_file_system.hpp"
#include "storage/log_model.hpp"

namespace fuzz {

using image_log = confman::log<confman_test::image_file_system>;

// A refusal is one of the documented errors, says so, and changes nothing.
inline void check_refusal(const confman::failure& f, const confman_test::image_file_system& fs) {
  using confman::errc;
  const auto is = [&f](errc code) { return f.code == make_error_code(code); };
  expect(is(errc::log_damaged) || is(errc::format_unsupported) || is(errc::wrong_cluster) ||
             is(errc::wrong_node) || is(errc::bad_option),
         "a refusal is one of the documented errors");
  expect(f.what.find("Nothing was changed") != std::string::npos, "a refusal says what was done");
  expect(fs.changes == 0, "a refusal changes nothing");
}

inline bool same(const confman::recovered_log& a, const confman::recovered_log& b) {
  return a.entries == b.entries && a.state == b.state && a.base == b.base && a.base_hash == b.base_hash &&
         a.incarnation == b.incarnation;
}

// The entries follow each other and their base.
inline void check_chain(const confman::recovered_log& found) {
  confman::log_index index = found.base.index;
  confman::chain_hash hash = found.base_hash;
  for (const confman::entry& e : found.entries) {
    hash = extend_chain(hash, e.term, static_cast<std::uint8_t>(e.type), e.payload.view());
    expect(e.index == ++index && e.hash == hash, "recovered entries continue each other");
  }
}

// A raft core that goes on from what was found, if it can be made of it; its next write.
inline std::optional<confman::write_batch> go_on(const confman::recovered_log& found) {
  using namespace confman;
  recovered_log recovered = found;
  configuration members;
  members.incoming.push_back({node_id(1), found.incarnation});
  if (found.base.index) {
    snapshot_meta meta{found.base, found.base_hash, members, {}};
    if (!decode_snapshot_meta(encode_snapshot_meta(meta).view())) return std::nullopt;
    recovered.snapshot = meta;
  }
  if (const failure f = check_recovered(recovered)) {
    expect(
        f.code == make_error_code(errc::log_damaged) || f.code == make_error_code(errc::format_unsupported),
        "a log that no core can be made of is refused as such");
    return std::nullopt;
  }
  raft_options options;
  options.cluster = cluster_id(7);
  options.group = group_id(3);
  options.self = node_id(1);
  options.incarnation = found.incarnation;
  raft_core core(options, members, std::move(recovered));
  for (std::uint32_t i = 0; i < 3 * options.election_ticks && core.role() == role::follower; ++i) core.tick();
  return core.take_ready(true).write;
}

// An opened log gives the same when it is read, when it is opened again, and when it was written to.
inline void check_opened(confman_test::image_file_system& fs, const confman::log_options& options,
                         std::optional<image_log> log, const confman::recovered_log& found) {
  using namespace confman;
  check_chain(found);
  if (!found.entries.empty()) {
    const auto read = log->read(log->first_index(), log->last_index(), ~std::size_t{0} / 2);
    expect(read && *read == found.entries, "what was recovered is read back");
  }
  log.reset();
  recovered_log again;
  auto opened = image_log::open(fs, "data", options, again);
  expect(opened && same(found, again), "the next open finds the same");
  expect(again.boot == found.boot + 1, "each open is counted");
  log.emplace(std::move(*opened));
  write_batch batch = go_on(found).value_or(write_batch{});
  if (batch.empty()) batch.state = hard_state{found.state.term, node_id(1), found.state.commit};
  expect(!log->append(batch) && !log->sync(), "the log can be written to");
  log.reset();
  opened = image_log::open(fs, "data", options, again);
  expect(static_cast<bool>(opened), "and opened after that");
  expect(again.entries.size() == found.entries.size() + batch.entries.size(), "with what was written");
  expect(!batch.state || again.state == *batch.state, "and its state");
}

}  // namespace fuzz
