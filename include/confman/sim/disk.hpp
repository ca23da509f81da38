// A disk that forgets what was not synced: the storage layer's `file_system`, in memory, with faults.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "confman/sim/dice.hpp"
#include "confman/sim/effect_fuse.hpp"
#include "confman/storage/file_system.hpp"

namespace confman::sim {

// What the end of a process, or a loss of power, leaves of the writes that were not synced.
enum class survival : std::uint8_t {
  none,    // nothing: the disk holds what was synced
  all,     // everything
  some,    // any subset of the 512-byte sectors, one of them possibly torn; of names likewise
  cached,  // the process was killed and the machine goes on: all is to be seen, and no more durable than
           // before
};

// Each file and each directory has two images: the one that the running process sees, and the one that is on
// the platter. A write changes the first; sync() brings a file's content and size to the second,
// sync_directory() the names in a directory. power_off() draws what remains. The second image is kept as a
// difference to the first, so that a write or sync costs what it touches and not the size of the file.
//
// Crashes inside of calls: each call burns the fuse once (see effect_fuse); a blown fuse fails this call and
// every later one with errc::storage_failed until power_off().
//
// Files must not outlive the disk. Single-threaded. Deterministic.
class disk {
 public:
  static constexpr std::size_t sector_bytes = 512;

  class file {
   public:
    file() noexcept = default;
    file(file&& other) noexcept
        : disk_(std::exchange(other.disk_, nullptr)),
          inode_(other.inode_),
          powered_(other.powered_),
          locked_(std::exchange(other.locked_, false)),
          path_(std::move(other.path_)) {}
    file& operator=(file&& other) noexcept {
      std::swap(disk_, other.disk_);
      std::swap(inode_, other.inode_);
      std::swap(powered_, other.powered_);
      std::swap(locked_, other.locked_);
      std::swap(path_, other.path_);
      return *this;
    }
    ~file() {
      if (disk_ && locked_) disk_->unlock(*this);
    }

    [[nodiscard]] const std::string& path() const noexcept { return path_; }

   private:
    friend class disk;
    disk* disk_ = nullptr;
    std::uint32_t inode_ = 0;
    std::uint32_t powered_ = 0;  // in which life of the disk it was opened
    bool locked_ = false;
    std::string path_;
  };

  // What happened to this disk since it was made.
  struct counters {
    std::uint64_t calls = 0;
    std::uint64_t syncs = 0;
    std::uint64_t losses = 0;        // power_off() that lost something
    std::uint64_t sectors_lost = 0;  // of files whose writes were not synced
    std::uint64_t sectors_torn = 0;
    std::uint64_t names_lost = 0;
    std::uint64_t errors = 0;  // calls failed on purpose, those below included
    std::uint64_t failed_reads = 0;
    std::uint64_t failed_writes = 0;
    std::uint64_t failed_syncs = 0;       // of files
    std::uint64_t failed_name_syncs = 0;  // of directories
    std::uint64_t lasting = 0;            // ... by fail_calls()
    std::uint64_t no_space = 0;           // ... by fill_up()
    std::uint64_t misdirected = 0;
    std::uint64_t damages = 0;        // bytes that were changed by rot
    std::uint64_t damaged_reads = 0;  // that gave bytes which were damaged
    std::uint64_t lost_writes = 0;    // sectors that were left as they were before their last write
  };

  // `fuse` must outlive the disk.
  disk(std::uint64_t seed, effect_fuse& fuse) : dice_(seed), fuse_(&fuse) { inodes_.resize(1); }
  disk(const disk&) = delete;
  disk& operator=(const disk&) = delete;

  // --- the file_system concept; see storage/file_system.hpp ---
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

  // --- faults ---

  // Power is lost and comes back, or the process is killed (survival::cached): draws what survives, closes
  // every file (calls on them fail from now on), frees every lock. Resets neither the fuse nor the counters.
  void power_off(survival mode) { power_off(mode, dice_.next()); }
  // What remains is drawn from this seed alone.
  CONFMAN_DECL void power_off(survival mode, std::uint64_t seed);

