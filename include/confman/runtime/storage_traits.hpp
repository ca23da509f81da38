// How the node opens each kind of storage, and whether calling it blocks.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "confman/storage/file_system.hpp"
#include "confman/storage/log.hpp"
#include "confman/storage/memory_file_system.hpp"
#include "confman/storage/memory_storage.hpp"

namespace confman {

// Durable: a segmented write-ahead log in a directory.
using file_storage = log<posix_file_system>;

// Specialise this for a storage of your own:
//   static constexpr bool blocks;   true: append and sync may wait for a device, and get a thread of their
//   own static result<std::unique_ptr<Storage>> open(const std::string& directory, const log_options&,
//   recovered_log&);
//   using file_system = ...;        where snapshots are kept
//   static std::shared_ptr<file_system> make_file_system();
template <class Storage>
struct storage_traits;

template <>
struct storage_traits<file_storage> {
  static constexpr bool blocks = true;
  using file_system = posix_file_system;
  static std::shared_ptr<file_system> make_file_system() { return std::make_shared<file_system>(); }

  static result<std::unique_ptr<file_storage>> open(const std::string& directory, const log_options& options,
                                                    recovered_log& recovered) {
    static posix_file_system system;  // stateless
    result<file_storage> opened = file_storage::open(system, directory, options, recovered);
    if (!opened) return opened.error();
    return std::make_unique<file_storage>(*std::move(opened));
  }
};

// Not durable: a member that restarts has forgotten everything and is refused by the others under its old id.
template <>
struct storage_traits<memory_storage> {
  static constexpr bool blocks = false;
  using file_system = memory_file_system;
  static std::shared_ptr<file_system> make_file_system() { return std::make_shared<file_system>(); }

  static result<std::unique_ptr<memory_storage>> open(const std::string&, const log_options& options,
                                                      recovered_log& recovered) {
    recovered = {};
    recovered.boot = 1;
    recovered.incarnation = options.fresh_incarnation;
    recovered.cluster = options.cluster;
    return std::make_unique<memory_storage>();
  }
};

}  // namespace confman
