#!/usr/bin/env bash
# A state of some size in three real processes: snapshots, a very large value, a wiped member and a restart
# beside writers. Here only what must never happen counts (an election, a failed write, a member that doesn't
# come back); how long things take is measured by benchmarks/run.sh --state.
set -euo pipefail
cd "$(dirname "$0")/../.."

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
"${BUILD_DIR:-build/release}/benchmarks/confman_state_bench" "$directory" 48 --smoke
