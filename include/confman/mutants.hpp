// Mutants: each breaks one rule on purpose, and the simulator has to notice. They show that its checks can
// fail.
#pragma once

#include "confman/config.hpp"

// The CMake option CONFMAN_MUTANTS defines CONFMAN_MUTANTS for the one program that runs them. Everywhere
// else CONFMAN_MUTANT(name) is the constant false, and nothing of a mutant is compiled.
//
// One line of code, at the rule that it breaks, and one line here make another mutant. In the order of the
// layers: M(name, what it does wrong).
//
// clang-format off
#define CONFMAN_MUTANT_TABLE(M)                                                                              \
  /* elections */                                                                                            \
  M(quorum_half, "half of the voters decide")                                                                \
  M(vote_before_stored, "a vote is sent before it is durable")                                               \
  M(candidate_before_stored, "a candidate asks for votes before its own is durable")                         \
  M(vote_not_stored, "a vote alone is not worth a write")                                                    \
  M(vote_strictly_newer, "only a strictly newer log gets a vote")                                            \
  M(vote_any_log, "any log gets a vote")                                                                     \
  M(vote_twice, "a second candidate of the term gets a vote, too")                                           \
  M(vote_forgotten, "the vote is forgotten on restart")                                                      \
  M(vote_kept, "the vote stays in a new term")                                                               \
  M(pre_vote_raises_term, "who is asked for a pre-vote takes over the term asked for")                       \
  M(no_pre_vote, "a campaign begins without asking first")                                                   \
  M(no_stickiness, "who hears a leader grants pre-votes and votes nevertheless")                             \
  M(no_check_quorum, "a leader that no majority answers leads on")                                           \
  M(unbound_votes, "the grant of a directory that nothing binds always counts")                              \
  M(no_incarnation, "which data directory answers under an id is ignored")                                   \
  M(transfer_unready, "leadership is handed to a voter that lacks the log's end")                            \
  /* replication */                                                                                          \
  M(commit_earlier_term, "an entry of an earlier term is committed by counting")                             \
  M(commit_beyond_match, "a follower commits what its leader has not confirmed")                             \
  M(heartbeat_commit, "a heartbeat names entries that the follower may not have")                            \
  M(append_before_sync, "an append is acknowledged before it is durable")                                    \
  M(self_before_sync, "a leader counts itself before its disk has the entry")                                \
  M(stale_append_ok, "an acknowledgement of an earlier term counts")                                         \
  M(truncate_agreeing, "an append removes what follows it, conflict or not")                                 \
  M(truncation_unclamped, "a write in flight makes entries stable that were truncated since")                \
  M(hint_overshoots, "after a rejection the leader tries the end of its log")                                \
  M(loss_unnoticed, "a lost append is not sent again")                                                       \
  /* membership */                                                                                           \
  M(joint_new_only, "in a joint configuration the new voters decide alone")                                  \
  M(second_change, "a change of members begins while another one is under way")                              \
  M(change_unsure_leader, "a leader changes members before its term has a commit")                           \
  M(leave_joint_early, "a joint configuration is left before it is committed")                               \
  M(learner_counts, "a learner counts in the majority")                                                      \
  M(removed_leader_counts, "a leader that is no voter counts itself")                                        \
  M(removed_leader_stays, "a leader leads on after its removal is committed")                                \
  M(stale_configuration, "a truncated configuration stays in force")                                         \
  /* snapshots */                                                                                            \
  M(install_old_snapshot, "a snapshot at or below the commit index replaces the log")                        \
  M(install_keeps_suffix, "what follows a conflicting entry at a snapshot's end is kept")                    \
  M(install_before_stored, "an installed snapshot is acknowledged before the log's reset is durable")        \
  M(reset_unclamped, "a log that a snapshot replaced still counts as stable")                                \
  M(snapshot_uncommitted_members, "a snapshot holds a configuration that is not committed")                  \
  M(release_all, "a snapshot releases more of the log than it holds")                                        \
  M(snapshot_not_resent, "a lost snapshot is not offered again")                                             \
  /* reads */                                                                                                \
  M(read_without_round, "a leader answers a read without asking anybody")                                    \
  M(read_stale_round, "an answer to an earlier round confirms a later read")                                 \
  M(read_before_own_commit, "a leader answers reads before its term has a commit")                           \
  M(read_any_context, "an answer to one question answers all that wait")                                     \
  M(read_not_applied, "a read is answered before its index is applied")                                      \
  /* log and snapshot files */                                                                               \
  M(log_cut_anywhere, "the log is cut at the first bad checksum, wherever it is")                            \
  M(sync_retried, "a failed sync is tried again")                                                            \
  M(segment_name_not_synced, "a new segment's name is not made durable")                                     \
  M(roll_without_sync, "a segment is left before it is durable")                                             \
  M(truncation_not_replayed, "recovery ignores truncations")                                                 \
  M(snapshot_not_synced, "a snapshot gets its name before its bytes are durable")                            \
  /* map */                                                                                                  \
  M(compare_ignored, "compare-exchange does not compare")                                                    \
  M(answers_not_kept, "a session's answers are not kept")                                                    \
  M(answers_dropped_early, "a session drops the first answer that its client may still ask for")             \
  M(sessions_not_in_snapshot, "a snapshot leaves the sessions out")                                          \
  M(clock_not_in_snapshot, "a snapshot leaves the log's clock out")                                          \
  M(local_expiry, "each node expires sessions by a clock of its own")                                        \
  M(upload_gap, "a piece of a value is taken after a gap")                                                   \
  M(watch_silent_resume, "a watch goes on after a snapshot as if nothing was missing")
// clang-format on

#if defined(CONFMAN_MUTANTS)

#if defined(NDEBUG)
#error "CONFMAN_MUTANTS is for a test program alone: it can't be built together with NDEBUG"
#endif

#include <cstdlib>
#include <cstring>
#include <iterator>
#include <type_traits>

namespace confman::mutants {

#define CONFMAN_MUTANT_NAME(name, what) name,
enum class id : unsigned char { none, CONFMAN_MUTANT_TABLE(CONFMAN_MUTANT_NAME) };
#undef CONFMAN_MUTANT_NAME

struct description {
  const char* name;
  const char* what;
};
#define CONFMAN_MUTANT_TEXT(name, what) {#name, what},
inline constexpr description table[] = {{"none", "the program as it is"},
                                        CONFMAN_MUTANT_TABLE(CONFMAN_MUTANT_TEXT)};
#undef CONFMAN_MUTANT_TEXT

// The one that the environment variable CONFMAN_MUTANT names; an unknown name ends the process.
[[nodiscard]] inline id from_environment() {
  const char* const wanted = std::getenv("CONFMAN_MUTANT");
  if (wanted == nullptr || *wanted == '\0') return id::none;
  for (std::size_t i = 0; i < std::size(table); ++i)
    if (std::strcmp(table[i].name, wanted) == 0) return static_cast<id>(i);
  std::fprintf(stderr, "CONFMAN_MUTANT: there is no mutant called %s\n", wanted);
  std::_Exit(2);
}

inline const id chosen = from_environment();

[[nodiscard]] constexpr bool active(id one) noexcept {
  return !std::is_constant_evaluated() && one == chosen;
}

}  // namespace confman::mutants

#define CONFMAN_MUTANT(name) (::confman::mutants::active(::confman::mutants::id::name))

#else

#define CONFMAN_MUTANT(name) false

#endif
