// The disk of a log that has seen everything: several segments, batches of many sizes, truncations, terms and
// votes, resets, a note, a tail that was never synced.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/image_file_system.hpp"
#include "storage/log_model.hpp"

namespace confman_test {

struct log_image {
  shared_image files;
  shared_image earlier;          // the same disk, some time before
  std::vector<content> history;  // [i]: what the log held after i batches
  std::size_t known = 0;         // batches that the identity file vouches for
  std::size_t acknowledged = 0;  // batches that were synced
  confman::log_options options;
};

// What a reset voids was freed, or the process ended before that.
enum class voided { freed, there };

class log_image_writer {
 public:
  log_image_writer(std::uint64_t segment_bytes, voided left) {
    image_.options = small_options();
    image_.options.segment_bytes = segment_bytes;
    open();
    for (std::size_t i = 0; i < 6; ++i) write(mixed(i));
    write(model_.reset(place(9, 1000), {noise(10), noise(700)}, hard_state{term_t(9), node_id(2), {}}));
    fill_segments(1);
    log_.reset();
    open();
    image_.known = model_.batches();
    if (left == voided::freed) {
      write(model_.reset(place(20, 5000), {noise(100)}, hard_state{term_t(20), node_id(1), {}}));
      image_.known = model_.batches();
    }
    rest(left);
  }

  [[nodiscard]] log_image image() && {
    image_.history = model_.history();
    image_.files = fs_.image();
    return std::move(image_);
  }

 private:
  // The writer is right, or nothing that is shown with it counts.
  static void must(bool holds) {
    if (!holds) std::abort();
  }
  void open() {
    confman::recovered_log found;
    auto opened = confman::log<image_file_system>::open(fs_, "data", image_.options, found);
    must(static_cast<bool>(opened));
    log_.emplace(std::move(*opened));
  }
  void write(const write_batch& batch) {
    must(!log_->append(batch));
    must(!log_->sync());
  }
  [[nodiscard]] std::string noise(std::size_t bytes) {
    std::string made(bytes, '\0');
    for (char& c : made) c = static_cast<char>((noise_ = noise_ * 1664525u + 1013904223u) >> 24);
    return made;
  }
  [[nodiscard]] static confman::log_reset place(std::uint64_t term, std::uint64_t index) {
    return {{term_t(term), log_index(index)}, confman::chain_hash(term * 1000003 + index)};
  }
  // Nothing but a state, one entry, several, or a truncation: by turns.
  [[nodiscard]] write_batch mixed(std::size_t i) {
    const hard_state state{model_.now().state.term + (i % 4 == 0 ? 1 : 0), node_id(i % 3),
                           log_index(model_.now().last())};
    if (i % 7 == 3) return model_.batch({}, {}, state);
    if (i % 7 == 5 && model_.now().entries.size() > 3)
      return model_.batch({noise(20)}, model_.now().last() - 1, state);
    const auto largest = static_cast<std::size_t>(image_.options.segment_bytes / 12);
    std::vector<std::string> payloads{noise((i * 397) % largest)};
    for (std::size_t more = i % 3; more > 0; --more) payloads.push_back(noise(more * 31 + i % 8));
    return i % 2 == 0 ? model_.batch(payloads, {}, state) : model_.batch(payloads);
  }

  void fill_segments(std::size_t more) {
    const std::size_t begun = log_->segment_count();
    while (log_->segment_count() < begun + more) write(mixed(turn_++));
  }
  void rest(voided left) {
    fill_segments(1);
    image_.earlier = fs_.image();
    for (int i = 0; i < 3; ++i) write(mixed(turn_++));
    must(static_cast<bool>(log_->maintain()));
    fill_segments(1);
    // A batch that gets a segment of its own, and what comes after it.
    write(model_.batch({noise(static_cast<std::size_t>(image_.options.segment_bytes) * 5 / 4)}));
    for (int i = 0; i < 5; ++i) write(mixed(turn_++));
    image_.acknowledged = model_.batches();
    if (left == voided::there) {
      // Synced by nothing but the change of segment, so that the segments before stay where they are.
      must(!log_->append(model_.reset(place(30, 9000), {noise(100)}, hard_state{term_t(30), {}, {}})));
      for (const std::size_t begun = log_->segment_count(); log_->segment_count() == begun;) {
        image_.acknowledged = model_.batches();
        must(!log_->append(mixed(turn_++)));
      }
    }
    for (int i = 0; i < 2; ++i) must(!log_->append(mixed(turn_++)));
  }

  log_image image_;
  image_file_system fs_;
  std::optional<confman::log<image_file_system>> log_;
  log_model model_;
  std::size_t turn_ = 20;
  std::uint32_t noise_ = 7;
};

}  // namespace confman_test
