#!/usr/bin/env bash
# kill -9 of a random member, 50 times in a row under write load: nothing acknowledged may be lost.
# BUILD_DIR: a build of this project with the target confman_kill. Arguments go to kill/driver.py.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=${BUILD_DIR:-build/release}/tests/confman_kill
if [ ! -x "$program" ]; then
  echo "error: $program is missing; build the target confman_kill, or set BUILD_DIR" >&2
  exit 2
fi
exec timeout --kill-after=5 120 python3 tests/net/kill/driver.py "$program" "$@"
