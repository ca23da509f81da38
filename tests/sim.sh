#!/usr/bin/env bash
# Runs the simulated world over many seeds; ends with one line that says whether all of them passed.
#
#   tests/sim.sh --seeds N [--first S]    seeds S to S + N - 1 (N: 2000, S: 1)
#     --jobs J              processes (as many as there are processors)
#     --verbose             a line per seed
#     --trace               everything that happens, for one seed
#     --check-determinism   runs every seed twice (else every 50th)
#     --keep-going          goes on after a failure
#     --marks               how often the core came by each mark of include/confman/core/marks.hpp
#     --ruin                damages every disk at the end of every world
#   tests/sim.sh --shrink SEED            a seed that fails: the least that still fails, as a script
#   tests/sim.sh --script FILE [--trace]  runs the decisions of a script
#   tests/sim.sh --history FILE [--first S]  what the clients of a seed asked and were answered, in JSON lines
#
# Stops at the first failure, which prints what was broken, what happened before, and the command that
# replays it. Builds build/release/tests/confman_sim first, if anything has changed. CONFMAN_SIM names another
# executable to run instead, for example one that was built with sanitizers.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -eq 0 ]; then set -- --seeds 2000; fi
case " $* " in
  *" --help "* | *" -h "*)
    sed -n '2,18s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac

binary=${CONFMAN_SIM:-}
if [ -z "$binary" ]; then
  binary=build/release/tests/confman_sim
  source tests/lib/one_binary.sh
  build_one confman_sim build/sim-build.log 'the simulation'
fi
exec "$binary" "$@"
