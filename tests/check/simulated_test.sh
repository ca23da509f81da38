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

# judge CODES FILE [OPTION]: confman_check ends with one of these.
judge() {
  local status=0
  "$check" "${@:2}" --max-steps 1000000 >output || status=$?
  if [[ " $1 " == *" $status "* ]]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "wrong: confman_check of $2 ended with $status, not $1:"
    cat output
  fi
}

for seed in 3 4 5; do
  "$sim" --history "$seed" --first "$seed" >/dev/null
  judge 0 "$seed" --witness
  judge '0 3' "$seed"  # a search may give up where too many writes have no known outcome
  # One answered put is forgotten: then what somebody reads of it was written by nobody.
  line=$(grep -n '"op":"put".*"ok":true' "$seed" | sed -n '1s/:.*//p')
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

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
