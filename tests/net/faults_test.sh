#!/usr/bin/env bash
# What judges the faults of real processes (run.sh, docs/guide/faults.md) is itself tried, on nodes that are
# wrong on purpose. BUILD_DIR: a build of this project with the target confman_check.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=${BUILD_DIR:-build/release}/examples/check/confman_check
if [ ! -x "$program" ]; then
  echo "error: $program is missing; build the target confman_check, or set BUILD_DIR" >&2
  exit 2
fi
CONFMAN_CHECK=$(realpath "$program")
export CONFMAN_CHECK
exec timeout --kill-after=5 120 python3 tests/net/faults/self_test.py "$@"
