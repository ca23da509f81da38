#!/usr/bin/env bash
# Everything that has to hold before a change is merged. Builds in build/ and leaves the sources alone.
#
#   tests/run.sh               all stages
#   tests/run.sh --quick       the release build and the unit tests
#   tests/run.sh --only STAGE  one stage (may be given more than once); --list names them
#
# Stages that need a build make it themselves, so each can run alone. A stage that fails is counted and the
# next one runs. Logs are in build/logs. CONFMAN_SEEDS sets the number of simulated seeds, JOBS that of
# compiler processes.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/lib/packages.sh
source tests/lib/stages.sh

jobs=${JOBS:-$(nproc)}
seeds=${CONFMAN_SEEDS:-2000}
prefix=$PWD/$build/prefix

configure() {  # preset [cmake options]
  local preset=$1
  shift
  cmake --preset "$preset" "$@"
}

build_targets() {  # preset target...
  local preset=$1
  shift
  cmake --build "$build/$preset" --parallel "$jobs" --target "$@" -- -k 0  # show every error, not the first
}

clang_compiler() {
  command -v clang++-14 || command -v clang++
}

# Those that take longest come first.
suites="confman_sim confman_net confman_unit confman_storage confman_paper confman_check_tests confman_fuzz"

# Tests of example programs, which are no suites: those with the label `program`.
run_programs() {  # preset
  ctest --test-dir "$build/$1" -L '^program$' --no-tests=error --output-on-failure
}

stage_tidy() {
  python3 tests/tidy.py --self-test
  python3 tests/tidy.py
}

stage_shell() {
  find . \( -name .git -o -name 'build*' \) -prune -o \( -name '*.sh' -o -path ./.ci/run \) -print0 |
    xargs -0 shellcheck -x
}

# What is shipped holds nothing of a mutant (include/confman/mutants.hpp), neither names nor code asking for
# one, and counts no marks (include/confman/core/marks.hpp).
refuse_mutants() {  # library
  local names
  names=$(sed -nE 's/^ *M\((\w+),.*/\1/p' include/confman/mutants.hpp)
  if grep -aFwe CONFMAN_MUTANT -e "$names" "$1" || grep -aF -e 7mutants -e mark_hits "$1"; then
    echo "error: $1 contains mutants or marks"
    return 1
  fi
}

stage_release() {
  configure release
  build_targets release all
  refuse_mutants "$build/release/libconfman.a"
  local status=0
  run_suites release "$suites" || status=1
  run_programs release || status=1
  return "$status"
}

stage_quick() {
  configure release
  build_targets release confman_unit
  run_suites release confman_unit
}

stage_headers() {
  configure release
  build_targets release confman_headers confman_whole
}

# The libraries as a user meets them: installed, as a subdirectory, as headers alone, through pkg-config.
install_release() {
  configure release
  build_targets release confman confman_simulator confman_checker
  rm -rf "$prefix"
  cmake --install "$build/release" --prefix "$prefix" >/dev/null
}

build_consumer() {  # folder
  local directory=$build/consumer/$1
  cmake -S "tests/consumer/$1" -B "$directory" -G Ninja -DCMAKE_BUILD_TYPE=Debug \
    -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER_LAUNCHER="$(command -v ccache || true)"
  cmake --build "$directory" --parallel "$jobs"
  "$directory/consumer"
}

stage_install() {
  install_release
  local consumer
  for consumer in find_package header_only; do
    build_consumer "$consumer"
    "$build/consumer/$consumer/judge"
  done
  "$build/consumer/find_package/world"
  "$build/consumer/find_package/application" --seeds 20
}

stage_pkg_config() {
  install_release
  local pc
  pc=$(dirname "$(find "$prefix" -name confman.pc)")
  local -a flags
  read -ra flags <<<"$(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs confman)"
  mkdir -p "$build/consumer"
  g++ -std=c++20 tests/consumer/main.cpp -o "$build/consumer/pkg_config" "${flags[@]}"
  "$build/consumer/pkg_config"
}

stage_subdirectory() {
  build_consumer add_subdirectory
}

