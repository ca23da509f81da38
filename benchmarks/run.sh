#!/usr/bin/env bash
# Measures this build against the limits of this machine, in one run: one line a figure, ratios with bounds.
#
#   benchmarks/run.sh [--quick] [--state] [--directory DIR]
#
# --state adds 1 GiB of state in each of three processes: 8 GiB of memory, 10 GiB of disk, two minutes.
# --quick takes about a minute; without it each figure is measured for longer. The data directory must be on
# the disk that is to be measured, not on a tmpfs; by default build/bench. Exit code 1: a bound is not kept.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/lib/packages.sh

seconds=10
reads=()
state=
directory=$PWD/build/bench
while [ $# -gt 0 ]; do
  case "$1" in
    --quick)
      seconds=3
      reads=(--quick)
      ;;
    --state) state=1 ;;
    --directory)
      directory=${2:?--directory takes a path}
      shift
      ;;
    *)
      sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
      exit 2
      ;;
  esac
  shift
done

# shellcheck disable=SC2119
install_build_packages
cmake --preset release >/dev/null
cmake --build build/release --parallel "$(nproc)" --target confman_cluster_bench confman_read_bench \
  confman_state_bench
rm -rf "$directory"
mkdir -p "$directory"
trap 'rm -rf "$directory"' EXIT

commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
echo "== $(uname -sr), $(nproc) cores, $(date -u +%F), commit $commit"
status=0
build/release/benchmarks/confman_cluster_bench "$directory" "$seconds" || status=$?
build/release/benchmarks/confman_read_bench "${reads[@]}" || status=$?
if [ -n "$state" ]; then build/release/benchmarks/confman_state_bench "$directory/state" || status=$?; fi
exit "$status"
