#!/usr/bin/env bash
# Fuzzes confman with libFuzzer, address and undefined behaviour sanitizers (clang). A line per target, and at
# the end how many found nothing wrong.
#
#   tests/fuzz.sh                 every target, for a minute each
#     --target T                  this one (may be given more than once); --list names them
#     --seconds N                 of each target (60)
#     --jobs J                    targets at a time (as many as there are processors)
#     --smoke                     3 seconds each: that all of it builds and runs
#     --keep                      afterwards tests/fuzz/corpus gets the fewest inputs that reach as much
#
# Begins with a copy of tests/fuzz/corpus in build/fuzz-run, which keeps what is found from run to run; the
# crashes are there, too. docs/guide/fuzzing.md says what the targets check.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/lib/packages.sh

root=$PWD/build/fuzz-run
corpus=tests/fuzz/corpus
binaries=build/fuzz/tests/fuzz
largest_kept=4096
most_kept=150

mapfile -t all < <(sed -nE 's/^ *confman_fuzzer\(([a-z_]+) .*/\1/p' tests/fuzz/CMakeLists.txt)
seconds=60 jobs=$(nproc) keep=0 chosen=()

usage() {
  sed -n '2,14s/^# \{0,1\}//p' "$0"
}

number() {  # option value
  if ! [[ $2 =~ ^[1-9][0-9]*$ ]]; then
    echo "error: $1 takes a number from 1" >&2
    exit 2
  fi
  echo "$2"
}

while [ $# -gt 0 ]; do
  case "$1" in
    --target)
      if ! printf '%s\n' "${all[@]}" | grep -qx -- "${2:-}"; then
        echo "error: no target '${2:-}'; there are: ${all[*]}" >&2
        exit 2
      fi
      chosen+=("$2")
      shift
      ;;
    --seconds | --jobs)
      value=$(number "$1" "${2:-}")
      if [ "$1" = --jobs ]; then jobs=$value; else seconds=$value; fi
      shift
      ;;
    --smoke) seconds=3 ;;
    --keep) keep=1 ;;
    --list)
      printf '%s\n' "${all[@]}"
      exit 0
      ;;
    --help | -h)
      usage
      exit 0
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
  shift
done
if [ "${#chosen[@]}" -eq 0 ]; then chosen=("${all[@]}"); fi

build() {
  install_build_packages clang=clang++-14,clang++ \
    libclang-rt-14-dev=/usr/lib/llvm-14/lib/clang/14.0.6/lib/linux,/usr/lib/clang
  mkdir -p build
  local log=build/fuzz-build.log compiler=()
  # The preset names clang++.
  if ! command -v clang++ >/dev/null; then compiler=(-DCMAKE_CXX_COMPILER=clang++-14); fi
  if ! { cmake --preset fuzz "${compiler[@]}" &&
    cmake --build build/fuzz --parallel "$jobs" --target "${chosen[@]/#/confman_fuzz_}"; } >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    echo "error: the fuzz targets don't build; all of it is in $log" >&2
    exit 1
  fi
}

# What a final statistic of libFuzzer says, or 0.
statistic() {  # log name
  local found
  found=$(sed -nE "s/^stat::$2: *([0-9]+)$/\1/p" "$1" | tail -n 1)
  echo "${found:-0}"
}

# Runs one target; its line goes to standard output, and what reproduces a crash.
run_target() {
  local name=$1 log=$root/$1.log inputs=$root/corpus/$1 crashes=$root/crashes/$1 status=0
  rm -rf "$crashes"
  mkdir -p "$inputs" "$crashes"
  cp -n "$corpus/$name"/* "$inputs"
  "$binaries/confman_fuzz_$name" -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=2048 \
    -print_final_stats=1 -artifact_prefix="$crashes/" "$inputs" >"$log" 2>&1 || status=$?
  local -a found=()
  mapfile -t found < <(find "$crashes" -type f)
  printf '%-14s %12s executions %8s/s  corpus %5s  crashes %s\n' "$name" \
    "$(statistic "$log" number_of_executed_units)" "$(statistic "$log" average_exec_per_sec)" \
    "$(find "$inputs" -type f | wc -l)" "${#found[@]}"
  if [ "$status" -eq 0 ] && [ "${#found[@]}" -eq 0 ]; then return 0; fi
  grep -aE 'broken expectation|assertion failed|ERROR: |SUMMARY: |runtime error' "$log" | sed '5q;s/^/   | /'
  echo "   | all of it is in $log"
  for file in "${found[@]}"; do
    echo "   reproduce: $binaries/confman_fuzz_$name ${file#"$PWD"/}"
    echo "   without sanitizers: build/release/tests/confman_fuzz $name ${file#"$PWD"/}"
  done
  return 1
}

# The fewest inputs that reach the code that all of them reach, small ones only. (How often they pass through
# it would keep several times as many.)
keep_fewest() {
  local name=$1 kept
  kept=$(mktemp -d "$root/kept.XXXXXX")
  "$binaries/confman_fuzz_$name" -set_cover_merge=1 -use_counters=0 -max_len="$largest_kept" "$kept" \
    "$root/corpus/$name" >"$root/$name.merge.log" 2>&1
  rm -f "$corpus/$name"/*
  # By size: what is small is quick to replay.
  find "$kept" -type f -printf '%s %p\n' | sort -n | head -n "$most_kept" | cut -d ' ' -f 2 |
    xargs -r cp -t "$corpus/$name"
  rm -rf "$kept"
  echo "$name: $(find "$corpus/$name" -type f | wc -l) inputs kept"
}

build
mkdir -p "$root"
rm -f "$root"/*.passed
for name in "${chosen[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || true; done
  { if output=$(run_target "$name"); then : >"$root/$name.passed"; fi
    echo "$output"; } &
done
wait
passed=$(find "$root" -maxdepth 1 -name '*.passed' | wc -l)
if [ "$keep" -eq 1 ]; then
  for name in "${chosen[@]}"; do keep_fewest "$name"; done
fi
echo "$passed passed, $((${#chosen[@]} - passed)) failed"
[ "$passed" -eq "${#chosen[@]}" ]
