// The configuration tree that the demo loads: the text files below a directory that anybody may read.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace demo {

struct pair {
  std::string key;    // absolute path of the file
  std::string value;  // its content
};

struct scan_result {
  std::vector<pair> files;
  std::size_t bytes = 0;
  // Why others were left out.
  std::size_t not_public = 0;
  std::size_t not_text = 0;
  std::size_t too_large = 0;
  std::size_t path_too_long = 0;
};

// Takes regular files only, never through a symbolic link, and nothing that isn't readable by everybody: the
// file has to be o+r and every directory above it o+rx, also when root runs this.
[[nodiscard]] scan_result scan(const std::string& root, std::size_t max_value_bytes,
                               std::size_t max_key_bytes);

// A file that keeps what was scanned, so that what is checked later doesn't depend on files that change
// meanwhile. Both throw std::runtime_error.
void save(const std::vector<pair>& files, const std::string& path);
[[nodiscard]] std::vector<pair> load_corpus(const std::string& path);

}  // namespace demo
