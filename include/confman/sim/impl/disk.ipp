#pragma once

#include <algorithm>
#include <cstring>
#include <optional>

#include "confman/sim/disk.hpp"

namespace confman::sim {

CONFMAN_DECL failure disk::no_power(const char* operation, const std::string& path) {
  return {errc::storage_failed, std::string(operation) + " " + path + ": simulated loss of power"};
}

CONFMAN_DECL failure disk::refused(const char* operation, const std::string& path, const char* why) {
  return {errc::storage_failed, std::string(operation) + " " + path + ": " + why};
}

// Performs one call: power may go before or after it, or the disk may refuse it.
template <class Effect>
failure disk::effect(const char* operation, const std::string& path, Effect&& perform, call kind) {
  ++counted_.calls;
  const effect_fuse::spark spark = fuse_->burn();
  if (spark == effect_fuse::spark::before) return no_power(operation, path);
  const bool once = error_armed_ && error_left_-- == 0;
  const bool lasting = bad_left_ != 0 && kind == bad_kind_ && kind != call::other;
  if (once) error_armed_ = false;
  if (lasting) {
    --bad_left_;
    ++counted_.lasting;
  }
  const bool bad = once || lasting;
  if (bad) ++counted_.errors;
  if (bad && kind == call::read) ++counted_.failed_reads;
  if (bad && kind == call::write) ++counted_.failed_writes;
  if (failure f = perform(bad)) return f;
  if (bad) return refused(operation, path, "simulated input/output error");
  if (spark == effect_fuse::spark::after) return no_power(operation, path);
  return {};
}

CONFMAN_DECL failure disk::take_room(const char* operation, const std::string& path, bool grows) {
  if (full_left_ == 0 || !grows) return {};
  --full_left_;
  ++counted_.errors;
  ++counted_.no_space;
  return refused(operation, path, "simulated: no space left");
}

CONFMAN_DECL failure disk::check(const char* operation, const file& f) const {
  if (stale(f)) return refused(operation, f.path(), "the file was opened before a loss of power, or never");
  return {};
}

CONFMAN_DECL std::string disk::parent(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

CONFMAN_DECL failure disk::make_directory(const std::string& path) {
  return effect("make directory", path, [&](bool bad) -> failure {
    if (!bad)
      for (std::string at = path; directories_.emplace(at, true).second && at.find('/') != std::string::npos;)
        at = parent(at);
    return {};
  });
}

CONFMAN_DECL result<std::vector<std::string>> disk::list_directory(const std::string& path) {
  std::vector<std::string> found;
  const failure f = effect("list directory", path, [&](bool) -> failure {
    if (directories_.find(path) == directories_.end())
      return refused("list directory", path, "no such directory");
    const std::string prefix = path + "/";
    for (auto it = names_.lower_bound(prefix); it != names_.end(); ++it) {
      if (it->first.compare(0, prefix.size(), prefix) != 0) break;
      if (it->first.find('/', prefix.size()) == std::string::npos)
        found.push_back(it->first.substr(prefix.size()));
    }
    return {};
  });
  if (f) return f;
  // A real directory promises no order.
  for (std::size_t i = found.size(); i > 1; --i) std::swap(found[i - 1], found[dice_.below(i)]);
  return found;
}

CONFMAN_DECL void disk::apply(const name_change& change, std::map<std::string, std::uint32_t>& names) {
  for (const auto& [name, to] : change.names) {
    if (to == 0)
      names.erase(name);
    else
      names[name] = to;
  }
}

CONFMAN_DECL void disk::change_names(const std::string& directory,
                                     std::vector<std::pair<std::string, std::uint32_t>> names) {
  changes_.push_back({directory, std::move(names)});
  apply(changes_.back(), names_);
}

CONFMAN_DECL failure disk::sync_directory(const std::string& path) {
  return effect(
      "sync directory", path,
      [&](bool bad) -> failure {
        if (bad) {
          for (name_change& change : changes_) change.doomed = change.doomed || change.directory == path;
          lost_names_.insert(path);
          ++counted_.failed_name_syncs;
          return {};
        }
        if (lost_names_.count(path) != 0)
          return refused("sync directory", path, "an earlier sync has failed");
        std::vector<name_change> kept;
        for (name_change& change : changes_) {
          if (change.directory == path)
            apply(change, durable_names_);
          else
            kept.push_back(std::move(change));
        }
        changes_ = std::move(kept);
        return {};
      },
      call::sync);
}

CONFMAN_DECL result<disk::file> disk::open_file(const std::string& path, open_mode mode) {
  file opened;
  const failure f = effect("open", path, [&](bool bad) -> failure {
    const auto it = names_.find(path);
    if (it == names_.end()) {
      if (mode == open_mode::existing) return refused("open", path, "no such file");
      if (bad) return {};
      if (failure full = take_room("open", path, true)) return full;
      inodes_.emplace_back();
      change_names(parent(path), {{path, static_cast<std::uint32_t>(inodes_.size() - 1)}});
      opened.inode_ = static_cast<std::uint32_t>(inodes_.size() - 1);
    } else {
      opened.inode_ = it->second;
    }
    return {};
  });
  if (f) return f;
  opened.disk_ = this;
  opened.powered_ = powered_;
  opened.path_ = path;
  return opened;
}

CONFMAN_DECL failure disk::rename(const std::string& from, const std::string& to) {
  return effect("rename", from, [&](bool bad) -> failure {
    const auto it = names_.find(from);
    if (it == names_.end()) return refused("rename", from, "no such file");
    if (!bad) change_names(parent(to), {{from, 0}, {to, it->second}});
    return {};
  });
}

CONFMAN_DECL failure disk::remove(const std::string& path) {
  return effect("remove", path, [&](bool bad) -> failure {
    if (names_.find(path) == names_.end()) return refused("remove", path, "no such file");
    if (!bad) change_names(parent(path), {{path, 0}});
    return {};
  });
}

CONFMAN_DECL result<disk::file> disk::lock(const std::string& path) {
  result<file> opened = open_file(path, open_mode::create);
  if (!opened) return opened;
  if (inodes_[opened->inode_].locked) return failure(errc::directory_in_use, path + " is locked");
  inodes_[opened->inode_].locked = true;
  lost_names_.erase(parent(path));
  opened->locked_ = true;
  return opened;
}

CONFMAN_DECL void disk::unlock(const file& f) noexcept {
  if (!stale(f)) inodes_[f.inode_].locked = false;
}

CONFMAN_DECL result<std::uint64_t> disk::size(file& f) {
  if (failure bad = check("size of", f)) return bad;
  if (failure bad = effect("size of", f.path(), [](bool) -> failure { return {}; })) return bad;
  return inodes_[f.inode_].size;
}

CONFMAN_DECL result<std::size_t> disk::read(file& f, std::uint64_t offset, std::span<char> into) {
  if (failure bad = check("read", f)) return bad;
  std::size_t count = 0;
  const failure bad = effect(
      "read", f.path(),
      [&](bool) -> failure {
        const inode& n = inodes_[f.inode_];
        if (offset >= n.size) return {};
        count = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), n.size - offset));
        if (count != 0) std::memcpy(into.data(), n.bytes.data() + offset, count);
        if (!hurt_.empty() && f.inode_ == hurt_inode_)
          counted_.damaged_reads += std::any_of(hurt_.begin(), hurt_.end(), [&](const hurt_byte& h) {
            return !h.overwritten && h.offset >= offset && h.offset < offset + count;
          });
        return {};
      },
      call::read);
  if (bad) return bad;
  return count;
}

