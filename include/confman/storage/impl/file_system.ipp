#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <system_error>

#include "confman/storage/file_system.hpp"

namespace confman {

namespace detail {

inline const char* disk_advice(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "free space on this file system (or raise the quota), then start the node again";
    case EACCES:
    case EPERM:
      return "give the user that runs this process read and write permission there";
    case EROFS:
      return "the file system is mounted read-only: find out why (dmesg), remount it, start again";
    case ENOENT:
      return "the file or directory is missing: check the configured data directory";
    case ENOTDIR:
      return "a file is in the way of the directory: choose another data directory";
    case EMFILE:
    case ENFILE:
      return "raise the limit of open files (ulimit -n)";
    case EIO:
      return "the disk reports an error: check it (dmesg, smartctl) and replace it if need be";
    default:
      return "check the file system and its disk, then start the node again";
  }
}

inline failure disk_failure(const char* operation, const std::string& path, int error) {
  return {errc::storage_failed, std::string(operation) + " " + path + ": " +
                                    std::generic_category().message(error) + "; " + disk_advice(error)};
}

inline failure disk_failure(const char* operation, const std::string& path, std::uint64_t offset, int error) {
  return {errc::storage_failed, std::string(operation) + " " + path + " at offset " + std::to_string(offset) +
                                    ": " + std::generic_category().message(error) + "; " +
                                    disk_advice(error)};
}

inline std::string parent_directory(const std::string& path) {
  const std::size_t last = path.find_last_not_of('/');
  if (last == std::string::npos) return "/";
  const std::size_t slash = path.find_last_of('/', last);
  if (slash == std::string::npos) return ".";
  const std::size_t end = path.find_last_not_of('/', slash);
  return end == std::string::npos ? "/" : path.substr(0, end + 1);
}

// Writes every piece, whatever the kernel takes at a time. `pieces` is consumed.
inline failure write_all(int descriptor, const std::string& path, std::uint64_t offset, iovec* pieces,
                         std::size_t count) {
  while (count != 0) {
    const int batch = static_cast<int>(std::min<std::size_t>(count, 1024));  // IOV_MAX on Linux
    const ssize_t written = ::pwritev(descriptor, pieces, batch, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return disk_failure("write", path, offset, errno);
    if (written == 0) return disk_failure("write", path, offset, ENOSPC);
    offset += static_cast<std::uint64_t>(written);
    auto left = static_cast<std::size_t>(written);
    for (; count != 0 && left >= pieces->iov_len; ++pieces, --count) left -= pieces->iov_len;
    if (left != 0) {
      pieces->iov_base = static_cast<char*>(pieces->iov_base) + left;
      pieces->iov_len -= left;
    }
  }
  return {};
}

[[nodiscard]] inline failure sync_names(const std::string& path) {
  const posix_file_system::file directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), path);
  if (directory.descriptor() < 0) return disk_failure("open directory", path, errno);
  if (::fsync(directory.descriptor()) != 0) return disk_failure("sync directory", path, errno);
  return {};
}

}  // namespace detail

CONFMAN_DECL posix_file_system::file::~file() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

CONFMAN_DECL failure posix_file_system::make_directory(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0)
    return S_ISDIR(info.st_mode) ? failure{} : detail::disk_failure("make directory", path, ENOTDIR);
  const std::string parent = detail::parent_directory(path);
  if (parent != path && parent != "." && parent != "/")
    if (failure f = make_directory(parent)) return f;
  if (::mkdir(path.c_str(), 0777) != 0 && errno != EEXIST)
    return detail::disk_failure("make directory", path, errno);
  return sync_directory(parent);
}

CONFMAN_DECL result<std::vector<std::string>> posix_file_system::list_directory(const std::string& path) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return detail::disk_failure("list directory", path, errno);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* found = ::readdir(directory)) {
    const std::string_view name = found->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  const int error = errno;
  ::closedir(directory);
  if (error != 0) return detail::disk_failure("list directory", path, error);
  return names;
}

CONFMAN_DECL failure posix_file_system::sync_directory(const std::string& path) {
  const std::lock_guard lock(names_);
  const auto lost = lost_names_.find(path);
  if (lost != lost_names_.end()) return lost->second;
  failure f = detail::sync_names(path);
  if (f) lost_names_.emplace(path, f);
  return f;
}

