// Mutants: each breaks one rule on purpose, and the simulator has to notice. They show that its checks can
// fail.
#pragma once

#include "confman/config.hpp"

// The CMake option CONFMAN_MUTANTS defines CONFMAN_MUTANTS for the one program that runs them. Everywhere
// else CONFMAN_MUTANT(name) is the constant false, and nothing of a mutant is compiled.
//
// One line of code, at the rule that it breaks, and one line here make another mutant. In the order of the
// layers: M(name, the invariants that may fall, what it does wrong). The numbers are those of
// sim::invariant; A is an assertion of the library. tests/mutants.sh runs them all.
//
// clang-format off
#define CONFMAN_MUTANT_TABLE(M)                                                                              \
  /* elections */                                                                                            \
  M(quorum_half, "1 6 7 8", "half of the voters decide")                                                     \
  M(vote_before_stored, "3 2", "a vote is sent before it is durable")                                        \
  M(candidate_before_stored, "3 2", "a candidate asks for votes before its own is durable")                  \
  M(vote_not_stored, "3 2", "a vote alone is not worth a write")                                             \
  M(vote_strictly_newer, "21", "only a strictly newer log gets a vote")                                      \
  M(vote_any_log, "6 8", "any log gets a vote")                                                              \
  M(vote_longest_log, "6 8", "the longer log gets the vote, whatever its last term")                         \
  M(vote_latest_term, "6 8", "the later last term gets the vote, however short the log")                     \
  M(vote_twice, "2 1 A", "a second candidate of the term gets a vote, too")                                  \
  M(vote_forgotten, "2 1 3", "the vote is forgotten on restart")                                             \
  M(vote_kept, "21", "the vote stays in a new term")                                                         \
  M(stale_vote_ok, "1 3", "a grant of an earlier term counts")                                               \
  M(term_behind_log, "A", "recovery leaves the term behind that of the last entry")                          \
  M(pre_vote_raises_term, "21", "who is asked for a pre-vote takes over the term asked for")                 \
  M(no_pre_vote, "21", "a campaign begins without asking first")                                             \
  M(no_stickiness, "21", "who hears a leader grants pre-votes and votes nevertheless")                       \
  M(no_check_quorum, "21", "a leader that no majority answers leads on")                                     \
  M(unbound_votes, "1 6 8", "the grant of a directory that nothing binds always counts")                     \
  M(no_incarnation, "7 1 6", "which data directory answers under an id is ignored")                          \
  M(incarnation_unchecked, "7 1 6 3", "another data directory's messages are taken")                         \
  M(bind_at_any_election, "7 1 6 13", "a new leader binds some voters' directories, whoever is missing")     \
  M(learner_stands, "13", "who is no voter stands for election")                                             \
  M(no_first_entry, "21", "a leader does not begin its term with an entry")                                  \
  M(transfer_unready, "6", "leadership is handed to a voter that lacks the log's end")                       \
  M(transfer_kept, "21", "a transfer without success is never given up")                                     \
  M(propose_in_transfer, "21", "a leader takes proposals while it hands over")                               \
  /* replication */                                                                                          \
  M(commit_earlier_term, "7", "an entry of an earlier term is committed by counting")                        \
  M(commit_beyond_match, "8 A", "a follower commits what its leader has not confirmed")                      \
  M(heartbeat_commit, "0 8 A", "a heartbeat names entries that the follower may not have")                   \
  M(notice_commit, "0 8 A", "a notice of a commit names entries that the follower may not have")             \
  M(apply_uncommitted, "A 0", "entries are applied before they are committed")                               \
  M(append_before_sync, "3", "an append is acknowledged before it is durable")                               \
  M(self_before_sync, "3 7", "a leader counts itself before its disk has the entry")                         \
  M(stale_append_ok, "3 7 A 0", "an acknowledgement of an earlier term counts")                              \
  M(append_unmatched, "0 5 8 A", "an append is taken whatever stands before it")                             \
  M(conflict_kept, "5 7 8 3 0", "entries that conflict with an append are kept")                             \
  M(match_goes_back, "9", "a late acknowledgement takes back a later one")                                   \
  M(window_unbounded, "22", "appends are sent however many are on their way")                                \
  M(tail_unbounded, "22", "proposals are taken however many wait to be committed")                           \
  M(tail_bytes_unbounded, "22", "proposals are taken however many bytes wait to be committed")               \
  M(window_bytes_unbounded, "22", "appends are sent however many bytes are on their way")                    \
  M(append_unbounded, "22", "one append carries all that there is")                                          \
  M(cache_unbounded, "22", "entries that are applied and durable stay in memory")                            \
  M(truncate_agreeing, "0 7 8 3", "an append removes what follows it, conflict or not")                      \
  M(truncation_unclamped, "3 A", "a write in flight makes entries stable that were truncated since")         \
  M(hint_overshoots, "21", "after a rejection the leader tries the end of its log")                          \
  M(loss_unnoticed, "21", "a lost append is not sent again")                                                 \
  /* membership */                                                                                           \
  M(joint_new_only, "7", "in a joint configuration the new voters decide alone")                             \
  M(second_change, "13 A", "a change of members begins while another one is under way")                      \
  M(change_unsure_leader, "13", "a leader changes members before its term has a commit")                     \
  M(leave_joint_early, "13 A", "a joint configuration is left before it is committed")                       \
  M(joint_kept, "21", "a joint configuration is never left")                                                 \
  M(promote_behind, "13", "a learner far behind becomes a voter")                                            \
  M(bind_unsure_leader, "7 1 6 13", "a leader binds directories before its term has a commit")               \
  M(learner_counts, "7 21", "a learner counts in the majority")                                              \
  M(removed_leader_counts, "7", "a leader that is no voter counts itself")                                   \
  M(removed_leader_stays, "21 6", "a leader leads on after its removal is committed")                        \
  M(stale_configuration, "13 A", "a truncated configuration stays in force")                                 \
  /* snapshots */                                                                                            \
  M(install_old_snapshot, "9 8 A", "a snapshot at or below the commit index replaces the log")               \
  M(install_keeps_suffix, "5 A", "what follows a conflicting entry at a snapshot's end is kept")             \
  M(install_keeps_members, "13 0 A", "the members that a snapshot names are not taken over")                 \
  M(install_before_stored, "3", "an installed snapshot is acknowledged before the log's reset is durable")   \
  M(reset_unclamped, "3 A", "a log that a snapshot replaced still counts as stable")                         \
  M(snapshot_uncommitted_members, "13", "a snapshot holds a configuration that is not committed")            \
  M(release_all, "3 10 A", "a snapshot releases more of the log than it holds")                              \
  M(release_unasked, "22", "what a snapshot holds stays in the log")                                         \
  M(snapshot_not_resent, "21", "a lost snapshot is not offered again")                                       \
  /* reads */                                                                                                \
  M(read_without_round, "14", "a leader answers a read without asking anybody")                              \
  M(read_stale_round, "14", "an answer to an earlier round confirms a later read")                           \
  M(read_before_own_commit, "14", "a leader answers reads before its term has a commit")                     \
  M(read_any_context, "14", "an answer to one question answers all that wait")                               \
  M(read_context_repeats, "14", "numbers of questions begin anew with each start")                           \
  M(read_not_applied, "14 15", "a read is answered before its index is applied")                             \
  /* writes */                                                                                               \
  M(ack_before_commit, "20", "a write is acknowledged when it is in the leader's log")                       \
  M(ack_other_entry, "20 16", "another entry at its place acknowledges a write")                             \
  M(lost_is_refused, "16", "a write of unknown outcome is answered as certainly not done")                   \
  M(doubt_forgotten, "16", "a write that was sent once may be refused the second time")                      \
  M(forward_twice, "16", "a forwarded write that comes twice is proposed twice")                             \
  /* log and snapshot files */                                                                               \
  M(log_cut_anywhere, "0 3", "the log is cut at the first bad checksum, wherever it is")                     \
  M(sync_retried, "3 0", "a failed sync is tried again")                                                     \
  M(segment_name_not_synced, "3 0", "a new segment's name is not made durable")                              \
  M(identity_not_synced, "3 0 9", "the log's identity gets its name before its bytes are durable")           \
  M(identity_name_not_synced, "3 0 9", "the name of the log's new identity is not made durable")             \
  M(recovery_not_synced, "3 0", "recovery does not make durable what it found")                              \
  M(checksum_ignored, "0 3", "a batch is read whatever its checksum says")                                   \
  M(reset_not_replayed, "0 3", "recovery ignores that a snapshot replaced the log")                          \
  M(roll_without_sync, "3 0", "a segment is left before it is durable")                                      \
  M(truncation_not_replayed, "3 0", "recovery ignores truncations")                                          \
  M(snapshot_not_synced, "3 0", "a snapshot gets its name before its bytes are durable")                     \
  M(snapshot_name_not_synced, "3 0", "a snapshot's name is not made durable")                                \
  M(release_never, "22", "the log frees no segment")                                                         \
  M(older_snapshots_kept, "22", "a new snapshot doesn't remove older ones")                                  \
  M(directory_sync_ignored, "3 0", "a snapshot goes on after a failed sync of the directory")                \
  M(received_not_synced, "3 0", "a received snapshot gets its name before its bytes are durable")            \
  /* map */                                                                                                  \
  M(compare_ignored, "11", "compare-exchange does not compare")                                              \
  M(erase_ignored, "14 11 17", "a key that was erased stays")                                                \
  M(created_anew, "14", "each write makes a key as if it were new")                                          \
  M(writes_uncounted, "14", "writes of a key are not counted")                                               \
  M(scan_skips_prefix, "14", "a scan leaves out the key that is its prefix")                                 \
  M(answers_not_kept, "16 11", "a session's answers are not kept")                                           \
  M(answers_dropped_early, "16 11", "a session drops the first answer that its client may still ask for")    \
  M(acknowledged_again, "16", "a session takes a write again whose answer was acknowledged")                 \
  M(session_outlives, "16", "no session ever expires")                                                       \
  M(session_cut_short, "16", "a session lives half as long as it may")                                       \
  M(session_not_renewed, "16", "using a session does not prolong it")                                        \
  M(evicts_newest, "16", "one session too many closes the one that was used last")                           \
  M(session_order_not_loaded, "11 16", "loading a snapshot forgets which session was used longest ago")      \
  M(sessions_not_in_snapshot, "0 12", "a snapshot leaves the sessions out")                                  \
  M(clock_not_in_snapshot, "0 12", "a snapshot leaves the log's clock out")                                  \
  M(uploads_not_in_snapshot, "0 12", "a snapshot leaves values out that have not arrived completely")        \
  M(local_expiry, "11", "each node expires sessions by a clock of its own")                                  \
  M(upload_gap, "14 11 A", "a piece of a value is taken after a gap")                                        \
  M(watch_silent_resume, "17", "a watch goes on after a snapshot as if nothing was missing")
// clang-format on

#if defined(CONFMAN_MUTANTS)

#if defined(NDEBUG)
#error "CONFMAN_MUTANTS is for tests alone: no build with NDEBUG has it"
#endif

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <type_traits>

namespace confman::mutants {

#define CONFMAN_MUTANT_NAME(name, falls, what) name,
enum class id : unsigned char { none, CONFMAN_MUTANT_TABLE(CONFMAN_MUTANT_NAME) };
#undef CONFMAN_MUTANT_NAME

#define CONFMAN_MUTANT_TEXT(name, falls, what) #name,
inline constexpr const char* names[] = {"none", CONFMAN_MUTANT_TABLE(CONFMAN_MUTANT_TEXT)};
#undef CONFMAN_MUTANT_TEXT

// The one that the environment variable CONFMAN_MUTANT names; an unknown name ends the process.
[[nodiscard]] inline id from_environment() {
  const char* const wanted = std::getenv("CONFMAN_MUTANT");
  if (wanted == nullptr || *wanted == '\0') return id::none;
  for (std::size_t i = 0; i < std::size(names); ++i)
    if (std::strcmp(names[i], wanted) == 0) return static_cast<id>(i);
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
