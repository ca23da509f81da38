// Reads a snapshot file: as raw pieces for sending, or as verified blocks for loading.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "confman/storage/compression.hpp"
#include "confman/storage/file_system.hpp"
#include "confman/storage/snapshot_format.hpp"

namespace confman {

// The blocks of a file that begins like a snapshot, from the first one on, each proven by its checksum.
// Memory: one block. Used by the classes below and by snapshot_receiver.
template <file_system FileSystem>
class snapshot_blocks {
 public:
  using file = typename FileSystem::file;

  // `f` must outlive it. Blocks end at `limit`, an offset in the file.
  snapshot_blocks(FileSystem& fs, file& f, std::string path, std::uint64_t limit)
      : fs_(&fs), file_(&f), path_(std::move(path)), limit_(limit) {}

  // Reads the header; call it once, first. Errors: snapshot_damaged, format_unsupported, storage_failed.
  [[nodiscard]] result<snapshot_format::header> header() {
    const auto size = read_size();
    if (!size) return size.error();
    if (*size > limit_) return snapshot_format::damage(path_, 0, "the file is too short for its header");
    std::string bytes(*size, '\0');
    const result<std::size_t> got = fs_->read(*file_, 0, {bytes.data(), bytes.size()});
    if (!got) return got.error();
    bytes.resize(*got);
    result<snapshot_format::header> head = snapshot_format::decode_header(bytes, path_);
    if (!head) return head;
    compressed_ = head->compressed == snapshot_format::compression::zstd;
    offset_ = bytes.size();
    digest_.add(bytes);
    return head;
  }

  // The next block's stored bytes. False at the limit. Errors: snapshot_damaged, storage_failed; the place
  // stays where it was.
  [[nodiscard]] result<bool> next(snapshot_format::block_head& head, std::string& stored) {
    if (offset_ == limit_) return false;
    char bytes[snapshot_format::block_head_bytes];
    if (limit_ - offset_ <= sizeof bytes) return bad("no room for a block");
    if (failure f = read(offset_, bytes)) return f;
    if (!snapshot_format::decode(bytes, head) || (!compressed_ && head.stored_bytes != head.raw_bytes))
      return bad("no valid block");
    if (head.stored_bytes > limit_ - offset_ - sizeof bytes) return bad("the block is longer than the file");
    stored.resize(head.stored_bytes);
    if (failure f = read(offset_ + sizeof bytes, stored)) return f;
    if (!snapshot_format::matches(head, foot_.blocks, stored))
      return bad("the block does not match its checksum");
    offset_ += sizeof bytes + stored.size();
    digest_.add(stored);
    ++foot_.blocks;
    foot_.raw_bytes += head.raw_bytes;
    return true;
  }

  // The offset behind the last good block.
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
  // What the footer has to say about the blocks so far.
  [[nodiscard]] snapshot_format::footer sums() const noexcept {
    return {foot_.blocks, foot_.raw_bytes, digest_.value()};
  }

 private:
  [[nodiscard]] failure bad(const char* why) const { return snapshot_format::damage(path_, offset_, why); }

  [[nodiscard]] result<std::size_t> read_size() {
    char preamble[snapshot_format::preamble_bytes] = {};
    const result<std::size_t> got = fs_->read(*file_, 0, preamble);
    if (!got) return got.error();
    if (const auto size = snapshot_format::header_size({preamble, *got})) return *size;
    return snapshot_format::damage(path_, 0, "it does not begin like a snapshot of confman");
  }

  [[nodiscard]] failure read(std::uint64_t offset, std::span<char> into) {
    const result<std::size_t> got = fs_->read(*file_, offset, into);
    if (!got) return got.error();
    return *got == into.size() ? failure{} : bad("the file has been cut");
  }

  FileSystem* fs_;
  file* file_;
  std::string path_;
  std::uint64_t limit_;
  std::uint64_t offset_ = 0;
  bool compressed_ = false;
  snapshot_format::content_digest digest_;
  snapshot_format::footer foot_;  // without the digest
};

// An open snapshot. It stays readable when the store removes the file (POSIX keeps the content of an unlinked
// file while it is open, and a `file_system` has to as well). One thread at a time, not necessarily the
// store's. FileSystem must outlive it.
template <file_system FileSystem>
class snapshot_reader {
 public:
  using file = typename FileSystem::file;

