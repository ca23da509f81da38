// Snapshots for tests.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/storage/snapshot_backup.hpp"
#include "crash_file_system.hpp"

namespace confman_test {

using confman::log_index;
using confman::node_id;
using confman::snapshot_info;
using confman::snapshot_meta;
using confman::snapshot_options;
using confman::term_t;
using confman::version;
using test_store = confman::snapshot_store<crash_file_system>;
using test_reader = confman::snapshot_reader<crash_file_system>;

inline snapshot_meta sample_meta(std::uint64_t index, std::uint64_t term = 2) {
  snapshot_meta meta;
  meta.at = {term_t(term), log_index(index)};
  meta.hash = confman::chain_hash(index * 77);
  meta.members.incoming = {{node_id(1), confman::incarnation_id(9), "a:1", 2}, {node_id(2), {}, "b:2", 1}};
  meta.members.learners = {{node_id(5), {}, "", 0}};
  meta.members_at = log_index(1);
  return meta;
}

// Compressible and not, small and of the largest size.
inline std::vector<std::string> sample_blocks(std::size_t large = 3000) {
  std::string noise(large, '\0');
  std::uint32_t state = 7;
  for (char& c : noise) c = static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
  return {"x", std::string(large, 'a'), noise, std::string(100, '\0')};
}

inline snapshot_options sample_options() {
  snapshot_options options;
  options.cluster = confman::cluster_id(7);
  options.group = confman::group_id(3);
  return options;
}

inline bool mentions(const failure& f, std::string_view text) {
  return f.what.find(text) != std::string::npos;
}

inline test_store open_store(crash_file_system& fs, const snapshot_options& options = sample_options()) {
  result<test_store> opened = test_store::open(fs, "data", options);
  REQUIRE_MESSAGE(opened, (opened ? "" : opened.error().what));
  return std::move(*opened);
}

inline result<snapshot_info> save(test_store& store, const snapshot_meta& meta,
                                  const std::vector<std::string>& blocks) {
  auto writer = store.begin(meta);
  if (!writer) return writer.error();
  for (const std::string& block : blocks)
    if (failure f = writer->write(block)) return f;
  return writer->commit();
}

// Every block, or the failure.
inline result<std::vector<std::string>> load(test_reader& reader) {
  std::vector<std::string> blocks;
  for (;;) {
    std::string block;
    const result<bool> more = reader.next_block(block);
    if (!more) return more.error();
    if (!*more) return blocks;
    blocks.push_back(std::move(block));
  }
}

// What a store's newest snapshot says, through every check there is.
inline result<std::vector<std::string>> load_newest(test_store& store) {
  if (store.newest() == nullptr) return failure(errc::snapshot_damaged, "there is none");
  result<test_reader> reader = store.read(store.newest()->meta.at);
  if (!reader) return reader.error();
  return load(*reader);
}

inline std::vector<std::string> names_with(const crash_file_system& fs, std::string_view part) {
  std::vector<std::string> found;
  for (const auto& file : fs.image())
    if (file.first.find(part) != std::string::npos) found.push_back(file.first);
  return found;
}

}  // namespace confman_test