CONFMAN_DECL void disk::reserve(inode& n, std::uint64_t bytes) {
  const std::size_t sectors = static_cast<std::size_t>((bytes + sector_bytes - 1) / sector_bytes);
  if (n.dirty_place.size() >= sectors) return;
  n.dirty_place.resize(sectors, 0);
  n.bytes.resize(sectors * sector_bytes, 0);
}

// Called before a change: keeps what the platter holds of these sectors.
CONFMAN_DECL void disk::touch(inode& n, std::uint64_t offset, std::uint64_t bytes) {
  if (bytes == 0) return;
  reserve(n, offset + bytes);
  n.written_from = std::min(n.written_from, offset);
  n.written_to = std::max(n.written_to, offset + bytes);
  if (!hurt_.empty() && &n == &inodes_[hurt_inode_])
    for (hurt_byte& h : hurt_)
      h.overwritten = h.overwritten || (h.offset >= offset && h.offset < offset + bytes);
  for (std::uint64_t s = offset / sector_bytes; s <= (offset + bytes - 1) / sector_bytes; ++s) {
    char* const current = n.bytes.data() + s * sector_bytes;
    std::uint32_t& place = n.dirty_place[static_cast<std::size_t>(s)];
    if (place != 0) {
      dirty_sector& known = n.dirty[place - 1];
      known.doomed = false;
      if (!dice_.chance(250)) continue;
      // The kernel may have written the earlier change back by itself.
      known.absent = false;
      std::memcpy(n.before.data() + (place - 1) * sector_bytes, current, sector_bytes);
      continue;
    }
    const bool absent = s * sector_bytes >= n.durable_size;
    n.dirty.push_back({static_cast<std::uint32_t>(s), absent, false});
    place = static_cast<std::uint32_t>(n.dirty.size());
    const std::size_t end = n.before.size();
    n.before.resize(end + sector_bytes);
    if (!absent) std::memcpy(n.before.data() + end, current, sector_bytes);
  }
}

