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
  M(votes_of_another, "6 7", "votes that a wiped directory of the same id was given count")                 \
  M(bind_at_any_election, "7 1 6 13", "a new leader binds some voters' directories, whoever is missing")     \
  M(learner_stands, "13", "who is no voter stands for election")                                             \
  M(timeout_not_random, "21", "election timeouts are not random")                                            \
  M(leader_unheard, "21", "hearing a leader does not put off a campaign")                                    \
  M(stale_leader_untold, "21", "a leader of an earlier term is not told of the later one")                   \
  M(stale_pre_vote_unanswered, "21", "a pre-vote for an earlier term is not answered")                       \
  M(idle_is_silent, "21", "only acknowledgements of appends count as a sign of life")                        \
  M(cluster_unchecked, "0", "a message of another cluster is taken")                                         \
  M(addressee_unchecked, "0", "a message for another member is taken")                                       \
  M(any_term_taken, "0", "a term that leaves no room for a next one is taken")                               \
  M(priority_zero_never_stands, "21", "a voter of priority 0 never stands, whoever else is there")           \
  M(priorities_ignored, "21", "a leader never hands over to a voter of a higher priority")                   \
  M(equals_take_over, "21", "a leader hands over to a voter of its own priority")                            \
  M(no_first_entry, "21", "a leader does not begin its term with an entry")                                  \
  M(transfer_unready, "6", "leadership is handed to a voter that lacks the log's end")                       \
  M(transfer_not_excepted, "21", "whom a leader asks to stand gets no vote from who hears that leader")      \
  M(change_in_transfer, "13", "a change of members begins while leadership is handed over")                  \
  M(transfer_kept, "21", "a transfer without success is never given up")                                     \
  M(propose_in_transfer, "21", "a leader takes proposals while it hands over")                               \
  /* replication */                                                                                          \
  M(commit_earlier_term, "7", "an entry of an earlier term is committed by counting")                        \
  M(commit_beyond_match, "8 A", "a follower commits what its leader has not confirmed")                      \
  M(heartbeat_commit, "0 8 A", "a heartbeat names entries that the follower may not have")                   \
  M(notice_commit, "0 8 A", "a notice of a commit names entries that the follower may not have")             \
  M(apply_uncommitted, "A 0", "entries are applied before they are committed")                               \
  M(append_before_sync, "3", "an append is acknowledged before it is durable")                               \
  M(flight_ignored, "3", "an append that comes again is acknowledged while its write is in flight")          \
  M(acks_merged, "3", "an acknowledgement leaves with that of an earlier write")                             \
  M(term_not_stored, "A 3", "a term without a vote is not worth a write")                                    \
  M(void_promise_kept, "3 1", "a promise of an earlier term is still kept when it is durable")               \
  M(self_before_sync, "3 7", "a leader counts itself before its disk has the entry")                         \
  M(stale_append_ok, "3 7 A 0", "an acknowledgement of an earlier term counts")                              \
  M(append_unmatched, "0 5 8 A", "an append is taken whatever stands before it")                             \
  M(conflict_kept, "5 7 8 3 0", "entries that conflict with an append are kept")                             \
  M(match_goes_back, "9", "a late acknowledgement takes back a later one")                                   \
  M(next_behind_match, "10", "what a follower has acknowledged is sent to it")                               \
  M(window_not_freed, "21", "acknowledged appends still count as on their way")                              \
  M(window_kept, "21", "lost appends still count as on their way")                                           \
  M(window_bytes_kept, "21", "the bytes of acknowledged appends still count as on their way")                \
  M(window_unbounded, "22", "appends are sent however many are on their way")                                \
  M(tail_unbounded, "22", "proposals are taken however many wait to be committed")                           \
  M(truncated_bytes_kept, "22", "truncated entries still count as not committed")                            \
  M(reset_bytes_kept, "22", "entries that a snapshot replaced still count as not committed")                 \
  M(recovered_bytes_uncounted, "22 21", "what recovery finds does not count as not committed")               \
  M(tail_bytes_unbounded, "22", "proposals are taken however many bytes wait to be committed")               \
  M(window_bytes_unbounded, "22", "appends are sent however many bytes are on their way")                    \
  M(append_unbounded, "22", "one append carries all that there is")                                          \
  M(cache_unbounded, "22", "entries that are applied and durable stay in memory")                            \
  M(truncate_agreeing, "0 7 8 3", "an append removes what follows it, conflict or not")                      \
  M(truncation_unclamped, "3 A", "a write in flight makes entries stable that were truncated since")         \
  M(truncation_of_unwritten, "0 3", "storage is told to truncate what it was never given")                   \
  M(reset_keeps_truncation, "0", "storage is told to truncate a log that is reset")                          \
  M(trim_unstable, "A 3", "entries leave memory before they are durable")                                    \
  M(commit_hint_unclamped, "10 A 8", "recovery takes the commit index beyond the end of the log")            \
  M(lost_tail_unnoticed, "3 21", "a follower goes on that lacks what it has acknowledged")                   \
  M(hint_overshoots, "21", "after a rejection the leader tries the end of its log")                          \
  M(loss_unnoticed, "21", "a lost append is not sent again")                                                 \
  /* membership */                                                                                           \
  M(joint_new_only, "7", "in a joint configuration the new voters decide alone")                             \
  M(second_change, "13 A", "a change of members begins while another one is under way")                      \
  M(change_unsure_leader, "13", "a leader changes members before its term has a commit")                     \
  M(leave_joint_early, "13 A", "a joint configuration is left before it is committed")                       \
  M(joint_kept, "21", "a joint configuration is never left")                                                 \
  M(promote_behind, "13", "a learner far behind becomes a voter")                                            \
  M(promote_unheard, "13 21", "a learner becomes a voter that has acknowledged nothing")                     \
  M(two_voters_at_once, "13", "two voters change without a joint configuration")                             \
  M(demoted_at_once, "0 13 A", "a voter is a learner already in the joint configuration that demotes it")    \
  M(demoted_lost, "13", "a voter that is demoted is no member afterwards")                                   \
  M(priority_not_updated, "13", "a change of priority changes nothing")                                      \
  M(removed_joins_again, "13", "a directory that was removed asks to join again")                            \
  M(never_bound, "21 0", "no directory is bound after the first election")                                   \
  M(bind_unsure_leader, "7 1 6 13", "a leader binds directories before its term has a commit")               \
  M(learner_ahead, "13", "a learner is sent what is not committed")                                          \
  M(learner_counts, "7 21", "a learner counts in the majority")                                              \
  M(removed_leader_counts, "7", "a leader that is no voter counts itself")                                   \
  M(removed_leader_stays, "21 6", "a leader leads on after its removal is committed")                        \
  M(stale_configuration, "13 A", "a truncated configuration stays in force")                                 \
  /* snapshots */                                                                                            \
  M(install_old_snapshot, "9 8 A", "a snapshot at or below the commit index replaces the log")               \
  M(install_keeps_suffix, "5 A", "what follows a conflicting entry at a snapshot's end is kept")             \
  M(install_keeps_members, "13 0 A", "the members that a snapshot names are not taken over")                 \
  M(recovery_keeps_log, "8 A 0", "recovery keeps the log that a snapshot was about to replace")              \
  M(install_before_stored, "3", "an installed snapshot is acknowledged before the log's reset is durable")   \
  M(reset_unclamped, "3 A", "a log that a snapshot replaced still counts as stable")                         \
  M(snapshot_uncommitted_members, "13", "a snapshot holds a configuration that is not committed")            \
  M(release_all, "3 10 A", "a snapshot releases more of the log than it holds")                              \
  M(release_unasked, "22", "what a snapshot holds stays in the log")                                         \
  M(snapshot_not_resent, "21", "a lost snapshot is not offered again")                                       \
  M(cut_before_applied, "10 A", "the log is released for a snapshot that is ahead of the state")             \
  M(failed_piece_blocks, "21", "after a failure of the disk no snapshot is received")                        \
  M(piece_window_ignored, "22", "pieces of a snapshot are sent however many are on their way")               \
  M(rate_unlimited, "22", "pieces of a snapshot are sent as fast as they can be read")                       \
  M(transfers_not_renewed, "0", "who waits for an older snapshot is not sent the newer one")                 \
  M(sent_files_closed, "0", "a snapshot that is being sent is closed when a newer one replaces it")          \
  /* reads */                                                                                                \
  M(read_without_round, "14", "a leader answers a read without asking anybody")                              \
  M(read_stale_round, "14", "an answer to an earlier round confirms a later read")                           \
  M(read_before_own_commit, "14", "a leader answers reads before its term has a commit")                     \
  M(read_any_context, "14", "an answer to one question answers all that wait")                               \
  M(read_context_repeats, "14", "numbers of questions begin anew with each start")                           \
  M(read_not_applied, "14 15", "a read is answered before its index is applied")                             \
  M(read_at_applied, "14", "a leader answers a read from what it has applied")                               \
  /* writes */                                                                                               \
  M(ack_before_commit, "20", "a write is acknowledged when it is in the leader's log")                       \
  M(ack_other_entry, "20 16", "another entry at its place acknowledges a write")                             \
  M(lost_is_refused, "16", "a write of unknown outcome is answered as certainly not done")                   \
  M(doubt_forgotten, "16", "a write that was sent once may be refused the second time")                      \
  M(forward_twice, "16", "a forwarded write that comes twice is proposed twice")                             \
  M(forward_numbers_repeat, "16 20 0", "numbers of forwarded writes begin anew with each start")             \
  M(forward_any_term, "16", "a forwarded write is proposed in a later term")                                 \
  M(forward_filter_forgets, "16", "a forwarded write that comes again much later is proposed again")         \
  M(jump_refuses, "16", "writes that a snapshot stands for are answered as certainly not done")              \
  M(told_before_published, "15", "a write is answered before readers can see it")                            \
  M(deadline_ignored, "21", "what waits is never given up")                                                  \
  /* log and snapshot files */                                                                               \
  M(log_cut_anywhere, "0 3", "the log is cut at the first bad checksum, wherever it is")                     \
  M(sync_retried, "3 0", "a failed sync is tried again")                                                     \
  M(failed_write_ignored, "3", "a failed write counts as durable")                                           \
  M(stalled_leader_leads, "21", "a leader whose disk stalls leads on")                                       \
  M(segment_name_not_synced, "3 0", "a new segment's name is not made durable")                              \
  M(identity_not_synced, "3 0 9", "the log's identity gets its name before its bytes are durable")           \
  M(identity_name_not_synced, "3 0 9", "the name of the log's new identity is not made durable")             \
  M(recovery_not_synced, "3 0", "recovery does not make durable what it found")                              \
  M(boot_not_counted, "9", "starts of a directory are not counted")                                          \
  M(unproven_not_rewritten, "3 0", "recovery does not write again what may be in the page cache only")       \
  M(seal_not_rewritten, "3 0", "recovery does not write again a seal that may be in the page cache only")    \
  M(leftovers_kept, "22 0", "files that an earlier run left behind stay")                                    \
  M(checksum_ignored, "0 3", "a batch is read whatever its checksum says")                                   \
  M(reset_not_replayed, "0 3", "recovery ignores that a snapshot replaced the log")                          \
  M(roll_without_sync, "3 0", "a segment is left before it is durable")                                      \
  M(segment_header_not_synced, "3 0", "a segment gets its name before its header is durable")                \
  M(freed_before_noted, "0 3", "segments are freed before the identity says that they do not count")         \
  M(void_before_synced, "3 0", "segments that a batch voids are freed before it is durable")                 \
  M(release_one_more, "3 0", "one entry too many is released")                                               \
  M(truncated_segment_first, "0 3", "the log begins with a segment whose truncations reach before it")       \
  M(truncation_not_replayed, "3 0", "recovery ignores truncations")                                          \
  M(snapshot_not_synced, "3 0", "a snapshot gets its name before its bytes are durable")                     \
  M(snapshot_name_not_synced, "3 0", "a snapshot's name is not made durable")                                \
  M(release_never, "22", "the log frees no segment")                                                         \
  M(older_snapshots_kept, "22", "a new snapshot doesn't remove older ones")                                  \
  M(directory_sync_ignored, "3 0", "a snapshot goes on after a failed sync of the directory")                \
  M(received_not_synced, "3 0", "a received snapshot gets its name before its bytes are durable")            \
  M(older_removed_first, "3 0", "older snapshots are removed before the new one has its name")               \
  M(parts_kept, "22", "parts of snapshots that are no longer received stay")                                 \
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
  M(session_not_closed, "16", "a session that is closed lives on")                                           \
  M(keep_alive_ignored, "16", "keeping a session alive does not prolong it")                                 \
  M(replayed_as_success, "16 11", "a write that is sent again is answered as done in any case")              \
  M(log_time_leaps, "16", "the clock of one author takes log time as far as it likes")                       \
  M(author_stays_behind, "16", "a clock that went back far holds log time still")                            \
  M(sessions_not_in_snapshot, "0 12", "a snapshot leaves the sessions out")                                  \
  M(clock_not_in_snapshot, "0 12", "a snapshot leaves the log's clock out")                                  \
  M(uploads_not_in_snapshot, "0 12", "a snapshot leaves values out that have not arrived completely")        \
  M(local_expiry, "11", "each node expires sessions by a clock of its own")                                  \
  M(upload_gap, "14 11 A", "a piece of a value is taken after a gap")                                        \
  M(upload_incomplete, "14 A", "a value is taken before all of it has arrived")                              \
  M(upload_outlives, "22 11", "values that are not completed stay for ever")                                 \
  M(watch_after_included, "17", "a watch begins with the change that its client has seen already")           \
  M(history_gap, "17", "a watch begins before the changes that are still known")                             \
  M(watch_buffer_unbounded, "22", "a watch buffers however many changes")                                    \
  M(watch_history_unbounded, "22", "the history of changes grows for ever")                                  \
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
