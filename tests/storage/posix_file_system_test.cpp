#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "confman/storage/file_system.hpp"
#include "log_model.hpp"

using namespace confman_test;
using confman::errc;
using confman::failure;
using confman::open_mode;
using confman::posix_file_system;
using confman::recovered_log;
using confman::result;
using disk_log = confman::log<posix_file_system>;

namespace {

// A directory under $TMPDIR or /tmp, removed at the end.
class scratch {
 public:
  scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "confman-storage-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  ~scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string operator/(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::string read_all(posix_file_system& fs, posix_file_system::file& f) {
  std::string bytes(*fs.size(f), '\0');
  const result<std::size_t> got = fs.read(f, 0, {bytes.data(), bytes.size()});
  REQUIRE(got);
  CHECK(*got == bytes.size());
  return bytes;
}

}  // namespace

TEST_CASE("a gather write of more pieces than the kernel takes at once arrives in order") {
  const scratch dir;
  posix_file_system fs;
  result<posix_file_system::file> f = fs.open_file(dir / "f", open_mode::create);
  REQUIRE(f);
  std::vector<std::string> parts;
  std::string expected = "head";
  for (std::size_t i = 0; i < 3000; ++i) parts.emplace_back(i % 7, static_cast<char>('a' + i % 26));
  std::vector<std::string_view> pieces;
  for (const std::string& part : parts) {
    pieces.emplace_back(part);
    expected += part;
  }
  const std::string_view head = "head";
  CHECK_FALSE(fs.write(*f, 0, {&head, 1}));
  CHECK_FALSE(fs.write(*f, 4, pieces));
  CHECK_FALSE(fs.sync(*f));
  CHECK(read_all(fs, *f) == expected);
}

TEST_CASE("files are filled, cut, renamed, listed and removed") {
  const scratch dir;
  posix_file_system fs;
  const std::string deep = dir / "a/b//c/";
  REQUIRE_FALSE(fs.make_directory(deep));
  REQUIRE_FALSE(fs.make_directory(deep));
  result<posix_file_system::file> f = fs.open_file(deep + "x", open_mode::create);
  REQUIRE(f);
  CHECK_FALSE(fs.zero_fill(*f, 3, 3'000'001));
  CHECK(read_all(fs, *f) == std::string(3'000'004, '\0'));
  CHECK_FALSE(fs.resize(*f, 10));
  CHECK(*fs.size(*f) == 10u);
  std::array<char, 16> buffer{};
  CHECK(*fs.read(*f, 4, buffer) == 6u);
  CHECK(*fs.read(*f, 40, buffer) == 0u);
  CHECK_FALSE(fs.rename(deep + "x", deep + "y"));
  CHECK_FALSE(fs.sync_directory(deep));
  CHECK(*fs.list_directory(deep) == std::vector<std::string>{"y"});
  CHECK_FALSE(fs.remove(deep + "y"));
  CHECK(fs.list_directory(deep)->empty());
}

TEST_CASE("a failure names the operation, the path, the reason and what to do") {
  const scratch dir;
  posix_file_system fs;
  const result<posix_file_system::file> f = fs.open_file(dir / "missing", open_mode::existing);
  REQUIRE_FALSE(f);
  CHECK(f.error().code == make_error_code(errc::storage_failed));
  CHECK(f.error().what.find("open " + (dir / "missing") + ": No such file") == 0);
  CHECK(f.error().what.find("check the configured data directory") != std::string::npos);
  REQUIRE(fs.open_file(dir / "file", open_mode::create));
  CHECK(fs.make_directory(dir / "file").code == make_error_code(errc::storage_failed));
  CHECK(fs.make_directory(dir / "file/below").code == make_error_code(errc::storage_failed));
  result<posix_file_system::file> full = fs.open_file("/dev/full", open_mode::existing);
  if (!full) return;  // a system without it
  const std::string_view piece = "x";
  const failure no_space = fs.write(*full, 5, {&piece, 1});
  CHECK(no_space.what.find("write /dev/full at offset 5: No space left on device; free space") == 0);
}

TEST_CASE("after a failed sync of a directory none of it succeeds until its lock is taken anew") {
  const scratch dir;
  posix_file_system fs;
  const std::string inner = dir / "inner";
  const failure missing = fs.sync_directory(inner);
  CHECK(missing.code == make_error_code(errc::storage_failed));
  REQUIRE_FALSE(fs.make_directory(inner));
  CHECK(fs.sync_directory(inner).what == missing.what);
  REQUIRE_FALSE(fs.make_directory(dir / "other"));
  CHECK_FALSE(fs.sync_directory(dir / "other"));
  REQUIRE(fs.lock(inner + "/LOCK"));
  CHECK_FALSE(fs.sync_directory(inner));
}

TEST_CASE("a second process is refused while the first has the directory, and let in after it died") {
  const scratch dir;
  posix_file_system fs;
  recovered_log found;
  // Exit status of a process that opens the log: 0 opened, 1 in use, 2 anything else.
  const auto other_process = [&dir] {
    const pid_t child = ::fork();
    if (child == 0) {
      posix_file_system own;
      recovered_log ignored;
      const result<disk_log> opened = disk_log::open(own, dir / "log", small_options(), ignored);
      if (opened) ::_exit(0);
      ::_exit(opened.error().code == make_error_code(errc::directory_in_use) ? 1 : 2);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  {
    const result<disk_log> first = disk_log::open(fs, dir / "log", small_options(), found);
    REQUIRE(first);
    CHECK(other_process() == 1);
    const result<disk_log> second = disk_log::open(fs, dir / "log", small_options(), found);
    REQUIRE_FALSE(second);
    CHECK(second.error().what.find("another process") != std::string::npos);
  }
  CHECK(other_process() == 0);
  CHECK(disk_log::open(fs, dir / "log", small_options(), found));
  CHECK(found.boot == 3);
}

TEST_CASE("a log on a real disk is found again after each reopening") {
  const scratch dir;
  posix_file_system fs;
  log_model model;
  std::mt19937_64 random(11);
  for (std::uint64_t boot = 1; boot <= 6; ++boot) {
    recovered_log found;
    result<disk_log> log = disk_log::open(fs, dir / "log", small_options(), found);
    REQUIRE_MESSAGE(log, (log ? "" : log.error().what));
    CHECK(found.boot == boot);
    CHECK(content_of(found) == model.now());
    for (int i = 0; i < 20; ++i) {
      REQUIRE_FALSE(log->append(model.random_batch(random, 20000)));
      REQUIRE_FALSE(log->sync());
    }
  }
}