CONFMAN_DECL failure disk::write(file& f, std::uint64_t offset, std::span<const std::string_view> pieces) {
  if (failure bad = check("write", f)) return bad;
  return effect(
      "write", f.path(),
      [&](bool) -> failure {
        inode& n = inodes_[f.inode_];
        std::uint64_t bytes = 0;
        for (const std::string_view piece : pieces) bytes += piece.size();
        if (failure full = take_room("write", f.path(), offset + bytes > n.size)) return full;
        touch(n, offset, bytes);
        for (const std::string_view piece : pieces) {
          if (piece.empty()) continue;
          std::memcpy(n.bytes.data() + offset, piece.data(), piece.size());
          offset += piece.size();
        }
        n.size = std::max(n.size, offset);
        return {};
      },
      call::write);
}

CONFMAN_DECL failure disk::zero_fill(file& f, std::uint64_t offset, std::uint64_t bytes) {
  if (failure bad = check("zero", f)) return bad;
  return effect(
      "zero", f.path(),
      [&](bool) -> failure {
        inode& n = inodes_[f.inode_];
        if (failure full = take_room("zero", f.path(), offset + bytes > n.size)) return full;
        touch(n, offset, bytes);
        if (bytes != 0) std::memset(n.bytes.data() + offset, 0, static_cast<std::size_t>(bytes));
        n.size = std::max(n.size, offset + bytes);
        return {};
      },
      call::write);
}

CONFMAN_DECL failure disk::resize(file& f, std::uint64_t bytes) {
  if (failure bad = check("resize", f)) return bad;
  return effect(
      "resize", f.path(),
      [&](bool) -> failure {
        inode& n = inodes_[f.inode_];
        if (bytes < n.size) {
          touch(n, bytes, n.size - bytes);
          std::memset(n.bytes.data() + bytes, 0, static_cast<std::size_t>(n.size - bytes));
        }
        reserve(n, bytes);
        n.size = bytes;
        return {};
      },
      call::write);
}

CONFMAN_DECL void disk::clean(inode& n, bool keep_doomed) {
  std::vector<dirty_sector> kept;
  std::vector<char> kept_before;
  for (std::size_t i = 0; i < n.dirty.size(); ++i) {
    n.dirty_place[n.dirty[i].sector] = 0;
    if (!keep_doomed || !n.dirty[i].doomed) continue;
    kept.push_back(n.dirty[i]);
    const char* const old = n.before.data() + i * sector_bytes;
    kept_before.insert(kept_before.end(), old, old + sector_bytes);
    n.dirty_place[n.dirty[i].sector] = static_cast<std::uint32_t>(kept.size());
  }
  n.dirty.clear();
  n.before.clear();
  if (kept.empty()) return;
  n.dirty = std::move(kept);
  n.before = std::move(kept_before);
}

