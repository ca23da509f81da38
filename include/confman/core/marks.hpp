// Marks: named places in the core that a simulation must have come through. One that is never reached says
// that some kind of trouble isn't simulated any more.
#pragma once

#include <cstddef>
#include <cstdint>

// One line here, and CONFMAN_MARK(name) or CONFMAN_MARK_IF(condition, name) at the place: M(name, within,
// what), where a run of that many seeds has to come by. docs/adr/0010 says how they are built. Only in
// core/impl/*.ipp: those bodies are compiled once, in src/core.cpp, so that marks in one program's core and
// none in another's are no two definitions of the same.
//
// clang-format off
#define CONFMAN_MARK_TABLE(M)                                                                                \
  /* elections */                                                                                            \
  M(pre_vote_refused_for_leader, 1000, "a pre-vote is refused only because a leader is heard")               \
  M(vote_ignored_for_leader, 1000, "a candidate of a later term isn't heard, since a leader is")             \
  M(vote_refused_behind, 1000, "a vote is refused for the candidate's log alone")                            \
  M(vote_for_another_directory, 5000, "a vote arrives that a directory before this one was given")           \
  M(vote_refused_given, 1000, "a vote is refused since another has it")                                      \
  M(pre_vote_lost, 1000, "a majority refuses a pre-vote")                                                    \
  M(election_lost, 1000, "a majority refuses its vote")                                                      \
  M(leader_deposed, 1000, "a leader hears of a later term")                                                  \
  M(check_quorum_lost, 1000, "a leader that no majority answers steps down")                                 \
  M(stale_leader_told, 1000, "a leader of an earlier term is told so")                                       \
  M(elected_while_removed, 20000, "who is no voter by its own log's end stands, and wins")                   \
  M(missed_leader, 1000, "an election timeout passes and this node doesn't stand")                           \
  M(recovered_term_raised, 50000, "a crash kept entries of a term and lost the term")                        \
  /* replication */                                                                                          \
  M(append_overtaken, 1000, "an append of what is committed already is answered by the commit index")        \
  M(append_skips_compacted, 1000, "an append begins before what is in memory")                               \
  M(append_agrees_before_more, 1000, "an append agrees, and more follows it in the log")                     \
  M(commit_held_back, 1000, "an append's commit index is beyond what it confirms")                           \
  M(conflict_truncated, 1000, "a conflicting suffix is removed")                                             \
  M(hint_by_term, 5000, "a rejection's hint goes back over a term")                                          \
  M(hint_met_earlier, 2000, "the leader's log agrees only before the hint")                                  \
  M(rejection_late, 1000, "a rejection says less than is known")                                             \
  M(loss_suspected, 1000, "no news since the last heartbeat: the follower is asked")                         \
  M(loss_found, 1000, "a pipelined append is rejected, and it is probed again")                              \
  M(window_full, 1000, "as many appends are on their way as may be")                                         \
  M(commit_waits_for_term, 1000, "a majority has an entry of an earlier term, which doesn't commit it")      \
  M(append_from_disk, 1000, "entries for a follower are read from the disk")                                 \
  M(fetch_void, 2000, "what was read from the disk isn't the log any more, or can't be read")                \
  M(promise_void, 1000, "a promise becomes durable after its term has passed")                               \
  /* membership */                                                                                           \
  M(change_of_one, 1000, "one voter changes, without a joint configuration")                                 \
  M(joint_entered, 1000, "several change: both majorities decide")                                           \
  M(joint_left, 1000, "the leader leaves a joint configuration")                                             \
  M(joint_left_by_another, 2000, "a later leader leaves it")                                                 \
  M(change_before_own_commit, 1000, "a change is refused: nothing of this term is committed")                \
  M(change_in_flight, 1000, "a change is refused: another one is under way")                                 \
  M(learner_promoted, 1000, "a learner becomes a voter")                                                     \
  M(learner_behind, 1000, "a learner is too far behind to be promoted")                                      \
  M(configuration_truncated, 2000, "a configuration is removed from the log")                                \
  M(directory_bound, 2000, "an id is bound to the directory that acknowledged entries")                      \
  M(directory_refused, 1000, "a directory that an id isn't bound to is refused")                             \
  M(leader_removed, 1000, "a leader has committed its removal")                                              \
  /* leadership */                                                                                           \
  M(transfer_begun, 1000, "leadership is to be handed over")                                                 \
  M(transfer_waits, 1000, "its target still lacks entries")                                                  \
  M(transfer_aborted, 1000, "an election timeout was not enough for it")                                     \
  M(transfer_by_priority, 2000, "a voter of a higher priority is handed leadership")                         \
  M(transfer_obeyed, 1000, "a voter stands because its leader asks for it")                                  \
  M(vote_despite_leader, 1000, "a vote is given although a leader is heard, since that one asked for it")    \
  /* snapshots */                                                                                            \
  M(snapshot_wanted, 1000, "a follower needs what was released")                                             \
  M(snapshot_old, 2000, "a snapshot arrives that says nothing new")                                          \
  M(snapshot_known, 1000, "the log has a snapshot's last entry, and keeps what follows")                     \
  M(snapshot_discards, 20000, "a snapshot replaces a log that goes as far and doesn't agree")                \
  M(snapshot_replaces, 1000, "a snapshot is ahead of the log")                                               \
  M(snapshot_recovered, 2000, "a crash came between a snapshot and the log's reset")                         \
  M(snapshot_silent, 1000, "a follower that is sent a snapshot is asked again where it stands")              \
  M(cache_trimmed, 1000, "entries leave memory that the log keeps on disk")                                  \
  /* reads */                                                                                                \
  M(read_waits_for_term, 1000, "a leader's reads wait for its term's first commit")                          \
  M(read_asked_again, 1000, "a follower asks again for a read index")                                        \
  M(read_answer_late, 1000, "an answer to a question that nobody asks any more")                             \
  M(reads_released, 1000, "reads are asked anew, since the leader changed")
// clang-format on

namespace confman {

#define CONFMAN_MARK_NAME(name, within, what) name,
enum class mark : std::size_t { CONFMAN_MARK_TABLE(CONFMAN_MARK_NAME) count_ };
#undef CONFMAN_MARK_NAME

inline constexpr std::size_t mark_count = static_cast<std::size_t>(mark::count_);

}  // namespace confman

// Only in programs whose own src/core.cpp is compiled with it.
#if defined(CONFMAN_MARKS)

namespace confman {

// How often this process has come by. Thread safety: none, as a simulation needs none.
inline std::uint64_t mark_hits[mark_count] = {};

}  // namespace confman

#define CONFMAN_MARK(name) (void)++::confman::mark_hits[static_cast<std::size_t>(::confman::mark::name)]
#define CONFMAN_MARK_IF(condition, name) ((condition) ? CONFMAN_MARK(name) : (void)0)

#else

#define CONFMAN_MARK(name) ((void)0)
#define CONFMAN_MARK_IF(condition, name) ((void)0)

#endif