  // The call after `calls` more fails with errc::storage_failed, as a bad disk does, and the disk goes on. A
  // failed sync loses what it should have made durable: a later, successful sync doesn't bring it back, as on
  // Linux. What is lost of a file is still read from it, even by the next process; names that are lost are
  // gone when the process ends, as on a file system that has to be mounted anew then.
  void fail_after(std::uint64_t calls) noexcept {
    error_left_ = calls;
    error_armed_ = true;
  }
  // The next `calls` calls of this kind fail in the same way, also after a loss of power.
  enum class call : std::uint8_t { other, read, write, sync };
  void fail_calls(call kind, std::uint64_t calls) noexcept {
    bad_kind_ = kind;
    bad_left_ = calls;
  }
  // The disk is full: writes that make a file longer, and new files, are refused, until `refusals` calls were
  // refused and somebody has made room. What is in a file already can be overwritten.
  void fill_up(std::uint64_t refusals) noexcept { full_left_ = refusals; }
  void stop_failing() noexcept {
    error_armed_ = false;
    bad_left_ = full_left_ = 0;
  }

  // Damages what was synced, in a place that later, also synced writes to the same file followed: whoever
  // wrote those can know that this place was good. A bit turns, or a sector gets what was meant for another
  // one, which may have kept what it held before. False if there is no such place, if the disk is damaged
  // already, or was not without power. Call it before it is used again.
  bool rot() { return rot(dice_.next()); }
  CONFMAN_DECL bool rot(std::uint64_t seed);
  // Turns a bit in every sector, as far as rot() may strike there, of one file: the last, in the order of
  // names, of those that begin with `prefix`. False as above.
  CONFMAN_DECL bool rot_throughout(std::string_view prefix, std::uint64_t seed);
  // As rot() under a running process, which finds it when it reads there; never in what it has written and
  // not synced. False if the place that was drawn is none, or if the disk is damaged already.
  CONFMAN_DECL bool rot_in_use(std::uint64_t seed);
  // Turns one bit of what the very last sync has brought to the platter, which nothing followed: nobody can
  // tell it from a write that the loss of power has torn. False as above. Precondition: survival::none in the
  // last power_off(), or nothing un-synced.
  CONFMAN_DECL bool rot_tail(std::uint64_t seed);
  // Takes that back, as far as it wasn't overwritten: the directory was restored from a copy.
  CONFMAN_DECL void restore();
  // Whoever was damaged has gone on without what was hit: there is nothing to restore any more.
  void accept_damage() noexcept { hurt_.clear(); }
  // Everything is gone for ever: another, empty disk. Precondition: power_off() was called since the last
  // use.
  CONFMAN_DECL void wipe();
  // Not if the file that was hit is gone.
  [[nodiscard]] CONFMAN_DECL bool rotten() const noexcept;

  // A disk of the same content, as a loss of power at this moment with survival::none would leave it.
  CONFMAN_DECL void copy_durable_to(disk& other) const;

  [[nodiscard]] const counters& counted() const noexcept { return counted_; }
  // Names in all directories, as the running process sees them.
  [[nodiscard]] std::size_t files() const noexcept { return names_.size(); }

