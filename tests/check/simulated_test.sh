#!/usr/bin/env bash
# What clients of a simulated cluster were answered is judged by confman_check, right as it is and wrong as it
# isn't. Usage: simulated_test.sh CONFMAN_CHECK CONFMAN_SIM
set -euo pipefail

usage='usage: simulated_test.sh CONFMAN_CHECK CONFMAN_SIM'
check=$(realpath "${1:?$usage}")
sim=$(realpath "${2:?$usage}")
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

passed=0
failed=0

# judge CODES FILE [OPTION]: confman_check ends with one of these. `status` tells with which.
judge() {
  status=0
  "$check" "${@:2}" --max-steps 1000000 >output || status=$?
  if [[ " $1 " == *" $status "* ]]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "wrong: confman_check of $2 ended with $status, not $1:"
    cat output
  fi
}

searches=0
gave_up=0
spoiled=0
for seed in 1 2 3 4 5 6 7 8; do
  "$sim" --history "$seed" --first "$seed" >/dev/null
  judge 0 "$seed" --witness
  judge '0 3' "$seed"  # a search may give up where too many writes have no known outcome, now and then
  searches=$((searches + 1))
  if [ "$status" -eq 3 ]; then gave_up=$((gave_up + 1)); fi
  # One answered put is forgotten: then what somebody reads of it was written by nobody.
  line=$(sed -n '/"op":"put".*"ok":true/{=;q}' "$seed")
  if [ -z "$line" ]; then continue; fi
  spoiled=$((spoiled + 1))
  key=$(sed -n "${line}s/.*\"key\":\"\([^\"]*\)\".*/\1/p" "$seed")
  value=$(sed -n "${line}s/.*\"in\":{\"value\":\"\([^\"]*\)\".*/\1/p" "$seed")
  {
    sed "${line}d" "$seed"
    printf '{"client":1,"op":"get","key":"%s","in":{"mode":"local"},"out":{"revision":1,"value":"%s",' \
      "$key" "$value"
    printf '"version":"1:1"},"ok":true,"call_ns":1,"return_ns":2}\n'
  } >"$seed.wrong"
  judge 1 "$seed.wrong"
done

if [ $((gave_up * 4)) -gt "$searches" ] || [ $((spoiled * 2)) -lt "$searches" ]; then
  failed=$((failed + 1))
  echo "wrong: of $searches histories the search gave up with $gave_up, and $spoiled had a put to forget"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