CONFMAN_DECL failure disk::sync(file& f) {
  if (failure bad = check("sync", f)) return bad;
  return effect(
      "sync", f.path(),
      [&](bool bad) -> failure {
        inode& n = inodes_[f.inode_];
        ++counted_.syncs;
        if (bad) {
          ++counted_.failed_syncs;
          for (dirty_sector& d : n.dirty) d.doomed = true;
          return {};
        }
        keep_old(n);
        clean(n, true);
        n.durable_size = n.size;
        if (n.written_from != ~std::uint64_t{0}) n.settled = std::exchange(n.written_from, ~std::uint64_t{0});
        n.tail = std::exchange(n.written_to, 0);
        last_synced_ = f.inode_;
        if (f.inode_ == hurt_inode_)
          std::erase_if(hurt_, [&n](const hurt_byte& h) { return h.overwritten && is_clean(n, h.offset); });
        return {};
      },
      call::sync);
}

CONFMAN_DECL void disk::settle(inode& n, survival mode, std::uint64_t keep_per_mille, dice& own) {
  const auto survives = [&] {
    return mode == survival::all || (mode == survival::some && own.chance(keep_per_mille));
  };
  const std::uint64_t size = n.size == n.durable_size || survives() ? n.size : n.durable_size;
  // At most one sector was under the head when the power went.
  const std::size_t torn = mode == survival::some ? own.below(2 * n.dirty.size() + 1) : n.dirty.size();
  for (std::size_t i = 0; i < n.dirty.size(); ++i) {
    if (survives() && i != torn) continue;
    char* const now = n.bytes.data() + n.dirty[i].sector * sector_bytes;
    const char* const old = n.before.data() + i * sector_bytes;
    const std::size_t cut = i == torn ? own.below(sector_bytes) : 0;
    ++(i == torn ? counted_.sectors_torn : counted_.sectors_lost);
    if (n.dirty[i].absent)
      std::memset(now + cut, 0, sector_bytes - cut);
    else
      std::memcpy(now + cut, old + cut, sector_bytes - cut);
  }
  clean(n, false);
  if (size < n.bytes.size()) std::memset(n.bytes.data() + size, 0, n.bytes.size() - size);
  n.size = n.durable_size = size;
  n.settled = std::min(n.settled, size);
  n.written_from = ~std::uint64_t{0};
  n.written_to = 0;
}

CONFMAN_DECL void disk::close_all() noexcept {
  for (inode& n : inodes_) n.locked = false;
  lost_names_.clear();
  ++powered_;
  error_armed_ = false;
}

CONFMAN_DECL void disk::lose_doomed_names() {
  if (std::erase_if(changes_, [](const name_change& change) { return change.doomed; }) == 0) return;
  names_ = durable_names_;
  for (const name_change& change : changes_) apply(change, names_);
}

CONFMAN_DECL void disk::power_off(survival mode, std::uint64_t seed) {
  close_all();
  lost_power_ = mode != survival::cached;
  if (!lost_power_) return lose_doomed_names();
  dice own(seed);
  const std::uint64_t lost = counted_.sectors_lost + counted_.sectors_torn + counted_.names_lost;
  const std::uint64_t keep = own.pick<std::uint64_t>(100, 500, 900);
  for (inode& n : inodes_)
    if (!n.bytes.empty() || n.size != n.durable_size) settle(n, mode, keep, own);
  for (const name_change& change : changes_) {
    if (!change.doomed && (mode == survival::all || (mode == survival::some && own.chance(keep))))
      apply(change, durable_names_);
    else
      ++counted_.names_lost;
  }
  changes_.clear();
  names_ = durable_names_;
  // What was overwritten and not synced may have survived.
  const std::vector<char>& hurt_bytes = inodes_[hurt_inode_].bytes;
  std::erase_if(hurt_, [&](const hurt_byte& h) {
    return h.overwritten && (h.offset >= hurt_bytes.size() || hurt_bytes[h.offset] != h.is);
  });
  for (hurt_byte& h : hurt_) h.overwritten = false;
  if (counted_.sectors_lost + counted_.sectors_torn + counted_.names_lost != lost) ++counted_.losses;
  // What no name leads to any more is free.
  std::vector<bool> named(inodes_.size(), false);
  for (const auto& [name, at] : names_) named[at] = true;
  for (std::size_t i = 1; i < inodes_.size(); ++i)
    if (!named[i]) inodes_[i] = inode{};
}

