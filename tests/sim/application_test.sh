#!/usr/bin/env bash
# The example application in simulated worlds: the right one passes, the bug is found, and the command that is
# printed finds it again. Usage: application_test.sh PROGRAM [SEEDS]
set -euo pipefail

program=$(realpath "${1:?usage: application_test.sh PROGRAM [SEEDS]}")
seeds=${2:-500}
passed=0
failed=0

check() {  # what condition...
  local what=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "wrong: $what"
  fi
}

status=0
output=$("$program" --seeds "$seeds") || status=$?
check "the right one passes: $output" test "$status" -eq 0
check "it says so" grep -qF "$seeds seeds passed" <<<"$output"

status=0
output=$("$program" --seeds "$seeds" --bug) || status=$?
check "the bug fails" test "$status" -eq 1
wrong=$(sed -n 's/^seed [0-9]*: \(invariant 100 .*\)$/\1/p' <<<"$output")
check "by the application's invariant: $output" test -n "$wrong"
replay=$(sed -n 's/^replay: \(.*\)$/\1/p' <<<"$output")
check "with a command to replay it" grep -q -- '--bug --seeds 1 --first [0-9]' <<<"$replay"

read -ra command <<<"$replay"
status=0
again=$("${command[@]}") || status=$?
check "the replay fails, too" test "$status" -eq 1
check "in the same way" grep -qF "$wrong" <<<"$again"
sed -n 's/^seed/bug found by seed/p' <<<"$output"

seed=$(sed -n 's/^seed \([0-9]*\): .*/\1/p' <<<"$output")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
status=0
small=$(cd "$place" && "$program" --bug --shrink "$seed") || status=$?
check "shrinking says that it fails" test "$status" -eq 1
check "and with how much less: $small" grep -qE '^shrunk from [0-9]+ to [0-9]+ decisions' <<<"$small"
status=0
again=$(cd "$place" && "$program" --bug --script "failure-$seed.txt") || status=$?
check "the script fails, too" test "$status" -eq 1
check "by the same invariant: $again" grep -q '^seed [0-9]*: invariant 100 ' <<<"$again"
status=0
output=$(cd "$place" && "$program" --script "failure-$seed.txt") || status=$?
check "the right one passes it: $output" test "$status" -eq 0
check "and says so" grep -q '^passed: ' <<<"$output"
status=0
output=$("$program" --script "$place/none") || status=$?
check "a script that isn't there is an error: $output" test "$status" -eq 1

status=0
"$program" --seeds 2>/dev/null || status=$?
check "--seeds needs a number" test "$status" -eq 2

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
