#!/usr/bin/env bash
# The exit codes of confman_check, and that it says why. Usage: confman_check_test.sh PROGRAM
set -euo pipefail

program=$(realpath "${1:?usage: confman_check_test.sh PROGRAM}")
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

passed=0
failed=0

# expect CODE TEXT ARGUMENT...: the program ends with CODE and prints TEXT.
expect() {
  local code=$1 text=$2 status=0 output
  shift 2
  output=$("$program" "$@" 2>&1) || status=$?
  if [ "$status" -eq "$code" ] && grep -qF -- "$text" <<<"$output"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "wrong: confman_check $* ended with $status, not $code, or didn't print '$text':"
    echo "$output"
  fi
}

write() {  # op revision previous value call return: of /a
  printf '{"client":1,"op":"put","key":"/a","in":{"value":"%s"},"out":{"revision":%d,' "$3" "$1" &&
    printf '"previous_revision":%d,"version":"1:%d"},"ok":true,"call_ns":%d,"return_ns":%d}\n' \
      "$2" "$1" "$4" "$5"
}
get() {  # revision value place call return
  printf '{"client":2,"op":"get","key":"/a","in":{"mode":"%s"},"out":{"revision":%d,"value":"%s",' \
    "${6:-linearizable}" "$1" "$2"
  printf '"version":"1:%d"},"ok":true,"call_ns":%d,"return_ns":%d}\n' "$3" "$4" "$5"
}
list_without_keys() {  # place call return
  printf '{"client":2,"op":"list","key":"/","in":{"mode":"linearizable"},"out":{"entries":[],'
  printf '"version":"1:%d"},"ok":true,"call_ns":%d,"return_ns":%d}\n' "$1" "$2" "$3"
}

{ write 2 0 x 10 15 && write 4 2 y 20 25; } >writes
get 4 y 4 30 35 >fresh
get 2 x 2 30 35 >stale
list_without_keys 4 30 35 >empty_list
list_without_keys 1 30 35 >wiped
{ get 4 y 4 30 35 local && get 2 x 2 40 45 local; } >back
get 0 '' 9 0 0 | sed 's/"value":""/"value":null/' >gone
echo '{"client":1,' >bad
: >empty

expect 0 'witness: good, 3 operations' writes fresh
expect 0 'search by value: good, 3 operations' writes fresh
expect 0 'search by revision: good' writes fresh --final fresh
expect 0 'witness: good' writes back
expect 0 'usage: confman_check' --help

expect 1 'stale_read: ' writes stale
expect 1 'line 1: client 2 [30, 35] get /a' writes stale --witness
expect 1 'search by revision: VIOLATION' writes stale --wgl
expect 1 'state: ' writes empty_list
expect 0 'search by value: good, 2 operations' writes empty_list --wgl
expect 1 'lost_write: ' writes --final gone
expect 1 'lost_write: ' writes --final wiped
expect 1 'monotonic: ' writes back --monotonic
expect 1 'search by value: undecided' writes stale --max-steps 1

expect 2 "missing can't be opened" missing
expect 2 "can't be read" .
expect 2 'bad: line 1: not JSON' writes bad
expect 2 'no operations in empty' empty
expect 2 'a final state consists of get and list only' writes --final writes
expect 2 'usage: confman_check'
expect 2 'usage: confman_check' writes --unknown
expect 2 'usage: confman_check' writes --final
expect 2 'usage: confman_check' writes --max-steps few

expect 3 'reached a bound' writes fresh --max-steps 1
expect 3 'search by revision: undecided' writes fresh --wgl --max-steps 1

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
