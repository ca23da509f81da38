#!/usr/bin/env bash
# Shows that the script runner notices what it should: tests/scripts/self_test.sh [EXECUTABLE]
# Ends with a line `N passed, N failed`.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CONFMAN_SCRIPTS=${1:-build/release/tests/confman_scripts}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

passed=0
failed=0
verify() {  # what was expected, what to run...
  local what=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $what; the runner printed:"
    cat "$folder/output"
  fi
}

status=0
run() {  # arguments of run.sh
  status=0
  tests/scripts/run.sh "$@" >"$folder/output" 2>&1 || status=$?
}
prints() { grep -qxF -- "$1" "$folder/output"; }
ends_with() { [ "$(tail -n 1 "$folder/output")" = "$1" ]; }
exits_with() { [ "$status" -eq "$1" ]; }
contains() { grep -qF -- "$1" "$folder/output"; }

{
  printf '# a comment\n\nvote cfg=(1, 2) \\\n  votes=(y,y)\n----\nVoteLost\n\n'
  printf 'simple\nv1\n----\nvoters=(1)\n1: StateProbe match=0 next=1\n'
} >"$folder/wrong"
run "$folder/wrong"
verify "a mismatch gives exit code 1" exits_with 1
verify "one case passed, one failed" ends_with "1 passed, 1 failed"
verify "the place of the command is named" contains "$folder/wrong:3: vote cfg=(1, 2)"
verify "the line expected is marked" prints "-VoteLost"
verify "the line found is marked" prints "+VoteWon"
verify "the place of the output is named" prints "@@ -6,1 +6,1 @@"

cp "$folder/wrong" "$folder/rewritten"
run --rewrite "$folder/rewritten"
verify "a rewritten script passes" exits_with 0
sed 's/VoteLost/VoteWon/' "$folder/wrong" >"$folder/right"
verify "only the output changes" cmp -s "$folder/right" "$folder/rewritten"
run "$folder/rewritten"
verify "and passes without --rewrite" ends_with "2 passed, 0 failed"

printf 'vote cfg=(1) votes=(y)\n----\n----\nVoteWon\n----\n----\n\nvote\n----\nVoteWon\n' >"$folder/double"
run "$folder/double"
verify "two separators around an output" ends_with "2 passed, 0 failed"
printf 'vote\n----\n----\nVoteWon\n' >"$folder/double"
run "$folder/double"
verify "two separators that are not closed are an error" contains "$folder/double:4: "
verify "which is counted" ends_with "0 passed, 1 failed"

printf 'vote cfg=(1 votes=(y)\n----\nVoteWon\n' >"$folder/syntax"
run "$folder/syntax"
verify "a command line that can't be parsed is an error with its place" contains "$folder/syntax:1: column"
verify "and has exit code 1" exits_with 1
printf 'commit cfg=(1) idx=(1)\n----\n1\n' >"$folder/unknown"
run --rewrite "$folder/unknown"
verify "an unknown command fails, even when rewriting" ends_with "0 passed, 1 failed"
printf 'vote cfg=(1) votes=(y)\n' >"$folder/cut"
run "$folder/cut"
verify "a case without ---- fails" ends_with "0 passed, 1 failed"
run "$folder/absent"
verify "a folder that isn't there fails" ends_with "0 passed, 1 failed"
mkdir "$folder/empty"
run "$folder/empty"
verify "a folder without scripts fails" ends_with "0 passed, 1 failed"
printf 'vote cfg=(1) votes=(y,y)\n----\nVoteWon\n' >"$folder/count"
run "$folder/count"
verify "votes that don't match the voters" \
  prints "+error: mismatched input (explicit or _) for voters map[1:{}]: [2 2]"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