// One of the sectors that a sync is about to bring, as the platter has it until then.
CONFMAN_DECL void disk::keep_old(inode& n) {
  if (n.dirty.empty()) return;
  std::swap(n.replaced, n.replaced_before);
  n.replaced.bytes.clear();
  const std::size_t i = n.written_to % n.dirty.size();
  if (n.dirty[i].doomed) return;
  n.replaced.offset = std::uint64_t{n.dirty[i].sector} * sector_bytes;
  n.replaced.bytes.assign(sector_bytes, 0);
  if (!n.dirty[i].absent)
    std::memcpy(n.replaced.bytes.data(), n.before.data() + i * sector_bytes, sector_bytes);
}

CONFMAN_DECL bool disk::rotten() const noexcept {
  if (hurt_.empty()) return false;
  const auto is_hurt = [this](const auto& name) { return name.second == hurt_inode_; };
  return std::any_of(names_.begin(), names_.end(), is_hurt) ||
         std::any_of(durable_names_.begin(), durable_names_.end(), is_hurt);
}

CONFMAN_DECL bool disk::rot(std::uint64_t seed) {
  dice own(seed);
  std::vector<std::uint32_t> candidates;
  for (const auto& [name, at] : names_)
    if (inodes_[at].settled != 0) candidates.push_back(at);
  return lost_power_ && hurt_anything(candidates, own);
}

CONFMAN_DECL bool disk::rot_throughout(std::string_view prefix, std::uint64_t seed) {
  if (!lost_power_ || rotten()) return false;
  dice own(seed);
  std::optional<std::uint32_t> last;
  for (const auto& [name, at] : names_)
    if (name.starts_with(prefix) && inodes_[at].settled != 0) last = at;
  if (!last) return false;
  hurt_.clear();
  hurt_inode_ = *last;
  inode& n = inodes_[*last];
  for (std::uint64_t from = 0; from < n.settled; from += sector_bytes) {
    const std::uint64_t at = from + own.below(std::min<std::uint64_t>(sector_bytes, n.settled - from));
    if (at < n.size && is_clean(n, at)) turn_bit(n, at, own);
  }
  return rotten();
}

CONFMAN_DECL bool disk::rot_in_use(std::uint64_t seed) {
  dice own(seed);
  std::vector<std::uint32_t> candidates;
  for (const auto& [name, at] : names_) {
    const auto durable = durable_names_.find(name);
    if (inodes_[at].settled != 0 && durable != durable_names_.end() && durable->second == at)
      candidates.push_back(at);
  }
  return hurt_anything(candidates, own);
}

CONFMAN_DECL bool disk::hurt_anything(const std::vector<std::uint32_t>& candidates, dice& own) {
  if (candidates.empty() || rotten()) return false;
  hurt_.clear();
  hurt_inode_ = candidates[own.below(candidates.size())];
  inode& n = inodes_[hurt_inode_];
  if (own.chance(300)) {
    misdirect(n, own);
    counted_.misdirected += rotten() ? 1 : 0;
    return rotten();
  }
  if (const std::uint64_t at = own.below(n.settled); at < n.size && is_clean(n, at)) turn_bit(n, at, own);
  return rotten();
}

CONFMAN_DECL void disk::turn_bit(inode& n, std::uint64_t at, dice& own) {
  ++counted_.damages;
  const char bit = static_cast<char>(1 << own.below(8));
  hurt_.push_back({at, n.bytes[at], static_cast<char>(n.bytes[at] ^ bit), false});
  n.bytes[at] = hurt_.back().is;
}

