#include "corpus.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <system_error>

namespace demo {

namespace {

namespace fs = std::filesystem;

class file_descriptor {
 public:
  explicit file_descriptor(int fd) : fd_(fd) {}
  file_descriptor(const file_descriptor&) = delete;
  file_descriptor& operator=(const file_descriptor&) = delete;
  ~file_descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

bool is_public_directory(const fs::path& directory) {
  struct stat about {};
  return ::lstat(directory.c_str(), &about) == 0 && S_ISDIR(about.st_mode) && (about.st_mode & S_IROTH) &&
         (about.st_mode & S_IXOTH);
}

bool is_public_down_to(const fs::path& directory) {
  for (fs::path p = directory;; p = p.parent_path()) {
    if (!is_public_directory(p)) return false;
    if (p == p.parent_path()) return true;
  }
}

std::optional<std::string> read_all(int fd, std::size_t limit) {
  std::string content;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t n = ::read(fd, buffer, sizeof(buffer));
    if (n < 0) return std::nullopt;
    if (n == 0) return content;
    content.append(buffer, static_cast<std::size_t>(n));
    if (content.size() > limit) return content;
  }
}

void take(const fs::path& path, std::size_t max_value_bytes, std::size_t max_key_bytes, scan_result& result) {
  // What was opened is asked for its mode, so that nothing can be exchanged in between.
  const file_descriptor file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat about {};
  if (file.get() < 0 || ::fstat(file.get(), &about) != 0 || !S_ISREG(about.st_mode)) return;
  if (!(about.st_mode & S_IROTH)) {
    ++result.not_public;
    return;
  }
  if (path.native().size() > max_key_bytes) {
    ++result.path_too_long;
    return;
  }
  auto content = read_all(file.get(), max_value_bytes);
  if (!content) return;
  if (content->size() > max_value_bytes) {
    ++result.too_large;
  } else if (content->find('\0') != std::string::npos) {
    ++result.not_text;
  } else {
    result.bytes += content->size();
    result.files.push_back({path.native(), std::move(*content)});
  }
}

void put_size(std::ofstream& out, std::uint64_t size) {
  out.write(reinterpret_cast<const char*>(&size), sizeof(size));
}

std::optional<std::string> get_string(std::ifstream& in) {
  std::uint64_t size = 0;
  if (!in.read(reinterpret_cast<char*>(&size), sizeof(size))) return std::nullopt;
  std::string text(size, '\0');
  if (!in.read(text.data(), static_cast<std::streamsize>(size)))
    throw std::runtime_error("the corpus is cut off");
  return text;
}

}  // namespace

scan_result scan(const std::string& root, std::size_t max_value_bytes, std::size_t max_key_bytes) {
  scan_result result;
  const fs::path top = fs::canonical(root);
  if (!is_public_down_to(top)) throw std::runtime_error(root + " is not readable by everybody");
  std::error_code error;
  fs::recursive_directory_iterator it(top, fs::directory_options::skip_permission_denied, error), end;
  for (; !error && it != end; it.increment(error)) {
    const fs::file_status status = it->symlink_status(error);
    if (error) break;
    if (fs::is_directory(status)) {
      if (!is_public_directory(it->path())) it.disable_recursion_pending();
    } else if (fs::is_regular_file(status)) {
      take(it->path(), max_value_bytes, max_key_bytes, result);
    }
  }
  if (error) throw std::runtime_error("reading " + root + ": " + error.message());
  std::sort(result.files.begin(), result.files.end(),
            [](const pair& a, const pair& b) { return a.key < b.key; });
  return result;
}

void save(const std::vector<pair>& files, const std::string& path) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  for (const pair& p : files) {
    for (const std::string* text : {&p.key, &p.value}) {
      put_size(out, text->size());
      out.write(text->data(), static_cast<std::streamsize>(text->size()));
    }
  }
  if (!out.flush()) throw std::runtime_error("can't write " + path);
}

std::vector<pair> load_corpus(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("can't read " + path);
  std::vector<pair> files;
  while (auto key = get_string(in)) {
    auto value = get_string(in);
    if (!value) throw std::runtime_error(path + " is cut off");
    files.push_back({std::move(*key), std::move(*value)});
  }
  return files;
}

}  // namespace demo