CONFMAN_DECL result<posix_file_system::file> posix_file_system::open_file(const std::string& path,
                                                                          open_mode mode) {
  const int flags = O_RDWR | O_CLOEXEC | (mode == open_mode::create ? O_CREAT : 0);
  int descriptor;
  do descriptor = ::open(path.c_str(), flags, 0666);
  while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0) return detail::disk_failure("open", path, errno);
  return file(descriptor, path);
}

CONFMAN_DECL failure posix_file_system::rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    return detail::disk_failure("rename", from + " to " + to, errno);
  return {};
}

CONFMAN_DECL failure posix_file_system::remove(const std::string& path) {
  if (::unlink(path.c_str()) != 0) return detail::disk_failure("remove", path, errno);
  return {};
}

CONFMAN_DECL result<posix_file_system::file> posix_file_system::lock(const std::string& path) {
  result<file> opened = open_file(path, open_mode::create);
  if (!opened) return opened;
  if (::flock(opened->descriptor(), LOCK_EX | LOCK_NB) == 0) {
    const std::lock_guard lock(names_);
    lost_names_.erase(detail::parent_directory(path));  // whoever begins anew looks at what is there
    return opened;
  }
  if (errno == EWOULDBLOCK)
    return failure(errc::directory_in_use,
                   path +
                       " is locked: another process (or another log in this one) uses this "
                       "directory; stop it, or give this node a directory of its own");
  return detail::disk_failure("lock", path, errno);
}

CONFMAN_DECL result<std::uint64_t> posix_file_system::size(file& f) {
  struct stat info {};
  if (::fstat(f.descriptor(), &info) != 0) return detail::disk_failure("size of", f.path(), errno);
  return static_cast<std::uint64_t>(info.st_size);
}

CONFMAN_DECL result<std::size_t> posix_file_system::read(file& f, std::uint64_t offset,
                                                         std::span<char> into) {
  std::size_t done = 0;
  while (done != into.size()) {
    const ssize_t got =
        ::pread(f.descriptor(), into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return detail::disk_failure("read", f.path(), offset + done, errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

CONFMAN_DECL failure posix_file_system::write(file& f, std::uint64_t offset,
                                              std::span<const std::string_view> pieces) {
  std::array<iovec, 64> few;  // enough for nearly every batch, without an allocation
  for (std::size_t first = 0; first < pieces.size();) {
    const std::size_t count = std::min(few.size(), pieces.size() - first);
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::string_view piece = pieces[first + i];
      few[i] = {const_cast<char*>(piece.data()), piece.size()};
      bytes += piece.size();
    }
    if (failure error = detail::write_all(f.descriptor(), f.path(), offset, few.data(), count)) return error;
    offset += bytes;
    first += count;
  }
  return {};
}

CONFMAN_DECL failure posix_file_system::zero_fill(file& f, std::uint64_t offset, std::uint64_t bytes) {
  static const std::array<char, 64 * 1024> zeros{};
  std::array<iovec, 16> pieces;
  while (bytes != 0) {
    std::uint64_t planned = 0;
    std::size_t count = 0;
    for (; count < pieces.size() && planned < bytes; ++count) {
      const std::size_t part = std::min<std::uint64_t>(zeros.size(), bytes - planned);
      pieces[count] = {const_cast<char*>(zeros.data()), part};
      planned += part;
    }
    if (failure error = detail::write_all(f.descriptor(), f.path(), offset, pieces.data(), count))
      return error;
    offset += planned;
    bytes -= planned;
  }
  return {};
}

CONFMAN_DECL failure posix_file_system::resize(file& f, std::uint64_t bytes) {
  if (::ftruncate(f.descriptor(), static_cast<off_t>(bytes)) != 0)
    return detail::disk_failure("resize", f.path(), bytes, errno);
  return {};
}

CONFMAN_DECL failure posix_file_system::sync(file& f) {
  // No retry, not even on EINTR: after a failure the kernel may have dropped the dirty pages.
  if (::fdatasync(f.descriptor()) != 0) return detail::disk_failure("sync", f.path(), errno);
  return {};
}

}  // namespace confman