stage_readme() {
  install_release
  rm -rf "$build/readme"
  python3 tests/readme.py "$build/readme"
  cmake -S tests/consumer/readme -B "$build/consumer/readme" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" \
    -DSNIPPETS="$PWD/$build/readme"
  cmake --build "$build/consumer/readme" --parallel "$jobs"
}

# clang builds everything here, warnings are errors; what g++ takes for the same is several times as long.
stage_asan() {
  configure asan -DCMAKE_CXX_COMPILER="$(clang_compiler)"
  build_targets asan all
  ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1 \
    run_suites asan "$suites"
}

# What has threads; by clang, which takes half as long as g++ for it.
stage_tsan() {
  configure tsan -DCMAKE_CXX_COMPILER="$(clang_compiler)"
  build_targets tsan confman_threads confman_net
  TSAN_OPTIONS="second_deadlock_stack=1 suppressions=$PWD/tests/lib/tsan.supp" \
    run_suites tsan "confman_threads confman_net"
}

stage_sim() {
  configure release
  build_targets release confman_sim
  ./tests/sim.sh --seeds "$seeds"
}

# That the targets build with libFuzzer and run; the suite confman_fuzz replays the corpora of all.
stage_fuzz() {
  ./tests/fuzz.sh --smoke --target message --target frames
}

stage_exhaustive() {
  configure release
  build_targets release confman_exhaustive
  ./tests/exhaustive.sh
}

# Broken rules that the simulation must notice soon; all of them: tests/mutants.sh.
stage_mutants() {
  ./tests/mutants.sh --smoke
}

# Data-driven scripts; the runner's last line counts them.
stage_scripts() {
  configure release
  build_targets release confman_scripts
  local script status=0
  for script in self_test run; do
    local output=$build/logs/scripts_$script.log
    "./tests/scripts/$script.sh" >"$output" 2>&1 || status=1
    cat "$output"
    sed -nE '$s/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$output" >>"$build/logs/$current_stage.cases"
  done
  return "$status"
}

# Tests of whole processes: kill -9 and the like.
stage_processes() {
  configure release
  build_targets release all
  local script
  for script in tests/net/*_test.sh; do
    echo "== $script"
    BUILD_DIR="$PWD/$build/release" "$script"
  done
  echo "== tests/net/run.sh --smoke"
  BUILD_DIR="$PWD/$build/release" timeout --kill-after=10 300 tests/net/run.sh --smoke
}

stage_clang_tidy() {
  configure asan -DCMAKE_CXX_COMPILER="$(clang_compiler)"
  find src -name '*.cpp' -print0 |
    xargs -0 -n 1 -P "$jobs" "$(command -v clang-tidy-14 || command -v clang-tidy)" --quiet -p "$build/asan"
}

all_stages=(tidy shell release headers install pkg_config subdirectory readme scripts sim exhaustive fuzz
  mutants processes asan tsan clang_tidy)

chosen=()
while [ $# -gt 0 ]; do
  case "$1" in
    --quick) chosen=(quick) ;;
    --only)
      stage=${2:?--only takes the name of a stage}
      chosen+=("${stage//-/_}")
      shift
      ;;
    --list)
      printf '%s\n' "${all_stages[@]}"
      exit 0
      ;;
    *)
      sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
      exit 2
      ;;
  esac
  shift
done
if [ "${#chosen[@]}" -eq 0 ]; then chosen=("${all_stages[@]}"); fi
for stage in "${chosen[@]}"; do
  if ! declare -F "stage_$stage" >/dev/null; then
    echo "error: no stage '$stage'; there are: ${all_stages[*]}" >&2
    exit 2
  fi
done

if [ "${chosen[*]}" = quick ]; then
  install_build_packages
else
  install_build_packages python3=python3 pkg-config=pkg-config curl=curl shellcheck=shellcheck \
    clang=clang++-14,clang++ libclang-rt-14-dev=/usr/lib/llvm-14/lib/clang/14.0.6/lib/linux,/usr/lib/clang \
    clang-format=clang-format-14,clang-format clang-tidy=clang-tidy-14,clang-tidy
  install_missing libzstd-dev=/usr/include/zstd.h,/usr/local/include/zstd.h ||
    echo "going on without zstd: compressed snapshots are not tested"
fi

mkdir -p "$build/logs"
for stage in "${chosen[@]}"; do run_stage "$stage"; done
finish