 private:
  struct dirty_sector {
    std::uint32_t sector;
    bool absent;  // was beyond the durable end: reads as zeros
    bool doomed;  // a sync of it has failed: it never gets to the platter by itself
  };
  // What a sector held before a sync.
  struct old_sector {
    std::uint64_t offset = 0;
    std::vector<char> bytes;  // empty: none
  };
  struct inode {
    std::vector<char> bytes;  // the volatile image, at least `size` and `durable_size` long
    std::uint64_t size = 0;
    std::uint64_t durable_size = 0;
    std::vector<dirty_sector> dirty;         // in order of their first change since the last sync
    std::vector<char> before;                // the durable content of each of them
    std::vector<std::uint32_t> dirty_place;  // per sector: 1 + place in `dirty`, 0 if clean
    bool locked = false;
    std::uint64_t written_from = ~std::uint64_t{0};  // the lowest offset written since the last sync
    std::uint64_t written_to = 0;                    // the end of the highest one
    std::uint64_t settled = 0;                       // what lies before was synced before the last sync
    std::uint64_t tail = 0;                          // the end of what the last sync brought
    old_sector replaced;                             // one of those that the last sync brought
    old_sector replaced_before;                      // ... and the sync before it
  };
  // A byte that was damaged.
  struct hurt_byte {
    std::uint64_t offset;
    char was;
    char is;
    bool overwritten = false;  // but maybe not durably
  };
  // A change of names that a directory sync would make durable; all or nothing. Inode 0: no such name.
  struct name_change {
    std::string directory;
    std::vector<std::pair<std::string, std::uint32_t>> names;
    bool doomed = false;  // a sync of the directory has failed: it never gets to the platter
  };

  [[nodiscard]] static failure no_power(const char* operation, const std::string& path);
  [[nodiscard]] static failure refused(const char* operation, const std::string& path, const char* why);
  [[nodiscard]] bool stale(const file& f) const noexcept { return f.disk_ != this || f.powered_ != powered_; }
  template <class Effect>
  [[nodiscard]] failure effect(const char* operation, const std::string& path, Effect&& perform,
                               call kind = call::other);
  [[nodiscard]] failure take_room(const char* operation, const std::string& path, bool grows);
  [[nodiscard]] failure check(const char* operation, const file& f) const;
  void unlock(const file& f) noexcept;
  void change_names(const std::string& directory, std::vector<std::pair<std::string, std::uint32_t>> names);
  static void apply(const name_change& change, std::map<std::string, std::uint32_t>& names);
  static void reserve(inode& n, std::uint64_t bytes);
  void touch(inode& n, std::uint64_t offset, std::uint64_t bytes);
  static void clean(inode& n, bool keep_doomed);
  void close_all() noexcept;
  void lose_doomed_names();
  void settle(inode& n, survival mode, std::uint64_t keep_per_mille, dice& own);
  void turn_bit(inode& n, std::uint64_t at, dice& own);
  void misdirect(inode& n, dice& own);
  void hurt(inode& n, std::uint64_t offset, const char* bytes);
  [[nodiscard]] bool hurt_anything(const std::vector<std::uint32_t>& candidates, dice& own);
  [[nodiscard]] static bool is_clean(const inode& n, std::uint64_t offset) noexcept {
    return n.dirty_place[static_cast<std::size_t>(offset / sector_bytes)] == 0;
  }
  static void keep_old(inode& n);
  static std::string parent(const std::string& path);

  dice dice_;
  effect_fuse* fuse_;
  std::vector<inode> inodes_;  // 0 is none
  std::map<std::string, std::uint32_t> names_;
  std::map<std::string, std::uint32_t> durable_names_;
  std::vector<name_change> changes_;
  std::set<std::string> lost_names_;  // directories whose last sync has failed
  std::map<std::string, bool> directories_;
  std::uint32_t powered_ = 1;
  bool lost_power_ = false;  // in the last power_off()
  std::uint64_t error_left_ = 0;
  bool error_armed_ = false;
  call bad_kind_ = call::other;
  std::uint64_t bad_left_ = 0;
  std::uint64_t full_left_ = 0;
  std::vector<hurt_byte> hurt_;  // all in one file
  std::uint32_t hurt_inode_ = 0;
  std::uint32_t last_synced_ = 0;  // the file of the very last sync
  counters counted_;
};

static_assert(file_system<disk>);

}  // namespace confman::sim

#if !defined(CONFMAN_COMPILED)
#include "confman/sim/impl/disk.ipp"
#endif
