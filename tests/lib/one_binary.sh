# shellcheck shell=bash
# For scripts that run one program of the tests: builds it first, if anything has changed.

source tests/lib/packages.sh

# build_one TARGET LOG WHAT [PRESET]: build/PRESET/tests/TARGET, quietly (PRESET: release). LOG gets what the
# build says; WHAT names the program in the error. Runs in the root of the repository.
build_one() {
  local preset=${4:-release}
  # shellcheck disable=SC2119
  install_build_packages
  mkdir -p build
  if ! { cmake --preset "$preset" && cmake --build "build/$preset" --target "$1"; } >"$2" 2>&1; then
    tail -n 40 "$2" >&2
    echo "error: $3 doesn't build; all of it is in $2" >&2
    return 1
  fi
}
