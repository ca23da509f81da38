// The one door between storage and a disk: a policy, so that the simulator can stand in for the kernel.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/error.hpp"

namespace confman {

enum class open_mode {
  existing,  // fails when there is no such file
  create,    // makes the file when it is missing; keeps what is in it otherwise
};

// What storage asks of a disk. Every call is synchronous and returns when it is done. Offsets and sizes are
// bytes. A failure carries errc::storage_failed (lock: errc::directory_in_use when another process holds it)
// and names the operation, the path, the offset, the system's reason and what to do. `file` is movable only
// and closes itself.
//
// What the caller may rely on after a crash: a write may survive as any subset of 512-byte sectors, in any
// order, until sync(file) returned success; a file's size likewise; a name (created, renamed, removed) until
// sync_directory() returned success. make_directory() is durable when it returns.
template <class F>
concept file_system =
    std::movable<typename F::file> && !std::copyable<typename F::file> &&
    requires(F & fs, typename F::file& file, const std::string& path, open_mode mode, std::uint64_t bytes,
             std::span<char> into, std::span<const std::string_view> pieces) {
  // Makes the directory and its missing parents; an existing one is fine.
  { fs.make_directory(path) } -> std::same_as<failure>;
  // Names in the directory, without "." and "..", in no particular order.
  { fs.list_directory(path) } -> std::same_as<result<std::vector<std::string>>>;
  // Makes creations, renames and removals in the directory durable. After a failure every later call for it
  // fails, too, whoever makes it, until a lock in it is taken anew: a second try may succeed although names
  // are lost.
  { fs.sync_directory(path) } -> std::same_as<failure>;
  { fs.open_file(path, mode) } -> std::same_as<result<typename F::file>>;
  // Replaces `to` if it exists, atomically.
  { fs.rename(path, path) } -> std::same_as<failure>;
  { fs.remove(path) } -> std::same_as<failure>;
  // Creates the file if needed and holds it exclusively until the returned file is destroyed or the process
  // ends.
  { fs.lock(path) } -> std::same_as<result<typename F::file>>;
  { fs.size(file) } -> std::same_as<result<std::uint64_t>>;
  // Returns how many bytes were read: fewer than asked only at the end of the file.
  { fs.read(file, bytes, into) } -> std::same_as<result<std::size_t>>;
  // Writes the pieces one after the other from the offset on, all of them or a failure.
  { fs.write(file, bytes, pieces) } -> std::same_as<failure>;
  // Writes `bytes` zeros from the offset on (real blocks, not a hole: later writes then need no metadata).
  { fs.zero_fill(file, bytes, bytes) } -> std::same_as<failure>;
  { fs.resize(file, bytes) } -> std::same_as<failure>;
  // Makes the file's content and size durable (fdatasync). After a failure the content is undefined: never
  // retry.
  { fs.sync(file) } -> std::same_as<failure>;
};

// The real thing. One instance may serve any number of logs and threads; what shares a directory has to
// share the instance, too.
class posix_file_system {
 public:
  // A descriptor and the path it was opened by (for messages). Closes in the destructor.
  class file {
   public:
    file() noexcept = default;
    file(int descriptor, std::string path) noexcept : descriptor_(descriptor), path_(std::move(path)) {}
    file(file&& other) noexcept
        : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}
    file& operator=(file&& other) noexcept {
      std::swap(descriptor_, other.descriptor_);
      std::swap(path_, other.path_);
      return *this;
    }
    CONFMAN_DECL ~file();

    [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }

   private:
    int descriptor_ = -1;
    std::string path_;
  };

  [[nodiscard]] CONFMAN_DECL failure make_directory(const std::string& path);
  [[nodiscard]] CONFMAN_DECL result<std::vector<std::string>> list_directory(const std::string& path);
  [[nodiscard]] CONFMAN_DECL failure sync_directory(const std::string& path);
  [[nodiscard]] CONFMAN_DECL result<file> open_file(const std::string& path, open_mode mode);
  [[nodiscard]] CONFMAN_DECL failure rename(const std::string& from, const std::string& to);
  [[nodiscard]] CONFMAN_DECL failure remove(const std::string& path);
  [[nodiscard]] CONFMAN_DECL result<file> lock(const std::string& path);
  [[nodiscard]] CONFMAN_DECL result<std::uint64_t> size(file& f);
  [[nodiscard]] CONFMAN_DECL result<std::size_t> read(file& f, std::uint64_t offset, std::span<char> into);
  [[nodiscard]] CONFMAN_DECL failure write(file& f, std::uint64_t offset,
                                           std::span<const std::string_view> pieces);
  [[nodiscard]] CONFMAN_DECL failure zero_fill(file& f, std::uint64_t offset, std::uint64_t bytes);
  [[nodiscard]] CONFMAN_DECL failure resize(file& f, std::uint64_t bytes);
  [[nodiscard]] CONFMAN_DECL failure sync(file& f);

 private:
  // Held while names are synced: nobody's sync may succeed beside one that fails.
  std::mutex names_;
  std::map<std::string, failure> lost_names_;  // by directory
};

static_assert(file_system<posix_file_system>);

}  // namespace confman

#if !defined(CONFMAN_COMPILED)
#include "confman/storage/impl/file_system.ipp"
#endif
