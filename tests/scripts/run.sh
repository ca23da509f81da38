#!/usr/bin/env bash
# Runs data-driven scripts (the format is in README.md here); ends with a line `N passed, N failed`.
#
#   tests/scripts/run.sh [FOLDER...]   the scripts in these folders, or our own: quorum/ and confchange/ here
#     --rewrite                        puts what was found in place of what was expected
#
# A mismatch is printed as a difference, with the file and line of the command; then the exit code is 1.
# Builds build/release/tests/confman_scripts first, if anything has changed. CONFMAN_SCRIPTS names another
# executable to run instead, for example one that was built with sanitizers.
set -euo pipefail
called_from=$PWD
cd "$(dirname "$0")/../.."

options=()
places=()
for argument in "$@"; do
  case "$argument" in
    --rewrite) options+=("$argument") ;;
    --help | -h)
      sed -n '2,9s/^# \{0,1\}//p' tests/scripts/run.sh
      exit 0
      ;;
    -*)
      echo "error: there is no option $argument; see tests/scripts/run.sh --help" >&2
      exit 2
      ;;
    /*) places+=("$argument") ;;
    *) places+=("$called_from/$argument") ;;
  esac
done
if [ "${#places[@]}" -eq 0 ]; then places=(tests/scripts/quorum tests/scripts/confchange); fi

binary=${CONFMAN_SCRIPTS:-}
if [ -z "$binary" ]; then
  binary=build/release/tests/confman_scripts
  source tests/lib/one_binary.sh
  build_one confman_scripts build/scripts-build.log 'the runner'
fi
exec "$binary" "${options[@]}" "${places[@]}"
