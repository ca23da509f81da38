// What a world decides against its cluster, one thing at a time: a value that can be kept, written down, left
// out and carried out again.
#pragma once

#include <array>
#include <cstdint>

#include "confman/core/ids.hpp"
#include "confman/sim/disk.hpp"
#include "confman/sim/timeline.hpp"

namespace confman::sim {

enum class decision_kind : std::uint8_t {
  // faults
  crash,           // a node loses power now
  effect_crash,    // ... in the middle of an effect that is still to come, see effect_fuse
  recovery_crash,  // a node that is down loses power again while it recovers
  power_loss,      // all nodes at once
  stop,            // a process ends in an orderly way
  pause,           // a process stands still, and its messages wait
  clock_jump,      // a node's clock jumps ahead
  stall,           // a disk takes very long
  disk_error,      // a call to a disk fails
  rot,             // the disk of a node that is down turns a bit of what it holds, or has misplaced a sector
  rot_tail,        // ... turns a bit of the last that it was given
  wipe,            // the disk of a node that is down is replaced by an empty one
  partition,       // links are cut, in place of those that were cut before
  bad_disk,        // the next calls of one kind to a disk fail
  full_disk,       // a disk has no room for a while
  frozen_clock,    // a node's clock stands still
  latent_rot,      // the disk of a node that runs is damaged as by rot; a later read finds it, or a restart
  // the administrator
  change,    // members are added, removed, promoted, demoted or get another priority
  transfer,  // leadership is handed over
  snapshot,  // one is asked for
  invite,    // a node that isn't in use starts and asks some members to let it join
  retire,    // who was removed is taken down, and its id becomes free
  // the end
  quorum,  // which nodes are healed when trouble ends; all of them without this decision
};
inline constexpr unsigned decision_kinds = 23;

// A set of nodes: bit i stands for the node with id i.
using node_set = std::uint16_t;

// How links were chosen; for statistics only, the links themselves are what counts.
enum class cut_shape : std::uint8_t { halves, isolation, one_way, bridge, ring, leader, links };
inline constexpr unsigned cut_shapes = 7;

// One change of a member that the administrator asks for.
struct member_edit {
  enum class action : std::uint8_t { voter, learner, remove, priority };
  action what = action::voter;
  std::uint8_t node = 0;
  std::uint8_t priority = 1;  // action::priority: the new one
  bool bound = false;         // a new member: with the id of its data directory

  friend bool operator==(const member_edit&, const member_edit&) = default;
};

// One decision. A plain value without pointers. What a kind doesn't use keeps its default.
//
// Carrying it out depends on nothing but its content and the state of the world: what is still to be drawn
// comes from dice of its own, seeded with `seed`. A decision that doesn't apply, for example the crash of a
// node that is down, does nothing.
struct decision {
  micros at = 0;  // virtual time; before everything else that happens in this microsecond
  decision_kind kind = decision_kind::crash;
  std::uint8_t node = 0;                   // whom it strikes, or who is asked; 0: nobody in particular
  std::uint8_t target = 0;                 // transfer: to whom; 0: whoever is best
  survival survive = survival::some;       // what the loss of power that follows leaves of un-synced writes
  bool performed = false;                  // effect_crash, recovery_crash: that effect still happens
  bool learner = false;                    // invite: wants to be a learner
  std::uint8_t priority = 1;               // invite
  cut_shape shape = cut_shape::links;      // partition
  disk::call failing = disk::call::write;  // bad_disk
  // Effects, calls or ticks that pass first; bad_disk: calls that fail; full_disk: that are refused;
  // frozen_clock: ticks that are lost; change, transfer, snapshot: ticks of patience.
  std::uint64_t count = 0;
  micros length = 0;                 // how long: down (crash and the like), paused, stalled, cut
  node_set nodes = 0;                // quorum: the healed; invite: whom it asks
  node_set deaf = 0;                 // quorum: of the others, who is heard and hears nothing
  node_set mute = 0;                 // ... and who hears and isn't heard; the rest is cut off
  std::array<node_set, 16> links{};  // partition: [from] has the bits of those whom its messages don't reach
  std::array<member_edit, 3> edits{};  // change
  std::uint8_t edit_count = 0;
  std::uint64_t seed = 0;

  friend bool operator==(const decision&, const decision&) = default;
};

}  // namespace confman::sim
