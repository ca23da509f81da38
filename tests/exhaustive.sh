#!/usr/bin/env bash
# Searches every state of small clusters of the shipped core; ends with `N searches good, N bad`.
#
#   tests/exhaustive.sh               the rules broken on purpose, then 200,000 states of each configuration
#   tests/exhaustive.sh --full        each configuration to its end or its limit: up to half an hour, 4 GiB
#     --config NAME                   one configuration; --list names them
#     --states N                      at most N states each
#     --self-test                     the rules broken on purpose: each must be noticed
#     --config NAME --replay WORDS    shows one path again, as a bad state prints it
#
# Builds build/release/tests/confman_exhaustive first, if anything has changed. CONFMAN_EXHAUSTIVE names
# another executable to run instead, for example one that was built with sanitizers.
set -euo pipefail
cd "$(dirname "$0")/.."

case " $* " in
  *" --help "* | *" -h "*)
    sed -n '2,12s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac

binary=${CONFMAN_EXHAUSTIVE:-}
if [ -z "$binary" ]; then
  binary=build/release/tests/confman_exhaustive
  source tests/lib/one_binary.sh
  build_one confman_exhaustive build/exhaustive-build.log 'the exhaustive search'
fi
if [ $# -eq 0 ]; then set -- --self-test --states 200000; fi
if [ "$*" = --full ]; then set --; fi
exec "$binary" "$@"
