#!/usr/bin/env bash
# Two demos beside each other: both succeed, and neither leaves a process or a directory behind.
# BUILD_DIR: the build to use, build/release by default.
set -euo pipefail
cd "$(dirname "$0")/../.."
export BUILD_DIR=${BUILD_DIR:-$PWD/build/release}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for name in one two; do
  timeout --kill-after=20 120 examples/cluster/demo.sh >"$work/$name.log" 2>&1 </dev/null &
  pids+=($!)
done
failed=0
for i in 0 1; do
  wait "${pids[$i]}" || failed=1
done
for log in "$work"/*.log; do
  echo "--- $(basename "$log" .log)"
  cat "$log"
  grep -q '^all held' "$log" || failed=1
  directory=$(sed -n 's/^== three processes in //p' "$log")
  if [ -z "$directory" ]; then
    echo "error: a demo did not get as far as starting its processes"
    failed=1
    continue
  fi
  if [ -e "$directory" ]; then
    echo "error: $directory is left behind"
    failed=1
  fi
  # Every process of a demo has its directory or one of its logs in its command line.
  if left=$(grep -lasFf <(echo "$directory") /proc/[0-9]*/cmdline); then
    echo "error: processes are left behind: $left"
    failed=1
  fi
done
exit "$failed"