// A sector, as far as it is settled, gets these bytes.
CONFMAN_DECL void disk::hurt(inode& n, std::uint64_t offset, const char* bytes) {
  if (offset >= n.settled || !is_clean(n, offset)) return;
  for (std::uint64_t i = offset; i < std::min(offset + sector_bytes, n.settled); ++i) {
    if (n.bytes[i] == bytes[i - offset]) continue;
    ++counted_.damages;
    hurt_.push_back({i, n.bytes[i], bytes[i - offset], false});
    n.bytes[i] = bytes[i - offset];
  }
}

// A sector gets the bytes of another one, of the same file or of any other. Where it is known what that other
// one held before, its write may be the one that went astray: it holds that again.
CONFMAN_DECL void disk::misdirect(inode& n, dice& own) {
  std::vector<const inode*> sources;
  for (const auto& [name, at] : names_)
    if (inodes_[at].durable_size != 0) sources.push_back(&inodes_[at]);
  const inode& other = own.coin() ? n : *sources[own.below(sources.size())];
  const std::uint64_t to = own.below(n.settled) / sector_bytes * sector_bytes;
  std::uint64_t from = own.below(other.durable_size) / sector_bytes * sector_bytes;
  const old_sector& old = n.replaced_before;
  const bool astray =
      &other == &n && !old.bytes.empty() && old.offset + sector_bytes <= n.settled && is_clean(n, old.offset);
  if (astray) from = old.offset;
  const std::vector<char> bytes(other.bytes.begin() + static_cast<std::ptrdiff_t>(from),
                                other.bytes.begin() + static_cast<std::ptrdiff_t>(from + sector_bytes));
  if (!astray || to != from) hurt(n, to, bytes.data());
  if (!astray) return;
  const std::size_t before = hurt_.size();
  hurt(n, from, old.bytes.data());
  if (hurt_.size() != before) ++counted_.lost_writes;
}

CONFMAN_DECL bool disk::rot_tail(std::uint64_t seed) {
  dice own(seed);
  const bool named = std::any_of(names_.begin(), names_.end(),
                                 [this](const auto& name) { return name.second == last_synced_; });
  if (last_synced_ == 0 || !named || rotten() || !lost_power_) return false;
  inode& n = inodes_[last_synced_];
  if (n.tail <= n.settled || n.tail > n.durable_size) return false;
  hurt_.clear();
  hurt_inode_ = last_synced_;
  turn_bit(n, n.settled + own.below(n.tail - n.settled), own);
  return true;
}

CONFMAN_DECL void disk::restore() {
  inode& n = inodes_[hurt_inode_];
  for (const hurt_byte& h : hurt_) {
    if (h.offset >= n.bytes.size()) continue;  // a file that is gone needs no repair
    if (!h.overwritten) n.bytes[h.offset] = h.was;
    // What the platter holds below a write that wasn't synced.
    const std::uint32_t place = n.dirty_place[static_cast<std::size_t>(h.offset / sector_bytes)];
    if (place == 0) continue;
    char& below = n.before[(place - 1) * sector_bytes + static_cast<std::size_t>(h.offset % sector_bytes)];
    if (below == h.is) below = h.was;
  }
  hurt_.clear();
}

CONFMAN_DECL void disk::copy_durable_to(disk& other) const {
  // Files without a durable name, of which there are many after a while, aren't worth a copy.
  other.inodes_.assign(inodes_.size(), inode());
  for (const auto& [name, at] : durable_names_) other.inodes_[at] = inodes_[at];
  other.names_ = other.durable_names_ = durable_names_;
  other.changes_.clear();
  other.directories_ = directories_;
  other.powered_ = powered_;
  other.power_off(survival::none, 0);
}

CONFMAN_DECL void disk::wipe() {
  inodes_.assign(1, inode());
  names_.clear();
  durable_names_.clear();
  changes_.clear();
  directories_.clear();
  stop_failing();
  hurt_.clear();
  hurt_inode_ = last_synced_ = 0;
}

}  // namespace confman::sim
