#!/usr/bin/env bash
# Searches the states of small clusters of the shipped core, breadth first. Ends with `N searches good, N bad`
# and status 1 if a state is bad: after the shortest path to it and the command that shows it again.
#
#   tests/exhaustive.sh               the same as --smoke
#     --smoke               properties and rules broken on purpose must be noticed; then 20,000 states of each
#                           configuration
#     --full                each configuration to its end or its limit: two minutes of a processor
#     --states N            at most N states of each configuration
#     --seconds N           stops after N seconds, wherever it is
#     --config NAME         one configuration; --list names them
#     --self-test           what is broken on purpose alone
#     --config NAME --replay WORDS   shows one path again, as a bad state prints it
#
# Builds build/release/tests/confman_exhaustive first, if anything has changed. CONFMAN_EXHAUSTIVE names
# another executable to run instead, for example one that was built with sanitizers.
set -euo pipefail
cd "$(dirname "$0")/.."

case " $* " in
  *" --help "* | *" -h "*)
    sed -n '2,16s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac

binary=${CONFMAN_EXHAUSTIVE:-}
if [ -z "$binary" ]; then
  binary=build/release/tests/confman_exhaustive
  source tests/lib/one_binary.sh
  build_one confman_exhaustive build/exhaustive-build.log 'the exhaustive search'
fi
if [ $# -eq 0 ]; then set -- --smoke; fi
exec "$binary" "$@"