  // Checks header and footer. Errors: snapshot_damaged, format_unsupported, storage_failed.
  [[nodiscard]] static result<snapshot_reader> open(FileSystem& fs, const std::string& path) {
    result<file> f = fs.open_file(path, open_mode::existing);
    if (!f) return f.error();
    snapshot_reader reader(fs, path, std::move(*f));
    if (failure bad = reader.check_ends()) return bad;
    return result<snapshot_reader>(std::move(reader));
  }

  [[nodiscard]] const snapshot_format::header& header() const noexcept { return header_; }
  [[nodiscard]] const snapshot_meta& meta() const noexcept { return header_.meta; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }                   // bytes of the file
  [[nodiscard]] std::uint64_t raw_bytes() const noexcept { return footer_.raw_bytes; }  // of all blocks
  [[nodiscard]] std::uint64_t digest() const noexcept { return footer_.digest; }        // names the content
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  // A piece of the file as it is, for sending; fewer bytes than asked for only at its end. Not verified: the
  // receiver does that. Errors: storage_failed.
  [[nodiscard]] result<std::size_t> read_raw(std::uint64_t offset, std::span<char> into) {
    return fs_->read(*file_, offset, into);
  }

  // Replaces `into` by the next block, verified and decompressed. False after the last one, when what the
  // footer says about all of them was found true. Errors: snapshot_damaged with file and offset,
  // storage_failed.
  [[nodiscard]] result<bool> next_block(std::string& into) {
    const std::uint64_t at = blocks_->offset();
    snapshot_format::block_head head;
    result<bool> more = blocks_->next(head, compressed_);
    if (!more) return more;
    if (!*more) {
      const snapshot_format::footer found = blocks_->sums();
      if (found.blocks == footer_.blocks && found.raw_bytes == footer_.raw_bytes &&
          found.digest == footer_.digest)
        return false;
      return snapshot_format::damage(path_, size_ - snapshot_format::footer_bytes,
                                     "the footer does not fit the blocks");
    }
    if (head.stored_bytes == head.raw_bytes)
      std::swap(into, compressed_);
    else if (!decompress_block(compressed_, head.raw_bytes, into))
      return snapshot_format::damage(path_, at, "the block can't be decompressed");
    return true;
  }

  // next_block() begins anew. Errors: as open().
  [[nodiscard]] failure rewind() {
    blocks_.emplace(*fs_, *file_, path_, size_ - snapshot_format::footer_bytes);
    result<snapshot_format::header> head = blocks_->header();
    if (!head) return head.error();
    header_ = *std::move(head);
    return {};
  }

  // Reads everything, then rewinds. Errors: as next_block(), and what go_on() returns, which is asked before
  // each block.
  [[nodiscard]] failure verify() {
    return verify([] { return failure(); });
  }
  template <class GoOn>
  [[nodiscard]] failure verify(GoOn&& go_on) {
    if (failure f = rewind()) return f;
    std::string block;
    for (;;) {
      if (failure f = go_on()) return f;
      const result<bool> more = next_block(block);
      if (!more) return more.error();
      if (!*more) return rewind();
    }
  }

 private:
  snapshot_reader(FileSystem& fs, std::string path, file f)
      : fs_(&fs), path_(std::move(path)), file_(std::make_unique<file>(std::move(f))) {}

  [[nodiscard]] failure check_ends() {
    const result<std::uint64_t> size = fs_->size(*file_);
    if (!size) return size.error();
    size_ = *size;
    if (size_ < snapshot_format::preamble_bytes + snapshot_format::footer_bytes)
      return snapshot_format::damage(path_, size_, "the file is too short");
    if (failure f = rewind()) return f;
    std::string bytes(snapshot_format::footer_bytes, '\0');
    const std::uint64_t at = size_ - bytes.size();
    const result<std::size_t> got = fs_->read(*file_, at, {bytes.data(), bytes.size()});
    if (!got) return got.error();
    if (*got == bytes.size() && snapshot_format::decode(bytes, footer_)) return {};
    return snapshot_format::damage(path_, at, "the footer is unreadable: the file has been cut or changed");
  }

  FileSystem* fs_;
  std::string path_;
  std::unique_ptr<file> file_;  // its address is known to blocks_
  std::uint64_t size_ = 0;
  snapshot_format::header header_;
  snapshot_format::footer footer_;
  std::optional<snapshot_blocks<FileSystem>> blocks_;
  std::string compressed_;  // the stored form of a block
};

}  // namespace confman
